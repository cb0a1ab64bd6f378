"""Marks records: each mark says that a record has to be looked at, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import OID, REGCLASS, Insert, insert
from sqlalchemy.exc import IntegrityError

from replicator.core.claim import claim_selected, clear_claim
from replicator.core.hub_handle import Handle
from replicator.core.linking import linking, pairs_to_renew
from replicator.hub.changefeed import OpenWindow, Window, open_window
from replicator.hub.planner import MANY, analyze, enough_memory, prefer_whole_joins, thought_small
from replicator.hub.statements import built_once, statements
from replicator.hub.states import KEPT, State
from replicator.hub.sync_tables import delivery, map_, run
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import DesiredView
from replicator.mapping.literals import constant
from replicator.mapping.missing_parts import roots_of, roots_of_parts
from replicator.mapping.schema import EntitySet, PartSet

_sql = statements(__name__)
CONSUMER = "replicator"
_SEEN_AFTER_ALL: tuple[State, ...] = ("rejected", "reported", "in_flight")
"""States of records that a target may show all the same: refused, lost, or just about to be refused."""


@dataclass(frozen=True)
class Marked:
    """One window: changes read, distinct records among them, marks made."""

    changes: int
    records: int
    marks: int


def mark_window(hub: Handle, open_next: OpenWindow = open_window) -> Marked | None:
    """Read the next window of the log and mark what it concerns, in one transaction; None when nothing is new."""
    with hub.leading():
        window = open_next(hub.connection, CONSUMER)
        if window is None:
            return None
        _fit_plans(hub.connection, window)
        marks = mark_all(hub) if window.everything else _mark(hub, window)
        marks += _mark_seen_after_all(hub, window)
        marked = Marked(sum(window.changes.values()), sum(window.records.values()), marks)
        analyze(hub.connection, marks, delivery)
        hub.execute(run.insert().values(kind="window", **vars(marked)))
        return marked


def _fit_plans(connection: sa.Connection, window: Window) -> None:
    """Much at once needs room; a table that grew so fast that the planner does not know it needs to be told so."""
    many = {table: changes for table, changes in window.changes.items() if changes >= MANY}
    if many:
        enough_memory(connection)
    if any(thought_small(connection, table, changes) for table, changes in many.items()):
        prefer_whole_joins(connection)


def _mark(hub: Handle, window: Window) -> int:
    return sum(
        (mark if window.changes[marking.table.fullname] < MANY else _mark_many)(
            hub.connection, hub.marked_id(flow), marking.records
        )
        for flow in hub.compiled.maps
        for marking in flow.markings
        if marking.table.fullname in window.changes
    )


def _mark_seen_after_all(hub: Handle, window: Window) -> int:
    """Pair what was refused, or taken for lost, with what its target shows all the same, and mark it."""
    shown = [
        (flow, each)
        for flow in hub.compiled.maps
        if flow.mapping.direction == "out" and flow.root is None
        for each in (flow, *hub.compiled.parts(flow))
        if each.view.target.fullname in window.changes and hub.execute(_shows_unpaired(each.view)).scalar_one()
    ]
    return sum(_pair_seen(hub, flow, each) for flow, each in shown)


@built_once
def _shows_unpaired(view: DesiredView) -> sa.Select[Any]:
    """Whether a window holds new rows of the target that are no record's counterpart: not those that we wrote."""
    new = sa.table("changed", *(sa.column(name) for name in ("relation", "record_id", "operation")))
    ours = sa.exists().where(view.link.c.mirror_id == new.c.record_id, view.link.c.ended_at.is_(None))
    mirror = sa.cast(sa.cast(sa.literal(view.target.fullname), REGCLASS), OID)
    return sa.select(
        sa.exists().where(new.c.relation == mirror, new.c.operation == sa.literal_column("'I'"), sa.not_(ours))
    )


def _pair_seen(hub: Handle, flow: CompiledMap, each: CompiledMap) -> int:
    """Pair the records of one map, or of its part, with what the mirror shows of them."""
    map_id, by_root = hub.id_of(flow), each is not flow
    # Of a part under way the answer says which one it became: its target may number by itself.
    states = [constant(state) for state in _SEEN_AFTER_ALL if not (by_root and state == "in_flight")]
    unpaired = sa.select(delivery.c.record_id, delivery.c.marked, delivery.c.state)
    claimed = claim_selected(hub.connection, unpaired.where(delivery.c.map_id == map_id, delivery.c.state.in_(states)))
    if not claimed.records:
        return 0
    hub.execute(pairs_to_renew(each.view, claimed, by_root=by_root))
    linked = list(hub.execute(linking(each.view, claimed, by_root=by_root)).scalars())
    clear_claim(hub.connection)
    hub.execute(_sql["changed_done"])
    mark_through(hub, each.view.link, linked)
    link = each.view.link
    record = link.c.root_id if by_root else link.c.common_id
    paired = sa.select(record.label("record_id")).where(link.c.mirror_id.in_(linked), link.c.ended_at.is_(None))
    return hub.execute(marking_of(map_id, paired.distinct())).rowcount if linked else 0


def _mark_many(connection: sa.Connection, map_id: int, records: sa.Select[Any]) -> int:
    """Where nothing is marked yet, as in a first load, no mark has to look for an earlier one."""
    earlier = sa.select(sa.exists().where(delivery.c.map_id == map_id))
    if not connection.execute(earlier).scalar_one():
        with suppress(IntegrityError), connection.begin_nested():
            return connection.execute(_first_marking(map_id, records)).rowcount
    return mark(connection, map_id, records)


def mark(connection: sa.Connection, map_id: int, records: sa.Select[Any]) -> int:
    """Mark the records that ``records``, a statement that is kept, selects; one marked before is marked again."""
    return connection.execute(_kept_marking(map_id, records)).rowcount


def _first_marking(map_id: int, records: sa.Select[Any]) -> Insert:
    """In the order of the ids: scattered over the index, a million marks take three times as long."""
    found = records.subquery("found")
    return insert(delivery).from_select(
        ["map_id", "record_id", "since"],
        sa.select(sa.literal(map_id), found.c.record_id, sa.select(sa.func.sync.now()).scalar_subquery())
        .where(found.c.record_id.is_not(None))
        .order_by(found.c.record_id),
    )


def marking_of(map_id: int, records: sa.Select[Any]) -> sa.Insert:
    """The statement that marks these records."""
    statement = _first_marking(map_id, records)
    busy = delivery.c.state.in_([constant(state) for state in KEPT])
    remarked = {
        "marked": delivery.c.marked + 1,
        "state": sa.case((busy, delivery.c.state), else_=sa.literal_column("'pending'::sync.delivery_state")),
        "next_at": sa.case((busy, delivery.c.next_at)),
        "attempts": sa.case((busy, delivery.c.attempts), else_=0),
    }
    return statement.on_conflict_do_update(index_elements=["map_id", "record_id"], set_=remarked)


_kept_marking = built_once(marking_of)


def mark_all(hub: Handle) -> int:
    """Mark every record of every map."""
    return sum(
        mark(hub.connection, hub.id_of(flow), _everything(flow.view)) for flow in hub.compiled.maps if flow.root is None
    )


def mark_changed_maps(hub: Handle) -> list[str]:
    """Mark all records of the maps whose compiled text is not the one they were last marked for.

    Their updates are counted anew before they go out; those of a part with its root.
    """
    with hub.leading():
        rows = hub.execute(
            sa.select(map_.c.name).where(map_.c.hash.is_distinct_from(map_.c.marked_hash), map_.c.in_use)
        )
        changed = [name for name in rows.scalars() if name in hub.ids]
        roots = {hub.compiled.marked(hub.compiled.map(name)).name for name in changed}
        for root in roots:
            mark(hub.connection, hub.ids[root], _everything(hub.compiled.map(root).view))
        hub.execute(map_.update().where(map_.c.name.in_(changed)).values(marked_hash=map_.c.hash))
        hub.execute(map_.update().where(map_.c.name.in_([*changed, *roots])).values(opened_at=None))
    return changed


@built_once
def _everything(view: DesiredView) -> sa.Select[Any]:
    side = "mirror_id" if view.mapping.direction == "in" else "common_id"
    linked = sa.select(view.link.c[side]).where(view.link.c.ended_at.is_(None))
    both = sa.union(sa.select(view.source.c.id.label("record_id")), linked).subquery("everything")
    return sa.select(both.c.record_id)


def mark_roots(hub: Handle, entity_set: EntitySet, keys: Sequence[str]) -> None:
    """Mark the roots of these keys: a part of theirs in this entity set could not be taken in, or can be now."""
    for part, entity in _parts_in(hub, entity_set):
        _mark_outward(hub, entity, roots_of(hub.compiled.tables, part, entity, keys))


def mark_roots_of(hub: Handle, inbound: CompiledMap, parts: Sequence[int]) -> None:
    """Mark the roots that wait from now on for these rows of a mirror: what they show could not be merged."""
    ids = sa.select(sa.func.unnest(sa.literal(list(parts), sa.ARRAY(sa.BigInteger))))
    for part, entity in _parts_in(hub, inbound.mapping.entity_set) if parts else ():
        if part.mapping == inbound.mapping:
            records = roots_of_parts(hub.compiled.schema, hub.compiled.tables, part, entity, ids).subquery("roots")
            _mark_outward(hub, entity, sa.select(records.c.record_id))


def _parts_in(hub: Handle, entity_set: EntitySet) -> Iterator[tuple[PartSet, str]]:
    """What the rows of an entity set are parts of: how, and of which entity."""
    for part in hub.compiled.schema.part_sets:
        parent = hub.compiled.schema.parent_field(part.mapping.entity)
        entity = parent[1].reference if parent else None
        if part.entity_set is entity_set and entity and hub.compiled.tables.link(part.whole, entity) is not None:
            yield part, entity


def _mark_outward(hub: Handle, entity: str, records: sa.Select[Any]) -> None:
    """Mark these records in the maps by which the entity goes out."""
    for flow in hub.compiled.maps:
        if flow.mapping.direction == "out" and flow.mapping.entity.entity == entity:
            hub.execute(marking_of(hub.marked_id(flow), records))


def mark_through(hub: Handle, link: sa.Table, mirror_ids: Sequence[int], *, parts: bool = False) -> None:
    """Mark who reads through a crosswalk the pairs of whose mirror rows have just changed.

    Only maps that do without a counterpart need it: whoever waits for one is tested again in every cycle. ``parts`` are
    marked where pairs passed on to another generation: what is left of those of the former one goes.
    """
    mirror = hub.compiled.mirror_of(link)
    readers = [
        flow
        for flow in hub.compiled.maps
        if link in flow.view.paths.soft_links or (parts and any(each.table is mirror for each in flow.view.lineages))
    ]
    if not readers or not mirror_ids:
        return
    hub.execute(_sql["as_changed"], {"mirror": mirror.fullname, "ids": list(mirror_ids)})
    for flow in readers:
        for marking in flow.markings:
            if marking.table is mirror:
                mark(hub.connection, hub.marked_id(flow), marking.records)
    hub.execute(_sql["changed_done"])
