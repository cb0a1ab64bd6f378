"""$metadata of both systems: a CSDL document."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from replicator.sandbox.description import FieldSpec, SimulatedSet, SystemDescription
from replicator.sandbox.stored_values import edm


def metadata(description: SystemDescription) -> str:
    """A CSDL document with types, keys, properties and sets."""
    types = "".join(_entity_type(description, entity_set) for entity_set in description.entity_sets.values())
    sets = "".join(
        f"<EntitySet Name={quoteattr(name)} EntityType={quoteattr(_qualified(description, entity_set))}/>"
        for name, entity_set in description.entity_sets.items()
    )
    enums = "".join(
        f"<EnumType Name={quoteattr(name)}>"
        + "".join(f'<Member Name={quoteattr(symbol)} Value="{number}"/>' for symbol, number in symbols.items())
        + "</EnumType>"
        for name, symbols in description.symbols.items()
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
    return bool(spec.required) and spec.default is None and not spec.default_from and spec.auto is None


def _is_never_null(description: SystemDescription, entity_set: SimulatedSet, name: str, spec: FieldSpec) -> bool:
    """In one system numbers and dates are never null, nor are key parts but symbols; in the other the key is not."""
    if description.system == "ops":
        return spec.type in ("integer", "decimal", "datetime") or (name in entity_set.key and not spec.enum)
    return name in entity_set.key


def _annotations(description: SystemDescription, entity_set: SimulatedSet, name: str, spec: FieldSpec) -> str:
    """What one of the systems says of a property in terms of its own: there is no length among them."""
    if description.system != "ops":
        return ""
    rights = {"IsRequired": "true"} if _is_left_to_callers(spec) else {}
    if name in entity_set.key:
        rights["AllowEdit"] = "false"
    return "".join(
        f'<Annotation Term="Microsoft.Dynamics.OData.Core.V1.{term}" Bool="{value}"/>' for term, value in rights.items()
    )


def type_name(entity_set: SimulatedSet) -> str:
    """The name of the set's type in metadata."""
    return entity_set.type_name or entity_set.logical_name


def _qualified(description: SystemDescription, entity_set: SimulatedSet) -> str:
    return f"{description.namespace}.{type_name(entity_set)}"


def _entity_type(description: SystemDescription, entity_set: SimulatedSet) -> str:
    keys = "".join(f"<PropertyRef Name={quoteattr(part)}/>" for part in entity_set.key)
    properties = "".join(
        f"<Property Name={quoteattr(name)} Type={quoteattr(property_type(description, spec))}"
        + (' Nullable="false">' if _is_never_null(description, entity_set, name, spec) else ">")
        + f"{_annotations(description, entity_set, name, spec)}</Property>"
        for name, spec in entity_set.wire.items()
    )
    links = "".join(
        f"<NavigationProperty Name={quoteattr(name)} "
        f"Type={quoteattr(_qualified(description, description.entity_sets[target]))}/>"
        for name, (_, target) in entity_set.navigation.items()
    )
    name = quoteattr(type_name(entity_set))
    return f"<EntityType Name={name}><Key>{keys}</Key>{properties}{links}</EntityType>"


def property_type(description: SystemDescription, spec: FieldSpec) -> str:
    """The type of a property in metadata."""
    return f"{description.namespace}.{spec.enum}" if spec.enum else edm(spec)
