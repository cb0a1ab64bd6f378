"""Waits for a record to arrive in a system: it is there, nothing is on its way, and its sources were read since."""

from __future__ import annotations

import datetime

from replicator.operate import hub_queries


class Waiting:
    """Looks again and again, on one connection. A read counts when it began after the waiting did."""

    def __init__(self, connection: hub_queries.Asked, kind: str, key: str, system: str) -> None:
        self.connection = connection
        self.record = (kind, key, system)
        self.begun: datetime.datetime = hub_queries.value(connection, "now")
        self._read = False
        self._known: bool | None = None

    def look(self) -> bool | None:
        """Whether the record has arrived; None as long as nobody knows it."""
        sources = hub_queries.called(self.connection, "sources", *self.record)
        self._read = all(row["read_at"] is not None and row["read_at"] >= self.begun for row in sources)
        self._known = hub_queries.value(self.connection, "arrived", *self.record)
        if self._known is None and not sources:
            self._read = True  # no entity set could ever tell of it
        return self._known and self._read if self._known is not None else None

    @property
    def unknown(self) -> bool:
        """Nobody knows the record, and reading its entity sets has not changed that."""
        return self._known is None and self._read

    @property
    def why(self) -> str:
        """What is missing, in a few words."""
        if self._known and not self._read:
            return "it is there, but its entity sets have not been read since"
        return "" if self._known else "it is not there as it is known now"
