"""A plan is what ``once`` then does: on states that people left behind, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from replicator.connectors.protocol import Outcome, Unit
from replicator.cycle import Cycle
from replicator.hub.connection import connect
from replicator.mapping.compiled import Compiled
from replicator.operate.planning.planned_writes import PlannedWrite
from replicator.operate.planning.rehearse import Plan, Recorder, make_plan
from replicator.operate.planning.saved_plans import Guarded, keys_of
from tests.fixtures.postgres import database
from tests.simulation.simulation import Simulation

EVERY_DAY = range(1000, 1006)
ALL = range(1000, 1200)


class Listening(Guarded):
    """A real system; what it is sent is taken down, as a plan takes it down."""

    def __init__(self, real: object, recorder: Recorder) -> None:
        super().__init__(real, recorder)  # type: ignore[arg-type]
        self.recorder = recorder

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        self.recorder.take(units)
        return self.real.apply(units)


def act(simulation: Simulation, least: int, most: int) -> None:
    """People do a number of things."""
    for _ in range(simulation.random.randint(least, most)):
        simulation.people.act()


def compare(seed: int, hub_url: str, compiled: Compiled) -> tuple[Plan, list[PlannedWrite]]:
    """Let people and the replicator work without faults; then what a plan says, and what ``once`` sends."""
    simulation = Simulation(seed, hub_url, compiled)
    try:
        simulation.systems.reference_data()
        for _ in range(simulation.random.randint(0, 3)):
            act(simulation, 5, 15)
            simulation.run(simulation.random.choice(simulation.pieces_of_work()))
            simulation.pass_time(60)
        act(simulation, 5, 25)
        simulation.people.finish()
        simulation.run(lambda cycle: cycle.read())
        if simulation.decide():  # what a target is only suspected to hold no more it may refuse, which no plan knows
            simulation.run(lambda cycle: cycle.read())
        hub = connect(hub_url, now=simulation.now.isoformat())
        plan = make_plan(replace(simulation.world, engine=hub))
        hub.dispose()
        recorder = Recorder()
        listening = {name: Listening(each, recorder) for name, each in simulation.world.connectors.items()}
        keys = keys_of(compiled, plan.writes)
        world = replace(simulation.world, connectors=listening, admit=recorder.admit, known_key=keys)
        simulation.run(lambda cycle: Cycle(world, cycle.connection).once())
        return plan, list(recorder.writes)
    finally:
        simulation.close()


def knowable(writes: Sequence[PlannedWrite]) -> list[PlannedWrite]:
    """The writes without what a system fills in by itself when it creates a record, which no plan knows before."""
    created = {(each.flow, *each.key.values()) for each in writes if each.operation == "create"}
    return [
        replace(each, fields={name: [None, wanted] for name, (_, wanted) in each.fields.items()})
        if each.operation == "update" and (each.flow, *each.key.values()) in created
        else each
        for each in writes
    ]


@pytest.fixture
def compared(server_url: str, template: str, compiled: Compiled) -> Callable[[int], int]:
    """Compares one state, in a hub of its own; the number of writes."""

    def run(seed: int) -> int:
        with database(server_url, template) as url:
            plan, sent = compare(seed, url, compiled)
        assert knowable(list(plan.writes)) == knowable(sent), f"seed {seed}"
        return len(sent)

    return run


@pytest.mark.parametrize("seed", EVERY_DAY)
def test_a_plan_is_what_once_then_does(compared: Callable[[int], int], seed: int) -> None:
    compared(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(ALL.start, ALL.stop, 5))
def test_a_plan_is_what_once_then_does_on_200_states(compared: Callable[[int], int], first: int) -> None:
    for seed in range(first, first + 5):
        compared(seed)
