"""The console's pages: each shows what is there, escaped, page by page, and says what its emptiness means."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import psycopg
import pytest
import sqlalchemy as sa

from replicator.config import ConsoleSettings
from replicator.console.app import Console
from replicator.hub.connection import connect
from tests.fixtures.operators import HELD, SCRIPT, Browser
from tests.fixtures.roles import Logins

PAGES = {
    "/": "What moves",
    "/?live=on": 'http-equiv="refresh"',
    "/causes": "postal_code: 34 characters",
    "/blocked": "2 records wait",
    "/records?state=skipped": "QU-4",
    "/records?state=blocked&flow=sales.quotes > quote": "QU-3",
    "/held": f"Delete {HELD} records",
    "/held/sales/accounts": "GONE-1",
    "/conflicts": "555-SALES",
    "/runs": "sales.accounts",
    "/plans": "Plan 1",
    "/plans/1": "60 writes",
    "/decisions": "asked the team",
    "/record/account/A-1": "conflict",
    "/record/sales.accounts/A-2": "not there",
    "/record/quote/QU-3": "A-2",
    "/record/product/P-1": "should be",
    "/record?kind=account&key=A-1": "Side by side",
    "/record": "Find a record",
}


class Outline(HTMLParser):
    """What assistive technology would hear of a page, and what the browser would do by itself."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def test_every_page_shows_what_there_is_to_see(browser: Browser) -> None:
    for path, words in PAGES.items():
        assert words in browser.read(path), path


def test_every_page_can_be_used_without_seeing_it_and_loads_nothing_from_elsewhere(browser: Browser) -> None:
    for path in PAGES:
        outline = Outline(browser.read(path))
        assert len(outline.all("h1")) == len(outline.all("main")) == 1, path
        assert not outline.all("script"), path
        assert not [tag for tag, attrs in outline.tags if "style" in attrs or any(name[:2] == "on" for name in attrs)]
        named = {attrs["for"] for attrs in outline.all("label")}
        for field in outline.all("input") + outline.all("select"):
            hidden = field.get("type") == "hidden"
            assert hidden or field.get("id") in named or field.get("aria-label"), (path, field)
        numbers = [attrs["id"] for _, attrs in outline.tags if attrs.get("id")]
        assert len(numbers) == len(set(numbers)), path
        addresses = [attrs.get("href") or "" for attrs in outline.all("a") + outline.all("link")]
        assert all(address.startswith(("/", "#", "?", "data:")) for address in addresses), path


def test_every_answer_keeps_to_itself(browser: Browser) -> None:
    for path in ("/", "/causes", "/nowhere", "/static/console.css", "/record/account/nobody"):
        headers = browser.open(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
        assert "form-action 'self'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")
        assert headers["Referrer-Policy"] == "same-origin"


def test_a_record_called_like_a_script_is_shown_and_not_run(browser: Browser) -> None:
    for path in ("/causes", f"/record/sales.accounts/{SCRIPT}", f"/record?kind=account&key={SCRIPT}x", "/blocked"):
        text = browser.open(path, follow=True).text
        assert "<script" not in text, path
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in browser.read(f"/record/sales.accounts/{SCRIPT}")
    assert "Long &amp; &lt;b&gt;bold" in browser.read("/record/sales.accounts/A-2")


def test_the_picture_leads_to_the_records_behind_its_numbers(browser: Browser) -> None:
    text = browser.read("/")
    assert "hub-1:4711" in text
    assert "1,234" in text, "requests sent to sales"
    assert "ops is being upgraded" in text
    for link in re.findall(r'class="state is-\w+" href="([^"]+)"', text):
        assert browser.open(link.replace("&amp;", "&")).status_code == 200


def test_a_cause_leads_to_its_records_and_a_record_to_its_page(browser: Browser) -> None:
    [cause] = re.findall(r'href="(/causes/\w+)">mailing_postal_code', browser.read("/causes"))
    text = browser.read(cause)
    assert "1 record, one cause" in text
    [place] = re.findall(r'href="(/at/[^"]+)">A-2', text)
    assert "To do or wrong" in browser.read(place)


def test_blocked_records_stand_below_what_holds_them_up(browser: Browser) -> None:
    text = browser.read("/blocked")
    root, quote, line = (text.index(name) for name in (">A-2<", ">QU-3<", ">QU-3 1<"))
    assert root < quote < line
    assert "at most 20 fit" in text[root:quote]
    assert text[root:line].count('<ul class="waits">') == 2


def test_a_record_is_shown_side_by_side_with_what_differs(browser: Browser) -> None:
    text = browser.read("/record/product/P-1")
    rows = re.findall(r"<tr class=\"differs\">.*?</tr>", text, re.DOTALL)
    [name] = [row for row in rows if ">name" in row]
    assert ">old<" in name
    assert "should be" in name
    assert "Product P-1" in name
    assert "says the hub" in name
    assert "ops.SellableReleasedProducts" in text


def test_a_record_tells_its_history_and_why_it_is_so(browser: Browser) -> None:
    text = browser.read("/record/account/A-1")
    assert "root cause" in text
    assert "phone was changed on both sides" in text
    for change in ("Köln", "555-OPS", "deliver:ops", "merge:sales"):
        assert change in text[text.index('id="history"') :], change


def test_a_part_is_found_by_the_key_of_its_whole_and_its_own(browser: Browser) -> None:
    whole = browser.read("/record/quote/QU-1")
    [part] = re.findall(r'href="(/at/common\.\w+/\d+)">1</a>', whole)
    answer = browser.open(part)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/record/quote_line/QU-1%2C1")
    assert "quote_line" not in browser.read(part)[:200]


def test_long_lists_come_page_by_page(browser: Browser) -> None:
    first, second = browser.read("/plans/1"), browser.read("/plans/1?page=2")
    assert (first.count('data-label="Place"'), second.count('data-label="Place"')) == (50, 10)
    assert 'rel="next" href="?page=2"' in first
    assert 'rel="prev" href="?page=1"' in second
    assert 'rel="next"' not in second
    for strange in ("0", "-1", "x", "9" * 30, "²"):
        assert browser.open(f"/plans/1?page={strange}").status_code == 200


def test_what_is_not_there_is_said_without_internals(browser: Browser) -> None:
    for path in ("/nowhere", "/plans/99", "/at/common.account/999999", "/at/pg_catalog.pg_authid/1", "/records?state=x",
                 "/record/account/nobody", "/record/nothing/nobody"):  # fmt: skip
        answer = browser.open(path)
        assert answer.status_code == 404, path
        assert "Traceback" not in answer.text
    assert "Nothing has this cause any more" in browser.read("/causes/ffffffff")
    assert browser.client.delete("/causes", base_url="http://localhost").status_code == 405


def test_an_empty_hub_says_what_its_emptiness_means(hub: sa.Engine) -> None:
    browser = Browser(Console(hub, ConsoleSettings()))
    for path, words in {
        "/": "Nobody leads.", "/causes": "Nothing has failed.", "/blocked": "Nothing is blocked",
        "/held": "No delete is held", "/conflicts": "No conflict is open", "/plans": "No plan is saved",
        "/runs": "No entity set has been read yet", "/decisions": "Nobody has decided anything yet",
        "/records": "No record is in this state",
    }.items():  # fmt: skip
        assert words in browser.read(path), path


def test_whoever_holds_something_back_is_named(logins: Logins, hub_url: str) -> None:
    engine = connect(hub_url, now="2100-01-01")  # so that every transaction is an old one
    browser = Browser(Console(engine, ConsoleSettings()))
    with (
        psycopg.connect(logins.member_of("replicator_reader", hub_url), application_name="a report") as stranger,
        psycopg.connect(hub_url, application_name="an import") as writer,
    ):
        stranger.execute("select pg_advisory_lock(cast('sync.lease'::regclass as bigint))")
        writer.execute("insert into common.unit (code) values ('ea')")
        told = browser.read("/")
    engine.dispose()
    assert re.search("Nothing is written:.* with a report", told)
    assert re.search("A long transaction holds its changes back:.* with an import", told)


def test_a_hub_that_is_gone_is_said_without_where_it_was() -> None:
    engine = sa.create_engine("postgresql+psycopg://nobody:sesame@127.0.0.1:1/none")
    answer = Browser(Console(engine, ConsoleSettings())).open("/")
    assert answer.status_code == 503
    assert "The hub cannot be reached" in answer.text
    assert "sesame" not in answer.text
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize("path", ["/", "/record/account/A-1", "/blocked"])
def test_a_page_comes_quickly(browser: Browser, path: str) -> None:
    browser.read(path)
    took = []
    for _ in range(3):
        since = time.process_time()
        browser.read(path)
        took.append(time.process_time() - since)
    assert min(took) < 0.5
