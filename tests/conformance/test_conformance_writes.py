"""Every connector writes: once, what changed, as a whole or not at all, and says what became of each write."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

import httpx2
import pytest

from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Applied, Connector, Outcome, Reference, Rejected, Stale, Unknown, Write
from replicator.errors import AccessDenied, RequestRefused, Throttled
from replicator.sandbox.system_options import Options, Throttle
from tests.conformance.cases import Case, of, spec, text


def test_create_gives_what_was_stored(case: Case) -> None:
    outcome = case.done(case.create(2))
    assert outcome.image is not None
    assert outcome.image.items() >= {**case.named_key(2), **case.values(2)}.items()
    assert set(outcome.image) == set(case.main.fields)
    (row,) = case.connector.fetch(case.main, [case.key(2)])
    assert case.decoded(row) == {**outcome.image, "etag": outcome.etag}


def test_keys_of_any_guid(sales: Case) -> None:
    """Also one that begins with a letter, and so might be taken for a name."""
    n = 0xA << 124
    outcome = sales.done(sales.create(n, accountnumber="A1", creditlimit=None))
    assert (outcome.image or {})["accountid"] == sales.guid(n)


def test_update_sends_changed_fields_only(case: Case) -> None:
    first = case.done(case.create(1))
    outcome = case.done(case.update(1, first.etag, **{case.name: "New"}))
    assert outcome.image == {**(first.image or {}), case.name: "New", **_calculated(outcome)}
    assert outcome.etag != first.etag
    assert case.stored()[case.business_key(1)][case.name] == "New"
    body = case.wire.seen[-1].content.decode()
    assert case.name in body
    assert f'"{case.limited}"' not in body


def _calculated(outcome: Applied) -> dict[str, object]:
    return {name: value for name, value in (outcome.image or {}).items() if name == "modifiedon"}


def test_rejected_with_the_field_and_the_systems_own_words(case: Case) -> None:
    outcome = case.one(case.create(1, **{case.limited: case.too_long}))
    assert isinstance(outcome, Rejected)
    assert outcome.field == case.limited
    assert "length" in outcome.message or "too long" in outcome.message
    assert case.stored() == {}


def test_one_bad_of_many_leaves_the_others_applied(case: Case) -> None:
    bad = 57
    writes = [(case.create(n, **({case.limited: case.too_long} if n == bad else {})),) for n in range(100)]
    found = [outcome for (outcome,) in case.connector.apply(writes)]
    assert [n for n, outcome in enumerate(found) if not isinstance(outcome, Applied)] == [bad]
    assert isinstance(found[bad], Rejected)
    assert len(case.stored()) == 99
    looked_at = case.kind == "finops"  # it may have saved what it refused
    assert case.sandbox.requests["total"] == (2 if looked_at else 1)


def test_an_atomic_unit_is_done_as_a_whole(case: Case) -> None:
    ((parent, child),) = case.connector.apply([(case.create(1), case.create_child(1, parent=1))])
    assert isinstance(parent, Applied)
    assert isinstance(child, Applied)
    assert parent.image is not None
    assert child.image is not None
    expected = case.guid(1) if case.kind == "dataverse" else case.business_key(1)
    assert child.image[case.parent] == expected
    assert case.connector.apply([(case.update(1, parent.etag, **{case.name: "New"}),)])[0][0] != parent


def test_exact_decimals(case: Case) -> None:
    for n, amount in enumerate(map(Decimal, case.amounts)):
        outcome = case.done(case.create(n, **{case.amount: amount}))
        assert (outcome.image or {})[case.amount] == amount
        assert case.stored()[case.business_key(n)][case.amount] == amount
    rows, *_ = case.read()
    assert [row[case.amount] for row in rows] == [Decimal(amount) for amount in case.amounts]


def test_ten_places_and_integers_beyond_doubles(sales: Case) -> None:
    currency = spec(
        "transactioncurrencies",
        "transactioncurrencyid",
        transactioncurrencyid=of("uuid"),
        isocurrencycode=text(),
        currencyname=text(),
        currencysymbol=text(),
        exchangerate=of("decimal"),
        versionnumber=of("integer"),
    )
    rate = Decimal("12345678901.0123456789")
    key = (sales.guid(1),)
    values = {"isocurrencycode": "EUR", "currencyname": "Euro", "currencysymbol": "€", "exchangerate": rate}
    outcome = sales.done(Write(currency, "create", key, values))
    assert (outcome.image or {})["exchangerate"] == rate


def test_a_clash_of_alternate_keys_is_a_rejection(sales: Case) -> None:
    """Only where the system's key is another than the one that has to be unique."""
    persons = spec("contacts", "contactid", contactid=of("uuid"), lastname=text(), msdynce_contactnumber=text())

    def person(operation: Literal["create", "update"], n: int, number: str) -> Outcome:
        values = {"lastname": "L", "msdynce_contactnumber": number}
        return sales.one(Write(persons, operation, (sales.guid(n),), values))

    assert isinstance(person("create", 1, "C-1"), Applied)
    outcome = person("create", 2, "C-1")
    assert isinstance(outcome, Rejected)
    assert "Entity Key msdynce_ContactNumber violated" in outcome.message
    assert isinstance(person("create", 2, "C-2"), Applied)
    outcome = person("update", 2, "C-1")
    assert isinstance(outcome, Rejected)
    assert outcome.code == "0x80060892"
    assert isinstance(person("create", 1, "C-1"), Stale), "its own record is there, as after a lost answer"


def test_references_are_set_moved_and_cleared(sales: Case) -> None:
    for n in (1, 2):
        sales.done(sales.create(n))
    moves = (Reference("accounts", (sales.guid(2),)), Reference("accounts", (sales.guid(1),)), None)
    for reference in moves:
        outcome = sales.done(sales.update(1, parentaccountid=reference))
        assert (outcome.image or {})["parentaccountid"] == (reference.key[0] if reference else None)
    missing = Reference("accounts", (sales.guid(9),))
    assert isinstance(sales.one(sales.update(1, parentaccountid=missing)), Rejected)


def test_unknown_field_in_a_write_is_rejected_with_its_name(case: Case) -> None:
    wrong = spec(case.main.entity_set, *case.main.key, **case.main.fields, Colour=text())
    outcome = case.one(Write(wrong, "create", case.key(1), {**case.values(1), "Colour": "red"}))
    assert isinstance(outcome, Rejected)
    assert outcome.field == "Colour"


def test_lost_answer_on_a_delete(case: Case) -> None:
    case.done(case.create(1))
    case.wire.faults = ["lost"]
    assert isinstance(case.one(case.delete(1)), Unknown)
    assert case.one(case.delete(1)) == Applied(None, None)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (503, b"", Unknown),
        (502, b"<html>Bad gateway</html>", Unknown),
        (200, b"<html>Sign in</html>", Unknown),
        (200, b"", Unknown),
    ],
)
def test_answers_of_others_are_unknown(case: Case, status: int, body: bytes, kind: type[Outcome]) -> None:
    case.wire.faults = [httpx2.Response(status, headers={"Content-Type": "text/html"}, content=body)]
    assert isinstance(case.one(case.create(1)), kind)


def test_throttling(case: Case) -> None:
    case = case.again(options=Options(throttle=Throttle(requests=2, seconds=60)))
    case.done(case.create(1))
    case.done(case.create(2))
    with pytest.raises(Throttled) as caught:
        case.one(case.create(3))
    assert 0 < caught.value.retry_after <= 60
    assert len(case.stored()) == 2


def test_wrong_token(case: Case) -> None:
    secret = "wrong-token-of-this-test"
    case = case.again(options=Options(token="right"), auth={"kind": "bearer", "token": secret})
    with pytest.raises(AccessDenied) as caught:
        case.one(case.create(1))
    assert secret not in str(caught.value)
    case = case.again(auth={"kind": "bearer", "token": "right"})
    case.done(case.create(1))


def test_what_is_too_much_for_one_request_goes_in_several(sales: Case) -> None:
    """The vendor names a limit for batches: it is kept, so that nothing is refused."""
    found = sales.connector.apply([(sales.create(n),) for n in range(1001)])
    assert {type(outcome) for (outcome,) in found} == {Applied}
    assert len(sales.stored()) == 1001
    assert sales.sandbox.requests["batch"] == 2
    assert sales.connector.limits.request_size == 1000


ODATA = "The current batch message contains too many parts. Only batch messages with a maximum number of '{0}' query operations and change sets are allowed."  # noqa: E501
WORDS = [(400, ODATA), (400, "The batch request holds more operations than allowed."), (413, "Payload too large")]


class Limited(httpx2.BaseTransport):
    """A service that refuses a batch of more than ``most`` requests; ``seen`` are the sizes of those that came."""

    def __init__(self, inner: httpx2.BaseTransport, most: int, status: int, words: str) -> None:
        self.inner, self.most, self.status, self.words = inner, most, status, words
        self.seen: list[int] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(len(re.findall(rb"^(?:GET|POST|PATCH|DELETE) \S+ HTTP/1.1", request.read(), re.MULTILINE)))
        if self.seen[-1] > self.most:
            error = {"error": {"code": "", "message": self.words.format(self.most)}}
            return httpx2.Response(self.status, json=error)
        return self.inner.handle_request(request)


def limited(case: Case, most: int, status: int, words: str) -> tuple[Connector, Limited]:
    wire = Limited(case.wire, most, status, words)
    settings = settings_of({"kind": case.kind, "url": f"https://{case.system}.test"})
    return settings.connect(case.system, transport=wire, clock=case.clock), wire


@pytest.mark.parametrize(("status", "words"), WORDS)
def test_a_limit_is_learnt_from_the_refusal_and_kept(case: Case, status: int, words: str) -> None:
    connector, wire = limited(case, 30, status, words)
    found = connector.apply([(case.create(n),) for n in range(100)])
    assert {type(outcome) for (outcome,) in found} == {Applied}
    assert len(case.stored()) == 100
    refused = [size for size in wire.seen if size > 30]
    assert len(refused) <= 2
    known = connector.limits.request_size
    assert known is not None
    assert known <= 30
    assert all(row is not None for row in connector.fetch(case.main, [case.key(n) for n in range(100)]))
    connector.apply([(case.update(n, **{case.name: "New"}),) for n in range(100)])
    assert [size for size in wire.seen if size > 30] == refused


@pytest.mark.parametrize("most", [250, 151, 60])
@pytest.mark.parametrize(("status", "words"), WORDS)
def test_a_unit_larger_than_the_limit_still_goes(case: Case, most: int, status: int, words: str) -> None:
    """Its reads apart; and in pieces, where a change set alone is too large."""
    connector, _ = limited(case, most, status, words)
    unit = (case.create(1), *(case.create_child(n, 1) for n in range(150)))
    (outcomes,) = connector.apply([unit])
    assert {type(outcome) for outcome in outcomes} == {Applied}
    assert len(case.sandbox.records(case.child.entity_set)) == 150
    assert all(isinstance(outcome, Applied) and outcome.image is not None for outcome in outcomes)


def test_a_unit_in_pieces_of_which_a_later_one_fails_is_looked_up(case: Case) -> None:
    connector, _ = limited(case, 60, *WORDS[0])
    bad = case.create_child(
        140, 1, **dict([("jobtitle", "x" * 101)] if case.kind == "dataverse" else [("FirstName", "x" * 101)])
    )
    unit = (case.create(1), *(case.create_child(n, 1) for n in range(139)), bad)
    (outcomes,) = connector.apply([unit])
    assert {type(outcome) for outcome in outcomes} == {Unknown}
    bad_first = (case.create(2, **{case.limited: case.too_long}), *(case.create_child(n, 2) for n in range(200, 300)))
    (outcomes,) = connector.apply([bad_first])
    assert {type(outcome) for outcome in outcomes} == {Rejected}
    assert len(case.stored()) == 1


def test_a_refusal_that_speaks_of_no_number_is_raised(case: Case) -> None:
    connector, wire = limited(case, 1, 400, "The request is malformed.")
    with pytest.raises(RequestRefused, match="malformed"):
        connector.apply([(case.create(n),) for n in range(3)])
    assert len(wire.seen) == 1
    assert connector.limits.request_size in (None, 1000)
