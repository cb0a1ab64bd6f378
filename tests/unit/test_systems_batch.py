"""Building and taking apart ``$batch`` bodies."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.connectors.odata.batch import (
    ChangeSet,
    Item,
    Part,
    build,
    content_ids,
)
from replicator.connectors.odata.batch import parse as parsed
from replicator.connectors.odata.part_answers import ChangeSetAnswer, ItemAnswer, PartAnswer
from replicator.errors import UnexpectedAnswer

GOOD = (
    b"--b 1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: W/"7"\r\n\r\n{"n":"\xc3\xa9\r\n"}\r\n'
    b'--b 1\r\nContent-Type: multipart/mixed; boundary="c=1"\r\n\r\n'
    b"--c=1\r\nContent-Type: application/http\r\nContent-ID: 2\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n\r\n"
    b"--c=1\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 201\r\nContent-ID: 3\r\n\r\n\r\n"
    b"--c=1--\r\n"
    b"--b 1--\r\n"
)


ONE = Part("GET", "https://x/a(1)")
ITEMS: list[Item] = [ONE, ChangeSet((ONE, ONE))]


def parse(content_type: str, body: bytes) -> list[ItemAnswer]:
    return parsed(content_type, body, ITEMS)


def test_every_request_has_its_own_content_id() -> None:
    one, two = Part("DELETE", "https://x/a(1)"), Part("PATCH", "https://x/a(2)", {"If-Match": "*"}, b'{"n":1}')
    items: list[Item] = [one, ChangeSet((one, two)), two]
    assert content_ids(items) == [("1",), ("2", "3"), ("4",)]
    content_type, body = build(items)
    assert content_type.startswith('multipart/mixed; boundary="batch_')
    for number in range(1, 5):
        assert body.count(b"Content-ID: %d\r\n" % number) == 1
    assert b"PATCH https://x/a(2) HTTP/1.1\r\nIf-Match: *\r\nContent-Type: application/json\r\n" in body


def test_a_built_batch_is_well_formed_multipart() -> None:
    content_type, body = build([ChangeSet((Part("GET", "https://x/a"),)), Part("GET", "https://x/b")])
    with pytest.raises(UnexpectedAnswer, match="no status line"):  # well-formed, but requests are no answers
        parse(content_type, body)


@pytest.mark.parametrize("bad", ["a\r\nX-Evil: 1", "a\x00", "ä"])
def test_a_header_cannot_break_out_of_its_line(bad: str) -> None:
    with pytest.raises(ValueError, match="does not belong"):
        build([Part("PATCH", "https://x/a", {"If-Match": bad})])


@pytest.mark.parametrize("content_type", ['multipart/mixed; boundary="b 1"', "multipart/mixed;boundary='b 1'"])
def test_quoted_boundaries(content_type: str) -> None:
    if "'" in content_type:  # single quotes are no quotes: they belong to the boundary
        with pytest.raises(UnexpectedAnswer):
            parse(content_type, GOOD)
        return
    first, second = parse(content_type, GOOD)
    assert first == PartAnswer(200, {"content-type": "application/json", "etag": 'W/"7"'}, b'{"n":"\xc3\xa9\r\n"}')
    assert isinstance(second, ChangeSetAnswer)
    assert [(part.status, part.content_id, part.body) for part in second.parts] == [(204, "2", b""), (201, "3", b"")]


def test_unquoted_boundary_and_bare_line_feeds() -> None:
    body = b"--response_1\nContent-Type: application/http\n\nHTTP/1.1 404 Not Found\nA: b\n\n{}\n--response_1--\n"
    (part,) = parse("multipart/mixed; boundary=response_1", body)
    assert part == PartAnswer(404, {"a": "b"}, b"{}")


@pytest.mark.parametrize("end", range(0, len(GOOD) - 4, 7))
def test_a_cut_answer_is_unexpected(end: int) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse('multipart/mixed; boundary="b 1"', GOOD[:end])


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(0, len(GOOD)), st.integers(0, 60))
def test_damaged_answers_raise_nothing_but_unexpected_answer(junk: bytes, place: int, cut: int) -> None:
    with contextlib.suppress(UnexpectedAnswer):
        parse('multipart/mixed; boundary="b 1"', GOOD[:place] + junk + GOOD[place + cut :])


@settings(deadline=None)
@given(st.text(max_size=80), st.binary(max_size=200))
def test_foreign_content_types_raise_nothing_but_unexpected_answer(content_type: str, body: bytes) -> None:
    for kind in (content_type, f"multipart/mixed; boundary={content_type}"):
        with contextlib.suppress(UnexpectedAnswer):
            parse(kind, body)


JSON = "application/json; odata.metadata=minimal"


def responses(*rows: dict[str, object]) -> bytes:
    return json.dumps({"responses": rows}).encode()


def test_an_answer_in_json_is_told_by_the_ids_in_any_order() -> None:
    one = {"id": "1", "status": 200, "headers": {"ETag": "e"}, "body": {"n": 1.10}}
    two = {"id": "2", "status": 204, "atomicityGroup": "g"}
    three = {"id": "3", "status": 201, "atomicityGroup": "g", "body": {}}
    first, second = parse(JSON, responses(three, one, two))
    assert first == PartAnswer(200, {"etag": "e"}, b'{"n":1.1}', "1")
    assert isinstance(second, ChangeSetAnswer)
    assert [(part.status, part.content_id) for part in second.parts] == [(204, "2"), (201, "3")]


def test_an_answer_in_json_without_our_ids_is_told_by_the_order_and_the_groups() -> None:
    one = {"id": "a", "status": 404, "body": {"error": {"message": "none"}}}
    two, three = ({"id": name, "status": 204, "atomicityGroup": "g"} for name in "bc")
    first, second = parse(JSON, responses(one, two, three))
    assert isinstance(first, PartAnswer)
    assert first.status == 404
    assert isinstance(second, ChangeSetAnswer)
    assert len(second.parts) == 2


def test_an_answer_in_json_that_ends_early_has_fewer_parts() -> None:
    (only,) = parse(JSON, responses({"id": "1", "status": 500}))
    assert only == PartAnswer(500, {}, b"", "1")


def test_a_preamble_and_an_epilogue_are_no_parts() -> None:
    assert len(parse('multipart/mixed; boundary="b 1"', b"Preamble\r\n\r\n" + GOOD + b"Epilogue\r\n")) == 2


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["responses", "id", "status", "headers", "body", "atomicityGroup"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_raises_nothing_but_unexpected_answer(value: object) -> None:
    with contextlib.suppress(UnexpectedAnswer):
        parse(JSON, json.dumps({"responses": value}).encode())
