"""A connector that is asked for nothing more once the replicator is to stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from replicator.connectors.protocol import Key, Limits, Page, Row
from replicator.connectors.stop_between_requests import UntilStopping
from replicator.errors import Stopping
from replicator.mapping.language import EntitySetSpec, SystemField

THINGS = EntitySetSpec(entity_set="things", description="", key=("id",), fields={"id": SystemField()})


class Asked:
    """A system of four pages, and of every key; it remembers what it was asked."""

    name = "a"
    limits = Limits(writes_per_request=2)

    def __init__(self) -> None:
        self.requests: list[object] = []

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        for number in range(4):
            self.requests.append(number)
            yield Page([{"id": number}], last=number == 3)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        self.requests.append([key[0] for key in keys])
        return [{"id": key[0]} for key in keys]


def asked(stops_after: int) -> tuple[Any, UntilStopping]:
    """A system, and the way to it that closes after so many requests."""
    real: Any = Asked()
    return real, UntilStopping(real, lambda: len(real.requests) >= stops_after)


def test_a_read_ends_before_the_next_page() -> None:
    real, connector = asked(2)
    pages: list[Page] = []
    with pytest.raises(Stopping):
        pages.extend(connector.read(THINGS, None))
    assert real.requests == [0, 1]


def test_a_read_whose_last_page_has_come_counts() -> None:
    _, connector = asked(4)
    assert [page.last for page in connector.read(THINGS, None)] == [False, False, False, True]


def test_keys_are_asked_for_request_by_request_until_it_stops() -> None:
    keys: list[Key] = [(number,) for number in range(5)]
    _, connector = asked(100)
    assert connector.fetch(THINGS, keys) == [{"id": number} for number in range(5)]
    real, connector = asked(2)
    with pytest.raises(Stopping):
        connector.fetch(THINGS, keys)
    assert real.requests == [[0, 1], [2, 3]]
