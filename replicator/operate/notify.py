"""Tells people when something first goes wrong, grows past a threshold, or is over: by webhook and by e-mail.

What is wrong is ``sync.alarms``; what people were told of is in ``sync.alert``, so that nobody hears a thing twice,
not from the next leader either. It is written after the sending: a crash in between repeats a message, and loses none.
"""

from __future__ import annotations

import datetime
import smtplib
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any, Literal

import httpx2
import sqlalchemy as sa

from replicator import exchange_limits, proxies_and_tls
from replicator.config import EmailSettings, NotifySettings
from replicator.errors import ReplicatorError, SystemUnavailable
from replicator.hub.lease import leading
from replicator.hub.statements import statements
from replicator.operate import hub_queries
from replicator.text import many, visible

_sql = statements(__name__)
_SECONDS, _SECONDS_MAIL = 5.0, 15.0
"""For a whole message: to a webhook, and to a mail server, which takes its turns to answer."""
_BYTES = 2**16
"""Of a receiver's answers: nothing in them is used but the status."""
Kind = Literal["appeared", "grew", "cleared"]
Send = Callable[["Message"], None]
"""Sends a message to one receiver; raises a Transient error when it did not arrive."""


@dataclass(frozen=True)
class Message:
    """One thing to tell. ``id`` is the same when a message is repeated, so that receivers can tell."""

    kind: Kind
    cause: str
    title: str
    records: int
    since: datetime.datetime
    record: str | None = None
    root_cause: str | None = None
    next: str | None = None

    @property
    def id(self) -> str:
        return f"{self.cause}-{self.since:%Y%m%dT%H%M%S}-{self.kind}-{self.records if self.kind == 'grew' else ''}"

    @property
    def subject(self) -> str:
        """One line for people."""
        now = f"now {many(self.records, 'record')}: "
        return {"appeared": "", "grew": now, "cleared": "over: "}[self.kind] + self.title

    @property
    def text(self) -> str:
        """The whole of it for people."""
        lines = [self.subject, f"since {self.since:%Y-%m-%d %H:%M} UTC, {many(self.records, 'record')}"]
        lines += [f"for example: {self.record}"] if self.record else []
        lines += [f"root cause: {self.root_cause}"] if self.root_cause else []
        lines += [f"next: {self.next}"] if self.next else []
        return "\n".join(lines)


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


def senders(settings: NotifySettings, transport: httpx2.BaseTransport | None = None) -> list[Send]:
    """One for each receiver."""
    found: list[Send] = [_webhook(url.get_secret_value(), transport) for url in settings.webhooks]
    return found if settings.email is None else [*found, _mail(settings.email)]


def _webhook(url: str, transport: httpx2.BaseTransport | None) -> Send:
    def send(message: Message) -> None:
        body = {**vars(message), "id": message.id, "subject": message.subject, "text": message.text}
        content, headers = hub_queries.to_json(body).encode(), {"Content-Type": "application/json"}
        try:
            with exchange_limits.exchange(_SECONDS, _BYTES) as bounds:
                ways = proxies_and_tls.ways_to(url, transport)
                with (
                    httpx2.Client(transport=ways.transport, mounts=ways.mounts, timeout=_SECONDS) as client,
                    client.stream("POST", url, content=content, headers=headers) as answer,
                ):
                    status = answer.status_code  # of the body nothing is read
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            why = bounds.excess or type(problem).__name__
            raise SystemUnavailable(
                f"the webhook cannot be reached ({why})", hint="look at 'notify: webhooks:'"
            ) from None
        if status >= 300:
            raise SystemUnavailable(f"the webhook answered {status}", hint="look at 'notify: webhooks:'")

    return send


class _MailServer(smtplib.SMTP):
    """A mail server that is spoken to over a connection with bounds."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return exchange_limits.connect(host, port, timeout)


def _mail(settings: EmailSettings) -> Send:
    def send(message: Message) -> None:
        mail = EmailMessage()
        mail["Subject"] = " ".join(f"[replicator] {message.subject}".split())[:200]
        mail["From"], mail["To"] = settings.sender, ", ".join(settings.to)
        mail["X-Alert-Id"] = message.id
        mail.set_content(message.text)
        try:
            with (
                exchange_limits.exchange(_SECONDS_MAIL, _BYTES) as bounds,
                _MailServer(settings.host, settings.port, timeout=_SECONDS_MAIL) as server,
            ):
                if settings.starttls:
                    server.starttls(context=proxies_and_tls.tls())
                if settings.user and settings.password:
                    server.login(settings.user, settings.password.get_secret_value())
                server.send_message(mail)
        except (OSError, smtplib.SMTPException) as problem:
            why = bounds.excess or type(problem).__name__
            raise SystemUnavailable(
                f"the mail server {settings.host} did not take a message ({why})",
                hint="look at 'notify: email:'",
            ) from None

    return send
