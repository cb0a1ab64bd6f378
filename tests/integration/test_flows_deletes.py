"""Deletes: what each map makes of them, the guard that holds them, and records that vanish at the target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.fixtures.world import Systems

CUSTOMERS, PERSONS = "CustomersV3", "CDSContactPersonsV2"
HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"
MANY = 7  # more than go ahead unasked where a set is small


@pytest.fixture(autouse=True)
def product(systems: Systems) -> None:
    """A product that is in both systems."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


def on_hold(systems: Systems) -> list[str]:
    """The customers on hold."""
    return sorted(row["CustomerAccount"] for row in systems.held("ops", CUSTOMERS, OnHoldStatus="All"))


def accounts(systems: Systems, many: int) -> list[Mapping[str, Any]]:
    """So many accounts, delivered."""
    made = [systems.account(f"A-{number}") for number in range(1, many + 1)]
    systems.settle()
    return made


def delete_accounts(systems: Systems, made: list[Mapping[str, Any]]) -> None:
    """A person deletes accounts in sales."""
    for account in made:
        systems.sales.delete("accounts", account["accountid"])


def test_a_deleted_contact_leaves_an_inactive_contact_person(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"))
    systems.settle()
    systems.sales.delete("contacts", contact["contactid"])
    systems.settle()
    assert [row["IsInactive"] for row in systems.ops.records(PERSONS)] == ["Yes"]
    assert systems.rows("select * from common.contact") == []


def test_a_deleted_account_leaves_a_customer_on_hold(systems: Systems) -> None:
    kept, gone = accounts(systems, 2)
    delete_accounts(systems, [gone])
    systems.settle()
    assert on_hold(systems) == ["A-2"]
    assert [row["number"] for row in systems.rows("select number from common.account")] == [kept["accountnumber"]]


def test_an_account_that_sales_deletes_with_its_contacts_and_quotes_goes_as_a_whole(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.contact("C-1", account)
    systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.sales.delete("accounts", account["accountid"])
    assert systems.sales.records("quotes") == systems.sales.records("quotedetails") == []
    systems.settle()
    assert on_hold(systems) == ["A-1"]
    assert [row["IsInactive"] for row in systems.ops.records(PERSONS)] == ["Yes"]
    assert systems.ops.records(HEADERS) == systems.ops.records(LINES) == []
    assert systems.why("blocked") == {}


def test_a_deleted_quote_takes_its_quotation_with_it(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.quote("Q-1", account, ["P-1"])
    gone = systems.quote("Q-2", account, ["P-1", "P-1"])
    systems.settle()
    systems.delete_quote(gone)
    systems.settle()
    assert [row["SalesQuotationNumber"] for row in systems.ops.records(HEADERS)] == ["Q-1"]
    assert [row["SalesQuotationNumber"] for row in systems.ops.records(LINES)] == ["Q-1"]
    assert systems.why("failed") == {}


def test_an_account_made_again_under_its_number_is_the_same_customer(systems: Systems) -> None:
    (account,) = accounts(systems, 1)
    delete_accounts(systems, [account])
    systems.settle()
    systems.account("A-1", accountid="6f9619ff-8b86-4011-b42d-00c04fc964ff", name="Back again")
    systems.settle()
    (customer,) = systems.ops.records(CUSTOMERS)
    assert customer["OrganizationName"] == "Back again"


def test_an_account_made_again_under_its_number_stays_on_hold_until_ops_lifts_it(systems: Systems) -> None:
    (account,) = accounts(systems, 1)
    delete_accounts(systems, [account])
    systems.settle()
    assert on_hold(systems) == ["A-1"]
    systems.account("A-1", accountid="6f9619ff-8b86-4011-b42d-00c04fc964ff")
    systems.settle()
    assert on_hold(systems) == ["A-1"]


def test_an_account_that_is_replaced_between_two_reads_stays_the_same_customer(systems: Systems) -> None:
    (account,) = accounts(systems, 1)
    delete_accounts(systems, [account])
    systems.account("A-1", accountid="6f9619ff-8b86-4011-b42d-00c04fc964ff", name="Replaced")
    systems.settle()
    (customer,) = systems.ops.records(CUSTOMERS)
    assert (customer["OrganizationName"], customer["OnHoldStatus"]) == ("Replaced", "No")
    assert systems.why("blocked") == {}


def test_a_product_deleted_in_ops_stays_in_sales_unmaintained_and_keeps_new_quotes_back(systems: Systems) -> None:
    systems.product("P-2")
    systems.once()
    systems.ops.delete("SellableReleasedProducts", "P-2")
    systems.settle()
    (product,) = systems.held("sales", "products", productnumber="P-2")
    assert product["msdynce_ismaintainedexternally"] is False
    systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-2"])
    systems.settle()
    assert systems.why("not_eligible") == {
        "Q-1": "line 2: product P-2 is not maintained in ops, or has not come from there yet"
    }


def test_a_delivered_quote_says_why_a_new_line_of_a_product_that_is_gone_from_ops_does_not_go_out(
    systems: Systems,
) -> None:
    systems.product("P-2")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.ops.delete("SellableReleasedProducts", "P-2")
    systems.settle()
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2")
    systems.settle()
    assert len(systems.ops.records("CDSSalesQuotationLines")) == 1
    assert systems.why("failed")["Q-1"].endswith(
        ": line 2: product P-2 is not maintained in ops, or has not come from there yet"
    )
    systems.product("P-2")
    systems.settle()
    assert len(systems.ops.records("CDSSalesQuotationLines")) == 2
    assert systems.why("failed") == {}


def test_a_waiting_quote_is_not_eligible_once_its_product_is_gone_from_ops(systems: Systems) -> None:
    systems.product("P-2")
    systems.once()
    account = systems.account("A-1", address1_postalcode="123456789012")
    systems.quote("Q-1", account, ["P-2"])
    systems.settle()
    assert systems.why("blocked") == {"Q-1": "account A-1 in ops"}
    systems.ops.delete("SellableReleasedProducts", "P-2")
    systems.settle()
    assert systems.why("not_eligible") == {
        "Q-1": "line 1: product P-2 is not maintained in ops, or has not come from there yet"
    }


def test_a_product_released_again_is_maintained_again(systems: Systems) -> None:
    systems.ops.delete("SellableReleasedProducts", "P-1")
    systems.settle()
    systems.product("P-1", ProductName="Second life")
    systems.settle()
    (product,) = systems.sales.records("products")
    assert (product["name"], product["msdynce_ismaintainedexternally"]) == ("Second life", True)


def test_more_deletes_than_the_budget_are_held_until_a_person_lets_them_go(systems: Systems) -> None:
    made = accounts(systems, 10)
    delete_accounts(systems, made[:MANY])
    systems.account("A-11")
    systems.settle()
    assert on_hold(systems) == []
    assert len(systems.ops.records(CUSTOMERS)) == 11, "only the deletes are held"
    (held,) = systems.rows("select system, entity_set, records, reason from sync.held")
    assert (held["system"], held["entity_set"], held["records"]) == ("sales", "accounts", MANY)
    assert "more than 10%" in held["reason"]
    (approved,) = systems.rows("select sync.approve('sales.accounts') as records")
    assert approved["records"] == MANY
    systems.settle()
    assert on_hold(systems) == sorted(account["accountnumber"] for account in made[:MANY])
    assert systems.rows("select * from sync.held") == []


def test_a_record_that_is_back_before_the_approval_is_not_deleted(systems: Systems) -> None:
    made = accounts(systems, 10)
    delete_accounts(systems, made[:MANY])
    systems.settle()
    systems.account("A-1", accountid=made[0]["accountid"])
    systems.run("select sync.approve('sales.accounts')")
    systems.settle()
    assert on_hold(systems) == sorted(account["accountnumber"] for account in made[1:MANY])


def test_held_deletes_that_a_person_rejects_are_never_carried_out(systems: Systems) -> None:
    made = accounts(systems, 10)
    delete_accounts(systems, made[:MANY])
    systems.settle()
    systems.run("select sync.reject('sales.accounts')")
    systems.settle()
    systems.cycle.once(whole=True)
    assert on_hold(systems) == []
    assert systems.rows("select * from sync.held") == []
    assert len(systems.rows("select * from common.account")) == 10


def test_records_that_a_person_decided_to_keep_do_not_hold_up_other_deletes(systems: Systems) -> None:
    made = accounts(systems, 10)
    delete_accounts(systems, made[:MANY])
    systems.settle()
    systems.run("select sync.reject('sales.accounts')")
    delete_accounts(systems, made[MANY : MANY + 1])
    systems.cycle.once(whole=True)
    assert systems.rows("select * from sync.held") == []
    assert on_hold(systems) == [made[MANY]["accountnumber"]]


def test_a_whole_read_that_shows_nothing_deletes_nothing(systems: Systems) -> None:
    systems.product("P-2")
    systems.settle()
    systems.ops.delete("SellableReleasedProducts", "P-1")
    systems.ops.delete("SellableReleasedProducts", "P-2")
    systems.settle()
    assert all(row["msdynce_ismaintainedexternally"] for row in systems.sales.records("products"))
    (held,) = systems.rows("select records, reason from sync.held")
    assert held == {"records": 2, "reason": "the system showed nothing at all, and 2 records are known"}


def test_held_deletes_whose_records_are_shown_again_need_no_decision(systems: Systems) -> None:
    systems.ops.delete("SellableReleasedProducts", "P-1")
    systems.settle()
    assert len(systems.rows("select * from sync.held")) == 1
    systems.product("P-1")
    systems.settle()
    assert systems.rows("select * from sync.held") == []


def test_a_customer_deleted_in_ops_is_reported_and_made_again_on_request(systems: Systems) -> None:
    accounts(systems, 2)
    systems.ops.delete(CUSTOMERS, "A-1")
    systems.settle()
    assert [row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)] == ["A-2"]
    (failed,) = systems.rows("select record, state, reason from sync.failed")
    assert (failed["record"], failed["state"]) == ("A-1", "reported")
    assert "retry" in failed["reason"]
    systems.run("select sync.retry(null, 'A-1')")
    systems.settle()
    assert sorted(row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)) == ["A-1", "A-2"]
    assert systems.why("failed") == {}


def test_a_quotation_deleted_in_ops_is_reported_and_made_again_with_its_lines_on_request(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.quote("Q-1", account, ["P-1", "P-1"])
    systems.quote("Q-2", account, ["P-1"])
    systems.settle()
    systems.ops.delete(HEADERS, "Q-1")
    systems.settle()
    assert [row["SalesQuotationNumber"] for row in systems.ops.records(HEADERS)] == ["Q-2"]
    assert set(systems.why("failed")) == {"Q-1"}
    systems.run("select sync.retry(null, 'Q-1')")
    systems.settle()
    assert (len(systems.ops.records(HEADERS)), len(systems.ops.records(LINES))) == (2, 3)
    assert systems.why("failed") == {}


def test_a_line_deleted_in_ops_is_reported_with_its_quote_and_made_again_on_request(systems: Systems) -> None:
    systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.settle()
    systems.ops.delete(LINES, "usmf", 2, "Q-1")
    systems.settle()
    assert "quote_line 2" in systems.why("failed")["Q-1"]
    systems.run("select sync.retry(null, 'Q-1')")
    systems.settle()
    assert len(systems.ops.records(LINES)) == 2
    assert systems.why("failed") == {}
