"""One run from a seed: people work, the replicator works under faults, and in the end all becomes quiet."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from random import Random
from typing import Literal

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from replicator import daemon
from replicator.config import Configuration
from replicator.connectors import connect as connect_system
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Connector
from replicator.cycle import Cycle
from replicator.errors import LeaseLost, ReplicatorError
from replicator.hub.connection import connect
from replicator.hub.database_errors import hub_trouble
from replicator.hub.lease import Lease, acquire
from replicator.mapping.compiled import Compiled
from replicator.sandbox.system import Options, Sandbox
from replicator.world import World
from tests.fixtures.commands import until
from tests.fixtures.transitions import watch_transitions
from tests.fixtures.world import ORGANIZATION, Problems, Recording, Systems
from tests.simulation.faults import (
    AtOnce,
    FaultyHub,
    FaultyWire,
    Killed,
    NeverQuietError,
    Reread,
    Weather,
    make_moody,
)
from tests.simulation.hub_trouble import HubTrouble, exempt, install
from tests.simulation.people import People
from tests.simulation.self_willed import LINES, Will

BEGIN = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
KINDS: dict[Literal["sales", "ops"], str] = {"sales": "dataverse", "ops": "finops"}
_TO_TROUBLE = 1285
"""From a seed to that of what befalls the hub; such that the everyday seeds meet all of it."""
_LEASE = 30.0
"""Seconds."""
_ROUNDS_TO_QUIET = 12
_INTERRUPTIONS = 10
"""How often people act while one piece of work is under way: with people who never pause, ``once`` never ends."""
_ACTS_WITHOUT_A_MAP = 12
_SECONDS_TO_QUIET = 3600
_PATIENCE = "set lock_timeout = '20ms'"
_CLEAN = "select set_config('sync.now', %s, false)"
_MADE_BEFORE = (
    f"select o.system_key from sync.orphans o where o.entity_set = '{LINES}' and o.decided_at is null "
    "and exists (select from sync.delivery d where d.code = 'orphaned parts' "
    "            and position(o.system_key || ',' in d.waits_for[1] || ',') > 0)"
)
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
        exempt(self.hub)
        watch_transitions(self.hub)
        self._faulty = connect(hub_url)
        self.weather = Weather(Random(seed + 1))
        FaultyHub(self._faulty, self.weather)
        self.trouble = HubTrouble(Random(seed + _TO_TROUBLE), hub_url)
        self.trouble.watch(self._faulty)
        self.reread = Reread()
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
        self.world = World(
            configuration, compiled, self._faulty, connectors, AtOnce(), self.problems, Random(seed + 4),
            clock=lambda: self.now.timestamp(),
        )  # fmt: skip
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
        self.has_past = self.random.random() < 0.8

    cycle: Cycle
    connection: sa.Connection
    lease: Lease
    _session: Literal["working", "wanted", "waiting"]
    """Whether the process has its session on the hub, needs a new one, or waits for the lead."""

    def _wire(self, name: str, box: Sandbox) -> FaultyWire:
        def meanwhile(writing: bool) -> None:
            others = [each for each in KINDS if each != name]
            self._meanwhile(*((list(KINDS), others) if writing else (others, list(KINDS))))

        return FaultyWire(Recording(box), self.weather, meanwhile, self._take_over, partial(self.reread.note, name))

    def _connector(self, name: Literal["sales", "ops"]) -> Connector:
        settings = settings_of({"kind": KINDS[name], "url": "http://localhost"})
        connector = connect_system(name, settings, transport=self.wires[name], clock=lambda: self.now)
        writes = self.random.choice([1, 3, 100])
        # Sweeps of several pages, so that records come and go between two of them; drawn apart, to keep the lives.
        keys = Random(self.seed + 9).choice([1, 2, 10_000])
        connector.limits = replace(connector.limits, writes_per_request=writes, keys_per_read=keys)
        return connector

    def close(self) -> None:
        """Release everything."""
        self.people.finish()
        self.connection.close()
        self.hub.dispose()
        self._faulty.dispose()
        self.trouble.tidy()
        for connector in self.world.connectors.values():
            connector.close()
        for box in (self.systems.sales, self.systems.ops):
            box.close()

    # the process

    def begin(self) -> None:
        """Start the process: a connection of its own, and what a start does. In a hub in trouble it goes on waiting."""
        if self.trouble.copy_is_due:
            self._leave_the_hub()
            self.trouble.copy()
        while True:
            try:
                self.connection = self._faulty.connect()
                self.cycle = self._lead(self.connection)
                self._session = "working"
                return
            except Killed:
                self.kills += 1
                self._end()
            except (DBAPIError, psycopg.Error) as problem:
                self._meet(problem)
                self._session = "waiting"
                return

    def _lead(self, connection: sa.Connection) -> Cycle:
        """What a start does: wait for the lead, and look after what the last leader left."""
        self.pass_time(_LEASE + 1)
        self._set_clock(connection)
        # The server may still be ending the transaction of the one that was killed: who starts waits for the lead.
        lease = until(lambda: acquire(connection, "simulation", _LEASE), what="the lead")
        self.lease = lease
        self._ignore_the_wall_clock(connection)
        cycle = Cycle(replace(self.world, lease=lease), connection)
        cycle.prepare()
        return cycle

    def _ignore_the_wall_clock(self, connection: sa.Connection) -> None:
        """Who leads and waits for a busy machine has not frozen: here only the simulation's clock tells that."""
        connection.exec_driver_sql("set idle_in_transaction_session_timeout = 0")
        connection.commit()

    def _take_over(self) -> None:
        """Another process finds that nobody leads, and works until it is still, all while this one is frozen."""
        before = self.lease
        with self.weather.paused(), self._other_session() as connection:
            cycle = self._lead(connection)
            self._note_rests()  # meanwhile a pause may have ended
            cycle.settle()
        self._overtaken = self.lease is not before

    @contextmanager
    def _other_session(self) -> Iterator[sa.Connection]:
        """A session of somebody else's, which ends with it; what befalls the hub may cut the work short."""
        with self._faulty.connect() as connection:
            try:
                yield connection
            except (DBAPIError, psycopg.Error) as problem:
                self._expect(problem)
                daemon._mend_hub(self.world)
            finally:
                connection.invalidate()

    def _end(self) -> None:
        """The process is gone: what it had not committed is undone, and its session ends."""
        self.weather.killed = False
        if not (self.connection.closed or self.connection.invalidated):
            driver = self.connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            with suppress(psycopg.OperationalError):  # somebody has ended it
                driver.rollback()
            self.connection.invalidate()
        self.connection.close()
        for connector in self.world.connectors.values():
            connector.http._pauses.clear()  # type: ignore[attr-defined]

    def restart(self, meanwhile: Callable[[], None]) -> None:
        """Stop the process between two pieces of work, do something with the hub that nobody uses, and start again."""
        self._end()
        self._leave_the_hub()
        meanwhile()
        self.begin()

    def _leave_the_hub(self) -> None:
        """Nobody has a session on the hub any more."""
        self.people.finish()
        self.hub.dispose()
        self._faulty.dispose()

    def _expect(self, problem: Exception) -> None:
        """Raise a failure of the hub's database that nothing explains which befell it."""
        if not self.trouble.explains(problem):
            raise problem

    def _meet(self, problem: Exception) -> None:
        """Do as a thread of the daemon does: give the session back, say what is wrong, and try again later."""
        self._expect(problem)
        self.problems.found.append(("hub", hub_trouble(problem)))
        if not (self.connection.closed or self.connection.invalidated):
            driver = self.connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            if driver.closed:
                self.connection.invalidate()
        self.connection.close()
        daemon._mend_hub(self.world)
        self._session = "wanted"

    def _connect_again(self) -> None:
        """A thread that met trouble begins anew, and who waits for the lead asks for it again."""
        if self._session == "wanted":
            self.connection = self._faulty.connect()
            self.cycle = Cycle(replace(self.world, lease=self.lease), self.connection)
            self._session = "working"

    def _set_clock(self, connection: sa.Connection) -> None:
        """The hub's clock is the simulation's."""
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        driver.execute(_CLEAN, [self.now.isoformat()])
        driver.commit()

    def run(self, work: Callable[[Cycle], object]) -> None:
        """Let the process do something; if it is killed at it, another one starts."""
        if self._session == "waiting":
            self.begin()
        if self._session == "waiting":
            return
        try:
            self._connect_again()
            self._set_clock(self.connection)
            self._note_rests()
            work(self.cycle)
            assert not self._overtaken, "a process that had been overtaken went on to its end"
        except (Killed, LeaseLost):
            self.kills += 1
            self._overtaken = False
            self._end()
            self.begin()
        except (DBAPIError, psycopg.Error) as problem:
            self._meet(problem)
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

    def past(self) -> None:
        """What went well before: a trade, whose quotes may be on their way. Few would get so far in bad weather."""
        if self.has_past:
            self.people.stock_up()
            self.run(lambda cycle: cycle.once())
            self.people.quote()
            if self.random.random() < 0.3:
                self.run(lambda cycle: cycle.once())

    def live(self, steps: int) -> None:
        """People and the replicator at work, in bad weather."""
        self.weather.request = self.random.choice([0.0, 0.03, 0.1, 0.3])
        self.weather.statement = self.random.choice([0.0, 0.0005, 0.003])
        self.weather.meanwhile = self.random.choice([0.0, 0.1, 0.4])
        self.weather.calm = False
        for wire in self.wires.values():
            if wire.will is not None:
                wire.will.active = True
        self.trouble.draw(steps)
        for step in range(steps):
            self._befall(step)
            for _ in range(self.random.randint(0, 4)):
                self.people.act()
            self.pass_time(self.random.choice(self.pauses))
            self._interruptions = 0
            self.run(self.random.choice(self.pieces_of_work()))
            if self.trouble.copy_is_due:  # a process that was killed at its work has left the hub as it was then
                self.restart(lambda: None)
        self._befall(steps)

    def _befall(self, step: int) -> None:
        """What befalls the hub before this step of a life."""
        trouble = self.trouble
        trouble.copy_is_due |= step == trouble.backup.begin
        if step == trouble.settings.begin:
            self.people.finish()
            trouble.set_something()
        if step == trouble.settings.end:
            trouble.reset()
        if step == trouble.dropped.begin:
            self.restart(self._drop_map)
            for _ in range(_ACTS_WITHOUT_A_MAP):
                self.people.act()
        if step == trouble.dropped.end:
            self.run(lambda cycle: (cycle.read(), cycle.settle()))  # who looks at what changed, looks past the map
            self.restart(self._install)
        if step == trouble.backup.end:
            self.restart(self._restore)
            first = trouble.random.choice(list(KINDS))
            self.run(lambda cycle: (cycle.read([first]), cycle.settle()))  # one system first, as a daemon's thread may

    def _drop_map(self) -> None:
        self.world = replace(self.world, compiled=self.trouble.drop_map(self.hub, self.compiled))

    def _install(self) -> None:
        """The schema is whole again."""
        self.world = replace(self.world, compiled=self.compiled)
        install(self.hub, self.compiled)

    def _restore(self) -> None:
        """The backup is put back, and migrated to what is installed by now."""
        self.trouble.restore()
        install(self.hub, self.world.compiled)
        with self.hub.connect() as connection:
            has_worked = connection.execute(sa.text("select exists (select from sync.consumer)")).scalar_one()
        if has_worked:  # who has merged nothing yet knows no place, and nothing stale
            sets = [each.mapping.entity_set for each in self.world.compiled.maps]
            self.reread.begin({(each.system, each.name) for each in sets})

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
        with self.weather.paused(), self._other_session() as connection:
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
        """A person approves the deletes that are held, and deletes in ops what a restored hub may have made there."""
        with self.hub.begin() as connection:
            rows = connection.execute(sa.text("select flow from sync.held where operation = 'delete'")).all()
            for row in rows:
                connection.execute(sa.text("select sync.approve(:flow)"), row._asdict())
            made = connection.execute(sa.text(_MADE_BEFORE)).scalars().all()
        return len(rows) + sum(self._delete_line(*key.split(",")) for key in made)

    def _delete_line(self, company: str, quotation: str, number: str) -> bool:
        """Whether it was there still; the hub may not have heard of it yet."""
        key = {"dataAreaId": company, "SalesQuotationNumber": quotation, "LineCreationSequenceNumber": int(number)}
        there = bool(self.systems.held("ops", LINES, **key))
        if there:
            self.systems.ops.delete(LINES, company, int(number), quotation)
        return there
