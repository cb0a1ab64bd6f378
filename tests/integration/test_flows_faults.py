"""Faults between hub and system: answers lost, late, refused or unreadable; each stops only its record."""

from __future__ import annotations

import datetime
import itertools
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from replicator.connectors.protocol import Applied, Key, Row
from replicator.core.diff import diff
from replicator.cycle import Cycle
from replicator.errors import RequestRefused, SystemUnavailable
from replicator.log_lines import LogWatcher
from replicator.mapping.language import EntitySetSpec
from replicator.outbound import acknowledge, delivery_pass, select
from tests.fixtures.commands import until
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

CUSTOMERS, PERSONS = "CustomersV3", "CDSContactPersonsV2"
HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"
PAIRS = "select system_key from sync.crosswalk where entity = 'account' and system = 'ops' and ended_at is null"


@pytest.fixture(autouse=True)
def start(systems: Systems) -> None:
    """Reference data in both systems and a product."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


@pytest.fixture
def later(systems: Systems) -> Callable[[], None]:
    """An hour passes, so that every pause is over."""
    hours = iter(range(1, 100))

    def pass_time() -> None:
        now = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=next(hours))
        systems.run("select set_config('sync.now', :now, false)", now=now.isoformat())

    return pass_time


def customers(systems: Systems) -> list[str]:
    return sorted(row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS))


def paired(systems: Systems) -> list[str]:
    return sorted(row["system_key"].partition(",")[2] for row in systems.rows(PAIRS))


def few_writes(systems: Systems, number: int = 1) -> None:
    connector = systems.cycle.world.connectors["ops"]
    connector.limits = replace(connector.limits, writes_per_request=number)


Answering = Callable[[httpx2.Request], httpx2.Response]


def between(
    systems: Systems, system: str, monkeypatch: pytest.MonkeyPatch, act: Callable[[httpx2.Request, Answering], Any]
) -> None:
    """Put somebody between the connector and its system."""
    wire = systems.wire[system]
    send = wire.handle_request
    monkeypatch.setattr(wire, "handle_request", lambda request: act(request, send))


def body(request: httpx2.Request) -> bytes:
    return request.read()


def lose_once(systems: Systems, monkeypatch: pytest.MonkeyPatch, what: bytes) -> None:
    """The answer to the next batch that has this in it is lost, after ops has done it."""
    lost: list[bytes] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        answer = send(request)
        if not lost and what in body(request):
            lost.append(what)
            raise httpx2.ReadError("cut", request=request)
        return answer

    between(systems, "ops", monkeypatch, act)


# Stopping


def test_who_is_to_stop_looks_nothing_up_and_leaves_what_is_unknown_as_it_is(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    """An answer is lost; the look-up that follows would be a new request."""
    asked: list[httpx2.Request] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        asked.append(request)
        send(request)
        raise httpx2.ReadError("cut", request=request)

    systems.account("A-1")
    systems.cycle.read()
    systems.cycle.merge()
    with monkeypatch.context() as cut:
        between(systems, "ops", cut, act)
        stopped = replace(systems.cycle.world, stopping=lambda: bool(asked))
        Cycle(stopped, systems.connection).deliver(["ops"], again=True)
        later()
        Cycle(stopped, systems.connection).deliver(["ops"], again=True)
        Cycle(stopped, systems.connection).read()
    assert len(asked) == 1
    (row,) = systems.rows("select state::text as state, attempts, reason from sync.failed")
    assert (row["state"], row["attempts"]) == ("unknown", 1)
    assert "no whole answer" in row["reason"]
    assert systems.rows("select * from sync.problems") == []
    systems.settle()
    assert paired(systems) == ["A-1"]


def test_what_is_not_sent_any_more_because_it_stops_is_pending_as_if_it_had_not_been_claimed(systems: Systems) -> None:
    few_writes(systems)
    for number in ("A-1", "A-2", "A-3"):
        systems.account(number)
    systems.cycle.read()
    systems.cycle.merge()
    stopped = replace(systems.cycle.world, stopping=lambda: bool(customers(systems)))
    connector = systems.cycle.world.connectors["ops"]
    connector.limits = replace(connector.limits, parallel_requests=1)
    Cycle(stopped, systems.connection).deliver(["ops"], again=True)
    assert customers(systems) == ["A-1"]
    rows = systems.rows("select record, state::text as state, attempts, claimed from sync.delivery order by record")
    assert [tuple(row.values()) for row in rows] == [("A-2", "pending", 0, None), ("A-3", "pending", 0, None)]
    systems.settle()
    assert customers(systems) == ["A-1", "A-2", "A-3"]


# Not shown back


def test_what_was_written_and_could_not_be_read_back_is_looked_up_until_it_is_known(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    ops: Any = systems.cycle.world.connectors["ops"]

    def cut(*_: object) -> list[Row | None]:
        raise SystemUnavailable("cut")

    systems.account("A-1")
    with monkeypatch.context() as broken:
        broken.setattr(ops, "_applied", lambda *_: Applied(None, None))
        broken.setattr(ops, "fetch", cut)
        systems.once()
    assert customers(systems) == ["A-1"]
    assert paired(systems) == []
    (row,) = systems.rows("select state::text as state, next_at, reason from sync.failed")
    assert row["state"] == "unknown"
    assert row["next_at"] is not None
    assert "cut" in row["reason"]
    later()
    systems.problems.found.clear()  # nor could the record be read that a sweep showed
    systems.sent("ops", CUSTOMERS)
    systems.settle()
    assert paired(systems) == ["A-1"]
    assert systems.sent("ops", CUSTOMERS) == []
    assert systems.why("failed") == {}


def test_an_answer_that_came_is_acknowledged_although_another_could_not_be(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_writes(systems)
    for number in ("A-1", "A-2", "A-3"):
        systems.account(number)
    systems.cycle.read()
    systems.cycle.merge()
    write = acknowledge.Acknowledgement.write

    def failing(self: acknowledge.Acknowledgement, deliveries: Any, outcomes: Any) -> acknowledge.Acknowledged:
        if any(delivery.record == "A-1" for delivery in deliveries):
            raise MemoryError
        return write(self, deliveries, outcomes)

    monkeypatch.setattr(acknowledge.Acknowledgement, "write", failing)
    with pytest.raises(MemoryError):
        systems.cycle.deliver(["ops"], again=True)
    monkeypatch.undo()
    assert "A-1" not in paired(systems)
    under_way = systems.rows("select record from sync.delivery where state = 'in_flight'")
    assert [row["record"] for row in under_way] == ["A-1"]
    systems.cycle.recover(["ops"])
    systems.settle()
    assert paired(systems) == ["A-1", "A-2", "A-3"]


def test_a_record_that_is_marked_while_its_answer_is_acknowledged_is_looked_at_again(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who marks it holds the row, and lets go only when the acknowledgement waits for it."""
    mark = sa.text("update sync.delivery set marked = marked + 1 where state = 'in_flight'")
    waits = sa.text(
        "select exists (select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')"
    )
    other = systems.cycle.world.engine.connect()

    def let_go() -> None:
        with systems.cycle.world.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as third:
            until(lambda: third.execute(waits).scalar_one(), what="an acknowledgement that waits")
        other.commit()

    release = threading.Thread(target=let_go)

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        response = send(request)
        if b"A-1" in body(request) and not release.ident:
            other.execute(mark)
            release.start()
        return response

    between(systems, "ops", monkeypatch, act)
    systems.account("A-1")
    with other:
        systems.once()
        release.join()
    assert customers(systems) == ["A-1"]
    assert systems.rows("select state from sync.delivery") == []


# Lost answers


def test_a_customer_made_again_whose_answer_is_lost_is_found_and_paired(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    systems.account("A-1")
    systems.account("A-2")
    systems.settle()
    systems.ops.delete(CUSTOMERS, "A-1")
    systems.settle()
    assert set(systems.why("failed")) == {"A-1"}
    systems.run("select sync.retry(null, 'A-1')")
    lose_once(systems, monkeypatch, b"A-1")
    systems.once()
    later()
    systems.settle()
    assert customers(systems) == ["A-1", "A-2"]
    assert systems.why("failed") == {}
    assert paired(systems) == ["A-1", "A-2"]


def test_a_line_with_a_fresh_number_whose_answer_is_lost_is_found_and_paired(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.settle()
    systems.change_line(quote, 2, sequencenumber=7)
    lose_once(systems, monkeypatch, b"Q-1")
    systems.once()
    later()
    systems.settle()
    assert systems.why("failed") == {}
    systems.change_line(quote, 7, quantity=5)
    systems.settle()
    found = {row["LineCreationSequenceNumber"]: row["RequestedSalesQuantity"] for row in systems.ops.records(LINES)}
    assert found == {1: 1, 7: 5}
    assert systems.why("failed") == {}


def test_lines_that_move_up_and_whose_request_never_arrived_are_sent_again(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.settle()
    with systems.revising(quote) as draft:
        for place in (2, 1):
            systems.edit_line(draft, place, sequencenumber=place + 1, quantity=10 * place)

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if b"DELETE" in body(request):
            raise httpx2.ReadTimeout("it never arrived", request=request)
        return send(request)

    with monkeypatch.context() as broken:
        between(systems, "ops", broken, act)
        systems.once()
    later()
    systems.settle()
    found = {row["LineCreationSequenceNumber"]: row["RequestedSalesQuantity"] for row in systems.ops.records(LINES)}
    assert found == {2: 10, 3: 20}
    assert systems.why("failed") == {}


# Late answers


def test_what_was_decided_while_it_was_looked_up_stays_so(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    """Meanwhile the record is read, so that what the look-up says of it is too old to count."""
    cut: list[bool] = []
    looking: list[bool] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        answer = send(request)
        if not cut and b"A-1" in body(request):
            cut.append(True)
            raise httpx2.ReadError("cut", request=request)
        if looking and looking.pop():
            with systems.cycle.world.engine.connect() as connection:
                Cycle(systems.cycle.world, connection).read(["ops"])
                connection.execute(sa.text("update sync.delivery set state = 'reported', reason = 'decided'"))
                connection.commit()
        return answer

    systems.account("A-1")
    between(systems, "ops", monkeypatch, act)
    systems.once()
    assert cut
    later()
    looking.append(True)
    systems.cycle.deliver(again=False)
    (row,) = systems.rows("select state, reason from sync.delivery")
    assert (row["state"], row["reason"]) == ("reported", "decided")


def test_what_a_read_has_shown_is_not_replaced_by_an_older_answer(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After our write somebody changes the product in sales, which is read before the write is acknowledged."""
    systems.settle()
    systems.product("P-1", ProductName="From ops")
    done: list[bool] = []

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        answer = send(request)
        if not done and b"From ops" in body(request):
            done.append(True)
            (product,) = systems.sales.records("products")
            systems.sales.put("products", {"productid": product["productid"], "name": "By a person"})
            with systems.cycle.world.engine.connect() as connection:
                Cycle(systems.cycle.world, connection).read(["sales"])
        return answer

    between(systems, "sales", monkeypatch, act)
    systems.once()
    assert done
    (product,) = systems.sales.records("products")
    (mirror,) = systems.rows("select name from sales.products")
    assert mirror["name"] == product["name"] == "From ops"
    systems.settle()


# Unreadable answers


@pytest.mark.parametrize(("system", "record"), [("ops", "A-1"), ("sales", "P-2")])
def test_a_record_that_a_system_shows_in_an_unreadable_form_is_rejected_and_no_other(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, system: str, record: str
) -> None:
    """A NUL in a name: no database can hold it."""

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        answer = send(request)
        stream: Any = answer.stream
        name = {"ops": b"Account A-1", "sales": b"Product P-2"}[system]
        content = b"".join(stream).replace(b'"' + name + b'"', b'"' + name + b'\\u0000"')
        headers = {name: value for name, value in answer.headers.items() if name.lower() != "content-length"}
        return httpx2.Response(answer.status_code, headers=headers, content=content)

    between(systems, system, monkeypatch, act)
    for number in ("A-1", "A-2"):
        systems.account(number)
    systems.product("P-2")
    systems.product("P-3")
    systems.once()
    told = [row for row in systems.rows("select * from sync.failed") if row["operation"] != "snapshot"]
    assert [(row["record"], row["state"]) for row in told] == [(record, "rejected")]
    assert told[0]["field"] in ("OrganizationName", "name")
    assert "cannot be read" in told[0]["reason"]
    assert customers(systems) == ["A-1", "A-2"]
    assert {row["productnumber"] for row in systems.sales.records("products")} == {"P-1", "P-2", "P-3"}


# Refused


def test_a_batch_that_is_refused_as_such_is_halved_and_rejects_no_record(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if b'"A-3"' in body(request):
            return httpx2.Response(413, json={"error": {"code": "413", "message": "Payload too large"}})
        return send(request)

    for number in range(1, 8):
        systems.account(f"A-{number}")
    with monkeypatch.context() as broken:
        between(systems, "ops", broken, act)
        systems.once()
    assert customers(systems) == [f"A-{number}" for number in (1, 2, 4, 5, 6, 7)]
    assert "Payload too large" in systems.why("failed")["A-3"]
    assert not systems.rows("select * from sync.failed where state = 'rejected'")
    later()
    systems.settle()
    assert "A-3" in customers(systems)


@pytest.mark.parametrize("status", [400, 500], ids=["a refusal", "an outage by its status"])
def test_a_system_that_takes_few_operations_at_once_gets_few_and_whoever_watches_hears_it_once(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None], status: int
) -> None:
    """Who calls it an outage is not believed to have done nothing: what was written is looked up, in small requests."""
    told: list[tuple[str, int]] = []
    monkeypatch.setattr(systems.problems, "smaller_requests", lambda system, size: told.append((system, size)))
    for number in range(12):
        systems.account(f"A-{number}")

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if len(re.findall(rb"^(?:GET|POST|PATCH|DELETE) ", body(request), re.MULTILINE)) > 5:
            words = "The current batch message contains too many parts, a maximum number of '5' is allowed."
            return httpx2.Response(status, json={"error": {"code": "", "message": words}})
        return send(request)

    between(systems, "ops", monkeypatch, act)
    systems.once()
    later()
    systems.settle()
    assert len(customers(systems)) == 12
    assert told == [("ops", 5)]


def test_a_system_that_refuses_every_batch_is_left_alone_after_a_few(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    few_writes(systems)
    for number in range(20):
        systems.account(f"A-{number}")

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(404, json={"error": {"code": "404", "message": "No such service"}})
        return send(request)

    with monkeypatch.context() as broken:
        between(systems, "ops", broken, act)
        systems.once()
    assert any(isinstance(problem, RequestRefused) for _, problem in systems.problems.found)
    states = systems.rows("select state::text as state, count(*) as records from sync.failed group by 1")
    counted = {row["state"]: row["records"] for row in states}
    assert counted == {"failed": 20}
    systems.problems.found.clear()
    later()
    systems.settle()
    assert len(customers(systems)) == 20


def test_one_key_that_cannot_be_looked_up_keeps_no_other_record_waiting(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    def lost(request: httpx2.Request, send: Answering) -> httpx2.Response:
        answer = send(request)
        if b"POST http" in body(request):
            raise httpx2.ReadError("cut", request=request)
        return answer

    for number in ("A-1", "A-2", "A-3"):
        systems.account(number)
    with monkeypatch.context() as broken:
        between(systems, "ops", broken, lost)
        systems.once()
    ops: Any = systems.cycle.world.connectors["ops"]
    fetch = ops.fetch

    def refusing(entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        if any("A-2" in key for key in keys):
            raise RequestRefused("400: not this key")
        found: list[Row | None] = fetch(entity_set, keys)
        return found

    later()
    with monkeypatch.context() as broken:
        broken.setattr(ops, "fetch", refusing)
        systems.once()
        assert paired(systems) == ["A-1", "A-3"]
        assert "not this key" in systems.why("failed")["A-2"]
    later()
    systems.settle()
    assert paired(systems) == ["A-1", "A-2", "A-3"]


def test_a_wish_to_try_again_outlasts_a_pause_that_the_system_asks_for(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, later: Callable[[], None]
) -> None:
    systems.account("A-1")
    systems.account("A-2")
    systems.settle()
    systems.ops.delete(CUSTOMERS, "A-1")
    systems.settle()
    systems.run("select sync.retry(null, 'A-1')")

    def act(request: httpx2.Request, send: Answering) -> httpx2.Response:
        if b"POST http" in body(request):
            return httpx2.Response(429, headers={"Retry-After": "0"}, json={})
        return send(request)

    with monkeypatch.context() as broken:
        between(systems, "ops", broken, act)
        systems.once()
    systems.problems.found.clear()
    assert customers(systems) == ["A-2"]
    later()
    systems.settle()
    assert customers(systems) == ["A-1", "A-2"]


def test_a_record_that_the_database_cannot_compute_is_rejected_and_no_other(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a map's plain SQL can do; here the diff divides by zero for one record."""
    plain = diff

    def dividing(*args: Any, **named: Any) -> sa.Select[Any]:
        rows = plain(*args, **named).subquery("rows")
        return sa.select(*rows.c, sa.literal(1) / sa.case((rows.c.record == "A-2", 0), else_=1))

    monkeypatch.setattr(select, "diff", dividing)
    for number in range(1, 6):
        systems.account(f"A-{number}")
    systems.once()
    assert customers(systems) == ["A-1", "A-3", "A-4", "A-5"]
    (row,) = systems.rows("select state::text as state, reason from sync.failed")
    assert (row["state"], "division by zero" in row["reason"]) == ("rejected", True)


# Many


def test_many_records_of_one_map_keep_no_other_map_waiting_for_longer_than_two_seconds(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_pass, "_BATCH", 2)
    each_look_a_second_later = itertools.count()
    world = replace(systems.cycle.world, clock=lambda: float(next(each_look_a_second_later)))
    systems.cycle = Cycle(world, systems.connection)
    first = systems.account("A-1")
    systems.contact("C-1", first)
    for number in range(2, 12):
        systems.contact(f"C-{number}", systems.account(f"A-{number}"))
    systems.cycle.read()
    systems.cycle.merge()
    delivered = systems.cycle.deliver(["ops"], again=True)
    assert len(customers(systems)) == 4
    assert systems.ops.records(PERSONS)
    assert delivered.left
    systems.settle()
    assert len(customers(systems)) == len(systems.ops.records(PERSONS)) == 11


# What the log says


def test_the_log_says_of_each_write_which_record_it_was_and_what_became_of_it(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[dict[str, Any]] = []

    class Log:
        def info(self, event: str, **told: Any) -> None:
            lines.append({"event": event, **told})

    watcher = LogWatcher()
    watcher.log = Log()
    customer = systems.account("A-1", name="Secret & Sons")
    unheard_of = {"isocurrencycode": "XTS", "currencyname": "For tests"}
    currency = systems.sales.put("transactioncurrencies", unheard_of)["transactioncurrencyid"]
    systems.account("A-2", _transactioncurrencyid_value=currency)
    systems.quote("Q-1", customer, ["P-1"])
    systems.contact("C-1", customer)
    lose_once(systems, monkeypatch, PERSONS.encode())
    cycle = Cycle(replace(systems.cycle.world, watcher=watcher), systems.connection)
    cycle.read()
    cycle.settle()
    written = [
        (write.get("flow", line["flow"]), write["operation"], write["key"], write["outcome"])
        for line in lines
        if line["event"] == "deliver"
        for write in line["writes"]
    ]
    assert written == [
        ("account > ops.CustomersV3", "create", "usmf,A-1", "applied"),
        ("account > ops.CustomersV3", "create", "usmf,A-2", "rejected"),
        ("contact > ops.CDSContactPersonsV2", "create", "usmf,C-1,Customer,A-1", "unknown"),
        ("quote > ops.CDSSalesQuotationHeaders", "create", "usmf,Q-1", "applied"),
        ("quote_line > ops.CDSSalesQuotationLines", "create", "usmf,Q-1,1", "applied"),
    ]
    assert "Secret" not in str(lines)
