"""Every decision that the console offers: what it does, who is written down for it, and where it leads."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sqlalchemy as sa

from replicator.config import ConsoleSettings
from replicator.console.app import Console
from tests.fixtures.operators import HELD, Browser


@pytest.fixture
def settings() -> ConsoleSettings:
    """A proxy says who is there."""
    return ConsoleSettings(identity_header="X-User")


@pytest.fixture
def browser(console: Console) -> Browser:
    """Ada at the console."""
    browser = Browser(console)
    browser.headers = {"X-User": "Ada"}
    return browser


def rows(engine: sa.Engine, query: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def last(engine: sa.Engine) -> tuple[Any, ...]:
    """The last decision that was written down."""
    [found] = rows(
        engine, "select by, action, what, record, records, reason from sync.decision order by id desc limit 1"
    )
    return tuple(found)


def states(engine: sa.Engine, *records: str) -> set[str]:
    names = ", ".join(f"'{each}'" for each in records)
    return {row[0] for row in rows(engine, f"select state::text from sync.delivery where record in ({names})")}


def cause_of(browser: Browser) -> str:
    [found] = re.findall(r'href="/causes/(\w+)">mailing_postal_code', browser.read("/causes"))
    return str(found)


def test_a_whole_cause_is_tried_again(browser: Browser, day: sa.Engine) -> None:
    cause = cause_of(browser)
    answer = browser.send("retry", cause=cause, why="corrected in sales", back=f"/causes/{cause}")
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/causes/{cause}?did=retry&records=1"
    assert "will be tried again" in browser.read(answer.headers["Location"])
    assert states(day, "A-2") == {"pending"}
    assert last(day) == ("Ada", "retry", f"cause {cause}", None, 1, "corrected in sales")


def test_one_record_of_a_cause_is_tried_again_by_its_own_button(browser: Browser, day: sa.Engine) -> None:
    browser.send("retry", cause=cause_of(browser), selected="yes", only="A-2")
    assert states(day, "A-2") == {"pending"}
    assert last(day)[3] == "A-2"


def test_ticked_records_are_skipped_and_that_is_taken_back(browser: Browser, day: sa.Engine) -> None:
    flow = "sales.quotes > quote"
    assert browser.send("skip", flow=flow, selected="yes", record=["QU-3"]).status_code == 303
    assert "skipped" in states(day, "QU-3")
    assert "QU-3" in browser.read("/records?state=skipped")
    browser.send("retry", flow=flow, record=["QU-3", "QU-4"])
    assert last(day)[4] == 2
    assert "skipped" not in states(day, "QU-3", "QU-4")


def test_ticking_nothing_decides_nothing(browser: Browser, day: sa.Engine) -> None:
    before = rows(day, "select count(*) from sync.decision")
    answer = browser.send("skip", cause=cause_of(browser), selected="yes")
    assert (answer.status_code, "No record was selected" in answer.text) == (400, True)
    for action in ("retry", "skip", "approve", "reject"):
        answer = browser.send(action)
        assert (answer.status_code, "does not say which" in answer.text) == (400, True)
    assert rows(day, "select count(*) from sync.decision") == before


def test_held_deletes_are_approved_one_by_one_or_kept_as_a_whole(browser: Browser, day: sa.Engine) -> None:
    browser.send("approve", flow="sales.accounts", selected="yes", record=["GONE-1", "GONE-2"])
    browser.send("reject", flow="sales.accounts", why="a mistake")
    found = dict(rows(day, "select state, count(*) from sync.proposed_delete group by state"))
    assert found == {"approved": 2, "rejected": HELD - 2}
    assert {row[0] for row in rows(day, "select decided_by from sync.proposed_delete")} == {"Ada"}
    assert "No delete is held" in browser.read("/held")


def test_held_updates_are_let_go(browser: Browser, day: sa.Engine) -> None:
    assert f"Let all {HELD} go" in browser.read("/held")
    browser.send("approve", flow="product > sales.products")
    assert last(day)[:5] == ("Ada", "approve", "product > sales.products", None, HELD)
    assert "No first delivery waits" in browser.read("/held")


@pytest.mark.parametrize(("fields", "taken"), [({"take": "sales"}, "555-SALES"), ({"value": "555-NEW"}, "555-NEW")])
def test_a_conflict_is_decided_for_a_side_or_for_a_value(
    browser: Browser, day: sa.Engine, fields: dict[str, str], taken: str
) -> None:
    [number] = re.findall(r'name="conflict" value="(\d+)"', browser.read("/conflicts"))[:1]
    browser.send("resolve", conflict=number, why="they called", **fields)
    assert rows(day, "select decided, decided_by from sync.conflict") == [(taken, "Ada")]
    assert last(day)[:2] == ("Ada", "resolve")
    text = browser.read("/conflicts")
    assert "No conflict is open" in text
    assert taken in text


def test_what_the_hub_refuses_is_said_in_its_words(browser: Browser) -> None:
    answer = browser.send("resolve", conflict="1", take="nowhere")
    assert answer.status_code == 409
    assert "conflict 1 holds no value of nowhere" in answer.text
    for fields, words in (
        ({"conflict": "x"}, "does not say which"),
        ({"conflict": "9" * 30, "take": "ops"}, "does not say which"),
    ):
        answer = browser.send("resolve", **fields)
        assert answer.status_code == 400
        assert words in answer.text
    answer = browser.send("pause", scope="nothing")
    assert (answer.status_code, "nothing called" in answer.text) == (409, True)


def test_a_flow_is_paused_and_resumed(browser: Browser, day: sa.Engine) -> None:
    browser.send("pause", scope="out", why="maintenance")
    assert "<strong>out is paused</strong>" in browser.read("/")
    browser.send("resume", scope="out")
    assert last(day)[:3] == ("Ada", "resume", "out")
    assert "<strong>out is paused</strong>" not in browser.read("/")


def test_a_record_is_read_again_everywhere(browser: Browser, day: sa.Engine) -> None:
    answer = browser.send("resync", kind="account", key="A-1", back="/record/account/A-1")
    assert answer.headers["Location"].startswith("/record/account/A-1?did=resync")
    assert last(day)[:4] == ("Ada", "resync", "account", "A-1")
    assert {row[0] for row in rows(day, "select system from sync.refetch")} == {"sales", "ops"}


def test_a_decision_about_what_is_gone_says_so(browser: Browser) -> None:
    answer = browser.send("retry", flow="sales.quotes > quote", record="QU-1", back="/")
    assert "Nothing was concerned" in browser.read(answer.headers["Location"])


@pytest.mark.parametrize(
    "back", ["//evil.example.com/", "https://evil.example.com/", "/\\evil.example.com", "", "/\r\nX: y"]
)
def test_the_way_back_never_leads_to_another_site(browser: Browser, back: str) -> None:
    answer = browser.send("pause", scope="ops", back=back)
    assert answer.headers["Location"] == "/?did=pause&records=1"


def test_there_is_no_other_decision(browser: Browser) -> None:
    assert browser.send("drop").status_code == 404


def test_everything_offered_on_a_page_is_a_decision_that_works(
    browser: Browser,
) -> None:
    offered: set[str] = set()
    for path in ("/", "/held", "/held/sales/accounts", "/conflicts", "/records?state=skipped", "/record/account/A-1",
                 "/record/sales.accounts/A-2", "/record/product/P-1", f"/causes/{cause_of(browser)}"):  # fmt: skip
        offered |= set(re.findall(r'(?:action|formaction)="/decide/(\w+)"', browser.read(path)))
    assert offered == {"retry", "skip", "approve", "reject", "resolve", "pause", "resume", "resync"}
