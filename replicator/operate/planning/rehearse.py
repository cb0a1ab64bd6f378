"""Makes a plan: the real work on the real hub, in a transaction that is taken back, with nobody to write to.

Each planned write counts as landed, stored exactly as it would be sent, so that what waits for it is planned as well.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from replicator.connectors.protocol import Applied, Connector, Image, Key, Outcome, Reference, Row, Unit, Write, named
from replicator.connectors.wrapped import Wrapped
from replicator.cycle import Cycle
from replicator.errors import ReplicatorError, Transient
from replicator.hub.made_from import check_made_from
from replicator.hub.rehearsal import OwnWindow, rehearsal
from replicator.hub.statements import statements
from replicator.hub.states import BY_NAME
from replicator.mapping.language import EntitySetSpec
from replicator.operate.planning.planned_writes import PlannedWrite, describe
from replicator.outbound.decide import Delivery, Planned
from replicator.spool import Spool
from replicator.watcher import Watcher
from replicator.world import World

_sql = statements(__name__)


@dataclass(frozen=True)
class Standing:
    """Records that would not be in step after the plan: those of one flow and state for one reason."""

    flow: str
    state: str
    reason: str
    records: int
    some: Sequence[str]
    """What the first of them are called."""

    @property
    def on_purpose(self) -> bool:
        """Whether nothing is left to do about them."""
        return BY_NAME[self.state].settled


@dataclass(frozen=True)
class Plan:
    """Every write in order, and what would not be in step afterwards."""

    writes: Sequence[PlannedWrite]
    standing: Sequence[Standing]
    problems: Sequence[tuple[str, ReplicatorError]] = ()
    not_read: Mapping[str, str] = field(default_factory=dict)
    """Entity sets that could not be looked at, with the reason: what changed there is not in the plan."""

    def only(self, flows: frozenset[str]) -> Plan:
        """What concerns these flows to a system (or from one), numbered anew."""
        writes: Spool[PlannedWrite] = Spool()
        numbers: dict[int, int] = {}
        for each in self.writes:
            if each.root in flows or each.flow in flows:
                request = numbers.setdefault(each.request, len(numbers) + 1)
                writes.append(replace(each, place=len(writes) + 1, request=request))
        return replace(self, writes=writes, standing=[each for each in self.standing if each.flow in flows])

    @property
    def stays(self) -> int:
        """How many records would not be in step after it, and how many entity sets could not be looked at."""
        return sum(each.records for each in self.standing if not each.on_purpose) + len(self.not_read)

    @property
    def requests(self) -> dict[str, int]:
        """How many requests each system gets."""
        asked = {(each.system, each.request) for each in self.writes}
        systems = sorted({system for system, _ in asked})
        return {name: sum(system == name for system, _ in asked) for name in systems}


@dataclass
class Recorder:
    """Takes down what would be sent."""

    writes: Spool[PlannedWrite] = field(default_factory=Spool)
    requests: int = 0
    _known: dict[int, Delivery] = field(default_factory=dict)

    def admit(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """About to be sent: what a request does not tell is remembered until it is."""
        self._known |= {id(delivery.writes[0].write): delivery for delivery in deliveries}
        return list(deliveries)

    def take(self, units: Sequence[Unit]) -> list[Delivery]:
        """A request: its deliveries, now in the list."""
        self.requests += 1
        deliveries = [self._known.pop(id(unit[0])) for unit in units]
        for delivery in deliveries:
            for each in describe(delivery):
                self.writes.append(replace(each, place=len(self.writes) + 1, request=self.requests))
        return deliveries


@dataclass(frozen=True)
class _Stored(Mapping[str, object]):
    """A record as it would be stored, in place of a system's answer."""

    image: Image

    def __getitem__(self, name: str) -> object:
        return self.image[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.image)

    def __len__(self) -> int:
        return len(self.image)


class Stage(Wrapped):
    """A system that is read as it is, and written to in the imagination only."""

    def __init__(self, real: Connector, recorder: Recorder) -> None:
        super().__init__(real)
        self.recorder = recorder
        self._images: Spool[Image] = Spool()
        self._stored: dict[tuple[str, ...], int | None] = {}
        """Where in these the image of a record is that was written; None: it was deleted."""
        self._created = 0

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """As the system is, but for what was written in the imagination."""
        places = [_address(entity_set, key) for key in keys]
        asked = [key for key, place in zip(keys, places, strict=True) if place not in self._stored]
        real = iter(self.real.fetch(entity_set, asked) if asked else [])
        return [self._imagined(self._stored[place]) if place in self._stored else next(real) for place in places]

    def _imagined(self, number: int | None) -> Row | None:
        return None if number is None else _Stored(self._images[number])

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        """The system's own; what was never sent needs none."""
        decode = self.real.decoder(entity_set)
        return lambda row: [*row.image.values(), None] if isinstance(row, _Stored) else decode(row)

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Nothing is sent: take it down, and answer as a system that stores exactly what it gets."""
        return [[self._answer(each) for each in delivery.writes] for delivery in self.recorder.take(units)]

    def _answer(self, planned: Planned) -> Outcome:
        write = planned.write
        if write.operation != "delete":
            sent = {name: _held(value) for name, value in write.values.items()}
            key = self._imagined_key(write)
            image = {**planned.before, **named(write.entity_set, key), **sent}
            self._stored[_address(write.entity_set, key)] = self._images.append(image)
            return Applied(image, None, key)
        self._stored[_address(write.entity_set, write.key)] = None
        return Applied(None, None)

    def _imagined_key(self, write: Write) -> Key:
        """The key, with something that no record has in the place of what the system would assign."""
        self._created += 1
        made = {"uuid": uuid.UUID(int=self._created), "integer": -self._created}
        kinds = [write.entity_set.fields[name].holds for name in write.entity_set.key]
        return tuple(
            made.get(kind, f"(assigned {self._created})") if part is None else part
            for kind, part in zip(kinds, write.key, strict=True)
        )


def _held(value: object) -> object:
    return value.key[0] if isinstance(value, Reference) else value


def _address(entity_set: EntitySetSpec, key: Key) -> tuple[str, ...]:
    return (entity_set.entity_set, *map(str, key))


class _AtOnce(Executor):
    """Does what is submitted before ``submit`` returns: there is nothing to wait for, and the order is always one."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """The future is done already."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **named))
        except Exception as problem:  # told to whoever asks for the result
            done.set_exception(problem)
        return done


class Hearing(Watcher):
    """Keeps the problems of flows; everything else is heard by another watcher."""

    def __init__(self, other: Watcher) -> None:
        self.problems: list[tuple[str, ReplicatorError]] = []
        for name in ("reading", "snapshot", "merged", "sending", "delivered", "waiting"):
            setattr(self, name, getattr(other, name))

    def problem(self, where: str, problem: ReplicatorError) -> None:
        self.problems.append((where, problem))


def make_plan(world: World, *, led: bool = False, too_long: Callable[[], bool] = lambda: False) -> Plan:
    """Every write that would be made, from what has been read so far.

    ``led``: another replicator is at work, and what is under way is its own. ``too_long`` says when to give up.
    """
    recorder, watcher = Recorder(), Hearing(world.watcher)
    with rehearsal(world.engine) as connection:
        check_made_from(connection, world.made_from)
        imagined = replace(
            world,
            connectors={name: Stage(connector, recorder) for name, connector in world.connectors.items()},
            workers=_AtOnce(),
            watcher=watcher,
            lease=None,
            stopping=lambda: too_long() or world.stopping(),
            window=OwnWindow(),
            pause_of=lambda connection, name: None,
            admit=recorder.admit,
        )
        cycle = Cycle(imagined, connection)
        cycle.take_in_configuration()
        if not led:
            cycle.recover(list(world.connectors))
        cycle.settle()
        if imagined.stopping():
            raise Transient(
                "planning took too long beside a replicator at work, which waits meanwhile",
                hint="stop that one and plan again",
            )
        return Plan(recorder.writes, _standing(connection), watcher.problems, _not_read(connection))


def _standing(connection: sa.Connection) -> list[Standing]:
    with connection.begin():
        return [Standing(**row._mapping) for row in connection.execute(_sql["standing"])]


def _not_read(connection: sa.Connection) -> dict[str, str]:
    with connection.begin():
        return {row.entity_set: row.problem for row in connection.execute(_sql["not_read"])}
