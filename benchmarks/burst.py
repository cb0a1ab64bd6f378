"""Very many records created in one transaction, then all of them changed in one, with the daemon's own threads at work.

Meanwhile a person changes one record of another flow to the same system again and again: how long each such change
takes to arrive is what a burst costs everybody else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import sqlalchemy as sa

from benchmarks import rows
from benchmarks.hub import compiled, hub
from benchmarks.report import Line
from benchmarks.sink import sink
from replicator.config import Budget, Configuration, DaemonSettings
from replicator.connectors import connect
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Connector
from replicator.daemon import Daemon
from replicator.world import World

_MOST = 500_000
_SECONDS = 3600
_CATEGORIES = """
insert into common.category (code, name) select 'C' || lpad(n::text, 2, '0'), 'Category ' || n
from generate_series(0, :categories - 1) n
"""
_CREATED = """
insert into common.item (number, name, description, status, city, quantity, price, category_id)
select 'ITEM-' || lpad(n::text, 7, '0'), 'Item ' || n, 'as created', 'Active', 'Bonn', n % 977, n % 99991 / 100.0, c.id
from generate_series(1, :records) n join common.category c on c.code = 'C' || lpad((n % :categories)::text, 2, '0')
"""
_CHANGED = "update common.item set description = 'as changed'"
_ARRIVED = "select count(*) from bench3.goods where description = :description"
_GROUPS = "select count(*) from bench3.groups"
_RENAMED = "update common.category set name = :name where code = 'C00'"
_NAME = "select name from bench3.groups where code = 'C00'"


def measure(server_url: str, records: int) -> list[Line]:
    """Seconds until all have arrived, for both; and the longest that the other flow waited."""
    records = min(records, _MOST)
    with ExitStack() as stack:
        engine = stack.enter_context(hub(server_url, "burst", model := compiled("bench3")))
        target = connect("bench3", settings_of({"kind": "dataverse", "url": stack.enter_context(sink())}))
        stack.callback(target.close)
        connectors: dict[str, Connector] = {"bench3": target}
        configuration = Configuration(
            first_updates=Budget(count=records, share=1), daemon=DaemonSettings(poll_seconds=_SECONDS)
        )
        workers = stack.enter_context(ThreadPoolExecutor(4))
        stack.enter_context(_at_work(Daemon(World(configuration, model, engine, connectors, workers), "burst")))
        _run(engine, _CATEGORIES, categories=rows.CATEGORIES)
        _wait(engine, rows.CATEGORIES, _GROUPS)
        with _others(engine) as waited:
            created = _burst(engine, records, "as created", _CREATED, records=records, categories=rows.CATEGORIES)
            changed = _burst(engine, records, "as changed", _CHANGED)
    return [
        Line(f"{records:,} created in one transaction: until all arrived", f"{created:.1f} s"),
        Line(f"{records:,} changed in one transaction: until all arrived", f"{changed:.1f} s", changed / created, 1.2),
        Line(f"meanwhile {len(waited)} changes of another flow: the longest", f"{max(waited):.1f} s", max(waited), 5),
    ]


@contextmanager
def _at_work(daemon: Daemon) -> Iterator[None]:
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        yield
    finally:
        daemon.stop()
        thread.join()


@contextmanager
def _others(engine: sa.Engine) -> Iterator[list[float]]:
    """A person at work beside it; seconds until each change arrived."""
    waited: list[float] = []
    over = threading.Event()

    def work() -> None:
        number = 0
        while not over.wait(0.5):
            number += 1
            started = time.perf_counter()
            _run(engine, _RENAMED, name=f"Renamed {number}")
            while _asked(engine, _NAME) != f"Renamed {number}":
                time.sleep(0.02)
            waited.append(time.perf_counter() - started)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield waited
    finally:
        over.set()
        thread.join()


def _burst(engine: sa.Engine, wanted: int, description: str, statement: str, /, **values: object) -> float:
    """Seconds from the commit until all have arrived."""
    _run(engine, statement, **values)
    started = time.perf_counter()
    _wait(engine, wanted, _ARRIVED, description=description)
    return time.perf_counter() - started


def _wait(engine: sa.Engine, wanted: int, query: str, **values: object) -> None:
    until = time.perf_counter() + _SECONDS
    while (there := _asked(engine, query, **values)) != wanted:
        if time.perf_counter() > until:
            raise SystemExit(f"{there} records arrived instead of {wanted}")
        time.sleep(0.5)


def _run(engine: sa.Engine, statement: str, **values: object) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)


def _asked(engine: sa.Engine, query: str, **values: object) -> object:
    with engine.connect() as connection:
        return connection.execute(sa.text(query), values).scalar_one()
