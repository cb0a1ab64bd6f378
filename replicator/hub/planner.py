"""What PostgreSQL's planner is told: fresh statistics of tables that grew, memory, and to join large sets whole."""

from __future__ import annotations

import sqlalchemy as sa

MANY = 1000
"""From so many new rows on the planner may have to be told: without statistics a first load goes quadratic."""
_ANALYZE = sa.text("select sync.analyze(cast(:name as regclass))")
_ESTIMATE = sa.text("select greatest(reltuples, 0) from pg_class where oid = cast(:name as regclass)")


def analyze(connection: sa.Connection, grown: int, *tables: sa.Table) -> None:
    """Refresh the planner's statistics of tables that grew by so many rows, where that is much of what they hold."""
    for table in tables if grown >= MANY else ():
        known = connection.execute(_ESTIMATE, {"name": table.fullname}).scalar_one()
        if grown >= known / 5:
            connection.execute(_ANALYZE, {"name": table.fullname})


def enough_memory(connection: sa.Connection) -> None:
    """For the rest of this transaction let large joins and sorts stay in memory."""
    connection.execute(sa.text("set local work_mem = '128MB'"))


def prefer_whole_joins(connection: sa.Connection) -> None:
    """For the rest of this transaction join large sets whole: a table that the planner thinks empty may not be."""
    enough_memory(connection)
    connection.execute(sa.text("set local enable_nestloop = off"))


def thought_small(connection: sa.Connection, table: str, than: int) -> bool:
    """Whether the planner takes the table (``schema.name``) to hold fewer rows than these."""
    return bool(connection.execute(_ESTIMATE, {"name": table}).scalar_one() < than)
