"""Waking whoever waits for the hub to change: a notification is a hint, and polling finds the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from replicator.hub.session import Session, driver

if TYPE_CHECKING:
    import sqlalchemy as sa

CHANNEL = "replicator"
HINTS = "replicator_hints"
"""On which ``sync.hint`` names the system that said something; see ``hub/sql/hints.sql``."""


def notify(connection: Session | sa.Connection) -> None:
    """Wake whoever waits for the hub to change."""
    own = driver(connection)
    with own.transaction():
        own.execute("select pg_notify(%s, '')", (CHANNEL,))


class Listener:
    """Waits for a notification, or for the time to pass, whichever comes first."""

    def __init__(self, engine: sa.Engine, channel: str = CHANNEL) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._driver = driver(self._connection)
        self._driver.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(channel)))

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.invalidate()
        self._connection.close()

    def wait(self, seconds: float) -> set[str]:
        """Return at the first notification, at the latest after ``seconds``: what those said that came."""
        return {each.payload for each in self._driver.notifies(timeout=seconds, stop_after=1)}
