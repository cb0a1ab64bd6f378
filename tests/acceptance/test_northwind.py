"""Northwind through the real commands: products to sales, then accounts, contacts and quotes to ops, then nothing."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson

from tests.fixtures.commands import Result, Systems, Workplace, until, work_at

NORTHWIND = Path(__file__).resolve().parents[3] / "shared" / "data" / "northwind"
pytestmark = pytest.mark.skipif(not NORTHWIND.is_dir(), reason="the Northwind snapshots are not here")

Record = Mapping[str, Any]
COUNTRIES = {
    "Argentina": "AR", "Austria": "AT", "Belgium": "BE", "Brazil": "BR", "Canada": "CA", "Denmark": "DK",
    "Finland": "FI", "France": "FR", "Germany": "DE", "Ireland": "IE", "Italy": "IT", "Mexico": "MX", "Norway": "NO",
    "Poland": "PL", "Portugal": "PT", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH", "UK": "GB", "USA": "US",
    "Venezuela": "VE", None: "US",
}  # fmt: skip
REFERENCE_SETS = ("transactioncurrencies", "uomschedules", "uoms", "pricelevels")
LATER_SETS = ("accounts", "contacts", "quotes", "quotedetails")


def snapshot(system: str, entity_set: str) -> list[dict[str, Any]]:
    lines = (NORTHWIND / system / f"{entity_set}.jsonl").read_text(encoding="utf-8").splitlines()
    return [simplejson.loads(line, use_decimal=True) for line in lines]


@dataclass(frozen=True)
class Story:
    """What happened: how each command ended, and what both systems hold at the end."""

    first: Result
    second: Result
    third: Result
    status: Result
    before: Mapping[Any, list[str]]
    after: Mapping[Any, list[str]]
    systems: Systems


@pytest.fixture(scope="module")
def story(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Reference data and products first, then the rest into the running systems, then once more."""
    folder = tmp_path_factory.mktemp("northwind")
    with work_at(folder, server_url, template) as place:
        yield tell(place, folder / "data")


def tell(place: Workplace, data: Path) -> Story:
    copy(data, "sales", REFERENCE_SETS)
    copy(data, "ops", ("SellableReleasedProducts",))
    systems = place.sandbox_process("--load", str(data))
    place.configure(systems.urls)
    first = place.tell("once")
    copy(data, "sales", LATER_SETS)
    systems.process.popen.send_signal(signal.SIGHUP)
    until(lambda: systems.count("sales", "quotedetails") == 2155, what="the snapshots loaded into the running systems")
    second = place.tell("once")
    before = systems.versions()
    third = place.tell("once", "--whole", "--json")
    return Story(first, second, third, place.tell("status", "--json"), before, systems.versions(), systems)


def copy(data: Path, system: str, entity_sets: tuple[str, ...]) -> None:
    (data / system).mkdir(parents=True, exist_ok=True)
    for name in entity_sets:
        shutil.copy(NORTHWIND / system / f"{name}.jsonl", data / system)


def test_the_commands_end_well(story: Story) -> None:
    for result in (story.first, story.second, story.third, story.status):
        assert result.code == 0, result.told
        assert "Traceback" not in result.told


def test_nothing_is_blocked_failed_or_rejected(story: Story) -> None:
    for flow in story.status.json["flows"]:
        for name in ("pending", "in_flight", "blocked", "failed", "rejected", "reported"):
            assert flow[name] == 0, flow


def test_another_run_sends_not_one_write(story: Story) -> None:
    assert sum(map(len, story.before.values())) > 5000
    assert story.after == story.before
    assert all(not flow["pending"] for flow in story.third.json["flows"])


def test_each_draft_is_left_out_with_its_reason(story: Story) -> None:
    drafts = {quote["quotenumber"] for quote in snapshot("sales", "quotes") if quote["statecode"] == 0}
    assert len(drafts) == 21
    left_out = [row for row in story.status.json["not_eligible"] if "CDSSalesQuotationHeaders" in row["flow"]]
    assert {row["record"] for row in left_out} == drafts
    assert {row["reason"] for row in left_out} == {"only active quotes go out, this one is Draft"}


def cut(length: int) -> Callable[[Any], Any]:
    return lambda text: None if text is None else text[:length]


def country(name: Any) -> str:
    return COUNTRIES[name]


def nothing(value: Any) -> Any:
    """What ops shows where it holds nothing is nothing."""
    return None if value in ("", 0, "1900-01-01T12:00:00Z") or str(value).startswith("1900-01-01") else value


def same(expected: Any, found: Any) -> bool:
    if isinstance(expected, bool):
        return found in (expected, "Yes" if expected else "No")
    if isinstance(expected, int | Decimal) and isinstance(found, int | Decimal):
        return Decimal(expected) == Decimal(found)
    if isinstance(found, str) and found.endswith("T12:00:00Z"):
        found = found.removesuffix("T12:00:00Z")
    return bool(nothing(expected) == nothing(found))


Pairs = Mapping[str, Callable[[Record], Any]]


def check(expected: Mapping[Any, Record], found: Mapping[Any, Record], pairs: Pairs) -> None:
    """The same records on both sides, and every mapped field as the pairs say."""
    assert set(found) == set(expected)
    wrong = [
        f"{key}: {name}: {make(source)!r} became {found[key].get(name, 'no such field')!r}"
        for key, source in expected.items()
        for name, make in pairs.items()
        if name not in found[key] or not same(make(source), found[key][name])
    ]
    assert not wrong, f"{len(wrong)} differences: " + "\n".join(wrong[:20])


def field(name: str, convert: Callable[[Any], Any] = lambda value: value) -> Callable[[Record], Any]:
    return lambda record: convert(record.get(name))


def fixed(value: object) -> Callable[[Record], Any]:
    return lambda record: value


def test_all_77_products_are_in_sales_with_every_field(story: Story) -> None:
    sales = {set_: story.systems.records("sales", set_) for set_ in ("products", *REFERENCE_SETS)}
    [currency], [unit], [group], [price_list] = (
        sales["transactioncurrencies"], sales["uoms"], sales["uomschedules"], sales["pricelevels"],
    )  # fmt: skip
    released = {row["ProductNumber"]: row for row in snapshot("ops", "SellableReleasedProducts")}
    assert len(released) == 77
    check(
        released,
        {row["productnumber"]: row for row in sales["products"]},
        {
            "name": field("ProductName", cut(100)),
            "description": field("ProductDescription"),
            "producttypecode": field("ProductType", {"Item": 1, "Service": 3}.get),
            "price": field("SalesPrice"),
            "currentcost": field("UnitCost"),
            "isstockitem": field("IsStockedProduct", lambda symbol: symbol == "Yes"),
            "quantitydecimal": field("SalesUnitDecimalPrecision"),
            "msdynce_ismaintainedexternally": fixed(True),
            "statecode": fixed(0),
            "statuscode": fixed(1),
            "_defaultuomid_value": fixed(unit["uomid"]),
            "_defaultuomscheduleid_value": fixed(group["uomscheduleid"]),
            "_transactioncurrencyid_value": fixed(currency["transactioncurrencyid"]),
            "_pricelevelid_value": fixed(price_list["pricelevelid"]),
        },
    )


def test_all_91_accounts_are_customers_of_ops_with_every_field(story: Story) -> None:
    accounts = {row["accountnumber"]: row for row in snapshot("sales", "accounts")}
    assert len(accounts) == 91
    check(
        accounts,
        {row["CustomerAccount"]: row for row in story.systems.records("ops", "CustomersV3")},
        {
            "dataAreaId": fixed("usmf"),
            "PartyNumber": field("accountnumber"),
            "PartyType": fixed("Organization"),
            "OrganizationName": field("name", cut(100)),
            "OrganizationNumberOfEmployees": field("numberofemployees"),
            "PersonFirstName": fixed(None),
            "PersonMiddleName": fixed(None),
            "PersonLastName": fixed(None),
            "CustomerGroupId": fixed("10"),
            "SalesCurrencyCode": fixed("USD"),
            "CreditLimit": field("creditlimit"),
            "LanguageId": fixed("en-us"),
            "SiteId": fixed("1"),
            "WarehouseId": fixed("13"),
            "SalesMemo": field("description"),
            "IsExternallyMaintained": fixed(True),
            "PrimaryContactPhone": field("telephone1"),
            "PrimaryContactFax": field("fax"),
            "PrimaryContactEmail": field("emailaddress1"),
            "PrimaryContactURL": field("websiteurl"),
            "AddressDescription": field("name", cut(60)),
            "AddressLocationRoles": fixed("Business"),
            "AddressStreet": field("address1_line1"),
            "AddressCity": field("address1_city", cut(60)),
            "AddressZipCode": field("address1_postalcode"),
            "AddressState": field("address1_stateorprovince", cut(10)),
            "AddressCountryRegionISOCode": field("address1_country", country),
            "DeliveryAddressDescription": field("name", cut(60)),
            "DeliveryAddressStreet": field("address2_line1"),
            "DeliveryAddressCity": field("address2_city", cut(60)),
            "DeliveryAddressZipCode": field("address2_postalcode"),
            "DeliveryAddressState": field("address2_stateorprovince", cut(10)),
            "DeliveryAddressCountryRegionISOCode": field("address2_country", country),
        },
    )


def test_all_91_contacts_are_contact_persons_of_ops_with_every_field(story: Story) -> None:
    numbers = {row["accountid"]: row["accountnumber"] for row in snapshot("sales", "accounts")}
    contacts = {row["msdynce_contactnumber"]: row for row in snapshot("sales", "contacts")}
    assert len(contacts) == 91
    check(
        contacts,
        {row["ContactPersonPartyNumber"]: row for row in story.systems.records("ops", "CDSContactPersonsV2")},
        {
            "dataAreaId": fixed("usmf"),
            "AssociatedContactType": fixed("Customer"),
            "AssociatedContactNumber": field("_parentcustomerid_value", numbers.__getitem__),
            "ContactPersonPartyType": fixed("Person"),
            "FirstName": field("firstname", cut(25)),
            "MiddleName": field("middlename", cut(25)),
            "LastName": field("lastname", cut(25)),
            "Gender": fixed("Unknown"),
            "MaritalStatus": fixed("None"),
            "EmploymentDepartment": field("department", cut(50)),
            "EmploymentProfession": field("jobtitle", cut(30)),
            "GovernmentIdentificationNumber": field("governmentid"),
            "Notes": field("description"),
            "PrimaryEmailAddress": field("emailaddress1"),
            "PrimaryPhoneNumber": field("telephone1"),
            "PrimaryURL": field("websiteurl"),
            "PrimaryAddressStreet": field("address1_line1"),
            "PrimaryAddressCity": field("address1_city", cut(60)),
            "PrimaryAddressZipCode": field("address1_postalcode"),
            "PrimaryAddressStateId": field("address1_stateorprovince", cut(10)),
            "PrimaryAddressCountryRegionISOCode": field("address1_country", country),
            "IsReceivingDirectMail": field("donotemail", lambda refuses: not refuses),
            "IsInactive": field("statecode", lambda state: state == 1),
            "IsContactPersonExternallyMaintained": fixed(True),
        },
    )


def test_all_809_active_quotes_are_quotations_of_ops_with_every_field(story: Story) -> None:
    accounts = {row["accountid"]: row for row in snapshot("sales", "accounts")}
    active = {row["quotenumber"]: row for row in snapshot("sales", "quotes") if row["statecode"] == 1}
    assert len(active) == 809

    def customer(name: str, length: int) -> Callable[[Record], Any]:
        return lambda quote: accounts[quote["_customerid_value"]][name][:length]

    check(
        active,
        {row["SalesQuotationNumber"]: row for row in story.systems.records("ops", "CDSSalesQuotationHeaders")},
        {
            "dataAreaId": fixed("usmf"),
            "SalesQuotationName": field("name", cut(60)),
            "RequestingCustomerAccountNumber": customer("accountnumber", 20),
            "CurrencyCode": fixed("USD"),
            "CustomersReference": field("description", cut(60)),
            "RequestedShippingDate": field("requestdeliveryby"),
            "QuotationTotalAmount": field("totalamount"),
            "DeliveryAddressName": customer("name", 100),
            "DeliveryAddressDescription": customer("name", 60),
            "DeliveryAddressStreet": field("shipto_line1"),
            "DeliveryAddressStreetNumber": field("shipto_line2", cut(20)),
            "DeliveryAddressCity": field("shipto_city", cut(60)),
            "DeliveryAddressZipCode": field("shipto_postalcode"),
            "DeliveryAddressStateId": field("shipto_stateorprovince", cut(10)),
            "DeliveryAddressCountryRegionISOCode": field("shipto_country", country),
            "IsDeliveryAddressOrderSpecific": fixed(True),
        },
    )


def test_all_2082_lines_of_active_quotes_are_lines_of_quotations_with_every_field(story: Story) -> None:
    numbers = {row["quoteid"]: row["quotenumber"] for row in snapshot("sales", "quotes") if row["statecode"] == 1}
    lines = {
        (numbers[row["_quoteid_value"]], row["sequencenumber"]): row
        for row in snapshot("sales", "quotedetails")
        if row["_quoteid_value"] in numbers
    }
    assert len(lines) == 2082
    found = story.systems.records("ops", "CDSSalesQuotationLines")
    check(
        lines,
        {(row["SalesQuotationNumber"], row["LineCreationSequenceNumber"]): row for row in found},
        {
            "dataAreaId": fixed("usmf"),
            "ProductNumber": field("productid.productnumber"),
            "RequestedSalesQuantity": field("quantity"),
            "SalesUnitSymbol": fixed("ea"),
            "SalesPrice": field("priceperunit"),
            "TotalDiscountAmount": field("manualdiscountamount"),
            "RequestedReceiptDate": field("requestdeliveryby"),
        },
    )
