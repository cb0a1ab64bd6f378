"""Cases that people ask about by name: deletes against updates, keys that clash, exact numbers, wrong clocks."""

from __future__ import annotations

import datetime
import unicodedata
from collections import Counter
from decimal import Decimal

import pytest

from tests.fixtures.world import NOW, Systems

pytestmark = pytest.mark.thorough

CUSTOMERS = "CustomersV3"
HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"
DAY = datetime.timedelta(days=1)


@pytest.fixture(autouse=True)
def start(systems: Systems) -> None:
    """Reference data and a product in both systems."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


def named(systems: Systems) -> dict[str, str]:
    """The customers of ops with their names."""
    return {row["CustomerAccount"]: row["OrganizationName"] for row in systems.ops.records(CUSTOMERS)}


# Deletes against updates


@pytest.mark.parametrize("seen", [True, False], ids=["the update was read", "the update was not read"])
def test_a_delete_at_the_master_wins_over_an_update_in_the_target(systems: Systems, seen: bool) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    systems.delete_quote(quote)
    systems.ops.put(HEADERS, {"dataAreaId": "usmf", "SalesQuotationNumber": "Q-1", "SalesQuotationName": "Mine"})
    systems.cycle.read(["sales", "ops"] if seen else ["sales"])
    systems.cycle.settle()
    systems.settle()
    assert systems.ops.records(HEADERS) == systems.ops.records(LINES) == []
    assert (systems.why("failed"), systems.why("blocked")) == ({}, {})


def test_a_delete_in_the_target_is_shown_and_not_undone_by_an_update_at_the_master(systems: Systems) -> None:
    account = systems.account("A-1", name="Old")
    systems.settle()
    systems.ops.delete(CUSTOMERS, "A-1")
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "New"})
    systems.settle()
    assert named(systems) == {}
    assert "retry" in systems.why("failed")["A-1"]
    systems.run("select sync.retry(null, 'A-1')")
    systems.settle()
    assert named(systems) == {"A-1": "New"}


def test_an_account_that_is_gone_while_a_quote_still_names_it_waits_for_the_quote_and_breaks_nothing(
    systems: Systems,
) -> None:
    """sales forbids it; a restored backup or a read in the midst of things shows it."""
    account = systems.account("A-1")
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.run("delete from sales.accounts")
    systems.cycle.settle()
    assert "records that still point at it" in str(systems.rows("select waits_for from sync.blocked"))
    assert [row["number"] for row in systems.rows("select number from common.account")] == ["A-1"]
    assert [row["OnHoldStatus"] for row in systems.ops.records(CUSTOMERS)] != ["All"]
    systems.run("delete from sales.quotedetails")
    systems.run("delete from sales.quotes")
    systems.cycle.settle()
    assert systems.rows("select * from common.account") == systems.ops.records(HEADERS) == []
    assert [row["OnHoldStatus"] for row in systems.ops.records(CUSTOMERS)] == ["All"]
    assert quote["quoteid"] in {row["quoteid"] for row in systems.sales.records("quotes")}, "sales was left alone"


@pytest.mark.parametrize("read_between", [True, False])
def test_a_quote_deleted_and_made_again_under_its_number_is_there_once_with_its_new_lines(
    systems: Systems, read_between: bool
) -> None:
    account = systems.account("A-1")
    gone = systems.quote("Q-1", account, ["P-1", "P-1"])
    systems.settle()
    systems.delete_quote(gone)
    if read_between:
        systems.settle()
    systems.quote("Q-1", account, ["P-1"], name="Second life")
    systems.settle()
    assert [row["SalesQuotationName"] for row in systems.ops.records(HEADERS)] == ["Second life"]
    assert len(systems.ops.records(LINES)) == 1


# Keys and numbers


DECOMPOSED = unicodedata.normalize("NFD", "A-\u00c9")
FORMS = {"Unicode form": DECOMPOSED, "case": "a-\u00e9", "blank": "A-\u00c9 "}


@pytest.mark.parametrize("other", [DECOMPOSED, f" {DECOMPOSED.lower()} "], ids=["Unicode form", "all of them"])
def test_a_second_key_that_differs_in_form_alone_overwrites_nobody(systems: Systems, other: str) -> None:
    """sales itself refuses what differs in case or blanks at the end alone."""
    systems.account("A-\u00c9", name="First")
    systems.settle()
    second = systems.account(other, name="Second")["accountid"]
    systems.settle()
    assert named(systems) == {"A-\u00c9": "First"}
    assert " is account A-\u00c9 already" in systems.why("blocked")[f"{other.strip()} ({second})"]
    systems.sales.put("accounts", {"accountid": second, "accountnumber": "A-2"})
    systems.settle()
    assert named(systems) == {"A-\u00c9": "First", "A-2": "Second"}


@pytest.mark.parametrize("blank", [" \t", "\u00a0", "\u200b"], ids=["tab", "no-break", "zero width"])
def test_a_number_of_which_nothing_shows_is_no_key_and_no_part_of_one(systems: Systems, blank: str) -> None:
    systems.account(blank, name="Nobody")
    systems.account(f"{blank}A-1{blank}", name="First")
    systems.settle()
    assert named(systems) == {"A-1": "First"}
    assert [said for said in systems.why("not_eligible").values() if "without an account number" in said]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_customer_whose_key_differs_in_form_alone_is_the_account_s_customer(systems: Systems, form: str) -> None:
    systems.ops.put(CUSTOMERS, {
        "dataAreaId": "usmf", "CustomerAccount": form, "PartyType": "Organization", "OrganizationName": "Old",
        "CustomerGroupId": "10", "SalesCurrencyCode": "USD",
    })  # fmt: skip
    systems.account("A-\u00c9", name="New")
    systems.settle()
    assert named(systems) == {form: "New"}
    assert (systems.why("failed"), systems.why("blocked")) == ({}, {})


# Clocks


@pytest.mark.parametrize(
    "clocks",
    [{"sales": NOW + sales * DAY, "ops": NOW + ops * DAY} for sales, ops in [(1, 0), (0, 1), (1, -1), (-1, 1)]],
    ids=["sales ahead", "ops ahead", "ops behind sales", "sales behind ops"],
)
def test_clocks_that_are_a_day_wrong_make_no_difference(systems: Systems) -> None:
    account, gone = systems.account("A-1", name="Old"), systems.account("A-2")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "New"})
    systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": "Drift"})
    systems.sales.delete("accounts", gone["accountid"])
    systems.settle()
    assert named(systems)["A-1"] == "New"
    assert [row["CustomerAccount"] for row in systems.held("ops", CUSTOMERS, OnHoldStatus="All")] == ["A-2"]


# One bad among many


def test_one_bad_record_of_two_hundred_is_rejected_in_the_system_s_words_and_the_others_are_sent_once(
    systems: Systems,
) -> None:
    """Only ops knows that it has no such currency."""
    systems.ids["XTS"] = systems.sales.put(
        "transactioncurrencies", {"isocurrencycode": "XTS", "currencyname": "For tests"}
    )["transactioncurrencyid"]
    for number in range(200):
        bad = {"_transactioncurrencyid_value": systems.ids["XTS"]} if number == 77 else {}
        systems.account(f"A-{number}", **bad)
    systems.once()
    assert set(named(systems)) == {f"A-{number}" for number in range(200) if number != 77}
    [failed] = systems.rows("select record, state, field, reason from sync.failed")
    assert (failed["record"], failed["state"], failed["field"]) == ("A-77", "rejected", "SalesCurrencyCode")
    assert "XTS" in failed["reason"]
    sent = Counter(str(each.body.get("CustomerAccount")) for each in systems.sent("ops", CUSTOMERS))
    assert [number for number, times in sent.items() if times > 1 and number != "A-77"] == []
    systems.settle()
    assert [each.body for each in systems.sent("ops", CUSTOMERS) if each.body.get("CustomerAccount") != "A-77"] == []


# Exact numbers


@pytest.mark.parametrize("quantity", ["1234567.01234", "0.00001"])
def test_a_quantity_of_five_places_goes_through_to_the_last_digit(systems: Systems, quantity: str) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.line(quote, 2, "P-1", quantity=Decimal(quantity))
    systems.settle()
    (line,) = systems.held("ops", LINES, LineCreationSequenceNumber=2)
    assert line["RequestedSalesQuantity"] == Decimal(quantity)
    assert systems.rows(
        "select 1 from common.quote_line where quantity = cast(:quantity as numeric)", quantity=quantity
    )
