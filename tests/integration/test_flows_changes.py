"""Changes on either side and in the hub: what is sent, what is put back, what is matched, and what settles."""

from __future__ import annotations

from typing import Any

import pytest

from replicator.sandbox.system import Options
from tests.fixtures.world import Systems

CUSTOMERS, HEADERS, LINES = "CustomersV3", "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"


@pytest.fixture(autouse=True)
def product(systems: Systems) -> None:
    """A product that is in both systems."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


def customer(systems: Systems, number: str = "A-1") -> dict[str, Any]:
    """A customer of ops."""
    (found,) = systems.held("ops", CUSTOMERS, CustomerAccount=number)
    return found


def test_only_the_fields_that_changed_are_sent(systems: Systems) -> None:
    account = systems.account("A-1", telephone1="1")
    systems.settle()
    systems.sent("ops", CUSTOMERS)
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2", "address1_city": "Ulm"})
    systems.settle()
    assert [(each.method, each.body) for each in systems.sent("ops", CUSTOMERS)] == [
        ("PATCH", {"PrimaryContactPhone": "2", "AddressCity": "Ulm"})
    ]


def test_a_change_of_a_field_that_no_map_reads_sends_nothing(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.settle()
    systems.sent("ops", CUSTOMERS)
    systems.sales.put("accounts", {"accountid": account["accountid"], "emailaddress2": "b@example.org"})
    systems.settle()
    assert systems.sent("ops", CUSTOMERS) == []


def test_a_new_price_of_a_product_sends_the_price(systems: Systems) -> None:
    systems.wire["sales"].sent.clear()
    systems.product("P-1", SalesPrice=11)
    systems.settle()
    assert [(each.method, each.body) for each in systems.sent("sales", "products")] == [("PATCH", {"price": 11})]


def test_what_is_written_on_create_belongs_to_ops_afterwards(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.settle()
    theirs = {"CustomerGroupId": "20", "LanguageId": "de", "SiteId": "2", "WarehouseId": "21"}
    systems.ops.put(CUSTOMERS, {"CustomerAccount": "A-1", **theirs})
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Renamed"})
    systems.settle()
    held = customer(systems)
    assert held["OrganizationName"] == "Renamed"
    assert {name: held[name] for name in theirs} == theirs


def test_a_change_in_ops_of_what_sales_masters_is_put_back(systems: Systems) -> None:
    systems.account("A-1")
    systems.settle()
    systems.ops.put(CUSTOMERS, {"CustomerAccount": "A-1", "OrganizationName": "Drifted", "CreditLimit": 99})
    systems.settle()
    held = customer(systems)
    assert (held["OrganizationName"], held["CreditLimit"]) == ("Account A-1", 0)


def test_a_change_in_ops_of_a_quotation_line_is_put_back(systems: Systems) -> None:
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    line = {"LineCreationSequenceNumber": 1, "SalesQuotationNumber": "Q-1", "RequestedSalesQuantity": 50}
    systems.ops.put(LINES, line)
    systems.settle()
    assert [row["RequestedSalesQuantity"] for row in systems.ops.records(LINES)] == [1]


def test_a_date_that_ops_gave_a_line_by_itself_and_a_person_changed_there_settles(systems: Systems) -> None:
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    line = {"LineCreationSequenceNumber": 1, "SalesQuotationNumber": "Q-1"}
    systems.ops.put(LINES, line | {"RequestedReceiptDate": "2027-05-05T12:00:00Z"})
    systems.settle()
    assert systems.why("failed") == {}


def test_a_change_in_sales_of_what_ops_masters_is_put_back(systems: Systems) -> None:
    (product,) = systems.sales.records("products")
    systems.sales.put("products", {"productid": product["productid"], "name": "Drifted", "price": 1})
    systems.settle()
    (product,) = systems.sales.records("products")
    assert (product["name"], product["price"]) == ("Product P-1", 10)


def test_an_edit_in_common_of_what_a_system_masters_is_put_back(systems: Systems) -> None:
    systems.account("A-1")
    systems.settle()
    systems.run("update common.account set name = 'By hand' where number = 'A-1'")
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Account A-1"
    assert systems.rows("select name from common.account") == [{"name": "Account A-1"}]


def test_an_edit_in_common_of_what_no_system_masters_reaches_ops_and_stays(systems: Systems) -> None:
    systems.contact("C-1", None, msdynce_isactivecustomer=True)
    systems.settle()
    systems.run("update common.account set shipping_city = 'Wien', shipping_country = 'AT' where number = 'C-1'")
    systems.settle()
    held = customer(systems, "C-1")
    assert (held["DeliveryAddressCity"], held["DeliveryAddressCountryRegionISOCode"]) == ("Wien", "AT")


def test_an_account_made_in_common_reaches_ops(systems: Systems) -> None:
    systems.run(
        "insert into common.account (organization_id, number, kind, name, status) "
        "select id, 'H-1', 'Organization', 'From the hub', 'Active' from common.organization"
    )
    systems.settle()
    assert customer(systems, "H-1")["OrganizationName"] == "From the hub"


@pytest.mark.parametrize(("in_ops", "in_sales"), [("a-1", "A-1"), ("A-1", "a-1"), ("A-1 ", "A-1"), ("A-1", " A-1 ")])
def test_a_customer_that_ops_has_already_is_matched_and_corrected(systems: Systems, in_ops: str, in_sales: str) -> None:
    theirs = {"CustomerGroupId": "30", "LanguageId": "de", "SiteId": "2", "OrganizationName": "Old name"}
    systems.ops.put(CUSTOMERS, {"CustomerAccount": in_ops, **theirs})
    systems.quote("Q-1", systems.account(in_sales, name="New name"), ["P-1"])
    systems.settle()
    (held,) = systems.ops.records(CUSTOMERS)
    assert (held["CustomerAccount"], held["OrganizationName"]) == (in_ops, "New name")
    assert (held["CustomerGroupId"], held["LanguageId"]) == ("30", "de"), "written on create only"
    (header,) = systems.ops.records(HEADERS)
    assert header["RequestingCustomerAccountNumber"].strip().lower() == "a-1"


def test_a_first_delivery_that_would_correct_many_customers_waits_for_a_person(systems: Systems) -> None:
    for number in range(20):
        theirs = {"CustomerAccount": f"A-{number}", "CustomerGroupId": "10", "OrganizationName": "Old name"}
        systems.ops.put(CUSTOMERS, theirs)
        systems.account(f"A-{number}")
    systems.account("A-20")
    systems.settle()
    names = [row["OrganizationName"] for row in systems.ops.records(CUSTOMERS)]
    assert (names.count("Old name"), len(names)) == (20, 21), "new records go on"
    held = systems.rows("select distinct state, reason from sync.failed")
    assert [row["state"] for row in held] == ["held"]
    assert held[0]["reason"].startswith("the first delivery would update 20 of 20 records")
    [waiting] = systems.rows("select flow, operation, records, reason from sync.held")
    assert waiting == {"flow": "account > ops.CustomersV3", "operation": "update", "records": 20,
                       "reason": held[0]["reason"]}  # fmt: skip
    systems.run("select sync.approve('account > ops.CustomersV3')")
    systems.settle()
    assert systems.rows("select * from sync.held") == []
    assert "Old name" not in [row["OrganizationName"] for row in systems.ops.records(CUSTOMERS)]
    assert systems.why("failed") == {}


def test_a_quotation_that_ops_has_already_is_matched_with_its_lines(systems: Systems) -> None:
    systems.line(systems.quote("Q-1", systems.account("A-1"), []), 1, "P-1", requestdeliveryby="2027-01-01")
    systems.ops.put(CUSTOMERS, {"CustomerAccount": "A-1", "CustomerGroupId": "10", "SiteId": "1"})
    header = {"SalesQuotationNumber": "Q-1", "RequestingCustomerAccountNumber": "A-1", "CurrencyCode": "USD"}
    systems.ops.put(HEADERS, header | {"RequestedShippingDate": "2027-01-01T12:00:00Z"})
    line = {"SalesQuotationNumber": "Q-1", "LineCreationSequenceNumber": 1, "ProductNumber": "P-1"}
    systems.ops.put(LINES, line | {"RequestedSalesQuantity": 9, "SalesUnitSymbol": "ea", "ShippingSiteId": "1"})
    systems.settle()
    assert [row["SalesQuotationName"] for row in systems.ops.records(HEADERS)] == ["Quote Q-1"]
    assert [row["RequestedSalesQuantity"] for row in systems.ops.records(LINES)] == [1]


def test_customers_that_nobody_in_sales_knows_are_left_alone(systems: Systems) -> None:
    theirs = {"CustomerAccount": "X-1", "CustomerGroupId": "10", "OrganizationName": "Only in ops"}
    systems.ops.put(CUSTOMERS, theirs)
    systems.settle()
    assert customer(systems, "X-1")["OnHoldStatus"] == "No"
    assert systems.why("failed") == systems.why("blocked") == {}


def test_two_accounts_with_one_number_never_overwrite_each_other(systems: Systems) -> None:
    systems.account("A-1", name="First")
    systems.account(" A-1", name="Second")
    systems.settle()
    assert systems.ops.records(CUSTOMERS) == []
    (one, other) = systems.rows("select record, waits_for from sync.blocked order by record")
    assert one["waits_for"] == other["waits_for"]
    assert all(name in one["waits_for"][0] for name in ("A-1", " A-1"))


def test_a_second_account_with_a_delivered_number_waits_and_changes_nothing(systems: Systems) -> None:
    first = systems.account("A-1", name="First")["accountid"]
    systems.settle()
    second = systems.account(" a-1", name="Second")
    systems.settle()
    assert customer(systems)["OrganizationName"] == "First"
    assert systems.why("blocked") == {
        f"a-1 ({second['accountid']})":
            f"a key of its own: common.account 1 is account A-1 already, for sales.accounts {first}"
    }  # fmt: skip
    systems.sales.put("accounts", {"accountid": second["accountid"], "accountnumber": "A-2"})
    systems.settle()
    assert customer(systems, "A-2")["OrganizationName"] == "Second"
    assert systems.why("blocked") == {}


def test_an_account_and_a_person_with_one_number_never_overwrite_each_other(systems: Systems) -> None:
    company = systems.account("X-1", name="Company")["accountid"]
    person = systems.contact("X-1", None, msdynce_isactivecustomer=True)["contactid"]
    systems.settle()
    assert [row["PartyType"] for row in systems.ops.records(CUSTOMERS)] == ["Organization"]
    assert systems.why("blocked") == {
        f"X-1 ({person})": f"a key of its own: common.account 1 is account X-1 already, for sales.accounts {company}"
    }


def test_none_of_several_records_with_one_number_is_chosen_because_it_was_touched_or_came_last(
    systems: Systems,
) -> None:
    keys = [systems.account(number, name=f"Twin {number}")["accountid"] for number in ("A-1", " A-1")]
    systems.once()
    systems.sales.put("accounts", {"accountid": keys[1], "telephone1": "555"})
    systems.once()
    keys.append(systems.account("  A-1", name="Third", description="x\0")["accountid"])
    systems.once()
    keys.append(systems.account("   A-1", name="Fourth")["accountid"])
    systems.once()
    assert systems.ops.records(CUSTOMERS) == []
    why = systems.why("blocked")
    assert why.keys() >= {f"A-1 ({key})" for key in (keys[0], keys[1], keys[3])}
    assert all(key in words for words in why.values() for key in (keys[0], keys[1], keys[3]))
    for key in (keys[0], keys[2], keys[3]):
        systems.sales.delete("accounts", key)
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Twin  A-1"


def test_a_common_record_that_a_person_deleted_is_made_again_when_it_is_tried_again(systems: Systems) -> None:
    systems.account("A-1", name="First")
    systems.settle()
    systems.run("delete from common.account where number = 'A-1'")
    systems.once()
    ((state, reason),) = [
        (row["state"], row["reason"]) for row in systems.rows("select state, reason from sync.failed")
    ]
    assert (state, "retry creates it again" in reason) == ("reported", True)
    systems.run("select sync.retry(of_record => 'A-1')")
    systems.settle()
    assert systems.rows("select name from common.account") == [{"name": "First"}]
    assert [row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)] == ["A-1"]


def test_a_new_record_waits_while_the_target_still_gives_its_number_to_another(systems: Systems) -> None:
    first = systems.account("A-1", name="First")
    systems.settle()
    systems.sales.put("accounts", {"accountid": first["accountid"], "accountnumber": "R-1"})
    systems.contact("a-1", None, msdynce_isactivecustomer=True)
    systems.settle()
    assert [row["OrganizationName"] for row in systems.ops.records(CUSTOMERS)] == ["First"]
    assert systems.why("blocked") == {
        "R-1": "its former key, which the target cannot change",
        "a-1": "a key of its own in the target: there it is that of R-1",
    }


def test_an_account_that_takes_the_number_of_another_says_which_it_was(systems: Systems) -> None:
    first, second = systems.account("A-1")["accountid"], systems.account("A-2")["accountid"]
    systems.settle()
    systems.sales.put("accounts", {"accountid": second, "accountnumber": " a-1"})
    systems.settle()
    words = f"a key of its own: common.account 1 is account A-1 already, for sales.accounts {first}; this one was A-2"
    assert systems.why("blocked") == {f"a-1 ({second})": words}
    (said,) = systems.rows("select said, next from sync.explain('sales.accounts', ' a-1') where topic = 'waits'")
    assert said == {"said": words, "next": "never by itself: give one of the records another key, or delete it"}


def test_the_clash_goes_when_one_of_the_two_goes(systems: Systems) -> None:
    first = systems.account("A-1", name="First")
    systems.account(" a-1", name="Second")
    systems.settle()
    systems.sales.delete("accounts", first["accountid"])
    systems.settle()
    assert [row["OrganizationName"] for row in systems.ops.records(CUSTOMERS)] == ["Second"]
    assert systems.why("blocked") == {}


def test_a_renumbered_account_says_that_ops_cannot_change_the_number(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "accountnumber": "A-9", "name": "Renumbered"})
    systems.settle()
    assert [row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)] == ["A-1"]
    assert systems.why("blocked") == {"A-9": "its former key, which the target cannot change"}
    systems.sales.put("accounts", {"accountid": account["accountid"], "accountnumber": "A-1"})
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Renumbered"
    assert systems.why("blocked") == {}


def test_one_change_of_an_account_and_its_quote_arrives_in_one_round(systems: Systems) -> None:
    account = systems.account("A-1")
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Renamed"})
    systems.change_quote(quote, name="Renamed too")
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert (header["SalesQuotationName"], header["DeliveryAddressName"]) == ("Renamed too", "Renamed")


def test_writes_of_the_hub_come_back_as_no_change(systems: Systems) -> None:
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    before = systems.rows("select count(*) from log.change")
    systems.cycle.once(whole=True)
    assert systems.rows("select count(*) from log.change") == before


@pytest.mark.parametrize("options", [{"sales": Options(recalculate=True)}])
def test_a_price_that_sales_rounds_settles_in_one_round_and_is_shown(systems: Systems) -> None:
    systems.product("P-2", SalesPrice=10.123456)
    systems.settle()
    (product,) = systems.held("sales", "products", productnumber="P-2")
    (amended,) = systems.rows("select flow, field, sent, stored from sync.amended")
    assert (amended["flow"], amended["field"], amended["sent"]) == ("product > sales.products", "price", "10.123456")
    assert amended["stored"].rstrip("0") == str(product["price"]) == "10.12"
    systems.product("P-2", SalesPrice=10.5)
    systems.settle()
    (product,) = systems.held("sales", "products", productnumber="P-2")
    assert product["price"] == 10.5
    assert systems.rows("select * from sync.amended") == []


@pytest.mark.parametrize("options", [{"sales": Options(recalculate=True)}])
def test_a_rounded_price_that_a_person_changes_is_put_back(systems: Systems) -> None:
    systems.product("P-2", SalesPrice=10.123456)
    systems.settle()
    (product,) = systems.held("sales", "products", productnumber="P-2")
    systems.sales.put("products", {"productid": product["productid"], "price": 3})
    systems.settle()
    (product,) = systems.held("sales", "products", productnumber="P-2")
    assert str(product["price"]) == "10.12"


@pytest.mark.parametrize("options", [{"ops": Options(recalculate=True)}])
def test_a_total_that_ops_calculates_itself_is_not_fought(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"], totalamount=25)
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert header["QuotationTotalAmount"] == 20
    assert {row["field"] for row in systems.rows("select field from sync.amended")} >= {"quotation_total_amount"}
    with systems.revising(quote) as draft:
        systems.add_line(draft, 3, "P-1")
    systems.settle()
    assert systems.ops.records(HEADERS)[0]["QuotationTotalAmount"] == 30


@pytest.mark.parametrize("options", [{"ops": Options(recalculate=True)}])
def test_a_quote_goes_with_its_lines_where_each_line_that_goes_changes_its_total(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.settle()
    systems.delete_quote(quote)
    systems.settle()
    assert systems.ops.records(HEADERS) == []
    assert systems.ops.records(LINES) == []


@pytest.mark.parametrize("options", [{"ops": Options(recalculate=True)}])
def test_a_quote_is_changed_together_with_a_line_that_goes_where_that_changes_its_total(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.settle()
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 1)
        systems.edit(draft, name="Fewer")
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert header["SalesQuotationName"] == "Fewer"
    assert len(systems.ops.records(LINES)) == 1
