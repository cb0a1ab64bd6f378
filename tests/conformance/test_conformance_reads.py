"""Every connector reads: whole, in pages, what changed, by key, and never takes half a read for a whole one."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import httpx2
import pytest

from replicator.connectors.protocol import FieldProblem, Page
from replicator.errors import (
    AccessDenied,
    ReplicatorError,
    RequestRefused,
    SystemUnavailable,
    Throttled,
    TokenExpired,
    UnexpectedAnswer,
)
from replicator.sandbox.system_options import Client, Options, Throttle
from tests.conformance.cases import Case, Fault, spec, text

JSON = {"Content-Type": "application/json"}


def filled(case: Case, number: int = 7) -> Case:
    case.connector.apply([(case.create(n),) for n in range(number)])
    assert len(case.stored()) == number
    return case


def keys(case: Case, rows: list[dict[str, object]]) -> set[object]:
    return {row[case.number] for row in rows}


def test_read_whole_with_several_pages(case: Case) -> None:
    case = filled(case.again(limits={"records_per_read": 3}))
    rows, deleted, token, pages = case.read()
    assert keys(case, rows) == {case.business_key(n) for n in range(7)}
    assert len(rows) == 7
    assert (deleted, pages) == ([], 3)
    assert (token is not None) == case.tracked
    assert all(row["etag"] for row in rows)


def test_read_what_changed(sales: Case) -> None:
    case = filled(sales.again(limits={"records_per_read": 3}))
    token = case.read()[2]
    assert case.read(token)[:2] == ([], [])
    case.done(case.update(1, **{case.name: "New"}))
    case.done(case.delete(2))
    case.done(case.create(8))
    rows, deleted, later, _ = case.read(token)
    assert keys(case, rows) == {case.business_key(1), case.business_key(8)}
    assert deleted == [case.key(2)]
    assert case.read(later)[:2] == ([], [])


def test_many_changes_come_in_pages(sales: Case) -> None:
    case = filled(sales.again(limits={"records_per_read": 3}))
    token = case.read()[2]
    case.connector.apply([(case.update(n, **{case.name: "New"}),) for n in range(5)] + [(case.delete(6),)])
    rows, deleted, later, pages = case.read(token)
    assert len(rows) == 5
    assert deleted == [case.key(6)]
    assert pages > 1
    assert later is not None


def test_a_token_names_no_host_and_survives_another_address(sales: Case) -> None:
    token = filled(sales).read()[2]
    assert token is not None
    assert "sales.test" not in token
    sales.connector = sales.connected(url="https://moved.test")
    assert sales.read(token)[:2] == ([], [])


@pytest.mark.parametrize("days", [6, 8])
def test_an_expired_token(sales: Case, days: int) -> None:
    token = filled(sales).read()[2]
    sales.clock.now += timedelta(days=days)
    if days < 7:
        assert sales.read(token)[:2] == ([], [])
        return
    with pytest.raises(TokenExpired):
        sales.read(token)


@pytest.mark.parametrize("token", ["", "nonsense", "x //evil.test/api/data/v9.2/accounts"])
def test_a_token_that_is_none(sales: Case, token: str) -> None:
    with pytest.raises(TokenExpired):
        sales.read(token)
    assert sales.wire.seen == []


def test_a_token_for_other_fields_is_expired(sales: Case) -> None:
    token = filled(sales).read()[2]
    more = spec("accounts", "accountid", **sales.main.fields, telephone1=text())
    with pytest.raises(TokenExpired, match="other fields"):
        list(sales.connector.read(more, token))


def test_without_change_tracking_the_read_is_whole(sales: Case) -> None:
    sales.connector = filled(sales).connected(track_changes=False)
    rows, _, token, _ = sales.read()
    assert (len(rows), token) == (7, None)


def test_a_set_that_refuses_change_tracking_is_read_whole(sales: Case) -> None:
    filled(sales)
    refusal = {"error": {"code": "0x80048d19", "message": "Change tracking is not enabled for this entity."}}
    sales.wire.faults = [httpx2.Response(400, json=refusal)]
    assert len(sales.read()[0]) == 7
    assert "track-changes" not in sales.wire.seen[-1].headers["prefer"]


def test_all_companies_are_read(ops: Case) -> None:
    filled(ops, 2)
    ops.sandbox.put("CustomersV3", {"dataAreaId": "usrt", "CustomerAccount": "Z", "OrganizationName": "Z"})
    assert {row["dataAreaId"] for row in ops.read()[0]} == {"usmf", "usrt"}
    assert ops.connector.fetch(ops.main, [("usrt", "Z")]) != [None]


def test_fetch_keeps_the_order(case: Case) -> None:
    case = filled(case.again(limits={"writes_per_request": 2}), 0)
    for n in (1, 3, 5):
        case.done(case.create(n))
    rows = case.connector.fetch(case.main, [case.key(n) for n in (5, 2, 1, 4, 3)])
    assert [row and case.decoded(row)[case.number] for row in rows] == [
        case.business_key(5),
        None,
        case.business_key(1),
        None,
        case.business_key(3),
    ]


def test_unknown_field_is_refused(case: Case) -> None:
    wrong = spec(case.main.entity_set, *case.main.key, **case.main.fields, Colour=text())
    with pytest.raises(RequestRefused, match="Colour"):
        list(case.connector.read(wrong, None))


def test_wrong_token_is_access_denied(case: Case) -> None:
    case = case.again(options=Options(token="right"), auth={"kind": "bearer", "token": "wrong"})
    with pytest.raises(AccessDenied):
        case.read()


def test_throttled_read(case: Case) -> None:
    case = case.again(options=Options(throttle=Throttle(requests=1, seconds=300)))
    case.read()
    with pytest.raises(Throttled) as caught:
        case.read()
    assert caught.value.retry_after == 300


OAUTH = {
    "kind": "client_credentials",
    "token_url": "https://sales.test/oauth2/v2.0/token",
    "client_id": "replicator",
    "client_secret": "right",
    "scope": "https://sales.test/.default",
}


def test_oauth_tokens_are_renewed(case: Case) -> None:
    client = Client(client_id="replicator", client_secret="right", token_lifetime_seconds=3600)
    case = case.again(options=Options(client=client), auth=OAUTH)
    for minutes in (0, 30, 29, 30, 500):
        case.clock.now += timedelta(minutes=minutes)
        case.read()
    assert sum("oauth2" in request.url.path for request in case.wire.seen) == 3


def test_a_token_that_ends_earlier_than_it_said_is_renewed_once(case: Case) -> None:
    """The issuer rounds its lifetimes up to a second, so this token is refused before its time."""
    client = Client(client_id="replicator", client_secret="right", token_lifetime_seconds=0.5)
    case = case.again(options=Options(client=client), auth=OAUTH)
    case.read()
    case.clock.now += timedelta(seconds=0.75)
    case.read()
    assert [request.url.path.endswith("token") for request in case.wire.seen] == [True, False, False, True, False]


def test_wrong_client_secret(case: Case) -> None:
    client = Client(client_id="replicator", client_secret="another")
    case = case.again(options=Options(client=client), auth=OAUTH)
    with pytest.raises(AccessDenied, match="replicator"):
        case.read()


def page(case: Case, link: str) -> httpx2.Response:
    return httpx2.Response(200, json={"value": [], "@odata.nextLink": link})


def test_a_page_link_that_loops(case: Case) -> None:
    link = f"https://{case.system}.test/x?page=2"
    case.wire.faults = [page(case, link), page(case, link), page(case, link)]
    with pytest.raises(UnexpectedAnswer, match=rf"{case.main.entity_set}, page 3"):
        case.read()


def test_a_page_link_to_another_host(case: Case) -> None:
    case.wire.faults = [page(case, "https://evil.test/x")]
    with pytest.raises(UnexpectedAnswer, match="another host"):
        case.read()
    assert len(case.wire.seen) == 1


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx2.Response(200, headers={"Content-Type": "text/html"}, text="<html>Sign in</html>"), UnexpectedAnswer),
        (httpx2.Response(200, headers=JSON, text='{"value": [{"a": 1}, {"a"'), UnexpectedAnswer),
        (httpx2.Response(200, headers=JSON, text=""), UnexpectedAnswer),
        (httpx2.Response(200, headers=JSON, text="[]"), UnexpectedAnswer),
        (httpx2.Response(302, headers={"Location": "https://login.test"}), UnexpectedAnswer),
        (httpx2.Response(403, json={"error": {"code": "", "message": "no"}}), AccessDenied),
        (httpx2.Response(404, json={"error": {"code": "", "message": "no"}}), RequestRefused),
        (httpx2.Response(500, text="oops"), SystemUnavailable),
        ("lost", SystemUnavailable),
        ("unreachable", SystemUnavailable),
    ],
)
@pytest.mark.parametrize("at", [1, 2])
def test_a_broken_page_never_ends_a_read(case: Case, answer: Fault, kind: type[ReplicatorError], at: int) -> None:
    case = filled(case.again(limits={"records_per_read": 3}))
    case.wire.faults = [*[None] * at, answer]
    seen: list[Page] = []
    with pytest.raises(kind):
        seen.extend(case.connector.read(case.main, None))
    assert not any(page.last for page in seen)


def test_bad_text_in_a_record_is_a_problem_of_that_record(case: Case) -> None:
    filled(case, 2)
    case.sandbox.put(case.main.entity_set, {**_wire_key(case, 1), case.name: "NUL \x00 inside"})
    rows = [row for page in case.connector.read(case.main, None) for row in page.rows]
    decode = case.connector.decoder(case.main)
    problems = []
    for row in rows:
        try:
            decode(row)
        except FieldProblem as problem:
            problems.append(problem.field)
    assert problems == [case.name]


def _wire_key(case: Case, n: int) -> dict[str, object]:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in case.named_key(n).items()}
