"""Seeded runs: whatever people and faults do, at every quiet point both systems hold what they should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicator.mapping.compiled import Compiled
from tests.fixtures.postgres import database
from tests.simulation.faults import KINDS
from tests.simulation.hub_trouble import KINDS as OF_THE_HUB
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import EVERY_DAY, Story, live_through
from tests.simulation.self_willed import KINDS as OF_A_WILL

_SEEDS = 100
_SEEDS_PER_TEST = 5
Seeded = Callable[[int], Story]


@pytest.fixture(scope="module")
def seeded(server_url: str, template: str, compiled: Compiled) -> Seeded:
    """Runs a seed in a hub of its own."""

    def run(seed: int) -> Story:
        with database(server_url, template) as url:
            return live_through(seed, url, compiled)

    return run


@pytest.fixture(scope="module")
def story(seeded: Seeded) -> Seeded:
    """What happened in a seed, which is run when it is asked for first."""
    stories: dict[int, Story] = {}

    def known(seed: int) -> Story:
        if seed not in stories:
            stories[seed] = seeded(seed)
        return stories[seed]

    return known


@pytest.mark.parametrize("seed", EVERY_DAY)
def test_whatever_people_and_faults_do_both_systems_end_as_they_should(story: Seeded, seed: int) -> None:
    assert story(seed).requests > 0


@pytest.mark.timeout(1800)  # where it comes first, it lives through all of them
def test_between_them_the_everyday_seeds_meet_every_fault_and_everything_that_people_do(story: Seeded) -> None:
    stories = [story(seed) for seed in EVERY_DAY]
    assert {kind for each in stories for kind in each.faults} >= {*KINDS, *OF_THE_HUB, *OF_A_WILL}
    assert not [act for act in stories[0].acts if not any(each.acts[act] for each in stories)]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, _SEEDS, _SEEDS_PER_TEST))
def test_in_100_seeds_both_systems_end_as_they_should(seeded: Seeded, first: int) -> None:
    for seed in set(range(first, first + _SEEDS_PER_TEST)) - set(EVERY_DAY):
        seeded(seed)


def test_a_seed_gives_the_same_run_again(seeded: Seeded, story: Seeded) -> None:
    assert seeded(EVERY_DAY[0]) == story(EVERY_DAY[0])


@pytest.mark.parametrize("name", MUTANTS)
def test_each_planted_bug_can_be_planted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the simulation finds it is asked by ``python -m tests.simulation mutants``."""
    MUTANTS[name](monkeypatch)
