"""Whom people are told through: webhooks and mail servers, each with a bound of time and size for a whole message.

Apart from what decides whom to tell of what: to try a message needs no hub, and starts in a fraction of a second.
"""

from __future__ import annotations

import datetime
import json
import smtplib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Literal

import httpx2

from replicator import exchange_limits, proxies_and_tls
from replicator.config import EmailSettings, NotifySettings
from replicator.errors import SystemUnavailable
from replicator.text import many

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


def senders(settings: NotifySettings, transport: httpx2.BaseTransport | None = None) -> list[Send]:
    """One for each receiver."""
    found: list[Send] = [_webhook(url.get_secret_value(), transport) for url in settings.webhooks]
    return found if settings.email is None else [*found, _mail(settings.email)]


def _webhook(url: str, transport: httpx2.BaseTransport | None) -> Send:
    def send(message: Message) -> None:
        body = {**vars(message), "id": message.id, "subject": message.subject, "text": message.text}
        content, headers = (
            json.dumps(body, default=datetime.datetime.isoformat).encode(),
            {"Content-Type": "application/json"},
        )
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
