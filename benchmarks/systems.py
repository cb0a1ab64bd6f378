"""Two systems that answer at once: one that is read, one that is written to.

Rows reach the replicator as pages of JSON, and what it does with them counts, splitting and decoding too. Making them
up is timed beside it.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from benchmarks import rows
from benchmarks.clock import Clock
from replicator.connectors import connect
from replicator.connectors.json_rows import json_page
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import (
    Applied,
    Capabilities,
    Connector,
    Description,
    Image,
    Key,
    Limits,
    Outcome,
    Page,
    Row,
    Unit,
    Usage,
    Write,
)
from replicator.mapping.language import EntitySetSpec

Decode = Callable[[Row], list[object]]


def decoder(entity_set: EntitySetSpec) -> Decode:
    """The real one."""
    settings = settings_of({"kind": "dataverse", "url": "http://localhost"})
    return connect("bench", settings).decoder(entity_set)


def answers(pages: Iterator[list[rows.Values]], clock: Clock) -> Iterator[Page]:
    """Pages as they come out of their JSON, with the time that each takes to make up, to split and to be read."""
    while True:
        with clock.on("generate"):
            page = next(pages, None)
            body = rows.body(page) if page is not None else b""
        if page is None:
            break
        with clock.on("split"):
            split = json_page(body, "a page")
            assert split is not None
        started = time.perf_counter()
        yield Page(split[0])
        clock.seconds["stage"] += time.perf_counter() - started


class Source(Connector):
    """The system that is read: its whole set, or what ``changes`` says."""

    name = "bench"
    limits = Limits()
    capabilities = Capabilities()

    def __init__(self, records: int) -> None:
        self.records = records
        self.generation = 0
        self.changes: Sequence[int] = ()
        self.clock = Clock()

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """The whole set, or what changed."""
        yield from answers(self._pages(entity_set, whole=token is None), self.clock)
        yield Page([], token=f"generation {self.generation}", last=True)

    def _pages(self, entity_set: EntitySetSpec, *, whole: bool) -> Iterator[list[rows.Values]]:
        if entity_set.entity_set == "categories":
            yield [rows.category(number) for number in range(rows.CATEGORIES)]
        elif whole:
            yield from rows.whole(self.records, self.generation)
        elif self.changes:
            yield rows.changed(self.changes, self.generation)

    def decoder(self, entity_set: EntitySetSpec) -> Decode:
        """The real one."""
        return decoder(entity_set)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """Nothing is deleted, so nothing is looked up."""
        raise NotImplementedError

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Nothing is written back."""
        raise NotImplementedError

    def usage(self) -> Usage:
        """No requests are counted."""
        return Usage(0)

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """Nobody asks."""
        raise NotImplementedError


class Target(Connector):
    """The system that is written to; it stores what it is sent, and counts."""

    name = "bench2"
    limits = Limits()
    capabilities = Capabilities()

    def __init__(self) -> None:
        self.writes = 0

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Nobody reads it: its mirror is filled by SQL."""
        raise NotImplementedError

    def decoder(self, entity_set: EntitySetSpec) -> Decode:
        """See ``read``."""
        raise NotImplementedError

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """See ``read``."""
        raise NotImplementedError

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Everything is applied at once."""
        self.writes += sum(map(len, units))
        return [[Applied(stored(write), f'W/"{self.writes}"') for write in unit] for unit in units]

    def usage(self) -> Usage:
        """No requests are counted."""
        return Usage(0)

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """Nobody asks."""
        raise NotImplementedError


def stored(write: Write) -> Image:
    """The whole record after a write. Its GUID ends in the decimal digits of its item's number."""
    key = write.key[0]
    assert isinstance(key, UUID)
    number = int(str(key)[-12:])
    row = rows.item(number, 0)
    image: Image = {
        "articleid": key,
        "active": True,
        "availablefrom": datetime.date.fromisoformat(str(row["availablefrom"])),
        "categorycode": rows.category(number % rows.CATEGORIES)["code"],
        **{name: row[name] for name in ("number", "name", "description", "city", "quantity", "price")},
    }
    return image | dict(write.values)
