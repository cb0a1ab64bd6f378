"""``once`` waits for what is due soon: systems that ask for a pause, and records that are tried again after one."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import pytest

from replicator.cycle import PATIENCE, Cycle
from tests.fixtures.world import Systems

Answering = Callable[[httpx2.Request], httpx2.Response]
Fault = Callable[[httpx2.Request, Answering], httpx2.Response]


@dataclass
class Time:
    """Passes only while ``once`` waits: for the hub and for the connectors."""

    systems: Systems
    waited: list[float] = field(default_factory=list)
    begun: datetime.datetime = field(default_factory=lambda: datetime.datetime.now(datetime.UTC))

    def now(self) -> datetime.datetime:
        return self.begun + datetime.timedelta(seconds=sum(self.waited))

    def wait(self, seconds: float) -> bool:
        self.waited.append(seconds)
        self._set()
        return True

    def _set(self) -> None:
        self.systems.run("select set_config('sync.now', :now, false)", now=self.now().isoformat())

    def stands(self) -> None:
        self._set()
        connectors: Any = self.systems.cycle.world.connectors
        for connector in connectors.values():
            connector.http.clock = self.now


@pytest.fixture
def clock(systems: Systems) -> Time:
    """Two accounts on their way, in systems that have been read; and the time."""
    systems.reference_data()
    systems.once()
    systems.account("A-1")
    systems.account("A-2")
    found = Time(systems)
    found.stands()
    systems.cycle = Cycle(replace(systems.cycle.world, wait=found.wait), systems.connection)
    return found


def customers(systems: Systems) -> list[str]:
    return sorted(row["CustomerAccount"] for row in systems.ops.records("CustomersV3"))


def disturb(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, fault: Fault, *, method: str = "POST", times: int = 1
) -> list[httpx2.Request]:
    """Do this to the next requests to ops; those that it was done to."""
    wire, done = systems.wire["ops"], list[httpx2.Request]()
    send = wire.handle_request

    def act(request: httpx2.Request) -> httpx2.Response:
        if request.method == method and len(done) < times:
            done.append(request)
            return fault(request, send)
        return send(request)

    monkeypatch.setattr(wire, "handle_request", act)
    return done


def throttle(seconds: int) -> Fault:
    return lambda request, send: httpx2.Response(429, headers={"Retry-After": str(seconds)}, json={})


def lose(request: httpx2.Request, send: Answering) -> httpx2.Response:
    send(request)
    raise httpx2.ReadError("cut", request=request)


def fail(request: httpx2.Request, send: Answering) -> httpx2.Response:
    return httpx2.Response(503)


@pytest.mark.parametrize("method", ["POST", "GET"], ids=["writing", "reading"])
def test_a_pause_that_a_system_asks_for_is_waited_for(
    systems: Systems, clock: Time, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    disturb(systems, monkeypatch, throttle(3), method=method)
    systems.once()
    assert customers(systems) == ["A-1", "A-2"]
    assert clock.waited == [pytest.approx(3, abs=0.5)]
    assert systems.why("failed") == {}
    assert systems.rows("select * from sync.problems") == []


def test_what_was_not_answered_and_not_looked_up_at_once_is_looked_up_when_its_pause_is_over(
    systems: Systems, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb(systems, monkeypatch, lose, times=2)
    systems.once()
    assert customers(systems) == ["A-1", "A-2"]
    assert clock.waited
    assert systems.why("failed") == {}


def test_a_long_pause_is_not_waited_for(systems: Systems, clock: Time, monkeypatch: pytest.MonkeyPatch) -> None:
    disturb(systems, monkeypatch, throttle(120))
    systems.once()
    assert clock.waited == []
    assert set(systems.why("failed")) == {"A-1", "A-2"}


def test_a_pause_outlasts_the_process_and_no_retry_lifts_it(
    systems: Systems, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    disturb(systems, monkeypatch, throttle(300))
    systems.once()
    connectors: Any = systems.cycle.world.connectors
    for connector in connectors.values():
        connector.http._pauses.clear()  # as those of another process, which knows nothing of it
    systems.run("select sync.retry()")
    asked = disturb(systems, monkeypatch, fail, times=1_000)
    read = disturb(systems, monkeypatch, fail, method="GET", times=1_000)
    systems.account("A-3")
    systems.cycle = Cycle(systems.cycle.world, systems.connection)
    systems.problems.found.clear()
    systems.once()
    assert (asked, read) == ([], [])
    ((where, problem),) = systems.problems.found
    assert where == "ops"
    assert "asked for a pause until" in problem.message
    assert systems.rows("select paused_until > sync.now() as paused from sync.systems where system = 'ops'") == [
        {"paused": True}
    ]
    monkeypatch.undo()
    clock.wait(301)
    systems.problems.found.clear()
    systems.settle()
    assert customers(systems) == ["A-1", "A-2", "A-3"]


def test_a_system_in_a_pause_is_not_read_again_after_each_wave_of_writes(
    systems: Systems, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is."""
    disturb(systems, monkeypatch, throttle(300))
    read = disturb(systems, monkeypatch, lambda request, send: send(request), method="GET", times=1_000)
    systems.run("update sync.entity_set set token = null where system = 'ops'")  # page by page, which is no POST
    systems.product("P-1")
    systems.once()
    assert len(systems.held("sales", "products", productnumber="P-1")) == 1
    sets = systems.cycle.world.compiled.schema.sets_of("ops")
    assert len(read) == len(sets)
    assert clock.waited == []


def test_a_system_that_goes_on_failing_is_not_waited_for_without_end(
    systems: Systems, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = disturb(systems, monkeypatch, fail, times=1_000)
    systems.once()
    assert 0 < sum(clock.waited) <= PATIENCE
    assert len(asked) < 30
    assert set(systems.why("failed")) == {"A-1", "A-2"}
