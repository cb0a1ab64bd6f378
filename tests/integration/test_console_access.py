"""Who may see the console and decide in it; what comes from elsewhere is refused."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from replicator.config import ConsoleSettings
from replicator.console.access import COOKIE
from replicator.console.app import Console
from replicator.errors import ConfigurationError
from tests.fixtures.operators import Browser

TOKEN = "a token of some length"


def console_of(hub: sa.Engine, **settings: object) -> Browser:
    """The console of an empty hub."""
    return Browser(Console(hub, ConsoleSettings.model_validate(settings)))


@pytest.fixture
def closed(hub: sa.Engine) -> Browser:
    """A console that wants a token."""
    return console_of(hub, token=TOKEN)


def test_a_name_that_is_not_the_consoles_is_refused(hub: sa.Engine) -> None:
    browser = console_of(hub, urls=("https://hub.example.com", "http://hub.example.net:81"))
    for base in ("http://localhost", "http://127.0.0.1:8080", "http://[::1]:8080", "http://HUB.example.com",
                 "http://hub.example.com:443", "http://hub.example.net:81"):  # fmt: skip
        assert browser.open("/", base=base).status_code == 200, base
    for base in ("http://evil.example.com", "http://localhost.evil.example.com", "http://127.0.0.1.evil.example",
                 "http://hub.example.com:8080", "http://hub.example.net"):  # fmt: skip
        answer = browser.open("/", base=base)
        assert answer.status_code == 400, base
        assert COOKIE not in answer.headers.get("Set-Cookie", "")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"listen": "10.1.2.3:8080"}, "open to everybody"),
        ({"listen": "0.0.0.0:8080", "token": TOKEN}, "does not know its name"),
        ({"listen": "[::]:8080", "identity_header": "X-User"}, "does not know its name"),
        ({"listen": "10.1.2.3:8080", "identity_header": "X-User"}, "could call himself anybody"),
    ],
)
def test_it_refuses_to_be_open_to_others(hub: sa.Engine, settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        console_of(hub, **settings)


def test_with_a_token_nobody_sees_anything_before_logging_in(closed: Browser) -> None:
    for path in ("/", "/causes", "/record/account/A-1", "/at/common.account/1"):
        answer = closed.open(path)
        assert answer.status_code == 401
        assert "Log in" in answer.text
        assert "Failures" not in answer.text
    assert closed.post("/decide/pause", scope="sales").status_code == 401


def test_logging_in_takes_the_token_and_a_name(closed: Browser) -> None:
    for name, token in (("", TOKEN), ("Ada", TOKEN + " ")):
        answer = closed.log_in(name, token)
        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers
    answer = closed.log_in(" Ada ", TOKEN)
    assert answer.status_code == 303
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert "you are <strong>Ada</strong>" in closed.read("/")


def test_logging_out_ends_the_session(closed: Browser) -> None:
    closed.log_in("Ada", TOKEN)
    assert closed.post("/logout", form_token=closed.token()).status_code == 303
    assert closed.open("/").status_code == 401


def test_a_session_nobody_signed_or_that_is_too_old_is_none(hub: sa.Engine) -> None:
    now = [1_000_000.0]
    settings = ConsoleSettings.model_validate({"token": TOKEN})
    browser = Browser(Console(hub, settings, clock=lambda: now[0]))
    browser.log_in("Ada", TOKEN)
    kept = browser.client.get_cookie(COOKIE)
    assert kept is not None
    for forged in (kept.value[:-2], "x" + kept.value, "", ".", "a.b", "é"):
        browser.client.set_cookie(COOKIE, forged)
        assert browser.open("/").status_code == 401, forged
    browser.client.set_cookie(COOKIE, kept.value)
    assert browser.open("/").status_code == 200
    now[0] += 12 * 3600 + 1
    assert browser.open("/").status_code == 401


def test_a_session_outlives_a_restart_but_not_another_token(hub: sa.Engine) -> None:
    first = console_of(hub, token=TOKEN)
    first.log_in("Ada", TOKEN)
    kept = first.client.get_cookie(COOKIE)
    assert kept is not None
    for token, status in ((TOKEN, 200), ("another token of some length", 401)):
        again = console_of(hub, token=token)
        again.client.set_cookie(COOKIE, kept.value)
        assert again.open("/").status_code == status


def test_a_form_without_the_token_of_its_session_is_refused(browser: Browser) -> None:
    browser.read("/")
    other = Browser(browser.console)
    for token in ("", "x", other.token()):
        answer = browser.post("/decide/pause", scope="sales", form_token=token)
        assert answer.status_code == 400
        assert "out of date" in answer.text
    assert "sales is paused" not in browser.read("/")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example.com"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost:9999"}, {"Origin": "https://localhost:8080"},
     {"Origin": "http://localhost"}, {"Origin": "http://127.0.0.1:8080"}, {"Origin": "http://["}, {"Origin": ""},
     {"Origin": "http://localhost:8080@evil.example.com"}, {"Origin": "http://localhost:99999"}],
)  # fmt: skip
def test_a_form_that_another_site_sends_is_refused(browser: Browser, headers: dict[str, str]) -> None:
    data = {"form_token": browser.token(), "scope": "sales"}
    answer = browser.post("/decide/pause", headers, **data)
    assert answer.status_code == 400
    assert "another site" in answer.text
    same = {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}
    assert browser.post("/decide/pause", same, **data).status_code == 303


def test_a_decision_is_never_a_link(browser: Browser) -> None:
    assert browser.open("/decide/pause?scope=sales").status_code == 405


def test_a_form_that_is_too_large_is_refused(browser: Browser) -> None:
    assert browser.post("/decide/pause", scope="x" * (2 << 20)).status_code == 413
