"""Reads the log by transaction snapshots: nothing that commits late is ever skipped, nothing is read twice.

The window is what is visible now and was not visible in the snapshot kept from last time (the rule of PgQ). The
transaction that moves on writes only marks, never a captured table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from replicator.hub.statements import statements

_sql = statements(__name__)


@dataclass(frozen=True)
class Window:
    """A window under way, in the temporary table ``changed``: for each table the changes and distinct records."""

    changes: Mapping[str, int]
    records: Mapping[str, int]
    everything: bool = False
    """The hub was restored: the kept snapshot means nothing here, so everything is to be marked."""

    @staticmethod
    def of(connection: sa.Connection) -> Window:
        """The window that the temporary table holds."""
        found = connection.execute(_sql["relations"]).all()
        return Window({r.relation: r.changes for r in found}, {r.relation: r.records for r in found})


OpenWindow = Callable[[sa.Connection, str], Window | None]
"""Opens the next window of a consumer, if anything is new."""


def open_window(connection: sa.Connection, consumer: str) -> Window | None:
    """Open the next window in this transaction and keep its snapshot; None when nothing is new."""
    row = connection.execute(_sql["kept"], {"name": consumer}).one_or_none()
    if row is None:
        connection.execute(_sql["start"], {"name": consumer})
        row = connection.execute(_sql["kept"], {"name": consumer}).one()
    now = connection.execute(_sql["now"]).scalar_one()
    if row.cluster != row.here:
        connection.execute(_sql["advance"], {"name": consumer, "now": now})
        return Window({}, {}, everything=True)
    bounds = {"kept": row.snapshot, "now": now}
    if not connection.execute(_sql["any"], bounds).scalar_one():
        return None
    connection.execute(_sql["window"], bounds)
    connection.execute(sa.text("analyze changed"))
    connection.execute(_sql["advance"], {"name": consumer, "now": now})
    return Window.of(connection)
