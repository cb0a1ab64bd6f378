"""Saved plans: kept in the hub, and run exactly as they were saved; a write whose world has moved is refused."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import simplejson
import sqlalchemy as sa

from replicator.connectors.protocol import Applied, Connector, Outcome, Unit
from replicator.connectors.wrapped import Wrapped
from replicator.core.desired_row import DesiredRow
from replicator.cycle import Cycle
from replicator.errors import ReplicatorError, Terminal, Transient
from replicator.hub.lease import leading
from replicator.hub.made_from import holding_off
from replicator.hub.statements import statements
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.schema import column_name
from replicator.operate.planning.planned_writes import ASSIGNED, PlannedWrite, describe, known_by, plain
from replicator.operate.planning.rehearse import Hearing, Plan
from replicator.outbound.acknowledge import worst_of
from replicator.outbound.decide import Delivery
from replicator.world import World

_sql = statements(__name__)
SENT = "sent"
_AT_ONCE = 1000
_TRIES = 5
"""How often a write of a plan is tried before it is given up."""
_LONGEST_WAIT = 1.0


def save(connection: sa.Connection, plan: Plan, entity: str | None, made_from: str | None = None) -> int:
    """Keep a plan in the hub that it was made on; its number."""
    with holding_off(connection, made_from):
        number: int = connection.execute(_sql["save"], {"entity": entity, "stays": plan.stays}).scalar_one()
        for first in range(0, len(plan.writes), _AT_ONCE):
            rows = [vars(each) for each in plan.writes[first : first + _AT_ONCE]]
            payload = simplejson.dumps(rows, use_decimal=True)
            connection.execute(_sql["save_writes"], {"plan": number, "writes": payload})
        return number


def load(connection: sa.Connection, compiled: Compiled, number: int) -> list[PlannedWrite]:
    """The writes of a saved plan that is to be run; raises Terminal when there is none, or it was run before."""
    with connection.begin():
        plan = connection.execute(_sql["plan"], {"plan": number}).one_or_none()
        rows = connection.execute(_sql["writes"], {"plan": number}).all()
    if plan is None:
        raise Terminal(f"there is no plan {number}", hint="save one with: replicator plan --save")
    if plan.run_at is not None:
        raise Terminal(
            f"plan {number} was run at {plan.run_at:%Y-%m-%d %H:%M:%S}; a plan is run once",
            hint="make a new one with: replicator plan --save",
        )
    return [_write(compiled, row) for row in rows]


def _write(compiled: Compiled, row: Any) -> PlannedWrite:
    flow = next((each for each in compiled.maps if each.name == row.flow), None)
    if flow is None:
        raise Terminal(f"the plan writes by '{row.flow}', which schema/ has no more", hint="make a new plan")
    fields = simplejson.loads(row.fields, use_decimal=True)
    values = {name: [plain(value) for value in pair] for name, pair in fields.items()}
    return PlannedWrite(
        flow.mapping.system, row.flow, compiled.marked(flow).name, row.operation, row.record, row.key, values,
        row.fingerprint, row.place, row.request,
    )  # fmt: skip


def keys_of(
    compiled: Compiled, writes: Sequence[PlannedWrite]
) -> Callable[[CompiledMap, DesiredRow], uuid.UUID | None]:
    """The keys that were planned for new records, so that what points at them is written as planned."""
    keys: dict[str, str] = {}
    for each in writes:
        if each.operation == "create" and len(each.key) == 1 and ASSIGNED not in each.key.values():
            names = compiled.map(each.flow).mapping.entity_set.business_key
            values = {name: each.fields.get(name, [None, None])[1] for name in names}
            if any(value is not None for value in values.values()):
                keys[known_by(each.flow, values)] = next(iter(each.key.values()))

    def known(flow: CompiledMap, row: DesiredRow) -> uuid.UUID | None:
        names = flow.mapping.entity_set.business_key
        values = {name: plain(row.wanted.get(column_name(name))) for name in names}
        key = keys.get(known_by(flow.name, values))
        return None if key is None else uuid.UUID(key)

    return known


@dataclass
class Gate:
    """Lets exactly the planned deliveries through, and notes what becomes of each."""

    planned: Mapping[str, PlannedWrite]
    """By fingerprint."""
    outcomes: dict[str, str] = field(default_factory=dict)
    turned_away: dict[str, PlannedWrite] = field(default_factory=dict)
    """What came up instead, by flow and key."""
    records: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Which delivery carried a write, by fingerprint: the flow, and the record in common."""
    _units: dict[int, list[str]] = field(default_factory=dict)

    def admit(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """The deliveries of which every write is planned, and not done yet."""
        admitted = []
        for delivery in deliveries:
            writes = describe(delivery)
            prints = [each.fingerprint for each in writes]
            if all(each in self.planned and self.outcomes.get(each) != SENT for each in prints):
                self._units[id(delivery.writes[0].write)] = prints
                self.records |= dict.fromkeys(prints, (writes[0].root, delivery.record_id))
                admitted.append(delivery)
            else:
                self.turned_away |= {place_of(each): each for each in writes}
        return admitted

    def known(self, write: PlannedWrite) -> str:
        """What became of a write, after a run that was stopped."""
        return self.outcomes.get(write.fingerprint, "not sent: the run was stopped before")

    def note(self, units: Sequence[Unit], outcomes: Sequence[Sequence[Outcome]]) -> None:
        """What a system answered."""
        for unit, answers in zip(units, outcomes, strict=True):
            self._note(unit, _in_words(answers))

    def fail(self, units: Sequence[Unit], problem: ReplicatorError) -> None:
        """A request that failed as a whole."""
        for unit in units:
            self._note(unit, f"failed: {problem}")

    def _note(self, unit: Unit, words: str) -> None:
        self.outcomes |= dict.fromkeys(self._units.get(id(unit[0]), ()), words)


def place_of(write: PlannedWrite) -> str:
    """Which record of which flow."""
    return known_by(write.flow, write.key)


def _in_words(answers: Sequence[Outcome]) -> str:
    if all(isinstance(each, Applied) for each in answers):
        return SENT
    worst = worst_of(answers)
    return f"{type(worst).__name__.lower()}: {worst.message}"


class Guarded(Wrapped):
    """A system whose answers the gate notes."""

    def __init__(self, real: Connector, gate: Gate) -> None:
        super().__init__(real)
        self.gate = gate

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """As ever, and the answer is noted."""
        try:
            outcomes = self.real.apply(units)
        except ReplicatorError as problem:
            self.gate.fail(units, problem)
            raise
        self.gate.note(units, outcomes)
        return outcomes


@dataclass(frozen=True)
class Ran:
    """What became of the writes of a plan, in order."""

    writes: Sequence[tuple[PlannedWrite, str]]

    @property
    def refused(self) -> list[tuple[PlannedWrite, str]]:
        """Those that were not made."""
        return [(write, outcome) for write, outcome in self.writes if outcome != SENT]


def run_plan(world: World, connection: sa.Connection, number: int, wait: Callable[[float], None] = time.sleep) -> Ran:
    """Read both systems, then send exactly what the plan says, where it still is what is to be done.

    What could not be sent for now, or was not answered, is tried again a few times; ``wait`` passes the time.
    """
    writes = load(connection, world.compiled, number)
    _read(world, connection)
    with leading(connection):
        connection.execute(_sql["begin"], {"plan": number})
    gate = Gate({each.fingerprint: each for each in writes})
    connectors: dict[str, Connector] = {name: Guarded(each, gate) for name, each in world.connectors.items()}
    known_key = keys_of(world.compiled, writes)
    try:
        cycle = Cycle(replace(world, connectors=connectors, admit=gate.admit, known_key=known_key), connection)
        cycle.settle()
        while (seconds := _due_in(connection, gate)) is not None and not world.stopping():
            wait(min(max(seconds, 0), _LONGEST_WAIT))
            cycle.settle()
    finally:
        moved = not world.stopping()
        ran = Ran([(each, _outcome(connection, gate, each) if moved else gate.known(each)) for each in writes])
        _keep(connection, number, ran)
    return ran


def _read(world: World, connection: sa.Connection) -> None:
    """Read both systems: what cannot be read may have moved, and then nothing is sent."""
    hearing = Hearing(world.watcher)
    cycle = Cycle(replace(world, watcher=hearing), connection)
    cycle.prepare()
    cycle.read()
    for where, problem in hearing.problems:
        words = f"the plan is not run, for {where} could not be read: {problem.message}"
        raise (Transient if isinstance(problem, Transient) else Terminal)(words, hint=problem.hint)


def _due_in(connection: sa.Connection, gate: Gate) -> float | None:
    """In how many seconds the next of the planned deliveries is tried again; None when all have come to an end."""
    records = sorted(set(gate.records.values()))
    values = {"flows": [flow for flow, _ in records], "records": [record for _, record in records], "tries": _TRIES}
    with connection.begin():
        seconds = connection.execute(_sql["due_in"], values).scalar()
    return None if seconds is None else float(seconds)


def _keep(connection: sa.Connection, number: int, ran: Ran) -> None:
    outcomes = [{"place": write.place, "outcome": outcome} for write, outcome in ran.writes]
    with leading(connection):
        connection.execute(_sql["outcomes"], {"plan": number, "outcomes": simplejson.dumps(outcomes)})


def _outcome(connection: sa.Connection, gate: Gate, write: PlannedWrite) -> str:
    known = gate.outcomes.get(write.fingerprint)
    if known is not None and not known.startswith("stale"):
        return known if not known.startswith("unknown") or _under_way(connection, gate, write) else SENT
    instead = gate.turned_away.get(place_of(write))
    if instead is not None and instead.fingerprint != write.fingerprint:
        return f"moved: {what_differs(write, instead)}"
    with connection.begin():
        stands = connection.execute(_sql["stands"], {"flow": write.root, "record": write.record}).first()
    if stands is None:
        return "moved: there is nothing to write any more"
    return f"moved: {stands.state.replace('_', ' ')}" + (f": {stands.reason}" if stands.reason else "")


def _under_way(connection: sa.Connection, gate: Gate, write: PlannedWrite) -> bool:
    """Whether the delivery that carried a write has not come to its end."""
    flow, record = gate.records[write.fingerprint]
    with connection.begin():
        return bool(connection.execute(_sql["under_way"], {"flow": flow, "record": record}).scalar_one())


def what_differs(planned: PlannedWrite, now: PlannedWrite) -> str:
    """How the write that came up differs from the planned one, in words."""
    if planned.operation != now.operation:
        return f"it would be {_doing[now.operation]}, and was to be {_doing[planned.operation]}"
    words = []
    for name in sorted({*planned.fields, *now.fields}):
        then, here = planned.fields.get(name), now.fields.get(name)
        if then is None or here is None:
            words.append(f"{name} is {'not ' if here is None else ''}to be written")
        elif then[1] != here[1]:
            words.append(f"{name} is to become {shown(here[1])}, planned was {shown(then[1])}")
        elif then[0] != here[0]:
            words.append(f"{name} is {shown(here[0])} there, and was {shown(then[0])}")
    return "; ".join(words) or "another record of the same root is not as it was planned"


_doing = {"create": "created", "update": "updated", "delete": "deleted"}


def shown(value: object) -> str:
    """A value as a person reads it."""
    return "(empty)" if value is None else f"'{value}'" if isinstance(value, str) else str(value)
