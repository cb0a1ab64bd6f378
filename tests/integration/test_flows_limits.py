"""What does not fit a target: decimal places, lengths as the target counts them; and text constants of the files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.mapping.compiled import Compiled, compile_folder
from replicator.mapping.language import SystemField
from replicator.mapping.literals import beginning, length_of
from tests.fixtures.hub import SCHEMA, migrated
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

TWO = "places: 2}"
CHANGES = {
    "ops/CustomersV3.yaml": [
        ("CreditLimit: {type: decimal, empty: 0}", f"CreditLimit: {{type: decimal, empty: 0, {TWO}")
    ],
    "ops/CDSSalesQuotationLines.yaml": [
        ("SalesQuantity: {type: decimal, empty: 0}", f"SalesQuantity: {{type: decimal, empty: 0, {TWO}"),
        ("SalesPrice: {type: decimal, empty: 0}", f"SalesPrice: {{type: decimal, empty: 0, {TWO}"),
        ("SalesPrice: price", "SalesPrice: {copy: price, round: 2}"),
    ],
}
EMOJI = "😀"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's schema; ops keeps two decimal places of some numbers, and one of them is rounded."""
    folder = tmp_path_factory.mktemp("limits") / "schema"
    shutil.copytree(SCHEMA, folder)
    for name, changes in CHANGES.items():
        text = (folder / name).read_text(encoding="utf-8")
        for old, new in changes:
            assert text.count(old) == 1
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Compiled:
    return compile_folder(folder)


@pytest.fixture(scope="module")
def template(server_url: str, compiled: Compiled, folder: Path) -> Iterator[str]:
    """A migrated database with that schema."""
    with migrated(server_url, compiled, folder) as name:
        yield name


@pytest.fixture(autouse=True)
def reference_data(systems: Systems) -> None:
    systems.reference_data()


def customers(systems: Systems) -> dict[str, dict[str, Any]]:
    return {row["CustomerAccount"]: row for row in systems.ops.records("CustomersV3")}


def failed(systems: Systems) -> list[tuple[str, str, str]]:
    rows = systems.rows("select record, state, reason from sync.failed")
    return [(row["record"], row["state"], row["reason"]) for row in rows]


def test_a_number_with_more_places_than_the_target_keeps_is_rejected_by_name_and_its_neighbours_go_on(
    systems: Systems,
) -> None:
    for number, limit in {"A-1": "10.5", "A-2": "10.125", "A-3": "10.500"}.items():
        systems.account(number, creditlimit=float(limit))
    systems.settle()
    assert set(customers(systems)) == {"A-1", "A-3"}
    words = "CreditLimit: 10.125 has 3 decimal places, at most 2 fit; say 'round: 2'"
    assert failed(systems) == [("A-2", "rejected", words)]


def test_a_number_is_rounded_where_the_map_says_so_else_its_quote_is_rejected_by_the_line(systems: Systems) -> None:
    systems.product("P-1")
    systems.once()
    account = systems.account("A-1")
    for number, quantity in {"Q-1": 2.25, "Q-2": 2.125}.items():
        quote = systems.quote(number, account, [])
        systems.line(quote, 1, "P-1", priceperunit=10.125, quantity=quantity)
    systems.settle()
    (line,) = systems.ops.records("CDSSalesQuotationLines")
    assert (line["SalesQuotationNumber"], str(line["SalesPrice"])) == ("Q-1", "10.13")
    [(record, state, reason)] = failed(systems)
    assert (record, state) == ("Q-2", "rejected")
    assert "1: RequestedSalesQuantity: 2.125 has 3 decimal places" in reason


def test_a_length_counts_as_the_target_does_and_no_character_is_cut_in_half(systems: Systems) -> None:
    systems.account("A-1", name=EMOJI * 50)
    systems.account("A-2", name=EMOJI * 51)
    systems.account("A-3", name="a" + EMOJI * 49 + "b")
    systems.settle()
    found = customers(systems)
    assert found["A-1"]["OrganizationName"] == EMOJI * 50, "100 units, as many as fit"
    assert found["A-3"]["AddressDescription"] == "a" + EMOJI * 29, "60 units would end in the middle of a character"
    assert found["A-2"]["OrganizationName"] == EMOJI * 50
    assert found["A-2"]["DeliveryAddressDescription"] == EMOJI * 30
    assert failed(systems) == []


def test_a_text_that_is_not_cut_is_told_by_the_length_that_the_target_counts(systems: Systems) -> None:
    systems.account("A-1", address1_postalcode=EMOJI * 5)
    systems.account("A-2", address1_postalcode=EMOJI * 6)
    systems.settle()
    assert set(customers(systems)) == {"A-1"}
    [(record, state, reason)] = failed(systems)
    assert (record, state) == ("A-2", "rejected")
    assert "AddressZipCode: 12 characters, at most 10 fit" in reason


def test_a_unit_group_in_other_capitals_is_the_unit_group_of_the_files(systems: Systems) -> None:
    (group,) = systems.sales.records("uomschedules")
    systems.sales.put("uomschedules", {"uomscheduleid": group["uomscheduleid"], "name": " Default UNIT "})
    systems.product("P-1")
    systems.settle()
    assert [row["productnumber"] for row in systems.sales.records("products")] == ["P-1"]
    assert systems.why("not_eligible") == {}


texts = st.text(st.sampled_from("aé漢" + EMOJI), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=texts, units=st.integers(1, 14))
def test_the_hub_cuts_texts_as_utf_16_counts_them(connection: sa.Connection, text: str, units: int) -> None:
    field = SystemField()
    asked = sa.select(sa.func.sync.utf16_length(text), sa.func.sync.utf16_left(text, units))
    length, cut = connection.execute(asked).one()
    connection.rollback()
    assert length == length_of(text, field) == len(text.encode("utf-16-le")) // 2
    assert cut == beginning(text, units, field)
    assert text.startswith(cut)
    assert length_of(cut, field) <= units
    assert cut == text or length_of(text[: len(cut) + 1], field) > units
