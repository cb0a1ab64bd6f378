"""What people ask of a hub: the rows of the views and functions of schema ``sync``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import simplejson
import sqlalchemy as sa

from replicator.hub.states import MOVING, STUCK

Row = Mapping[str, Any]
Rows = Sequence[Row]
_LONG_SECONDS = 5
"""A writing transaction that is older than this is worth a line."""
_BEHIND = (
    "cause", "system", "flow", "state", "state_before", "operation", "code", "field", "reason", "waits_for", "record",
    "since", "tried_at", "next_at", "attempts", "map_id", "record_id",
)  # fmt: skip


def rows(connection: sa.Connection, view: str, limit: int | None = None, *, within: float | None = None) -> Rows:
    """The rows of a view of schema ``sync``; the hub may take ``within`` seconds for them, and a DBAPIError ends it."""
    query = sa.select(sa.text("*")).select_from(sa.table(view, schema="sync"))
    with connection.begin():
        if within is not None:
            connection.execute(sa.select(sa.func.set_config("statement_timeout", f"{within * 1000:.0f}", True)))
        return [dict(row) for row in connection.execute(query.limit(limit) if limit else query).mappings()]


def called(connection: sa.Connection, function: str, *values: object) -> Rows:
    """The rows of a function of schema ``sync``."""
    query = sa.select(sa.text("*")).select_from(getattr(sa.func.sync, function)(*values))
    with connection.begin():
        return [dict(row) for row in connection.execute(query).mappings()]


def status(connection: sa.Connection) -> dict[str, Rows]:
    """All that ``status`` tells, as data."""
    return {
        "flows": sorted(rows(connection, "status"), key=lambda row: (row["rank"], row["flow"])),
        "held": rows(connection, "held"),
        "quarantined": rows(connection, "quarantined"),
        "problems": rows(connection, "problems"),
        "under_way": rows(connection, "under_way"),
        "pauses": rows(connection, "pause"),
        "systems": rows(connection, "systems"),
        "leader": rows(connection, "leader"),
        "window_holder": [
            row for row in rows(connection, "window_holder") if row["age"].total_seconds() > _LONG_SECONDS
        ],
        "lock_holders": rows(connection, "lock_holders"),
    }


def details(connection: sa.Connection, limit: int) -> dict[str, Rows]:
    """The records that are not in step, with their reasons; at most ``limit`` of each kind."""
    return {
        name: rows(connection, name, limit) for name in ("blocked", "failed", "not_eligible", "skipped", "observed")
    }


def behind(connection: sa.Connection, cause: str, limit: int) -> Rows:
    """The records behind a cause."""
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in _BEHIND]
    found = sa.func.sync.cause_records(cause).table_valued(*columns)
    with connection.begin():
        return [dict(row) for row in connection.execute(sa.select(*found.c).limit(limit)).mappings()]


def decided(connection: sa.Connection, limit: int) -> Rows:
    """The latest decisions, the last first."""
    query = sa.select(sa.text("*")).select_from(sa.table("decision", schema="sync"))
    with connection.begin():
        return [dict(row) for row in connection.execute(query.order_by(sa.column("id").desc()).limit(limit)).mappings()]


def needs_attention(status: Mapping[str, Rows]) -> bool:
    """Whether anything moves, waits or is in trouble (``hub.states``), is held, was not read, or stands.

    What was never read may hold anything.
    """
    beside = any(status[name] for name in ("held", "quarantined", "problems", "under_way", "lock_holders"))
    unread = any(row["last_snapshot"] is None for row in status["flows"])
    return unread or beside or any(row[name] for row in status["flows"] for name in (*MOVING, *STUCK))


def to_json(value: object) -> str:
    """JSON with exact decimals and ISO 8601 times, in ASCII without control characters: a terminal shows all of it."""
    return simplejson.dumps(value, use_decimal=True, default=_plain, indent=2)


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return str(value)
