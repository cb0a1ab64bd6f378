"""Addresses of records."""

from __future__ import annotations

import datetime
from decimal import Decimal
from urllib.parse import unquote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.connectors.dataverse import Dataverse
from replicator.connectors.finops import FinOps
from replicator.connectors.odata.addresses import literal, record_path
from replicator.connectors.odata.odata_settings import DataverseSettings, FinOpsSettings
from replicator.connectors.protocol import FieldProblem
from replicator.mapping.language import EntitySetSpec, SystemField
from replicator.mapping.literals import from_text

ID = UUID("0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d1a01")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", "7"), ("reference", "A-1"), ("integer", 7), ("decimal", Decimal("1.50")), ("boolean", True),
        ("boolean", False), ("uuid", ID), ("date", datetime.date(2024, 5, 6)),
        ("timestamp", datetime.datetime(2024, 5, 6, 12, tzinfo=datetime.UTC)),
    ],
)  # fmt: skip
def test_a_stored_key_is_read_back_with_its_type(kind: str, value: object) -> None:
    found = from_text(kind, str(value))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("us/mf", "'us%2Fmf'"),
        ("O'Hara & Söhne", "'O''Hara%20%26%20S%C3%B6hne'"),
        ("", "''"),
        (7, "7"),
        (-7, "-7"),
        (Decimal("1E+2"), "100"),
        (True, "true"),
        (ID, str(ID)),
        (datetime.date(2024, 5, 6), "2024-05-06"),
        (datetime.datetime(2024, 5, 6, 12, tzinfo=datetime.UTC), "2024-05-06T12%3A00%3A00Z"),
    ],
)
def test_literals(value: object, text: str) -> None:
    assert literal("f", value) == text


@pytest.mark.parametrize("value", [None, "a\x00", "\ud800", 1.5])
def test_what_cannot_be_a_key(value: object) -> None:
    with pytest.raises(FieldProblem):
        literal("f", value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_texts_survive(text: str) -> None:
    assert unquote(literal("f", text)) == "'" + text.replace("'", "''") + "'"


def test_a_single_guid_stands_alone() -> None:
    assert record_path("things", {"id": str(ID)}) == f"things({ID})"
    assert record_path("things", {"id": literal("id", str(ID))}) == f"things(id='{ID}')"
    assert record_path("things", {"a": "'x'", "b": "1"}) == "things(a='x',b=1)"


def test_addresses_of_both_systems() -> None:
    things = EntitySetSpec(
        entity_set="things",
        description="",
        key=("a", "b"),
        fields={
            "a": SystemField(),
            "s": SystemField(enum="Colour"),
            "b": SystemField(type="boolean"),
            "c": SystemField(type="date"),
            "r": SystemField(type="reference", to=("others",)),
        },
    )
    finops = FinOps("ops", FinOpsSettings(kind="finops", url="https://ops.test/"))
    namespace = "Microsoft.Dynamics.DataEntities"
    assert finops.record_url(things, {"a": "x", "s": "Red", "b": True, "c": datetime.date(2024, 5, 6)}) == (
        f"https://ops.test/data/things(a='x',s={namespace}.Colour'Red',b={namespace}.NoYes'Yes',"
        "c=2024-05-06T12%3A00%3A00Z)?cross-company=true&$select=a,s,b,c,r"
    )
    sales = Dataverse("sales", DataverseSettings(kind="dataverse", url="https://sales.test/api/data/v9.2"))
    assert sales.record_url(things, {"r": ID, "a": "x"}) == (
        f"https://sales.test/api/data/v9.2/things(_r_value={ID},a='x')?$select=a,s,b,c,_r_value"
    )
    finops.close()
    sales.close()
