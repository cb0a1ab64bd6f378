"""What is known of each system's patience, kept in ``sync.system``: a pause outlasts who was asked for it."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.connectors.protocol import Usage
from replicator.errors import Throttled
from replicator.hub.lease import leading
from replicator.hub.sync_tables_for_people import system

PauseOf = Callable[[sa.Connection, str], Throttled | None]
"""What is left of the pause that a system asked for."""


def note_usage(connection: sa.Connection, name: str, usage: Usage) -> None:
    """Note it, in the transaction that is open. Of two pauses the longer one counts, whoever was asked for it."""
    statement = insert(system).values(name=name, **vars(usage), at=sa.func.sync.now())
    row: dict[str, sa.ColumnElement[object]] = {each: statement.excluded[each] for each in (*vars(usage), "at")}
    row["paused_until"] = sa.func.greatest(system.c.paused_until, statement.excluded.paused_until)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))


def pause_of(connection: sa.Connection, name: str) -> Throttled | None:
    """The pause that a system asked for, whichever process it told so: until it is over it is asked for nothing."""
    left = sa.extract("epoch", system.c.paused_until - sa.func.sync.now())
    wanted = sa.select(left, system.c.paused_until).where(system.c.name == name, left > 0)
    with leading(connection):
        row = connection.execute(wanted).one_or_none()
    if row is None:
        return None
    until = row.paused_until.isoformat(" ", "seconds")
    words = f"{name} asked for a pause until {until}, and is neither read nor written to before"
    return Throttled(words, retry_after=float(row[0]))
