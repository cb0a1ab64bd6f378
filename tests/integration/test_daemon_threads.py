"""The daemon's threads, in process: a defect, a thread that dies and a lead that is lost end no work for good."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import sqlalchemy as sa

from replicator import daemon
from replicator.config import Configuration
from replicator.cycle import Cycle
from replicator.daemon import Daemon
from replicator.errors import ReplicatorError
from replicator.log_lines import LogWatcher
from replicator.outbound.send import Delivered
from replicator.watcher import Watcher
from tests.fixtures.commands import until
from tests.fixtures.world import ORGANIZATION, Systems

QUICK = {"poll_seconds": 0.2, "hub_poll_seconds": 0.1, "retry_seconds": 0.1, "lease_seconds": 0.6}


@dataclass
class Heard(Watcher):
    """Remembers problems and defects."""

    problems: list[str] = field(default_factory=list)
    defects: list[tuple[str, str]] = field(default_factory=list)

    def problem(self, where: str, problem: ReplicatorError) -> None:
        self.problems.append(f"{where}: {problem}")

    def defect(self, where: str, problem: Exception) -> None:
        self.defects.append((where, type(problem).__name__))


@contextmanager
def working(systems: Systems, heard: Watcher) -> Iterator[Daemon]:
    """A daemon at work in this process."""
    configuration = Configuration.model_validate({"records": {"organization": [ORGANIZATION]}, "daemon": QUICK})
    running = Daemon(replace(systems.cycle.world, configuration=configuration, watcher=heard), "test")
    thread = threading.Thread(target=running.run, name="daemon")
    thread.start()
    try:
        yield running
    finally:
        running.stop()
        thread.join(20)
        assert not thread.is_alive()


def alive() -> list[str]:
    return [each.name for each in threading.enumerate()]


def arrives(systems: Systems, number: str) -> None:
    """An account that is made now gets to ops."""
    systems.account(number)
    until(lambda: systems.held("ops", "CustomersV3", CustomerAccount=number), what=number)


def once(error: Callable[[], BaseException], method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, which fails the first time."""
    failed: list[bool] = []

    def failing(*args: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise error()
        return method(*args, **named)

    return failing


@pytest.mark.parametrize("step", ["merge", "deliver", "read"])
def test_a_defect_in_one_thread_is_told_and_the_thread_goes_on(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    systems.reference_data()
    heard = Heard()
    monkeypatch.setattr(Cycle, step, once(lambda: ValueError("a defect"), getattr(Cycle, step)))
    with working(systems, heard):
        arrives(systems, "A-1")
    assert [kind for _, kind in heard.defects] == ["ValueError"]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("step", ["merge", "deliver", "read"])
def test_a_thread_that_died_is_noticed_and_all_are_started_anew(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    systems.reference_data()
    heard = Heard()
    monkeypatch.setattr(Cycle, step, once(lambda: SystemExit(), getattr(Cycle, step)))
    with working(systems, heard):
        until(lambda: any("has ended of itself" in each for each in heard.problems), what="that it is noticed")
        arrives(systems, "A-1")


def test_a_daemon_whose_lead_is_lost_with_a_thread_stuck_waits_for_the_lead_again(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stuck thread belongs to the old lease: when it comes back it writes nothing, and does not go on."""
    systems.reference_data()
    heard = Heard()
    monkeypatch.setattr(daemon, "STOP_SECONDS", 0.5)
    stuck, release = threading.Event(), threading.Event()
    read = Cycle.read

    def reading(self: Cycle, systems: Any = None, **named: Any) -> bool:
        if systems == ["ops"] and not stuck.is_set():
            stuck.set()
            release.wait(60)
        return read(self, systems, **named)

    monkeypatch.setattr(Cycle, "read", reading)
    with working(systems, heard):
        until(stuck.is_set, what="a thread that is stuck")
        with systems.cycle.world.engine.begin() as connection:
            connection.execute(sa.text("update sync.lease set epoch = epoch + 1, expires_at = now()"))
        until(lambda: any("has not ended yet" in each for each in heard.problems), what="the lost lead")
        arrives(systems, "A-1")
        release.set()
        arrives(systems, "A-2")
        until(lambda: alive().count("read ops") == 1, what="the end of the stuck thread")


def test_a_defect_is_logged_with_where_it_happened_and_without_what_it_says() -> None:
    lines: list[dict[str, Any]] = []

    class Log:
        def error(self, event: str, **told: Any) -> None:
            lines.append({"event": event, **told})

    watcher = LogWatcher()
    watcher.log = Log()
    try:
        raise ValueError("a record's content")
    except ValueError as problem:
        watcher.defect("merge", problem)
    [line] = lines
    assert (line["event"], line["where"], line["kind"]) == ("defect", "merge", "ValueError")
    assert "test_daemon_threads.py" in "\n".join(line["trace"])
    assert "a record's content" not in str(line)


def test_all_threads_together_have_one_deadline_when_it_stops(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "STOP_SECONDS", 1.0)
    release = threading.Event()
    stuck: list[str] = []

    def hanging(self: Cycle, names: list[str], **_: Any) -> Delivered:
        stuck.extend(names)
        release.wait(60)
        return Delivered()

    for step in ("read", "deliver"):
        monkeypatch.setattr(Cycle, step, hanging)
    with working(systems, Heard()) as running:
        until(lambda: len(stuck) == 4, what="four threads that are stuck")
        asked = time.monotonic()
        running.stop()
        until(lambda: "daemon" not in alive(), what="the end")
        assert time.monotonic() - asked < 3
        release.set()
    for each in threading.enumerate():
        if each.name.startswith(("read ", "deliver ")):
            each.join(20)
