"""Seeded runs: whatever people and faults do, at every quiet point both systems hold what they should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicator.mapping.compiled import Compiled
from tests.fixtures.postgres import database
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import live_through

_SEEDS = 100
_SEEDS_PER_TEST = 5


@pytest.fixture
def seeded(server_url: str, template: str, compiled: Compiled) -> Callable[[int], None]:
    """Runs a seed in a hub of its own."""

    def run(seed: int) -> None:
        with database(server_url, template) as url:
            live_through(seed, url, compiled)

    return run


@pytest.mark.parametrize("first", range(0, _SEEDS, _SEEDS_PER_TEST))
def test_whatever_people_and_faults_do_both_systems_end_as_they_should(
    seeded: Callable[[int], None], first: int
) -> None:
    for seed in range(first, first + _SEEDS_PER_TEST):
        seeded(seed)


def test_a_seed_gives_the_same_run_again(server_url: str, template: str, compiled: Compiled) -> None:
    stories = []
    for _ in range(2):
        with database(server_url, template) as url:
            stories.append(live_through(11, url, compiled))
    assert stories[0] == stories[1]


@pytest.mark.parametrize("name", MUTANTS)
def test_each_planted_bug_can_be_planted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the simulation finds it is asked by ``python -m tests.simulation mutants``."""
    MUTANTS[name](monkeypatch)
