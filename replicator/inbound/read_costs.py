"""What reads cost: requests, rows, bytes and rows that had changed, by entity set and day, in ``sync.read_cost``."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from replicator.hub.statements import statements

_sql = statements(__name__)


class ReadCost(NamedTuple):
    """Of one read of an entity set; also of one that failed."""

    entity_set: str
    requests: int
    rows: int
    received: int
    """Bytes."""
    changed: int
    """Rows that were new, other ones or gone."""


def note_costs(connection: sa.Connection, system: str, costs: list[ReadCost]) -> None:
    """Add them to those of their day, in the transaction that is open."""
    if costs:
        names, requests, rows, received, changed = (list(each) for each in zip(*costs, strict=True))
        values = {"names": names, "requests": requests, "rows": rows, "received": received, "changed": changed}
        connection.execute(_sql["note_costs"], {"system": system, **values})
        costs.clear()
