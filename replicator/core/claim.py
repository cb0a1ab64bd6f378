"""Claims records of a map for one transaction, and writes back how they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import simplejson
import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError

from replicator.hub.lease import leading
from replicator.hub.statements import statements
from replicator.hub.states import State as State
from replicator.hub.sync_tables import delivery, delivery_state

_sql = statements(__name__)
_claim = sa.table("claim", *(sa.column(name) for name in ("record_id", "marked", "state")))
T = TypeVar("T")


@dataclass(frozen=True)
class Shown:
    """A record that is not in step and stays so for now."""

    record_id: int
    state: State
    record: str | None
    reason: str | None = None
    waits_for: Sequence[str] | None = None
    operation: str | None = None
    code: str | None = None
    field: str | None = None


FEW = 1000
"""Up to so many claimed records are looked up one by one; more are joined with the whole view."""


SCATTERED = 20
"""Claimed records that are fewer than one in so many of the range they span are looked up one by one, too."""
_WAITING: tuple[State, ...] = ("pending", "blocked")
"""States that a record leaves by itself, before anything of it is sent."""


@dataclass(frozen=True)
class Claimed:
    """How many records a claim holds, and the first and the last of them."""

    records: int
    first: int
    last: int

    @property
    def few(self) -> bool:
        """Better looked up one by one: few, or so scattered that the range they span holds mostly others."""
        return self.records <= FEW or self.last - self.first > SCATTERED * self.records


@dataclass(frozen=True)
class ToDo:
    """Whether a map has records in these states."""

    pending: bool = False
    blocked: bool = False
    unknown: bool = False
    due: bool = False

    @property
    def anything(self) -> bool:
        return self.pending or self.blocked or self.unknown or self.due


def to_do(connection: sa.Connection) -> dict[int, ToDo]:
    """What each map has to look at, by its id."""
    with leading(connection):
        rows = connection.execute(_sql["to_do"]).all()
    return {row.map_id: ToDo(row.pending, row.blocked, row.unknown, row.due) for row in rows}


def due_in(connection: sa.Connection) -> float | None:
    """In how many seconds the first record is tried again, or looked up; None when none will be by itself."""
    with leading(connection):
        seconds = connection.execute(_sql["due_in"]).scalar()
    return None if seconds is None else float(seconds)


def claim_records(
    connection: sa.Connection,
    map_id: int,
    states: Sequence[State],
    *,
    after: int = 0,
    limit: int,
    without: sa.Table | None = None,
) -> Claimed:
    """Claim records in these states, in the temporary table ``claim``, until this transaction ends.

    ``without`` claims only records that are no longer in that table: those to be deleted.
    """
    connection.execute(_sql["make"])
    values = {"map_id": map_id, "states": list(states), "after": after, "limit": limit}
    connection.execute(_sql["take"] if without is None else _take_gone(without), values)
    return _held(connection)


def _take_gone(source: sa.Table) -> sa.Insert:
    there = sa.exists().where(source.c.id == delivery.c.record_id)
    wanted = (
        sa.select(delivery.c.record_id, delivery.c.marked, delivery.c.state)
        .where(delivery.c.map_id == sa.bindparam("map_id"), delivery.c.record_id > sa.bindparam("after"))
        .where(delivery.c.state == sa.any_(sa.cast(sa.bindparam("states"), sa.ARRAY(delivery_state))), sa.not_(there))
        .where(sa.not_(sa.func.sync.is_paused(sa.cast(sa.bindparam("map_id"), sa.SmallInteger))))
        .order_by(delivery.c.record_id).limit(sa.bindparam("limit")).with_for_update(skip_locked=True)
    )  # fmt: skip
    return sa.insert(_claim).from_select(["record_id", "marked", "state"], wanted)


def claim_due(connection: sa.Connection, map_id: int, *, limit: int) -> Claimed:
    """Claim failed records whose pause is over."""
    connection.execute(_sql["make"])
    connection.execute(_sql["take_due"], {"map_id": map_id, "limit": limit})
    return _held(connection)


def claim_selected(connection: sa.Connection, records: sa.Select[Any]) -> Claimed:
    """Look at deliveries (record id, marks, state) that a statement selects, without taking them from anybody."""
    connection.execute(_sql["make"])
    connection.execute(sa.insert(_claim).from_select(["record_id", "marked", "state"], records))
    return _held(connection)


def claim_more(connection: sa.Connection, map_id: int, records: sa.Select[Any], claimed: Claimed) -> Claimed:
    """Claim those of ``records``, a selection of ids, that wait, beside the records under way."""
    waiting = delivery.c.state.in_([sa.cast(sa.literal(state), delivery_state) for state in _WAITING])
    here = sa.exists().where(_claim.c.record_id == delivery.c.record_id)
    wanted = sa.select(delivery.c.record_id, delivery.c.marked, delivery.c.state).where(
        delivery.c.map_id == map_id, delivery.c.record_id.in_(records), waiting, sa.not_(here)
    )
    statement = sa.insert(_claim).from_select(
        ["record_id", "marked", "state"], wanted.with_for_update(skip_locked=True)
    )
    return _held(connection) if connection.execute(statement).rowcount else claimed


def clear_claim(connection: sa.Connection) -> None:
    """Let go of the records under way, before others are looked at in the same transaction."""
    connection.execute(_sql["clear"])


def _held(connection: sa.Connection) -> Claimed:
    row = connection.execute(_sql["last"]).one()
    if row.records:
        connection.execute(sa.text("analyze claim"))
    return Claimed(row.records, row.first or 0, row.last or 0)


ClaimRow = tuple[int, int, str]
"""Record id, marks and state."""


def claimed_rows(connection: sa.Connection) -> list[ClaimRow]:
    """The claim as it is, by record id."""
    return [(row.record_id, row.marked, row.state) for row in connection.execute(_sql["held"])]


def put_claim(connection: sa.Connection, rows: Sequence[ClaimRow]) -> Claimed:
    """Make these the records under way; they have to be locked already."""
    connection.execute(_sql["clear"])
    ids, marks, states = ([row[place] for row in rows] for place in range(3))
    connection.execute(_sql["put"], {"ids": ids, "marks": marks, "states": states})
    return _held(connection)


def each_half(
    connection: sa.Connection, map_id: int, claimed: Claimed, work: Callable[[Claimed], T], *, rejected: T
) -> list[T]:
    """What ``work`` makes of the claimed records; a set that fails is halved until the bad record stands alone.

    That one is shown as rejected, with the database's words, and counts as ``rejected``.
    """
    try:
        with connection.begin_nested():
            return [work(claimed)]
    except (DataError, IntegrityError) as problem:
        rows = claimed_rows(connection)
        if len(rows) == 1:
            words = str(problem.orig).split("\n", maxsplit=1)[0]
            code = getattr(problem.orig, "sqlstate", None)
            show(connection, map_id, [Shown(rows[0][0], "rejected", None, words, code=code)])
            return [rejected]
    middle = len(rows) // 2
    return [
        result
        for half in (rows[:middle], rows[middle:])
        for result in each_half(connection, map_id, put_claim(connection, half), work, rejected=rejected)
    ]


def settle_all(connection: sa.Connection, map_id: int, claimed: Claimed, finished: sa.Select[Any]) -> int:
    """The claimed records that ``finished`` selects are in step; how many there were.

    The range keeps it off what earlier sets of a large merge left behind, which only a vacuum clears away.
    """
    held = sa.table("claim", sa.column("record_id", sa.BigInteger()), sa.column("marked", sa.Integer()))
    done = finished.subquery("done")
    statement = sa.delete(delivery).where(
        delivery.c.map_id == map_id,
        delivery.c.record_id.between(claimed.first, claimed.last),
        delivery.c.record_id == held.c.record_id,
        delivery.c.record_id == done.c.record_id,
        delivery.c.marked == held.c.marked,
    )
    return connection.execute(statement).rowcount


def settle(connection: sa.Connection, map_id: int, ids: Sequence[int]) -> None:
    """These records are in step."""
    if ids:
        connection.execute(_sql["settled"], {"map_id": map_id, "ids": list(ids)})


def show(connection: sa.Connection, map_id: int, outcomes: Sequence[Shown]) -> None:
    """These records are not in step, for the reason given."""
    if outcomes:
        rows = [
            {**vars(outcome), "waits_for": None if outcome.waits_for is None else list(outcome.waits_for)}
            for outcome in outcomes
        ]
        connection.execute(_sql["show"], {"map_id": map_id, "outcomes": simplejson.dumps(rows)})
