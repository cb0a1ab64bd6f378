"""Sweeps: keys and etags of all, what changed by its key, and what that must not miss."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from replicator.config import Budget
from replicator.connectors import exact_json
from replicator.connectors.json_rows import JsonRows
from replicator.connectors.protocol import Connector, Key, Page, Row
from replicator.connectors.wrapped import Wrapped
from replicator.errors import RequestRefused, UnexpectedAnswer
from replicator.inbound.load import SnapshotResult
from replicator.inbound.snapshot import Snapshots
from replicator.mapping.language import EntitySetSpec
from tests.fixtures.world import Systems

PRODUCTS = "SellableReleasedProducts"
HELD = "select product_number, product_name from ops.sellable_released_products order by product_number"
COUNT = 40


class Counted(Wrapped):
    """A connector that counts what it is asked for, with somebody in between who may change what a sweep shows."""

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.asked: list[str] = []
        self.limits = replace(real.limits, writes_per_request=10)
        self.change: Callable[[list[Row]], list[list[Row]]] = lambda rows: [rows]
        self.computed: Row = {}
        """Values that are other ones although no etag says so."""

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        self.asked.append("whole")
        for page in self.real.read(entity_set, token):
            yield replace(page, rows=[{**row, **self.computed} for row in page.rows])

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        self.asked.append("sweep")
        for page in self.real.sweep(entity_set):
            *first, last = [_as_sent(rows) for rows in self.change(list(page.rows))]
            yield from (replace(page, rows=rows, last=False) for rows in first)
            yield replace(page, rows=last)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        self.asked.append(f"{len(keys)} by key")
        return self.real.fetch(entity_set, keys)


def _as_sent(rows: Sequence[Row]) -> JsonRows:
    return JsonRows([exact_json.dumps(dict(row)) for row in rows], "a page")


class Sweeps:
    """Reads of the products of ops, all of which have been read before."""

    def __init__(self, systems: Systems) -> None:
        self.systems = systems
        self.between = Counted(systems.cycle.world.connectors["ops"])
        self.snapshots = Snapshots(systems.cycle.hub, self.between)

    def take(self, deletes: int = COUNT) -> tuple[SnapshotResult, list[str]]:
        """What a read brought, and what was asked for it; so many deletes go ahead in a day."""
        self.between.asked.clear()
        sets = self.systems.cycle.world.compiled.schema.entity_sets
        taken = self.snapshots.take(sets["ops", PRODUCTS], Budget(count=deletes, share=1))
        with self.systems.cycle.hub.leading():
            self.snapshots.note_reads()
        return taken, self.between.asked

    def names(self) -> dict[str, str]:
        return {row["product_number"]: row["product_name"] for row in self.systems.rows(HELD)}


def swept(**counts: int) -> SnapshotResult:
    return SnapshotResult("swept", **{"rows": COUNT, **counts})


@pytest.fixture
def sweeps(systems: Systems) -> Sweeps:
    systems.reference_data()
    for number in range(COUNT):
        systems.product(f"P-{number:02}")
    found = Sweeps(systems)
    assert found.take() == (SnapshotResult("whole", rows=COUNT, inserted=COUNT), ["whole"])
    return found


def test_once_read_whole_only_keys_and_etags_are_read(sweeps: Sweeps) -> None:
    before = sweeps.systems.rows("select max(seq) from log.change")
    for _ in range(3):
        assert sweeps.take() == (swept(), ["sweep"])
    assert sweeps.systems.rows("select max(seq) from log.change") == before


def test_what_changed_and_what_is_new_is_read_by_key(sweeps: Sweeps) -> None:
    sweeps.take()
    sweeps.systems.product("P-07", ProductName="Other")
    sweeps.systems.product("P-99")
    assert sweeps.take() == (swept(rows=COUNT + 1, inserted=1, updated=1), ["sweep", "2 by key"])
    assert sweeps.names()["P-07"] == "Other"
    assert sweeps.names()["P-99"] == "Product P-99"
    assert sweeps.take() == (swept(rows=COUNT + 1), ["sweep"])


def test_very_many_changes_are_read_page_by_page(sweeps: Sweeps) -> None:
    for number in range(10):
        sweeps.systems.product(f"P-{number:02}", ProductName="Other")
    assert sweeps.take() == (swept(updated=10), ["sweep", "10 by key"])
    for number in range(11):
        sweeps.systems.product(f"P-{number:02}", ProductName="Once more")
    assert sweeps.take() == (SnapshotResult("whole", rows=COUNT, updated=11), ["sweep", "whole"])
    assert sweeps.take() == (swept(), ["sweep"])


def test_what_a_sweep_does_not_show_is_looked_up_before_it_is_deleted(sweeps: Sweeps) -> None:
    sweeps.take()
    sweeps.systems.ops.delete(PRODUCTS, "P-03")
    sweeps.between.change = lambda rows: [[row for row in rows if row["ProductNumber"] != "P-04"]]
    taken, asked = sweeps.take()
    assert (taken.deleted, asked) == (1, ["sweep", "2 by key"])
    assert "P-03" not in sweeps.names()
    assert "P-04" in sweeps.names(), "a page had moved under the reader; the record is there"


def test_pages_that_shift_under_the_reader_lose_and_double_nothing(sweeps: Sweeps) -> None:
    names = sweeps.names()
    sweeps.between.change = lambda rows: [rows[:20], rows[18:30], rows[32:]]
    for _ in range(3):
        assert sweeps.take()[0].deleted == 0
    assert sweeps.names() == names


def test_a_sweep_that_shows_nothing_deletes_nothing(sweeps: Sweeps) -> None:
    sweeps.take()
    sweeps.between.change = lambda rows: [[]]
    assert sweeps.take(deletes=1000)[0] == swept(rows=0, held=COUNT)
    sweeps.between.change = lambda rows: [rows]
    assert sweeps.take()[0] == swept()
    assert {row["state"] for row in sweeps.systems.rows("select state from sync.proposed_delete")} == {"withdrawn"}


def test_a_sweep_that_breaks_off_changes_nothing(sweeps: Sweeps) -> None:
    sweeps.take()

    def cut(rows: list[Row]) -> list[list[Row]]:
        raise UnexpectedAnswer("cut off")

    sweeps.between.change = cut
    sweeps.systems.product("P-07", ProductName="Other")
    with pytest.raises(UnexpectedAnswer):
        sweeps.take()
    assert len(sweeps.names()) == COUNT
    sweeps.between.change = lambda rows: [rows]
    assert sweeps.take()[0] == swept(updated=1)


def test_what_we_wrote_ourselves_is_not_read_again(systems: Systems) -> None:
    systems.reference_data()
    for number in range(5):
        systems.account(f"A-{number}")
    systems.settle()
    between = Counted(systems.cycle.world.connectors["ops"])
    entity_set = systems.cycle.world.compiled.schema.entity_sets["ops", "CustomersV3"]
    taken = Snapshots(systems.cycle.hub, between).take(entity_set, Budget())
    assert (taken, between.asked) == (SnapshotResult("swept", rows=5), ["sweep"])


def test_what_we_wrote_and_the_system_did_not_keep_is_missed_though_the_sweep_is_as_ever(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.settle()
    systems.connection.exec_driver_sql(
        "update ops.customers_v3 set etag = 'of a write', organization_name = 'As answered'"
    )
    systems.connection.commit()
    between = Counted(systems.cycle.world.connectors["ops"])
    entity_set = systems.cycle.world.compiled.schema.entity_sets["ops", "CustomersV3"]
    taken = Snapshots(systems.cycle.hub, between).take(entity_set, Budget())
    assert (taken, between.asked) == (SnapshotResult("swept", rows=1, updated=1), ["sweep", "1 by key"])


def test_records_without_an_etag_are_read_whole(sweeps: Sweeps) -> None:
    without: list[list[Row]] = [[{"dataAreaId": "usmf", "ProductNumber": "P-07"}]]
    sweeps.between.change = lambda rows: [
        [row for row in rows if row["ProductNumber"] != "P-07"], *without
    ]  # fmt: skip
    for _ in range(2):
        assert sweeps.take() == (swept(), ["sweep", "1 by key"])
    sweeps.between.change = lambda rows: [[{**row, "@odata.etag": None} for row in rows]]
    assert sweeps.take() == (SnapshotResult("whole", rows=COUNT), ["sweep", "whole"])


def test_a_key_that_cannot_be_read_leads_to_a_whole_read(sweeps: Sweeps) -> None:
    sweeps.between.change = lambda rows: [[*rows, {"dataAreaId": "usmf", "ProductNumber": 7}]]
    assert sweeps.take()[1] == ["sweep", "whole"]


def test_keys_in_several_writings_lead_to_a_whole_read_which_tells_them_apart(sweeps: Sweeps) -> None:
    sweeps.between.change = lambda rows: [[*rows, {**rows[0], "ProductNumber": "p-00"}]]
    assert sweeps.take()[1] == ["sweep", "whole"]


def test_a_record_that_the_system_will_not_show_by_its_key_leads_to_a_whole_read(
    sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeps.take()

    def refuse(entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        raise RequestRefused("not by key")

    monkeypatch.setattr(sweeps.between, "fetch", refuse)
    sweeps.systems.product("P-07", ProductName="Other")
    assert sweeps.take() == (SnapshotResult("whole", rows=COUNT, updated=1), ["sweep", "whole"])


def test_a_bad_row_is_quarantined_alone_and_taken_in_once_it_is_mended(sweeps: Sweeps) -> None:
    sweeps.systems.product("P-07", ProductName="No\x00thing")
    for _ in range(2):
        assert sweeps.take() == (swept(quarantined=1), ["sweep", "1 by key"])
    sweeps.systems.product("P-07", ProductName="Mended")
    assert sweeps.take() == (swept(updated=1), ["sweep", "1 by key"])
    assert sweeps.systems.rows("select * from sync.quarantine") == []


def test_with_another_way_to_decode_everything_is_read(sweeps: Sweeps, monkeypatch: pytest.MonkeyPatch) -> None:
    sweeps.take()
    monkeypatch.setattr(sweeps.between, "reading", lambda entity_set: "another")
    assert sweeps.take()[1] == ["whole"]


def test_everything_is_read_after_a_week_and_what_no_etag_told_is_found(sweeps: Sweeps) -> None:
    sweeps.take()
    sweeps.between.computed = {"SalesPrice": 77}
    for days, asked, prices in ((5, "sweep", 0), (2, "whole", COUNT)):
        sweeps.systems.connection.exec_driver_sql(
            f"update sync.entity_set set whole_at = whole_at - interval '{days} days'"
        )
        sweeps.systems.connection.commit()
        assert sweeps.take()[1] == [asked]
        found = sweeps.systems.rows("select from ops.sellable_released_products where sales_price = 77")
        assert len(found) == prices
