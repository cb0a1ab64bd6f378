"""Fields between JSON and typed values."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.connectors import dataverse, exact_json, finops, wire_values
from replicator.connectors.json_rows import JsonRow
from replicator.connectors.protocol import FieldProblem, Reference
from replicator.connectors.quick_rows import Column
from replicator.mapping.language import EntitySetSpec, SystemField

ID = UUID("0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d1a01")


def field(kind: str, **more: Any) -> SystemField:
    return SystemField.model_validate({"type": kind, **more})


def spec(**fields: SystemField) -> EntitySetSpec:
    return EntitySetSpec(entity_set="things", description="", key=("id",), fields=fields)


@pytest.mark.parametrize(
    ("kind", "wire", "typed"),
    [
        ("text", "Ærø", "Ærø"),
        ("text", "", None),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", Decimal("12.0"), 12),
        ("decimal", 3, Decimal(3)),
        ("decimal", Decimal("0.1000000001"), Decimal("0.1000000001")),
        ("decimal", 2**60 + 1, Decimal(2**60 + 1)),
        ("boolean", False, False),
        ("date", "2024-02-29", datetime.date(2024, 2, 29)),
        ("date", "2024-02-29T23:30:00-02:00", datetime.date(2024, 3, 1)),
        ("timestamp", "2024-02-29T12:00:00Z", datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)),
        ("timestamp", "2024-02-29T12:00:00+02:00", datetime.datetime(2024, 2, 29, 10, tzinfo=datetime.UTC)),
        ("uuid", str(ID).upper(), ID),
        ("uuid", ID.hex, ID),
    ],
)
def test_values_of_dataverse(kind: str, wire: object, typed: object) -> None:
    found = dataverse.converter("f", field(kind))(wire)
    assert found == typed
    assert type(found) is type(typed)
    assert dataverse.converter("f", field(kind))(None) is None


@pytest.mark.parametrize(
    ("kind", "wire"),
    [
        ("text", "a\x00b"),
        ("text", "half \ud800 character"),
        ("text", 5),
        ("integer", 2**63),
        ("integer", Decimal("1.5")),
        ("integer", Decimal("1E+400")),
        ("integer", True),
        ("integer", "5"),
        ("decimal", "5"),
        ("decimal", True),
        ("decimal", Decimal("NaN")),
        ("decimal", Decimal("-Infinity")),
        ("decimal", Decimal("1E+2000")),
        ("decimal", Decimal("1E-2000")),
        ("decimal", Decimal("0." + "1" * 2000)),
        ("boolean", "true"),
        ("boolean", 1),
        ("date", "2024-02-30"),
        ("date", "2024-W01-1"),
        ("date", 20240101),
        ("timestamp", "yesterday"),
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("uuid", "0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d1axx"),
        ("uuid", "0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d-1a0"),
    ],
)
def test_values_that_do_not_fit(kind: str, wire: object) -> None:
    with pytest.raises(FieldProblem) as caught:
        dataverse.converter("f", field(kind))(wire)
    assert caught.value.field == "f"


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (Decimal("1E+5000"), "f: 1E+5000 is out of range"),
        (True, "f: true is not a number"),
        ([1, None], "f: [1, null] is not a number"),
        ("Taquería \ud800", r"f: 'Taquería \ud800' is not a number"),
        ("a" * 500, f"f: '{'a' * 95}...' is not a number"),
    ],
)
def test_a_value_that_does_not_fit_is_told_in_words_for_people(wire: object, words: str) -> None:
    with pytest.raises(FieldProblem) as caught:
        wire_values.to_decimal("f")(wire)
    assert str(caught.value) == words


@given(st.uuids())
def test_the_fast_way_to_a_guid_gives_the_same(value: UUID) -> None:
    found = wire_values.to_uuid("f")(str(value))
    assert found == value
    assert hash(found) == hash(value)
    assert str(found) == str(value)


def test_declared_empty_values_read_as_nothing_and_are_written_for_it() -> None:
    things = spec(n=field("integer", empty=0), t=field("text", empty="-"), b=field("boolean", empty="No"))
    assert finops.encoded(things, {"n": None, "t": None, "b": None}) == {"n": 0, "t": "-", "b": "No"}
    row = {"n": 0, "t": "-", "b": "No", "@odata.etag": 'W/"1"'}
    columns = [wire_values.column(name, name, f, finops.converter(name, f)) for name, f in things.fields.items()]
    decode = wire_values.row_decoder(columns)
    assert decode(row) == [None, None, None, 'W/"1"']


def test_dates_and_symbols_of_finops() -> None:
    things = spec(d=field("date"), s=field("timestamp"), b=field("boolean"))
    reference = field("reference", to=["x"]).pointing_at("text")
    things = things.model_copy(update={"fields": {**things.fields, "r": reference}})
    empty = "1900-01-01T12:00:00Z"
    assert finops.encoded(things, {"d": None, "s": None, "b": None, "r": None}) == {
        "d": empty,
        "s": empty,
        "b": None,
        "r": None,
    }
    noon = datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    given = {"d": datetime.date(2024, 5, 6), "s": noon, "b": True, "r": Reference("x", ("A1",))}
    assert finops.encoded(things, given) == {
        "d": "2024-05-06T12:00:00Z",
        "s": "2024-05-06T05:08:09Z",
        "b": "Yes",
        "r": "A1",
    }
    assert finops.converter("d", things.fields["d"])(empty) is None
    assert finops.converter("s", things.fields["s"])("1900-01-01T00:00:00Z") is None
    assert finops.converter("d", things.fields["d"])("2024-05-06T12:00:00Z") == datetime.date(2024, 5, 6)
    assert finops.converter("b", things.fields["b"])("No") is False
    with pytest.raises(FieldProblem):
        finops.converter("b", things.fields["b"])("Maybe")


def test_references_of_dataverse_are_written_through_their_navigation_property() -> None:
    things = spec(one=field("reference", to=["a"]), many=field("reference", to={"a": "many_a", "b": "many_b"}))
    assert dataverse.encoded(things, {"one": Reference("a", (ID,)), "many": Reference("b", (ID,))}) == {
        "one@odata.bind": f"/a({ID})",
        "many_b@odata.bind": f"/b({ID})",
    }
    assert dataverse.encoded(things, {"one": None, "many": None}) == {
        "one@odata.bind": None,
        "many_a@odata.bind": None,
    }
    assert dataverse.encoded(things, {"one": ID}) == {"one@odata.bind": f"/a({ID})"}
    for wrong in (Reference("c", (ID,)), ID, "text"):
        with pytest.raises(FieldProblem):
            dataverse.encoded(things, {"many": wrong})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 1),
        ("text", "\x00"),
        ("integer", True),
        ("decimal", Decimal("NaN")),
        ("date", datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)),
        ("timestamp", datetime.date(2024, 1, 1)),
        ("uuid", "x"),
    ],
)
def test_values_that_cannot_be_written(kind: str, value: object) -> None:
    for encoded in (dataverse.encoded, finops.encoded):
        with pytest.raises(FieldProblem):
            encoded(spec(f=field(kind)), {"f": value})
        with pytest.raises(FieldProblem):
            encoded(spec(f=field(kind)), {"undeclared": value})


def test_a_field_that_stays_away_is_a_problem_not_an_empty_field() -> None:
    decode = wire_values.row_decoder([Column("n", "n", wire_values.to_text("n"), "text")])
    with pytest.raises(FieldProblem, match=r"^n: is missing in the answer$"):
        decode({"@odata.etag": 'W/"1"'})


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10), st.integers())
def test_numbers_survive_json_exactly(number: Decimal, integer: int) -> None:
    back = exact_json.loads(exact_json.dumps({"d": number, "i": integer}), "")
    assert (back["d"], back["i"]) == (number, integer)
    assert str(back["d"]) == str(number)


KINDS = ("text", "integer", "decimal", "boolean", "date", "timestamp", "uuid")
JSON_VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-(2**64), 2**64), st.text(),
    st.decimals(allow_nan=False, allow_infinity=False), st.just("\x00"), st.just("\ud800"), st.just({}), st.just([1]),
    st.sampled_from(["", "Yes", "No", "2027-01-31", "2027-01-31T00:00:00Z", "2027-01-31T23:00:00+05:00", str(ID),
                     ID.hex, "12", "12.50", Decimal("1.0"), Decimal("1E+400"), Decimal("-0"), Decimal("1E+5000")]),
)  # fmt: skip


@pytest.mark.parametrize("system", [dataverse, finops])
@given(
    row=st.fixed_dictionaries({}, optional=dict.fromkeys(KINDS, JSON_VALUES)), etag=st.sampled_from([None, "", "v", 5])
)
def test_a_row_in_its_bytes_is_decoded_as_a_row_of_values(system: Any, row: dict[str, object], etag: object) -> None:
    columns = [
        wire_values.column(kind, kind, field(kind), system.converter(kind, field(kind)), symbols=system is finops)
        for kind in KINDS
    ]
    decode = wire_values.row_decoder(columns)
    raw = exact_json.dumps({**row, "@odata.etag": etag})

    def result(given: Any) -> object:
        try:
            return [(type(value), str(value)) for value in decode(given)]
        except FieldProblem as problem:
            return str(problem)

    assert result(JsonRow(raw, "a page")) == result(exact_json.loads(raw, "a page"))


@pytest.mark.parametrize("declared", [{"type": "text", "empty": "-"}, {"type": "integer", "empty": 0},
                                      {"type": "date", "empty": "1900-01-01"}])  # fmt: skip
@pytest.mark.parametrize("value", ["-", 0, "1900-01-01", "1900-01-01T12:00:00Z", "", None, "x", 7, "2027-01-31"])
def test_a_value_that_stands_for_nothing_does_so_in_a_row_in_its_bytes_too(declared: Any, value: object) -> None:
    spec = SystemField.model_validate(declared)
    decode = wire_values.row_decoder([wire_values.column("f", "f", spec, finops.converter("f", spec), symbols=True)])
    raw = exact_json.dumps({"f": value})

    def result(given: Any) -> object:
        try:
            return decode(given)
        except FieldProblem as problem:
            return str(problem)

    assert result(JsonRow(raw, "a page")) == result(exact_json.loads(raw, "a page"))
