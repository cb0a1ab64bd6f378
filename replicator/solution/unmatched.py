"""Records of targets that no pair explains: ``sync.unlinked``, ``sync.unaccounted``, ``sync.orphans``,
``sync.duplicates``. Nothing ever touches them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from replicator.core.diff import same_key
from replicator.hub.sync_tables import orphan
from replicator.mapping.compiled import Compiled
from replicator.mapping.desired_views import DesiredView, match_columns
from replicator.mapping.generations import counts
from replicator.mapping.key_comparison import fold, key_expressions
from replicator.mapping.literals import constant
from replicator.mapping.schema import EntitySet, Map, column_name
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
    paired = _paired(compiled, entity_set, t)
    ended = sa.union_all(
        *(sa.select(link.c.mirror_id, link.c.ended_at).where(link.c.ended_at.is_not(None)) for link in links)
    ).subquery("ended")
    last = sa.select(ended.c.mirror_id, sa.func.max(ended.c.ended_at).label("parted_at")).group_by(ended.c.mirror_id)
    parted = last.subquery("parted")
    columns: tuple[sa.ColumnElement[Any], ...] = (
        sa.literal(entity_set.system).label("system"),
        sa.literal(entity_set.name).label("entity_set"),
        t.c.id.label("mirror_id"),
        _record(t, entity_set),
        _joined(t, entity_set.spec.key).label("system_key"),
        parted.c.parted_at,
    )
    found = sa.select(*columns).select_from(t.outerjoin(parted, parted.c.mirror_id == t.c.id))
    return found.where(*(sa.not_(each) for each in paired), counts(t, compiled.tables.mirror(entity_set), entity_set))


def unaccounted(compiled: Compiled) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Records of targets that bear keys which the hub could have given, and that neither pair nor key explains."""
    types: dict[str, Any] = {"system": sa.Text, "entity_set": sa.Text, "record_id": sa.BigInteger}
    return union_all([_unaccounted(compiled, entity_set) for entity_set in targets(compiled)], types)


def _unaccounted(compiled: Compiled, entity_set: EntitySet) -> sa.Select[Any]:
    t = compiled.tables.mirror(entity_set).alias("t")
    views = [flow.view for flow in compiled.maps
             if flow.mapping.direction == "out" and flow.mapping.entity_set is entity_set]  # fmt: skip
    wanted = (view.view.alias(f"v{place}") for place, view in enumerate(views))
    known = [sa.exists().select_from(v).where(same_key(view, t, v)) for view, v in zip(views, wanted, strict=True)]
    ours = sa.or_(*(sa.and_(*_as_given(compiled, view, t)) for view in views))
    columns = (sa.literal(entity_set.system).label("system"), sa.literal(entity_set.name).label("entity_set"))
    found = sa.select(*columns, t.c.id.label("record_id"))
    paired = (sa.not_(each) for each in _paired(compiled, entity_set, t))
    counting = counts(t, compiled.tables.mirror(entity_set), entity_set)
    return found.where(*paired, counting, ours, *(sa.not_(each) for each in known))


def _as_given(compiled: Compiled, view: DesiredView, t: sa.FromClause) -> Iterator[sa.ColumnElement[bool]]:
    """The key is whole, and what the map takes for it from another record is the value of one: of no other company."""
    fields = {column.name: column.field for column in view.columns}
    for name in match_columns(view.mapping):
        yield t.c[name].is_not(None)
        source = _of_another(compiled, view.mapping, fields[name]) if name in fields else None
        if source is not None:
            yield fold(t.c[name]).in_(sa.select(fold(source)))


def _of_another(compiled: Compiled, mapping: Map, field: str) -> sa.Column[Any] | None:
    """The column of another common entity that a map copies into this field of its target."""
    path = mapping.spec.fields[field].copy_
    *hops, last = path.split(".") if isinstance(path, str) else ("",)
    entity = mapping.entity
    for hop in hops:
        entity = compiled.schema.entities[entity.fields[hop].reference or ""]
    return compiled.tables.common[entity.entity].c[last] if hops and not entity.fields[last].reference else None


def orphans(compiled: Compiled) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """What a restored hub noted of these, as long as it is there and paired with nothing."""
    types: dict[str, Any] = {"system": sa.Text, "entity_set": sa.Text, "record_id": sa.BigInteger, "record": sa.Text,
                             "system_key": sa.Text, "since": sa.DateTime(timezone=True),
                             "decided_at": sa.DateTime(timezone=True), "decided_by": sa.Text}  # fmt: skip
    return union_all([_orphans(compiled, entity_set) for entity_set in targets(compiled)], types)


def _orphans(compiled: Compiled, entity_set: EntitySet) -> sa.Select[Any]:
    t = compiled.tables.mirror(entity_set).alias("t")
    columns = (
        orphan.c.system, orphan.c.entity_set, orphan.c.record_id, _record(t, entity_set),
        _joined(t, entity_set.spec.key).label("system_key"), orphan.c.since, orphan.c.decided_at, orphan.c.decided_by,
    )  # fmt: skip
    own = (orphan.c.system == constant(entity_set.system), orphan.c.entity_set == constant(entity_set.name))
    paired = (sa.not_(each) for each in _paired(compiled, entity_set, t))
    return sa.select(*columns).join_from(orphan, t, t.c.id == orphan.c.record_id).where(*own, *paired)


def _paired(compiled: Compiled, entity_set: EntitySet, t: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    """By each crosswalk: whether it pairs a record with anything."""
    return [
        sa.exists().where(link.c.mirror_id == t.c.id, link.c.ended_at.is_(None))
        for link in _links(compiled, entity_set)
    ]


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
        _record(first, entity_set),
        _joined(first, entity_set.business_key).label("key"),
        several.c.mirror_ids,
        sa.func.array(pairs.scalar_subquery(), type_=_ids).label("linked"),
    )
    return sa.select(*shown).join_from(several, first, first.c.id == several.c.mirror_ids[1])


def _record(table: sa.FromClause, entity_set: EntitySet) -> sa.Label[str]:
    return sa.cast(table.c[entity_set.label_column], sa.Text).label("record")


def _text(table: sa.FromClause, field: str) -> sa.ColumnElement[str]:
    return sa.cast(table.c[column_name(field)], sa.Text)


def _joined(table: sa.FromClause, fields: tuple[str, ...]) -> sa.ColumnElement[str]:
    return sa.func.concat_ws(",", *(_text(table, name) for name in fields), type_=sa.Text)
