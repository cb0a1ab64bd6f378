"""Generations: records that share a business key, of which one counts while the others are its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.world import Systems

HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"


@pytest.fixture(autouse=True)
def further_rounds(systems: Systems) -> None:
    """Another round writes nothing."""
    systems.further_rounds = True


@pytest.fixture
def account(systems: Systems) -> Mapping[str, Any]:
    """An account; three products are in both systems already."""
    systems.reference_data()
    for number in ("P-1", "P-2", "P-3"):
        systems.product(number)
    systems.once()
    return systems.account("A-1")


def quotation(systems: Systems, number: str) -> Mapping[str, Any]:
    """The one quotation of this number."""
    (held,) = systems.held("ops", HEADERS, SalesQuotationNumber=number)
    return held


def ordered(systems: Systems, number: str) -> list[tuple[int, str, Any]]:
    """The lines of a quotation: sequence, product and quantity."""
    held = systems.held("ops", LINES, SalesQuotationNumber=number)
    return sorted(
        (line["LineCreationSequenceNumber"], line["ProductNumber"], line["RequestedSalesQuantity"]) for line in held
    )


def removed(systems: Systems) -> list[str]:
    """What ops was told to delete."""
    return [sent.address for sent in systems.wire["ops"].sent if sent.method == "DELETE"]


def test_the_quotation_follows_a_revised_quote_and_is_never_gone(systems: Systems, account: Mapping[str, Any]) -> None:
    first = systems.quote("Q-1", account, ["P-1", "P-2", "P-3"], name="first offer")
    systems.settle()
    before = quotation(systems, "Q-1")
    second = systems.revise(first)
    systems.edit(second, name="second offer")
    systems.delete_line(second, 2)
    systems.edit_line(second, 3, quantity=7)
    systems.settle()
    assert quotation(systems, "Q-1") == before, "a draft goes out when it is activated"
    assert ordered(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 1), (3, "P-3", 1)]
    systems.activate(second)
    systems.settle()
    assert quotation(systems, "Q-1")["SalesQuotationName"] == "second offer"
    assert ordered(systems, "Q-1") == [(1, "P-1", 1), (3, "P-3", 7)]
    assert len(removed(systems)) == 1, "the line that the revision leaves out"
    assert systems.rows("select count(*) as n from common.quote") == [{"n": 1}]
    assert systems.rows("select sequence from common.quote_line order by 1") == [{"sequence": 1}, {"sequence": 3}]


def test_an_earlier_revision_is_shown_as_history(systems: Systems, account: Mapping[str, Any]) -> None:
    first = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    second = systems.revise(first)
    systems.activate(second)
    systems.settle()
    (shown,) = systems.rows("select record, reason from sync.not_eligible")
    assert shown["reason"] == "history: Q-1 with revisionnumber 1 counts, not this one with revisionnumber 0"
    told = systems.rows("select said from sync.explain('sales.quotes', 'Q-1')")
    assert any("history: Q-1 with revisionnumber 1 counts" in str(row["said"]) for row in told)


def test_an_account_that_becomes_history_of_another_is_shown_although_it_had_a_customer_of_its_own(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    """An inactive account whose number another one takes."""
    other = systems.account("A-2")
    systems.settle()
    systems.sales.put("accounts", {"accountid": other["accountid"], "statecode": 1, "statuscode": 2})
    systems.sales.put("accounts", {"accountid": account["accountid"], "accountnumber": "A-2"})
    systems.settle()
    left_out = systems.rows("select flow, reason from sync.not_eligible where record like 'A-2%'")
    assert [row["flow"] for row in left_out] == ["sales.accounts > account"]
    assert left_out[0]["reason"].startswith("history: A-2")


def test_revised_and_activated_between_two_reads_it_goes_out_as_one_change(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    first = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    second = systems.revise(first)
    systems.activate(second)
    third = systems.revise(second)
    systems.edit_line(third, 1, quantity=5)
    systems.activate(third)
    systems.settle()
    assert ordered(systems, "Q-1") == [(1, "P-1", 5), (2, "P-2", 1)]
    assert removed(systems) == []
    assert len(systems.why("not_eligible")) == 1, "both earlier ones have one name"
    assert systems.rows("select count(*) as n from sync.not_eligible") == [{"n": 2}]


def test_a_first_read_takes_the_revision_that_counts(systems: Systems, account: Mapping[str, Any]) -> None:
    second = systems.revise(systems.quote("Q-1", account, ["P-1", "P-2"]))
    systems.delete_line(second, 1)
    systems.activate(second)
    systems.settle()
    assert ordered(systems, "Q-1") == [(2, "P-2", 1)]


def test_a_draft_revision_that_is_deleted_leaves_the_quotation_to_the_one_before(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    first = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    second = systems.revise(first)
    systems.settle()
    systems.delete_quote(second)
    systems.settle()
    assert ordered(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 1)]
    assert removed(systems) == []
    assert systems.rows("select status from common.quote") == [{"status": "Closed"}]
    third = systems.revise(first)
    systems.activate(third)
    systems.settle()
    assert quotation(systems, "Q-1")["SalesQuotationNumber"] == "Q-1"
    assert removed(systems) == []


def test_a_changed_draft_that_is_deleted_leaves_nothing_behind(systems: Systems, account: Mapping[str, Any]) -> None:
    first = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    draft = systems.revise(first)
    systems.edit(draft, name="Other")
    systems.edit_line(draft, 2, quantity=9)
    systems.add_line(draft, 3, "P-3")
    systems.settle()
    assert "this one is Draft" in systems.why("failed")["Q-1"]
    systems.delete_quote(draft)
    systems.settle()
    assert systems.why("failed") == {}, "the closed one is as it was delivered"
    assert ordered(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 1)]
    systems.change_line(first, 1, quantity=4)
    systems.settle()
    assert ordered(systems, "Q-1") == [(1, "P-1", 4), (2, "P-2", 1)]
    assert removed(systems) == []


def test_a_line_that_only_a_deleted_draft_left_out_is_as_it_was_delivered(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    first = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    draft = systems.revise(first)
    systems.delete_line(draft, 2)
    systems.settle()
    systems.delete_quote(draft)
    systems.settle()
    assert systems.why("failed") == {}, "the closed one is as it was delivered"
    systems.sent("ops", LINES)
    systems.activate(systems.revise(first))
    systems.settle()
    assert ordered(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 1)]
    assert systems.sent("ops", LINES) == [], "it is neither deleted nor made again"


def test_an_active_revision_that_is_deleted_is_told_until_there_is_another(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    first = systems.quote("Q-1", account, ["P-1"], name="first offer")
    systems.settle()
    second = systems.change_quote(first, name="second offer")
    systems.settle()
    systems.delete_quote(second)
    systems.settle()
    assert "this one is Closed" in systems.why("failed")["Q-1"]
    assert quotation(systems, "Q-1")["SalesQuotationName"] == "second offer"
    systems.change_quote(first, name="third offer")
    systems.settle()
    assert quotation(systems, "Q-1")["SalesQuotationName"] == "third offer"
    assert systems.why("failed") == {}
    assert removed(systems) == []


@pytest.mark.parametrize("read_between", [True, False])
def test_a_revision_for_another_customer_stays_when_sales_deletes_the_former_one_with_its_quotes(
    systems: Systems, account: Mapping[str, Any], read_between: bool
) -> None:
    other = systems.account("A-2")
    first = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    second = systems.change_quote(first, **{"customerid_account@odata.bind": f"/accounts({other['accountid']})"})
    if read_between:
        systems.settle()
    systems.sales.delete("accounts", account["accountid"])
    assert [held["quoteid"] for held in systems.sales.records("quotes")] == [second["quoteid"]]
    systems.settle()
    assert quotation(systems, "Q-1")["RequestingCustomerAccountNumber"] == "A-2"
    assert ordered(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 1)]
    assert removed(systems) == []
    assert (systems.why("failed"), systems.why("blocked")) == ({}, {})


def test_two_quotes_that_are_revised_together_exchange_lines_and_numbers(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quotes = [systems.quote(number, account, ["P-1", "P-2", "P-3"]) for number in ("Q-1", "Q-2")]
    systems.settle()
    with systems.revising(quotes[0]) as one, systems.revising(quotes[1]) as two:
        systems.edit_line(one, 2, sequencenumber=7, **{"quoteid@odata.bind": f"/quotes({two['quoteid']})"})
        systems.edit_line(two, 2, quantity=2, **{"quoteid@odata.bind": f"/quotes({one['quoteid']})"})
        systems.edit_line(two, 7, sequencenumber=2, quantity=5)
        for place, then in ((1, 8), (3, 1), (8, 3)):
            systems.edit_line(one, place, sequencenumber=then)
    systems.settle()
    assert ordered(systems, "Q-1") == [(1, "P-3", 1), (2, "P-2", 2), (3, "P-1", 1)]
    assert ordered(systems, "Q-2") == [(1, "P-1", 1), (2, "P-2", 5), (3, "P-3", 1)]
    assert systems.why("failed") == {}


@pytest.mark.parametrize("won", [True, False])
def test_a_quote_that_is_won_or_lost_keeps_its_quotation(
    systems: Systems, account: Mapping[str, Any], won: bool
) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    before = quotation(systems, "Q-1")
    systems.close(quote, won=won)
    systems.settle()
    assert quotation(systems, "Q-1") == before
    assert systems.rows("select status from common.quote") == [{"status": "Won" if won else "Closed"}]


def test_of_two_accounts_with_one_number_the_active_one_counts(systems: Systems, account: Mapping[str, Any]) -> None:
    given_up = systems.account("A-8", name="Given up", accountid="00000000-0000-0000-0000-000000000001", statecode=1)
    kept = systems.account("A-8", name="Kept", accountid="00000000-0000-0000-0000-000000000002")
    systems.contact("C-1", given_up)
    systems.settle()
    (customer,) = systems.held("ops", "CustomersV3", CustomerAccount="A-8")
    assert (customer["OrganizationName"], customer["OnHoldStatus"]) == ("Kept", "No")
    assert systems.rows(
        "select a.name from common.contact c join common.account a on a.id = c.account_id where c.number = 'C-1'"
    ) == [{"name": "Kept"}], "what points at history points at the one that counts"
    systems.sales.put("accounts", {"accountid": kept["accountid"], "statecode": 1, "statuscode": 2})
    systems.sales.put("accounts", {"accountid": given_up["accountid"], "statecode": 0, "statuscode": 1})
    systems.settle()
    (customer,) = systems.held("ops", "CustomersV3", CustomerAccount="A-8")
    assert (customer["OrganizationName"], customer["OnHoldStatus"]) == ("Given up", "No")


def test_an_account_that_is_merged_into_its_namesake_becomes_history(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    older = systems.account("A-8", name="Older", accountid="00000000-0000-0000-0000-000000000001")
    systems.settle()
    newer = systems.account("A-8", name="Newer", accountid="00000000-0000-0000-0000-000000000002")
    systems.once()
    assert any(name.startswith("A-8") for name in systems.why("blocked")), "two that count are for a person to sort out"
    systems.merge_accounts(newer, older)
    systems.settle()
    (customer,) = systems.held("ops", "CustomersV3", CustomerAccount="A-8")
    assert (customer["OrganizationName"], customer["OnHoldStatus"]) == ("Newer", "No")
    assert systems.why("blocked") == {}
    systems.sales.put("accounts", {"accountid": newer["accountid"], "statecode": 1, "statuscode": 2})
    systems.settle()
    assert systems.rows("select name, status from common.account where number = 'A-8'") == [
        {"name": "Newer", "status": "Inactive"}
    ], "the merged one does not come back when its master is given up"
    assert systems.why("blocked") == {}


def test_of_two_heirs_that_stand_equal_none_is_guessed_whichever_is_touched(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    systems.account("A-8", name="Given up", accountid="00000000-0000-0000-0000-000000000001", statecode=1)
    systems.settle()
    for place in (2, 3):
        systems.account("A-8", name=f"Heir {place}", accountid=f"00000000-0000-0000-0000-00000000000{place}")
    systems.once()
    systems.sales.put("accounts", {"accountid": "00000000-0000-0000-0000-000000000002", "telephone1": "1"})
    systems.once()
    assert systems.rows("select name from common.account where number = 'A-8'") == [{"name": "Given up"}]


def test_lines_wait_until_they_are_read_after_the_revision_they_belong_to(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    first = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    ids = "select array_agg(id order by id) as ids from common.quote_line"
    before = systems.rows(ids)
    second = systems.revise(first)
    systems.activate(second)
    systems.cycle.read(["sales"], only={"sales.quotes"})
    systems.cycle.merge()
    assert systems.rows(ids) == before, "the lines of the revision are not known yet"
    systems.settle()
    assert systems.rows(ids) == before
    assert removed(systems) == []


def test_a_record_with_history_has_arrived(systems: Systems, account: Mapping[str, Any]) -> None:
    first = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.activate(systems.revise(first))
    systems.settle()
    assert systems.rows("select sync.arrived('quote', 'Q-1', 'ops') as arrived") == [{"arrived": True}]


def test_an_account_renumbered_to_one_that_counts_gives_its_own_customer_up(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    left = systems.account("A-9", statecode=1)
    systems.account("A-8")
    systems.settle()
    systems.sales.put("accounts", {"accountid": left["accountid"], "accountnumber": "A-8"})
    systems.settle()
    assert systems.rows("select number from common.account order by 1") == [{"number": "A-1"}, {"number": "A-8"}]
    (customer,) = systems.held("ops", "CustomersV3", CustomerAccount="A-9")
    assert customer["OnHoldStatus"] == "All"


def test_two_accounts_with_one_number_that_stand_equal_are_a_key_conflict(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    systems.account("A-8", accountid="00000000-0000-0000-0000-000000000001")
    systems.account("A-8", accountid="00000000-0000-0000-0000-000000000002")
    systems.once()
    assert any(name.startswith("A-8") for name in systems.why("blocked"))
    assert systems.held("ops", "CustomersV3", CustomerAccount="A-8") == []
