"""What reading costs: counted by entity set and day, and shown where people look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import httpx2
import pytest

from replicator.connectors.protocol import Connector, Page
from replicator.connectors.wrapped import Wrapped
from replicator.mapping.language import EntitySetSpec
from replicator.operate import hub_queries
from replicator.operate.preflight import system_check
from replicator.operate.preflight.findings import Report
from tests.fixtures.world import Systems

CUSTOMERS = "ops", "CustomersV3"


def reading(systems: Systems, entity_set: str) -> dict[str, int]:
    with systems.connection.begin():
        found = {row["entity_set"]: dict(row) for row in hub_queries.reading(systems.connection)}
    return found[entity_set]


def test_requests_rows_bytes_and_changes_are_counted_by_entity_set_and_day(systems: Systems) -> None:
    systems.reference_data()
    for number in range(3):
        systems.account(f"A-{number}")
    systems.settle()
    before = reading(systems, "CustomersV3")
    assert reading(systems, "accounts")["changed_today"] == 3
    systems.cycle.read(["ops"])
    after = reading(systems, "CustomersV3")
    grown = {
        name: after[f"{name}_today"] - before[f"{name}_today"] for name in ("reads", "requests", "rows", "changed")
    }
    assert grown == {"reads": 1, "requests": 1, "rows": 3, "changed": 0}
    swept = after["received_today"] - before["received_today"]
    assert swept > 0
    record = systems.held("ops", "CustomersV3", CustomerAccount="A-1")[0]
    systems.ops.put("CustomersV3", {**record, "SalesMemo": "Changed there"})
    systems.cycle.read(["ops"])
    last = reading(systems, "CustomersV3")
    assert last["requests_today"] - after["requests_today"] == 2, "the sweep, and the record that it found changed"
    assert last["changed_today"] - after["changed_today"] == 1
    assert last["requests_week"] == last["requests_today"]
    systems.rows("select set_config('sync.now', cast(now() + interval '1 day' as text), false)")
    systems.cycle.read(["ops"], whole=True)
    days = systems.rows("select day, reads, received from sync.read_cost where entity_set = 'CustomersV3' order by day")
    assert [row["reads"] for row in days] == [last["reads_today"], 1]
    assert days[1]["received"] > 2 * swept, "keys and etags are a small part of a record"
    assert reading(systems, "CustomersV3")["reads_today"] == 1


def test_a_read_that_fails_is_counted_too(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    systems.cycle.read(["ops"])
    before = reading(systems, "CustomersV3")
    monkeypatch.setattr(systems.wire["ops"], "handle_request", lambda request: httpx2.Response(503))
    systems.cycle.read(["ops"])
    assert reading(systems, "CustomersV3")["requests_today"] == before["requests_today"] + 1


class Without(Wrapped):
    """A system whose rows have no etag, and that has very many of them."""

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.limits = replace(real.limits, requests_per_window=50)

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        for page in self.real.sweep(entity_set):
            yield replace(page, rows=[{**row, "@odata.etag": None} for row in page.rows])

    def count(self, entity_set: EntitySetSpec) -> int:
        return 60_000 if entity_set.entity_set == CUSTOMERS[1] else 0


def test_check_says_what_a_day_of_reading_costs_and_which_way_a_system_does_not_go(systems: Systems) -> None:
    systems.product("P-1")
    compiled = systems.cycle.world.compiled
    notes = Report()
    system_check.check(compiled, systems.cycle.world.connectors["ops"], 30, notes)
    told = [note.what for note in notes.information if note.what.startswith("reading it takes")]
    assert told == ["reading it takes about 14,400 requests on a quiet day, at most 50 in 5 minutes"]
    notes = Report()
    system_check.check(compiled, Without(systems.cycle.world.connectors["ops"]), 30, notes)
    found = {note.where: note for note in notes.findings}
    assert "no etag" in found["ops.SellableReleasedProducts"].what
    assert found["ops"].what == (
        "reading it takes about 28,800 requests on a quiet day, at most 100 in 5 minutes, and it bears 50"
    )
    assert "every" in found["ops"].next
