"""What maps write, against what a system says it takes: symbols of its enumerations, and no value at all."""

from __future__ import annotations

from collections.abc import Iterator

from replicator.connectors.protocol import Description, Property
from replicator.mapping.compiled import Compiled
from replicator.mapping.language import FieldMap, Scalar, SystemField
from replicator.mapping.schema import EntitySet, Map

Problem = tuple[str, str]
"""What, and what to do next."""


def problems(compiled: Compiled, entity_set: EntitySet, description: Description) -> Iterator[Problem]:
    """What the system would refuse of the values that the maps to one of its sets write."""
    for name, field in entity_set.spec.fields.items():
        held = description.fields.get(name)
        if held is not None and held.enum and field.type == "text":
            yield from _enumeration(entity_set, name, field, held)
    for mapping in compiled.schema.maps:
        if mapping.direction == "out" and mapping.entity_set is entity_set:
            yield from _of_map(mapping, description)


def _enumeration(entity_set: EntitySet, name: str, field: SystemField, held: Property) -> Iterator[Problem]:
    """Addresses carry the name of the enumeration, so a part of the key needs it."""
    if field.enum not in (None, held.enum):
        yield f"'{name}' is a symbol of {held.enum}, and schema/ says {field.enum}", f"say 'enum: {held.enum}'"
    elif field.enum is None and name in entity_set.spec.key:
        yield f"'{name}' is a symbol of {held.enum}, which addresses name", f"say 'enum: {held.enum}'"


def _of_map(mapping: Map, description: Description) -> Iterator[Problem]:
    entity_set = mapping.entity_set
    for name, value in dict.fromkeys(_written(mapping)):
        held = description.fields.get(name)
        if held is not None and held.symbols and entity_set.spec.fields[name].type == "text":
            yield from _unknown(mapping, name, held, value)
    for name, spec in mapping.spec.fields.items():
        held = description.fields.get(name)
        if held is not None and not held.nullable and _may_write_null(entity_set, name, spec):
            yield f"'{name}' is never null, and {mapping.name} may write none", "say what is 'empty'"


def _written(mapping: Map) -> Iterator[tuple[str, Scalar]]:
    """The values that are known beforehand, by field: of creates, updates and deletions."""
    for name, spec in mapping.spec.fields.items():
        known = (spec.constant, *spec.values, spec.default if isinstance(spec.default, str) else None)
        yield from ((name, value) for value in known if value is not None)
    if not isinstance(mapping.spec.on_delete, str):
        yield from mapping.spec.on_delete.set.items()


def _unknown(mapping: Map, name: str, held: Property, value: Scalar) -> Iterator[Problem]:
    if value not in held.symbols:
        symbols = ", ".join(held.symbols)
        yield f"{mapping.name} writes '{value}' into '{name}', and {held.enum} has {symbols}", "write one of them"


def _may_write_null(entity_set: EntitySet, name: str, spec: FieldMap) -> bool:
    """A number without a value; the connector knows what stands for no date and no text."""
    field = entity_set.spec.fields[name]
    if spec.write == "never" or name in entity_set.spec.key or field.type not in ("integer", "decimal"):
        return False
    return field.empty is None and spec.constant is None and spec.default is None
