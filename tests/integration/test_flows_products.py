"""Products: from ops to sales, with the reference data they need there."""

from __future__ import annotations

import datetime
from typing import Any

import httpx2
import pytest

from replicator.sandbox.description import describe
from replicator.sandbox.system import Options
from tests.fixtures.world import Systems


def sales_products(systems: Systems) -> dict[str, dict[str, Any]]:
    """The products of sales by number."""
    return {row["productnumber"]: row for row in systems.sales.records("products")}


def euro(systems: Systems) -> None:
    """A second currency in sales."""
    currency = systems.sales.put("transactioncurrencies", {"isocurrencycode": "EUR", "currencyname": "Euro"})
    systems.ids["EUR"] = currency["transactioncurrencyid"]


def price_list(systems: Systems, name: str) -> dict[str, Any]:
    """A price list of sales by its name."""
    (found,) = systems.held("sales", "pricelevels", name=name)
    return found


def test_a_product_of_a_second_currency_waits_for_a_price_list_of_it(systems: Systems) -> None:
    systems.reference_data()
    euro(systems)
    systems.product("P-1")
    systems.product("P-2", CurrencyCode="EUR")
    systems.settle()
    assert set(sales_products(systems)) == {"P-1"}
    assert systems.why("blocked")["P-2"].startswith("pricelevels with transactioncurrencyid 'EUR'")
    systems.price_list("Standard EUR", "EUR")
    systems.settle()
    assert set(sales_products(systems)) == {"P-1", "P-2"}
    assert sales_products(systems)["P-2"]["_transactioncurrencyid_value"] == systems.ids["EUR"]
    assert systems.why("blocked") == {}


def test_a_product_takes_the_alphabetically_first_active_price_list_of_its_currency(systems: Systems) -> None:
    systems.reference_data()
    euro(systems)
    for name in ("Zeta EUR", "Beta EUR", "Alpha EUR"):
        systems.price_list(name, "EUR")
    inactive = price_list(systems, "Alpha EUR")["pricelevelid"]
    systems.sales.put("pricelevels", {"pricelevelid": inactive, "statecode": 1, "statuscode": 100002})
    systems.product("P-1", CurrencyCode="EUR")
    systems.settle()
    assert sales_products(systems)["P-1"]["_pricelevelid_value"] == price_list(systems, "Beta EUR")["pricelevelid"]


def test_a_new_first_price_list_takes_over(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    systems.price_list("A list", "USD")
    systems.settle()
    assert sales_products(systems)["P-1"]["_pricelevelid_value"] == price_list(systems, "A list")["pricelevelid"]


def test_a_product_whose_unit_sales_does_not_know_waits_and_says_for_which(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1", SalesUnitSymbol="box")
    systems.settle()
    assert systems.why("blocked") == {"P-1": "unit with code 'box'"}
    (group,) = systems.sales.records("uomschedules")
    systems.sales.put("uoms", {"name": "box", "_uomscheduleid_value": group["uomscheduleid"]})
    systems.settle()
    assert set(sales_products(systems)) == {"P-1"}
    assert systems.why("blocked") == {}


def test_a_product_whose_currency_sales_does_not_know_waits_and_says_for_which(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1", CurrencyCode="EUR")
    systems.settle()
    assert systems.why("blocked") == {"P-1": "currency with code 'EUR'"}
    euro(systems)
    systems.price_list("Standard EUR", "EUR")
    systems.settle()
    assert set(sales_products(systems)) == {"P-1"}


def test_everything_that_is_missing_is_said_at_once(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1", CurrencyCode="EUR", SalesUnitSymbol="box")
    systems.settle()
    assert systems.why("blocked") == {"P-1": "unit with code 'box'; currency with code 'EUR'"}


def test_a_product_of_a_company_that_is_not_configured_says_so(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1", dataAreaId="demf")
    systems.settle()
    assert sales_products(systems) == {}
    assert systems.why("blocked") == {"P-1": "organization with company 'demf'"}


def test_a_product_that_sales_has_already_is_matched_by_its_number_and_corrected(systems: Systems) -> None:
    systems.reference_data()
    (group,) = systems.sales.records("uomschedules")
    systems.sales.put("products", {
        "productnumber": "p-1", "name": "Old name", "_defaultuomid_value": systems.ids["ea"],
        "_defaultuomscheduleid_value": group["uomscheduleid"], "_transactioncurrencyid_value": systems.ids["USD"],
        "statecode": 1, "statuscode": 2,
    })  # fmt: skip
    systems.product("P-1")
    systems.settle()
    (product,) = systems.sales.records("products")
    assert product["name"] == "Product P-1"
    assert product["msdynce_ismaintainedexternally"] is True
    assert product["statecode"] == 1, "written on create only"


@pytest.mark.parametrize(("in_ops", "in_sales"), [("Item", 1), ("Service", 3)])
def test_the_kind_of_a_product_is_translated(systems: Systems, in_ops: str, in_sales: int) -> None:
    systems.reference_data()
    systems.product("P-1", ProductType=in_ops)
    systems.settle()
    assert sales_products(systems)["P-1"]["producttypecode"] == in_sales


def test_a_product_arrives_active_and_maintained_externally(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1", IsStockedProduct="No", SalesPrice=12.5)
    systems.settle()
    product = sales_products(systems)["P-1"]
    assert (product["statecode"], product["msdynce_ismaintainedexternally"]) == (0, True)
    assert (product["price"], product["isstockitem"]) == (12.5, False)


def test_a_name_too_long_for_sales_is_cut_as_declared(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1", ProductName="x" * 150)
    systems.settle()
    assert sales_products(systems)["P-1"]["name"] == "x" * 100


def test_a_unit_of_another_group_that_has_the_same_name_is_in_nobody_s_way(systems: Systems) -> None:
    systems.reference_data()
    other = systems.sales.put("uomschedules", {"name": "Services"})
    twin = "0f9619ff-8b86-4011-b42d-00c04fc964ff"
    systems.sales.put("uoms", {"name": "ea", "_uomscheduleid_value": other["uomscheduleid"], "uomid": twin})
    systems.product("P-1")
    systems.settle()
    (product,) = systems.sales.records("products")
    assert product["_defaultuomid_value"] == systems.ids["ea"] != twin
    assert systems.why("not_eligible") == {
        "ea": "unit ea is of the group Services; products have units of the group Default unit"
    }


WITHHELD = {"pricelevelid@odata.bind", "statecode", "statuscode"}


def written(systems: Systems) -> list[dict[str, Any]]:
    """What was sent to products, write by write."""
    return [sent.body for sent in systems.wire["sales"].sent if "/products(" in sent.address]


def state(systems: Systems, number: str = "P-1") -> tuple[int, int]:
    """State and status of a product of sales."""
    found = sales_products(systems)[number]
    return found["statecode"], found["statuscode"]


def test_what_a_create_does_not_take_follows_in_a_second_write(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    create, update = written(systems)
    assert WITHHELD & set(create) == set()
    assert set(update) == WITHHELD
    assert state(systems) == (0, 1), "published"
    (listed,) = systems.sales.records("pricelevels")
    assert sales_products(systems)["P-1"]["_pricelevelid_value"] == listed["pricelevelid"]
    assert systems.rows("select field, sent, stored from sync.amended") == []


def test_the_state_that_followed_a_create_is_left_to_sales_afterwards(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    systems.sales.put("products", {"productnumber": "P-1", "statecode": 1, "statuscode": 2})
    systems.product("P-1", ProductName="Another name")
    systems.settle()
    assert state(systems) == (1, 2), "a product that sales retired stays retired"
    assert set(written(systems)[-1]) == {"name"}


@pytest.mark.parametrize("options", [{"sales": Options(active_at_once=True)}])
def test_only_what_the_create_did_not_take_follows_it(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    assert set(written(systems)[1]) == {"pricelevelid@odata.bind"}
    assert state(systems) == (0, 1)
    assert systems.rows("select * from sync.accepted") == []
    systems.sales.put("products", {"productnumber": "P-1", "statecode": 1, "statuscode": 2})
    systems.settle()
    assert state(systems) == (1, 2)


def test_what_follows_a_create_is_not_forgotten_with_a_lost_answer(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems.reference_data()
    systems.product("P-1")
    wire = systems.wire["sales"]
    answer = wire.handle_request
    lost: list[httpx2.Request] = []

    def lose(request: httpx2.Request) -> httpx2.Response:
        response = answer(request)
        if request.method == "POST" and not lost:
            lost.append(request)
            raise httpx2.ReadError("the line is dead")
        return response

    monkeypatch.setattr(wire, "handle_request", lose)
    systems.once()
    assert lost
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    systems.run("select set_config('sync.now', :now, false)", now=later.isoformat())
    systems.settle()
    assert state(systems) == (0, 1)
    assert len(systems.sales.records("products")) == 1


@pytest.mark.parametrize("options", [{"sales": Options(lenient=True)}])
def test_what_never_arrives_is_shown_as_such(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    systems.reference_data()
    systems.product("P-1")
    for name in ("statecode", "statuscode"):
        monkeypatch.setitem(describe("sales").entity_sets["products"].fields[name].__dict__, "write", "create")
    systems.settle()
    assert state(systems) == (2, 0)
    shown = systems.rows("select field, sent, stored from sync.amended order by field")
    assert [tuple(row.values()) for row in shown] == [("statecode", "0", "2"), ("statuscode", "1", "0")]
    assert len(written(systems)) == 2
