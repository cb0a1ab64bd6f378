"""What is seen and heard from outside: metrics, the rules and the dashboard over them, and messages to people."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import sqlalchemy as sa
import yaml

from replicator.config import NotifySettings
from replicator.hub.connection import connect
from replicator.hub.session import METRICS
from replicator.operate import metrics
from replicator.operate.notify import Notifier
from replicator.operate.receivers import senders
from tests.fixtures.commands import until
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

MONITORING = Path(__file__).resolve().parents[2] / "docs" / "monitoring"


@pytest.fixture
def troubled(systems: Systems) -> Systems:
    """An account that ops cannot take, a quote that waits for it, and a product that arrived."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    account = systems.account("A-1", address1_country="Atlantis")
    systems.quote("Q-1", account, ["P-1"])
    systems.once()
    return systems


def samples(text: str) -> dict[str, float]:
    """Every sample, by its name and labels as they are written."""
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if not line.startswith("#")
    }


def test_the_metrics_tell_how_each_flow_stands_and_why(troubled: Systems) -> None:
    found = samples(metrics.text(troubled.cycle.world.engine))
    assert found["replicator_hub_up"] == 1
    assert found['replicator_records{flow="product > sales.products",state="in_step"}'] == 1
    assert found['replicator_records{flow="sales.accounts > account",state="rejected"}'] == 1
    assert found['replicator_records{flow="sales.quotes > quote",state="blocked"}'] == 1
    causes = [name for name in found if name.startswith("replicator_cause_records") and "sales.accounts" in name]
    assert [found[name] for name in causes] == [1]
    assert found['replicator_requests_total{system="ops"}'] > 0


def test_held_updates_are_counted_with_their_flow_and_not_as_held_deletes(systems: Systems) -> None:
    systems.reference_data()
    for number in range(20):
        theirs = {"CustomerAccount": f"A-{number}", "CustomerGroupId": "10", "OrganizationName": "Old name"}
        systems.ops.put("CustomersV3", theirs)
        systems.account(f"A-{number}")
    systems.settle()
    found = samples(metrics.text(systems.cycle.world.engine))
    assert found['replicator_records{flow="account > ops.CustomersV3",state="held"}'] == 20
    assert [name for name in found if name.startswith("replicator_held_deletes")] == []


def test_a_hub_that_does_not_answer_is_a_metric_too() -> None:
    found = samples(metrics.text(connect("postgresql://nobody@127.0.0.1:1/none")))
    assert found["replicator_hub_up"] == 0


def test_the_metrics_are_served_in_the_form_that_is_asked_for(troubled: Systems) -> None:
    with metrics.serve(troubled.cycle.world.engine, "127.0.0.1", 0) as server:
        plain = httpx2.get(f"{server.url}/metrics", trust_env=False)
        accept = {"Accept": "application/openmetrics-text"}
        modern = httpx2.get(f"{server.url}/metrics", headers=accept, trust_env=False)
    assert "# EOF" not in plain.text
    assert modern.text.endswith("# EOF\n")


@pytest.fixture
def watched_hub(hub_url: str) -> Iterator[sa.Engine]:
    """The sessions that metrics have for themselves."""
    engine = connect(hub_url, sessions=METRICS)
    yield engine
    engine.dispose()


@contextmanager
def locked(engine: sa.Engine) -> Iterator[None]:
    """Somebody works on a table that metrics read, and does not end."""
    with engine.connect() as connection, connection.begin():
        connection.execute(sa.text("lock table sync.quarantine in access exclusive mode"))
        yield


def test_a_scrape_that_takes_too_long_says_so_and_frees_its_place(hub: sa.Engine, watched_hub: sa.Engine) -> None:
    with metrics.serve(watched_hub, "127.0.0.1", 0, longest=0.5) as server:

        def scraped(_: int = 0) -> float:
            answer = httpx2.get(server.url, trust_env=False, timeout=20)
            assert answer.status_code == 200
            return samples(answer.text)["replicator_hub_up"]

        with locked(hub), ThreadPoolExecutor(8) as pool:
            assert set(pool.map(scraped, range(8))) == {0}
        assert scraped() == 1
    with hub.connect() as connection:
        names = "select application_name from pg_stat_activity where datname = current_database()"
        assert list(connection.execute(sa.text(names)).scalars()).count("replicator metrics") <= 2


class Line:
    """A line to a hub's server that can stand still: nothing comes through, and nothing is closed."""

    def __init__(self, hub_url: str) -> None:
        self._server = Path(parse_qs(urlsplit(hub_url).query)["host"][0]) / ".s.PGSQL.5432"
        self.flows = threading.Event()
        self.flows.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://hub@127.0.0.1:{self._listener.getsockname()[1]}{urlsplit(hub_url).path}"
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, far = self._listener.accept()[0], socket.socket(socket.AF_UNIX)
                far.connect(str(self._server))
                self._sockets += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self.flows.wait()
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.flows.set()
        for each in (self._listener, *self._sockets):
            each.close()


def test_a_hub_that_freezes_takes_no_place_of_those_who_ask_later(hub_url: str) -> None:
    line = Line(hub_url)
    engine = connect(line.url, sessions=METRICS)
    with metrics.serve(engine, "127.0.0.1", 0) as server, ThreadPoolExecutor(1) as pool:

        def scraped() -> float:
            return samples(httpx2.get(server.url, trust_env=False, timeout=30).text)["replicator_hub_up"]

        assert scraped() == 1
        line.flows.clear()
        first = pool.submit(scraped)
        sessions = engine.pool
        assert isinstance(sessions, sa.QueuePool)
        until(lambda: sessions.checkedout() == 1, what="a scrape under way")
        assert [scraped() for _ in range(3)] == [0, 0, 0]
        line.flows.set()
        first.result(30)
        assert scraped() == 1
    engine.dispose()
    line.close()


def test_a_hub_that_takes_connections_and_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = connect(f"postgresql://nobody@127.0.0.1:{silent.getsockname()[1]}/none", sessions=METRICS)
        since = time.monotonic()
        assert samples(metrics.text(engine))["replicator_hub_up"] == 0
        assert time.monotonic() - since < 8


def test_rules_and_dashboard_name_only_metrics_that_there_are(troubled: Systems) -> None:
    known = {name.partition("{")[0] for name in samples(metrics.text(troubled.cycle.world.engine))}
    known |= {f"replicator_{measure.name}" for measure in metrics.MEASURES} | {"replicator_cause_records"}
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text(encoding="utf-8"))
    asked = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    dashboard = json.loads((MONITORING / "dashboard.json").read_text(encoding="utf-8"))
    asked += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert set(re.findall(r"replicator_\w+", " ".join(asked))) <= known


class Receiver(httpx2.BaseTransport):
    """A webhook that keeps what it gets, and refuses while it is ``down``."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.down = False

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if self.down:
            return httpx2.Response(503)
        self.got.append(json.loads(request.read()))
        return httpx2.Response(200)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def notifier(systems: Systems, receiver: Receiver, **settings: Any) -> Notifier:
    told = NotifySettings.model_validate({"webhooks": ["https://x.example/hook"], "after_seconds": 0, **settings})
    return Notifier(systems.connection, told, senders(told, receiver))


def test_a_cause_is_told_once_with_its_record_and_root_cause_and_again_when_it_is_over(
    troubled: Systems, receiver: Receiver
) -> None:
    tell = notifier(troubled, receiver).tell
    assert tell() == 1, "the quote and its lines wait for the account, which is told"
    (message,) = receiver.got
    assert message["record"] == "A-1"
    assert "Atlantis" in message["root_cause"]
    assert tell() == 0, "nobody hears a thing twice"
    (account,) = troubled.held("sales", "accounts")
    troubled.sales.put("accounts", {**account, "address1_country": "Germany"})
    troubled.once()
    receiver.got.clear()
    assert tell() == 1
    assert [message["kind"] for message in receiver.got] == ["cleared"]


def test_what_waits_for_something_that_is_not_there_is_told_with_what_that_is(
    systems: Systems, receiver: Receiver
) -> None:
    systems.reference_data()
    systems.product("P-1", CurrencyCode="EUR")
    systems.once()
    assert notifier(systems, receiver).tell() == 1
    (message,) = receiver.got
    assert (message["record"], message["kind"]) == ("P-1", "appeared")
    assert "EUR" in message["root_cause"]


def test_a_message_that_did_not_arrive_is_sent_again(troubled: Systems, receiver: Receiver) -> None:
    receiver.down = True
    with pytest.raises(Exception, match="the webhook answered 503"):
        notifier(troubled, receiver).tell()
    receiver.down = False
    assert notifier(troubled, receiver).tell() == 1


def test_a_cause_that_grows_past_a_threshold_is_told_again(troubled: Systems, receiver: Receiver) -> None:
    tell = notifier(troubled, receiver, thresholds=[3]).tell
    tell()
    for number in range(2, 5):
        troubled.account(f"A-{number}", address1_country="Atlantis")
    troubled.once()
    receiver.got.clear()
    tell()
    assert [(message["kind"], message["records"]) for message in receiver.got] == [("grew", 4)]
