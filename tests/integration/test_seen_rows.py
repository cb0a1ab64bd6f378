"""Whole reads of rows that are as they were: told by their bytes, not decoded, and as safe as if each had been."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest

from replicator.config import Budget
from replicator.connectors import exact_json
from replicator.connectors.json_rows import JsonRow
from replicator.connectors.protocol import Connector, Page, Row
from replicator.connectors.wrapped import Wrapped
from replicator.inbound import seen_rows, stored_digests
from replicator.inbound.load import SnapshotResult
from replicator.inbound.snapshot import Snapshots
from replicator.mapping.language import EntitySetSpec
from tests.fixtures.world import Systems

PRODUCTS = "SellableReleasedProducts"
HELD = "select product_number, product_name from ops.sellable_released_products order by id"
QUARANTINED = "select record, reason from sync.quarantine order by record"
IMAGES = "select count(*) from log.change where relation = 'ops.sellable_released_products'::regclass"


def with_bytes(row: Row, **fields: object) -> Row:
    """The row with other values, as a system would send it."""
    return JsonRow(exact_json.dumps({**row, **fields}), "a page")


class Counted(Wrapped):
    """A connector that counts the rows which are decoded, and whose pages somebody may change."""

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.decoded = 0
        self.mood = ""
        self.change: Callable[[list[Row]], Sequence[Sequence[Row]]] = lambda rows: [rows]
        self.before_the_last_page: Callable[[], None] = lambda: None

    def reading(self, entity_set: EntitySetSpec) -> str:
        return self.real.reading(entity_set) + self.mood

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        for page in self.real.read(entity_set, token):
            *first, last = self.change(list(page.rows))
            yield from (replace(page, rows=rows, last=False) for rows in first)
            self.before_the_last_page()
            yield replace(page, rows=last)

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        decode = self.real.decoder(entity_set)

        def counted(row: Row) -> list[object]:
            self.decoded += 1
            return decode(row)

        return counted


class Reads:
    """Reads of the products of ops, five of them read before."""

    def __init__(self, systems: Systems) -> None:
        self.systems = systems
        self.between = Counted(systems.cycle.world.connectors["ops"])
        self.snapshots = Snapshots(systems.cycle.hub, self.between)

    def take(self, deletes: int = 1) -> tuple[SnapshotResult, int]:
        """What a read brought, and how many rows were decoded for it; so many deletes go ahead in a day."""
        self.between.decoded = 0
        sets = self.systems.cycle.world.compiled.schema.entity_sets
        taken = self.snapshots.take(sets["ops", PRODUCTS], Budget(count=deletes, share=1), whole=True)
        return taken, self.between.decoded

    def names(self) -> dict[str, str]:
        return {row["product_number"]: row["product_name"] for row in self.systems.rows(HELD)}

    def quarantined(self) -> list[str]:
        return [row["record"] for row in self.systems.rows(QUARANTINED)]


@pytest.fixture
def reads(systems: Systems) -> Reads:
    systems.reference_data()
    for number in range(1, 6):
        systems.product(f"P-{number}")
    found = Reads(systems)
    assert found.take() == (SnapshotResult("whole", rows=5, inserted=5), 5)
    return found


def test_a_whole_read_that_shows_nothing_new_decodes_nothing_and_counts_as_a_whole_read(reads: Reads) -> None:
    times = "select whole_at, read_at, problem from sync.entity_set where entity_set = 'SellableReleasedProducts'"
    (before,) = reads.systems.rows(times)
    assert reads.take() == (SnapshotResult("whole", rows=5), 0)
    reads.take()  # what was idle is noted where the next read begins
    (after,) = reads.systems.rows(times)
    assert after["whole_at"] > before["whole_at"]
    assert after["read_at"] > before["read_at"]


def test_a_set_that_was_out_of_use_counts_as_read_again_though_nothing_of_it_changed(reads: Reads) -> None:
    reads.systems.run("delete from sync.entity_set where entity_set = 'SellableReleasedProducts'")
    assert reads.take() == (SnapshotResult("whole", rows=5), 0)
    (noted,) = reads.systems.rows("select whole_at from sync.entity_set where entity_set = 'SellableReleasedProducts'")
    assert noted["whole_at"] is not None


def test_of_a_whole_read_only_rows_that_changed_are_decoded(reads: Reads) -> None:
    reads.systems.product("P-3", ProductName="Changed")
    reads.systems.product("P-6")
    assert reads.take() == (SnapshotResult("whole", rows=6, inserted=1, updated=1), 2)
    assert reads.names()["P-3"] == "Changed"
    assert reads.take()[1] == 0


def test_what_is_absent_is_found_though_all_that_is_shown_is_known(reads: Reads) -> None:
    reads.systems.ops.delete(PRODUCTS, "usmf", "P-2")
    assert reads.take() == (SnapshotResult("whole", rows=4, deleted=1), 0)
    assert list(reads.names()) == ["P-1", "P-3", "P-4", "P-5"]


ORDERS = {
    "as ever": [[0, 1, 2], [3, 4]], "backward": [[4, 3], [2, 1], [0]], "one late": [[1, 2], [3, 4], [0]],
    "one early": [[4, 0, 1], [2, 3]], "turned": [[2, 3, 4], [0, 1]], "mixed": [[3, 0], [4], [2, 1]],
}  # fmt: skip


@pytest.mark.parametrize("ahead", [1, 64])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_in_whatever_order_rows_come_they_are_known_and_what_is_gone_is_found(
    reads: Reads, order: list[list[int]], ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_digests, "_AHEAD", ahead)
    monkeypatch.setattr(seen_rows, "_RANGES_MAX", 2 * ahead)
    reads.between.change = lambda rows: [[rows[place] for place in page if place < len(rows)] for page in order]
    assert reads.take() == (SnapshotResult("whole", rows=5), 0)
    for left, number in ((4, "P-2"), (3, "P-5"), (2, "P-1")):
        reads.systems.ops.delete(PRODUCTS, "usmf", number)
        assert reads.take(deletes=3) == (SnapshotResult("whole", rows=left, deleted=1), 0)
    assert list(reads.names()) == ["P-3", "P-4"]


def test_a_row_with_an_id_of_a_persons_choice_is_missed_when_it_is_gone(reads: Reads) -> None:
    reads.systems.run("""
        with gone as (delete from ops.sellable_released_products where product_number = 'P-2' returning *)
        insert into ops.sellable_released_products overriding system value
        select (jsonb_populate_record(null::ops.sellable_released_products, to_jsonb(gone) || '{"id": -7}')).* from gone
    """)
    reads.systems.ops.delete(PRODUCTS, "usmf", "P-2")
    assert reads.take()[0].deleted == 1


def test_rows_that_came_later_are_known_also_where_they_are_read_in_between(reads: Reads) -> None:
    reads.systems.product("P-15")
    reads.systems.product("P-0")
    reads.between.change = lambda rows: [rows[:3], rows[3:]]
    assert reads.take() == (SnapshotResult("whole", rows=7, inserted=2), 2)
    assert reads.take() == (SnapshotResult("whole", rows=7), 0)
    reads.systems.product("P-0", ProductName="Changed")
    reads.systems.ops.delete(PRODUCTS, "usmf", "P-15")
    assert reads.take() == (SnapshotResult("whole", rows=6, updated=1, deleted=1), 1)


def test_what_somebody_else_wrote_into_the_mirror_is_decoded_and_put_right(reads: Reads) -> None:
    reads.systems.run("update ops.sellable_released_products set product_name = 'By hand' where product_number = 'P-4'")
    assert reads.take() == (SnapshotResult("whole", rows=5, updated=1), 1)
    assert reads.names()["P-4"] == "Product P-4"


def test_rows_in_other_bytes_that_say_the_same_are_no_change_for_the_log(reads: Reads) -> None:
    before = reads.systems.rows(IMAGES)
    reads.between.change = lambda rows: [[with_bytes(row, Unknown=1) for row in rows]]
    assert reads.take() == (SnapshotResult("whole", rows=5), 5)
    assert reads.systems.rows(IMAGES) == before
    assert reads.take() == (SnapshotResult("whole", rows=5), 0)


def test_with_another_way_to_decode_every_row_is_decoded_again(reads: Reads) -> None:
    reads.between.mood = "another zone"
    assert reads.take() == (SnapshotResult("whole", rows=5), 5)
    assert reads.take() == (SnapshotResult("whole", rows=5), 0)


def test_who_asks_for_a_set_whole_has_every_row_decoded(reads: Reads) -> None:
    reads.systems.run("select sync.resync('ops.SellableReleasedProducts')")
    assert reads.take()[1] == 5
    assert reads.take()[1] == 0


def test_a_new_record_whose_key_is_one_with_that_of_a_known_one_is_quarantined_and_the_known_one_stays(
    reads: Reads,
) -> None:
    reads.between.change = lambda rows: [[*rows, with_bytes(rows[1], ProductNumber="p-2 ", ProductName="Other")]]
    taken, decoded = reads.take()
    assert (taken.quarantined, taken.updated, taken.deleted, decoded) == (1, 0, 0, 1)
    assert reads.names()["P-2"] == "Product P-2"
    assert reads.quarantined() == ["p-2 "]
    reads.between.change = lambda rows: [rows]
    reads.take()
    assert reads.quarantined() == []


def test_a_row_that_contradicts_a_known_one_of_its_page_is_quarantined_with_it(reads: Reads) -> None:
    reads.between.change = lambda rows: [[*rows, with_bytes(rows[1], ProductName="Other")]]
    taken, _ = reads.take()
    assert (taken.quarantined, taken.updated) == (2, 0)
    assert reads.names()["P-2"] == "Product P-2"
    assert reads.quarantined() == ["P-2", "P-2"]


def test_of_a_record_read_as_it_was_and_then_changed_the_change_counts(reads: Reads) -> None:
    reads.between.change = lambda rows: [rows, [with_bytes(rows[1], ProductName="Later")]]
    assert reads.take()[0].updated == 1
    assert reads.names()["P-2"] == "Later"


def test_of_a_record_read_changed_and_then_as_it_was_the_later_page_counts(reads: Reads) -> None:
    reads.between.change = lambda rows: [[with_bytes(rows[1], ProductName="Earlier")], rows]
    assert reads.take()[0].updated == 0
    assert reads.names()["P-2"] == "Product P-2"


def test_a_record_that_is_shown_twice_does_not_hide_one_that_is_gone(reads: Reads) -> None:
    reads.systems.ops.delete(PRODUCTS, "usmf", "P-2")
    reads.between.change = lambda rows: [rows, [rows[0]]]
    assert reads.take()[0].deleted == 1
    assert "P-2" not in reads.names()


def test_a_record_with_the_key_of_a_known_one_does_not_hide_one_that_is_gone(reads: Reads) -> None:
    reads.systems.ops.delete(PRODUCTS, "usmf", "P-5")
    reads.between.change = lambda rows: [[*rows, with_bytes(rows[1], ProductNumber="p-2 ")]]
    taken, _ = reads.take()
    assert (taken.quarantined, taken.deleted) == (1, 1)
    assert list(reads.names()) == ["P-1", "P-2", "P-3", "P-4"]


def test_a_record_that_we_deleted_while_it_was_read_does_not_hide_one_that_is_gone(reads: Reads) -> None:
    reads.systems.ops.delete(PRODUCTS, "usmf", "P-5")
    reads.between.change = lambda rows: [rows[:2], rows[2:]]
    gone = "delete from ops.sellable_released_products where product_number = 'P-1'"
    reads.between.before_the_last_page = lambda: reads.systems.run(gone)
    assert reads.take()[0].deleted == 1
    assert list(reads.names()) == ["P-2", "P-3", "P-4"]


def test_the_row_that_does_not_fit_is_kept_as_it_came(reads: Reads) -> None:
    reads.between.change = lambda rows: [[*rows, with_bytes(rows[1], ProductNumber="P-9", SalesPrice="\u2248100")]]
    assert reads.take()[0].quarantined == 1
    (kept,) = reads.systems.rows("select row::jsonb ->> 'SalesPrice' as price from sync.quarantine")
    assert kept == {"price": "\u2248100"}


def test_what_is_quarantined_is_forgotten_once_it_is_shown_no_more(reads: Reads) -> None:
    reads.between.change = lambda rows: [[*rows, with_bytes(rows[1], ProductNumber="P-9", SalesPrice="much")]]
    assert reads.take()[0].quarantined == 1
    reads.between.change = lambda rows: [rows]
    assert reads.take()[1] == 0
    assert reads.quarantined() == []


def test_a_held_delete_is_withdrawn_once_its_record_is_shown_again_as_it_was(reads: Reads) -> None:
    reads.between.change = lambda rows: [rows[:2]]
    states = "select state from sync.proposed_delete"
    assert reads.take()[0].held == 3
    assert [row["state"] for row in reads.systems.rows(states)] == ["held"] * 3
    reads.between.change = lambda rows: [rows]
    reads.take()
    assert [row["state"] for row in reads.systems.rows(states)] == ["withdrawn"] * 3


def test_what_we_wrote_is_decoded_once_and_known_from_then_on(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.once()
    digests = "select count(*) from ops.customers_v3 where digest is not null"
    systems.cycle.once(whole=True)
    assert [row["count"] for row in systems.rows(digests)] == [1]
    systems.account("A-1", name="Other")
    systems.settle()
    systems.cycle.once(whole=True)
    assert [row["count"] for row in systems.rows(digests)] == [1]
    log = systems.rows("select max(seq) from log.change")
    systems.cycle.once(whole=True)
    assert systems.rows("select max(seq) from log.change") == log
