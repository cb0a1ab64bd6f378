"""A quiet day of the shipped solution: how often each entity set is asked, and how many requests that takes.

The product's own polls run through the day by a simulated clock, against systems of which nothing changes. How many
requests a read takes follows from how many records there are; before there were other ways, ops was read whole and
every set at every poll.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import ceil
from pathlib import Path

import sqlalchemy as sa

from benchmarks.hub import hub
from benchmarks.report import Line, table
from replicator.config import Configuration
from replicator.connectors.protocol import (
    Capabilities,
    Connector,
    Description,
    Key,
    Limits,
    Outcome,
    Page,
    Row,
    Unit,
    Usage,
)
from replicator.cycle import Cycle
from replicator.mapping.compiled import compile_folder
from replicator.mapping.language import EntitySetSpec
from replicator.mapping.schema import EntitySet
from replicator.world import World

_SCHEMA = Path(__file__).resolve().parents[1] / "schema"
_HOURS = 6
"""So long it is run; the rest of the day goes on as these."""
_RECORDS = {
    "accounts": 20_000, "CustomersV3": 20_000, "contacts": 20_000, "CDSContactPersonsV2": 20_000, "quotes": 30_000,
    "CDSSalesQuotationHeaders": 30_000, "quotedetails": 90_000, "CDSSalesQuotationLines": 90_000, "products": 5_000,
    "SellableReleasedProducts": 5_000,
}  # fmt: skip
_PAGE_OF_OPS = 1000
"""Records, as the connector is set by default."""


class Quiet(Connector):
    """A system of which nothing changes. It holds nothing; what a read would take is counted by ``_RECORDS``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.limits = Limits(records_per_read=_PAGE_OF_OPS, keys_per_read=10_000)
        self.capabilities = Capabilities(changes="delta" if name == "sales" else "whole")
        self.requests: Counter[str] = Counter()

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Nothing, and where to read on."""
        self.requests[entity_set.entity_set] += 1 if token else self.pages(entity_set, self.limits.records_per_read)
        yield Page([], token="on from here" if self.name == "sales" else None, last=True)

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        """No keys."""
        self.requests[entity_set.entity_set] += self.pages(entity_set, self.limits.keys_per_read)
        yield Page([], last=True)

    def pages(self, entity_set: EntitySetSpec, size: int) -> int:
        """Requests for all records, so many at once."""
        return max(1, ceil(_RECORDS.get(entity_set.entity_set, 0) / size))

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        """Of no rows."""
        return lambda row: []

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """Nothing is there."""
        return [None for _ in keys]

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """Nothing is known."""
        return [None for _ in entity_sets]

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Nothing is sent on a quiet day."""
        raise AssertionError(units)

    def usage(self) -> Usage:
        """Nothing is known."""
        return Usage(0)


def measure(server_url: str, records: int) -> list[Line]:
    """Requests of a day, before and after."""
    with ExitStack() as stack:
        engine = stack.enter_context(hub(server_url, "day", model := compile_folder(_SCHEMA)))
        systems = {name: Quiet(name) for name in ("sales", "ops")}
        workers = stack.enter_context(ThreadPoolExecutor(1))
        configuration = Configuration()
        polls = int(_HOURS * 3600 / configuration.daemon.poll_seconds)
        with engine.connect() as connection:
            cycle = Cycle(World(configuration, model, engine, dict(systems), workers), connection)
            cycle.prepare()
            for system in systems.values():
                _poll(cycle, system.name, 0)
                system.requests.clear()  # the first read of all is that of another day
            for number in range(1, polls + 1):
                for name in systems:
                    _poll(cycle, name, number * configuration.daemon.poll_seconds)
    times = 24 // _HOURS
    after = Counter({name: times * count for each in systems.values() for name, count in each.requests.items()})
    before = {each.name: times * polls * _whole(each, systems) for each in model.schema.entity_sets.values()}
    counted = [
        (str(each), f"{before[each.name]:,}", f"{after[each.name]:,}") for each in model.schema.entity_sets.values()
    ]
    table("A quiet day: requests for reading", ("entity set", "before", "after"), counted)
    lines = []
    for name in systems:
        names = [each.name for each in model.schema.sets_of(name)]
        was, now = (sum(counts[each] for each in names) for counts in (before, after))
        lines.append(Line(f"a quiet day of {name}: requests, to those before ({was:,})", f"{now:,}", now / was))
    return lines


def _whole(entity_set: EntitySet, systems: Mapping[str, Quiet]) -> int:
    """Requests of a poll before: of ops all records, of sales a question for changes."""
    return 1 if entity_set.system == "sales" else systems["ops"].pages(entity_set.spec, _PAGE_OF_OPS)


def _poll(cycle: Cycle, name: str, seconds: float) -> None:
    now = sa.text("select set_config('sync.now', cast(timestamptz '2026-01-05 00:00Z' + :after as text), false)")
    with cycle.connection.begin():
        cycle.connection.execute(now, {"after": f"{seconds} seconds"})
    cycle.read([name])
