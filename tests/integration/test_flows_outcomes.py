"""What a target stored counts: keys of its own, what it made although it said no, parents that were looked up."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from replicator.connectors.protocol import Applied
from tests.fixtures.in_between import (
    CUSTOMERS,
    HEADERS,
    LINES,
    PERSONS,
    Answering,
    Numbering,
    an_hour_later,
    before_ops,
    loses_answers,
    quantities,
    quote_of_three,
    renames,
    with_body,
)
from tests.fixtures.world import Systems

AMENDED = "select flow, field, sent, stored from sync.amended order by flow, field, sent"
NO = {"error": {"code": "", "message": "An error has occurred.", "innererror": {
    "message": "Write failed for table row of type 'CustCustomerV3Entity'. Infolog: Error: Object reference not set.",
    "type": "System.InvalidOperationException", "stacktrace": ""}}}  # fmt: skip


@pytest.fixture(autouse=True)
def start(systems: Systems) -> None:
    """Reference data in both systems and two products."""
    systems.reference_data()
    systems.product("P-1")
    systems.product("P-2")
    systems.once()


# Keys of its own


def test_lines_that_ops_numbers_by_itself_are_made_once_and_followed_under_their_numbers(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = quote_of_three(systems, systems.account("A-1"))
    numbering = Numbering()
    renames(systems, monkeypatch, numbering)
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 2, 3: 3}
    sent = [row["sent"] for row in systems.rows(AMENDED) if row["field"] == "line_creation_sequence_number"]
    assert sent == ["1000", "2000", "3000"]
    systems.change_line(quote, 2000, quantity=20)
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 20, 3: 3}
    systems.change_line(quote, 3000, sequencenumber=4000)
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 20, 4: 3}
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 1000)
    systems.settle()
    assert quantities(systems) == {2: 20, 4: 3}
    assert numbering.lines == 4


def test_lines_that_ops_numbered_by_itself_are_found_when_the_answer_to_their_quote_is_lost(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = quote_of_three(systems, systems.account("A-1"))
    numbering = Numbering()
    lost = loses_answers(systems, monkeypatch, numbering, b"Q-1")
    systems.once()
    assert lost
    an_hour_later(systems)
    asked: list[str] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        asked.append(str(request.url))
        return send(request)

    before_ops(systems, monkeypatch, act)
    systems.cycle.deliver(again=False)
    (look,) = [url for url in asked if LINES in url]
    assert "$filter=dataAreaId%20eq%20'usmf'%20and%20SalesQuotationNumber%20eq%20'Q-1'" in look
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 2, 3: 3}
    systems.change_line(quote, 2000, quantity=20)
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 20, 3: 3}
    assert numbering.lines == 3


def test_lines_of_one_content_that_ops_changed_as_it_numbered_them_are_found_in_their_order(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), [])
    for place in (1, 2, 3):
        systems.line(quote, 1000 * place, "P-1", quantity=5)
    numbering = Numbering()

    def doubled(batch: bytes) -> bytes:
        return re.sub(rb'("RequestedSalesQuantity": ?)5', rb"\g<1>6", numbering(batch))

    lost = loses_answers(systems, monkeypatch, doubled, b"Q-1")
    systems.once()
    assert lost
    an_hour_later(systems)
    systems.once()
    assert sorted(quantities(systems)) == [1, 2, 3]


def test_a_line_that_is_added_and_numbered_by_ops_is_found_beside_one_of_a_person_when_its_answer_is_lost(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    (own,) = systems.ops.records(LINES)
    numbering = Numbering()
    numbering.lines = 10
    lost = loses_answers(systems, monkeypatch, numbering, b"P-2")
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2", quantity=7)
    theirs = {name: value for name, value in own.items() if not name.startswith("@")}
    systems.ops.put(
        LINES, theirs | {"LineCreationSequenceNumber": 5, "ProductNumber": "P-2", "RequestedSalesQuantity": 70}
    )
    systems.once()
    assert lost
    an_hour_later(systems)
    systems.settle()
    assert quantities(systems) == {1: 1, 5: 70, 11: 7}
    assert numbering.lines == 11


def test_a_quotation_whose_lines_ops_does_not_show_keeps_no_other_from_being_found(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answers of both are lost; they are looked up together."""
    account = systems.account("A-1")
    for number in ("Q-1", "Q-2"):
        systems.quote(number, account, ["P-1", "P-2"])
    numbering, lost = Numbering(), list[bytes]()
    numbering.lines = 10

    def lose(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        answer = send(with_body(request, numbering(batch)))
        if LINES.encode() in batch and b"POST " in batch:
            lost.append(batch)
            raise httpx2.ReadError("cut", request=request)
        return answer

    with monkeypatch.context() as losing:
        before_ops(systems, losing, lose)
        systems.once()
    assert lost
    an_hour_later(systems)

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if "$filter" in str(request.url) and "'Q-1'" in str(request.url):
            return httpx2.Response(400, json={"error": {"code": "", "message": "No such filter"}})
        return send(request)

    with monkeypatch.context() as refusing:
        before_ops(systems, refusing, act)
        systems.once()
    (left,) = systems.rows("select record, state, reason from sync.delivery")
    assert (left["record"], left["state"]) == ("Q-1", "unknown")
    assert "No such filter" in left["reason"]
    assert len(systems.ops.records(LINES)) == 4
    systems.run("select set_config('sync.now', (now() + interval '3 hours')::text, false)")
    systems.settle()
    assert len(systems.ops.records(LINES)) == 4


def test_lines_that_ops_numbers_without_a_word_are_made_once(systems: Systems, monkeypatch: pytest.MonkeyPatch) -> None:
    ops: Any = systems.cycle.world.connectors["ops"]
    monkeypatch.setattr(ops, "_applied", lambda *_: Applied(None, None))
    quote_of_three(systems, systems.account("A-1"))
    numbering = Numbering()
    renames(systems, monkeypatch, numbering)
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 2, 3: 3}


def test_a_customer_that_ops_numbers_by_itself_is_made_once_and_what_points_at_it_follows(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    renames(systems, monkeypatch, lambda batch: re.sub(rb'("CustomerAccount": ?)"A-1"', rb'\1"C-9"', batch))
    account = systems.account("A-1")
    systems.contact("K-1", account)
    systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    assert [row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)] == ["C-9"]
    assert [row["AssociatedContactNumber"] for row in systems.ops.records(PERSONS)] == ["C-9"]
    assert [row["RequestingCustomerAccountNumber"] for row in systems.ops.records(HEADERS)] == ["C-9"]
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Renamed"})
    systems.settle()
    (customer,) = systems.ops.records(CUSTOMERS)
    assert (customer["CustomerAccount"], customer["OrganizationName"]) == ("C-9", "Renamed")
    (told,) = [row for row in systems.rows(AMENDED) if row["field"] == "customer_account"]
    assert (told["sent"], told["stored"]) == ("A-1", "C-9")


def test_lines_that_are_added_to_a_quotation_that_ops_numbered_by_itself_go_to_it(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    with monkeypatch.context() as first:
        renames(systems, first, lambda batch: batch.replace(b'"Q-1"', b'"S-7"'))
        systems.settle()
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2")
    systems.settle()
    assert [row["SalesQuotationNumber"] for row in systems.ops.records(HEADERS)] == ["S-7"]
    lines = {row["LineCreationSequenceNumber"]: row["SalesQuotationNumber"] for row in systems.ops.records(LINES)}
    assert lines == {1: "S-7", 2: "S-7"}


def test_a_create_that_ops_answers_with_the_record_of_another_is_told_and_not_repeated(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the two for the same: the new one is merged into the one that is there."""
    systems.account("A-1")
    systems.settle()
    (first,) = systems.ops.records(CUSTOMERS)
    asked: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        if not re.search(rb'"CustomerAccount": ?"A-2"', batch):
            return send(request)
        asked.append(batch)
        systems.ops.put(
            CUSTOMERS, {**{n: first[n] for n in ("dataAreaId", "CustomerAccount")}, "OrganizationName": "Two"}
        )
        renamed = batch.replace(b"A-2", b"B-2")
        answer = send(with_body(request, renamed))
        systems.ops.delete(CUSTOMERS, "usmf", "B-2")
        text = b"".join(answer.stream).replace(b"B-2", b"A-1")  # type: ignore[arg-type]
        return httpx2.Response(answer.status_code, headers=_without_length(answer), content=text)

    before_ops(systems, monkeypatch, act)
    systems.account("A-2")
    systems.once()
    systems.once()
    reason = systems.why("failed")["A-2"]
    assert "with the record usmf,A-1, which is account A-1 already" in reason
    assert len(asked) == 1
    assert systems.rows("select * from sync.unexplained") == []
    (customer,) = systems.ops.records(CUSTOMERS)
    assert customer["OrganizationName"] == "Account A-1"
    systems.run("select sync.mark(m.id, array[d.record_id]) from sync.delivery d join sync.map m on m.id = d.map_id")
    systems.once()
    systems.run("select sync.mark(m.id, array[d.record_id]) from sync.delivery d join sync.map m on m.id = d.map_id")
    systems.once()
    assert len(asked) == 2


def _without_length(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}


def test_what_ops_says_that_it_made_and_never_shows_is_made_twice_at_most(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers without the record, and numbers its customers by itself: under the key that was sent there is none."""
    ops: Any = systems.cycle.world.connectors["ops"]
    monkeypatch.setattr(ops, "_applied", lambda *_: Applied(None, None))
    made = iter(range(10, 100))

    def number(batch: bytes) -> bytes:
        return re.sub(rb'("CustomerAccount": ?)"A-1"', lambda found: found[1] + b'"C%d"' % next(made), batch)

    renames(systems, monkeypatch, number)
    account = systems.account("A-1")
    systems.once()
    systems.once()
    assert len(systems.ops.records(CUSTOMERS)) == 2
    assert "said 2 times that it created usmf,A-1, and shows no such record" in systems.why("failed")["A-1"]
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Another row"})
    systems.once()
    assert len(systems.ops.records(CUSTOMERS)) == 4
    assert "said 2 times" in systems.why("failed")["A-1"]


# Refused, and there all the same


def saved_and_refused(systems: Systems, monkeypatch: pytest.MonkeyPatch, what: bytes) -> Callable[[], None]:
    """The next change set that has this in it is answered with an exception, and shows once the answer is called."""
    left = [what]
    hidden: list[tuple[str, dict[str, Any]]] = []
    keys = {LINES: ("LineCreationSequenceNumber", "SalesQuotationNumber"), HEADERS: ("SalesQuotationNumber",),
            CUSTOMERS: ("CustomerAccount",)}  # fmt: skip

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        if not left or what not in batch or b"POST http" not in batch:
            return send(request)
        left.clear()
        before = {name: systems.ops.records(name) for name in keys}
        answer = send(request)
        for name, key in keys.items():  # a look-up finds nothing yet: what was saved shows later
            for record in systems.ops.records(name):
                if record not in before[name]:
                    hidden.append((name, record))
                    systems.ops.delete(name, *(record[part] for part in key))
        text = re.sub(rb"HTTP/1.1 201 Created.*?(?=\r\n--)", _refusal, b"".join(answer.stream), flags=re.DOTALL)  # type: ignore[arg-type]
        return httpx2.Response(answer.status_code, headers=_without_length(answer), content=text)

    def show() -> None:
        for name, record in reversed(hidden):
            systems.ops.put(name, {field: value for field, value in record.items() if not field.startswith("@")})

    before_ops(systems, monkeypatch, act)
    return show


def _refusal(_: re.Match[bytes]) -> bytes:
    text = httpx2.Response(400, json=NO).content
    return b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n" + text


def test_a_create_that_was_refused_and_saved_is_paired_as_soon_as_its_row_is_seen(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = saved_and_refused(systems, monkeypatch, b"A-1")
    account = systems.account("A-1")
    systems.contact("K-1", account)
    systems.cycle.read()
    systems.cycle.settle()
    assert set(systems.why("failed")) == {"A-1"}
    show()
    systems.settle()
    assert systems.why("failed") == {}
    assert [row["ContactPersonPartyNumber"] for row in systems.ops.records(PERSONS)] == ["K-1"]


def test_a_quote_that_was_refused_and_saved_with_its_lines_is_paired_as_soon_as_they_are_seen(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = systems.account("A-1")
    systems.settle()
    show = saved_and_refused(systems, monkeypatch, b"Q-1")
    quote_of_three(systems, account)
    systems.cycle.read()
    systems.cycle.settle()
    assert set(systems.why("failed")) == {"Q-1"}
    show()
    systems.settle()
    assert systems.why("failed") == {}
    assert quantities(systems) == {1000: 1, 2000: 2, 3000: 3}


def test_a_line_that_was_refused_and_saved_is_paired_as_soon_as_it_is_seen(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    show = saved_and_refused(systems, monkeypatch, b"P-2")
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2", quantity=5)
    systems.cycle.read()
    systems.cycle.settle()
    assert set(systems.why("failed")) == {"Q-1"}
    show()
    systems.settle()
    assert systems.why("failed") == {}
    assert quantities(systems) == {1: 1, 2: 5}


@pytest.mark.parametrize("saved", [True, False], ids=["saved", "not saved"])
def test_added_lines_that_ops_refused_and_saved_under_numbers_of_its_own_are_found(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, saved: bool
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    numbering, sent = Numbering(), list[bytes]()
    numbering.lines = 10

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        if b"POST http" not in batch or b"P-2" not in batch:
            return send(request)
        sent.append(batch)
        lines = systems.ops.records(LINES)
        answer = send(with_body(request, numbering(batch)))
        for line in systems.ops.records(LINES) if not saved else ():
            if line not in lines:
                systems.ops.delete(LINES, line["LineCreationSequenceNumber"], "Q-1")
        text = re.sub(rb"HTTP/1.1 201 Created.*?(?=\r\n--)", _refusal, b"".join(answer.stream), flags=re.DOTALL)  # type: ignore[arg-type]
        return httpx2.Response(answer.status_code, headers=_without_length(answer), content=text)

    before_ops(systems, monkeypatch, act)
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2", quantity=5)
        systems.add_line(draft, 3, "P-2", quantity=6)
    systems.once()
    systems.once()
    assert len(sent) == 1
    assert quantities(systems) == ({1: 1, 11: 5, 12: 6} if saved else {1: 1})
    assert ("Q-1" in systems.why("failed")) != saved
    if not saved:
        assert "Object reference not set" in systems.why("failed")["Q-1"]


def test_a_customer_of_another_kind_that_comes_before_our_create_is_not_taken_over(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub has not read it when it sends: the create is refused, and the look after it finds somebody else's."""
    come: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if not come and b"A-1" in request.read() and b"POST http" in request.read():
            come.append(request.read())
            systems.ops.put(CUSTOMERS, {
                "dataAreaId": "usmf", "CustomerAccount": "A-1", "PartyType": "Person", "PersonFirstName": "Ada",
                "PersonLastName": "Byron", "CustomerGroupId": "10", "SalesCurrencyCode": "USD",
            })  # fmt: skip
        return send(request)

    before_ops(systems, monkeypatch, act)
    systems.account("A-1", name="Company")
    systems.once()
    assert come
    (customer,) = systems.ops.records(CUSTOMERS)
    assert (customer["PartyType"], customer["PersonLastName"], customer["OrganizationName"] or "") == (
        "Person",
        "Byron",
        "",
    )
    assert "a record with another PartyType" in systems.why("blocked")["A-1"]


def test_what_was_refused_and_does_not_show_is_not_sent_again_because_something_else_shows(systems: Systems) -> None:
    systems.account("A-1", address1_country="Atlantis")
    systems.account("A-2")
    systems.settle()
    assert set(systems.why("failed")) == {"A-1"}
    tried = "select tried_at from sync.delivery where record = 'A-1'"
    before = systems.rows(tried)
    systems.account("A-3")
    systems.settle()
    assert systems.rows(tried) == before


def test_a_customer_that_was_taken_for_lost_is_in_step_as_soon_as_ops_shows_it_again(systems: Systems) -> None:
    systems.account("A-1")
    systems.account("A-2")
    systems.settle()
    (customer,) = systems.held("ops", CUSTOMERS, CustomerAccount="A-1")
    systems.ops.delete(CUSTOMERS, "A-1")
    systems.settle()
    assert set(systems.why("failed")) == {"A-1"}
    systems.ops.put(CUSTOMERS, {name: value for name, value in customer.items() if not name.startswith("@")})
    systems.settle()
    assert systems.why("failed") == {}


# Looked up


def test_a_parent_that_is_found_by_a_look_up_releases_its_children_in_the_same_cycle(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = systems.account("A-1")
    systems.contact("K-1", account)
    systems.quote("Q-1", account, ["P-1"])
    lost: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        answer = send(request)
        if b"POST http" in batch and b"A-1" in batch and not lost:
            lost.append(batch)
            raise httpx2.ReadError("cut", request=request)
        return answer

    before_ops(systems, monkeypatch, act)
    systems.once()
    assert lost
    assert set(systems.why("blocked")) == {"K-1", "Q-1"}
    an_hour_later(systems)
    systems.cycle.settle()
    assert systems.why("blocked") == {}
    assert [row["ContactPersonPartyNumber"] for row in systems.ops.records(PERSONS)] == ["K-1"]
    assert [row["SalesQuotationNumber"] for row in systems.ops.records(HEADERS)] == ["Q-1"]


def test_a_wish_to_try_again_ends_with_the_refusal_of_what_was_wished(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The customer is deleted in ops later: that is told, and nobody has asked for it to be made again."""
    account = systems.account("A-1")
    systems.account("A-2")
    systems.settle()
    with monkeypatch.context() as refusing:
        renames(systems, refusing, lambda batch: batch.replace(b'"Bad name"', b'"' + b"x" * 500 + b'"'))
        systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Bad name"})
        systems.once()
        systems.run("select sync.retry(null, 'A-1')")
        systems.once()
    systems.ops.delete(CUSTOMERS, "A-1")
    systems.once()
    assert [row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)] == ["A-2"]
    assert "A-1" in systems.why("failed")
