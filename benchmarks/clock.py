"""Where the time goes: a stopwatch by name, and the statements of an engine by what they do."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


class Clock:
    """Adds up seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Time the block."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def take(self) -> dict[str, float]:
        """What was added up, and start again at nothing."""
        taken, self.seconds = dict(self.seconds), defaultdict(float)
        return taken


def watch(engine: sa.Engine) -> Clock:
    """A clock that runs with every statement and commit of the engine."""
    clock = Clock()

    @sa.event.listens_for(engine, "before_cursor_execute")
    def before(connection: sa.Connection, *_: Any) -> None:
        connection.info["started"] = time.perf_counter()

    @sa.event.listens_for(engine, "after_cursor_execute")
    def after(connection: sa.Connection, cursor: object, statement: str, *_: Any) -> None:
        clock.seconds[label(statement)] += time.perf_counter() - connection.info["started"]

    commit = engine.dialect.do_commit

    def timed_commit(dbapi_connection: Any) -> None:
        with clock.on("commit"):
            commit(dbapi_connection)

    engine.dialect.do_commit = timed_commit  # type: ignore[method-assign]
    return clock


def label(statement: str) -> str:
    """A statement in a few words: its verb, its table, and what tells it from its likes."""
    text = re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", statement)).strip().lower()
    verb = text.split(" ", 1)[0]
    found = re.search(r"(?:insert into|update|delete from|create temporary table|analyze|from) ([\w.\"]+)", text)
    words = f"{verb} {found[1] if found else ''}"
    if verb == "insert" and (sources := re.findall(r" from ([\w.]+)", text)):
        words += f" from {sources[-1]}"
    if verb == "update" and (setting := re.search(r" set (\w+)", text)):
        words += f" set {setting[1]}"
    if verb == "select":
        words += " " + text[7:35]
    return words.strip()
