"""Snapshots: what a read brings into the mirror, what it quarantines, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from replicator.config import Budget
from replicator.connectors import exact_json
from replicator.connectors.json_rows import JsonRow
from replicator.connectors.protocol import Connector, Key, Page, Row
from replicator.connectors.wrapped import Wrapped
from replicator.errors import AccessDenied, RequestRefused, SystemUnavailable, TokenExpired
from replicator.inbound.delete_budget import over_budget
from replicator.inbound.load import SnapshotResult
from replicator.inbound.seen_rows import SeenRows
from replicator.inbound.snapshot import Snapshots
from replicator.mapping.language import EntitySetSpec
from tests.fixtures.world import Systems

ACCOUNTS = "select accountnumber, name from sales.accounts order by accountnumber"
QUARANTINED = "select record, field, reason from sync.quarantine order by record"


def as_sent(row: Row) -> Row:
    """A row in its bytes, as pages bring it; not on a page with something that is no JSON, as NaN."""
    with suppress(ValueError):
        return JsonRow(exact_json.dumps(row), "a page") if type(row) is dict else row
    return row


class Between(Wrapped):
    """A connector with somebody in between, who may change what is read, do things meanwhile, or fail."""

    def __init__(self, inner: Connector) -> None:
        super().__init__(inner)
        self.inner = inner
        self.alter: Callable[[Row], Row] = lambda row: row
        self.change: Callable[[list[Row]], Sequence[Row]] = lambda rows: rows
        self.meanwhile: Callable[[], None] = lambda: None
        self.tokens: list[str | None] = []

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        self.tokens.append(token)
        for page in self.inner.read(entity_set, token):
            self.meanwhile()
            yield replace(page, rows=list(map(as_sent, self.change([self.alter(row) for row in page.rows]))))

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        for page in self.inner.sweep(entity_set):
            yield replace(page, rows=list(map(as_sent, self.change(list(page.rows)))))

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        return [None if row is None else self.alter(row) for row in self.inner.fetch(entity_set, keys)]


class Reads:
    """Reads entity sets of the two systems through somebody in between."""

    def __init__(self, systems: Systems) -> None:
        self.systems = systems
        self.world = systems.cycle.world
        self.between = {name: Between(connector) for name, connector in self.world.connectors.items()}

    def take(self, system: str, name: str, *, whole: bool = False) -> SnapshotResult:
        compiled = self.world.compiled
        snapshots = Snapshots(self.systems.cycle.hub, self.between[system])
        budget = self.world.configuration.delete_budget(system, name)
        return snapshots.take(compiled.schema.entity_sets[system, name], budget, whole=whole)

    def tampered(self, number: str, **fields: object) -> None:
        """From now on the account of this number is read with these fields instead."""

        def alter(row: Row) -> Row:
            return {**row, **fields} if row["accountnumber"] == number else row

        self.between["sales"].alter = alter


@pytest.fixture
def reads(systems: Systems) -> Reads:
    """Two systems with reference data and three accounts, nothing read yet."""
    systems.reference_data()
    for number in ("A-1", "A-2", "A-3"):
        systems.account(number)
    return Reads(systems)


def numbers(systems: Systems) -> list[str]:
    return [row["accountnumber"] for row in systems.rows(ACCOUNTS)]


# Whole and changed


def test_the_first_read_is_whole_and_the_next_only_what_changed(reads: Reads) -> None:
    first = reads.take("sales", "accounts")
    assert (first.kind, first.rows, first.inserted) == ("whole", 3, 3)
    quiet = reads.take("sales", "accounts")
    assert (quiet.kind, quiet.rows, quiet.anything) == ("changed", 0, False)
    reads.systems.account("A-2", name="New")
    reads.systems.account("A-4")
    changed = reads.take("sales", "accounts")
    assert (changed.kind, changed.rows, changed.inserted, changed.updated) == ("changed", 2, 1, 1)
    assert [row["name"] for row in reads.systems.rows(ACCOUNTS)] == ["Account A-1", "New", "Account A-3", "Account A-4"]


def test_a_read_that_brings_nothing_is_one_transaction_and_all_of_a_poll_are_noted_in_one(systems: Systems) -> None:
    systems.reference_data()
    systems.once()
    sets = systems.cycle.world.compiled.schema.sets_of("sales")
    [before] = systems.rows("select sync.now() as at")
    begun: list[object] = []
    sa.event.listen(systems.connection, "begin", begun.append)
    assert systems.cycle.read(["sales"]) is False
    assert len(begun) == len(sets) + 2, "and one asks whether the system wants a pause"
    noted = systems.rows("select read_at from sync.entity_set where system = 'sales'")
    assert len(noted) == len(sets)
    assert all(row["read_at"] > before["at"] for row in noted)


def test_a_whole_read_of_the_same_changes_nothing(reads: Reads) -> None:
    reads.take("sales", "accounts")
    before = reads.systems.rows("select count(*) from log.change")
    again = reads.take("sales", "accounts", whole=True)
    assert (again.kind, again.rows, again.anything) == ("whole", 3, False)
    assert reads.systems.rows("select count(*) from log.change") == before


def test_a_token_that_is_no_longer_good_leads_to_a_whole_read(reads: Reads) -> None:
    reads.take("sales", "accounts")
    reads.systems.account("A-4")
    between = reads.between["sales"]
    given = between.read

    def expire(entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        if token is not None:
            raise TokenExpired("the token is too old")
        yield from given(entity_set, token)

    between.read = expire  # type: ignore[method-assign]
    taken = reads.take("sales", "accounts")
    assert (taken.kind, taken.rows, taken.inserted) == ("whole", 4, 1)
    assert reads.systems.rows("select * from sync.problems") == []
    del between.read
    assert reads.take("sales", "accounts").kind == "changed"


def test_writes_say_which_snapshot_they_came_from(reads: Reads) -> None:
    reads.take("sales", "accounts")
    origins = reads.systems.rows("select distinct origin from log.change where relation = 'sales.accounts'::regclass")
    assert [row["origin"] for row in origins] == ["snapshot:sales"]


# Duplicate keys


def test_of_a_record_read_twice_the_later_image_counts(reads: Reads) -> None:
    between, earlier = reads.between["sales"], list[Row]()
    between.limits = between.inner.limits = replace(between.limits, records_per_read=2)

    def once_more(rows: list[Row]) -> list[Row]:
        found = [*rows, *({**row, "name": f"{row['name']} later"} for row in earlier)]
        earlier[:] = rows
        return found

    between.change = once_more
    taken = reads.take("sales", "accounts")
    assert taken.inserted == 3
    names = {row["name"] for row in reads.systems.rows(ACCOUNTS)}
    assert names == {"Account A-1 later", "Account A-2 later", "Account A-3"}


def test_records_of_one_page_that_bear_one_key_are_quarantined_unless_they_are_the_same(reads: Reads) -> None:
    reads.take("sales", "accounts")

    def doubled(rows: list[Row]) -> list[Row]:
        others = [{**row, "name": "Another" if row["accountnumber"] == "A-2" else row["name"]} for row in rows]
        return [*rows, *others]

    reads.between["sales"].change = doubled
    taken = reads.take("sales", "accounts", whole=True)
    assert (taken.quarantined, taken.deleted, taken.held) == (2, 0, 0)
    assert [row["name"] for row in reads.systems.rows(ACCOUNTS)] == [f"Account A-{n}" for n in (1, 2, 3)]
    told = reads.systems.rows(QUARANTINED)
    assert [row["record"] for row in told] == ["A-2", "A-2"]
    assert all("more than once on one page, with other values" in row["reason"] for row in told)
    reads.between["sales"].change = lambda rows: rows
    reads.take("sales", "accounts", whole=True)
    assert reads.systems.rows(QUARANTINED) == []


def test_of_records_whose_keys_differ_in_blanks_case_or_form_alone_one_is_taken_in_and_all_are_named(
    reads: Reads,
) -> None:
    reads.systems.product("P-1\u00e9")

    def thrice(rows: list[Row]) -> list[Row]:
        others = ("p-1\u00e9", " P-1e\u0301")
        return [*({**row, "ProductNumber": other, "ProductName": other} for other in others for row in rows), *rows]

    for _ in range(2):
        reads.take("ops", "SellableReleasedProducts")
        names = reads.systems.rows("select product_name from ops.sellable_released_products")
        assert [row["product_name"] for row in names] == ["Product P-1\u00e9"]
        reads.between["ops"].change = thrice  # from now on; the record that is known keeps its place
    told = reads.systems.rows(QUARANTINED)
    assert [row["field"] for row in told] == ["ProductNumber"] * 2
    for row in told:
        assert all(ascii(key) in row["reason"] for key in ("P-1\u00e9", "p-1\u00e9", " P-1e\u0301"))


def test_a_read_that_fails_again_and_again_keeps_its_bad_rows_once(reads: Reads) -> None:
    reads.tampered("A-2", name="No\x00body")

    def cut() -> None:
        pages.append(1)
        if len(pages) % 2 == 0:
            raise SystemUnavailable("cut")

    pages: list[int] = []
    reads.between["sales"].limits = reads.between["sales"].inner.limits = replace(
        reads.between["sales"].limits, records_per_read=2
    )
    reads.between["sales"].meanwhile = cut
    for _ in range(3):
        with pytest.raises(SystemUnavailable):
            reads.take("sales", "accounts", whole=True)
    assert [row["record"] for row in reads.systems.rows(QUARANTINED)] == ["A-2"]


@pytest.mark.parametrize("error", [AccessDenied, RequestRefused])
def test_one_record_that_cannot_be_looked_up_keeps_no_other_delete_waiting(
    reads: Reads, monkeypatch: pytest.MonkeyPatch, error: type[AccessDenied | RequestRefused]
) -> None:
    reads.take("sales", "accounts")
    ids = {row["accountnumber"]: row["accountid"] for row in reads.systems.sales.records("accounts")}
    for number in ("A-1", "A-2"):
        reads.systems.sales.delete("accounts", ids[number])
    fetch = reads.between["sales"].fetch

    def refusing(entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        if any(str(key[0]) == ids["A-1"] for key in keys):
            raise error("not this one")
        return fetch(entity_set, keys)

    monkeypatch.setattr(reads.between["sales"], "fetch", refusing)
    with pytest.raises(RequestRefused, match="1 deletes wait"):
        reads.take("sales", "accounts")
    assert numbers(reads.systems) == ["A-1", "A-3"]
    monkeypatch.undo()
    assert reads.take("sales", "accounts").deleted == 1
    assert numbers(reads.systems) == ["A-3"]


def test_what_keeps_a_delete_from_being_looked_up_stays_shown_though_nothing_new_was_read(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads.take("sales", "accounts")
    first = reads.systems.sales.records("accounts")[0]
    reads.systems.sales.delete("accounts", first["accountid"])

    def refusing(entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        raise RequestRefused("not this one")

    monkeypatch.setattr(reads.between["sales"], "fetch", refusing)
    accounts = reads.world.compiled.schema.entity_sets["sales", "accounts"]
    snapshots = Snapshots(reads.systems.cycle.hub, reads.between["sales"])
    for _ in range(2):  # the second read brings nothing
        with pytest.raises(RequestRefused, match="1 deletes wait"):
            snapshots.take(accounts, Budget())
        with reads.systems.cycle.hub.leading():
            snapshots.note_reads()
        (row,) = reads.systems.rows("select problem from sync.problems")
        assert "cannot be looked up" in row["problem"]


def test_roots_do_not_wait_for_sets_that_are_read_after_their_parts(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the parts nothing new was read; and what is read next fails with the hub's database."""
    systems.reference_data()
    systems.product("P-1")
    account = systems.account("A-1")
    systems.once()
    draft = systems.quote("Q-1", account, ["P-1"], statecode=0, statuscode=1)
    systems.settle()
    systems.edit(draft, name="New")
    systems.activate(draft)
    sales, sets = systems.cycle.world.connectors["sales"], systems.cycle.world.compiled.schema.entity_sets
    snapshots = Snapshots(systems.cycle.hub, sales)
    assert [snapshots.take(sets["sales", name], Budget()).rows for name in ("quotes", "quotedetails")] == [1, 0]

    def too_slow(*rows: object) -> None:
        raise psycopg.errors.QueryCanceled("canceling statement due to statement timeout")

    monkeypatch.setattr(SeenRows, "take", too_slow)
    with pytest.raises(psycopg.errors.QueryCanceled):
        snapshots.take(sets["sales", "accounts"], Budget(), whole=True)
    monkeypatch.undo()
    systems.cycle.settle()
    assert [row["SalesQuotationName"] for row in systems.held("ops", "CDSSalesQuotationHeaders")] == ["New"]


# Bad rows

BAD = [
    ("name", "a\0b", "NUL"),
    ("name", "a\ud800b", "surrogate"),
    ("name", 5, "text"),
    ("numberofemployees", "many", "integer"),
    ("numberofemployees", Decimal("1.5"), "integer"),
    ("numberofemployees", 10**30, "range"),
    ("creditlimit", "much", "number"),
    ("creditlimit", "\u2248100", "number"),
    ("creditlimit", Decimal("NaN"), "finite"),
    ("creditlimit", Decimal("9" * 6000), "range"),
    ("donotemail", "perhaps", "true nor false"),
    ("_transactioncurrencyid_value", "no-guid", ""),
]


@pytest.mark.parametrize(("field", "value", "why"), BAD)
def test_a_bad_row_is_quarantined_and_the_others_load(reads: Reads, field: str, value: object, why: str) -> None:
    reads.tampered("A-2", **{field: value})
    taken = reads.take("sales", "accounts")
    assert (taken.rows, taken.inserted, taken.quarantined) == (3, 2, 1)
    assert numbers(reads.systems) == ["A-1", "A-3"]
    (quarantined,) = reads.systems.rows(QUARANTINED)
    assert quarantined["record"] == "A-2"
    assert quarantined["field"] == field.removeprefix("_").removesuffix("_value")
    assert why in quarantined["reason"]


def test_what_was_quarantined_is_shown_with_what_failed(reads: Reads) -> None:
    reads.tampered("A-2", name="a\0b")
    reads.take("sales", "accounts")
    (failed,) = reads.systems.rows("select flow, record, state, field from sync.failed")
    assert failed == {"flow": "sales.accounts", "record": "A-2", "state": "quarantined", "field": "name"}


def test_the_row_itself_is_kept(reads: Reads) -> None:
    reads.tampered("A-2", name="a\0b")
    reads.take("sales", "accounts")
    (row,) = reads.systems.rows("select row from sync.quarantine")
    assert '"accountnumber": "A-2"' in row["row"]
    assert "a\\u0000b" in row["row"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_corrected_row_is_forgotten(reads: Reads, whole: bool) -> None:
    reads.tampered("A-2", name="a\0b")
    reads.take("sales", "accounts")
    reads.tampered("A-2")
    reads.systems.account("A-2", name="Good")
    taken = reads.take("sales", "accounts", whole=whole)
    assert (taken.inserted, taken.quarantined) == (1, 0)
    assert reads.systems.rows(QUARANTINED) == []


def test_a_bad_row_that_is_read_again_is_noted_once(reads: Reads) -> None:
    reads.tampered("A-2", name="a\0b")
    for whole in (False, True, True):
        reads.take("sales", "accounts", whole=whole)
    assert len(reads.systems.rows(QUARANTINED)) == 1


def test_a_bad_row_that_was_not_read_again_stays_noted(reads: Reads) -> None:
    reads.tampered("A-2", name="a\0b")
    reads.take("sales", "accounts")
    reads.systems.account("A-3", name="New")
    reads.take("sales", "accounts")
    assert len(reads.systems.rows(QUARANTINED)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        "Ä-2",
        "A\x002",
    ],
)
def test_a_corrected_row_is_forgotten_whatever_its_number_was(reads: Reads, bad: str) -> None:
    """A number beyond ASCII, and a number that is itself what was wrong."""
    reads.tampered("A-2", accountnumber=bad, name="a\0b")
    reads.take("sales", "accounts")
    assert len(reads.systems.rows(QUARANTINED)) == 1
    reads.systems.account("A-2", name="Good")
    reads.tampered("A-2", **({"accountnumber": bad} if "\0" not in bad else {}))
    reads.take("sales", "accounts")
    assert reads.systems.rows(QUARANTINED) == []


def test_a_record_that_turns_bad_keeps_its_last_good_image(reads: Reads) -> None:
    reads.take("sales", "accounts")
    reads.tampered("A-2", name="a\0b")
    taken = reads.take("sales", "accounts", whole=True)
    assert (taken.quarantined, taken.deleted, taken.held) == (1, 0, 0)
    assert numbers(reads.systems) == ["A-1", "A-2", "A-3"]
    assert len(reads.systems.rows(QUARANTINED)) == 1
    assert reads.systems.rows("select * from sync.proposed_delete where state <> 'withdrawn'") == []


def test_many_records_that_turn_bad_are_no_proposed_deletes(systems: Systems) -> None:
    systems.reference_data()
    for number in range(20):
        systems.account(f"A-{number}")
    reads = Reads(systems)
    reads.take("sales", "accounts")
    reads.between["sales"].alter = lambda row: {**row, "name": "a\0b"}
    taken = reads.take("sales", "accounts", whole=True)
    assert (taken.quarantined, taken.deleted, taken.held) == (20, 0, 0)
    assert systems.rows("select * from sync.held") == []
    assert len(systems.rows(QUARANTINED)) == 20
    assert len(numbers(systems)) == 20


# Errors


def state(systems: Systems) -> list[list[dict[str, Any]]]:
    """The mirror and how far it was read."""
    position = "select token, whole_at, read_at from sync.entity_set where entity_set = 'accounts'"
    return [systems.rows("select * from sales.accounts order by id"), systems.rows(position)]


@pytest.mark.parametrize("whole", [True, False])
def test_an_error_in_the_middle_of_a_read_changes_nothing(reads: Reads, whole: bool) -> None:
    reads.take("sales", "accounts")
    before = state(reads.systems)
    reads.systems.account("A-1", name="New")
    between = reads.between["sales"]
    given = between.read

    def broken(entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        for page in given(entity_set, token):
            yield replace(page, last=False, token=None)
        raise SystemUnavailable("the line went dead")

    between.read = broken  # type: ignore[method-assign]
    with pytest.raises(SystemUnavailable):
        reads.take("sales", "accounts", whole=whole)
    assert state(reads.systems) == before
    (problem,) = reads.systems.rows("select system, entity_set, problem from sync.problems")
    assert (problem["system"], problem["entity_set"]) == ("sales", "accounts")
    assert problem["problem"].startswith("the line went dead (")
    del between.read
    assert reads.take("sales", "accounts").updated == 1
    assert reads.systems.rows("select * from sync.problems") == []


def test_a_first_read_that_fails_leaves_the_mirror_empty_and_unread(reads: Reads) -> None:
    def fail() -> None:
        raise SystemUnavailable("gone")

    reads.between["sales"].meanwhile = fail
    with pytest.raises(SystemUnavailable):
        reads.take("sales", "accounts")
    assert numbers(reads.systems) == []
    assert reads.systems.rows("select whole_at from sync.entity_set") == [{"whole_at": None}]


# Our own writes meanwhile


@pytest.fixture
def delivered(reads: Reads) -> Reads:
    """A product that has arrived in sales."""
    reads.systems.product("P-1", SalesPrice=10)
    reads.systems.once()
    return reads


def prices(systems: Systems) -> dict[str, Decimal]:
    return {
        row["productnumber"]: row["price"] for row in systems.rows("select productnumber, price from sales.products")
    }


def test_a_record_we_wrote_while_it_was_read_keeps_what_we_wrote(delivered: Reads) -> None:
    """The page was fetched before the write, so its image is older."""
    systems = delivered.systems

    def write() -> None:
        systems.run("update ops.sellable_released_products set sales_price = 99")
        systems.cycle.settle()

    delivered.between["sales"].meanwhile = write
    delivered.take("sales", "products", whole=True)
    assert prices(systems) == {"P-1": Decimal(99)}
    assert [record["price"] for record in systems.sales.records("products")] == [99]
    past = [row["price"] for row in systems.rows("select price from log.sales_products order by seq")]
    since = [*past, Decimal(99)].index(Decimal(99))
    assert Decimal(10) not in past[since:], "the older image did not come back"


def test_a_record_we_created_while_its_set_was_read_is_no_delete(delivered: Reads) -> None:
    systems = delivered.systems

    def write() -> None:
        systems.run(
            "insert into ops.sellable_released_products (data_area_id, product_number, product_name, product_type, "
            "currency_code, sales_unit_symbol) values ('usmf', 'P-2', 'New', 'Item', 'USD', 'ea')"
        )
        systems.cycle.settle()

    delivered.between["sales"].meanwhile = write
    taken = delivered.take("sales", "products", whole=True)
    assert (taken.held, taken.deleted) == (0, 0)
    assert set(prices(systems)) == {"P-1", "P-2"}
    assert systems.rows("select * from sync.proposed_delete") == []


def test_what_somebody_else_changed_meanwhile_is_read_again(delivered: Reads) -> None:
    """We wrote the price while the set was read; then a person in sales changed it. The second reading sees both."""
    systems = delivered.systems

    def write() -> None:
        systems.run("update ops.sellable_released_products set sales_price = 99")
        systems.cycle.settle()
        systems.sales.put("products", {**systems.sales.records("products")[0], "price": 77})

    delivered.between["sales"].meanwhile = write
    delivered.take("sales", "products", whole=True)
    assert prices(systems) == {"P-1": Decimal(77)}


# Proposed deletes


def test_a_record_that_is_gone_goes_after_one_more_look(reads: Reads) -> None:
    reads.take("sales", "accounts")
    (gone,) = [row for row in reads.systems.sales.records("accounts") if row["accountnumber"] == "A-2"]
    reads.systems.sales.delete("accounts", gone["accountid"])
    taken = reads.take("sales", "accounts")
    assert (taken.kind, taken.deleted, taken.held) == ("changed", 1, 0)
    assert numbers(reads.systems) == ["A-1", "A-3"]


def test_a_record_that_a_read_left_out_by_mistake_stays(reads: Reads) -> None:
    reads.take("sales", "accounts")
    reads.between["sales"].change = lambda rows: rows[1:]
    taken = reads.take("sales", "accounts", whole=True)
    assert (taken.deleted, taken.held) == (0, 0)
    assert len(numbers(reads.systems)) == 3


def test_a_read_that_shows_nothing_deletes_nothing(reads: Reads) -> None:
    reads.take("sales", "accounts")
    for row in reads.systems.sales.records("accounts"):
        reads.systems.sales.delete("accounts", row["accountid"])
    taken = reads.take("sales", "accounts", whole=True)
    assert (taken.deleted, taken.held) == (0, 3)
    assert len(numbers(reads.systems)) == 3
    (held,) = reads.systems.rows("select system, entity_set, records, reason from sync.held")
    assert (held["system"], held["entity_set"], held["records"]) == ("sales", "accounts", 3)
    assert "nothing at all" in held["reason"]


BUDGET = Budget(count=100, share=0.1)


@pytest.mark.parametrize(
    ("absent", "recent", "size", "rows", "kind", "words"),
    [
        (1, 0, 1_000, 999, "whole", None),
        (100, 0, 1_000, 900, "whole", None),
        (101, 0, 10_000, 9_899, "whole", "at most 100"),
        (51, 50, 10_000, 9_949, "whole", "at most 100"),
        (50, 50, 10_000, 9_950, "whole", None),
        (11, 0, 100, 89, "whole", "more than 10%"),
        (10, 0, 100, 90, "whole", None),
        (6, 5, 95, 89, "whole", "more than 10%"),
        (5, 0, 6, 1, "whole", None),
        (6, 0, 7, 1, "whole", "more than 10%"),
        (1, 0, 1, 0, "whole", "nothing at all"),
        (1, 0, 1, 0, "changed", None),
        (101, 0, 10_000, 0, "changed", "at most 100"),
    ],
)
def test_the_budget(absent: int, recent: int, size: int, rows: int, kind: Any, words: str | None) -> None:
    found = over_budget(absent, recent, size, rows, kind, BUDGET)
    assert (found is None) if words is None else (found is not None and words in found)


def test_a_budget_of_nothing_holds_every_delete() -> None:
    assert over_budget(1, 0, 1_000, 999, "whole", Budget(count=0, share=1)) is not None
