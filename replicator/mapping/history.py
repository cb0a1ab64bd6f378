"""What makes a record history: another generation of it, or of its root, counts instead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from replicator.mapping.field_values import join_text
from replicator.mapping.generations import Lineage
from replicator.mapping.join_paths import Paths, Step
from replicator.mapping.schema import EntitySet, Map, Schema, column_name
from replicator.mapping.tables import Tables


@dataclass(frozen=True)
class HistoryOfRecords:
    """Of an inbound map's records; for others, and where nothing has generations, nobody is history."""

    lineages: tuple[Lineage, ...]
    holds: sa.ColumnElement[bool]
    """The record is history."""
    passed: sa.ColumnElement[bool]
    """... and the one that counts is paired already: what this one is paired with still has nobody to pass to."""
    words: sa.ColumnElement[str]
    """What counts instead; null for a part."""


def history_of(schema: Schema, tables: Tables, paths: Paths, mapping: Map) -> HistoryOfRecords:
    """Read over the paths of the map, so that whatever makes a record history marks it."""
    lineages: list[Lineage] = []
    holds: list[sa.ColumnElement[bool]] = []
    passed: list[sa.ColumnElement[bool]] = []
    words: sa.ColumnElement[str] = sa.cast(sa.null(), sa.Text)
    for lineage, step, link in _generations(schema, tables, paths, mapping):
        counting = paths.counting(step, lineage.entity_set)
        assert counting is not None
        paired = paths.linked(counting, link)
        lineages.append(lineage)
        holds.append(counting["id"].is_not(None))
        passed.append(paired.clause.c.common_id.is_not(None))
        if not lineage.columns:
            words = _words(paths, lineage.entity_set, counting)
    return HistoryOfRecords(tuple(lineages), sa.or_(sa.false(), *holds), sa.or_(sa.false(), *passed), words)


def _generations(
    schema: Schema, tables: Tables, paths: Paths, mapping: Map
) -> Iterator[tuple[Lineage, Step, sa.Table]]:
    """The generations that the records belong to, the step to the row, and the crosswalk of its entity set."""
    if mapping.direction == "out":
        return
    if mapping.entity_set.spec.generations:
        yield Lineage(mapping.entity_set, tables.mirror(mapping.entity_set)), paths.row, tables.link_of(mapping)
    for part in schema.part_sets:
        whole = schema.parent_field(mapping.entity)
        link = tables.link(part.whole, whole[1].reference or "") if whole else None
        if part.mapping == mapping and part.whole.spec.generations and link is not None:
            lineage = Lineage(part.whole, tables.mirror(part.whole), part.pointed.columns)
            yield lineage, paths.whole(paths.row, part.pointed), link


def _words(paths: Paths, entity_set: EntitySet, counting: Step) -> sa.ColumnElement[str]:
    parts: list[list[object]] = [[], []]
    for name, _ in entity_set.spec.order_of_generations:
        for words, step in zip(parts, (counting, paths.row), strict=True):
            words += [f" {name} " if not words else f", {name} ", step[column_name(name)]]
    label = paths.label(counting.clause, entity_set)
    return join_text("history: ", label, " with", *parts[0], " counts, not this one with", *parts[1])
