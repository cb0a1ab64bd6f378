"""Persons: customers of their own, contacts of accounts, those that stay out, and those that move between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from replicator.operate.reconciliation.reconciler import Reconciliation
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

CUSTOMERS, PERSONS, HEADERS = "CustomersV3", "CDSContactPersonsV2", "CDSSalesQuotationHeaders"


@pytest.fixture(autouse=True)
def product(systems: Systems) -> None:
    """A product that is in both systems."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


def customers(systems: Systems) -> list[str]:
    """The customers of ops."""
    return sorted(row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS))


def persons(systems: Systems) -> list[tuple[str, str, str]]:
    """The contact persons of ops: number, customer, whether inactive."""
    names = ("ContactPersonPartyNumber", "AssociatedContactNumber", "IsInactive")
    return sorted(tuple(row[name] for name in names) for row in systems.ops.records(PERSONS))


def become_customer(systems: Systems, contact: Mapping[str, Any], *, active: bool = True) -> None:
    """A person marks a contact as an active customer, or takes the mark away."""
    systems.sales.put("contacts", {"contactid": contact["contactid"], "msdynce_isactivecustomer": active})


def test_a_contact_that_is_an_active_customer_becomes_a_customer_of_type_person(systems: Systems) -> None:
    systems.contact("C-1", None, msdynce_isactivecustomer=True, firstname="Grace", lastname="Hopper")
    systems.settle()
    (customer,) = systems.ops.records(CUSTOMERS)
    assert (customer["CustomerAccount"], customer["PartyType"]) == ("C-1", "Person")
    assert (customer["PersonFirstName"], customer["PersonLastName"]) == ("Grace", "Hopper")
    assert persons(systems) == []
    assert systems.why("not_eligible") == {}


@pytest.mark.parametrize("later", [False, True], ids=["in one read", "later"])
def test_a_person_does_not_take_over_the_customer_of_a_company(systems: Systems, later: bool) -> None:
    """The company of its number is gone, and its customer is on hold."""
    company = systems.account("A-1", name="Company")
    systems.settle()
    systems.ask_sales("DELETE", f"accounts({company['accountid']})")
    if later:
        systems.settle()
    systems.contact("A-1", None, msdynce_isactivecustomer=True, firstname="Ada", lastname="Byron")
    systems.once()
    (customer,) = systems.ops.records(CUSTOMERS)
    assert (customer["PartyType"], customer["OrganizationName"]) == ("Organization", "Company")
    assert customer["OnHoldStatus"] == "All"
    taken = "a key of its own in the target: there it is that of a record with another PartyType"
    assert systems.why("blocked") == {"A-1": taken}
    found = Reconciliation(systems.cycle.world, systems.connection).run(repair=False, limit=5)
    assert found.explained == {"blocked": 1}


def test_a_contact_of_an_account_becomes_a_contact_person_of_its_customer(systems: Systems) -> None:
    systems.contact("C-1", systems.account("A-1"))
    systems.settle()
    assert customers(systems) == ["A-1"]
    assert persons(systems) == [("C-1", "A-1", "No")]


def test_an_active_customer_of_an_account_is_a_customer_and_no_contact_person(systems: Systems) -> None:
    systems.contact("C-1", systems.account("A-1"), msdynce_isactivecustomer=True)
    systems.settle()
    assert customers(systems) == ["A-1", "C-1"]
    assert persons(systems) == []


def test_contacts_of_nobody_and_contacts_of_contacts_stay_out_and_say_why(systems: Systems) -> None:
    customer = systems.contact("C-1", None, msdynce_isactivecustomer=True)
    systems.contact("C-2")
    systems.sales.put("contacts", {
        "msdynce_contactnumber": "C-3", "lastname": "Three", "_parentcustomerid_value": customer["contactid"],
        "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact",
    })  # fmt: skip
    systems.settle()
    assert (customers(systems), persons(systems)) == (["C-1"], [])
    why = "neither an active customer nor a contact of an account"
    assert systems.why("not_eligible") == {"C-2": why, "C-3": why}


def test_a_contact_that_stayed_out_comes_in_when_it_gets_an_account(systems: Systems) -> None:
    account, contact = systems.account("A-1"), systems.contact("C-1")
    systems.settle()
    assert persons(systems) == []
    systems.contact("C-1", account, contactid=contact["contactid"])
    systems.settle()
    assert persons(systems) == [("C-1", "A-1", "No")]
    assert systems.why("not_eligible") == {}


def test_a_contact_without_a_number_stays_out_and_says_why(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"))
    systems.sales.put("contacts", {"contactid": contact["contactid"], "msdynce_contactnumber": None})
    systems.settle()
    assert persons(systems) == []
    said = systems.rows("select reason from sync.not_eligible")
    assert said == [{"reason": "a contact without a contact number is not synchronised; give it one"}]


def test_a_quote_for_a_person_customer_goes_out_to_that_customer(systems: Systems) -> None:
    systems.quote("Q-1", systems.contact("C-1", None, msdynce_isactivecustomer=True), ["P-1"])
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert (header["SalesQuotationNumber"], header["RequestingCustomerAccountNumber"]) == ("Q-1", "C-1")


def test_a_quote_for_a_contact_that_is_no_customer_waits_and_says_for_whom(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"))
    systems.quote("Q-1", contact, ["P-1"])
    systems.settle()
    assert systems.ops.records(HEADERS) == []
    assert "account C-1" in systems.why("blocked")["Q-1"]
    become_customer(systems, contact)
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert header["RequestingCustomerAccountNumber"] == "C-1"
    assert systems.why("blocked") == {}


def test_a_contact_person_that_becomes_a_customer_is_set_inactive_and_is_a_customer(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"))
    systems.settle()
    become_customer(systems, contact)
    systems.settle()
    assert customers(systems) == ["A-1", "C-1"]
    assert persons(systems) == [("C-1", "A-1", "Yes")]
    assert systems.held("ops", CUSTOMERS, CustomerAccount="C-1")[0]["PartyType"] == "Person"


def test_a_person_that_was_customer_for_a_while_is_an_active_contact_person_again(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"))
    systems.settle()
    become_customer(systems, contact)
    systems.settle()
    become_customer(systems, contact, active=False)
    systems.settle()
    assert persons(systems) == [("C-1", "A-1", "No")]
    assert customers(systems) == ["A-1", "C-1"]


def test_the_quotation_of_a_person_that_is_no_customer_any_more_stays(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"), msdynce_isactivecustomer=True)
    systems.quote("Q-1", contact, ["P-1"])
    systems.settle()
    become_customer(systems, contact, active=False)
    systems.settle()
    (header,) = systems.ops.records(HEADERS)
    assert header["RequestingCustomerAccountNumber"] == "C-1"
    assert persons(systems) == [("C-1", "A-1", "No")]


def test_a_contact_person_waits_for_its_account(systems: Systems) -> None:
    account = systems.account("A-1", address1_country="Atlantis")
    systems.contact("C-1", account)
    systems.settle()
    assert persons(systems) == []
    assert systems.why("blocked") == {"C-1": "account A-1"}
    systems.sales.put("accounts", {"accountid": account["accountid"], "address1_country": "Germany"})
    systems.settle()
    assert persons(systems) == [("C-1", "A-1", "No")]


def test_a_contact_person_waits_for_an_account_that_could_not_be_taken_in(systems: Systems) -> None:
    account = systems.account("A-1", creditlimit="a lot")
    systems.contact("C-1", account)
    systems.settle()
    assert systems.why("not_eligible") == {}
    assert systems.why("blocked") == {"C-1": f"account {account['accountid']}"}
    systems.sales.put("accounts", {"accountid": account["accountid"], "creditlimit": 5})
    systems.settle()
    assert persons(systems) == [("C-1", "A-1", "No")]


def test_a_person_has_no_delivery_address_that_nobody_gave(systems: Systems) -> None:
    systems.contact("C-1", None, msdynce_isactivecustomer=True, address1_city="Bonn", address1_country="Germany")
    systems.account("A-1")
    systems.settle()
    (person,) = systems.held("ops", CUSTOMERS, CustomerAccount="C-1")
    assert person["AddressCountryRegionISOCode"] == "DE"
    delivery = {name for name, value in person.items() if name.startswith("DeliveryAddress") and value}
    assert delivery == {"DeliveryAddressValidFrom", "DeliveryAddressValidTo"}
    (organization,) = systems.held("ops", CUSTOMERS, CustomerAccount="A-1")
    assert organization["DeliveryAddressCountryRegionISOCode"] == "US"
    assert organization["DeliveryAddressDescription"] == "Account A-1"


def test_a_contact_that_changes_its_account_moves_to_the_other_customer_and_back(systems: Systems) -> None:
    first, other = systems.account("A-1"), systems.account("A-2")
    contact = systems.contact("C-1", first)
    systems.settle()
    systems.contact("C-1", other, contactid=contact["contactid"], jobtitle="Buyer")
    systems.settle()
    assert sorted(persons(systems)) == [("C-1", "A-1", "Yes"), ("C-1", "A-2", "No")]
    (moved,) = systems.held("ops", "CDSContactPersonsV2", AssociatedContactNumber="A-2")
    assert moved["EmploymentProfession"] == "Buyer"
    systems.contact("C-1", first, contactid=contact["contactid"])
    systems.settle()
    assert sorted(persons(systems)) == [("C-1", "A-1", "No"), ("C-1", "A-2", "Yes")]
    assert (systems.why("blocked"), systems.why("failed")) == ({}, {})


def test_an_inactive_contact_is_an_inactive_contact_person(systems: Systems) -> None:
    contact = systems.contact("C-1", systems.account("A-1"))
    systems.settle()
    systems.sales.put("contacts", {"contactid": contact["contactid"], "statecode": 1, "statuscode": 2})
    systems.settle()
    assert persons(systems) == [("C-1", "A-1", "Yes")]
    systems.sales.put("contacts", {"contactid": contact["contactid"], "statecode": 0, "statuscode": 1})
    systems.settle()
    assert persons(systems) == [("C-1", "A-1", "No")]
