"""For records with any fault, in chains of up to three records, ``explain`` names the fault as the root cause.

And exit code, status, reconcile and the balance say the same of the hub.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fixtures.agreement import disagreements, reconciled
from tests.fixtures.commands import Result, Workplace
from tests.fixtures.scenarios import Scenario, Scenarios
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

AT_ONCE = 25
"""Scenarios in one hub."""


@pytest.fixture
def place(hub_url: str, tmp_path: Path) -> Iterator[Workplace]:
    """A folder to run commands in, on the hub of the test's own systems."""
    place = Workplace(tmp_path, hub_url)
    place.configure({"sales": "http://localhost:1", "ops": "http://localhost:2"})
    yield place
    place.close()


def told_in_json(told: Result) -> list[str]:
    """The root causes, each in one text."""
    return [f"{row['record']} {row['state']} {row['said']}" for row in told.json["root_causes"]]


def told_in_text(told: Result) -> list[str]:
    """The same as a person sees them: each marked line and what stands below it."""
    lines = told.out.splitlines()
    return [" ".join(lines[place : place + 3]) for place, line in enumerate(lines) if line.startswith("> ")]


def unnamed(place: Workplace, scenario: Scenario) -> list[str]:
    """What is wrong with the answers about a scenario."""
    found = []
    for told, read in ((place.tell("explain", scenario.kind, scenario.key, "--json"), told_in_json),
                       (place.tell("explain", scenario.kind, scenario.key), told_in_text)):  # fmt: skip
        causes = read(told) if told.code == 0 else []
        if not any(scenario.words in cause for cause in causes) or len(causes) > 3:
            found.append("\n".join([f"{scenario}: {read.__name__}:", *causes, told.told]))
    return found


def check(systems: Systems, place: Workplace, seed: int) -> None:
    scenarios = Scenarios(systems, Random(seed))
    for _ in range(AT_ONCE):
        scenarios.add()
    scenarios.finish()
    wrong = [each for scenario in scenarios.made for each in unnamed(place, scenario)]
    wrong += disagreements(systems.connection, [(each.kind, each.key) for each in scenarios.made])
    wrong += reconciled(systems.cycle.world, systems.connection)
    wrong += disagreements(systems.connection, [(each.kind, each.key) for each in scenarios.made])
    assert len(scenarios.made) == AT_ONCE
    assert not wrong, "\n\n".join([f"seed {seed}: {len(wrong)}", *wrong])


def test_the_root_cause_of_any_fault_is_named(systems: Systems, place: Workplace) -> None:
    check(systems, place, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 9))
def test_the_root_cause_of_any_fault_is_named_with_more_seeds(systems: Systems, place: Workplace, seed: int) -> None:
    check(systems, place, seed)
