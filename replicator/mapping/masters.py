"""Masters: each common field is written by the maps of one system, or by those of all systems that may change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from replicator.mapping.language import CommonEntity, MapSpec
from replicator.mapping.schema import EntitySet, Schema


@dataclass(frozen=True)
class _Writer:
    """An inbound map that keeps writing a common field, and its place in its file."""

    entity_set: EntitySet
    index: int

    def problem(self, field: str, message: str) -> str:
        document = self.entity_set.document
        return document.complaint(message, ("maps", self.index, "fields", field))


def masters(schema: Schema, entity: CommonEntity) -> Iterator[str]:
    """What is wrong with who writes each field of an entity, one line for each problem."""
    for name, field in entity.fields.items():
        writers = list(_writers(schema, entity, name))
        if field.either is None:
            yield from _one_master(name, writers)
        else:
            yield from _either(schema, entity, name, writers)


def _writers(schema: Schema, entity: CommonEntity, field: str) -> Iterator[_Writer]:
    """The maps that write the field again and again; those of one system are taken to be about different records."""
    for entity_set in schema.entity_sets.values():
        for index, mapping in enumerate(entity_set.spec.maps):
            if mapping.to == entity.entity and field in mapping.fields and mapping.fields[field].write == "always":
                yield _Writer(entity_set, index)


def _one_master(field: str, writers: list[_Writer]) -> Iterator[str]:
    for writer in writers[1:]:
        if writer.entity_set.system != writers[0].entity_set.system:
            yield writer.problem(
                field,
                f"{writers[0].entity_set} writes '{field}', too: make it 'either' in the common model, or write it "
                "'on create' in one of the two",
            )


def _either(schema: Schema, entity: CommonEntity, field: str, writers: list[_Writer]) -> Iterator[str]:
    document, at = schema.documents[f"common.{entity.entity}"], ("fields", field, "either")
    systems = sorted({writer.entity_set.system for writer in writers})
    winner = entity.fields[field].either
    if field in entity.key:
        yield document.complaint("a field of the key has one master", at)
    elif len(systems) < 2:
        yield document.complaint("needs maps of two systems that write the field 'always'", at)
    elif winner != "ask" and winner not in systems:
        yield document.complaint(f"'{winner}' is neither 'ask' nor one of {', '.join(systems)}", at)
    for writer in writers:
        if not any(_sends(mapping, entity, field) for mapping in writer.entity_set.spec.maps):
            yield writer.problem(
                field, f"either side may change '{field}', so {writer.entity_set} needs a map from {entity.entity} too"
            )


def _sends(mapping: MapSpec, entity: CommonEntity, field: str) -> bool:
    sent = (spec for spec in mapping.fields.values() if spec.write == "always")
    return mapping.from_ == entity.entity and any(field in spec.reads for spec in sent)
