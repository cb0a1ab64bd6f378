"""The first delivery of a map, or the first after the map itself changed: many updates are held for a decision."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.config import Budget
from replicator.core.claim import Claimed, Shown, claim_records, each_half, show
from replicator.core.diff import INCOMPLETE, diff
from replicator.core.hub_handle import Handle
from replicator.hub.statements import statements
from replicator.hub.sync_tables import delivery
from replicator.mapping.compiled import CompiledMap
from replicator.outbound.select import link_claimed

_sql = statements(__name__)
ALWAYS_ALLOWED = 5
"""Updates that are never held for their share alone."""
_ALL = 2**31 - 1
_WRITES = ("create", "update", "delete", "set", "rekey")


def hold_first_updates(hub: Handle, flow: CompiledMap, budget: Budget) -> None:
    """Count what a first delivery would update; over the budget those records are held, new records go on.

    It is let through for good when everything that feeds the map was there to be counted.
    """
    map_id = hub.id_of(flow)
    with hub.leading():
        opening = hub.execute(_sql["unopened"], {"map_id": map_id, "feeding": _feeding(hub, flow)}).one()
        if not opening.closed:
            return
        claimed = claim_records(hub.connection, map_id, ["pending"], limit=_ALL)
        if not claimed.records:
            return

        def work(some: Claimed) -> list[tuple[int, str | None]]:
            return _updates(hub, flow, some)

        none: list[tuple[int, str | None]] = []
        updates = [row for rows in each_half(hub.connection, map_id, claimed, work, rejected=none) for row in rows]
        size = hub.execute(sa.select(sa.func.count()).select_from(flow.view.target)).scalar_one()
        reason = too_many(len(updates) + opening.held, size, budget)
        if reason is None:
            if opening.fed:
                hub.execute(_sql["open"], {"map_id": map_id})
            return
        show(hub.connection, map_id, [Shown(id_, "held", record, reason, None, "update") for id_, record in updates])


def _feeding(hub: Handle, flow: CompiledMap) -> list[str]:
    """The inbound maps to the entity and its parts."""
    entities = {each.mapping.entity.entity for each in (flow, *hub.compiled.parts(flow))}
    return [each.name for each in hub.compiled.inbound() if each.mapping.entity.entity in entities]


def _updates(hub: Handle, flow: CompiledMap, claimed: Claimed) -> list[tuple[int, str | None]]:
    """Claimed records that are in the target and would be written, and what they are called; a root for its parts."""
    link_claimed(hub, flow, claimed)
    rows = diff(flow.view, hub.id_of(flow), claimed).subquery("d")
    written = [rows.c.action == "update"]
    for part in hub.compiled.parts(flow):
        own = diff(part.view, hub.id_of(part), claimed, by_root=True).subquery(f"part_{len(written)}")
        of_it = sa.select(own.c.record_id).where(own.c.action.in_(_WRITES))
        written.append(sa.and_(rows.c.action.in_(["none", INCOMPLETE]), rows.c.record_id.in_(of_it)))
    approved = sa.select(delivery.c.record_id).where(delivery.c.map_id == hub.id_of(flow), delivery.c.asked)
    updates = sa.select(rows.c.record_id, rows.c.record).where(sa.or_(*written), rows.c.record_id.not_in(approved))
    return [(row.record_id, row.record) for row in hub.execute(updates)]


def too_many(updates: int, size: int, budget: Budget) -> str | None:
    """Why so many updates are held, or None."""
    allowed = min(budget.count, max(ALWAYS_ALLOWED, int(budget.share * size)))
    if updates <= allowed:
        return None
    return f"the first delivery would update {updates} of {size} records, and at most {allowed} go ahead unasked"
