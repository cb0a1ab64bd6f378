"""Checks that need the whole schema: that every name stands for something, before anything is compiled."""

from __future__ import annotations

from collections.abc import Iterator

from replicator.mapping.language import (
    CommonEntity,
    EntitySetSpec,
    MapSpec,
    ReferenceSpec,
    Scalar,
    SystemField,
    ValueMapSpec,
)
from replicator.mapping.literals import as_text, folded, misfit, types
from replicator.mapping.masters import masters
from replicator.mapping.schema import EntitySet, Schema, column_name
from replicator.mapping.suggestions import hint


def check(schema: Schema) -> Iterator[str]:
    """Every problem found, as one line that names file, line and field."""
    for entity in schema.entities.values():
        yield from _entity(schema, entity)
    for entity_set in schema.entity_sets.values():
        yield from _entity_set(schema, entity_set)
    for entity in schema.entities.values():
        yield from masters(schema, entity)
    for value_map in schema.value_maps.values():
        yield from _value_map(schema, value_map)


def _value_map(schema: Schema, spec: ValueMapSpec) -> Iterator[str]:
    """Spellings that are one where case does not count have to mean one thing."""
    document, first = schema.documents[f"values.{spec.value_map}"], dict[str, Scalar]()
    for key, value in spec.values.items() if spec.ignore_case else ():
        other = first.setdefault(folded(as_text(key)), key)
        if spec.values[other] != value:
            words = f"'{key}' is '{other}' in another case, and gives another value: {value}, not {spec.values[other]}"
            yield document.complaint(words, ("values", str(key)))


def _entity(schema: Schema, entity: CommonEntity) -> Iterator[str]:
    document = schema.documents[f"common.{entity.entity}"]
    for name in (*entity.key, *([entity.part_of] if entity.part_of else []), *([entity.label] if entity.label else [])):
        if name not in entity.fields:
            yield document.complaint(f"'{name}' is not among the fields{hint(name, entity.fields)}", ("key",))
    for name, field in entity.fields.items():
        if field.reference and field.reference not in schema.entities:
            unknown = f"there is no entity '{field.reference}'{hint(field.reference, schema.entities)}"
            yield document.complaint(unknown, ("fields", name, "reference"))
        if field.default is not None and (words := misfit(field.default, name, field, types[field.type])):
            yield document.complaint(words, ("fields", name, "default"))
        if name != name.lower():
            yield document.complaint("names of common fields are lower case", ("fields", name))
    if entity.part_of in entity.fields and not entity.fields[entity.part_of].required:
        yield document.complaint("a part needs its whole: make the field required", ("fields", entity.part_of or ""))


def _entity_set(schema: Schema, entity_set: EntitySet) -> Iterator[str]:
    spec, document = entity_set.spec, entity_set.document
    for where, names in (("key", spec.key), ("business_key", spec.business_key)):
        for name in names:
            if name not in spec.fields:
                yield document.complaint(f"'{name}' is not among the fields{hint(name, spec.fields)}", (where,))
    for place, (name, _) in enumerate(spec.order_of_generations):
        if name not in spec.fields:
            yield document.complaint(
                f"'{name}' is not among the fields{hint(name, spec.fields)}", ("generations", place)
            )
    yield from _fields(schema, entity_set)
    for index, mapping in enumerate(spec.maps):
        yield from _map(schema, entity_set, index, mapping)


def _fields(schema: Schema, entity_set: EntitySet) -> Iterator[str]:
    spec, document = entity_set.spec, entity_set.document
    columns: dict[str, str] = {}
    known = [other.name for other in schema.sets_of(entity_set.system)]
    for name, field in spec.fields.items():
        twin = columns.setdefault(column_name(name), name)
        if twin != name:
            yield document.complaint(f"reads as the same column as '{twin}'", ("fields", name))
        if field.empty is not None and (words := misfit(field.empty, name, field, types[field.holds])):
            yield document.complaint(words, ("fields", name, "empty"))
        yield from _keys_pointed_at(schema, entity_set, name, field)
        for target in field.targets:
            if target not in known:
                yield document.complaint(_no_set(entity_set, target, known), ("fields", name))
    for name, reference in spec.references.items():
        if column_name(name) in columns:
            words = f"'{columns[column_name(name)]}' is a field, too: give the reference another name"
            yield document.complaint(words, ("references", name))
        if reference.to not in known:
            yield document.complaint(_no_set(entity_set, reference.to, known), ("references", name, "to"))
        else:
            yield from _joined(entity_set, name, reference, schema.entity_sets[entity_set.system, reference.to].spec)


def _no_set(entity_set: EntitySet, target: str, known: list[str]) -> str:
    return f"{entity_set.system} has no entity set '{target}'{hint(target, known)}"


def _joined(entity_set: EntitySet, name: str, reference: ReferenceSpec, other: EntitySetSpec) -> Iterator[str]:
    """The fields of a reference by plain fields: they are there, of the same types, and make up a key of the other."""
    document, fields, at = entity_set.document, entity_set.spec.fields, ("references", name, "by")
    for own, repeated in reference.by.items():
        if own not in fields:
            yield document.complaint(f"'{own}' is not among the fields{hint(own, fields)}", (*at, own))
        elif repeated not in other.fields:
            words = f"{other.entity_set} has no field '{repeated}'{hint(repeated, other.fields)}"
            yield document.complaint(words, (*at, own))
        elif fields[own].holds != other.fields[repeated].holds:
            words = f"{repeated} of {other.entity_set} is {other.fields[repeated].holds}, not {fields[own].holds}"
            yield document.complaint(words, (*at, own))
    keys = [key for key in (other.key, other.business_key) if key]
    if not any(sorted(reference.by.values()) == sorted(key) for key in keys):
        words = " or ".join(", ".join(key) for key in dict.fromkeys(keys))
        yield document.complaint(f"what points at {other.entity_set} holds all of its key: {words}", at)


def _keys_pointed_at(schema: Schema, entity_set: EntitySet, name: str, field: SystemField) -> Iterator[str]:
    """A reference holds one value, so that what it points at needs a key of one field, and of one type."""
    at = ("fields", name, "to")
    for target in field.targets:
        other = schema.entity_sets.get((entity_set.system, target))
        if other is None:
            continue
        if len(other.spec.key) > 1:
            words = f"the key of {target} is {', '.join(other.spec.key)}: plain fields point at it, by 'references'"
            yield entity_set.document.complaint(words, at)
        elif (key := other.spec.fields.get(other.spec.key[0])) is not None and key.type != field.holds:
            yield entity_set.document.complaint(f"the key of {target} is {key.type}, not {field.holds}", at)


def _map(schema: Schema, entity_set: EntitySet, index: int, mapping: MapSpec) -> Iterator[str]:
    name = mapping.to or mapping.from_ or ""
    at = ("maps", index, "to" if mapping.to else "from")
    if name not in schema.entities:
        yield entity_set.document.complaint(f"there is no entity '{name}'{hint(name, schema.entities)}", at)
    twins = [other for other in entity_set.spec.maps[:index] if (other.to, other.from_) == (mapping.to, mapping.from_)]
    if twins:
        yield entity_set.document.complaint(f"a second map for '{name}' in the same direction", at)
    if mapping.on_key_change == "recreate" and _parts(schema, name):
        words = f"{name} has parts, which could not come anew with it: {', '.join(_parts(schema, name))}"
        yield entity_set.document.complaint(words, ("maps", index, "on_key_change"))


def _parts(schema: Schema, whole: str) -> list[str]:
    return [
        entity.entity
        for entity in schema.entities.values()
        if entity.part_of in entity.fields and entity.fields[entity.part_of].reference == whole
    ]
