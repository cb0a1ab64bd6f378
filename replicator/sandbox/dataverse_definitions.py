"""EntityDefinitions of the sales system: its entity sets, their attributes and alternate keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from replicator.sandbox.dataverse_refusals import BAD_QUERY, refuse_unknown_options
from replicator.sandbox.dataverse_relationships import KINDS, relationships, relationships_of
from replicator.sandbox.description import FieldSpec, SimulatedSet, SystemDescription, wire_name
from replicator.sandbox.expression import BadQueryError, UnknownPropertyError
from replicator.sandbox.odata_http import Call, RefusalError, parse_key
from replicator.sandbox.row_filter import RowFilter

_namespace = "Microsoft.Dynamics.CRM"
_types = {
    "text": "String",
    "memo": "Memo",
    "bigint": "BigInt",
    "integer": "Integer",
    "decimal": "Decimal",
    "money": "Money",
    "boolean": "Boolean",
    "guid": "Uniqueidentifier",
    "date": "DateTime",
    "datetime": "DateTime",
    "choice": "Picklist",
    "lookup": "Lookup",
}
_choices = ("Picklist", "State", "Status")
_levels = {"system": "SystemRequired", "application": "ApplicationRequired", "recommended": "Recommended"}
_kinds = {"", *_types.values(), "Customer", *_choices}

_precision_sources = {None: 0, "organization": 1, "looked_up": 2}
_of_derived_types = frozenset(
    {"MaxLength", "DateTimeBehavior", "Format", "MinValue", "MaxValue", "Precision", "PrecisionSource"}
)
"""Shown of every attribute, but known to queries of the derived types only."""

Row = dict[str, Any]
Query = Mapping[str, str]
Segment = tuple[str, str | None]


@dataclass(frozen=True)
class _Listing:
    """Definitions of one type, those of their properties that a query may name, and what can be expanded of each."""

    type: str
    rows: list[Row]
    properties: frozenset[str]
    below: Mapping[str, Callable[[Row], _Listing]]

    def matching(self, query: Query) -> list[Row]:
        """Those that fulfil the $filter of a query."""
        if not self.rows or not query.get("$filter"):
            return self.rows
        try:
            plain = frozenset(name for name in self.properties if not isinstance(self.rows[0][name], dict | list))
            fulfils = RowFilter(query["$filter"], plain).parse()
        except UnknownPropertyError as unknown:
            raise _unknown_property(self.type, unknown.name) from None
        except BadQueryError as error:
            raise RefusalError(400, str(error), BAD_QUERY) from None
        return [row for row in self.rows if fulfils(row)]

    def selected(self, query: Query, row: Row) -> Row:
        """The properties that the $select of a query names; the identity always comes along."""
        if not query.get("$select"):
            return row
        names = [name.strip() for name in query["$select"].split(",")]
        for name in names:
            if name not in self.properties:
                raise _unknown_property(self.type, name)
        always = [name for name in ("@odata.type", "MetadataId") if name in row]
        return {name: row[name] for name in dict.fromkeys([*always, *names])}

    def one(self, key: str) -> Row:
        """The one with a key: its logical name, or its identity, which stands without a name."""
        try:
            ((name, value),) = parse_key(key)
        except ValueError:
            raise self._bad_key() from None
        name = name or "MetadataId"
        if name not in ("LogicalName", "SchemaName", "MetadataId") or (self.rows and name not in self.rows[0]):
            raise self._bad_key()
        wanted = value.lower() if name == "MetadataId" else value
        for row in self.rows:
            if row[name] == wanted:
                return row
        raise RefusalError(404, f"Could not find an entity with specified entity key '{value}'.", BAD_QUERY)

    def _bad_key(self) -> RefusalError:
        message = f"The key in the request URI is not valid for resource '{_namespace}.{self.type}'."
        return RefusalError(400, message, BAD_QUERY)


class Definitions:
    """Answers what is asked at EntityDefinitions and below."""

    def __init__(self, description: SystemDescription) -> None:
        self._sets = description.by_logical_name

    def read(self, call: Call, segments: list[Segment]) -> Row:
        """The definitions at an address, or the one that its key names."""
        if call.method != "GET":
            raise RefusalError(405, "The requested resource does not support this http method.", BAD_QUERY)
        (_, key), *below = segments
        context = f"{call.root}$metadata#EntityDefinitions"
        entities = self._entities()
        if not below:
            return _answer(call, context, entities, key)
        if key is None:
            raise _no_resource(below[0][0])
        entity_set = self._sets[entities.one(key)["LogicalName"]]
        (name, part), *cast = below
        if len(cast) > 1 or (cast and cast[0][1] is not None):
            raise _no_resource(cast[-1][0])
        if name in KINDS and not cast:
            parts = _listing(f"{KINDS[name]}Metadata", list(relationships_of(self._sets, entity_set, name)))
        else:
            parts = _parts(entity_set, name, *(kind for kind, _ in cast))
        return _answer(call, f"{context}('{entity_set.logical_name}')/{name}", parts, part)

    def relationships(self, call: Call, segments: list[Segment]) -> Row:
        """The relationships of all sets, or the one that a key names."""
        if call.method != "GET":
            raise RefusalError(405, "The requested resource does not support this http method.", BAD_QUERY)
        (_, key), *below = segments
        kind = below[0][0].removeprefix(f"{_namespace}.").removesuffix("Metadata") if len(below) == 1 else ""
        if below and kind not in KINDS.values():
            raise _no_resource(below[0][0])
        rows = [row for row in relationships(self._sets) if not kind or row["RelationshipType"] == kind]
        listing = _listing(f"{kind}Metadata" if kind else "RelationshipMetadataBase", rows)
        return _answer(call, f"{call.root}$metadata#RelationshipDefinitions", listing, key)

    def _entities(self) -> _Listing:
        def below(name: str) -> Callable[[Row], _Listing]:
            return lambda row: _parts(self._sets[row["LogicalName"]], name)

        rows = [_entity(entity_set) for entity_set in self._sets.values()]
        return _listing("EntityMetadata", rows, below={name: below(name) for name in ("Attributes", "Keys")})


def _answer(call: Call, context: str, listing: _Listing, key: str | None) -> Row:
    options = ["$select"] if key is not None else ["$select", "$filter"]
    refuse_unknown_options(call.query, [*options, "$expand"] if listing.below else options)
    expanded = _expanded(listing, call.query.get("$expand", ""))
    if key is not None:
        return {"@odata.context": f"{context}/$entity", **_shown(listing, listing.one(key), call.query, expanded)}
    rows = listing.matching(call.query)
    return {"@odata.context": context, "value": [_shown(listing, row, call.query, expanded) for row in rows]}


def _shown(listing: _Listing, row: Row, query: Query, expanded: Mapping[str, Query]) -> Row:
    shown = dict(listing.selected(query, row))
    for name, inner in expanded.items():
        parts = listing.below[name](row)
        found = [parts.selected(inner, part) for part in parts.matching(inner)]
        shown[name] = found[0] if name == "OptionSet" else found
    return shown


def _unknown_property(type_: str, name: str) -> RefusalError:
    return RefusalError(400, f"Could not find a property named '{name}' on type '{_namespace}.{type_}'.", BAD_QUERY)


def _no_resource(name: str) -> RefusalError:
    return RefusalError(404, f"Resource not found for the segment '{name}'.", "0x8006088a")


def _listing(
    type_: str,
    rows: list[Row],
    hidden: Collection[str] = (),
    below: Mapping[str, Callable[[Row], _Listing]] | None = None,
) -> _Listing:
    return _Listing(type_, rows, frozenset(name for row in rows[:1] for name in row if name not in hidden), below or {})


def _parts(entity_set: SimulatedSet, name: str, cast: str = "") -> _Listing:
    """The attributes of a set, or those of one derived type, or its alternate keys."""
    if name == "Keys" and not cast:
        return _listing("EntityKeyMetadata", list(_alternate_keys(entity_set)))
    kind = cast.removeprefix(f"{_namespace}.").removesuffix("AttributeMetadata")
    if name != "Attributes" or kind not in _kinds:
        raise _no_resource(cast or name)
    every = [_attribute(entity_set, attribute, spec) for attribute, spec in entity_set.fields.items()]
    if not kind:
        return _listing("AttributeMetadata", every, hidden=_of_derived_types)
    rows = [row for row in every if row["AttributeType"] == kind]
    below = {"OptionSet": lambda row: _option_set(entity_set, row["LogicalName"])} if kind in _choices else {}
    return _listing(f"{kind}AttributeMetadata", rows, below=below)


def _entity(entity_set: SimulatedSet) -> Row:
    return {
        "LogicalName": entity_set.logical_name,
        "SchemaName": entity_set.schema_name or entity_set.logical_name,
        "EntitySetName": entity_set.name,
        "LogicalCollectionName": entity_set.name,
        "PrimaryIdAttribute": entity_set.key[0],
        "PrimaryNameAttribute": entity_set.primary_name,
        "PrimaryImageAttribute": None,
        "ChangeTrackingEnabled": entity_set.change_tracking,
        "DisplayName": _label(),
        "DisplayCollectionName": _label(),
        "Description": _label(),
        "OwnershipType": "UserOwned",
        "HasActivities": False,
        "HasNotes": False,
        "IsActivity": False,
        "IsPrivate": False,
        "MetadataId": _identity(entity_set.logical_name),
    }


def _attribute(entity_set: SimulatedSet, name: str, spec: FieldSpec) -> Row:
    state = entity_set.state_fields or ("", "")
    usual = "Customer" if len(spec.to) > 1 else _types[spec.type]
    kind = {state[0]: "State", state[1]: "Status"}.get(name, usual)
    return {
        "@odata.type": f"#{_namespace}.{kind}AttributeMetadata",
        "LogicalName": name,
        "SchemaName": entity_set.schema_name_of.get(name, name),
        "EntityLogicalName": entity_set.logical_name,
        "DisplayName": _label(),
        "AttributeType": kind,
        **_of_kind(kind, spec),
        "IsPrimaryId": name == entity_set.key[0],
        "IsPrimaryName": name == entity_set.primary_name,
        "IsValidForCreate": spec.may_be_sent("create"),
        "IsValidForUpdate": spec.may_be_sent("update") and name != entity_set.key[0],
        "IsValidForRead": True,
        "AttributeOf": None,
        "RequiredLevel": {"Value": _levels.get(str(spec.required), "None")},
        "MetadataId": _identity(entity_set.logical_name, "Attributes", name),
    }


def _of_kind(kind: str, spec: FieldSpec) -> Row:
    """The properties that attributes of one derived type have besides."""
    if kind in ("String", "Memo"):
        return {"MaxLength": spec.length}
    if kind == "DateTime":
        behavior = "DateOnly" if spec.type == "date" else "UserLocal"
        shown = "DateOnly" if spec.day or spec.type == "date" else "DateAndTime"
        return {"DateTimeBehavior": {"Value": behavior}, "Format": shown}
    if kind in ("Integer", "Decimal", "Money"):
        places = {} if kind == "Integer" else {"Precision": 2 if spec.scale is None else spec.scale}
        source = {"PrecisionSource": _precision_sources[spec.precision]} if kind == "Money" else {}
        return {"MinValue": spec.minimum, "MaxValue": spec.maximum, **places, **source}
    return {}


def _alternate_keys(entity_set: SimulatedSet) -> Iterator[Row]:
    attribute_of = {wire_name(name, spec): name for name, spec in entity_set.fields.items()}
    for name, parts in entity_set.alternate_keys.items():
        yield {
            "LogicalName": name,
            "SchemaName": name,
            "EntityLogicalName": entity_set.logical_name,
            "KeyAttributes": [attribute_of[part] for part in parts],
            "EntityKeyIndexStatus": "Active",
            "MetadataId": _identity(entity_set.logical_name, "Keys", name),
        }


def _option_set(entity_set: SimulatedSet, name: str) -> _Listing:
    choices = entity_set.fields[name].choices
    row = {
        "Name": f"{entity_set.logical_name}_{name}",
        "IsGlobal": False,
        "Options": [{"Value": value, "Label": _label(text)} for value, text in choices.items()],
        "MetadataId": _identity(entity_set.logical_name, "Attributes", name, "OptionSet"),
    }
    return _listing("OptionSetMetadata", [row])


def _label(text: str = "") -> Row:
    """A text for people, in English; the sandbox has none for tables and columns."""
    labels = [{"Label": text, "LanguageCode": 1033}] if text else []
    return {"LocalizedLabels": labels, "UserLocalizedLabel": labels[0] if labels else None}


def _identity(*names: str) -> str:
    """The same for the same logical names, in every sandbox."""
    return str(uuid5(NAMESPACE_URL, "/".join(names)))


_expansion = re.compile(r"\s*(?P<name>\w+)(?:\((?P<options>(?:[^()]|\([^()]*\))*)\))?\s*(?:,|$)")


def _expanded(listing: _Listing, text: str) -> dict[str, Query]:
    """What an $expand asks for, each with a query of its own in brackets."""
    found: dict[str, Query] = {}
    position = 0
    while position < len(text):
        match = _expansion.match(text, position)
        if match is None:
            raise RefusalError(400, f"Syntax error in the query option $expand: '{text}'.", BAD_QUERY)
        if match["name"] not in listing.below:
            raise _unknown_property(listing.type, match["name"])
        options = [option.partition("=") for option in (match["options"] or "").split(";") if option]
        found[match["name"]] = {name.strip(): value for name, _, value in options}
        refuse_unknown_options(found[match["name"]], ("$select", "$filter"))
        position = match.end()
    return found
