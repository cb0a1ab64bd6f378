"""Parts that a system holds and the hub has not: a root that goes out waits for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from replicator.mapping.field_values import join_text
from replicator.mapping.join_paths import Paths
from replicator.mapping.schema import PartSet, Schema, column_name
from replicator.mapping.tables import Tables

quarantine = sa.table(
    "quarantine",
    *(sa.column(name, sa.Text()) for name in ("system", "entity_set", "record", "reason", "root_key")),
    schema="sync",
)
"""Rows of snapshots that could not be taken in (``hub/sync_tables.py``)."""


def unfinished_parts(schema: Schema, tables: Tables, paths: Paths) -> Iterator[sa.ColumnElement[str]]:
    """What the root in ``paths`` waits for: parts that are not merged yet, and parts that could not be taken in."""
    for part in schema.part_sets:
        parent = schema.parent_field(part.mapping.entity)
        common = tables.common[parent[1].reference or ""] if parent else None
        linked = parent is not None and tables.link(part.whole, parent[1].reference or "") is not None
        if common is paths.row.table and linked and not part.mapping.spec.when:
            yield _unmerged(tables, paths, part)
            yield _quarantined(tables, paths, part)


def roots_of(tables: Tables, part: PartSet, entity: str, keys: Sequence[str]) -> sa.Select[Any]:
    """The common records of an entity whose images in the system bear one of these keys."""
    mirror, link = tables.mirror(part.whole), tables.links[part.whole.system, part.whole.name, entity]
    own = mirror.c[_key(part)]
    wanted = sa.cast(sa.literal(list(keys), sa.ARRAY(sa.Text)), sa.ARRAY(own.type))
    found = sa.select(link.c.common_id.label("record_id")).join_from(link, mirror, mirror.c.id == link.c.mirror_id)
    return found.where(link.c.ended_at.is_(None), own == sa.any_(wanted))


def _key(part: PartSet) -> str:
    return column_name(part.whole.spec.key[0])


def _of_whole(
    tables: Tables, paths: Paths, part: PartSet
) -> tuple[sa.FromClause, sa.FromClause, sa.ColumnElement[bool]]:
    """The images of the root in the system: its row, its row with the crosswalk, and that they are its own."""
    row = tables.mirror(part.whole).alias("w")
    link = tables.links[part.whole.system, part.whole.name, paths.row.table.name].alias("wl")
    own = sa.and_(link.c.common_id == paths.row.alias.c.id, link.c.ended_at.is_(None))
    return row, link.join(row, row.c.id == link.c.mirror_id), own


def _unmerged(tables: Tables, paths: Paths, part: PartSet) -> sa.ColumnElement[str]:
    row, joined, own = _of_whole(tables, paths, part)
    parts, link = tables.mirror(part.entity_set).alias("p"), tables.link_of(part.mapping).alias("pl")
    merged = sa.exists().where(link.c.mirror_id == parts.c.id, link.c.ended_at.is_(None))
    label = paths.label(parts, part.entity_set)
    return (
        sa.select(join_text(f"{part.mapping.entity.entity} ", label, " to be merged"))
        .select_from(joined.join(parts, parts.c[column_name(part.reference)] == row.c[_key(part)]))
        .where(own, sa.not_(merged))
        .limit(1).correlate(paths.row.alias).scalar_subquery()
    )  # fmt: skip


def _quarantined(tables: Tables, paths: Paths, part: PartSet) -> sa.ColumnElement[str]:
    row, joined, own = _of_whole(tables, paths, part)
    held = quarantine.alias("a")
    same_set = sa.and_(held.c.system == part.entity_set.system, held.c.entity_set == part.entity_set.name)
    words = join_text(f"{part.mapping.entity.entity} ", held.c.record, " that could not be taken in: ", held.c.reason)
    return (
        sa.select(words)
        .select_from(joined.join(held, sa.and_(same_set, held.c.root_key == sa.cast(row.c[_key(part)], sa.Text))))
        .where(own)
        .order_by(held.c.record).limit(1).correlate(paths.row.alias).scalar_subquery()
    )  # fmt: skip
