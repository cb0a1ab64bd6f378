"""What the answers to a batch mean for each write, with answers made by hand."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replicator.connectors.dataverse import Dataverse
from replicator.connectors.finops import FinOps
from replicator.connectors.kinds import settings_of
from replicator.connectors.odata.batch_outcomes import named_field
from replicator.connectors.odata.connector import ODataConnector
from replicator.connectors.odata.odata_settings import DataverseSettings
from replicator.connectors.protocol import (
    Applied,
    Image,
    Operation,
    Outcome,
    Postponed,
    Rejected,
    Stale,
    Unknown,
    Write,
)
from replicator.errors import AccessDenied, ReplicatorError, RequestRefused, Throttled, UnexpectedAnswer
from replicator.mapping.language import EntitySetSpec, SystemField

ID = UUID("0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d1a01")
OTHER = UUID("0a3f5d1e-52c1-4c0e-9a57-6f1c6f0d1a02")
Part = tuple[int, dict[str, Any] | None] | tuple[int, dict[str, Any] | None, dict[str, str]]

THINGS = EntitySetSpec(
    entity_set="things",
    description="",
    key=("id",),
    fields={"id": SystemField(type="uuid"), "colour": SystemField(), "owner": SystemField(type="reference", to=("p",))},
)
WARES = EntitySetSpec(
    entity_set="Wares",
    description="",
    key=("Area", "Number"),
    fields={"Area": SystemField(), "Number": SystemField(), "Colour": SystemField()},
)
LINES = EntitySetSpec(
    entity_set="Lines", description="", key=("Number",), fields={"Number": SystemField(), "Amount": SystemField()}
)


def thing(operation: Operation = "update", key: UUID = ID, **more: Any) -> Write:
    return Write(THINGS, operation, (key,), {"colour": "red"} if operation != "delete" else {}, **more)


def ware(operation: Operation = "update", **more: Any) -> Write:
    return Write(WARES, operation, ("a", "1"), {} if operation == "delete" else {"Colour": "red"}, **more)


def line(operation: Operation = "create") -> Write:
    return Write(LINES, operation, ("1",), {"Amount": "5"})


def error(message: str, code: str = "", /, **inner: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, **({"innererror": inner} if inner else {})}}


def http_part(part: Part) -> bytes:
    status, body, *more = part
    headers = "".join(f"{name}: {value}\r\n" for name, value in (more[0] if more else {}).items())
    content = b"" if body is None else json.dumps(body).encode()
    return (
        b"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        + f"HTTP/1.1 {status} Words\r\nContent-Type: application/json\r\n{headers}\r\n".encode()
        + content
    )


def multipart(*items: Part | Sequence[Part], boundary: str = "b") -> bytes:
    pieces = []
    for item in items:
        inner = http_part(item) if isinstance(item, tuple) else multipart(*item, boundary="inner")
        if not isinstance(item, tuple):
            inner = b"Content-Type: multipart/mixed; boundary=inner\r\n\r\n" + inner
        pieces.append(f"--{boundary}\r\n".encode() + inner + b"\r\n")
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def connector(kind: type[Dataverse | FinOps], *answers: bytes | httpx2.Response | Exception) -> ODataConnector:
    """A connector to a system that gives these answers, one a request."""
    left = list(answers)

    def handler(request: httpx2.Request) -> httpx2.Response:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return answer
        return httpx2.Response(200, headers={"Content-Type": "multipart/mixed; boundary=b"}, content=answer)

    reached = settings_of({"kind": "dataverse" if kind is Dataverse else "finops", "url": "https://x.test"})
    found = reached.connect("sales", transport=httpx2.MockTransport(handler))
    assert isinstance(found, kind)
    return found


def dataverse(write: Write, *answers: bytes | httpx2.Response | Exception) -> Outcome:
    ((outcome,),) = connector(Dataverse, *answers).apply([(write,)])
    return outcome


def finops(write: Write, *answers: bytes | httpx2.Response | Exception) -> Outcome:
    ((outcome,),) = connector(FinOps, *answers).apply([(write,)])
    return outcome


STORED = {"@odata.etag": 'W/"2"', "id": str(ID), "colour": "RED", "_owner_value": None}
WARE = {"@odata.etag": 'W/"2"', "Area": "a", "Number": "1", "Colour": "RED"}
GONE = error("things With Id = does not exist", "0x80040217")


def test_dataverse_applied_with_what_was_stored() -> None:
    expected = Applied({"id": ID, "colour": "RED", "owner": None}, 'W/"2"')
    assert dataverse(thing(), multipart((200, STORED))) == expected
    assert dataverse(thing("create"), multipart((201, STORED))) == expected
    assert dataverse(thing("delete"), multipart((204, None))) == Applied(None, None)


@pytest.mark.parametrize("body", [None, {"@odata.etag": 'W/"2"'}, {**STORED, "colour": 5}])
def test_applied_without_an_image_where_the_answer_has_none(body: dict[str, Any] | None) -> None:
    assert dataverse(thing(), multipart((204 if body is None else 200, body))) == Applied(None, None)


@pytest.mark.parametrize(
    ("write", "part", "kind"),
    [
        (thing(), (412, error("version")), Stale),
        (thing(), (404, GONE), Stale),
        (thing(), (404, error(f"things With Id = {ID} Does Not Exist")), Stale),
        (thing(), (404, error(f"p With Id = {OTHER} Does Not Exist")), Rejected),
        (thing(), (404, error("Resource not found for the segment 'things'.")), Rejected),
        (thing(), (412, error("A record with matching key values already exists.", "0x80040237")), Rejected),
        (thing("create"), (404, error(f"p With Id = {OTHER} Does Not Exist")), Rejected),
        (thing("delete"), (404, GONE), Applied),
        (thing("delete"), (404, error("Resource not found for the segment 'things'.")), Rejected),
        (thing("delete"), (405, error("associated with another object", "0x80040227")), Rejected),
        (thing("delete"), (412, error("version")), Stale),
        (thing(), (403, error("no privilege")), Rejected),
        (thing(), (500, error("oops")), Postponed),
        (thing(), (503, None), Postponed),
        (thing(), (500, error("not allowed", "0x80040265")), Rejected),
        (thing(), (302, None), Unknown),
    ],
)
def test_dataverse_outcomes(write: Write, part: Part, kind: type[Outcome]) -> None:
    outcome = dataverse(write, multipart(part))
    assert type(outcome) is kind
    if isinstance(outcome, Rejected):
        assert part[1] is not None
        assert (outcome.message, outcome.code) == (part[1]["error"]["message"], part[1]["error"]["code"])


def test_a_refused_create_is_looked_up() -> None:
    duplicate = multipart((412, error("A record with matching key values already exists.", "0x80040237")))
    assert isinstance(dataverse(thing("create"), duplicate, multipart((200, STORED))), Stale)
    refused = dataverse(thing("create"), duplicate, multipart((404, GONE)))
    assert refused == Rejected("A record with matching key values already exists.", "0x80040237")
    assert isinstance(dataverse(thing("create"), duplicate, httpx2.Response(503)), Stale)


@pytest.mark.parametrize(
    ("write", "part", "kind"),
    [
        (ware(), (412, error("version")), Stale),
        (ware(), (404, error("No resources were found when selecting for update.")), Stale),
        (ware(), (404, error("Resource not found for the segment 'Wares'.")), Rejected),
        (ware("delete"), (404, error("gone")), Applied),
        (ware(), (400, error("bad", message="Infolog: bad")), Rejected),
        (ware(), (500, error("e", message="validateField failed", type="X.AxODataWriteException")), Rejected),
        (ware(), (500, error("e", message="Object reference", type="System.NullReferenceException")), Postponed),
        (ware(), (503, None), Postponed),
    ],
)
def test_finops_outcomes(write: Write, part: Part, kind: type[Outcome]) -> None:
    read: list[Part] = [] if write.operation == "delete" else [(200, WARE)]
    assert type(finops(write, multipart([part], *read))) is kind
    assert type(finops(write, multipart(part, *read))) is kind  # the error of a change set may come without its frame


def test_finops_reads_what_an_update_stored() -> None:
    image: Image = {"Area": "a", "Number": "1", "Colour": "RED"}
    assert finops(ware(), multipart([(204, None)], (200, WARE))) == Applied(image, 'W/"2"')
    assert finops(ware(), multipart([(204, None)], (500, None))) == Applied(None, None)
    assert finops(ware(), multipart([(204, None)])) == Applied(None, None)
    assert finops(ware("create"), multipart([(201, WARE)])) == Applied(image, 'W/"2"')


def test_finops_duplicate() -> None:
    duplicate = multipart([(400, error("e", message="Infolog: The record already exists.."))])
    assert isinstance(finops(ware("create"), duplicate, multipart((200, WARE))), Stale)
    assert isinstance(finops(ware("create"), duplicate, multipart((404, error("gone")))), Rejected)


def test_throttled_parts_carry_the_pause() -> None:
    assert dataverse(thing(), multipart((429, error("slow"), {"Retry-After": "7"}))) == Postponed(
        "the system is throttling and asks for a pause of 7 s", 7
    )
    assert isinstance(finops(ware(), multipart([(429, None)], (200, WARE))), Postponed)


@pytest.mark.parametrize("status", [429, 503])
def test_a_pause_that_one_part_asks_for_holds_up_all_writes_and_no_reading(status: int) -> None:
    system = connector(Dataverse, multipart((status, error("slow"), {"Retry-After": "7"})), multipart((200, STORED)))
    [[outcome]] = system.apply([(thing(),)])
    assert isinstance(outcome, Postponed)
    assert outcome.retry_after == 7
    with pytest.raises(Throttled):
        system.apply([(thing(),)])
    assert system.fetch(THINGS, [(ID,)]) == [STORED]


LOST = [httpx2.ReadTimeout("x"), httpx2.Response(503), httpx2.Response(200, text="<html>"), b"--b\r\n", b""]


@pytest.mark.parametrize("answer", [*LOST, multipart((200, STORED), (200, STORED))])
def test_an_answer_that_is_lost_or_not_understood_is_unknown(answer: bytes | httpx2.Response | Exception) -> None:
    assert isinstance(dataverse(thing("create"), answer), Unknown)


def test_what_was_never_sent_is_postponed() -> None:
    assert isinstance(dataverse(thing("create"), httpx2.ConnectError("x")), Postponed)


@pytest.mark.parametrize(("status", "kind"), [(429, Throttled), (401, AccessDenied), (400, RequestRefused)])
def test_a_request_refused_as_a_whole_raises(status: int, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        dataverse(thing(), httpx2.Response(status, json=error("no")))


def test_one_bad_of_many() -> None:
    sent = [(thing(key=UUID(int=number)),) for number in range(5)]
    answer = multipart((200, STORED), (200, STORED), (400, error("'colour' is bad", "0x1")), (200, STORED))
    found = [outcome for (outcome,) in connector(Dataverse, answer).apply(sent)]
    assert [type(outcome) for outcome in found] == [Applied, Applied, Rejected, Applied, Unknown]
    assert found[2] == Rejected("'colour' is bad", "0x1", "colour")


def test_a_unit_is_applied_as_a_whole_or_not_at_all() -> None:
    unit = (thing(), thing(key=OTHER))
    swapped = multipart([(200, {**STORED, "colour": "2"}, {"Content-ID": "2"}), (200, STORED, {"Content-ID": "1"})])
    ((first, second),) = connector(Dataverse, swapped).apply([unit])
    assert isinstance(first, Applied)
    assert isinstance(second, Applied)
    assert (first.image or {})["colour"] == "RED"
    assert (second.image or {})["colour"] == "2"
    for answer in (
        multipart([(400, error("no"), {"Content-ID": "2"})]),
        multipart((400, error("no"), {"Content-ID": "2"})),
        multipart([(204, None, {"Content-ID": "1"}), (400, error("no"), {"Content-ID": "2"})]),
    ):
        assert connector(Dataverse, answer).apply([unit]) == [[Rejected(""), Rejected("no")]]
    assert [type(o) for o in connector(Dataverse, multipart([(412, error("x"))])).apply([unit])[0]] == [
        Stale,
        Postponed,
    ]
    assert [type(o) for o in connector(Dataverse, multipart((200, STORED))).apply([unit])[0]] == [Unknown, Unknown]


def test_a_delete_of_what_is_gone_holds_its_unit_back() -> None:
    found = connector(Dataverse, multipart([(404, GONE, {"Content-ID": "1"})])).apply(
        [(thing("delete"), thing("update"))]
    )
    assert [type(outcome) for outcome in found[0]] == [Stale, Postponed]


def test_blame_goes_to_the_write_that_has_the_field() -> None:
    """One system names the first write of a change set, whichever of them failed."""
    words = error("e", message="Warning: validateField failed on field 'LineEntity.Amount'.")
    ((first, second),) = connector(FinOps, multipart((500, words, {"Content-ID": "1"}))).apply(
        [(ware("create"), line())]
    )
    assert isinstance(first, Postponed)  # a bare 500 is an outage ...
    words["error"]["innererror"]["type"] = "AxODataWriteException"
    refused, gone = multipart((500, words, {"Content-ID": "1"})), multipart((404, error("gone")))
    ((first, second),) = connector(FinOps, refused, gone).apply([(ware("create"), line())])
    assert first == Rejected("")
    assert second == Rejected("Warning: validateField failed on field 'LineEntity.Amount'.", "", "Amount", unsure=True)


def test_a_value_that_cannot_be_sent_rejects_its_unit_and_no_other() -> None:
    bad = Write(THINGS, "update", (OTHER,), {"colour": "a\x00"})
    found = connector(Dataverse, multipart((200, STORED))).apply([(bad,), (thing(),), ()])
    assert isinstance(found[0][0], Rejected)
    assert found[0][0].field == "colour"
    assert isinstance(found[1][0], Applied)
    assert found[2] == []
    assert isinstance(dataverse(thing(etag='W/"1"\r\nX: y')), Rejected)


def test_fetch() -> None:
    answer = multipart((200, STORED), (404, GONE), (200, STORED))
    keys = [(ID,), (OTHER,), (ID,)]
    assert connector(Dataverse, answer).fetch(THINGS, keys) == [STORED, None, STORED]
    assert connector(Dataverse).fetch(THINGS, []) == []


@pytest.mark.parametrize(
    "answer",
    [
        multipart((404, error("Resource not found for the segment 'things'."))),
        multipart((404, None)),
        multipart((403, error("no"))),
        multipart((500, None)),
        multipart([(200, STORED)]),
        multipart(),
        multipart((429, None)),
    ],
)
def test_fetch_never_takes_a_failure_for_an_absent_record(answer: bytes) -> None:
    with pytest.raises(ReplicatorError):
        connector(Dataverse, answer).fetch(THINGS, [(ID,)])


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("The length of the 'colour' attribute of the 'things' entity exceeded", "colour"),
        ("An undeclared property '_owner_value' which", "owner"),
        ("the property 'owner@odata.bind'", "owner"),
        ("The value 'Colour' in field 'things.owner' is not found", "owner"),
        ("validateField failed on field 'TheThing.Colour'.", "colour"),
        ("Required field 'colour' isn't there, says 'Bob'", "colour"),
        ("the colour is wrong", "colour"),
        ("the owner is wrong", None),
        ("the id of 'Bob' doesn't count", None),
        ("", None),
    ],
)
def test_the_field_a_message_names(message: str, field: str | None) -> None:
    assert named_field(message, THINGS, ["colour"]) == field


def test_prepared_requests_of_dataverse() -> None:
    seen: list[bytes] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.content)
        assert request.headers["prefer"] == "odata.continue-on-error"
        return httpx2.Response(503)

    reached = DataverseSettings(kind="dataverse", url="https://x.test")
    Dataverse("sales", reached, transport=httpx2.MockTransport(handler)).apply(
        [(thing("create"),), (thing(etag='W/"1"'), thing("delete"))]
    )
    text = seen[0].decode()
    select = "?$select=id,colour,_owner_value"
    root = "https://x.test/api/data/v9.2/things"
    assert f"PATCH {root}({ID}){select} HTTP/1.1\r\nAccept: application/json\r\nPrefer: return=representation" in text
    assert "If-None-Match: *\r\n" in text
    assert 'If-Match: W/"1"\r\n' in text
    assert f"DELETE {root}({ID}) HTTP/1.1\r\n\r\n" in text
    assert len(re.findall(r"multipart/mixed; boundary=\"changeset_", text)) == 1


@pytest.mark.parametrize("kind", [Dataverse, FinOps])
@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([200, 204, 400, 404, 412, 429, 500, 302]), st.binary(max_size=40)), max_size=4)
)
def test_any_parts_give_outcomes_and_raise_nothing_strange(
    kind: type[Dataverse | FinOps], parts: list[tuple[int, bytes]]
) -> None:
    body = b"".join(b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 %d\r\n\r\n%b\r\n" % part for part in parts)
    write = thing() if kind is Dataverse else ware()
    unit = (write, write)
    ((first, second),) = connector(kind, body + b"--b--\r\n").apply([unit])
    assert isinstance(first, Applied) == isinstance(second, Applied)
    with contextlib.suppress(ReplicatorError):
        connector(kind, body + b"--b--\r\n").fetch(write.entity_set, [write.key])


def read(kind: type[Dataverse | FinOps], entity_set: EntitySetSpec, answer: Callable[[], httpx2.Response]) -> None:
    list(connector(kind, answer(), answer()).read(entity_set, None))


@settings(deadline=None)
@given(st.binary(max_size=80))
def test_any_page_is_read_or_raises_nothing_strange(body: bytes) -> None:
    for kind, entity_set in ((Dataverse, THINGS), (FinOps, WARES)):
        with contextlib.suppress(UnexpectedAnswer):
            answer = lambda: httpx2.Response(200, headers={"Content-Type": "application/json"}, content=body)  # noqa: E731
            read(kind, entity_set, answer)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx2.Response(200, headers={"Content-Type": "text/html"}, text="<html>"), "text/html, not multipart/mixed"),
        (b"--b\r\nContent-Type: application/http\r\n\r\n", "cut"),
    ],
)
def test_an_answer_that_is_no_batch_names_the_system_and_says_what_to_do(
    answer: bytes | httpx2.Response, words: str
) -> None:
    outcome = dataverse(thing(), answer)
    assert isinstance(outcome, Unknown)
    for part in ("sales: batch of 1: ", words, "check the system's url"):
        assert part in outcome.message
