"""What the sales system says about itself: $metadata, EntityDefinitions and their attributes."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from replicator.sandbox.dataverse_input import BAD_QUERY
from replicator.sandbox.description import Description, EntitySet, FieldSpec, wire_name
from replicator.sandbox.expression import BadQueryError, Token, tokens
from replicator.sandbox.http import Call, RefusalError
from replicator.sandbox.values import edm

_namespace = "Microsoft.Dynamics.CRM"
_types = {
    "text": "String",
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


def entity_definitions(description: Description, call: Call, one: EntitySet | None = None) -> dict[str, Any]:
    """The definitions a query asks for, or one."""
    if one is not None:
        context = f"{call.root}$metadata#EntityDefinitions/$entity"
        return {"@odata.context": context, **_selected(call, _definition(one))}
    found = [_definition(entity_set) for entity_set in description.entity_sets.values()]
    kept = [definition for definition in found if _fulfils(call, definition)]
    return {
        "@odata.context": f"{call.root}$metadata#EntityDefinitions",
        "value": [_selected(call, definition) for definition in kept],
    }


def attributes(entity_set: EntitySet, call: Call, one: str | None = None, derived: str = "") -> dict[str, Any]:
    """The attributes of one set, or one of them; of one derived type only, its own properties may be selected."""
    context = f"{call.root}$metadata#EntityDefinitions('{entity_set.logical_name}')/Attributes"
    if one is not None:
        if one not in entity_set.fields:
            raise RefusalError(404, f"Could not find an attribute with specified name '{one}'.", "0x80060888")
        found = _attribute(entity_set, one, entity_set.fields[one])
        return {"@odata.context": f"{context}/$entity", **_selected(call, found)}
    kind = derived.removeprefix(f"{_namespace}.").removesuffix("AttributeMetadata")
    if derived and kind not in {*_types.values(), "Memo"}:
        raise RefusalError(404, f"Resource not found for the segment '{derived}'.", "0x8006088a")
    if not derived and "MaxLength" in call.query.get("$select", ""):
        message = f"Could not find a property named 'MaxLength' on type '{_namespace}.AttributeMetadata'."
        raise RefusalError(400, message, BAD_QUERY)
    every = [_attribute(entity_set, name, spec) for name, spec in entity_set.fields.items()]
    return _listed(call, context, [row for row in every if not derived or row["AttributeType"] == kind])


def alternate_keys(entity_set: EntitySet, call: Call) -> dict[str, Any]:
    """The alternate keys of one set."""
    context = f"{call.root}$metadata#EntityDefinitions('{entity_set.logical_name}')/Keys"
    attribute_of = {wire_name(name, spec): name for name, spec in entity_set.fields.items()}
    found: list[dict[str, Any]] = [
        {
            "LogicalName": name, "SchemaName": name, "EntityLogicalName": entity_set.logical_name,
            "KeyAttributes": [attribute_of[part] for part in parts], "EntityKeyIndexStatus": "Active",
            "MetadataId": None,
        }
        for name, parts in entity_set.alternate_keys.items()
    ]  # fmt: skip
    return _listed(call, context, found)


def _listed(call: Call, context: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    return {"@odata.context": context, "value": [_selected(call, each) for each in found if _fulfils(call, each)]}


def _definition(entity_set: EntitySet) -> dict[str, Any]:
    return {
        "LogicalName": entity_set.logical_name,
        "SchemaName": entity_set.logical_name.capitalize(),
        "EntitySetName": entity_set.name,
        "LogicalCollectionName": entity_set.name,
        "PrimaryIdAttribute": entity_set.key[0],
        "PrimaryNameAttribute": entity_set.primary_name,
        "ChangeTrackingEnabled": entity_set.change_tracking,
        "IsActivity": False,
        "MetadataId": None,
    }


def _attribute(entity_set: EntitySet, name: str, spec: FieldSpec) -> dict[str, Any]:
    state = entity_set.state_fields or ("", "")
    usual = "Memo" if spec.type == "text" and spec.length is None else _types[spec.type]
    kind = {state[0]: "State", state[1]: "Status"}.get(name, usual)
    return {
        "LogicalName": name,
        "SchemaName": name,
        "EntityLogicalName": entity_set.logical_name,
        "AttributeType": kind,
        "MaxLength": spec.length,
        "IsPrimaryId": name == entity_set.key[0],
        "IsPrimaryName": name == entity_set.primary_name,
        "IsValidForCreate": not spec.read_only,
        "IsValidForUpdate": not spec.read_only and name != entity_set.key[0],
        "IsValidForRead": True,
        "AttributeOf": None,
        "RequiredLevel": {"Value": "ApplicationRequired" if spec.required else "None"},
    }


def _fulfils(call: Call, row: dict[str, Any]) -> bool:
    """A $filter of equal comparisons joined by ``and``, which is what clients ask here."""
    text = call.query.get("$filter")
    if not text:
        return True
    try:
        words = tokens(text)
    except BadQueryError as error:
        raise RefusalError(400, str(error), BAD_QUERY) from None
    for start in range(0, len(words), 4):
        part = words[start : start + 4]
        joined = len(part) == 3 or (len(part) == 4 and part[3] == Token("word", "and"))
        if not joined or part[1].text not in ("eq", "ne") or part[0].text not in row:
            raise RefusalError(400, f"Could not understand the filter '{text}' on definitions.", BAD_QUERY)
        if (_literal(part[2]) == row[part[0].text]) != (part[1].text == "eq"):
            return False
    return True


def _literal(token: Token) -> object:
    if token.kind == "word":
        return {"true": True, "false": False, "null": None}.get(token.text, token.text)
    return token.text


def _selected(call: Call, row: dict[str, Any]) -> dict[str, Any]:
    text = call.query.get("$select")
    if not text:
        return row
    names = [name.strip() for name in text.split(",")]
    return {name: row.get(name) for name in dict.fromkeys([*names, *(["MetadataId"] if "MetadataId" in row else [])])}


def metadata(description: Description) -> str:
    """A CSDL document with types, keys, properties and sets."""
    types = "".join(_entity_type(description, entity_set) for entity_set in description.entity_sets.values())
    sets = "".join(
        f"<EntitySet Name={quoteattr(name)} EntityType={quoteattr(_qualified(description, entity_set))}/>"
        for name, entity_set in description.entity_sets.items()
    )
    enums = "".join(
        f"<EnumType Name={quoteattr(name)}>"
        + "".join(f'<Member Name={quoteattr(symbol)} Value="{number}"/>' for number, symbol in enumerate(symbols))
        + "</EnumType>"
        for name, symbols in description.enumerations.items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        f'<Schema Namespace={quoteattr(description.namespace)} xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'{enums}{types}<EntityContainer Name="System">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )


def _is_left_to_callers(spec: FieldSpec) -> bool:
    """Required, and the system has no value of its own for it."""
    return spec.required and spec.default is None and not spec.default_from and spec.auto is None


def type_name(entity_set: EntitySet) -> str:
    """The name of the set's type in metadata."""
    return entity_set.type_name or entity_set.logical_name


def _qualified(description: Description, entity_set: EntitySet) -> str:
    return f"{description.namespace}.{type_name(entity_set)}"


def _entity_type(description: Description, entity_set: EntitySet) -> str:
    keys = "".join(f"<PropertyRef Name={quoteattr(part)}/>" for part in entity_set.key)
    properties = "".join(
        f"<Property Name={quoteattr(name)} Type={quoteattr(_property_type(description, spec))}"
        + (' Nullable="false"/>' if name in entity_set.key or _is_left_to_callers(spec) else "/>")
        for name, spec in entity_set.wire.items()
    )
    links = "".join(
        f"<NavigationProperty Name={quoteattr(name)} "
        f"Type={quoteattr(_qualified(description, description.entity_sets[target]))}/>"
        for name, (_, target) in entity_set.navigation.items()
    )
    name = quoteattr(type_name(entity_set))
    return f"<EntityType Name={name}><Key>{keys}</Key>{properties}{links}</EntityType>"


def _property_type(description: Description, spec: FieldSpec) -> str:
    return f"{description.namespace}.{spec.enum}" if spec.enum else edm(spec)
