"""What Finance and Operations says about its own entity sets: the $metadata document.

It is read as a stream, for it describes thousands of sets. A document type or an entity in it is refused: the system
writes none, and they are what makes XML of strangers dangerous.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.parsers import expat

from replicator.connectors.odata.http import Http
from replicator.connectors.protocol import Description, Property
from replicator.errors import UnexpectedAnswer
from replicator.mapping.language import FieldType

_TYPES: Mapping[str, tuple[FieldType, ...]] = {
    "Edm.String": ("text", "reference"), "Edm.Int16": ("integer",), "Edm.Int32": ("integer",),
    "Edm.Int64": ("integer",), "Edm.Byte": ("integer",), "Edm.Decimal": ("decimal",), "Edm.Double": ("decimal",),
    "Edm.Single": ("decimal",), "Edm.Boolean": ("boolean",), "Edm.Date": ("date",),
    "Edm.DateTimeOffset": ("date", "timestamp"), "Edm.Guid": ("uuid",),
}  # fmt: skip
_YES_AND_NO = {"Yes", "No"}


def describe(http: Http, entity_sets: Sequence[str]) -> list[Description | None]:
    """The descriptions of these sets, in the same order; None where there is none of that name."""
    answer = http.send("GET", http.url("$metadata"), "$metadata", headers={"Accept": "application/xml"})
    what = f"{http.name}: $metadata"
    if not answer.media_type.endswith("xml"):
        raise UnexpectedAnswer(f"{what}: {answer.media_type or 'no content type'} instead of XML")
    return parse(answer.body, entity_sets, what)


def parse(document: bytes, entity_sets: Sequence[str], what: str) -> list[Description | None]:
    """The descriptions in a CSDL document. Raises UnexpectedAnswer for one that is broken or holds a document type."""
    sets = _Sets(set(entity_sets))
    _read(document, sets, what)
    types = _Types({name.rpartition(".")[2] for name in sets.types.values()})
    _read(document, types, what)
    return [types.description(sets.types.get(name, "").rpartition(".")[2]) for name in entity_sets]


class _Handler:
    def start(self, tag: str, values: Mapping[str, str]) -> None:
        """An element begins; its name is without the namespace."""

    def end(self, tag: str) -> None:
        """An element ends."""


class _Sets(_Handler):
    """The types of the wanted sets: they stand at the end of the document."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted = wanted
        self.types: dict[str, str] = {}

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        if tag == "EntitySet" and values.get("Name") in self.wanted:
            self.types[values["Name"]] = values.get("EntityType", "")


class _Types(_Handler):
    """The properties and keys of the wanted types, and the members of all enumerations."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted = wanted
        self.fields: dict[str, dict[str, Mapping[str, str]]] = {}
        self.keys: dict[str, list[str]] = {}
        self.members: dict[str, set[str]] = {}
        self.type = self.enum = ""

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        name = values.get("Name", "")
        if tag == "EntityType":
            self.type = name if name in self.wanted else ""
            if self.type:
                self.fields[name], self.keys[name] = {}, []
        elif tag == "EnumType":
            self.enum = name
            self.members[name] = set()
        elif tag == "Member" and self.enum:
            self.members[self.enum].add(name)
        elif tag == "Property" and self.type:
            self.fields[self.type][name] = dict(values)
        elif tag == "PropertyRef" and self.type:
            self.keys[self.type].append(name)

    def end(self, tag: str) -> None:
        if tag == "EntityType":
            self.type = ""
        elif tag == "EnumType":
            self.enum = ""

    def description(self, type_name: str) -> Description | None:
        """What was found of a type; None where it is not there."""
        if type_name not in self.fields:
            return None
        fields = {name: self._property(values) for name, values in self.fields[type_name].items()}
        return Description(fields, tuple(self.keys[type_name]))

    def _property(self, values: Mapping[str, str]) -> Property:
        kind, length = values.get("Type", ""), values.get("MaxLength", "")
        members = self.members.get(kind.rpartition(".")[2])
        if members is None:
            types = _TYPES.get(kind, ())
        else:
            types = ("boolean", "text") if members <= _YES_AND_NO else ("text",)
        required = values.get("Nullable", "").lower() == "false"
        return Property(kind, types, int(length) if length.isdecimal() else None, required)


def _read(document: bytes, handler: _Handler, what: str) -> None:
    parser = expat.ParserCreate(namespace_separator=" ")

    def refuse(*_: object) -> int:
        raise UnexpectedAnswer(f"{what}: the document declares a document type, which is refused")

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = lambda tag, values: handler.start(tag.rpartition(" ")[2], values)
    parser.EndElementHandler = lambda tag: handler.end(tag.rpartition(" ")[2])
    try:
        parser.Parse(document, True)
    except expat.ExpatError as problem:
        raise UnexpectedAnswer(f"{what}: broken XML: {problem}") from problem
