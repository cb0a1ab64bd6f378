"""Reads that break, in every way that is known: nothing is ever deleted because of one, and it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import httpx2
import pytest
import simplejson

from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

MANY = 20
Page = dict[str, Any]
Answer = Callable[[httpx2.Request, Page], httpx2.Response]


def page(alter: Callable[[Page], Mapping[str, Any]]) -> Answer:
    """The page as the system answers it, altered."""
    return lambda request, found: httpx2.Response(200, json=dict(alter(found)))


def refusing(status: int) -> Answer:
    return lambda request, found: httpx2.Response(status, json={"error": {"code": "", "message": "no"}})


def half(request: httpx2.Request, found: Page) -> httpx2.Response:
    text = simplejson.dumps(found)
    return httpx2.Response(200, headers={"Content-Type": "application/json"}, text=text[: len(text) // 2])


def html(request: httpx2.Request, found: Page) -> httpx2.Response:
    return httpx2.Response(200, headers={"Content-Type": "text/html"}, text="<html>Sign in</html>")


def looping(request: httpx2.Request, found: Page) -> httpx2.Response:
    return httpx2.Response(200, json={**found, "@odata.nextLink": str(request.url)})


def cut(request: httpx2.Request, found: Page) -> httpx2.Response:
    class Cut(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield simplejson.dumps(found).encode()[:100]
            raise httpx2.RemoteProtocolError("the line went dead")

    return httpx2.Response(200, headers={"Content-Type": "application/json"}, stream=Cut())


BROKEN: dict[str, Answer] = {
    "empty": page(lambda found: {**found, "value": []}),
    "shrunken": page(lambda found: {**found, "value": found["value"][:2]}),
    "without records": page(lambda found: {}),
    "truncated": cut,
    "looping": looping,
    "401": refusing(401),
    "403": refusing(403),
    "404": refusing(404),
    "HTML": html,
    "half JSON": half,
}
SETS = {"sales": ("accounts", "sales.accounts"), "ops": ("SellableReleasedProducts", "ops.sellable_released_products")}


@pytest.fixture(autouse=True)
def in_step(systems: Systems) -> None:
    """Accounts of sales that are customers of ops, and products of ops that are in sales."""
    systems.reference_data()
    for number in range(MANY):
        systems.account(f"A-{number}")
        systems.product(f"P-{number}")
    systems.settle()


@pytest.mark.parametrize("system", SETS)
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_read_that_is_broken_deletes_nothing_and_is_shown(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, system: str, answer: Answer
) -> None:
    name, mirror = SETS[system]
    wire = systems.wire[system]
    send, writes = wire.handle_request, systems.writes()

    def act(request: httpx2.Request) -> httpx2.Response:
        response = send(request)
        if request.method != "GET" or not request.url.path.endswith(f"/{name}"):
            return response
        return answer(request, simplejson.loads(response.read(), use_decimal=False))

    with monkeypatch.context() as broken:
        broken.setattr(wire, "handle_request", act)
        systems.cycle.once(whole=True)
    assert len(systems.rows(f"select id from {mirror}")) == MANY
    assert systems.writes() == writes, "no system was written to"
    shown = systems.rows(
        "select entity_set from sync.problems where system = :system"
        " union all select entity_set from sync.held where system = :system", system=system,
    )  # fmt: skip
    assert {"entity_set": name} in shown
    systems.problems.found.clear()
    systems.cycle.once(whole=True)
    assert systems.rows("select entity_set from sync.problems union all select entity_set from sync.held") == []
    assert (systems.writes(), systems.problems.found) == (writes, [])


@pytest.mark.parametrize("system", SETS)
@pytest.mark.parametrize("bound", [{"pages_per_read": 30}, {"read_seconds": 0.3}])
def test_a_read_whose_pages_never_end_is_given_up_and_deletes_nothing(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, system: str, bound: dict[str, float]
) -> None:
    name, mirror = SETS[system]
    http = systems.cycle.world.connectors[system].http  # type: ignore[attr-defined]
    send, writes, pages = systems.wire[system].handle_request, systems.writes(), count(1)

    def act(request: httpx2.Request) -> httpx2.Response:
        if request.method != "GET" or not request.url.path.endswith(f"/{name}"):
            return send(request)
        return httpx2.Response(200, json={"value": [], "@odata.nextLink": f"{name}?page={next(pages)}"})

    with monkeypatch.context() as endless:
        endless.setattr(systems.wire[system], "handle_request", act)
        endless.setattr(http, "settings", http.settings.model_copy(update=bound))
        systems.cycle.once(whole=True)
    assert len(systems.rows(f"select id from {mirror}")) == MANY
    assert systems.writes() == writes
    (problem,) = systems.rows("select entity_set, problem from sync.problems where system = :system", system=system)
    assert problem["entity_set"] == name
    assert next(iter(bound)) in problem["problem"], "what to allow more of is said"
    assert systems.rows("select 1 from sync.held") == []
    systems.problems.found.clear()
    systems.cycle.once(whole=True)
    assert systems.rows("select entity_set from sync.problems") == []


@pytest.mark.parametrize(
    "answer", [401, 429, None], ids=["the credentials are refused", "it is throttling", "it is gone"]
)
def test_a_system_that_fails_as_a_whole_is_asked_and_told_once_and_the_other_is_read(
    systems: Systems, monkeypatch: pytest.MonkeyPatch, answer: int | None
) -> None:
    asked: list[httpx2.Request] = []

    def refuse(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        if answer is None:
            raise httpx2.ConnectError("refused", request=request)
        return httpx2.Response(answer, json={})

    systems.product("P-new")
    with monkeypatch.context() as broken:
        broken.setattr(systems.wire["sales"], "handle_request", refuse)
        systems.cycle.read()
    assert len(asked) == 1
    assert [where for where, _ in systems.problems.found] == ["sales"]
    unread = systems.rows("select entity_set, problem from sync.problems where system = 'sales'")
    assert len(unread) == len(systems.cycle.world.compiled.schema.sets_of("sales"))
    assert len({row["problem"] for row in unread}) == 1
    assert systems.rows("select count(*) as records from ops.sellable_released_products")[0]["records"] == MANY + 1


def test_a_set_that_may_not_be_read_keeps_no_other_set_of_its_system_from_being_read(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = systems.wire["sales"].handle_request

    def forbid(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(403, json={}) if "/accounts" in request.url.path else send(request)

    monkeypatch.setattr(systems.wire["sales"], "handle_request", forbid)
    systems.once()
    assert [where for where, _ in systems.problems.found] == ["sales.accounts"]
    assert [row["entity_set"] for row in systems.rows("select entity_set from sync.problems")] == ["accounts"]
