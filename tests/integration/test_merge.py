"""Merge: one bad record stops itself and what needs it, never the set it came in."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from replicator.core import claim
from replicator.core.mark import mark_window
from replicator.inbound import merge as merge_module
from replicator.inbound.merge import MergeResult, Merges
from tests.fixtures.load import Filling

ACCOUNTS = "sales.accounts > account"
CHECK = "alter table common.account add constraint no_joke check (name <> 'Joke')"


@pytest.fixture
def strict(filled: Filling) -> Filling:
    """A hub whose common accounts must satisfy one thing more than the views know."""
    run(filled, CHECK)
    return filled


def run(filling: Filling, statement: str) -> None:
    with filling.connection.begin():
        filling.connection.execute(sa.text(statement))


def names(filling: Filling) -> dict[str, str]:
    with filling.connection.begin():
        rows = filling.connection.execute(
            sa.text("select number, name from common.account where kind = 'Organization'")
        )
        return {row.number: row.name for row in rows}


def failed(filling: Filling) -> list[tuple[str, str, str]]:
    with filling.connection.begin():
        rows = filling.connection.execute(
            sa.text(
                "select f.flow, a.accountnumber, f.reason from sync.failed f join sales.accounts a on a.id = record_id"
            )
        )
        return [(row.flow, row.accountnumber, row.reason) for row in rows]


def merge(filling: Filling) -> MergeResult:
    """One window and one pass."""
    mark_window(filling.hub)
    return Merges(filling.hub).merge(again=False)


def test_a_row_that_common_refuses_is_rejected_alone(strict: Filling) -> None:
    run(strict, "update sales.accounts set name = case accountnumber when 'A-4' then 'Joke' else 'New' end")
    merged = merge(strict)
    assert (merged.updated, merged.waiting) == (9, 1)
    assert names(strict) == {f"A-{n}": "New" if n != 4 else "Account 4" for n in range(1, 11)}
    ((found, number, reason),) = failed(strict)
    assert (found, number) == (ACCOUNTS, "A-4")
    assert "no_joke" in reason


def test_several_bad_rows_among_new_ones_are_each_rejected(strict: Filling) -> None:
    run(
        strict,
        "insert into sales.accounts (accountid, accountnumber, name, statecode) select md5('more ' || n)::uuid, "
        "'B-' || n, case when n in (3, 4, 17) then 'Joke' else 'Good' end, 0 from generate_series(1, 20) n",
    )
    merged = merge(strict)
    assert (merged.created, merged.waiting) == (17, 3)
    assert {number for _, number, _ in failed(strict)} == {"B-3", "B-4", "B-17"}
    assert sum(name == "Good" for name in names(strict).values()) == 17


def test_a_rejected_record_is_tried_again_when_it_changes(strict: Filling) -> None:
    run(strict, "update sales.accounts set name = 'Joke' where accountnumber = 'A-4'")
    merge(strict)
    assert len(failed(strict)) == 1
    run(strict, "update sales.accounts set name = 'Serious' where accountnumber = 'A-4'")
    merge(strict)
    assert failed(strict) == []
    assert names(strict)["A-4"] == "Serious"


def test_a_rejected_record_is_not_tried_again_by_itself(strict: Filling) -> None:
    run(strict, "update sales.accounts set name = 'Joke' where accountnumber = 'A-4'")
    merge(strict)
    merges = Merges(strict.hub)
    assert merges.merge(again=True) == MergeResult()


def test_a_rejected_record_is_tried_again_by_hand(strict: Filling) -> None:
    run(strict, "update sales.accounts set name = 'Joke' where accountnumber = 'A-4'")
    merge(strict)
    run(strict, "alter table common.account drop constraint no_joke")
    run(strict, "select sync.retry()")
    merge(strict)
    assert (failed(strict), names(strict)["A-4"]) == ([], "Joke")


def test_a_parent_that_is_rejected_holds_back_its_children_alone(strict: Filling) -> None:
    run(
        strict,
        "insert into sales.accounts (accountid, accountnumber, name, statecode) "
        "values (md5('bad')::uuid, 'B-1', 'Joke', 0), (md5('good')::uuid, 'B-2', 'Good', 0)",
    )
    run(
        strict,
        "insert into sales.contacts (contactid, msdynce_contactnumber, msdynce_isactivecustomer, parentcustomerid, "
        "lastname, statecode) values (md5('c1')::uuid, 'D-1', false, md5('bad')::uuid, 'One', 0), "
        "(md5('c2')::uuid, 'D-2', false, md5('good')::uuid, 'Two', 0)",
    )
    merge(strict)
    with strict.connection.begin():
        contacts = strict.connection.execute(sa.text("select number from common.contact where number like 'D-%'"))
        assert contacts.scalars().all() == ["D-2"]
        blocked = strict.connection.execute(sa.text("select flow, record, waits_for from sync.blocked")).all()
    assert blocked == [("sales.contacts > contact", "D-1", ["account B-1"])]


def test_a_merge_of_what_is_in_step_writes_nothing(filled: Filling) -> None:
    run(filled, "insert into sync.delivery (map_id, record_id) select m.id, a.id from sync.map m, sales.accounts a "
                f"where m.name = '{ACCOUNTS}'")  # fmt: skip
    merged = Merges(filled.hub).merge(again=False)
    assert (merged.created, merged.updated, merged.deleted, merged.settled) == (0, 0, 0, 10)
    assert mark_window(filled.hub) is None


# Slices


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two records of a map go into one pass."""
    monkeypatch.setattr(merge_module, "_BATCH", 2)


def count(filling: Filling, what: str) -> int:
    with filling.connection.begin():
        return int(filling.connection.execute(sa.text(f"select count(*) from {what}")).scalar_one())


def new_accounts(filling: Filling, number: int) -> None:
    run(
        filling,
        "insert into sales.accounts (accountid, accountnumber, name, statecode) "
        f"select md5('slice ' || n)::uuid, 'S-' || n, 'Slice', 0 from generate_series(1, {number}) n",
    )


def passes(filling: Filling, merges: Merges, most: int = 30) -> int:
    """How many passes it takes until nothing is left to do."""
    for number in range(1, most):
        window = mark_window(filling.hub)
        if not merges.merge(again=window is not None).goes_on and window is None:
            return number
    raise AssertionError("merging does not come to rest")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("number", range(1, 6))
def test_any_number_of_records_is_merged_slice_by_slice_to_its_end(filled: Filling, number: int) -> None:
    new_accounts(filled, number)
    passes(filled, Merges(filled.hub))
    assert sum(name == "Slice" for name in names(filled).values()) == number
    assert count(filled, "sync.delivery d join sync.map m on m.id = d.map_id where m.direction = 'in'") == 0


UNPAIR = f"""
update sync.link_sales_accounts__account set ended_at = now();
insert into sync.delivery (map_id, record_id)
select m.id, a.id from sync.map m, sales.accounts a where m.name = '{ACCOUNTS}' on conflict do nothing
"""
PAIRED = "sync.link_sales_accounts__account where ended_at is null"


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("first", [0, 1], ids=["before all slices", "between two of them"])
def test_many_records_are_paired_with_those_of_common_that_lost_their_pairs(
    filled: Filling, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """Whether there are any is asked once for many; a pair that is lost after that is found all the same."""
    monkeypatch.setattr(claim, "FEW", 0)
    merges = Merges(filled.hub)
    new_accounts(filled, 5)
    mark_window(filled.hub)
    for _ in range(first):
        merges.merge(again=True)
    run(filled, UNPAIR)
    passes(filled, merges)
    assert count(filled, PAIRED) == 15
    assert count(filled, "common.account where kind = 'Organization'") == 15
    assert failed(filled) == []


@pytest.mark.usefixtures("small")
def test_a_flow_that_is_paused_between_two_slices_is_left_alone(filled: Filling) -> None:
    new_accounts(filled, 5)
    merges = Merges(filled.hub)
    mark_window(filled.hub)
    assert merges.merge(again=True).left == 1
    run(filled, f"select sync.pause('{ACCOUNTS}')")
    passes(filled, merges)
    assert sum(name == "Slice" for name in names(filled).values()) == 2
    run(filled, "select sync.resume()")
    passes(filled, merges)
    assert sum(name == "Slice" for name in names(filled).values()) == 5


@pytest.mark.usefixtures("small")
def test_who_waits_for_a_record_of_an_earlier_slice_is_released_after_the_last(filled: Filling) -> None:
    run(
        filled,
        "insert into sales.contacts (contactid, msdynce_contactnumber, msdynce_isactivecustomer, parentcustomerid, "
        "lastname, statecode) values (md5('waits')::uuid, 'W-1', false, md5('slice 1')::uuid, 'Waits', 0)",
    )
    merges = Merges(filled.hub)
    passes(filled, merges)
    assert count(filled, "common.contact where number = 'W-1'") == 0
    new_accounts(filled, 5)
    passes(filled, merges)
    assert count(filled, "common.contact where number = 'W-1'") == 1
