"""The daemon killed with ``kill -9`` again and again, and its database with it: nothing is lost, nothing is doubled.

The systems go on meanwhile, and so do the people in them. In the end both systems hold what an uninterrupted run of the
same changes leaves in them, and there is nothing more to do.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import get_args

import pytest

from replicator.hub import embedded
from replicator.mapping.compiled import Compiled
from tests.fixtures.commands import Process, Workplace, until
from tests.fixtures.proxy import Hold, Point, pages, proxies, writing
from tests.fixtures.trade import KINDS, Held, People, Trade, difference, start

SEED = 20261123
LONGEST_LIFE = 2.0
"""Seconds that a daemon lives at most where it is killed at any moment: from before its first statement to at rest."""
DELIVERED = {"ops": "changed_account", "sales": "changed_product"}
"""A change that has to be written to this system."""

STOPS = ("before the point", "at the point", "after the kill")
"""When the database is stopped and started, in turn. Before a point the daemon has to go on by itself to come to it."""


@pytest.fixture
def server() -> Iterator[embedded.EmbeddedServer]:
    """A database server of this test's own. Only a power cut needs what is off here, and nobody cuts the power."""
    folder = Path("/tmp", f"hub-killed-{uuid.uuid4().hex[:12]}")  # see tests/fixtures/postgres.py for why there
    folder.mkdir(mode=0o711)
    yield begin(folder / "home")
    embedded.stop(folder / "home", mode="immediate")
    shutil.rmtree(folder)


def begin(home: Path) -> embedded.EmbeddedServer:
    return embedded.start(home, die_with_parent=True, settings={"fsync": "off", "full_page_writes": "off"})


@contextmanager
def trade_on(url: str, folder: Path, compiled: Compiled) -> Iterator[Trade]:
    """The trade on a hub of its own, in step."""
    folder.mkdir()
    start(folder / "load")
    place = Workplace(folder, url)
    systems = place.sandbox(load=folder / "load")
    with proxies(systems.urls) as both:
        trade = Trade(place, systems, both, compiled)
        trade.configure()
        trade.once_more()
        yield trade
    place.close()


def uninterrupted(url: str, folder: Path, compiled: Compiled, history: list[str]) -> Held:
    """What both systems hold when nobody is killed while people do the same."""
    with trade_on(url, folder, compiled) as trade:
        People(trade.systems, Random(SEED)).work(*history)
        trade.once_more()
        return trade.held


@dataclass
class Ordeal:
    """Kills daemons, and now and then their database."""

    trade: Trade
    server: embedded.EmbeddedServer
    tell: Callable[[str], None]
    people: People = field(init=False)
    random: Random = field(default_factory=lambda: Random(SEED))
    killed: dict[str, int] = field(default_factory=dict)
    stops: int = 0

    def __post_init__(self) -> None:
        self.people = People(self.trade.systems, Random(SEED))

    def run(self, kills: int, *, stop_every: int) -> None:
        """So many kills, with a stop of the database at each so many of them; then the daemon is left alone."""
        begun, daemon = time.monotonic(), self.trade.daemon()
        for number in range(1, kills + 1):
            stop = STOPS[self.stops % len(STOPS)] if number % stop_every == 0 else None
            self.people.work(*self.random.choices(KINDS, k=self.random.randint(1, 4)))
            self._restart_server(stop == "before the point")
            held = self._come_to_a_point()
            self._restart_server(stop == "at the point")
            daemon.end(signal.SIGKILL)
            self._restart_server(stop == "after the kill")
            daemon.close()
            daemon = self._start_another(held)
            if number % 10 == 0:
                self.tell(f"{number} of {kills} kills, {self.people.done} changes, {time.monotonic() - begun:.0f} s")
        self._at_rest(daemon)
        points = ", ".join(f"{count} {point}" for point, count in sorted(self.killed.items()))
        self.tell(f"{kills} kills ({points}), {self.stops} stops of the database, {time.monotonic() - begun:.0f} s")

    def _come_to_a_point(self) -> Hold | None:
        """Wait for a moment to kill at: any moment, or a named point of a request, which is then held there."""
        point: Point | None = self.random.choice([None, *get_args(Point)])
        what = self.random.choice([writing, writing, pages])
        name = f"{point} {what.__name__}" if point else "at any moment"
        self.killed[name] = self.killed.get(name, 0) + 1
        if point is None:
            threading.Event().wait(self.random.uniform(0, LONGEST_LIFE))
            return None
        system = self.random.choice(sorted(DELIVERED))
        held = Hold(point)
        self.trade.proxies[system].disturb(held, only=what)
        self.people.work(DELIVERED[system])
        held.wait()
        return held

    def _start_another(self, held: Hold | None) -> Process:
        """Another daemon; a late request of the killed one reaches the system while that works."""
        daemon = self.trade.daemon()
        if held is not None:
            held.let_go()
        return daemon

    def _restart_server(self, now: bool) -> None:
        if now:
            self.stops += 1
            embedded.stop(self.server.home, mode="immediate")
            begin(self.server.home)

    def _at_rest(self, daemon: Process) -> None:
        """Wait until the daemon has nothing to do: it looks around, and writes and looks up nothing more."""

        def busy() -> int:
            return sum(proxy.count(lambda request: not pages(request)) for proxy in self.trade.proxies.values())

        def rounds() -> int:
            return min(proxy.count(pages) for proxy in self.trade.proxies.values())

        while True:
            before, looked = busy(), rounds()
            until(lambda: rounds() > looked + 20, what="some rounds of reading")  # noqa: B023
            if busy() == before:
                break
        assert daemon.end() == 0


def survives(
    server: embedded.EmbeddedServer, compiled: Compiled, other_hub: str, folder: Path, kills: int, stop_every: int,
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    place = Workplace(folder, server.url)
    assert place.tell("migrate").code == 0
    with trade_on(server.url, folder / "killed", compiled) as trade:
        ordeal = Ordeal(trade, server, tell)
        ordeal.run(kills, stop_every=stop_every)
        assert trade.once_more() == 0
        expected = uninterrupted(other_hub, folder / "uninterrupted", compiled, ordeal.people.history)
        assert difference(expected, trade.held) == []


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Says how far it is, also where output is captured."""

    def tell(words: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{words}")

    return tell


def test_killed_three_times_and_its_database_once_everything_ends_as_if_it_had_gone_through(
    server: embedded.EmbeddedServer, compiled: Compiled, hub_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    survives(server, compiled, hub_url, tmp_path, 3, 2, tell)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_two_hundred_times_everything_ends_as_if_it_had_gone_through(
    server: embedded.EmbeddedServer, compiled: Compiled, hub_url: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    survives(server, compiled, hub_url, tmp_path, 200, 10, tell)
