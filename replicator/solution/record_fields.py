"""What the fields of each captured table are called, and which of a system's belong to which of common: ``sync.field``.

So that a record can be shown side by side from the hub alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from replicator.mapping.compiled import Compiled
from replicator.mapping.language import CommonEntity, FieldMap
from replicator.mapping.schema import EntitySet, Map, column_name
from replicator.mapping.tables import common_column

_COLUMNS = {
    "relation": sa.Text, "number": sa.Integer, "name": sa.Text, "column_name": sa.Text, "key_part": sa.Integer,
    "reference": sa.Text, "master": sa.Text, "belongs_to": sa.Text,
}  # fmt: skip
_Row = tuple[str | int | None, ...]


def fields(compiled: Compiled) -> sa.Select[tuple[object, ...]]:
    """The fields of the entities, then those of the entity sets, each in the order of ``schema/``."""
    rows: list[_Row] = []
    for entity in compiled.schema.entities.values():
        rows += _common(compiled, entity)
    for entity_set in compiled.schema.entity_sets.values():
        rows += _mirror(compiled, entity_set)
    known = sa.values(*(sa.column(*each) for each in _COLUMNS.items()), name="known", literal_binds=True).data(rows)
    *plain, belongs_to = known.c
    return sa.select(*plain, sa.cast(belongs_to, JSONB).label("belongs_to"))


def _common(compiled: Compiled, entity: CommonEntity) -> Iterator[_Row]:
    named = [name for name in entity.key if name == entity.part_of or entity.fields[name].reference is None]
    for number, (name, spec) in enumerate(entity.fields.items()):
        part = named.index(name) if name in named else None
        column = common_column(entity, name)
        master = "either" if spec.either else _master(compiled, entity, name)
        yield f"common.{entity.entity}", number, name, column, part, spec.reference, master, None


def _master(compiled: Compiled, entity: CommonEntity, name: str) -> str:
    """The systems that may change a field of the common model; else the hub."""
    writers = {
        each.system
        for each in compiled.schema.maps
        if each.direction == "in" and each.entity == entity and name in each.spec.fields
        and each.spec.fields[name].write == "always"
    }  # fmt: skip
    return ", ".join(sorted(writers)) or "hub"


def _mirror(compiled: Compiled, entity_set: EntitySet) -> Iterator[_Row]:
    belongs: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for flow in compiled.maps:
        for common, own in _mapped(flow.mapping) if flow.mapping.entity_set == entity_set else ():
            belongs[own][flow.mapping.entity.entity] = common
    key = entity_set.spec.key
    for number, name in enumerate(entity_set.spec.fields):
        part = key.index(name) if name in key else None
        table = compiled.tables.mirror(entity_set).fullname
        yield table, number, name, column_name(name), part, None, None, json.dumps(belongs[name], sort_keys=True)


def _mapped(mapping: Map) -> Iterator[tuple[str, str]]:
    """Each field of the system that a map reads or writes, with the field of the common model it belongs to."""
    for target, spec in mapping.spec.fields.items():
        first = _first_source(spec)
        if first is not None:
            if mapping.direction == "out":
                yield first, target
            else:
                yield from ((target, own) for own in mapping.entity_set.spec.behind(first))


def _first_source(spec: FieldMap) -> str | None:
    """The source field that a value comes from; of several the first."""
    copied = spec.copy_[0] if isinstance(spec.copy_, tuple) else spec.copy_
    named = copied or spec.not_ or spec.value_map or spec.reference or next(iter(spec.match.values()), None)
    return named.partition(".")[0] if named else next(iter(sorted(spec.reads)), None)
