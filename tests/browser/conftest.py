"""A real Chromium without a screen. Tests that want it are skipped where it, or Playwright, is missing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from replicator.console.app import Console
from replicator.web_server import WebServer

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser, started once for the tests of a module."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs requirements-browser.txt")
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium; CHROMIUM names one")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def url(console: Console) -> Iterator[str]:
    """Where the console of the bad day is served."""
    with WebServer(console, "console", "127.0.0.1", 0) as server:
        yield server.url
