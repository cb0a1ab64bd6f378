"""One seed from its first record to its last check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import pytest

from replicator.inbound import merge
from replicator.mapping.compiled import Compiled
from replicator.outbound import delivery_pass
from tests.simulation.checks import disagreeing, problems
from tests.simulation.simulation import Simulation

EVERY_DAY = (0, 1, 3, 7, 10, 52, 57, 66, 69, 78, 80, 92)
"""Seeds that between them meet every fault and everything that people do; the slow tests run others."""
_BEFORE = 4
_ASKED_FOR_AGREEMENT = 10
"""Of so many lives one ends with everything that people may ask, which takes as long as half a life."""
_STEPS = 5


class WrongError(AssertionError):
    """Something is not as it should be at a quiet point."""


@dataclass(frozen=True)
class Story:
    """What happened: crashes, faults by kind, what people did, requests to both systems and writes among them."""

    kills: int
    faults: dict[str, int]
    acts: dict[str, int]
    requests: int
    writes: int


def live_through(seed: int, hub_url: str, compiled: Compiled) -> Story:
    """Live through one seed in an empty hub; a WrongError or NeverQuietError tells what is wrong."""
    with slices(seed):
        return _live(Simulation(seed, hub_url, compiled))


@contextmanager
def slices(seed: int) -> Iterator[None]:
    """Sometimes so few records go into one pass that there is more than one slice of them."""
    random = Random(seed)
    with pytest.MonkeyPatch.context() as patching:
        patching.setattr(merge, "_BATCH", random.choice([1, 3, merge._BATCH]))
        patching.setattr(delivery_pass, "_BATCH", random.choice([1, 3, delivery_pass._BATCH]))
        patching.setattr(delivery_pass, "_SLICE_SECONDS", random.choice([0.0, delivery_pass._SLICE_SECONDS]))
        yield


def _live(simulation: Simulation) -> Story:
    seed = simulation.seed
    try:
        simulation.systems.reference_data()
        simulation.past()
        for _ in range(_BEFORE):
            simulation.people.act()
        simulation.live(_STEPS)
        simulation.become_quiet()
        _check(seed, problems(simulation))
        before = simulation.systems.writes()
        simulation.run(lambda cycle: cycle.once())
        if simulation.systems.writes() > before:
            _check(seed, ["a further round wrote something"])
        if seed % _ASKED_FOR_AGREEMENT == 0:
            _check(seed, list(disagreeing(simulation)))
        return _story(simulation)
    finally:
        simulation.close()


def _check(seed: int, found: list[str]) -> None:
    if found:
        raise WrongError(f"seed {seed}:\n" + "\n".join(found))


def _story(simulation: Simulation) -> Story:
    faults = sum((wire.struck for wire in simulation.wires.values()), start=simulation.trouble.struck)
    requests = sum(box.requests["total"] for box in (simulation.systems.sales, simulation.systems.ops))
    return Story(simulation.kills, dict(faults), dict(simulation.people.done), requests, simulation.systems.writes())
