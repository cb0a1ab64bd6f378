"""Attacks on the console's door: guesses, forged headers, other sites, and addresses that nothing has."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from replicator.config import ConsoleSettings
from replicator.console import decisions
from replicator.console.access import COOKIE, SECURE_COOKIE
from replicator.console.app import Console
from replicator.console.decisions import actions
from replicator.console.serve import serving
from replicator.hub.connection import connect
from replicator.hub.session import CONSOLE
from replicator.operate import metrics
from tests.fixtures.operators import Browser, token_of

pytestmark = pytest.mark.thorough

TOKEN = "a token of some length"
PUBLIC = "http://hub.example.com"
"""How a request for https://hub.example.com reaches the console behind its proxy."""


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged meanwhile."""
    with capture_logs() as found:
        yield found


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def closed(hub: sa.Engine, clock: Clock) -> Console:
    """A console that wants a token, behind the proxy 10.0.0.5."""
    return console_of(hub, clock, token=TOKEN, proxies=["10.0.0.5"])


def console_of(hub: sa.Engine, clock: Clock, **settings: object) -> Console:
    return Console(hub, ConsoleSettings.model_validate(settings), clock=clock)


def test_a_guess_at_the_token_is_logged_without_it_and_the_next_ones_wait_longer_and_longer(
    closed: Console, clock: Clock, logged: list[MutableMapping[str, Any]]
) -> None:
    browser = Browser(closed)
    browser.address = "192.0.2.7"
    waits = []
    for _ in range(12):
        answer = browser.log_in("secret-name", "wrong-secret")
        while answer.status_code == 429:
            waits.append(int(answer.headers["Retry-After"]))
            clock.now += waits[-1]
            answer = browser.log_in("secret-name", "wrong-secret")
        assert answer.status_code == 401
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    refused = [line for line in logged if line["event"] == "login"]
    assert len(refused) == 12
    assert {line["address"] for line in refused} == {"192.0.2.7"}
    assert "secret" not in str(logged)


def test_many_guesses_at_once_are_no_way_round(closed: Console) -> None:
    def guess(_: int) -> int:
        return Browser(closed).log_in("Ada", "wrong").status_code

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(guess, range(40)))
    assert found.count(401) == 3
    assert found.count(429) == 37


def test_a_guesser_keeps_nobody_else_out_and_is_forgiven_when_right(closed: Console, clock: Clock) -> None:
    guesser, person = Browser(closed), Browser(closed)
    guesser.address, person.address = "192.0.2.7", "192.0.2.8"
    for _ in range(20):
        guesser.log_in("Ada", "wrong")
    assert guesser.log_in("Ada", TOKEN).status_code == 429
    assert person.log_in("Grace", TOKEN).status_code == 303
    clock.now += 61
    assert guesser.log_in("Ada", TOKEN).status_code == 303


def test_the_addresses_of_one_ipv6_subscriber_are_one(closed: Console) -> None:
    def guess(address: str) -> int:
        browser = Browser(closed)
        browser.address = address
        return browser.log_in("Ada", "wrong").status_code

    assert [guess(f"2001:db8::{number}") for number in range(5)] == [401, 401, 401, 429, 429]
    assert guess("2001:db8:0:1::1") == 401


def test_only_a_named_proxy_says_for_whom_it_asks(closed: Console, logged: list[MutableMapping[str, Any]]) -> None:
    def guess(address: str, forwarded: str) -> int:
        browser = Browser(closed)
        browser.address, browser.headers = address, {"X-Forwarded-For": forwarded}
        return browser.log_in("Ada", "wrong").status_code

    assert [guess("192.0.2.7", f"198.51.100.{number}") for number in range(4)] == [401, 401, 401, 429]
    assert {(line["address"], line["address_from"]) for line in logged} == {("192.0.2.7", None)}
    logged.clear()
    assert [guess("10.0.0.5", f"6.6.6.6, 198.51.100.{number}") for number in range(4)] == [401] * 4
    assert {line["address_from"] for line in logged} == {"X-Forwarded-For"}
    assert {line["address"] for line in logged} == {f"198.51.100.{number}" for number in range(4)}


def test_a_person_who_types_the_token_as_a_name_is_not_let_in_with_it(
    closed: Console, logged: list[MutableMapping[str, Any]]
) -> None:
    assert Browser(closed).log_in(f"Ada {TOKEN}", TOKEN).status_code == 401
    assert TOKEN not in str(logged)


def test_a_login_that_another_site_fills_in_is_refused(closed: Console) -> None:
    """So that nobody works, without knowing, under a name that somebody else gave."""
    victim, attacker = Browser(closed), Browser(closed)
    theirs = token_of(attacker.open("/login").text)
    for token in ("", theirs):
        answer = victim.post("/login", form_token=token, name="Mallory", token=TOKEN)
        assert (answer.status_code, "out of date" in answer.text) == (400, True)
    victim.open("/login")
    answer = victim.post("/login", form_token=theirs, name="Mallory", token=TOKEN)
    assert answer.status_code == 400
    assert "you are" not in victim.open("/").text
    assert victim.log_in("Ada", TOKEN).status_code == 303


def test_a_stranger_is_given_nothing_to_try_guesses_against_at_home(hub: sa.Engine, clock: Clock) -> None:
    """What is signed for him has nothing to do with the token: another process with the same one does not know it."""
    stranger = Browser(console_of(hub, clock, token=TOKEN))
    form_token = token_of(stranger.open("/login").text)
    cookie = stranger.client.get_cookie(COOKIE)
    assert cookie is not None
    other = Browser(console_of(hub, clock, token=TOKEN))
    other.client.set_cookie(COOKIE, cookie.value)
    assert other.post("/login", form_token=form_token, name="Ada", token=TOKEN).status_code == 400
    assert stranger.post("/login", form_token=form_token, name="Ada", token=TOKEN).status_code == 303


def test_the_form_of_the_login_gives_no_session(closed: Console) -> None:
    browser = Browser(closed)
    form_token = token_of(browser.open("/login").text)
    assert browser.open("/").status_code == 401
    browser.client.set_cookie(COOKIE, form_token)
    assert browser.open("/").status_code == 401


@pytest.mark.parametrize("way", ["its address is configured", "the proxy says so"])
def test_where_the_browser_came_by_tls_its_cookie_goes_nowhere_else(hub: sa.Engine, clock: Clock, way: str) -> None:
    """Also one that comes with a page, in answer to a request without any origin."""
    by_address = way == "its address is configured"
    settings = {"urls": ["https://hub.example.com"]} if by_address else {"proxies": ["10.0.0.5"]}
    browser = Browser(console_of(hub, clock, **settings))
    browser.base, browser.address = PUBLIC if by_address else "http://localhost", "10.0.0.5"
    browser.headers = {} if by_address else {"X-Forwarded-Proto": "https"}
    cookie = browser.open("/").headers["Set-Cookie"]
    assert cookie.startswith(f"{SECURE_COOKIE}=")
    assert {"Secure", "Path=/", "HttpOnly", "SameSite=Strict"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "Set-Cookie" not in browser.open("/").headers, "it is taken back"
    origin = {"Origin": browser.base.replace("http:", "https:"), "Sec-Fetch-Site": "same-origin"}
    data = {"form_token": token_of(browser.open("/").text), "scope": "sales"}
    assert browser.post("/decide/pause", origin, **data).status_code == 303
    for other in ("http://hub.example.com", "https://hub.example.com:8443", "https://example.com"):
        assert browser.post("/decide/pause", {"Origin": other}, **data).status_code == 400, other


def test_a_cookie_without_the_safe_name_counts_for_nothing_where_the_browser_came_by_tls(
    hub: sa.Engine, clock: Clock
) -> None:
    """Another site of the same name, or one below it, can set that one."""
    browser = Browser(console_of(hub, clock, token=TOKEN, urls=["https://hub.example.com"]))
    browser.log_in("Mallory", TOKEN)
    planted = browser.client.get_cookie(COOKIE)
    assert planted is not None
    victim = Browser(browser.console)
    victim.base = PUBLIC
    victim.client.set_cookie(COOKIE, planted.value, domain="hub.example.com")
    assert victim.open("/").status_code == 401
    assert victim.log_in("Ada", TOKEN).status_code == 303
    assert "you are <strong>Ada</strong>" in victim.open("/").text
    victim.post("/logout", form_token=token_of(victim.open("/").text))
    assert victim.open("/").status_code == 401


def test_nobody_but_a_proxy_says_that_the_browser_came_by_tls(closed: Console) -> None:
    browser = Browser(closed)
    browser.headers = {"X-Forwarded-Proto": "https"}
    assert browser.open("/").headers["Set-Cookie"].startswith(f"{COOKIE}=")


@pytest.mark.parametrize(
    ("settings", "believed", "refused"),
    [
        ({}, ("127.0.0.1", "127.0.0.2", "::1"), ("10.0.0.5", "192.0.2.7", "", "unix:")),
        ({"proxies": ["10.0.0.5", "10.1.0.0/24"]}, ("10.0.0.5", "10.1.0.9"), ("127.0.0.1", "10.1.1.9", "192.0.2.7")),
        ({"proxies": ["10.0.0.5"], "listen": "10.0.0.1:8080"}, ("10.0.0.5",), ("127.0.0.1", "10.0.0.1", "10.0.0.6")),
    ],
)
def test_only_the_proxy_says_who_is_there(
    hub: sa.Engine, clock: Clock, settings: dict[str, object], believed: tuple[str, ...],
    refused: tuple[str, ...], logged: list[MutableMapping[str, Any]],
) -> None:  # fmt: skip
    console = console_of(hub, clock, identity_header="X-Forwarded-User", **settings)
    for address in believed:
        browser = Browser(console)
        browser.base, browser.address = f"http://{settings.get('listen', 'localhost')}", address
        assert browser.open("/").status_code == 403
        browser.headers = {"X-Forwarded-User": "Ada", "X-Forwarded-For": "192.0.2.7"}
        assert "you are <strong>Ada</strong>" in browser.open("/").text
    logged.clear()
    for address in refused:
        browser = Browser(console)
        browser.base, browser.address = f"http://{settings.get('listen', 'localhost')}", address
        browser.headers = {"X-Forwarded-User": "Ada", "X-Forwarded-For": believed[0]}
        answer = browser.open("/")
        assert (answer.status_code, "through its proxy only" in answer.text) == (403, True), address
        assert (logged[-1]["event"], logged[-1]["outcome"], logged[-1]["address"]) == ("login", "refused", address)
    assert len(logged) == len(refused)


def test_another_person_of_the_proxy_takes_over_nobodys_session(hub: sa.Engine, clock: Clock) -> None:
    browser = Browser(console_of(hub, clock, identity_header="X-User"))
    for name in ("Ada", "Grace"):
        browser.headers = {"X-User": name}
        assert f"you are <strong>{name}</strong>" in browser.open("/").text


STRANGE = ("%00", "a%00b", "9" * 19, "9" * 5000, "9e30", "-1", "%ED%A0%80", "%FF%FE", "x" * 9000, "'", "%25",
           "%0D%0AX-Evil:%201", "²")  # fmt: skip
PARTS = {"kind": "account", "key": "A-1", "table": "common.account", "number": "1", "name": "x", "system": "sales",
         "entity_set": "accounts", "filename": "console.css"}  # fmt: skip
ARGUMENTS = ("page", "before", "read", "window", "flow", "live", "records")
FIELDS = {
    **dict.fromkeys(("retry", "skip", "approve", "reject"), ("flow", "cause", "record", "only", "why", "back")),
    "resolve": ("conflict", "take", "value", "why"), "pause": ("scope", "why"), "resume": ("scope",),
    "resync": ("kind", "key", "back"),
}  # fmt: skip
GOOD = {"scope": "sales", "kind": "account", "key": "A-1", "conflict": "1", "flow": "none"}


def addresses(console: Console, strange: str) -> Iterator[str]:
    """Every address that the console answers, with this in the place of each of its parts and arguments."""
    for rule in console.url_map.iter_rules():
        if "GET" not in (rule.methods or ()):
            continue
        plain = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for part in re.findall(r"{(\w+)}", plain):
            yield plain.format_map({**PARTS, part: strange})
        there = plain.format_map(PARTS)
        for names in (ARGUMENTS, ("state",), ("kind",), ("key",), ("did",)):
            others = {"kind": "account", "key": "A-1", "did": "retry", "state": "failed"}
            arguments = {**others, **dict.fromkeys(names, strange)}
            yield f"{there}?" + "&".join(f"{name}={value}" for name, value in arguments.items())
        yield f"{there}?{strange}={strange}"


@pytest.mark.parametrize("strange", STRANGE, ids=range(len(STRANGE)))
def test_an_address_that_nothing_has_is_not_there_and_breaks_nothing(
    browser: Browser, strange: str, logged: list[MutableMapping[str, Any]]
) -> None:
    for address in addresses(browser.console, quote(strange, safe="%'{}[]\\-")):
        answer = browser.open(address)
        assert answer.status_code in (200, 303, 401, 404), (address[:200], answer.status_code)
        if "%00" in strange and "static" not in address:
            named = address.partition("?")[2].startswith(strange)
            assert named or answer.status_code == 404, address
    assert not [line for line in logged if line["event"] in ("console", "problem")]


@pytest.mark.parametrize("strange", STRANGE, ids=range(len(STRANGE)))
def test_a_form_with_what_nothing_has_is_refused_and_breaks_nothing(
    browser: Browser, strange: str, logged: list[MutableMapping[str, Any]]
) -> None:
    form_token = browser.token()
    assert set(FIELDS) == set(actions)
    for action, fields in FIELDS.items():
        for field in fields:
            sent = {**GOOD, "form_token": form_token, field: quote(strange, safe="%")}
            answer = browser.client.post(
                f"/decide/{action}", base_url=browser.base, content_type="application/x-www-form-urlencoded",
                data="&".join(f"{name}={value}" for name, value in sent.items()),
            )  # fmt: skip
            assert answer.status_code in (303, 400, 409), (action, field, answer.status_code)
            assert "%00" not in strange or answer.status_code == 400
    assert browser.post("/decide/" + strange[:50], form_token=form_token).status_code in (303, 400, 404)
    assert not [line for line in logged if line["event"] in ("console", "problem")]


def test_pages_that_wait_for_the_hub_end_and_say_so(hub_url: str) -> None:
    few = replace(CONSOLE, kept=1, added=0, wait_seconds=1)
    engine = connect(hub_url, sessions=few)
    browser = Browser(Console(engine, ConsoleSettings()))
    with engine.connect():
        answer = browser.open("/")
    assert (answer.status_code, "took too long" in answer.text) == (503, True)
    assert browser.open("/").status_code == 200
    engine.dispose()


def test_a_decision_that_waits_for_the_hub_ends_and_says_so(hub: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "_LONGEST_DECISION", "300ms")
    browser = Browser(Console(hub, ConsoleSettings()))
    form_token = browser.token()
    with hub.connect() as connection, connection.begin():
        connection.execute(sa.text("lock table sync.pause in access exclusive mode"))
        answer = browser.post("/decide/pause", form_token=form_token, scope="sales")
    assert (answer.status_code, "took too long" in answer.text) == (503, True)


def test_what_fails_inside_is_logged_without_the_token(
    hub: sa.Engine, clock: Clock, logged: list[MutableMapping[str, Any]]
) -> None:
    """Also where somebody pasted it into an address, and the failure repeats that."""
    browser = Browser(console_of(hub, clock, token=TOKEN))
    browser.log_in("Ada", TOKEN)

    def fail(*happened: object) -> None:
        raise RuntimeError(f"this fails: {happened[3]}")

    sa.event.listen(hub, "before_cursor_execute", fail)
    assert browser.open(f"/causes/{quote(TOKEN)}").status_code == 500
    [line] = [line for line in logged if line["event"] == "console"]
    assert "this fails" in line["exception"]
    assert TOKEN not in str(line)
    assert quote(TOKEN) not in str(line)


def test_behind_a_proxy_with_tls_a_person_logs_in_and_decides(hub_url: str) -> None:
    """Over real HTTP, as the proxy sends it."""
    settings = ConsoleSettings.model_validate(
        {"listen": "127.0.0.1:0", "token": TOKEN, "urls": ["https://hub.example.com"], "proxies": ["127.0.0.1"]}
    )
    engine = connect(hub_url, sessions=CONSOLE)
    sent = {"Host": "hub.example.com", "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    posted = {**sent, "Origin": "https://hub.example.com", "Sec-Fetch-Site": "same-origin"}
    with serving(engine, settings) as url, capture_logs() as logged:

        def ask(path: str, cookie: str, **data: str) -> httpx2.Response:
            headers = {**(posted if data else sent), "Cookie": cookie}
            return httpx2.request(
                "POST" if data else "GET", url + path, headers=headers, data=data or None, trust_env=False
            )

        door = ask("/login", "")
        cookie = door.headers["Set-Cookie"].partition(";")[0]
        answer = ask("/login", cookie, form_token=token_of(door.text), name="Ada", token=TOKEN)
        assert answer.status_code == 303
        cookie = answer.headers["Set-Cookie"].partition(";")[0]
        assert cookie.startswith(SECURE_COOKIE)
        page = ask("/", cookie)
        answer = ask("/decide/pause", cookie, form_token=token_of(page.text), scope="sales")
        assert answer.status_code == 303
        assert "<strong>sales is paused</strong>" in ask("/", cookie).text
    assert ("Ada", "192.0.2.7") in {(line.get("by"), line.get("address")) for line in logged}
    engine.dispose()


def test_idle_connections_keep_nobody_out_of_console_and_metrics(hub_url: str) -> None:
    engine = connect(hub_url, sessions=CONSOLE)
    settings = ConsoleSettings(listen="127.0.0.1:0")
    with (
        serving(engine, settings) as url,
        metrics.serve(engine, "127.0.0.1", 0) as server,
        ExitStack() as idle,
    ):
        for port in (int(url.rpartition(":")[2]), server.port):
            for _ in range(150):
                idle.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
        for address in (url, server.url):
            assert httpx2.get(address, trust_env=False, timeout=10).status_code == 200
    engine.dispose()


def test_raw_bytes_in_an_address_break_nothing(hub_url: str) -> None:
    engine = connect(hub_url, sessions=CONSOLE)
    with serving(engine, ConsoleSettings(listen="127.0.0.1:0")) as url:
        port = int(url.rpartition(":")[2])
        for target in (b"/causes/\xff\xed\xa0\x80", b"/record/x/%00", b"/at/x/" + b"9" * 5000, b"//x", b"/\\", b"*",
                       b"http://[/", b"/" + b"x" * 300_000):  # fmt: skip
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
                with client.makefile("rb") as stream:
                    status = int(stream.readline().split()[1])
            assert status in (200, 303, 400, 404, 431), (target[:40], status)
    engine.dispose()
