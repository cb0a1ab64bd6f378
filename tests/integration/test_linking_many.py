"""Pairs pass from one generation to the next in a claim of many records, too, which is read at once."""

from __future__ import annotations

import pytest

from replicator.core import claim
from tests.fixtures.world import Systems


@pytest.fixture(autouse=True)
def _many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every claim counts as one of many."""
    monkeypatch.setattr(claim, "FEW", 0)
    monkeypatch.setattr(claim, "SCATTERED", 1_000_000_000)


def pairs(systems: Systems, entity_set: str) -> list[int]:
    """The common records that records of sales are paired with."""
    query = "select common_id from sync.pair where entity_set = :name and ended_at is null order by 1"
    return [row["common_id"] for row in systems.rows(query, name=entity_set)]


def test_a_pair_passes_to_the_one_record_with_the_key_of_one_that_is_gone(systems: Systems) -> None:
    """And to no other of those that are new."""
    systems.reference_data()
    gone = systems.account("A-1")
    systems.settle()
    (kept,) = pairs(systems, "accounts")
    systems.sales.delete("accounts", gone["accountid"])
    for number in ("A-0", "A-1", "A-2"):
        systems.account(number, name=f"New {number}")
    systems.settle()
    paired = pairs(systems, "accounts")
    assert (len(paired), paired[0]) == (3, kept)
    (row,) = systems.rows("select number, name from common.account where id = :id", id=kept)
    assert row == {"number": "A-1", "name": "New A-1"}
    assert len(systems.held("ops", "CustomersV3", CustomerAccount="A-1", OrganizationName="New A-1")) == 1
    assert [write.method for write in systems.sent("ops", "CustomersV3") if "A-1" in write.address] == ["PATCH"]


def test_the_pair_of_a_revised_quote_and_those_of_its_lines_pass_to_the_next_revision(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    before = pairs(systems, "quotes"), pairs(systems, "quotedetails")
    systems.activate(systems.revise(quote))
    systems.settle()
    assert (pairs(systems, "quotes"), pairs(systems, "quotedetails")) == before
    (paired,) = systems.rows(
        "select q.revisionnumber from sync.pair p join sales.quotes q on q.id = p.mirror_id"
        " where p.entity_set = 'quotes' and p.ended_at is null"
    )
    assert paired == {"revisionnumber": 1}
