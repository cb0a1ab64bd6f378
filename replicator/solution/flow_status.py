"""The view ``sync.status``: one row per flow, with how many records stand in which state."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from replicator.hub import states
from replicator.hub.sync_tables import conflict, delivery, map_, quarantine
from replicator.hub.sync_tables import entity_set as read_state
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.literals import constant


def status(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """One row per flow: how many records, how they stand, and when they were last read."""
    return sa.union_all(*(_status_of(compiled, flow) for flow in compiled.maps if flow.root is None))


def _status_of(compiled: Compiled, flow: CompiledMap) -> sa.Select[Any]:
    view, mapping = flow.view, flow.mapping
    side = "mirror_id" if mapping.direction == "in" else "common_id"
    waiting = (
        sa.exists()
        .where(delivery.c.map_id == map_.c.id, delivery.c.record_id == view.link.c[side])
        .correlate(map_, view.link)
    )
    linked = sa.select(sa.func.count()).select_from(view.link).where(view.link.c.ended_at.is_(None), sa.not_(waiting))

    def count(*names: str) -> sa.ColumnElement[int]:
        wanted = delivery.c.state.in_([constant(name) for name in names])
        return (
            sa.select(sa.func.count()).where(delivery.c.map_id == map_.c.id, wanted).correlate(map_).scalar_subquery()
        )

    conflicts = (
        sa.select(sa.func.count())
        .where(conflict.c.map_id == map_.c.id, conflict.c.state == sa.literal_column("'open'"))
        .correlate(map_).scalar_subquery()
    )  # fmt: skip
    counts = {column: count(*states.counted_in(column)) for column in states.COLUMNS}
    counts |= {states.QUARANTINED.counted: _quarantined(flow), states.CONFLICT.counted: conflicts}
    moving: list[sa.ColumnElement[str]] = [constant(each.name) for each in states.DELIVERY if each.moves]
    oldest = (
        sa.select(sa.func.min(delivery.c.since))
        .where(delivery.c.map_id == map_.c.id, delivery.c.state.in_(moving))
        .correlate(map_).scalar_subquery()
    )  # fmt: skip
    return (
        sa.select(
            map_.c.name.label("flow"),
            map_.c.rank,
            sa.select(sa.func.count()).select_from(view.source).scalar_subquery().label("records"),
            sa.select(sa.func.count()).select_from(compiled.tables.mirror(mapping.entity_set)).scalar_subquery().label("mirrored"),
            linked.correlate(map_).scalar_subquery().label("in_step"),
            *(how_many.label(column) for column, how_many in counts.items()),
            read_state.c.read_at.label("last_snapshot"),
            read_state.c.problem,
            oldest.label("oldest"),
            sa.func.greatest(sa.extract("epoch", sa.func.sync.now() - oldest), 0).label("lag_seconds"),
            map_.c.last_success_at.label("last_success"),
            sa.func.sync.is_paused(map_.c.id).label("paused"),
            map_.c.mode,
        )
        .select_from(map_.outerjoin(read_state, sa.and_(
            read_state.c.system == mapping.system, read_state.c.entity_set == mapping.entity_set.name)))
        .where(map_.c.name == flow.name)
    )  # fmt: skip


def _quarantined(flow: CompiledMap) -> sa.ColumnElement[int]:
    """Records that an inbound map has never seen as they are: a snapshot could not take them in."""
    if flow.mapping.direction == "out":
        return sa.literal_column("0")
    entity_set = flow.mapping.entity_set
    own = sa.and_(quarantine.c.system == entity_set.system, quarantine.c.entity_set == entity_set.name)
    record = sa.func.coalesce(quarantine.c.key, sa.cast(quarantine.c.id, sa.Text))
    return sa.select(sa.func.count(record.distinct())).where(own).scalar_subquery()
