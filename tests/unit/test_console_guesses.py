"""How long somebody waits who guessed wrong, and how that is forgotten."""

from __future__ import annotations

import pytest

from replicator.console.guesses import Guesses, pause


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_few_guesses_are_free_then_the_wait_doubles_up_to_a_minute() -> None:
    assert [pause(times) for times in (0, 1, 2, 3, 4, 5, 8, 9, 1000)] == [0, 0, 0, 1, 2, 4, 32, 60, 60]


@pytest.mark.parametrize("passed", [901, -7200], ids=["a quarter of an hour", "a clock set back"])
def test_what_was_long_ago_is_forgotten(clock: Clock, passed: float) -> None:
    guesses = Guesses(clock)
    while not guesses.wait("192.0.2.7"):
        pass
    clock.now += passed
    assert [guesses.wait("192.0.2.7") for _ in range(4)] == [0, 0, 0, 1]


def test_asking_while_waiting_makes_the_wait_no_longer(clock: Clock) -> None:
    guesses = Guesses(clock)
    assert [guesses.wait("192.0.2.7") for _ in range(50)][-1] == 1
    clock.now += 1
    assert guesses.wait("192.0.2.7") == 0


def test_what_is_kept_of_guessers_has_an_end(clock: Clock) -> None:
    guesses = Guesses(clock)
    for number in range(10_001):
        guesses.wait(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(guesses._places) == 10_000
