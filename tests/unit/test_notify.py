"""Who is told what, and when: from what is wrong now and what people were told of before."""

from __future__ import annotations

import datetime
import json
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from replicator.config import EmailSettings, NotifySettings
from replicator.errors import SystemUnavailable
from replicator.operate.notify import messages
from replicator.operate.receivers import Message, senders

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
EARLIER = NOW - datetime.timedelta(minutes=5)
SETTINGS = NotifySettings(after_seconds=60, thresholds=[10, 100])


def alarm(cause: str = "c1", *, records: int = 1, since: datetime.datetime = EARLIER) -> dict[str, Any]:
    return {
        "cause": cause, "title": f"{cause} is wrong", "records": records, "since": since, "record": "A-1",
        "root_cause": "A-0 was refused", "next": "correct A-0",
    }  # fmt: skip


def alert(cause: str = "c1", *, records: int = 1, cleared: bool = False) -> dict[str, Any]:
    return {
        "cause": cause, "title": f"{cause} is wrong", "records": records, "since": EARLIER, "told_records": records,
        "cleared_at": NOW if cleared else None,
    }  # fmt: skip


def told(alarms: list[dict[str, Any]], alerts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(message.kind, message.cause) for message in messages(alarms, alerts, SETTINGS, NOW)]


def test_a_cause_is_told_once() -> None:
    assert told([alarm()], []) == [("appeared", "c1")]
    assert told([alarm()], [alert()]) == []


def test_what_passes_soon_is_not_told() -> None:
    assert told([alarm(since=NOW - datetime.timedelta(seconds=59))], []) == []


@pytest.mark.parametrize(("before", "now", "again"), [(1, 9, False), (9, 10, True), (10, 99, False), (10, 100, True)])
def test_a_cause_is_told_again_where_it_crosses_a_threshold(before: int, now: int, again: bool) -> None:
    expected = [("grew", "c1")] if again else []
    assert told([alarm(records=now)], [alert(records=before)]) == expected


def test_what_is_over_is_told_once_and_may_come_again() -> None:
    assert told([], [alert()]) == [("cleared", "c1")]
    assert told([], [alert(cleared=True)]) == []
    assert told([alarm()], [alert(cleared=True)]) == [("appeared", "c1")]


def test_the_words_name_the_record_and_the_root_cause() -> None:
    (message,) = messages([alarm()], [], SETTINGS, NOW)
    assert message.text.splitlines() == [
        "c1 is wrong",
        "since 2026-11-23 07:55 UTC, 1 record",
        "for example: A-1",
        "root cause: A-0 was refused",
        "next: correct A-0",
    ]


MESSAGE = Message("appeared", "c1", "something is wrong", 3, EARLIER, "A-1", "A-0 was refused")


def test_a_webhook_gets_the_message_as_json() -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(json.loads(request.content))
        return httpx2.Response(204)

    settings = NotifySettings.model_validate({"webhooks": ["https://hooks.example.com/secret"]})
    for send in senders(settings, httpx2.MockTransport(answer)):
        send(MESSAGE)
    (body,) = seen
    assert body["id"] == MESSAGE.id
    assert (body["record"], body["root_cause"], body["records"]) == ("A-1", "A-0 was refused", 3)


def test_a_webhook_that_refuses_is_a_passing_failure_that_does_not_show_its_address() -> None:
    settings = NotifySettings.model_validate({"webhooks": ["https://hooks.example.com/secret"]})
    (send,) = senders(settings, httpx2.MockTransport(lambda request: httpx2.Response(500)))
    with pytest.raises(SystemUnavailable) as raised:
        send(MESSAGE)
    assert "secret" not in str(raised.value)


class Post(socketserver.StreamRequestHandler):
    """As much of a mail server as takes one message."""

    def handle(self) -> None:
        self.wfile.write(b"220 post\r\n")
        data = False
        while line := self.rfile.readline():
            if data:
                self.server.mail.append(line)  # type: ignore[attr-defined]
                data = line != b".\r\n"
                self.wfile.write(b"" if data else b"250 taken\r\n")
                continue
            word = line[:4].upper()
            data = word == b"DATA"
            self.wfile.write(b"354 go on\r\n" if data else b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


@pytest.fixture
def post() -> Iterator[Any]:
    """A mail server on loopback; ``mail`` holds the lines it took."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Post) as server:
        server.mail = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_a_mail_server_gets_the_message(post: Any) -> None:
    settings = EmailSettings(
        host="127.0.0.1", port=post.server_address[1], starttls=False, sender="hub@example.com", to=["it@example.com"]
    )
    (send,) = senders(NotifySettings(email=settings))
    send(MESSAGE)
    mail = b"".join(post.mail).decode()
    assert "Subject: [replicator] something is wrong" in mail
    assert "root cause: A-0 was refused" in mail


def test_a_mail_server_that_is_not_there_is_a_passing_failure() -> None:
    settings = EmailSettings(host="127.0.0.1", port=1, starttls=False, sender="hub@example.com", to=["it@example.com"])
    (send,) = senders(NotifySettings(email=settings))
    with pytest.raises(SystemUnavailable, match="did not take a message"):
        send(MESSAGE)
