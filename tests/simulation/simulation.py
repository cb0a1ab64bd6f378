"""One run from a seed: people work, the replicator works under faults, and in the end all becomes quiet."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Literal

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from replicator.config import Configuration
from replicator.connectors import connect as connect_system
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Connector
from replicator.cycle import Cycle
from replicator.errors import LeaseLost, ReplicatorError
from replicator.hub.connection import connect
from replicator.hub.lease import Lease, acquire
from replicator.mapping.compiled import Compiled
from replicator.sandbox.system import Options, Sandbox
from replicator.world import World
from tests.fixtures.commands import until
from tests.fixtures.transitions import watch_transitions
from tests.fixtures.world import ORGANIZATION, Problems, Recording, Systems
from tests.simulation.faults import AtOnce, FaultyHub, FaultyWire, Killed, NeverQuietError, Weather, make_moody
from tests.simulation.people import People
from tests.simulation.self_willed import Will

BEGIN = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
KINDS: dict[Literal["sales", "ops"], str] = {"sales": "dataverse", "ops": "finops"}
_LEASE = 30.0
"""Seconds."""
_ROUNDS_TO_QUIET = 12
_INTERRUPTIONS = 10
"""How often people act while one piece of work is under way: with people who never pause, ``once`` never ends."""
_SECONDS_TO_QUIET = 3600
_PATIENCE = "set lock_timeout = '20ms'"
_CLEAN = "select set_config('sync.now', %s, false)"
_UNDER_WAY = "select count(*) from sync.delivery where state in ('pending', 'in_flight', 'failed', 'unknown')"


class Simulation:
    """A world of two systems and a hub, in one thread: a seed always gives the same run."""

    def __init__(self, seed: int, hub_url: str, compiled: Compiled) -> None:
        self.seed = seed
        self.compiled = compiled
        self.random = Random(seed)
        self.now = BEGIN
        self.problems = Problems()
        self.kills = 0
        self._interruptions = 0
        self._overtaken = False
        self.hub = connect(hub_url)
        watch_transitions(self.hub)
        self._faulty = connect(hub_url)
        self.weather = Weather(Random(seed + 1))
        FaultyHub(self._faulty, self.weather)
        options = Options(recalculate=self.random.random() < 0.5, page_size=self.random.choice([None, 1, 3]))
        boxes = {
            name: Sandbox(name, options=options, clock=lambda: self.now, random=Random(seed + place))
            for place, name in enumerate(KINDS, 2)
        }
        self.wires = {name: self._wire(name, box) for name, box in boxes.items()}
        for place, (name, box) in enumerate(boxes.items(), 6):
            make_moody(box, self.weather, self.wires[name].struck)
            self.wires[name].will = Will(Random(seed + place), box, self.wires[name].struck, of_ops=name == "ops")
        connectors: dict[str, Connector] = {name: self._connector(name) for name in KINDS}
        configuration = Configuration.model_validate({
            "records": {"organization": [ORGANIZATION]},
            "deletes": self.random.choice([{"count": 1000, "share": 1}, {"count": 1, "share": 1}]),
            "first_updates": {"count": 1000, "share": 1},
        })  # fmt: skip
        self.world = World(configuration, compiled, self._faulty, connectors, AtOnce(), self.problems, Random(seed + 4))
        self.begin()
        self.systems = Systems(
            boxes["sales"], boxes["ops"], self.cycle, self.connection, self.problems,
            wire={name: wire.wire for name, wire in self.wires.items()},
        )  # fmt: skip
        self.deletes = self.random.random() < 0.5
        self.read_whole = self.random.random() < 0.3
        self.pauses = [1, 10, 60, 600, *([8 * 86400] if self.random.random() < 0.3 else [])]
        """Seconds between steps; with more than a week among them, tokens expire."""
        self.people = People(Random(seed + 5), self.systems, self.hub, deletes=self.deletes)

    cycle: Cycle
    connection: sa.Connection
    lease: Lease

    def _wire(self, name: str, box: Sandbox) -> FaultyWire:
        def meanwhile(writing: bool) -> None:
            others = [each for each in KINDS if each != name]
            self._meanwhile(*((list(KINDS), others) if writing else (others, list(KINDS))))

        return FaultyWire(Recording(box), self.weather, meanwhile, self._take_over)

    def _connector(self, name: Literal["sales", "ops"]) -> Connector:
        settings = settings_of({"kind": KINDS[name], "url": "http://localhost"})
        connector = connect_system(name, settings, transport=self.wires[name], clock=lambda: self.now)
        connector.limits = replace(connector.limits, writes_per_request=self.random.choice([1, 3, 100]))
        return connector

    def close(self) -> None:
        """Release everything."""
        self.people.finish()
        self.connection.close()
        self.hub.dispose()
        self._faulty.dispose()
        for connector in self.world.connectors.values():
            connector.close()
        for box in (self.systems.sales, self.systems.ops):
            box.close()

    # the process

    def begin(self) -> None:
        """Start the process: a connection of its own, and what a start does."""
        while True:
            try:
                self.connection = self._faulty.connect()
                self.cycle = self._lead(self.connection)
                return
            except Killed:
                self._end()

    def _lead(self, connection: sa.Connection) -> Cycle:
        """What a start does: wait for the lead, and look after what the last leader left."""
        self.pass_time(_LEASE + 1)
        self._set_clock(connection)
        # The server may still be ending the transaction of the one that was killed: who starts waits for the lead.
        lease = until(lambda: acquire(connection, "simulation", _LEASE), what="the lead")
        self.lease = lease
        cycle = Cycle(replace(self.world, lease=lease), connection)
        cycle.prepare()
        return cycle

    def _take_over(self) -> None:
        """Another process finds that nobody leads, and works until it is still, all while this one is frozen."""
        self._overtaken = True
        with self.weather.paused(), self._faulty.connect() as connection:
            self._lead(connection).settle()
            connection.invalidate()  # its session ends with it

    def _end(self) -> None:
        """The process is gone: what it had not committed is undone, and its session ends."""
        self.kills += 1
        self.weather.killed = False
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.rollback()
        self.connection.invalidate()
        self.connection.close()
        for connector in self.world.connectors.values():
            connector.http._pauses.clear()  # type: ignore[attr-defined]

    def _set_clock(self, connection: sa.Connection) -> None:
        """The hub's clock is the simulation's."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute(_CLEAN, [self.now.isoformat()])
        driver.commit()

    def run(self, work: Callable[[Cycle], object]) -> None:
        """Let the process do something; if it is killed at it, another one starts."""
        try:
            self._set_clock(self.connection)
            self._note_rests()
            work(self.cycle)
            assert not self._overtaken, "a process that had been overtaken went on to its end"
        except (Killed, LeaseLost):
            self._overtaken = False
            self._end()
            self.begin()
        except ReplicatorError as problem:
            self.problems.found.append(("run", problem))
        finally:
            for wire in self.wires.values():
                wire.resting = False

    def _note_rests(self) -> None:
        """Which systems the hub knows to be in a pause that they asked for."""
        with self.hub.connect() as connection:
            rows = connection.execute(
                sa.text("select name from sync.system where paused_until > :now"), {"now": self.now}
            )
            resting = set(rows.scalars())
        for name, wire in self.wires.items():
            wire.resting = name in resting

    # a life

    def live(self, steps: int) -> None:
        """People and the replicator at work, in bad weather."""
        self.weather.request = self.random.choice([0.0, 0.03, 0.1, 0.3])
        self.weather.statement = self.random.choice([0.0, 0.0005, 0.003])
        self.weather.meanwhile = self.random.choice([0.0, 0.1, 0.4])
        self.weather.calm = False
        for wire in self.wires.values():
            if wire.will is not None:
                wire.will.active = True
        for _ in range(steps):
            for _ in range(self.random.randint(0, 4)):
                self.people.act()
            self.pass_time(self.random.choice(self.pauses))
            self._interruptions = 0
            self.run(self.random.choice(self.pieces_of_work()))

    def pieces_of_work(self) -> list[Callable[[Cycle], object]]:
        """What the process may be at."""
        return [
            lambda cycle: cycle.once(),
            lambda cycle: (cycle.read(), cycle.settle()),
            lambda cycle: (cycle.read(["sales"]), cycle.merge()),
            lambda cycle: (cycle.read(["ops"], whole=True), cycle.settle()),
            lambda cycle: (cycle.merge(), cycle.deliver(again=True)),
        ]

    def _meanwhile(self, to_read: Sequence[str], to_write: Sequence[str]) -> None:
        """People act, and the other threads, which read and write these systems, do not wait for this request."""
        self._interruptions += 1
        if self._interruptions <= _INTERRUPTIONS:
            self.people.act()
            if self.random.random() < 0.5:
                self._other_threads([self.random.choice(to_read)], [self.random.choice(to_write)])

    def _other_threads(self, to_read: Sequence[str], to_write: Sequence[str]) -> None:
        """They read, merge and deliver, unless this thread holds what they need: then they come to it later."""
        with self.weather.paused(), self._faulty.connect() as connection:
            self._set_clock(connection)
            connection.exec_driver_sql(_PATIENCE)
            connection.commit()
            try:
                cycle = Cycle(replace(self.world, lease=self.lease), connection)
                cycle.recover(to_write)
                cycle.read(to_read)
                cycle.merge()
                cycle.deliver(to_write, again=True)
            except LeaseLost:
                pass
            except OperationalError as problem:
                if not isinstance(problem.orig, psycopg.errors.LockNotAvailable):
                    raise
            connection.invalidate()  # and its settings with it

    def pass_time(self, seconds: float) -> None:
        """The clock of all goes on."""
        self.now += datetime.timedelta(seconds=seconds)

    def become_quiet(self) -> None:
        """Nobody works any more, nothing fails, decisions are taken; whatever is under way comes to its end."""
        self.weather.calm = True
        self.people.finish()
        for wire in self.wires.values():
            wire.deliver_late()
        for number in range(_ROUNDS_TO_QUIET):
            self.pass_time(_SECONDS_TO_QUIET)
            self.problems.found.clear()
            before = self.systems.writes()
            whole = self.read_whole and number == 0
            self.run(lambda cycle, whole=whole: cycle.once(whole=whole))  # type: ignore[misc]
            decided = self.decide()
            with self.hub.connect() as connection:
                under_way = connection.execute(sa.text(_UNDER_WAY)).scalar_one()
            if not (under_way or decided or self.problems.found or self.systems.writes() > before):
                return
        raise NeverQuietError(f"{under_way} deliveries are under way, {self.problems.found[:3]}")

    def decide(self) -> int:
        """A person approves the deletes that are held."""
        with self.hub.begin() as connection:
            rows = connection.execute(sa.text("select flow from sync.held where operation = 'delete'")).all()
            for row in rows:
                connection.execute(sa.text("select sync.approve(:flow)"), row._asdict())
        return len(rows)
