"""Records of targets that no pair explains: ``sync.unlinked`` and ``sync.duplicates``. Nothing ever touches them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from replicator.mapping.compiled import Compiled
from replicator.mapping.generations import counts
from replicator.mapping.key_comparison import key_expressions
from replicator.mapping.schema import EntitySet, column_name
from replicator.solution.union import union_all

_ids = sa.ARRAY(sa.BigInteger)


def targets(compiled: Compiled) -> Iterator[EntitySet]:
    """The entity sets that some outbound map writes."""
    written = {str(each.entity_set) for each in compiled.schema.maps if each.direction == "out"}
    return (each for each in compiled.schema.entity_sets.values() if str(each) in written)


def _links(compiled: Compiled, entity_set: EntitySet) -> list[sa.Table]:
    ends = (entity_set.system, entity_set.name)
    return [link for (*key, _), link in compiled.tables.links.items() if tuple(key) == ends]


def unlinked(compiled: Compiled) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Records of targets without a counterpart; ``parted_at`` tells those that had one from those that never had."""
    types: dict[str, Any] = {"system": sa.Text, "entity_set": sa.Text, "mirror_id": sa.BigInteger, "record": sa.Text,
                             "system_key": sa.Text, "parted_at": sa.DateTime(timezone=True)}  # fmt: skip
    return union_all([_unlinked(compiled, entity_set) for entity_set in targets(compiled)], types)


def _unlinked(compiled: Compiled, entity_set: EntitySet) -> sa.Select[Any]:
    t = compiled.tables.mirror(entity_set).alias("t")
    links = _links(compiled, entity_set)
    paired = [sa.exists().where(link.c.mirror_id == t.c.id, link.c.ended_at.is_(None)) for link in links]
    ended = sa.union_all(
        *(sa.select(link.c.mirror_id, link.c.ended_at).where(link.c.ended_at.is_not(None)) for link in links)
    ).subquery("ended")
    last = sa.select(ended.c.mirror_id, sa.func.max(ended.c.ended_at).label("parted_at")).group_by(ended.c.mirror_id)
    parted = last.subquery("parted")
    columns: tuple[sa.ColumnElement[Any], ...] = (
        sa.literal(entity_set.system).label("system"),
        sa.literal(entity_set.name).label("entity_set"),
        t.c.id.label("mirror_id"),
        _text(t, entity_set.business_key[-1]).label("record"),
        _joined(t, entity_set.spec.key).label("system_key"),
        parted.c.parted_at,
    )
    found = sa.select(*columns).select_from(t.outerjoin(parted, parted.c.mirror_id == t.c.id))
    return found.where(*(sa.not_(each) for each in paired), counts(t, compiled.tables.mirror(entity_set), entity_set))


def duplicates(compiled: Compiled) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Keys that several records of a target bear. Where the business key is the system's own there can be none."""
    able = [each for each in targets(compiled) if set(each.business_key) != set(each.spec.key)]
    types: dict[str, Any] = dict.fromkeys(("system", "entity_set", "record", "key"), sa.Text)
    types |= dict.fromkeys(("mirror_ids", "linked"), _ids)
    return union_all([_duplicates(compiled, entity_set) for entity_set in able], types)


def _duplicates(compiled: Compiled, entity_set: EntitySet) -> sa.Select[Any]:
    t, first = (compiled.tables.mirror(entity_set).alias(name) for name in ("t", "first"))
    columns = [column_name(name) for name in entity_set.business_key]
    several = (
        sa.select(sa.cast(sa.func.array_agg(t.c.id), _ids).label("mirror_ids"))
        .where(*(t.c[name].is_not(None) for name in columns), counts(t, compiled.tables.mirror(entity_set), entity_set))
        .group_by(*key_expressions(t, columns))
        .having(sa.func.count() > 1)
        .subquery("several")
    )
    pairs = sa.union_all(
        *(
            sa.select(link.c.mirror_id).where(
                link.c.mirror_id == sa.any_(several.c.mirror_ids), link.c.ended_at.is_(None)
            )
            for link in _links(compiled, entity_set)
        )
    )
    shown: tuple[sa.ColumnElement[Any], ...] = (
        sa.literal(entity_set.system).label("system"),
        sa.literal(entity_set.name).label("entity_set"),
        _text(first, entity_set.business_key[-1]).label("record"),
        _joined(first, entity_set.business_key).label("key"),
        several.c.mirror_ids,
        sa.func.array(pairs.scalar_subquery(), type_=_ids).label("linked"),
    )
    return sa.select(*shown).join_from(several, first, first.c.id == several.c.mirror_ids[1])


def _text(table: sa.FromClause, field: str) -> sa.ColumnElement[str]:
    return sa.cast(table.c[column_name(field)], sa.Text)


def _joined(table: sa.FromClause, fields: tuple[str, ...]) -> sa.ColumnElement[str]:
    return sa.func.concat_ws(",", *(_text(table, name) for name in fields), type_=sa.Text)
