"""Lines that ops numbers by itself, where its numbers and those of sales are the same ones for different lines."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from replicator.core.mark import mark_window
from replicator.cycle import Cycle
from replicator.sandbox.odata_http import Call, Reply
from tests.fixtures.in_between import (
    HEADERS,
    LINES,
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

pytestmark = pytest.mark.thorough


@pytest.fixture(autouse=True)
def start(systems: Systems) -> None:
    """Reference data in both systems and two products."""
    systems.reference_data()
    systems.product("P-1")
    systems.product("P-2")
    systems.once()


def quote_of(systems: Systems, *products: str) -> Any:
    """Its lines are numbered from 1 on; their quantities are ten times that."""
    quote = systems.quote("Q-1", systems.account("A-1"), [])
    for place, product in enumerate(products, 1):
        systems.line(quote, place, product, quantity=place * 10)
    return quote


def says_nothing(systems: Systems, monkeypatch: pytest.MonkeyPatch, *, first: int) -> None:
    """Ops gives each new line the next number, and answers without the record."""
    handle, numbers = systems.ops._service.handle, itertools.count(first)

    def take(call: Call, declared: dict[str, str] | None = None) -> Reply:
        if call.method != "POST" or not call.path.endswith(LINES):
            return handle(call, declared)
        line = json.loads(call.body) | {"LineCreationSequenceNumber": next(numbers)}
        return replace(handle(replace(call, body=json.dumps(line).encode()), declared), text="")

    monkeypatch.setattr(systems.ops._service, "handle", take)


def quote_of_two(systems: Systems, account: Any) -> Any:
    quote = systems.quote("Q-1", account, [])
    for place in (2, 3):
        systems.line(quote, place, "P-1", quantity=place * 10)
    return quote


def test_a_line_whose_number_in_ops_is_that_of_another_in_sales_is_paired_with_what_its_own_create_made(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines 2 and 3 become 1 and 2 in ops; nothing goes wrong."""
    renames(systems, monkeypatch, Numbering())
    quote = quote_of_two(systems, systems.account("A-1"))
    systems.once()
    assert systems.why("failed") == {}
    assert quantities(systems) == {1: 20, 2: 30}
    systems.change_line(quote, 3, quantity=33)
    systems.once()
    assert quantities(systems) == {1: 20, 2: 33}


def test_a_line_keeps_the_number_that_ops_gave_it_when_another_one_is_made_in_the_same_request(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ops made of the number of one is not forgotten because another is sent with a number."""
    renames(systems, monkeypatch, Numbering())
    quote = quote_of_two(systems, systems.account("A-1"))
    systems.once()
    with systems.revising(quote) as draft:
        systems.edit_line(draft, 2, quantity=22)
        systems.add_line(draft, 4, "P-2", quantity=40)
    systems.once()
    assert quantities(systems) == {1: 22, 2: 30, 3: 40}


def test_lines_of_which_ops_says_nothing_are_not_taken_for_those_that_bear_their_numbers(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines 1 to 3 become 3 to 5, and no answer tells: read back, line 3 is there, and 1 and 2 are not."""
    says_nothing(systems, monkeypatch, first=3)
    quote = quote_of(systems, "P-1", "P-2", "P-1")
    systems.once()
    assert systems.why("failed") == {}
    assert quantities(systems) == {3: 10, 4: 20, 5: 30}
    systems.change_line(quote, 3, quantity=33)
    systems.once()
    assert quantities(systems) == {3: 10, 4: 20, 5: 33}


def test_a_line_that_moves_to_a_number_that_another_one_has_in_ops_is_not_taken_for_that_one(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines 1 and 2 became 4 and 5, and no answer told; line 1 becomes 5 in sales, is made anew, and read back as 5."""
    says_nothing(systems, monkeypatch, first=4)
    quote = quote_of(systems, "P-1", "P-2")
    systems.once()
    assert quantities(systems) == {4: 10, 5: 20}
    systems.change_line(quote, 1, sequencenumber=5)
    systems.once()
    assert systems.why("failed") == {}
    assert quantities(systems) == {5: 20, 6: 10}


def test_a_read_of_ops_before_the_answer_pairs_no_line_by_a_number_that_ops_may_have_given_to_another(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines 2 and 3 become 1 and 2 in ops, which is read before the answer is acknowledged."""
    account = systems.account("A-1")
    systems.settle()
    numbering = Numbering()
    done: list[bool] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        answer = send(with_body(request, numbering(batch)))
        if not done and b"Q-1" in batch and b"POST http" in batch:
            done.append(True)
            with systems.cycle.world.engine.connect() as connection:
                other = Cycle(systems.cycle.world, connection)
                other.read(["ops"])
                while mark_window(other.hub) is not None:
                    pass
        return answer

    before_ops(systems, monkeypatch, act)
    quote_of_two(systems, account)
    systems.once()
    assert done
    an_hour_later(systems)
    systems.once()
    assert systems.why("failed") == {}
    assert quantities(systems) == {1: 20, 2: 30}


def test_of_lines_whose_answer_was_lost_each_finds_its_own_among_numbers_that_both_sides_use(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = systems.account("A-1")
    systems.settle()
    numbering = Numbering()
    loses_answers(systems, monkeypatch, numbering, b"Q-1")
    quote_of_two(systems, account)
    systems.once()
    an_hour_later(systems)
    systems.once()
    assert systems.why("failed") == {}
    assert quantities(systems) == {1: 20, 2: 30}


def test_a_new_line_whose_number_another_one_has_in_ops_is_made_once_when_its_answer_is_lost(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new line bears a number under which ops holds another line of the quote; the answer is lost."""
    quote = quote_of_three(systems, systems.account("A-1"))
    numbering = Numbering()
    renames(systems, monkeypatch, numbering)
    systems.settle()
    assert quantities(systems) == {1: 1, 2: 2, 3: 3}
    lost: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        answer = send(request)
        if not lost and b"P-2" in batch and b"POST " in batch:
            lost.append(batch)
            raise httpx2.ReadError("cut", request=request)
        return answer

    before_ops(systems, monkeypatch, act)
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2", quantity=7)
    systems.once()
    assert lost
    an_hour_later(systems)
    systems.once()
    assert quantities(systems) == {1: 1, 2: 2, 3: 3, 4: 7}
    assert numbering.lines == 4


def test_a_refused_line_whose_number_another_one_has_in_ops_is_rejected_and_not_sent_again(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An added line bears the number under which ops holds another one of the quote; ops refuses it for its data."""
    quote = quote_of_three(systems, systems.account("A-1"))
    renames(systems, monkeypatch, Numbering())
    systems.settle()
    sent: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        if b"POST http" in batch and b"P-2" in batch:
            sent.append(batch)
            return send(with_body(request, batch.replace(b"P-2", b"P-X")))
        return send(request)

    before_ops(systems, monkeypatch, act)
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2", quantity=7)
    for hours in range(1, 6):
        systems.once()
        systems.run("select set_config('sync.now', (now() + make_interval(hours => :h))::text, false)", h=hours)
    assert systems.why("failed").keys() == {"Q-1"}
    assert len(sent) == 1


def test_lines_that_a_person_adds_to_a_quotation_before_ours_arrive_are_not_taken_over(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our unit was refused because of a person's line 2: none was done. Line 5 is a person's, too."""
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    (own,) = systems.ops.records(LINES)
    theirs = {name: value for name, value in own.items() if not name.startswith("@")}
    come: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        if not come and b"POST http" in batch and b"P-2" in batch:
            come.append(batch)
            for number, quantity in ((2, 70), (5, 50)):
                line = theirs | {"LineCreationSequenceNumber": number, "RequestedSalesQuantity": quantity}
                systems.ops.put(LINES, line)
        return send(request)

    before_ops(systems, monkeypatch, act)
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2", quantity=7)
        systems.add_line(draft, 3, "P-2", quantity=8)
    systems.once()
    assert come
    an_hour_later(systems)
    systems.once()
    assert quantities(systems)[5] == 50
    assert quantities(systems)[3] == 8


def test_lines_of_a_quotation_that_a_person_made_before_ours_arrived_are_not_taken_over(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = systems.account("A-1")
    systems.quote("Q-0", account, ["P-1"])
    systems.settle()
    (header,), (line,) = systems.ops.records(HEADERS), systems.ops.records(LINES)
    come: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        if not come and b"POST http" in batch and b"Q-1" in batch:
            come.append(batch)
            plain = [{n: v for n, v in each.items() if not n.startswith("@")} for each in (header, line)]
            systems.ops.put(HEADERS, plain[0] | {"SalesQuotationNumber": "Q-1"})
            for number, quantity in ((7, 70), (8, 80)):
                key = {"SalesQuotationNumber": "Q-1", "LineCreationSequenceNumber": number}
                systems.ops.put(LINES, plain[1] | key | {"RequestedSalesQuantity": quantity})
        return send(request)

    before_ops(systems, monkeypatch, act)
    systems.quote("Q-1", account, ["P-1", "P-2"])
    systems.once()
    an_hour_later(systems)
    systems.once()
    assert (quantities(systems)[7], quantities(systems)[8]) == (70, 80)


def test_a_line_added_to_a_quotation_with_a_number_of_ops_is_not_made_anew_when_its_answer_is_lost(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    with monkeypatch.context() as first:
        renames(systems, first, lambda batch: batch.replace(b'"Q-1"', b'"S-7"'))
        systems.settle()
    lost: list[bytes] = []
    deleted: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        answer = send(request)
        if b"DELETE http" in batch:
            deleted.append(batch)
        if not lost and b"P-2" in batch and b"POST " in batch:
            lost.append(batch)
            raise httpx2.ReadError("cut", request=request)
        return answer

    before_ops(systems, monkeypatch, act)
    with systems.revising(quote) as draft:
        systems.add_line(draft, 2, "P-2")
    systems.once()
    assert lost
    an_hour_later(systems)
    systems.once()
    assert deleted == []


def test_a_renumbered_line_that_ops_numbered_and_amended_is_made_once_when_its_answer_is_lost(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renumbered line, whose quantity ops amends, under a number of ops' own; the answer is lost."""
    quote = quote_of_three(systems, systems.account("A-1"))
    numbering = Numbering()
    with monkeypatch.context() as first:
        renames(systems, first, numbering)
        systems.settle()
    lost: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        batch = request.read()
        changed = (
            re.sub(rb'("RequestedSalesQuantity": ?)3', rb"\g<1>4", numbering(batch)) if b"POST http" in batch else batch
        )
        answer = send(with_body(request, changed))
        if not lost and b"POST http" in batch:
            lost.append(batch)
            raise httpx2.ReadError("cut", request=request)
        return answer

    before_ops(systems, monkeypatch, act)
    systems.change_line(quote, 3000, sequencenumber=4000)
    systems.once()
    assert lost
    an_hour_later(systems)
    systems.once()
    assert systems.why("failed") == {}
    assert len(quantities(systems)) == 3
