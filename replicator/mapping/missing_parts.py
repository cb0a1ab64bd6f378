"""Parts that a system holds and the hub has not: a root that goes out waits for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from replicator.mapping.field_values import join_text
from replicator.mapping.join_paths import Paths
from replicator.mapping.key_comparison import KEY_SEPARATOR, fold, in_one_text, same_values
from replicator.mapping.language import CommonEntity
from replicator.mapping.literals import constant
from replicator.mapping.schema import PartSet, Schema
from replicator.mapping.tables import Tables

quarantine = sa.table(
    "quarantine",
    *(sa.column(name, sa.Text()) for name in ("system", "entity_set", "record", "reason", "root_key")),
    schema="sync",
)
"""Rows of snapshots that could not be taken in (``hub/sync_tables.py``)."""
_delivery = sa.table(
    "delivery",
    *(sa.column(name, sa.BigInteger()) for name in ("map_id", "record_id")),
    sa.column("state", sa.Text()),
    schema="sync",
)
_map = sa.table("map", sa.column("id", sa.BigInteger()), sa.column("name", sa.Text()), schema="sync")
TROUBLED = ("blocked", "rejected", "skipped")
"""States of a part whose newest image could not be merged, or is left alone."""


def unfinished_parts(schema: Schema, tables: Tables, paths: Paths) -> Iterator[sa.ColumnElement[str]]:
    """What the root in ``paths`` waits for: parts that are not merged yet, and parts that could not be taken in."""
    if isinstance(paths.kind, CommonEntity):
        for part in awaited_parts(schema, tables, paths.kind):
            yield _unmerged(schema, tables, paths, part)
            yield _quarantined(tables, paths, part)


def awaited_parts(schema: Schema, tables: Tables, entity: CommonEntity) -> list[PartSet]:
    """Where the parts of an entity come from that its root waits for: all of them are taken in."""
    parts = schema.parts_of(entity)
    return [part for part in parts if not part.mapping.spec.when and tables.link(part.whole, entity.entity) is not None]


def roots_of(tables: Tables, part: PartSet, entity: str, keys: Sequence[str]) -> sa.Select[Any]:
    """The common records of an entity whose images in the system bear one of these keys."""
    mirror, link = tables.mirror(part.whole), tables.links[part.whole.system, part.whole.name, entity]
    texts = sa.func.unnest(sa.literal(list(keys), sa.ARRAY(sa.Text)))
    wanted_keys = texts.table_valued(sa.column("key", sa.Text), name="wanted").render_derived()
    own = [mirror.c[column] for _, column in part.pointed.columns]
    wanted = [
        sa.cast(sa.func.split_part(wanted_keys.c.key, KEY_SEPARATOR, place), column.type)
        for place, column in enumerate(own, start=1)
    ]
    same = sa.and_(sa.true(), *(fold(column) == fold(value) for column, value in zip(own, wanted, strict=True)))
    found = sa.select(link.c.common_id.label("record_id")).join_from(link, mirror, mirror.c.id == link.c.mirror_id)
    return found.join(wanted_keys, same).where(link.c.ended_at.is_(None)).distinct()


def roots_of_parts(
    schema: Schema, tables: Tables, part: PartSet, entity: str, parts: sa.Select[Any]
) -> sa.CompoundSelect[Any]:
    """The common records of an entity that these rows of a mirror belong to, or did when they were merged."""
    mirror, whole = tables.mirror(part.entity_set), tables.mirror(part.whole)
    roots, link = tables.links[part.whole.system, part.whole.name, entity], tables.link_of(part.mapping)
    now = (
        sa.select(roots.c.common_id.label("record_id"))
        .select_from(mirror.join(whole, same_values(mirror, whole, part.pointed.columns)))
        .join(roots, sa.and_(roots.c.mirror_id == whole.c.id, roots.c.ended_at.is_(None)))
        .where(mirror.c.id.in_(parts))
    )
    common = tables.common[part.mapping.entity.entity]
    merged = sa.select(common.c[_root_column(schema, part)]).join_from(common, link, link.c.common_id == common.c.id)
    return now.union(merged.where(link.c.mirror_id.in_(parts), link.c.ended_at.is_(None)))


def in_trouble(part: PartSet, record: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether the newest image of a part, which was merged before, could not be, or is left alone."""
    d = _delivery.alias("pd")
    map_id = sa.select(_map.c.id).where(_map.c.name == part.mapping.name).scalar_subquery()
    troubled = d.c.state.in_([constant(state) for state in TROUBLED])
    return sa.exists().where(d.c.map_id == map_id, d.c.record_id == record, troubled)


def _root_column(schema: Schema, part: PartSet) -> str:
    parent = schema.parent_field(part.mapping.entity)
    assert parent is not None
    return f"{parent[0]}_id"


def _of_whole(
    tables: Tables, paths: Paths, part: PartSet
) -> tuple[sa.FromClause, sa.FromClause, sa.ColumnElement[bool]]:
    """The images of the root in the system: its row, its row with the crosswalk, and that they are its own."""
    row = tables.mirror(part.whole).alias("w")
    link = tables.links[part.whole.system, part.whole.name, paths.row.table.name].alias("wl")
    own = sa.and_(link.c.common_id == paths.row.alias.c.id, link.c.ended_at.is_(None))
    return row, link.join(row, row.c.id == link.c.mirror_id), own


def _unmerged(schema: Schema, tables: Tables, paths: Paths, part: PartSet) -> sa.ColumnElement[str]:
    """A part that its system shows, and that is not merged or in trouble; or one in trouble that is in common still."""
    row, joined, own = _of_whole(tables, paths, part)
    parts, link = tables.mirror(part.entity_set).alias("p"), tables.link_of(part.mapping).alias("pl")
    common = tables.common[part.mapping.entity.entity].alias("pc")
    merged = sa.exists().where(link.c.mirror_id == parts.c.id, link.c.ended_at.is_(None))
    shown = (
        sa.select(parts.c.id)
        .select_from(joined.join(parts, same_values(parts, row, part.pointed.columns)))
        .where(own, sa.or_(sa.not_(merged), in_trouble(part, parts.c.id)))
    )
    pairs = common.join(link, sa.and_(link.c.common_id == common.c.id, link.c.ended_at.is_(None)))
    mine = common.c[_root_column(schema, part)] == paths.row.alias.c.id
    kept = sa.select(link.c.mirror_id).select_from(pairs).where(mine, in_trouble(part, link.c.mirror_id))
    found = sa.union_all(shown.correlate(paths.row.alias), kept.correlate(paths.row.alias)).subquery("found")
    named = tables.mirror(part.entity_set).alias("n")
    return (
        sa.select(join_text(f"{part.mapping.entity.entity} ", paths.named(named, part.entity_set), " to be merged"))
        .select_from(sa.join(found, named, named.c.id == found.c.id))
        .limit(1).correlate(paths.row.alias).scalar_subquery()
    )  # fmt: skip


def _quarantined(tables: Tables, paths: Paths, part: PartSet) -> sa.ColumnElement[str]:
    row, joined, own = _of_whole(tables, paths, part)
    held = quarantine.alias("a")
    same_set = sa.and_(held.c.system == part.entity_set.system, held.c.entity_set == part.entity_set.name)
    key = in_one_text([fold(row.c[column]) for _, column in part.pointed.columns], KEY_SEPARATOR)
    words = join_text(f"{part.mapping.entity.entity} ", held.c.record, " that could not be taken in: ", held.c.reason)
    return (
        sa.select(words)
        .select_from(joined.join(held, sa.and_(same_set, held.c.root_key == key)))
        .where(own)
        .order_by(held.c.record).limit(1).correlate(paths.row.alias).scalar_subquery()
    )  # fmt: skip
