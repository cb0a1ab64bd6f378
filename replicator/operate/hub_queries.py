"""What people ask of a hub: the rows of the views and functions of schema ``sync``."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import simplejson
from psycopg import sql
from psycopg.rows import dict_row

from replicator.hub.session import Session, driver
from replicator.hub.states import MOVING, STUCK

if TYPE_CHECKING:
    import sqlalchemy as sa


Row = Mapping[str, Any]
Rows = Sequence[Row]
Asked: TypeAlias = "Session | sa.Connection"
_LONG_SECONDS = 5
"""A writing transaction that is older than this is worth a line."""
_CHAINS = 20
"""So many chains of blocked records are followed for a list of them."""
_BEHIND = (
    "cause", "system", "flow", "state", "state_before", "operation", "code", "field", "reason", "waits_for", "record",
    "since", "tried_at", "next_at", "attempts", "map_id", "record_id",
)  # fmt: skip


def rows(connection: Asked, view: str, limit: int | None = None, *, within: float | None = None) -> Rows:
    """The rows of a view of schema ``sync``; the hub may take ``within`` seconds for them (else psycopg.Error)."""
    query = sql.SQL("select * from sync.{} limit %s").format(sql.Identifier(view))
    return _asked(connection, query, (limit,), within=within)


def called(connection: Asked, function: str, *values: object) -> Rows:
    """The rows of a function of schema ``sync``."""
    return _asked(connection, sql.SQL("select * from {}").format(_call(function, len(values))), values)


def value(connection: Asked, function: str, *values: object) -> Any:
    """What a function of schema ``sync`` returns, or does."""
    query = sql.SQL("select {} as value").format(_call(function, len(values)))
    return _asked(connection, query, values)[0]["value"]


def _call(function: str, count: int) -> sql.Composable:
    values = sql.SQL(", ").join([sql.Placeholder()] * count)
    return sql.SQL("sync.{}({})").format(sql.Identifier(function), values)


def _asked(connection: Asked, query: sql.Composed, values: Sequence[object], *, within: float | None = None) -> Rows:
    own = driver(connection)
    with own.transaction(), own.cursor(row_factory=dict_row) as cursor:
        if within is not None:
            cursor.execute("select set_config('statement_timeout', %s, true)", (f"{within * 1000:.0f}",))
        return cursor.execute(query, values).fetchall()


def status(connection: Asked) -> dict[str, Rows]:
    """All that ``status`` tells, as data."""
    return {
        "flows": sorted(rows(connection, "status"), key=lambda row: (row["rank"], row["flow"])),
        "held": rows(connection, "held"),
        "quarantined": rows(connection, "quarantined"),
        "orphaned": rows(connection, "orphaned"),
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


def reading(connection: Asked) -> Rows:
    """When each entity set was read, and what that cost; by system, the dearest first."""
    found = rows(connection, "reading")
    return sorted(found, key=lambda row: (row["system"], -row["requests_week"], row["entity_set"]))


def needs_attention(status: Mapping[str, Rows]) -> bool:
    """Whether anything moves, waits or is in trouble (``hub.states``), is held, was not read, or stands: code 3.

    What was never read may hold anything.
    """
    beside = any(status[name] for name in ("held", "quarantined", "orphaned", "problems", "under_way", "lock_holders"))
    unread = any(row["last_snapshot"] is None for row in status["flows"])
    return unread or beside or any(row[name] for row in status["flows"] for name in (*MOVING, *STUCK))


def leader_is_missed(status: Mapping[str, Rows]) -> bool:
    """Whether the last that led was to go on, a daemon, and leads no more: what changed since is not known."""
    return any(row["goes_on"] and not row["fresh"] for row in status["leader"])


def details(connection: Asked, limit: int) -> dict[str, Rows]:
    """The records that are not in step, with their reasons; at most ``limit`` of each kind."""
    found = {
        name: rows(connection, name, limit) for name in ("blocked", "failed", "not_eligible", "skipped", "observed")
    }
    return found | {"blocked": list(_with_root_causes(connection, found["blocked"]))}


def causes(connection: Asked) -> Rows:
    """The failures by cause; where records wait, also what their example waits for in the end."""
    found = rows(connection, "causes")
    blocked = [row for row in found if row["state"] == "blocked"]
    ends = {row["cause"]: row["root_cause"] for row in _with_root_causes(connection, blocked)}
    return [{**row, "root_cause": ends.get(row["cause"])} for row in found]


def _with_root_causes(connection: Asked, blocked: Rows) -> Iterator[Row]:
    """Each with the cause at the end of its chain; of those that wait for the same it is looked for once."""
    known: dict[tuple[Any, ...], str | None] = {}
    for row in blocked:
        waits = (row["flow"], *(row.get("waits_for") or (row.get("reason"),)))
        if waits not in known and len(known) < _CHAINS:
            known[waits] = value(connection, "why_blocked", row["flow"], row["record_id"])
        yield {**row, "root_cause": known.get(waits)}


def behind(connection: Asked, cause: str, limit: int) -> Rows:
    """The records behind a cause."""
    columns = sql.SQL(", ").join(map(sql.Identifier, _BEHIND))
    query = sql.SQL("select {} from sync.cause_records(%s) limit %s").format(columns)
    return _asked(connection, query, (cause, limit))


def decided(connection: Asked, limit: int) -> Rows:
    """The latest decisions, the last first."""
    return _asked(connection, sql.SQL("select * from sync.decision order by id desc limit %s").format(), (limit,))


def to_json(value: object) -> str:
    """JSON with exact decimals and ISO 8601 times, in ASCII without control characters: a terminal shows all of it."""
    return "".join(json_parts(value))


def json_parts(value: object) -> Iterator[str]:
    """The same in parts, for what is too large to be held at once: an iterator in it becomes a list."""
    yield from simplejson.JSONEncoder(use_decimal=True, default=_plain, indent=2, iterable_as_array=True).iterencode(
        value
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return str(value)
