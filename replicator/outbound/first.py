"""The first delivery of a map, or the first after the map itself changed: many updates are held for a decision."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from replicator.config import Budget
from replicator.engine.claim import Shown, claim_records, show
from replicator.engine.diff import diff, linking
from replicator.engine.marks import mark_through
from replicator.hub.sql import statements
from replicator.hub.state import delivery
from replicator.model.compiled import Compiled, CompiledMap

_sql = statements(__file__.replace("first", "claim"))
ALWAYS_ALLOWED = 5
"""Updates that are never held for their share alone."""
_ALL = 2**31 - 1


def hold_first_updates(
    connection: sa.Connection, compiled: Compiled, ids: Mapping[str, int], found: CompiledMap, budget: Budget
) -> None:
    """Count what a first delivery would update; over the budget those records are held, new records go on."""
    map_id = ids[found.name]
    with connection.begin():
        opening = connection.execute(_sql["unopened"], {"map_id": map_id}).one()
        if not opening.closed:
            return
        claimed = claim_records(connection, map_id, ["pending"], limit=_ALL)
        if not claimed.records:
            return
        linked = list(connection.execute(linking(found.view, claimed)).scalars())
        mark_through(connection, compiled, ids, found.view.link, linked)
        rows = diff(found.view, map_id, claimed).subquery("d")
        approved = sa.select(delivery.c.record_id).where(
            delivery.c.map_id == map_id, delivery.c.operation == sa.literal_column("'approved'")
        )
        updates = sa.select(rows.c.record_id, rows.c.record).where(
            rows.c.action == "update", rows.c.record_id.not_in(approved)
        )
        size = connection.execute(sa.select(sa.func.count()).select_from(found.view.target)).scalar_one()
        count = connection.execute(sa.select(sa.func.count()).select_from(updates.subquery())).scalar_one()
        reason = too_many(count + opening.held, size, budget)
        if reason is None:
            connection.execute(_sql["open"], {"map_id": map_id})
            return
        held = [Shown(row.record_id, "held", row.record, reason, None, "update") for row in connection.execute(updates)]
        show(connection, map_id, held)


def too_many(updates: int, size: int, budget: Budget) -> str | None:
    """Why so many updates are held, or None."""
    allowed = min(budget.count, max(ALWAYS_ALLOWED, int(budget.share * size)))
    if updates <= allowed:
        return None
    return f"the first delivery would update {updates} of {size} records, and at most {allowed} go ahead unasked"
