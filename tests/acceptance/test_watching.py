"""The daemon watched from outside: metrics and console served beside its work, and people told of what goes wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx2
import pytest

from tests.fixtures.commands import Workplace, in_hub, until


class Receiver:
    """A webhook of a chat or a pager: keeps the messages that it gets."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.messages.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def got(self, kind: str, words: str) -> dict[str, Any] | None:
        """A message of this kind whose text has these words."""
        return next((each for each in self.messages if each["kind"] == kind and words in each["text"]), None)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Somebody who is told."""
    receiver = Receiver()
    yield receiver
    receiver.close()


WATCHED = """\
metrics: {listen: '127.0.0.1:0'}
console: {listen: '127.0.0.1:0'}
notify: {after_seconds: 0, every_seconds: 0.2, webhooks: [{env: ALERT_URL}]}
"""


def test_run_serves_metrics_and_console_and_tells_people_what_appears_and_what_is_over(
    workplace: Workplace, receiver: Receiver
) -> None:
    systems = workplace.sandbox()
    workplace.environment["ALERT_URL"] = receiver.url
    workplace.configure(systems.urls, more=WATCHED)
    systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "Lamp Shop", "address1_country": "Atlantis"})
    daemon = workplace.start("run")

    message = until(lambda: receiver.got("appeared", "A-1"), what="a message about A-1")
    assert "Atlantis" in message["text"]
    assert "replicator causes" in message["next"]
    told = httpx2.get(daemon.logged("metrics")["url"], trust_env=False).text
    assert 'replicator_records{flow="sales.accounts > account",state="rejected"} 1.0' in told
    assert "Atlantis" in httpx2.get(f"{daemon.logged('console')['url']}/causes", trust_env=False).text

    named = "select distinct application_name from pg_stat_activity where datname = current_database()"
    assert {"replicator", "replicator console", "replicator metrics"} <= set(in_hub(workplace, named)), (
        "none of the daemon's sessions is taken for those who look"
    )

    [account] = systems.records("sales", "accounts")
    systems.change("sales", f"accounts({account['accountid']})", {"address1_country": "DE"})
    until(lambda: receiver.got("cleared", "Atlantis"), what="a message that it is over")
    told_and_open = "select count(*) from sync.alert where cleared_at is null"
    until(lambda: in_hub(workplace, told_and_open) == [0], what="no alert that is open")
    assert receiver.url not in "".join(daemon.err), "the address of a webhook is a secret"
    assert daemon.end() == 0


def test_a_message_to_try_it_arrives_and_a_receiver_that_is_away_is_told(
    workplace: Workplace, receiver: Receiver
) -> None:
    workplace.configure({"sales": "http://127.0.0.1:1", "ops": "http://127.0.0.1:1"}, more=WATCHED)
    assert workplace.tell("notify", ALERT_URL=receiver.url).out == "sent to 1\n"
    assert receiver.got("appeared", "nothing is wrong")
    away = workplace.tell("notify", ALERT_URL="http://127.0.0.1:1/secret")
    assert away.code == 4
    assert "the webhook cannot be reached" in away.err
    assert "secret" not in away.told
