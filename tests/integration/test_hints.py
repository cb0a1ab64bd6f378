"""Hints from end to end: a change in sales is read at once; a hint that is lost, doubled or forged does no harm."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx2
import psycopg
import pytest
import sqlalchemy as sa

from replicator.config import Configuration, HintsSettings
from replicator.connectors.dataverse import Dataverse
from replicator.connectors.dataverse_hints import Item, Registration
from replicator.connectors.protocol import Connector
from replicator.connectors.wrapped import Wrapped
from replicator.cycle import Cycle
from replicator.daemon import Daemon
from replicator.errors import ReplicatorError, RequestRefused, Terminal
from replicator.hints.hint_server import hearing
from replicator.inbound.pace import due, hinted_sets
from replicator.mapping.schema import EntitySet
from replicator.operate.preflight import Report, hints_check
from replicator.watcher import Watcher
from replicator.web_server import WebServer
from tests.fixtures.commands import Workplace, until
from tests.fixtures.world import NOW, ORGANIZATION, Systems

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

KEY = "a-key-that-nobody-guesses"
SETTINGS = HintsSettings.model_validate({"listen": "127.0.0.1:0", "url": "https://hub.example.com", "key": KEY})
NEVER = 3600
"""Seconds between two polls, which no test waits for."""


@dataclass
class Heard(Watcher):
    """Counts the reads of each entity set, and remembers problems."""

    reads: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def reading(self, entity_set: EntitySet) -> None:
        self.reads[str(entity_set)] += 1

    def problem(self, where: str, problem: ReplicatorError) -> None:
        self.problems.append(f"{where}: {problem}")


@contextmanager
def working(systems: Systems, heard: Heard, seconds: float = NEVER) -> Iterator[None]:
    """A daemon at work in this process, which has read everything once and waits for hints."""
    quick = {"poll_seconds": seconds, "hub_poll_seconds": 0.1, "retry_seconds": 0.1, "lease_seconds": 2}
    given = {"records": {"organization": [ORGANIZATION]}, "daemon": quick, "hints": SETTINGS}
    configuration = Configuration.model_validate(given)
    running = Daemon(replace(systems.cycle.world, configuration=configuration, watcher=heard), "test")
    thread = threading.Thread(target=running.run, name="daemon")
    thread.start()
    try:
        everything = set(map(str, systems.cycle.world.compiled.schema.entity_sets.values()))
        until(lambda: heard.reads.keys() >= everything, what="the first read")
        until(lambda: not systems.rows("select from sync.entity_set where read_at is null"), what="its end")
        yield
    finally:
        running.stop()
        thread.join(20)
        assert not thread.is_alive()


@contextmanager
def receiving(systems: Systems, heard: Heard, engine: sa.Engine | None = None) -> Iterator[WebServer]:
    """The receiver, on a free port."""
    world = systems.cycle.world
    with hearing(engine or world.engine, world.compiled.schema, SETTINGS, heard) as server:
        yield server


def registration(systems: Systems, url: str) -> Registration:
    """What is registered in sales of this address."""
    sales = systems.cycle.world.connectors["sales"]
    assert isinstance(sales, Dataverse)
    sets = systems.cycle.world.compiled.schema.sets_of("sales")
    return Registration(sales.http, f"{url}/hints/sales", [each.spec for each in sets])


def give(server: WebServer, table: str = "account", key: str = KEY, times: int = 1) -> set[int]:
    """Give hints, as sales does; the statuses of the answers."""
    headers = {"x-ms-dynamics-entity-name": table}
    with httpx2.Client(trust_env=False, params={"code": key}, headers=headers) as client:
        return {client.post(f"{server.url}/hints/sales", json={}).status_code for _ in range(times)}


def hint(systems: Systems, *names: str, system: str = "sales") -> int:
    """Mark entity sets as due."""
    (row,) = systems.rows("select sync.hint(:system, :names) as marked", system=system, names=list(names))
    return int(row["marked"])


def test_a_change_is_read_long_before_the_next_poll_and_nothing_else_is(systems: Systems) -> None:
    systems.reference_data()
    heard = Heard()
    with receiving(systems, heard) as server, working(systems, heard):
        list(registration(systems, server.url).register(KEY))
        before = dict(heard.reads)
        systems.account("A-1")
        until(lambda: systems.held("ops", "CustomersV3", CustomerAccount="A-1"), patience=30, what="the account")
        read = {name for name, times in heard.reads.items() if times > before[name]}
    assert read == {"sales.accounts"}
    assert heard.problems == []
    assert systems.sales.requests["failed webhook"] == 0


class Noting:
    """A receiver that notes what it hears, and answers what a test wants it to."""

    def __init__(self, *statuses: str) -> None:
        self.heard: list[tuple[str, str]] = []
        self._statuses = list(statuses)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        body = json.loads(environ["wsgi.input"].read())
        said = (environ["HTTP_X_MS_DYNAMICS_ENTITY_NAME"], environ["HTTP_X_MS_DYNAMICS_REQUEST_NAME"])
        assert said == (body["PrimaryEntityName"], body["MessageName"])
        assert environ["QUERY_STRING"] == f"code={KEY}"
        assert environ["HTTP_X_MS_CORRELATION_REQUEST_ID"] == body["CorrelationId"]
        self.heard.append(said)
        start_response(self._statuses.pop(0) if self._statuses else "202 Accepted", [("Content-Length", "0")])
        return []

    def after(self, systems: Systems, act: Callable[[], object]) -> list[tuple[str, str]]:
        """What is heard of an act: all that comes before what is heard of the next one."""
        self.heard.clear()
        act()
        systems.sales.put("uomschedules", {"name": f"the next {time.monotonic_ns()}"})
        until(lambda: ("uomschedule", "Create") in self.heard, what="the webhook of the next act")
        return self.heard[:-1]


def test_a_change_of_what_is_read_is_heard_of_and_no_other(systems: Systems) -> None:
    systems.reference_data()
    noting = Noting()
    with WebServer(noting, "noting", "127.0.0.1", 0) as server:
        list(registration(systems, server.url).register(KEY))
        account = systems.account("A-1")
        key = {"accountid": account["accountid"]}
        address = f"accounts({account['accountid']})"
        assert noting.after(systems, lambda: None)[-1:] == [("account", "Create")]
        put, ask = partial(systems.sales.put, "accounts"), partial(systems.ask_sales, "PATCH", address)
        assert noting.after(systems, lambda: put(key | {"name": "Another"})) == [("account", "Update")]
        assert noting.after(systems, lambda: ask({"name": "One more"})) == [("account", "Update")]
        assert noting.after(systems, lambda: put(key | {"primarytwitterid": "ada"})) == []
        with pytest.raises(AssertionError):
            ask({"name": "x" * 1000})
        assert noting.after(systems, lambda: systems.ask_sales("DELETE", address)) == [("account", "Delete")]
        list(registration(systems, server.url).remove())
        noting.heard.clear()
        systems.account("A-2")
    assert noting.heard == []


@pytest.mark.parametrize(
    ("statuses", "times", "failed"),
    [(["503 Busy"], 2, 0), (["504 Late", "502 Bad"], 2, 1), (["500 Broken"], 1, 1), (["401 Who"], 1, 1)],
)
def test_what_was_not_taken_is_sent_once_more_only_where_the_way_was_to_blame(
    systems: Systems, statuses: list[str], times: int, failed: int
) -> None:
    noting = Noting(*statuses)
    with WebServer(noting, "noting", "127.0.0.1", 0) as server:
        list(registration(systems, server.url).register(KEY))
        heard = noting.after(systems, lambda: systems.sales.put("uoms", {"uomid": str(uuid4()), "name": "box"}))
    assert heard == [("uom", "Create")] * times
    assert systems.sales.requests["failed webhook"] == failed


def test_many_hints_are_few_reads(systems: Systems) -> None:
    heard = Heard()
    with receiving(systems, heard) as server, working(systems, heard):
        before = heard.reads["sales.accounts"]
        assert give(server, times=10) == {202}
        until(lambda: heard.reads["sales.accounts"] > before, what="a read")
        until(lambda: not hinted_sets_of(systems), what="the end of the last read")
        assert heard.reads["sales.accounts"] - before <= 3


def hinted_sets_of(systems: Systems, system: str = "sales") -> set[str]:
    with systems.cycle.world.engine.connect() as connection:
        return hinted_sets(connection, systems.cycle.world.compiled.schema, system)


def test_a_doubled_hint_is_one_read(systems: Systems) -> None:
    systems.once()
    assert systems.cycle.read_hinted("sales") is False
    assert hint(systems, "accounts", "accounts", "nobody") == 1
    assert hint(systems, "accounts") == 1
    systems.cycle.reads.clear()
    systems.cycle.read_hinted("sales")
    assert set(systems.cycle.reads) == {"sales.accounts"}
    systems.cycle.reads.clear()
    systems.cycle.read_hinted("sales")
    assert systems.cycle.reads == {}
    assert hint(systems, "accounts", system="nobody") == 0


def test_parts_are_read_with_what_they_belong_to(systems: Systems) -> None:
    systems.once()
    hint(systems, "quotes")
    assert hinted_sets_of(systems) == {"sales.quotes", "sales.quotedetails"}
    assert hinted_sets_of(systems, "ops") == set()


class Interrupted(Wrapped):
    """A connector that does something in the middle of a read."""

    def __init__(self, real: Connector, act: Callable[[], object]) -> None:
        super().__init__(real)
        self._act = act

    def read(self, entity_set: Any, token: str | None) -> Any:
        pages = list(self.real.read(entity_set, token))
        self._act()
        yield from pages


def test_a_hint_that_comes_while_the_set_is_read_leads_to_one_more_read(systems: Systems) -> None:
    systems.once()
    hint(systems, "accounts")
    with systems.cycle.world.engine.connect() as other:

        def hint_once() -> None:
            if not said:
                said.append(True)
                with other.begin():
                    other.execute(sa.text("select sync.hint('sales', array['accounts'])"))

        said: list[bool] = []
        world = systems.cycle.world
        connectors = {**world.connectors, "sales": Interrupted(world.connectors["sales"], hint_once)}
        cycle = Cycle(replace(world, connectors=connectors), systems.connection)
        reads = []
        for _ in range(3):
            cycle.reads.clear()
            cycle.read_hinted("sales")
            reads.append(set(cycle.reads))
    assert reads == [{"sales.accounts"}, {"sales.accounts"}, set()]


def test_a_set_that_is_read_rarely_does_not_rest_when_it_is_hinted(systems: Systems) -> None:
    systems.once()
    schema = systems.cycle.world.compiled.schema
    accounts = schema.entity_sets["sales", "accounts"]
    slow = replace(accounts, spec=accounts.spec.model_copy(update={"every": "1h"}))
    paced = replace(schema, entity_sets={**schema.entity_sets, ("sales", "accounts"): slow})
    assert "sales.accounts" not in due(systems.connection, paced, "sales")
    hint(systems, "accounts")
    assert "sales.accounts" in due(systems.connection, paced, "sales")
    systems.cycle.read_hinted("sales")
    assert "sales.accounts" not in due(systems.connection, paced, "sales")


def test_a_forged_hint_marks_nothing(systems: Systems) -> None:
    systems.once()
    heard = Heard()
    with receiving(systems, heard) as server:
        assert give(server, key="wrong") == {401}
        assert give(server, table="quote") == {202}
        until(lambda: hinted_sets_of(systems), what="the one that is none")
    assert hinted_sets_of(systems) == {"sales.quotes", "sales.quotedetails"}


def test_an_event_that_is_too_large_is_refused_with_a_length_or_without(systems: Systems) -> None:
    large = b"x" * (400 << 10)
    with receiving(systems, Heard()) as server, httpx2.Client(trust_env=False) as client:
        for content in (large, iter([large])):
            answer = client.post(f"{server.url}/hints/ops", params={"code": KEY}, content=content)
            assert answer.status_code == 413


def test_a_hub_that_was_down_is_told_when_it_is_up(systems: Systems, hub_url: str) -> None:
    systems.once()
    is_down: list[bool] = [True]
    engine = sa.create_engine(systems.cycle.world.engine.url)

    @sa.event.listens_for(engine, "do_connect")
    def refuse(*_: object) -> None:
        if is_down:
            is_down.append(True)
            raise psycopg.OperationalError("the hub is down")

    heard = Heard()
    with receiving(systems, heard, engine) as server:
        assert give(server) == {202}
        until(lambda: heard.problems, what="that it is told")
        is_down.clear()
        until(lambda: hinted_sets_of(systems) == {"sales.accounts"}, what="the hint")
    engine.dispose()
    assert len(heard.problems) == 1


def test_a_hint_gives_way_to_the_work(systems: Systems) -> None:
    """Else the two could wait for each other, and the work might be the one that is ended."""
    systems.once()
    with systems.cycle.world.engine.connect() as other, other.begin():
        other.execute(sa.text("select from sync.entity_set where entity_set = 'accounts' for update"))
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            hint(systems, "accounts")


def standing(items: list[Item]) -> Counter[str]:
    return Counter(item.stands for item in items)


def test_what_is_registered_stays_what_changed_is_mended_and_what_is_too_much_goes(systems: Systems) -> None:
    wanted = registration(systems, "https://hub.example.com")
    steps = 3 * len(systems.cycle.world.compiled.schema.sets_of("sales"))
    assert standing(list(wanted.register(KEY))) == {"missing": steps + 1}
    made = systems.sales.requests["write"]
    assert standing(list(wanted.register(KEY))) == {"there": steps + 1}
    assert systems.sales.requests["write"] == made + 1, "the key, which nobody can read"
    rows = systems.ask_sales("GET", "sdkmessageprocessingsteps")["value"]
    assert len(rows) == steps
    gone, disabled, deaf = rows[:3]
    systems.ask_sales("DELETE", f"sdkmessageprocessingsteps({gone['sdkmessageprocessingstepid']})")
    systems.ask_sales("PATCH", f"sdkmessageprocessingsteps({disabled['sdkmessageprocessingstepid']})",
                      {"statecode": 1, "statuscode": 2})  # fmt: skip
    systems.ask_sales("PATCH", f"sdkmessageprocessingsteps({deaf['sdkmessageprocessingstepid']})",
                      {"filteringattributes": "createdon"})  # fmt: skip
    left = {"missing": 1, "changed": 2, "there": steps - 2}
    assert standing(wanted.look()) == left
    assert standing(list(wanted.register(KEY))) == left
    assert standing(wanted.look()) == {"there": steps + 1}
    moved = registration(systems, "https://other.example.com")
    assert [item.kind for item in moved.register(KEY) if item.stands == "changed"] == ["endpoint"]
    fewer = registration(systems, "https://other.example.com")
    fewer._sets.pop("contact")
    assert standing(list(fewer.register(KEY)))["surplus"] == 3
    assert standing(fewer.look()) == {"there": steps - 2}
    assert [item.kind for item in fewer.remove()] == ["step"] * (steps - 3) + ["endpoint"]
    assert list(fewer.remove()) == []
    assert systems.ask_sales("GET", "serviceendpoints")["value"] == []


def test_the_key_is_shown_nowhere_also_where_the_system_repeats_it(systems: Systems) -> None:
    sales = systems.cycle.world.connectors["sales"]
    assert isinstance(sales, Dataverse)
    told = {"error": {"code": "0x1", "message": f"authvalue {KEY} is not liked"}}

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.method == "POST":
            return httpx2.Response(400, json=told)
        return systems.wire["sales"].handle_request(request)

    sales.http._client = httpx2.Client(transport=httpx2.MockTransport(answer))
    with pytest.raises(RequestRefused) as caught:
        list(registration(systems, "https://hub.example.com").register(KEY))
    assert "is not liked" in caught.value.message
    assert KEY not in str(caught.value)


def test_a_set_that_does_not_say_its_table_cannot_be_registered(systems: Systems) -> None:
    sales = systems.cycle.world.connectors["sales"]
    assert isinstance(sales, Dataverse)
    spec = systems.cycle.world.compiled.schema.entity_sets["sales", "uoms"].spec
    with pytest.raises(Terminal, match="does not say which table") as caught:
        Registration(sales.http, "https://hub.example.com", [spec.model_copy(update={"logical_name": None})])
    assert "logical_name" in caught.value.hint
    unknown = Registration(sales.http, "https://a.example.com", [spec.model_copy(update={"logical_name": "nothing"})])
    with pytest.raises(Terminal, match="lets nobody hear of Create of nothing"):
        unknown.look()


@pytest.mark.parametrize(
    ("entity_set", "values", "words"),
    [
        ("serviceendpoints", {"url": "http://hub.example.com"}, "begin with https"),
        ("serviceendpoints", {"authvalue": ""}, "authentication value"),
        ("serviceendpoints", {"contract": 1}, "valid range"),
        ("serviceendpoints", {"name": None}, "name"),
        ("sdkmessageprocessingsteps", {"stage": 20}, "stage 40"),
        ("sdkmessageprocessingsteps", {"mode": 0}, "asynchronous"),
        ("sdkmessageprocessingsteps", {"nothing": 1}, "does not exist"),
    ],
)
def test_the_simulated_system_takes_only_what_the_real_one_takes(
    systems: Systems, entity_set: str, values: Mapping[str, object], words: str
) -> None:
    list(registration(systems, "https://hub.example.com").register(KEY))
    row = systems.ask_sales("GET", entity_set)["value"][0]
    assert "authvalue" not in row
    with pytest.raises(AssertionError, match=words):
        systems.ask_sales("PATCH", f"{entity_set}({row[f'{entity_set[:-1]}id']})", values)
    endpoint = systems.ask_sales("GET", "serviceendpoints")["value"][0]
    for path in ("serviceendpoints?$select=authvalue", "serviceendpoints?$filter=authvalue eq 'a'",
                 f"serviceendpoints({endpoint['serviceendpointid']})/authvalue"):  # fmt: skip
        with pytest.raises(AssertionError, match="authvalue"):
            systems.ask_sales("GET", path)
    with pytest.raises(AssertionError, match="associated with another object"):
        systems.ask_sales("DELETE", f"serviceendpoints({endpoint['serviceendpointid']})")


def found(systems: Systems, *, alive: bool = True) -> list[str]:
    """What a preflight finds about hints."""
    notes = Report()
    world = systems.cycle.world
    sets = world.compiled.schema.sets_of("sales")
    since = hints_check.check(SETTINGS, sets, world.connectors["sales"], notes)
    if since is not None and alive:
        hints_check.check_alive(systems.connection, "sales", since, notes)
    assert notes.errors == []
    return [f"{note.where}: {note.what}; {note.next}" for note in notes.findings]


def test_a_preflight_finds_what_is_not_registered(systems: Systems) -> None:
    next_ = "replicator hints register sales"
    assert found(systems) == [f"sales: it gives no hints: it has no endpoint for them; {next_}"]
    wanted = registration(systems, SETTINGS.url)
    list(wanted.register(KEY))
    assert found(systems) == []
    for row in systems.ask_sales("GET", "sdkmessageprocessingsteps")["value"][:5]:
        systems.ask_sales("DELETE", f"sdkmessageprocessingsteps({row['sdkmessageprocessingstepid']})")
    (told,) = found(systems)
    assert told.startswith("sales: hints are not registered as they should be: replicator: sales: account Create is ")
    assert told.endswith(f"is missing; and 2 more; {next_}")
    notes = Report()
    assert hints_check.check(SETTINGS, (), systems.cycle.world.connectors["ops"], notes) is None
    assert notes == Report()


def test_a_preflight_finds_sets_whose_changes_are_read_and_of_which_no_hint_comes(systems: Systems) -> None:
    systems.reference_data()
    list(registration(systems, SETTINGS.url).register(KEY))
    systems.once()
    systems.account("A-1")
    systems.once()
    assert found(systems, alive=False) == []
    read = "update sync.snapshot set started_at = cast(:at as timestamptz) + cast(:later as interval)"
    systems.run(read, at=NOW, later="9 minutes")
    assert found(systems) == [], "it may still be under way"
    systems.run(read, at=NOW, later="11 minutes")
    (told,) = found(systems)
    assert told.startswith("sales.accounts: it was changed, as read 2026-11-23 08:11 UTC, and no hint of that came")
    assert "there was none; see the failed system jobs" in told
    hinted = "update sync.entity_set set hinted_at = cast(:at as timestamptz) + cast(:later as interval)"
    systems.run(hinted, at=NOW, later="2 minutes")
    assert found(systems) == []
    systems.run(read, at=NOW, later="13 minutes")
    assert "the last was 2026-11-23 08:02 UTC" in found(systems)[0]


HINTS = "hints: {listen: '127.0.0.1:0', url: 'https://hub.example.com/', key: {env: HINTS_KEY}}\n"


def test_the_command_registers_lists_and_removes(workplace: Workplace) -> None:
    workplace.environment["HINTS_KEY"] = KEY
    workplace.configure(workplace.sandbox().urls, more=HINTS)
    no_endpoint = "it gives no hints: it has no endpoint for them"
    assert no_endpoint in told_by_check(workplace)
    listed = workplace.tell("hints", "list", "sales")
    assert (listed.code, listed.out.count("missing")) == (3, 28)
    registered = workplace.tell("hints", "register", "sales", "--json")
    assert registered.json["url"] == "https://hub.example.com/hints/sales"
    assert {item["stands"] for item in registered.json["items"]} == {"made"}
    again = workplace.tell("hints", "register", "sales")
    assert again.out.splitlines()[0] == "endpoint  there    replicator: sales"
    assert again.out.splitlines()[1] == "step      there    replicator: sales: account Create"
    assert again.out.splitlines()[-1] == "sales gives its hints to https://hub.example.com/hints/sales"
    assert workplace.tell("hints", "list", "sales").code == 0
    assert no_endpoint not in told_by_check(workplace)
    assert workplace.tell("hints", "remove", "sales").out.count("removed") == 28
    assert workplace.tell("hints", "remove", "sales").out == "sales: nothing is registered\n"
    for each in (listed, registered, again):
        assert KEY not in each.told


def told_by_check(workplace: Workplace) -> list[str]:
    checked = workplace.tell("check", "--json")
    assert KEY not in checked.told
    return [note["what"] for note in checked.json["findings"] if note["where"] == "sales"]


def test_where_nothing_can_be_registered_the_command_says_what_to_do(workplace: Workplace) -> None:
    workplace.environment["HINTS_KEY"] = KEY
    urls = workplace.sandbox().urls
    workplace.configure(urls, more=HINTS)
    elsewhere = workplace.tell("hints", "register", "ops")
    assert elsewhere.code == 1
    assert "switched on in its own workspace" in elsewhere.err
    assert "https://hub.example.com/hints/ops?code=KEY" in elsewhere.err
    assert KEY not in elsewhere.told
    assert "there is no system 'nobody'" in workplace.tell("hints", "list", "nobody").err
    workplace.configure(urls)
    off = workplace.tell("hints", "list", "sales")
    assert (off.code, "the configuration has no 'hints:'" in off.err) == (1, True)


@pytest.mark.thorough
def test_the_daemon_hears_what_it_registered_for(workplace: Workplace) -> None:
    """On a port that was free a moment ago, for the system has to be told of it before."""
    with WebServer(lambda *_: [], "free", "127.0.0.1", 0) as free:
        url, port = free.url, free.port
    systems = workplace.sandbox()
    hints = f"hints: {{listen: '127.0.0.1:{port}', url: '{url}', key: {{env: HINTS_KEY}}}}\n"
    workplace.environment["HINTS_KEY"] = KEY
    workplace.configure(systems.urls, more=hints)
    text = (workplace.folder / "replicator.yaml").read_text(encoding="utf-8")
    (workplace.folder / "replicator.yaml").write_text(text.replace("poll_seconds: 0.5", f"poll_seconds: {NEVER}", 1))
    assert workplace.tell("hints", "register", "sales").code == 0
    daemon = workplace.start("run")
    assert daemon.logged("hints")["url"] == url
    daemon.logged("start")
    until(lambda: workplace.tell("status", "--json").json["leader"], what="the lead")
    systems.create("sales", "uomschedules", {"name": "Default unit"})
    until(lambda: daemon_read(daemon.err, "sales.uomschedules"), what="the read")
    assert daemon.end() == 0
    assert KEY not in "\n".join(daemon.err)


def daemon_read(lines: list[str], entity_set: str) -> bool:
    return any('"event": "snapshot"' in line and entity_set in line for line in list(lines))
