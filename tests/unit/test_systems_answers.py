"""Sorting answers: pauses, error objects, kinds of errors, broken JSON."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.connectors import exact_json
from replicator.connectors.odata.answers import Answer, Complaint, complaint, error_of, hidden, json_object
from replicator.connectors.odata.retry_after import pause
from replicator.connectors.protocol import FieldProblem
from replicator.connectors.wire_values import to_decimal, to_integer
from replicator.errors import (
    AccessDenied,
    CredentialsRefused,
    ReplicatorError,
    RequestRefused,
    SystemUnavailable,
    Throttled,
    UnexpectedAnswer,
)

NOW = datetime(2024, 5, 6, 12, 0, 0, tzinfo=UTC)
HIDE = partial(hidden, secrets=())
JSON = {"content-type": "application/json; odata.metadata=minimal"}


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("17", 17),
        ("0", 0),
        (" 2.5 ", 2.5),
        ("Mon, 06 May 2024 12:00:45 GMT", 45),
        ("Mon, 06 May 2024 11:00:00 GMT", 0),
        (None, 30),
        ("", 30),
        ("soon", 30),
        ("-5", 30),
        ("nan", 30),
        ("Mon, 99 May 2024 12:00:45 GMT", 30),
    ],
)
def test_retry_after(header: str | None, seconds: float) -> None:
    assert pause(header, NOW, 900).seconds == seconds


@pytest.mark.parametrize("header", ["86400", "Tue, 07 May 2024 12:00:00 GMT"])
def test_an_absurd_pause_is_cut_and_said(header: str) -> None:
    found = pause(header, NOW, 900)
    assert (found.seconds, found.asked) == (900, 86400)
    assert "86400 s" in str(found)
    assert "900 s" in str(found)


@given(st.text(max_size=60))
def test_any_retry_after_is_a_pause_within_bounds(header: str) -> None:
    assert 0 <= pause(header, NOW, 900).seconds <= 900


def test_the_inner_message_is_preferred() -> None:
    body = b'{"error":{"code":"x","message":"An error","innererror":{"message":" Infolog: no ","type":"T"}}}'
    assert complaint(body, HIDE) == Complaint("x", "Infolog: no", "T")
    assert complaint(b'{"error":{"code":"","message":{"lang":"en","value":"words"}}}', HIDE) == Complaint("", "words")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":5}', b'{"error":{"message":["x"]}}'])
def test_no_error_object_is_no_complaint(body: bytes) -> None:
    assert complaint(body, HIDE) == Complaint()


@given(st.recursive(st.none() | st.text(max_size=5), lambda inner: st.dictionaries(st.text(max_size=9), inner)))
def test_any_error_object_can_be_kept_in_a_database(value: object) -> None:
    found = complaint(exact_json.dumps({"error": {"message": value, "innererror": value, "code": value}}), HIDE)
    found.message.encode()
    assert "\x00" not in found.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, UnexpectedAnswer),
        (400, RequestRefused),
        (401, CredentialsRefused),
        (403, AccessDenied),
        (404, RequestRefused),
        (408, SystemUnavailable),
        (413, RequestRefused),
        (429, Throttled),
        (500, SystemUnavailable),
        (503, SystemUnavailable),
    ],
)
def test_kinds_of_errors(status: int, kind: type[ReplicatorError]) -> None:
    body = b'{"error":{"code":"0x1","message":"no such thing"}}'
    error = error_of(Answer(status, {**JSON, "retry-after": "7"}, body), "sales: things", NOW, 900, HIDE)
    assert type(error) is kind
    assert "sales: things" in str(error)
    if isinstance(error, Throttled):
        assert error.retry_after == 7
    else:
        assert "0x1: no such thing" in str(error)


@pytest.mark.parametrize(("status", "kind"), [(404, UnexpectedAnswer), (503, SystemUnavailable), (403, AccessDenied)])
def test_a_page_of_a_proxy_is_no_refusal_and_told_as_such(status: int, kind: type[ReplicatorError]) -> None:
    error = error_of(Answer(status, {"content-type": "text/html"}, b"<h1>No</h1>"), "sales: things", NOW, 900, HIDE)
    assert type(error) is kind
    assert error.message == f"sales: things: {status}: text/html instead of JSON"
    assert error.hint


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 408, 413, 429, 500, 503])
def test_every_error_says_what_to_do_next(status: int) -> None:
    error = error_of(Answer(status, JSON, b"{}"), "sales: things", NOW, 900, HIDE)
    assert error is not None
    assert error.hint


def test_a_404_suspects_the_address_and_the_kind() -> None:
    error = error_of(Answer(404, JSON, b'{"error":{"code":"","message":"no"}}'), "sales: things", NOW, 900, HIDE)
    assert error is not None
    for word in ("url", "kind", "replicator check"):
        assert word in error.hint


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/html"}, b"<html>secret</html>"),
        ({}, b"{}"),
        (JSON, b""),
        (JSON, b'{"secret": [1, 2'),
        (JSON, b"[" * 100_000),
        (JSON, b'{"a":' * 100_000),
        (JSON, b"[1]"),
        (JSON, b'{"secret": "\xff"}'),
    ],
)
def test_what_is_not_a_json_object(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer) as caught:
        json_object(Answer(200, headers, body), "sales: things")
    assert "sales: things" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "url" in caught.value.hint


def test_json_that_is_nested_too_deeply_is_not_told_as_half_of_it() -> None:
    with pytest.raises(UnexpectedAnswer, match="nested too deeply"):
        exact_json.loads(b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "x")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("9" * 6000, "9999...9 is out of range"),
        ("-" + "9" * 6000, "9999...9 is out of range"),
        ("NaN", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e99999999999999999999", "Infinity is not a finite number"),
        ("-1e99999999999999999999", "-Infinity is not a finite number"),
        ("1E+9999999", "1E+9999999 is out of range"),
    ],
)
def test_a_number_that_no_field_can_hold_is_a_problem_of_its_field_alone(number: str, shown: str) -> None:
    row = exact_json.loads(f'{{"price": {number}, "name": "Lamp", "left": 0.10}}'.encode(), "x")
    assert (row["name"], row["left"]) == ("Lamp", Decimal("0.10"))
    with pytest.raises(FieldProblem) as caught:
        to_decimal("price")(row["price"])
    assert str(caught.value).startswith("price: ")
    assert str(caught.value).endswith(shown)
    with pytest.raises(FieldProblem, match=r"price: .* is (not an integer|out of range)"):
        to_integer("price")(row["price"])


@given(st.binary(max_size=200))
def test_any_body_is_json_or_unexpected(body: bytes) -> None:
    with contextlib.suppress(UnexpectedAnswer):
        exact_json.loads(body, "x")
