"""Values on their way: translated, cut where that is declared, rejected where they do not fit, empty where empty."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from replicator.connectors import connect as connect_system
from replicator.connectors.kinds import settings_of
from replicator.cycle import Cycle
from replicator.mapping.literals import folded
from replicator.sandbox.system import Options
from tests.fixtures.world import Systems

CUSTOMERS, PERSONS = "CustomersV3", "CDSContactPersonsV2"


@pytest.fixture(autouse=True)
def reference_data(systems: Systems) -> None:
    """What sales needs before anything else."""
    systems.reference_data()


def rejected(systems: Systems) -> dict[str, Any]:
    """The one record that did not arrive."""
    (found,) = systems.rows("select flow, record, state, field, reason from sync.failed")
    return found


def customer(systems: Systems) -> dict[str, Any]:
    """The one customer of ops."""
    (found,) = systems.ops.records(CUSTOMERS)
    return found


def person(systems: Systems) -> dict[str, Any]:
    """The one contact person of ops."""
    (found,) = systems.ops.records(PERSONS)
    return found


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\u200b"], ids=["blank", "tab", "no-break", "zero width"])
def test_outer_blanks_of_any_kind_count_neither_in_value_maps_nor_in_look_ups(systems: Systems, blank: str) -> None:
    systems.product("P-2", SalesUnitSymbol=f"ea{blank}")
    systems.account("A-1", address1_country=f"{blank}Germany{blank}")
    systems.account("A-2", address1_country=blank)
    systems.settle()
    assert systems.why("blocked") == systems.why("failed") == {}
    found = {row["CustomerAccount"]: row["AddressCountryRegionISOCode"] for row in systems.ops.records("CustomersV3")}
    assert found == {"A-1": "DE", "A-2": "US"}
    assert [row["productnumber"] for row in systems.held("sales", "products", productnumber="P-2")] == ["P-2"]


def test_a_country_that_the_value_map_does_not_know_is_rejected_by_name_and_heals(systems: Systems) -> None:
    account = systems.account("A-1", address1_country="Atlantis")
    systems.settle()
    found = rejected(systems)
    assert (found["flow"], found["record"], found["state"]) == ("sales.accounts > account", "A-1", "rejected")
    assert found["reason"].startswith("mailing_country: no value for 'Atlantis' of address1_country")
    assert systems.ops.records(CUSTOMERS) == []
    systems.sales.put("accounts", {"accountid": account["accountid"], "address1_country": "austria"})
    systems.settle()
    assert customer(systems)["AddressCountryRegionISOCode"] == "AT"
    assert systems.why("failed") == {}


def test_an_account_that_gets_an_unknown_country_keeps_what_was_delivered(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "address1_country": "Atlantis", "name": "New"})
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Account A-1"
    assert rejected(systems)["record"] == "A-1"


def test_every_problem_of_a_record_is_said_at_once(systems: Systems) -> None:
    systems.account("A-1", address1_country="Atlantis", address2_country="Lemuria")
    systems.settle()
    said = rejected(systems)["reason"]
    assert "'Atlantis' of address1_country" in said
    assert "'Lemuria' of address2_country" in said


def test_a_text_too_long_for_ops_is_rejected_with_its_field_and_lengths(systems: Systems) -> None:
    account = systems.account("A-1", address1_postalcode="12345-678901")
    systems.settle()
    assert rejected(systems)["reason"] == "AddressZipCode: 12 characters, at most 10 fit"
    assert systems.ops.records(CUSTOMERS) == []
    systems.sales.put("accounts", {"accountid": account["accountid"], "address1_postalcode": "12345"})
    systems.settle()
    assert customer(systems)["AddressZipCode"] == "12345"


def test_a_quote_number_too_long_for_ops_is_rejected(systems: Systems) -> None:
    systems.quote("Q-12345678901234567890", systems.account("A-1"), [])
    systems.settle()
    assert rejected(systems)["reason"] == "SalesQuotationNumber: 22 characters, at most 20 fit"


def test_a_text_longer_than_sales_itself_allows_is_rejected_on_the_way_in(systems: Systems) -> None:
    systems.account("A-1", name="x" * 161)
    systems.settle()
    assert rejected(systems)["reason"] == "name: 161 characters, at most 160 fit"


def test_texts_are_cut_where_that_is_declared(systems: Systems) -> None:
    account = systems.account("A-1", name="n" * 120, address1_city="c" * 70)
    systems.contact("C-1", account, firstname="f" * 30, lastname="l" * 50)
    systems.settle()
    assert (customer(systems)["OrganizationName"], customer(systems)["AddressCity"]) == ("n" * 100, "c" * 60)
    assert (person(systems)["FirstName"], person(systems)["LastName"]) == ("f" * 25, "l" * 25)


def test_a_credit_limit_of_nothing_is_said_aloud_when_the_customer_is_made(systems: Systems) -> None:
    systems.account("A-1", creditlimit=0)
    systems.settle()
    (sent,) = systems.sent("ops", CUSTOMERS)
    assert (sent.body["CreditLimit"], sent.body["OrganizationNumberOfEmployees"]) == (0, 0)
    assert customer(systems)["CreditLimit"] == 0


@pytest.mark.parametrize(("unwanted", "wanted"), [(True, "No"), (False, "Yes")])
def test_no_mail_in_sales_is_the_inverse_of_mail_in_ops(systems: Systems, unwanted: bool, wanted: str) -> None:
    systems.contact("C-1", systems.account("A-1"), donotemail=unwanted)
    systems.settle()
    assert person(systems)["IsReceivingDirectMail"] == wanted


@pytest.mark.parametrize(
    ("in_sales", "in_ops"),
    [
        ({"gendercode": 1, "familystatuscode": 3}, {"Gender": "Male", "MaritalStatus": "Divorced"}),
        ({"gendercode": 2, "familystatuscode": 2}, {"Gender": "Female", "MaritalStatus": "Married"}),
        ({"gendercode": None, "familystatuscode": None}, {"Gender": "Unknown", "MaritalStatus": "None"}),
    ],
)
def test_choices_are_translated(systems: Systems, in_sales: dict[str, Any], in_ops: dict[str, str]) -> None:
    systems.contact("C-1", systems.account("A-1"), **in_sales)
    systems.settle()
    assert {name: person(systems)[name] for name in in_ops} == in_ops


def test_a_choice_that_nobody_mapped_is_rejected_by_field_and_value(systems: Systems) -> None:
    systems.contact("C-1", systems.account("A-1"), gendercode=7)
    systems.settle()
    found = rejected(systems)
    assert (found["flow"], found["record"]) == ("sales.contacts > contact", "C-1")
    assert found["reason"].startswith("gender: no value for '7' of gendercode in the value map")
    assert systems.ops.records(PERSONS) == []


def test_a_kind_of_product_that_nobody_mapped_is_rejected_by_field_and_value(systems: Systems) -> None:
    systems.product("P-1", ProductType="Kit")
    systems.product("P-2")
    systems.settle()
    assert rejected(systems)["reason"].startswith("kind: no value for 'Kit' of ProductType in the value map")
    assert [row["productnumber"] for row in systems.sales.records("products")] == ["P-2"]


@pytest.mark.parametrize("limit", [None, 0])
def test_no_credit_limit_is_the_same_as_none_at_all(systems: Systems, limit: int | None) -> None:
    systems.account("A-1", creditlimit=limit, numberofemployees=limit)
    systems.settle()
    assert (customer(systems)["CreditLimit"], customer(systems)["OrganizationNumberOfEmployees"]) == (0, 0)
    assert systems.rows("select * from sync.amended") == []


def test_a_value_that_is_taken_away_becomes_the_empty_value_of_ops(systems: Systems) -> None:
    account = systems.account("A-1", creditlimit=500, telephone1="0228 1", description="Memo")
    systems.settle()
    assert customer(systems)["CreditLimit"] == 500
    emptied = {"creditlimit": None, "telephone1": None, "description": None}
    systems.sales.put("accounts", {"accountid": account["accountid"], **emptied})
    systems.settle()
    found = customer(systems)
    assert (found["CreditLimit"], found["PrimaryContactPhone"], found["SalesMemo"]) == (0, "", "")


def test_a_delivery_date_that_is_taken_away_from_a_line_falls_back_to_its_quote(systems: Systems) -> None:
    systems.product("P-1")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), [], requestdeliveryby="2027-01-01")
    systems.line(quote, 1, "P-1", requestdeliveryby="2027-02-01")
    systems.settle()
    (held,) = systems.ops.records("CDSSalesQuotationLines")
    assert held["RequestedReceiptDate"].startswith("2027-02-01")
    systems.change_line(quote, 1, requestdeliveryby=None)
    systems.settle()
    (held,) = systems.ops.records("CDSSalesQuotationLines")
    assert held["RequestedReceiptDate"].startswith("2027-01-01")
    assert systems.why("failed") == {}


def test_an_account_without_a_number_stays_out_and_says_why(systems: Systems) -> None:
    account = systems.account("A-1", name="Nameless")
    systems.sales.put("accounts", {"accountid": account["accountid"], "accountnumber": None})
    systems.settle()
    assert systems.ops.records(CUSTOMERS) == []
    said = systems.rows("select flow, reason from sync.not_eligible")
    why = "an account without an account number is not synchronised; give it one"
    assert said == [{"flow": "sales.accounts > account", "reason": why}]
    systems.sales.put("accounts", {"accountid": account["accountid"], "accountnumber": "A-1"})
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Nameless"


def test_text_with_every_kind_of_character_arrives_as_it_was(systems: Systems) -> None:
    name = 'Žluťoučký kůň & söhne, "O\'Brien" <東京> 100 % \\ + 🐎'
    systems.account("A-1", name=name, description="one\r\ntwo")
    systems.settle()
    assert (customer(systems)["OrganizationName"], customer(systems)["SalesMemo"]) == (name, "one\r\ntwo")


def in_zone(systems: Systems, zone: str) -> Systems:
    """The same, with a connector of sales that is configured for people who sit there."""
    settings = settings_of({"kind": "dataverse", "url": "http://localhost", "time_zone": zone})
    world = systems.cycle.world
    sales = connect_system("sales", settings, transport=systems.wire["sales"])
    cycle = Cycle(replace(world, connectors={**world.connectors, "sales": sales}), systems.connection)
    return replace(systems, cycle=cycle)


def delivery_days(systems: Systems) -> list[str]:
    """The days that ops holds: of the quotation, and of its line."""
    (header,) = systems.ops.records("CDSSalesQuotationHeaders")
    (line,) = systems.ops.records("CDSSalesQuotationLines")
    return [header["RequestedShippingDate"][:10], line["RequestedReceiptDate"][:10]]


@pytest.mark.parametrize(
    "options",
    [
        {"sales": Options(time_zone=zone)}
        for zone in ("Asia/Tokyo", "Europe/Berlin", "Europe/London", "America/Los_Angeles")
    ],
    ids=lambda options: options["sales"].time_zone,
)
@pytest.mark.parametrize("day", ["2026-12-01", "2027-07-01"])
def test_the_day_that_a_person_typed_arrives_east_and_west_of_greenwich(systems: Systems, day: str) -> None:
    systems.product("P-1")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), [], requestdeliveryby=day)
    systems.line(quote, 1, "P-1", requestdeliveryby=day)
    systems.settle()
    (held,) = systems.sales.records("quotes")
    assert len(held["requestdeliveryby"]) == len("2026-11-30T23:00:00Z"), "sales keeps an instant, and no day"
    assert delivery_days(systems) == [day, day]


@pytest.mark.parametrize("options", [{"sales": Options(time_zone="Europe/Berlin")}])
def test_a_day_that_begins_before_the_calendar_of_utc_is_kept_as_it_was_typed(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), [], requestdeliveryby="0001-01-01")
    assert quote["requestdeliveryby"] == "0001-01-01"


@pytest.mark.parametrize("options", [{"sales": Options(time_zone="Pacific/Auckland")}])
def test_another_time_zone_looks_at_every_day_again(systems: Systems) -> None:
    systems.product("P-1")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), [], requestdeliveryby="2026-12-01")
    systems.line(quote, 1, "P-1", requestdeliveryby="2026-12-01")
    systems.settle()
    assert delivery_days(systems) == ["2026-11-30"] * 2, "11:00 UTC is midnight in Samoa too, a day earlier"
    in_zone(systems, "Pacific/Auckland").settle()
    assert delivery_days(systems) == ["2026-12-01"] * 2


def test_every_spelling_of_the_value_map_of_countries_is_found_as_the_hub_compares(systems: Systems) -> None:
    values = systems.cycle.world.compiled.schema.value_maps["country"].values
    rows = systems.rows(
        "select name, sync.fold(name) as folded from unnest(cast(:names as text[])) as name",
        names=[str(name) for name in values],
    )
    assert len(rows) > 4000
    assert [row["name"] for row in rows if row["folded"] != folded(row["name"])] == []


def test_a_country_arrives_as_people_write_it(systems: Systems) -> None:
    spellings = {"A-1": "Spanien", "A-2": "U.S.", "A-3": "UAE", "A-4": "Éire", "A-5": "日本", "A-6": "İTALYA"}
    for number, spelling in spellings.items():
        systems.account(number, address1_country=spelling)
    systems.settle()
    held = {row["CustomerAccount"]: row["AddressCountryRegionISOCode"] for row in systems.ops.records(CUSTOMERS)}
    assert held == {"A-1": "ES", "A-2": "US", "A-3": "AE", "A-4": "IE", "A-5": "JP", "A-6": "IT"}
