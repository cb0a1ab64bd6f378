"""A reconciliation finds what differs, exactly that, says what it is, and mends it by the path of every change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest

from replicator.cli.reconcile import lines
from replicator.connectors.protocol import Connector, Page
from replicator.errors import SystemUnavailable, Terminal
from replicator.operate.reconciliation import ReconcileResult, Reconciliation, concerned
from tests.fixtures.planted import double, keys, silently, vanish
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

UNIT = "00000000-0000-4000-8000-0000000000bb"


def reconcile(systems: Systems, *, repair: bool = False, entity: str | None = None) -> ReconcileResult:
    found = Reconciliation(systems.cycle.world, systems.connection, entity).run(repair=repair, limit=1000)
    assert systems.problems.found == []
    return found


def told(found: ReconcileResult) -> set[tuple[str, str, str]]:
    """Kind, entity set and number; of a record whose source is gone, the target's own key has the number."""
    return {
        (
            row["kind"],
            row["where"],
            row["key"].split(",")[1] if row["kind"] == "extra" else row["record"].strip().upper(),
        )
        for row in found.records
    }


def in_step(systems: Systems, number: int) -> None:
    """So many accounts, contacts, products and quotes on both sides, and no difference."""
    systems.reference_data()
    systems.sales.put("uoms", {"uomid": UNIT, "name": "pcs", "_uomscheduleid_value": None})
    for n in range(number):
        systems.product(f"P-{n}")
    systems.once()
    for n in range(number):
        account = systems.account(f"A-{n}")
        systems.contact(f"C-{n}", account)
        systems.quote(f"Q-{n}", account, [f"P-{n}", f"P-{(n + 1) % number}"], requestdeliveryby="2026-12-24")
    systems.settle()


def balance(systems: Systems) -> list[dict[str, object]]:
    return systems.rows("select * from sync.unexplained")


def plant(systems: Systems) -> set[tuple[str, str, str]]:
    """37 differences: what each is to be found as. Nothing but a whole look at both systems can show most of them."""
    sales, ops = systems.sales, systems.ops
    customers, headers = keys(ops, "CustomersV3", "CustomerAccount"), keys(ops, HEADERS, "SalesQuotationNumber")
    persons = keys(ops, PERSONS, "ContactPersonPartyNumber")
    products = keys(sales, "products", "productnumber")
    contacts = keys(sales, "contacts", "msdynce_contactnumber")
    wanted: list[tuple[str, str, str]] = []
    for n in range(4):
        vanish(ops, PERSONS, persons[f"C-{n}"])
        wanted.append(("missing", f"ops.{PERSONS}", f"C-{n}"))
    for n in range(3):
        vanish(sales, "products", products[f"P-{n + 200}"])
        wanted.append(("missing", "sales.products", f"P-{n + 200}"))
    for n in range(6):
        vanish(sales, "contacts", contacts[f"C-{n + 10}"])
        wanted.append(("extra", f"ops.{PERSONS}", f"C-{n + 10}"))
    for n in range(4):
        silently(ops, "CustomersV3", customers[f"A-{n + 20}"], OrganizationName="Somebody else")
        wanted.append(("different", "ops.CustomersV3", f"A-{n + 20}"))
    for n in range(3):
        silently(sales, "products", products[f"P-{n + 20}"], name="Something else", isstockitem=False)
        wanted.append(("different", "sales.products", f"P-{n + 20}"))
    for n in range(3):
        silently(ops, HEADERS, headers[f"Q-{n + 30}"], RequestingCustomerAccountNumber="A-1")
        wanted.append(("wrong parent", f"ops.{HEADERS}", f"Q-{n + 30}"))
        silently(sales, "products", products[f"P-{n + 30}"], _defaultuomid_value=UNIT)
        wanted.append(("wrong parent", "sales.products", f"P-{n + 30}"))
    for n in range(5):
        copy = f"00000000-0000-4000-8000-00000000000{n}"
        double(sales, "products", products[f"P-{n + 40}"], copy, productid=copy, productnumber=f" p-{n + 40} ")
        wanted.append(("duplicate", "sales.products", f"P-{n + 40}"))
    for n in range(6):
        ops.put("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": f"A-{n + 50}", "CreditLimit": 99})
        wanted.append(("stale", "ops.CustomersV3", f"A-{n + 50}"))
    return set(wanted)


PERSONS, HEADERS = "CDSContactPersonsV2", "CDSSalesQuotationHeaders"


def test_it_finds_exactly_the_37_differences_planted_among_thousands_of_records(systems: Systems) -> None:
    in_step(systems, 250)
    before = systems.writes()
    assert reconcile(systems).in_step
    assert balance(systems) == []
    planted = plant(systems)
    assert len(planted) == 37
    found = reconcile(systems)
    assert systems.writes() == before, "looking sends nothing"
    assert told(found) == planted
    assert found.differences == Counter(kind for kind, _, _ in planted)
    assert not found.unlinked
    assert found.explained == {"reported": 4}, "quotes that are left out, for sales lost products of their lines"
    mended = reconcile(systems, repair=True)
    heard_of = found.differences | {"different": found.differences["different"] + found.differences["stale"]}
    assert mended.differences == {kind: count for kind, count in heard_of.items() if kind != "stale"}
    assert mended.left == {"duplicate": 5}, "a person has to decide which of two stays"
    again = reconcile(systems)
    assert (again.differences, again.explained) == ({"duplicate": 5}, {"reported": 4})
    assert balance(systems) == []
    assert len(systems.held("ops", "CustomersV3", OrganizationName="Somebody else")) == 0
    assert len(systems.held("ops", PERSONS, IsInactive="Yes")) == 6


def small(systems: Systems) -> None:
    in_step(systems, 3)


def customer(systems: Systems, number: str) -> str:
    return keys(systems.ops, "CustomersV3", "CustomerAccount")[number]


def test_a_difference_shows_both_values_the_version_and_what_will_mend_it(systems: Systems) -> None:
    small(systems)
    systems.ops.put(
        "CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": "Somebody else"}
    )
    (row,) = reconcile(systems).records
    assert row["fields"] == {"OrganizationName": {"held": "Somebody else", "wanted": "Account A-1"}}
    assert (row["kind"], row["entity"], row["where"], row["key"]) == ("stale", "account", "ops.CustomersV3", "usmf,A-1")
    assert row["version"]["known"] != row["version"]["now"]
    assert row["repair"] == "the target's fields are written"


def test_it_tells_what_the_whole_read_showed_that_was_not_known(systems: Systems) -> None:
    small(systems)
    silently(systems.sales, "accounts", keys(systems.sales, "accounts", "accountnumber")["A-1"], name="Unheard of")
    systems.once()
    assert systems.held("ops", "CustomersV3", OrganizationName="Unheard of") == [], "no token shows it"
    found = reconcile(systems)
    news = {row["entity_set"]: row["changed"] for row in found.read if row["new"] or row["changed"] or row["gone"]}
    assert news == {"sales.accounts": 1}
    differ = {(row["kind"], row["record"]) for row in found.records}
    assert differ == {("different", "A-1"), ("different", "Q-1")}, "the customer and its quotation bear the name"


def test_one_entity_is_compared_with_its_parts_and_nothing_else(systems: Systems) -> None:
    small(systems)
    silently(systems.ops, "CustomersV3", customer(systems, "A-1"), OrganizationName="Somebody else")
    lines = keys(systems.ops, "CDSSalesQuotationLines", "SalesQuotationNumber")
    silently(systems.ops, "CDSSalesQuotationLines", lines["Q-1"], SalesPrice=1)
    found = reconcile(systems, entity="quote")
    assert [(row["kind"], row["where"]) for row in found.records] == [("different", "ops.CDSSalesQuotationLines")]
    with pytest.raises(Terminal, match="there is no entity 'nonsense'"):
        concerned(systems.cycle.world.compiled, "nonsense")


def test_what_a_row_explains_is_told_apart_and_left_alone(systems: Systems) -> None:
    small(systems)
    systems.account("A-9", address1_country="Atlantis")
    systems.quote("Q-9", systems.account("A-8"), ["P-1"], statecode=0, statuscode=1)
    found = reconcile(systems)
    assert found.differences == {"missing": 1}
    assert found.explained == {"rejected": 1, "not eligible": 1}
    mended = reconcile(systems, repair=True)
    assert (mended.left, mended.explained) == ({}, {"rejected": 1, "not eligible": 1})
    assert mended.in_step
    assert balance(systems) == []


def test_what_was_reported_of_a_target_is_repaired(systems: Systems) -> None:
    """Of a customer that is gone there ``once`` told, and did nothing."""
    small(systems)
    systems.account("A-9")
    systems.settle()
    systems.ops.delete("CustomersV3", "A-9")
    systems.once()
    found = reconcile(systems)
    assert (found.differences, found.explained) == ({}, {"reported": 1})
    assert any("reconcile --repair" in line for line in lines(found))
    mended = reconcile(systems, repair=True)
    assert (mended.repaired, mended.left, mended.explained) == (1, {}, {})
    assert "repaired: 1; left: none" in list(lines(mended))
    assert customer(systems, "A-9")


def test_a_repair_says_what_is_paused(systems: Systems) -> None:
    small(systems)
    systems.run("select sync.pause('ops')")
    systems.sales.put(
        "accounts", {"accountid": keys(systems.sales, "accounts", "accountnumber")["A-1"], "telephone1": "7"}
    )
    found = reconcile(systems, repair=True)
    assert found.left == {"different": 1}
    assert "paused: ops; nothing of it is mended until: replicator resume 'ops'" in list(lines(found))


def test_what_a_repair_cannot_mend_is_left_with_the_reason(systems: Systems) -> None:
    small(systems)
    silently(systems.ops, "CustomersV3", customer(systems, "A-1"), OrganizationName="Other", CustomerGroupId="")
    found = reconcile(systems, repair=True)
    assert found.left == {"different": 1}
    (row,) = found.left_records
    assert (row["record"], row["state"]) == ("A-1", "rejected")
    assert "'Customer group' must be filled in" in row["reason"]
    assert not found.in_step


def test_records_of_a_target_that_were_never_paired_are_told_apart_and_not_touched(systems: Systems) -> None:
    small(systems)
    systems.ops.put("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "OWN-1", "OrganizationName": "Ours"})
    found = reconcile(systems, repair=True)
    assert found.in_step
    assert found.unlinked == [{"entity_set": "ops.CustomersV3", "records": 1, "parted": 0}]
    assert [row["system_key"] for row in found.unlinked_records] == ["usmf,OWN-1"]
    assert len(systems.held("ops", "CustomersV3", CustomerAccount="OWN-1")) == 1


def test_records_whose_delete_was_rejected_are_told_apart(systems: Systems) -> None:
    systems.reference_data()
    made = [systems.account(f"A-{number}") for number in range(10)]
    systems.settle()
    for account in made[:7]:
        systems.sales.delete("accounts", account["accountid"])
    assert reconcile(systems).held_deletes == {"sales.accounts": 7}
    systems.rows("select sync.reject()")
    found = reconcile(systems)
    assert (found.held_deletes, found.rejected_deletes) == ({}, {"sales.accounts": 7})
    assert found.in_step


def test_a_free_record_with_the_key_of_a_new_one_is_paired_before_anything_is_sent(systems: Systems) -> None:
    small(systems)
    systems.ops.put("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "A-7", "CustomerGroupId": "10"})
    systems.account("A-7")
    found = reconcile(systems)
    assert found.differences == {"unpaired": 1}
    assert not found.unlinked
    assert reconcile(systems, repair=True).in_step
    assert len(systems.held("ops", "CustomersV3", CustomerAccount="A-7")) == 1


def test_a_second_record_that_takes_the_key_of_a_renumbered_one_is_a_duplicate(systems: Systems) -> None:
    small(systems)
    products = keys(systems.sales, "products", "productnumber")
    silently(systems.sales, "products", products["P-1"], productnumber="RENAMED")
    double(systems.sales, "products", products["P-1"], UNIT, productid=UNIT, productnumber="P-1")
    found = reconcile(systems)
    assert [(row["kind"], row["record"]) for row in found.records] == [("duplicate", "P-1")]
    assert not found.unlinked


def test_a_lost_mark_is_found_by_the_balance_and_mended(systems: Systems) -> None:
    small(systems)
    account = keys(systems.sales, "accounts", "accountnumber")["A-1"]
    systems.sales.put("accounts", {"accountid": account, "telephone1": "0228 1"})
    systems.cycle.read()
    systems.cycle.merge()
    systems.run("delete from sync.delivery")
    assert [row["record"] for row in balance(systems)] == ["A-1"]
    reconcile(systems, repair=True)
    assert balance(systems) == []


class Unreadable:
    """A connector that cannot be read."""

    def __init__(self, inner: Connector) -> None:
        self.inner = inner

    def read(self, *_: object) -> Iterator[Page]:
        raise SystemUnavailable("ops: nobody answers")

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


def test_an_unreadable_entity_set_is_told_and_nothing_of_it_is_lost(systems: Systems) -> None:
    small(systems)
    world = systems.cycle.world
    unreadable = cast("Connector", Unreadable(world.connectors["ops"]))
    broken = replace(world, connectors={**world.connectors, "ops": unreadable})
    found = Reconciliation(broken, systems.connection).run(repair=False, limit=10)
    assert {row["entity_set"] for row in found.not_read} == {
        str(each) for each in systems.cycle.world.compiled.schema.sets_of("ops")
    }
    assert (found.in_step, found.transient, found.differences) == (False, True, {})
