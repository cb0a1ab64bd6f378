"""Whatever a system or a proxy before it sends: each parser gives a value or an error of its own, and nothing else."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.connectors import connect, dataverse, exact_json, finops
from replicator.connectors.kinds import settings_of
from replicator.connectors.odata.answers import Answer, complaint, error_of, hidden, json_object
from replicator.connectors.protocol import Connector, FieldProblem, Page
from replicator.errors import ReplicatorError, UnexpectedAnswer
from replicator.mapping.language import EntitySetSpec, FieldType, SystemField

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
HIDE = partial(hidden, secrets=())
TYPES: list[FieldType] = ["text", "integer", "decimal", "boolean", "date", "timestamp", "uuid"]
THINGS = EntitySetSpec.model_validate(
    {"entity_set": "things", "description": "", "key": ["thingid"],
     "fields": {"thingid": {"type": "uuid"}, "name": {}, "price": {"type": "decimal"}}}
)  # fmt: skip
ID = "0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d1a01"
DELTA = "http://localhost/api/data/v9.2/things?$deltatoken=7"
texts = st.text(max_size=12) | st.sampled_from(["", "\x00", "\ud800", ID, "1900-01-01T00:00:00Z", DELTA, "/things"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
odd_entries = st.fixed_dictionaries(
    {},
    optional={
        "@odata.context": st.sampled_from(["#things/$deletedEntity", "x/$deletedEntity", ""]) | json_values,
        "@removed": json_values, "id": st.sampled_from([ID, f"things({ID})"]) | json_values,
        "@odata.id": json_values, "@odata.etag": json_values, "thingid": json_values, "name": json_values,
    },
)  # fmt: skip
pages = st.fixed_dictionaries(
    {"value": st.lists(odd_entries | json_values, max_size=3) | json_values},
    optional={
        "@odata.nextLink": st.just(DELTA) | json_values,
        "@odata.deltaLink": st.sampled_from([DELTA, "http://elsewhere/x", "/api/data/v9.2/things"]) | json_values,
    },
)


def as_json(value: object) -> bytes:
    """JSON as a careless system writes it: lone surrogates and NaN come through."""
    return exact_json.dumps(value) if _is_plain(value) else repr(value).encode("utf-8", "backslashreplace")


def _is_plain(value: object) -> bool:
    try:
        exact_json.dumps(value)
    except ValueError:
        return False
    return True


def outcome(work: Callable[[Any], object], of: object) -> object:
    """What it gives, or the error of our own that it raises."""
    try:
        return work(of)
    except (ReplicatorError, FieldProblem) as problem:
        return problem


def connector(kind: str, answer: Callable[[httpx2.Request], httpx2.Response], **more: Any) -> Connector:
    settings = settings_of({"kind": kind, "url": "http://localhost", "pages_per_read": 3, **more})
    return connect("system", settings, transport=httpx2.MockTransport(answer), clock=lambda: NOW)


def token_of_things() -> str:
    """A token as the connector makes it."""
    page = {"value": [], "@odata.deltaLink": DELTA}
    reader = connector("dataverse", lambda request: httpx2.Response(200, json=page))
    (only,) = reader.read(THINGS, None)
    assert only.token is not None
    return only.token


TOKEN = token_of_things()


@given(pages, st.booleans(), st.sampled_from(["dataverse", "finops"]))
def test_any_page_or_delta_page_is_read_or_refused(page: dict[str, object], changes: bool, kind: str) -> None:
    body = as_json(page)
    reader = connector(
        kind, lambda request: httpx2.Response(200, headers={"Content-Type": "application/json"}, content=body)
    )
    decode = reader.decoder(THINGS)
    with contextlib.suppress(UnexpectedAnswer, FieldProblem):
        for found in reader.read(THINGS, TOKEN if changes and kind == "dataverse" else None):
            assert isinstance(found, Page)
            assert all(isinstance(key, UUID) for key in found.deleted)
            for row in found.rows:
                decode(row)


@pytest.mark.parametrize("kind", TYPES)
@given(json_values)
def test_any_json_value_fits_a_field_or_is_a_problem_of_that_field(kind: FieldType, value: object) -> None:
    field = SystemField(type=kind)
    for make in (dataverse.converter, finops.converter):
        found = outcome(lambda convert: convert(value), make("f", field))
        assert not isinstance(found, FieldProblem) or found.field == "f"
        if isinstance(found, str):  # a database can hold it
            assert "\x00" not in found
            found.encode()


@given(json_values, st.sampled_from([200, 204, 302, 400, 401, 403, 404, 408, 412, 413, 429, 500, 502, 503]))
def test_any_error_body_gives_words_that_can_be_kept(value: object, status: int) -> None:
    for body in (as_json(value), as_json({"error": value}), as_json({"error": {"message": value, "code": value}})):
        words = complaint(body, HIDE)
        for text in (words.code, words.message):
            text.encode()
            assert "\x00" not in text
        error = error_of(Answer(status, {"content-type": "application/json"}, body), "things", NOW, 900, HIDE)
        assert error is None or isinstance(error, ReplicatorError)


@given(st.binary(max_size=120), st.text(max_size=20))
def test_any_body_of_any_kind_is_an_object_or_unexpected(body: bytes, kind: str) -> None:
    with contextlib.suppress(UnexpectedAnswer):
        assert isinstance(json_object(Answer(200, {"content-type": kind}, body), "things"), dict)


ISSUER = "https://login.example.com/token"
LOGIN = {"kind": "client_credentials", "token_url": ISSUER, "client_id": "me", "client_secret": "s3cret-", "scope": "x"}


@given(
    st.sampled_from([200, 302, 400, 401, 403, 429, 500]),
    st.binary(max_size=60) | json_values.map(as_json) | st.fixed_dictionaries(
        {}, optional={"access_token": json_values, "expires_in": json_values, "error": json_values,
                      "error_description": st.just("s3cret-") | json_values, "token_type": json_values}
    ).map(as_json),
)  # fmt: skip
def test_any_answer_of_a_token_issuer_is_a_token_or_an_error_without_the_secret(status: int, body: bytes) -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if str(request.url) == ISSUER:
            return httpx2.Response(status, headers={"Content-Type": "application/json"}, content=body)
        return httpx2.Response(200, json={"value": []})

    reader = connector("dataverse", answer, url="https://system.example.com", auth=LOGIN)
    found = outcome(lambda asked: list(asked.read(THINGS, None)), reader)
    assert "s3cret-" not in str(found)
    reader.close()
