"""The receiver of hints: who is believed, what is too much, what a request means, and that many hints are one call."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from replicator.config import HintsSettings
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.hints.hints_to_hub import AGAIN_SECONDS, EVERY_SECONDS, HintsToHub
from replicator.hints.named_sets import meant
from replicator.hints.receiver import LARGEST, Receiver
from replicator.hints.request_rate import RequestRate
from replicator.mapping.compiled import Compiled
from replicator.watcher import Watcher

KEY = "a-key-that-nobody-guesses"
SETTINGS = HintsSettings.model_validate({"url": "https://hub.example.com", "key": KEY, "per_second": 5})


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class Unread(io.BytesIO):
    """A body that nobody may look at."""

    def read(self, *_: Any) -> bytes:
        raise AssertionError("the body was read")


@dataclass
class Told:
    """A receiver, what it was told is due, and requests to it."""

    compiled: Compiled
    clock: Clock = field(default_factory=Clock)
    due: list[tuple[str, set[str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        sets = {name: self.compiled.schema.sets_of(name) for name in self.compiled.schema.systems}
        self.receiver = Receiver(sets, SETTINGS, self._add, clock=self.clock)
        self.sets = {system: {each.name for each in own} for system, own in sets.items()}

    def _add(self, system: str, names: Collection[str]) -> None:
        self.due.append((system, set(names)))

    def ask(
        self, path: str = "/hints/sales", query: str = f"code={KEY}", body: bytes = b"", *, table: str = "",
        **other: Any,
    ) -> int:  # fmt: skip
        """The status of the answer to a request, which may have other lines in its WSGI environment."""
        found: list[str] = []
        environ = {
            "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": query, "CONTENT_LENGTH": str(len(body)),
            "REMOTE_ADDR": "192.0.2.1", "HTTP_X_MS_DYNAMICS_ENTITY_NAME": table, "wsgi.input": io.BytesIO(body),
            **({"wsgi.input": Unread()} if table else {}), **other,
        }  # fmt: skip

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> Callable[[bytes], object]:
            found.append(status)
            self.headers = dict(headers)
            return lambda _: None

        assert b"".join(self.receiver(environ, start_response)) == b""
        return int(found[0].partition(" ")[0])


@pytest.fixture
def told(compiled: Compiled) -> Told:
    return Told(compiled)


def test_whoever_knows_the_key_says_which_table_changed_and_its_body_is_not_looked_at(told: Told) -> None:
    assert told.ask(table="account") == 202
    assert told.ask(query="", HTTP_X_REPLICATOR_KEY=KEY, table="Quote") == 202
    assert told.due == [("sales", {"accounts"}), ("sales", {"quotes"})]


@pytest.mark.parametrize(
    "query",
    ["", "code=", "code=wrong", f"code={KEY}x", f"code={KEY[:-1]}", f"other={KEY}", f"code=wrong&code={KEY}",
     "&".join(f"a{n}=1" for n in range(50)) + f"&code={KEY}", "code=%ff%00", "code=ü"],
)  # fmt: skip
def test_whoever_does_not_know_the_key_is_refused_and_nothing_is_due(told: Told, query: str) -> None:
    assert told.ask(query=query, table="account") == 401
    assert told.due == []


@given(st.text(alphabet=st.characters(max_codepoint=255), max_size=40))
def test_no_text_but_the_key_is_taken_for_it(compiled: Compiled, text: str) -> None:
    told = Told(compiled)
    assert told.ask(query=f"code={text}") == (202 if text == KEY else 401)
    assert told.ask(query="", HTTP_X_REPLICATOR_KEY=text) == (202 if text == KEY else 401)


def test_which_systems_there_are_is_told_to_nobody_without_the_key(told: Told) -> None:
    assert told.ask("/hints/nobody", query="") == told.ask("/hints/sales", query="") == told.ask("/", query="") == 401
    told.clock.now += 1
    assert [told.ask(path) for path in ("/hints/nobody", "/hints/sales/x", "/hints/", "/")] == [404] * 4
    assert told.due == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_are_refused(told: Told, method: str) -> None:
    assert told.ask(REQUEST_METHOD=method) == 405
    assert told.headers["Allow"] == "POST"
    assert told.due == []


@pytest.mark.parametrize("length", [str(LARGEST + 1), "9" * 30, "-1", "many"])
def test_more_than_an_event_can_hold_is_refused_unread(told: Told, length: str) -> None:
    assert told.ask("/hints/ops", CONTENT_LENGTH=length, table="any") == 413
    assert told.due == []


def test_a_storm_is_refused_for_a_while_and_strangers_take_nothing_from_those_who_know_the_key(told: Told) -> None:
    assert [told.ask(query="") for _ in range(7)] == [401] * 5 + [429] * 2
    assert [told.ask() for _ in range(7)] == [202] * 5 + [429] * 2
    assert told.headers["Retry-After"] == "1"
    told.clock.now += 0.4
    assert [told.ask() for _ in range(3)] == [202, 202, 429]


def test_a_refusal_is_logged_once_a_minute_and_names_no_key(told: Told) -> None:
    with structlog.testing.capture_logs() as lines:
        told.receiver._log = structlog.get_logger("replicator")
        for _ in range(3):
            told.ask(query="code=a-guess")
        told.clock.now += 61
        told.ask(query="code=a-guess")
    assert [line["address"] for line in lines] == ["192.0.2.1"] * 2
    assert "guess" not in str(lines)
    assert KEY not in str(lines) + repr(SETTINGS) + repr(vars(told.receiver))


SECRET = "a record's content"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"PrimaryEntityName": "mserp_custcustomerv3entity", "Target": SECRET}, None),
        ({"PrimaryEntityName": "customersv3"}, {"CustomersV3"}),
        ({"BusinessEventId": "CustomersV3", "LegalEntity": "usmf"}, {"CustomersV3"}),
        ({"BusinessEventId": "SalesOrderConfirmed", "LegalEntity": "usmf"}, None),
        ({"PrimaryEntityName": None, "BusinessEventId": 7}, None),
        ([SECRET], None),
        ("[" * 100_000, None),
        ("", None),
        ("\ud800", None),
    ],
    ids=str,
)  # fmt: skip
def test_a_body_may_name_the_set_and_else_all_of_the_system_are_due(told: Told, body: Any, names: set[str]) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert told.ask("/hints/ops", body=text.encode("utf-8", "surrogatepass")) == 202
    assert told.due == [("ops", names or told.sets["ops"])]
    assert SECRET not in repr(vars(told.receiver))


def test_a_table_that_is_not_read_makes_nothing_due_where_each_set_says_its_table(told: Told) -> None:
    assert told.ask(table="systemuser") == 202
    assert told.ask("/hints/ops", table="systemuser") == 202
    assert told.due == [("sales", set()), ("ops", told.sets["ops"])]


@given(st.binary(max_size=200))
def test_whatever_a_body_holds_sets_of_the_system_are_due(compiled: Compiled, body: bytes) -> None:
    sets = compiled.schema.sets_of("ops")
    assert meant(sets, "", lambda: body) <= {each.name for each in sets} != set()


def test_so_many_requests_a_second_are_taken_and_as_many_at_once_after_a_rest() -> None:
    clock = Clock()
    rate = RequestRate(2, clock)
    assert [rate.wait(), rate.wait(), rate.wait()] == [0, 0, 0.5]
    clock.now += 0.5
    assert [rate.wait(), rate.wait()] == [0, 0.5]
    clock.now += 3600
    assert [rate.wait(), rate.wait(), rate.wait()] == [0, 0, 0.5]


def test_less_than_one_request_a_second_is_a_rate_too() -> None:
    clock = Clock()
    rate = RequestRate(0.1, clock)
    assert [rate.wait(), rate.wait()] == [0, 10]
    clock.now += 10
    assert rate.wait() == 0


@dataclass
class Problems(Watcher):
    """Remembers problems and defects."""

    found: list[str] = field(default_factory=list)

    def problem(self, where: str, problem: ReplicatorError) -> None:
        self.found.append(f"{where}: {problem.message}")

    def defect(self, where: str, problem: Exception) -> None:
        self.found.append(f"{where}: {type(problem).__name__}")


@dataclass
class Hub:
    """What a hub was brought, and the failures that it has still in store."""

    failures: list[Exception] = field(default_factory=list)
    brought: list[dict[str, set[str]]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    meanwhile: list[tuple[str, str]] = field(default_factory=list)
    problems: Problems = field(default_factory=Problems)

    def __post_init__(self) -> None:
        self.hints = HintsToHub(self.bring, self.problems, self.pause)

    def bring(self, hints: Mapping[str, Collection[str]]) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.brought.append({system: set(names) for system, names in hints.items()})

    def pause(self, seconds: float) -> bool:
        """Time passes, in which more hints come; the end, where there is nothing to bring any more."""
        self.pauses.append(seconds)
        for system, name in self.meanwhile:
            self.hints.add(system, {name})
        self.meanwhile = []
        return not self.hints._there.is_set()


def test_many_hints_are_one_call_and_the_next_one_waits() -> None:
    hub = Hub(meanwhile=[("sales", "quotes")] * 100 + [("ops", "CustomersV3"), ("sales", "accounts")])
    hub.hints.add("sales", {"quotes"})
    hub.hints.add("sales", set())
    hub.hints.run()
    assert hub.brought == [{"sales": {"quotes"}}, {"sales": {"quotes", "accounts"}, "ops": {"CustomersV3"}}]
    assert hub.pauses == [EVERY_SECONDS] * 2


def test_what_a_hub_that_is_down_was_not_told_is_told_it_later_with_what_came_meanwhile() -> None:
    down = [psycopg.OperationalError("the hub is down")] * 3
    hub = Hub(failures=[*down], meanwhile=[("ops", "CustomersV3")])
    hub.hints.add("sales", {"quotes"})
    hub.hints.run()
    assert hub.brought == [{"sales": {"quotes"}, "ops": {"CustomersV3"}}]
    assert hub.pauses == [AGAIN_SECONDS] * 3 + [EVERY_SECONDS]
    assert hub.problems.found == ["hints: the hub: the hub is down"], "told once, and not for a single failure"


def test_a_defect_loses_hints_and_not_the_thread() -> None:
    hub = Hub(failures=[ValueError("a defect")], meanwhile=[("sales", "accounts")])
    hub.hints.add("sales", {"quotes"})
    hub.hints.run()
    assert hub.brought == [{"sales": {"accounts"}}]
    assert hub.problems.found == ["hints: ValueError"]


def test_closed_it_ends_also_while_it_waits() -> None:
    hints = HintsToHub(lambda _: None, Problems())
    thread = threading.Thread(target=hints.run)
    thread.start()
    hints.close()
    thread.join(10)
    assert not thread.is_alive()


def settings(**values: object) -> HintsSettings:
    return HintsSettings.model_validate({"url": "https://hub.example.com", "key": KEY} | values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"key": "short"}, "at least 16"),
        ({"key": "a key with blanks & signs"}, "letters, digits"),
        ({"url": "http://hub.example.com"}, "in the clear"),
        ({"url": "https://hub.example.com?x=1"}, "not https"),
        ({"url": "https://a:b@hub.example.com"}, "not https"),
        ({"url": "hub.example.com"}, "not https"),
        ({"certificate": "a.pem"}, "belong together"),
        ({"certificate_key": "a.pem"}, "belong together"),
        ({"listen": "hub.example.com:443"}, "not on a name"),
        ({"per_second": 0}, "greater than 0"),
    ],
)
def test_settings_that_would_be_open_or_reach_nobody_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**values)


def test_an_address_that_others_reach_needs_a_certificate() -> None:
    with pytest.raises(ConfigurationError, match=r"in the clear to 0\.0\.0\.0:8443"):
        settings(listen="0.0.0.0:8443").check()
    settings(listen="0.0.0.0:8443", certificate="a.pem", certificate_key="b.pem").check()
    settings().check()


def test_systems_give_their_hints_at_an_address_of_their_own() -> None:
    assert settings(url="https://hub.example.com/x/").url_of("sales") == "https://hub.example.com/x/hints/sales"
    assert settings(url="http://127.0.0.1:8443").url_of("ops") == "http://127.0.0.1:8443/hints/ops"
