"""A rehearsal: work that opens and commits as many transactions as it likes, and in the end has changed nothing.

Everything happens in one transaction of the database that is always rolled back; what commits and rolls back inside it
moves a savepoint. It sees one moment of the hub, and what it did itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import PoolProxiedConnection, StaticPool

from replicator.errors import Transient
from replicator.hub.changefeed import Window, open_window
from replicator.hub.connection import EXACT_JSON
from replicator.hub.statements import statements

_sql = statements(__name__)
_BUSY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
)


def _run(connection: DBAPIConnection | PoolProxiedConnection | psycopg.Connection[object], name: str) -> None:
    cursor = connection.cursor()
    try:
        cursor.execute(_sql[name].text.encode())
    finally:
        cursor.close()


class RehearsalDialect(PGDialect_psycopg):
    """PostgreSQL, but a commit and a rollback go no further than to the last savepoint."""

    supports_statement_cache = True

    def do_commit(self, dbapi_connection: PoolProxiedConnection) -> None:
        _run(dbapi_connection, "commit")

    def do_rollback(self, dbapi_connection: PoolProxiedConnection) -> None:
        _run(dbapi_connection, "rollback")


registry.register("postgresql.rehearsal", __name__, RehearsalDialect.__name__)


@contextmanager
def rehearsal(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection to the hub on which everything works and nothing lasts.

    Raises Transient when others hold what it needs, or changed it at the same time.
    """
    pooled = engine.raw_connection()
    driver = pooled.driver_connection
    assert isinstance(driver, psycopg.Connection)
    pooled.detach()
    try:
        driver.rollback()
        driver.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        _run(driver, "begin")
        own = sa.create_engine(
            engine.url.set(drivername="postgresql+rehearsal"), creator=lambda: driver, poolclass=StaticPool,
            pool_reset_on_return=None, execution_options={"preserve_rowcount": True}, **EXACT_JSON,
        )  # fmt: skip
        with own.connect() as connection:
            yield connection
    except OperationalError as problem:
        raise _in_words(problem) from problem
    finally:
        driver.close()


def _in_words(problem: OperationalError) -> Exception:
    """What a person is told of a failure."""
    if isinstance(problem.orig, _BUSY):
        return Transient(
            "somebody changes the hub at this moment, so that nothing could be planned",
            hint="try again, or when the daemon has less to do",
        )
    if isinstance(problem.orig, psycopg.errors.OutOfMemory):
        return Transient(
            "the hub's server has no room for so much in one transaction",
            hint="raise max_locks_per_transaction, or let the daemon write a part first",
        )
    return problem


class OwnWindow:
    """The log as a rehearsal reads it: what was new when it began, then what it did itself.

    A transaction does not count itself among what it sees: its own rows are told by its number, and by their place.
    """

    def __init__(self) -> None:
        self.last = 0

    def __call__(self, connection: sa.Connection, consumer: str) -> Window | None:
        """As ``open_window``."""
        window = open_window(connection, consumer)
        if window is None or window.everything:
            connection.execute(_changes["empty"])
        own = connection.execute(_changes["own"], {"last": self.last}).one()
        if own.rows:
            self.last = own.last
            connection.execute(sa.text("analyze changed"))
        if window is not None and window.everything:
            return window
        if window is None and not own.rows:
            return None
        return Window.of(connection)


_changes = statements(__name__, "own_changes")
