"""Quotes: which go out and when, as one unit with their lines, and what becomes of changes to them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from replicator.cycle import Cycle
from tests.fixtures.world import Systems

HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"
LEFT_BEHIND = (
    "its map leaves it out now, and what has changed since stays here: only active quotes go out, this one is Draft"
)


@pytest.fixture(autouse=True)
def further_rounds(systems: Systems) -> None:
    """In this suite it is asked whether another round writes nothing: a quote has all that can go to and fro."""
    systems.further_rounds = True


@pytest.fixture
def account(systems: Systems) -> Mapping[str, Any]:
    """An account; two products are in both systems already."""
    systems.reference_data()
    systems.product("P-1")
    systems.product("P-2")
    systems.once()
    return systems.account("A-1")


def sales_product(systems: Systems, number: str) -> Mapping[str, Any]:
    """A product that a person made in sales and that ops does not know."""
    (group,) = systems.sales.records("uomschedules")
    return systems.sales.put("products", {
        "productnumber": number, "name": f"Product {number}", "_defaultuomid_value": systems.ids["ea"],
        "_defaultuomscheduleid_value": group["uomscheduleid"], "_transactioncurrencyid_value": systems.ids["USD"],
    })  # fmt: skip


def group_of(systems: Systems) -> str:
    """The unit group of sales."""
    (group,) = systems.sales.records("uomschedules")
    return str(group["uomscheduleid"])


UNKNOWN_TO_OPS = "is not maintained in ops, or has not come from there yet"


def numbers(systems: Systems) -> list[str]:
    """The quotations that ops holds."""
    return sorted(header["SalesQuotationNumber"] for header in systems.ops.records(HEADERS))


def lines(systems: Systems, number: str) -> list[tuple[int, str, Any]]:
    """The lines of a quotation: sequence, product and quantity."""
    return sorted(
        (line["LineCreationSequenceNumber"], line["ProductNumber"], line["RequestedSalesQuantity"])
        for line in systems.held("ops", LINES, SalesQuotationNumber=number)
    )


def test_an_unmaintained_product_keeps_its_quote_back_and_the_reason_names_line_and_product(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    sales_product(systems, "P-9")
    systems.quote("Q-1", account, ["P-1", "P-9"])
    systems.settle()
    assert numbers(systems) == []
    assert systems.why("not_eligible") == {"Q-1": f"line 2: product P-9 {UNKNOWN_TO_OPS}"}


def test_a_product_of_another_company_keeps_its_quote_back(systems: Systems, account: Mapping[str, Any]) -> None:
    systems.run("insert into common.organization (code, name, company) values ('USRT', 'Retail', 'usrt')")
    systems.product("P-9", dataAreaId="usrt")
    systems.once()
    systems.quote("Q-1", account, ["P-1", "P-9"])
    systems.settle()
    assert numbers(systems) == []
    assert systems.why("not_eligible") == {"Q-1": "line 2: product P-9 is released in another company"}


def test_every_unmaintained_line_is_named(systems: Systems, account: Mapping[str, Any]) -> None:
    sales_product(systems, "P-8")
    sales_product(systems, "P-9")
    systems.quote("Q-1", account, ["P-8", "P-1", "P-9"])
    systems.settle()
    assert systems.why("not_eligible") == {
        "Q-1": f"line 1: product P-8 {UNKNOWN_TO_OPS}; line 3: product P-9 {UNKNOWN_TO_OPS}"
    }


def test_a_product_that_becomes_maintained_releases_its_quotes(systems: Systems, account: Mapping[str, Any]) -> None:
    sales_product(systems, "P-9")
    systems.quote("Q-1", account, ["P-1", "P-9"])
    systems.settle()
    systems.product("P-9")
    systems.settle()
    assert numbers(systems) == ["Q-1"]
    assert [product for _, product, _ in lines(systems, "Q-1")] == ["P-1", "P-9"]
    assert systems.why("not_eligible") == {}


def test_a_new_price_marks_no_quote(systems: Systems, account: Mapping[str, Any]) -> None:
    systems.quote("Q-1", account, ["P-1"])
    systems.quote("Q-2", account, ["P-2"], statecode=0, statuscode=1)
    systems.settle()
    systems.product("P-1", SalesPrice=99)
    systems.cycle.read()
    systems.cycle.merge()
    marked = systems.rows(
        "select m.name from sync.delivery d join sync.map m on m.id = d.map_id where d.state = 'pending' order by 1"
    )
    assert [row["name"] for row in marked] == ["product > sales.products"]


def test_a_draft_quote_goes_out_when_it_is_activated(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"], statecode=0, statuscode=1)
    systems.settle()
    assert numbers(systems) == []
    assert systems.why("not_eligible") == {"Q-1": "only active quotes go out, this one is Draft"}
    systems.activate(quote)
    systems.settle()
    assert numbers(systems) == ["Q-1"]
    assert systems.why("not_eligible") == {}


def test_a_quote_revised_and_won_between_two_reads_keeps_its_quotation_as_it_was(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, ["P-1", "P-2"], totalamount=20)
    systems.settle()
    before = systems.ops.records(HEADERS), systems.ops.records(LINES)
    systems.close(systems.change_quote(quote, totalamount=30), won=True)
    systems.settle()
    assert (systems.ops.records(HEADERS), systems.ops.records(LINES)) == before
    assert systems.rows("select status, total_amount from common.quote") == [{"status": "Won", "total_amount": 30}]


def test_a_quote_back_in_draft_is_left_alone_until_it_is_active_again(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    draft = systems.revise(quote)
    systems.edit(draft, name="Second")
    systems.settle()
    assert systems.ops.records(HEADERS)[0]["SalesQuotationName"] == "Quote Q-1"
    assert systems.why("failed") == {"Q-1": LEFT_BEHIND}
    systems.activate(draft)
    systems.settle()
    assert systems.ops.records(HEADERS)[0]["SalesQuotationName"] == "Second"
    assert systems.why("failed") == {}


def test_a_change_of_a_line_that_is_left_behind_is_shown(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.line(quote, 5, "P-2")
    systems.settle()
    draft = systems.revise(quote)
    systems.settle()
    assert systems.why("failed") == {}
    systems.edit_line(draft, 5, quantity=7)
    systems.settle()
    assert systems.why("failed") == {"Q-1": LEFT_BEHIND}
    assert lines(systems, "Q-1") == [(1, "P-1", 1), (5, "P-2", 1)]
    (differs,) = systems.rows("select record, action, fields from sync.differences")
    assert (differs["record"], differs["action"]) == ("5", "left behind")
    assert set(differs["fields"]) == {"RequestedSalesQuantity"}
    told = systems.rows("select record, said from sync.explain('quote', 'Q-1') where topic = 'difference'")
    assert told == [{"record": "quote_line 5", "said": "RequestedSalesQuantity: 1 -> 7"}]
    systems.run("set enable_seqscan = off")
    plan = "explain select record from desired.ops_cds_sales_quotation_lines__quote_line_diff where record_id = 1"
    assert not [row for row in systems.rows(plan) if "Seq Scan" in row["QUERY PLAN"]]
    systems.edit_line(draft, 5, quantity=1)
    systems.settle()
    assert systems.why("failed") == {}
    assert systems.rows("select record from sync.differences") == []


def test_header_and_lines_travel_in_one_change_set_header_first(systems: Systems, account: Mapping[str, Any]) -> None:
    systems.once()
    systems.wire["ops"].sent.clear()
    systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.once()
    sent = systems.wire["ops"].sent
    assert [("Header" in each.address, each.method) for each in sent] == [
        (True, "POST"), (False, "POST"), (False, "POST")
    ]  # fmt: skip
    assert len({each.change_set for each in sent}) == 1


def test_a_quote_with_more_lines_than_a_request_usually_carries_still_arrives_whole(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    systems.quote("Q-1", account, ["P-1", "P-2"] * 60)
    systems.settle()
    assert len(lines(systems, "Q-1")) == 120


def test_one_bad_line_rejects_its_quote_as_a_unit_and_no_other(systems: Systems, account: Mapping[str, Any]) -> None:
    (group,) = systems.sales.records("uomschedules")
    crate = systems.sales.put("uoms", {"name": "crate", "_uomscheduleid_value": group["uomscheduleid"]})
    bad = systems.quote("Q-1", account, ["P-1"])
    systems.line(bad, 2, "P-2", _uomid_value=crate["uomid"])
    systems.quote("Q-2", account, ["P-2"])
    systems.settle()
    assert numbers(systems) == ["Q-2"]
    assert [line["SalesQuotationNumber"] for line in systems.ops.records(LINES)] == ["Q-2"]
    (failed,) = systems.rows("select record, state, field, reason from sync.failed")
    assert (failed["record"], failed["state"], failed["field"]) == ("Q-1", "rejected", "SalesUnitSymbol")
    assert failed["reason"].startswith("quote_line 2: ")
    assert "'crate' in field 'Unit'" in failed["reason"]
    systems.change_line(bad, 2, **{"uomid@odata.bind": f"/uoms({systems.ids['ea']})"})
    systems.settle()
    assert numbers(systems) == ["Q-1", "Q-2"]
    assert systems.why("failed") == {}


def test_lines_follow_their_quote_when_added_changed_or_deleted(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.line(quote, 2, "P-2")
    systems.settle()
    with systems.revising(quote) as draft:
        systems.add_line(draft, 3, "P-1", quantity=7)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 1), (3, "P-1", 7)]
    systems.change_line(quote, 2, quantity=5)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1), (2, "P-2", 5), (3, "P-1", 7)]
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 2)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1), (3, "P-1", 7)]


def test_a_line_that_moves_to_another_quote_leaves_the_one_and_joins_the_other(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    first, second = systems.quote("Q-1", account, ["P-1"]), systems.quote("Q-2", account, ["P-1"])
    systems.line(first, 5, "P-2")
    systems.settle()
    with systems.revising(first) as left, systems.revising(second) as joined:
        move_line(systems, left, joined)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1)]
    assert lines(systems, "Q-2") == [(1, "P-1", 1), (5, "P-2", 1)]


def move_line(systems: Systems, left: Mapping[str, Any], joined: Mapping[str, Any]) -> None:
    """Line 5 of a draft becomes a line of another draft."""
    systems.edit_line(left, 5, **{"quoteid@odata.bind": f"/quotes({joined['quoteid']})"})


@pytest.mark.parametrize(("left", "active"), [("Q-1", "Q-2"), ("Q-2", "Q-1")])
def test_a_line_that_moves_away_from_a_quote_in_draft_joins_the_other_and_leaves_the_first_when_that_is_active_again(
    systems: Systems, account: Mapping[str, Any], left: str, active: str
) -> None:
    quotes = {number: systems.quote(number, account, ["P-1"]) for number in ("Q-1", "Q-2")}
    systems.line(quotes[left], 5, "P-2")
    systems.settle()
    draft = systems.revise(quotes[left])
    with systems.revising(quotes[active]) as joined:
        move_line(systems, draft, joined)
    systems.settle()
    assert lines(systems, active) == [(1, "P-1", 1), (5, "P-2", 1)]
    assert lines(systems, left) == [(1, "P-1", 1), (5, "P-2", 1)]
    with systems.revising(quotes[active]) as joined:
        systems.edit(joined, name="Changed afterwards")
        systems.edit_line(joined, 5, quantity=7)
    systems.settle()
    assert lines(systems, active) == [(1, "P-1", 1), (5, "P-2", 7)]
    systems.activate(draft)
    systems.settle()
    assert lines(systems, left) == [(1, "P-1", 1)]
    assert lines(systems, active) == [(1, "P-1", 1), (5, "P-2", 7)]
    assert systems.why("failed") == {}


@pytest.mark.parametrize(("source", "target"), [("Q-1", "Q-2"), ("Q-2", "Q-1")])
def test_a_line_that_moves_is_followed_whichever_quote_is_acknowledged_first(
    systems: Systems, account: Mapping[str, Any], source: str, target: str
) -> None:
    connector = systems.cycle.world.connectors["ops"]
    connector.limits = replace(connector.limits, writes_per_request=1)
    quotes = {number: systems.quote(number, account, ["P-1"]) for number in ("Q-1", "Q-2")}
    systems.line(quotes[source], 5, "P-2")
    systems.settle()
    with systems.revising(quotes[source]) as left, systems.revising(quotes[target]) as joined:
        move_line(systems, left, joined)
    systems.settle()
    systems.change_line(quotes[target], 5, quantity=7)
    systems.settle()
    assert lines(systems, source) == [(1, "P-1", 1)]
    assert lines(systems, target) == [(1, "P-1", 1), (5, "P-2", 7)]
    assert systems.why("failed") == {}


def test_a_line_that_gets_another_product_is_changed_in_place(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.sent("ops", LINES)
    systems.change_line(quote, 1, **{"productid@odata.bind": systems.product_address("P-2")})
    systems.settle()
    assert lines(systems, str(quote["quotenumber"])) == [(1, "P-2", 1)]
    assert [(each.method, each.body) for each in systems.sent("ops", LINES)] == [("PATCH", {"ProductNumber": "P-2"})]


def test_a_renumbered_line_follows(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    systems.change_line(quote, 2, sequencenumber=3)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1), (3, "P-2", 1)]


def test_lines_that_swap_their_numbers_follow(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    with systems.revising(quote) as draft:
        for place, then in ((1, 0), (2, 1), (0, 2)):
            systems.edit_line(draft, place, sequencenumber=then)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-2", 1), (2, "P-1", 1)]
    assert systems.why("failed") == {}


def test_a_deleted_first_line_whose_number_the_second_takes(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.settle()
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 1)
        systems.edit_line(draft, 2, sequencenumber=1)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-2", 1)]


def test_a_quote_waits_for_its_rejected_account_and_others_do_not(systems: Systems, account: Mapping[str, Any]) -> None:
    bad = systems.account("A-2", address1_postalcode="123456789012")
    systems.quote("Q-1", account, ["P-1"])
    systems.quote("Q-2", bad, ["P-1"])
    systems.settle()
    assert numbers(systems) == ["Q-1"]
    assert systems.why("blocked") == {"Q-2": "account A-2 in ops"}
    systems.sales.put("accounts", {"accountid": bad["accountid"], "address1_postalcode": "12345"})
    systems.settle()
    assert numbers(systems) == ["Q-1", "Q-2"]
    assert systems.why("blocked") == {}


def test_a_quote_that_changes_its_customer_sends_the_new_customer_and_nothing_else(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    other = systems.account("A-2", name=account["name"])
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.sent("ops", HEADERS)
    systems.change_quote(quote, **{"customerid_account@odata.bind": f"/accounts({other['accountid']})"})
    systems.settle()
    sent = [(each.method, each.body) for each in systems.sent("ops", HEADERS)]
    assert sent == [("PATCH", {"RequestingCustomerAccountNumber": "A-2"})]


def test_a_blank_delivery_date_becomes_two_weeks_from_today_once_and_for_all(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    def at(day: str) -> None:
        systems.run("select set_config('sync.now', :day, false)", day=f"{day} 08:00+00")

    at("2026-11-23")
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert header["RequestedShippingDate"].startswith("2026-12-07")
    at("2026-12-01")
    systems.change_quote(quote, name="Changed a week later")
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert header["SalesQuotationName"] == "Changed a week later"
    assert header["RequestedShippingDate"].startswith("2026-12-07")
    (common,) = systems.rows("select requested_delivery_date from common.quote")
    assert common["requested_delivery_date"] == datetime.date(2026, 12, 7)


def test_a_delivery_date_that_is_given_wins_over_the_default(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.change_quote(quote, requestdeliveryby="2027-01-15T00:00:00+01:00")
    systems.settle()
    assert systems.ops.records(HEADERS)[0]["RequestedShippingDate"].startswith("2027-01-15")


def test_the_address_lines_of_a_quote_become_street_and_street_number_of_the_delivery_address(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    address = {"shipto_line1": "Am Markt", "shipto_line2": "12 a", "shipto_postalcode": "53111",
               "billto_line1": "Elsewhere", "billto_line2": "99", "billto_postalcode": "10115"}  # fmt: skip
    systems.quote("Q-1", account, ["P-1"], shipto_city="Bonn", shipto_country="Germany", **address)
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert (header["DeliveryAddressStreet"], header["DeliveryAddressStreetNumber"]) == ("Am Markt", "12 a")
    assert (header["DeliveryAddressZipCode"], header["DeliveryAddressCity"]) == ("53111", "Bonn")
    assert header["DeliveryAddressCountryRegionISOCode"] == "DE"


def test_a_line_that_costs_nothing_says_so_instead_of_leaving_its_price_to_ops(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, [], totalamount=0)
    systems.line(quote, 1, "P-1", priceperunit=0, extendedamount=0)
    systems.settle()
    (sent,) = systems.sent("ops", LINES)
    assert (sent.method, sent.body["SalesPrice"], sent.body["TotalDiscountAmount"]) == ("POST", 0, 0)
    assert systems.ops.records(LINES)[0]["SalesPrice"] == 0


def test_a_price_that_becomes_nothing_is_sent_as_nothing(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.sent("ops", LINES)
    systems.change_line(quote, 1, priceperunit=0)
    systems.settle()
    assert [(each.method, each.body) for each in systems.sent("ops", LINES)] == [("PATCH", {"SalesPrice": 0})]


def test_a_quote_back_in_draft_shows_no_trouble_of_its_lines(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    draft = systems.revise(quote)
    crate = systems.sales.put("uoms", {"name": "a crate of many", "_uomscheduleid_value": group_of(systems)})
    systems.add_line(draft, 2, "P-2", **{"uomid@odata.bind": f"/uoms({crate['uomid']})"})
    systems.settle()
    assert systems.why("failed") == {"Q-1": LEFT_BEHIND}
    systems.activate(draft)
    systems.settle()
    assert systems.why("failed") == {"Q-1": "quote_line 2: SalesUnitSymbol: 15 characters, at most 10 fit"}


def test_a_quote_without_lines_goes_out_as_a_header(systems: Systems, account: Mapping[str, Any]) -> None:
    systems.quote("Q-1", account, [])
    systems.settle()
    assert numbers(systems) == ["Q-1"]


def test_a_line_without_a_product_of_the_catalogue_keeps_its_quote_back(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    write_in = {"_quoteid_value": quote["quoteid"], "sequencenumber": 2, "productdescription": "Gift wrap"}
    # Put there with its quote, which nobody has read yet.
    systems.sales.put("quotedetails", write_in | {"quantity": 1, "priceperunit": 1, "_uomid_value": systems.ids["ea"]})
    systems.settle()
    assert numbers(systems) == []
    assert systems.why("not_eligible")["Q-1"].startswith("line 2: product ")


def test_a_quote_goes_out_whose_product_was_in_both_systems_before_they_were_first_read(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    sales_product(systems, "P-1")
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1)]


def test_a_quote_goes_out_that_is_read_with_its_new_product_before_that_is_acknowledged(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the answer to the product's create is under way, somebody makes a quote with it, and sales is read."""
    systems.reference_data()
    account = systems.account("A-1")
    systems.product("P-1")
    wire = systems.wire["sales"]
    send = wire.handle_request

    def in_between(request: httpx2.Request) -> httpx2.Response:
        answer = send(request)
        if systems.sales.records("products") and not systems.sales.records("quotes"):
            systems.quote("Q-1", account, ["P-1"])
            with systems.cycle.world.engine.connect() as connection:
                other = Cycle(systems.cycle.world, connection)
                other.read(["sales"])
                other.merge()
        return answer

    monkeypatch.setattr(wire, "handle_request", in_between)
    systems.settle()
    assert lines(systems, "Q-1") == [(1, "P-1", 1)]
