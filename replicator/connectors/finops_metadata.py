"""What Finance and Operations says about its own entity sets: the $metadata document.

It is read as a stream, for it describes thousands of sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from replicator.connectors.odata.http import Http
from replicator.connectors.protocol import Description, Property
from replicator.connectors.xml_streams import Elements, tell_all
from replicator.errors import UnexpectedAnswer
from replicator.mapping.language import FieldType

_TYPES: Mapping[str, tuple[FieldType, ...]] = {
    "Edm.String": ("text", "reference"), "Edm.Int16": ("integer",), "Edm.Int32": ("integer",),
    "Edm.Int64": ("integer",), "Edm.Byte": ("integer",), "Edm.Decimal": ("decimal",), "Edm.Double": ("decimal",),
    "Edm.Single": ("decimal",), "Edm.Boolean": ("boolean",), "Edm.Date": ("date",),
    "Edm.DateTimeOffset": ("date", "timestamp"), "Edm.Guid": ("uuid",),
}  # fmt: skip
_YES_AND_NO = {"Yes", "No"}
_TERMS = "Microsoft.Dynamics.OData.Core.V1."
"""Of annotations: IsRequired, AllowEdit, AllowEditOnCreate; a property without one is optional and may be written."""


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


class _Sets(Elements):
    """The types of the wanted sets: they stand at the end of the document."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted = wanted
        self.types: dict[str, str] = {}

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        if tag == "EntitySet" and values.get("Name") in self.wanted:
            self.types[values["Name"]] = values.get("EntityType", "")


class _Types(Elements):
    """The properties and keys of the wanted types, and the members of all enumerations."""

    def __init__(self, wanted: set[str]) -> None:
        self.wanted = wanted
        self.fields: dict[str, dict[str, Mapping[str, str]]] = {}
        self.keys: dict[str, list[str]] = {}
        self.members: dict[str, list[str]] = {}
        self.terms: dict[tuple[str, str], dict[str, bool]] = {}
        self.type = self.enum = self.property = ""

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        name = values.get("Name", "")
        if tag == "EntityType":
            self.type = name if name in self.wanted else ""
            if self.type:
                self.fields[name], self.keys[name] = {}, []
        elif tag == "EnumType":
            self.enum = name
            self.members[name] = []
        elif tag == "Member" and self.enum:
            self.members[self.enum].append(name)
        elif tag == "Property" and self.type:
            self.property = name
            self.fields[self.type][name] = dict(values)
        elif tag == "Annotation" and self.property and values.get("Term", "").startswith(_TERMS):
            terms = self.terms.setdefault((self.type, self.property), {})
            terms[values["Term"].removeprefix(_TERMS)] = values.get("Bool", "").lower() == "true"
        elif tag == "PropertyRef" and self.type:
            self.keys[self.type].append(name)

    def end(self, tag: str) -> None:
        if tag == "EntityType":
            self.type = ""
        elif tag == "EnumType":
            self.enum = ""
        elif tag == "Property":
            self.property = ""

    def description(self, type_name: str) -> Description | None:
        """What was found of a type; None where it is not there."""
        if type_name not in self.fields:
            return None
        found = self.fields[type_name]
        fields = {name: self._property(values, self.terms.get((type_name, name), {})) for name, values in found.items()}
        tells_lengths = any("MaxLength" in values for values in found.values())
        return Description(fields, tuple(self.keys[type_name]), tells_lengths=tells_lengths)

    def _property(self, values: Mapping[str, str], terms: Mapping[str, bool]) -> Property:
        """A property that is never null is not one that has to be sent: the system fills it in itself."""
        kind, length = values.get("Type", ""), values.get("MaxLength", "")
        enum = kind.rpartition(".")[2]
        members = self.members.get(enum)
        if members is None:
            types = _TYPES.get(kind, ())
        else:
            types = ("boolean", "text") if set(members) <= _YES_AND_NO else ("text",)
        return Property(
            kind,
            types,
            length=int(length) if length.isdecimal() else None,
            required=terms.get("IsRequired", False),
            writable=terms.get("AllowEditOnCreate", True),
            changeable=terms.get("AllowEdit", True),
            nullable=values.get("Nullable", "").lower() != "false",
            enum="" if members is None else enum,
            symbols=tuple(members or ()),
        )


def _read(document: bytes, elements: Elements, what: str) -> None:
    tell_all(document, elements, lambda why: UnexpectedAnswer(f"{what}: {why}"))
