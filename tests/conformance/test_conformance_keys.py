"""Keys whose characters an address may lose: the record is reached, or the outcome says which is in the way."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx2
import pytest

from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Applied, Connector, Key, Rejected, Stale, Write
from tests.conformance.cases import Case

NO_ROUTE = {"Message": "No HTTP resource was found that matches the request URI."}
KEYS = [
    "105E11/74N",
    "A\\B",
    "A+B",
    "50% off",
    "A#B",
    "A&B",
    "A?B",
    "O'Neil",
    "A*",
    "A:B",
    "/",
    "<A>",
    "A/B+C\\D",
]
Way = Callable[[bytes], bytes]
line = re.compile(rb"^(GET|PATCH|DELETE) (\S+) (HTTP/1\.1)", re.MULTILINE)
once, twice = re.compile(rb"%(2F|5C|2B)", re.IGNORECASE), re.compile(rb"%25(2F|5C|2B)", re.IGNORECASE)


def decoded_first(path: bytes) -> bytes:
    """As the web server of Finance and Operations: encoded once is no route, encoded twice is the record."""
    return b"/data/NoRoute" if once.search(twice.sub(b"", path)) else twice.sub(rb"%\1", path)


def decoded_once(path: bytes) -> bytes:
    """As a service that decodes but once: what is encoded twice is another record."""
    return b"/data/NoRoute" if twice.search(path) else path


def never(path: bytes) -> bytes:
    """As a service that takes none of them."""
    return b"/data/NoRoute" if once.search(path) or twice.search(path) else path


class Door(httpx2.BaseTransport):
    """A web server before the system that does so with the address of each part of a batch."""

    def __init__(self, inner: httpx2.BaseTransport, way: Way) -> None:
        self.inner, self.way = inner, way
        self.requests = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests += 1

        def seen(found: re.Match[bytes]) -> bytes:
            path, mark, rest = found[2].partition(b"?")
            return b"%s %s%s%s %s" % (found[1], self.way(path), mark, rest, found[3])

        content = line.sub(seen, request.read())
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        return self.inner.handle_request(httpx2.Request(request.method, request.url, headers=headers, content=content))


def behind(case: Case, way: Way) -> tuple[Connector, Door]:
    door = Door(case.wire, way)
    return settings_of({"kind": "finops", "url": "https://ops.test"}).connect("ops", transport=door), door


def create(case: Case, key: Key) -> Write:
    return Write(case.main, "create", key, {"OrganizationName": "Name", "CustomerGroupId": "10"})


@pytest.mark.parametrize("text", KEYS)
@pytest.mark.parametrize("way", [decoded_first, decoded_once])
def test_a_record_is_reached_whatever_characters_its_key_has(ops: Case, text: str, way: Way) -> None:
    connector, door = behind(ops, way)
    key = ("usmf", text)
    connector.apply([(create(ops, key),)])
    ((outcome,),) = connector.apply([(Write(ops.main, "update", key, {"OrganizationName": "New"}),)])
    assert isinstance(outcome, Applied)
    assert outcome.image is not None
    assert outcome.image["OrganizationName"] == "New"
    (row,) = connector.fetch(ops.main, [key])
    assert row is not None
    assert row["CustomerAccount"] == text
    before = door.requests
    ((outcome,),) = connector.apply([(Write(ops.main, "delete", key),)])
    assert outcome == Applied(None, None)
    assert door.requests == before + 1  # what was found out is kept
    assert connector.fetch(ops.main, [key]) == [None]


def test_a_record_that_no_address_reaches_is_rejected_with_the_character(ops: Case) -> None:
    connector, _ = behind(ops, never)
    key, other = ("usmf", "105E11/74N"), ("usmf", "A-1")
    connector.apply([(create(ops, key),), (create(ops, other),)])
    changes = [(Write(ops.main, "update", each, {"OrganizationName": "New"}),) for each in (key, other)]
    (slash,), (plain,) = connector.apply(changes)
    assert isinstance(slash, Rejected)
    assert "its key holds /" in slash.message
    assert isinstance(plain, Applied)
    ((deleted,),) = connector.apply([(Write(ops.main, "delete", key),)])
    assert isinstance(deleted, Rejected)
    (row,) = connector.fetch(ops.main, [key])  # and what a filter shows is read all the same
    assert row is not None


@pytest.mark.parametrize("way", [decoded_first, decoded_once, never])
def test_a_record_that_is_gone_is_gone_whatever_characters_its_key_had(ops: Case, way: Way) -> None:
    connector, _ = behind(ops, way)
    key = ("usmf", "A/B+C")
    ((updated,),) = connector.apply([(Write(ops.main, "update", key, {"OrganizationName": "New"}),)])
    ((deleted,),) = connector.apply([(Write(ops.main, "delete", key),)])
    assert type(updated) is Stale
    assert deleted == Applied(None, None)
    assert connector.fetch(ops.main, [key]) == [None]


def test_a_wildcard_in_a_key_finds_no_other_record(ops: Case) -> None:
    connector, _ = behind(ops, decoded_first)
    for text in ("AB", "A*", "AC"):
        connector.apply([(create(ops, ("usmf", text)),)])
    (row,) = connector.fetch(ops.main, [("usmf", "A*")])
    assert row is not None
    assert row["CustomerAccount"] == "A*"
    assert connector.fetch(ops.main, [("usmf", "B*")]) == [None]
