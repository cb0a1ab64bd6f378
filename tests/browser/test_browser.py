"""The console in a real browser: every page, light and dark, wide and narrow, and decisions by keyboard alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from tests.fixtures.operators import SCRIPT

pytestmark = pytest.mark.browser

PAGES = (
    "/", "/causes", "/blocked", "/held", "/held/sales/accounts", "/conflicts", "/runs", "/plans", "/plans/1",
    "/decisions", "/records?state=skipped", "/records?state=held", "/record", "/record/account/A-1",
    "/record/sales.accounts/A-2", "/record/product/P-1", "/record/quote/QU-3", f"/record/sales.accounts/{SCRIPT}",
    "/nowhere",
)  # fmt: skip
LOOKS: dict[str, dict[str, object]] = {
    "desktop": {"viewport": {"width": 1360, "height": 900}},
    "dark": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "dark"},
    "tablet": {"viewport": {"width": 820, "height": 1100}},
    "phone": {"viewport": {"width": 360, "height": 780}, "is_mobile": True, "device_scale_factor": 2},
    "phone, dark": {"viewport": {"width": 360, "height": 780}, "is_mobile": True, "color_scheme": "dark"},
}
# The texts whose contrast with what lies behind them is below what WCAG asks for at level AA.
TOO_FAINT = """
() => {
  const brush = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
    .getContext("2d", {willReadFrequently: true});
  const rgba = color => {
    brush.clearRect(0, 0, 1, 1); brush.fillStyle = color; brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data].map(part => part / 255);
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const behind = element => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) layers.push(rgba(getComputedStyle(each).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [1, 1, 1, 1]);
  };
  const light = color => {
    const [r, g, b] = color.map(c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!own || element.closest(".unseen, .skip, option") || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), back = behind(element);
    const color = rgba(style.color); color[3] *= Number(style.opacity);
    const [a, b] = [light(over(color, back)), light(back)].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || size >= 18.66 && Number(style.fontWeight) >= 700;
    const words = element.textContent.trim().slice(0, 40);
    if (ratio < (large ? 3 : 4.5)) found.push(`${element.tagName} ${element.className} '${words}' ${ratio}`);
  }
  return found;
}
"""


@contextmanager
def opened(chromium: Any, url: str, **look: object) -> Iterator[Any]:
    """A page of a browser of its own; at the end nothing has gone wrong in it and nothing was asked of others."""
    context = chromium.new_context(**look)
    page = context.new_page()
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: told.append(f"error: {error}"))
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: told.append(f"dialog: {dialog.message}"))
    try:
        yield page
    finally:
        context.close()
    assert [line for line in told if "status of 404" not in line] == []
    assert {urlsplit(each).netloc for each in asked if not each.startswith("data:")} <= {urlsplit(url).netloc}


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_loads_alone_fits_and_can_be_read(chromium: Any, url: str, look: str, tmp_path: Path) -> None:
    with opened(chromium, url, **LOOKS[look]) as page:
        for path in PAGES:
            answer = page.goto(url + path)
            assert answer.status == (404 if path == "/nowhere" else 200), path
            wide, there = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
            assert wide <= there, f"{path}: {wide} pixels wide"
            assert page.evaluate(TOO_FAINT) == [], path
            picture = tmp_path / (re.sub(r"\W+", "_", path).strip("_") or "overview")
            page.screenshot(path=f"{picture}.png", full_page=True)
            assert picture.with_suffix(".png").stat().st_size > 5000


def press_until(page: Any, words: str, most: int = 80) -> None:
    """Press Tab until what has the focus says these words; it has to be seen that it has."""
    for _ in range(most):
        page.keyboard.press("Tab")
        told, width = page.evaluate(
            "[document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim(),"
            " getComputedStyle(document.activeElement).outlineWidth]"
        )
        assert width != "0px", f"the focus on '{told}' cannot be seen"
        if told.startswith(words):
            return
    raise AssertionError(f"'{words}' is not reached by keyboard")


def test_the_content_is_reached_by_the_first_key(chromium: Any, url: str) -> None:
    with opened(chromium, url) as page:
        page.goto(url)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"


def test_a_conflict_is_decided_by_keyboard_alone(chromium: Any, url: str, day: sa.Engine) -> None:
    with opened(chromium, url) as page:
        page.goto(url)
        press_until(page, "1 conflict")
        page.keyboard.press("Enter")
        page.wait_for_url("**/conflicts")
        press_until(page, "sales: 555-SALES")
        page.keyboard.press("Enter")
        page.wait_for_url("**did=resolve**")
        assert page.get_by_role("status").inner_text().startswith("Done")
    with day.connect() as connection:
        found = connection.execute(sa.text("select decided, decided_by from sync.conflict")).one()
    assert tuple(found) == ("555-SALES", "console")


def test_a_cause_is_retried_by_keyboard_alone(chromium: Any, url: str, day: sa.Engine) -> None:
    with opened(chromium, url) as page:
        page.goto(url + "/causes")
        press_until(page, "mailing_postal_code")
        page.keyboard.press("Enter")
        page.wait_for_url("**/causes/*")
        press_until(page, "Decide about the whole cause")
        page.keyboard.press("Enter")
        press_until(page, "Retry the whole cause")
        page.keyboard.press("Enter")
        page.wait_for_url("**did=retry**")
    with day.connect() as connection:
        assert (
            connection.execute(sa.text("select action from sync.decision order by id desc limit 1")).scalar() == "retry"
        )


def test_deletes_are_not_approved_by_a_slip(chromium: Any, url: str, day: sa.Engine) -> None:
    with opened(chromium, url) as page:
        page.goto(url + "/held")
        page.get_by_role("button", name="Delete 7 records").click()
        assert page.url == url + "/held", "somebody has to say that they looked"
        page.get_by_label("I have looked at them").first.check()
        page.get_by_role("button", name="Delete 7 records").click()
        page.wait_for_url("**did=approve**")
    with day.connect() as connection:
        assert connection.execute(sa.text("select distinct state from sync.proposed_delete")).scalars().all() == [
            "approved"
        ]


def test_a_record_is_found_from_any_page(chromium: Any, url: str) -> None:
    with opened(chromium, url) as page:
        page.goto(url + "/runs")
        page.get_by_label("Kind of record").select_option("quote")
        page.get_by_label("Key of the record").fill("qu-3 ")
        page.get_by_role("button", name="Find").click()
        page.wait_for_url("**/record/quote/qu-3")
        assert page.get_by_role("heading", level=1).inner_text() == "QU-3 quote"


def test_live_pages_load_themselves_and_can_be_stopped(chromium: Any, url: str) -> None:
    with opened(chromium, url) as page:
        page.goto(url)
        page.get_by_role("link", name="Follow live").click()
        page.wait_for_url("**live=on")
        with page.expect_navigation(timeout=15_000):
            pass
        page.get_by_role("link", name="Stop").click()
        page.wait_for_url(url + "/")
        assert page.locator("meta[http-equiv]").count() == 0
