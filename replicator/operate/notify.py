"""Tells people when something first goes wrong, grows past a threshold, or is over: by webhook and by e-mail.

What is wrong is ``sync.alarms``; what people were told of is in ``sync.alert``, so that nobody hears a thing twice,
not from the next leader either. It is written after the sending: a crash in between repeats a message, and loses none.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from replicator.config import NotifySettings
from replicator.errors import ReplicatorError
from replicator.hub.lease import leading
from replicator.hub.statements import statements
from replicator.operate import hub_queries
from replicator.operate.receivers import Kind, Message, Send
from replicator.text import visible

_sql = statements(__name__)


def messages(
    alarms: Sequence[Mapping[str, Any]],
    alerts: Sequence[Mapping[str, Any]],
    settings: NotifySettings,
    now: datetime.datetime,
) -> list[Message]:
    """What to tell, from what is wrong now and what has been told."""
    told = {row["cause"]: row for row in alerts if row["cleared_at"] is None}
    found: list[Message] = []
    for row in alarms:
        before = told.get(row["cause"])
        if before is None:
            if (now - row["since"]).total_seconds() >= settings.after_seconds:
                found.append(_message("appeared", row))
        elif _step(row["records"], settings.thresholds) > _step(before["told_records"], settings.thresholds):
            found.append(_message("grew", row))
    here = {row["cause"] for row in alarms}
    gone = (row for cause, row in told.items() if cause not in here)
    return [*found, *(_message("cleared", row) for row in gone)]


def _step(records: int, thresholds: Sequence[int]) -> int:
    return sum(1 for threshold in thresholds if records >= threshold)


def _message(kind: Kind, row: Mapping[str, Any]) -> Message:
    record, root_cause, after = (
        None if (text := row.get(name)) is None else visible(text) for name in ("record", "root_cause", "next")
    )
    return Message(kind, row["cause"], visible(row["title"]), row["records"], row["since"], record, root_cause, after)


class Notifier:
    """Compares, sends and remembers; on one connection."""

    def __init__(
        self,
        connection: sa.Connection,
        settings: NotifySettings,
        senders: Sequence[Send],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.connection, self.settings, self.senders, self.stopping = connection, settings, senders, stopping

    def tell(self) -> int:
        """Tell what is new; how many messages there were. Raises the last error when a receiver did not get one.

        What is not told because the replicator is stopping is told by the next one.
        """
        alarms, alerts = hub_queries.rows(self.connection, "alarms"), hub_queries.rows(self.connection, "alert")
        with self.connection.begin():
            now = self.connection.execute(sa.select(sa.func.sync.now())).scalar_one()
        found = messages(alarms, alerts, self.settings, now)
        failed: ReplicatorError | None = None
        for message in found:
            if self.stopping():
                break
            try:
                for send in self.senders:
                    send(message)
            except ReplicatorError as problem:
                failed = problem
                continue
            self._remember(message)
        if failed is not None:
            raise failed
        return len(found)

    def _remember(self, message: Message) -> None:
        with leading(self.connection):
            self.connection.execute(_sql["cleared" if message.kind == "cleared" else "told"], vars(message))
