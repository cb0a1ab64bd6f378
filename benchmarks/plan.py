"""A plan of many creates, from the marks to its last line as JSON; what it takes of memory is the line after it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import simplejson
import sqlalchemy as sa

from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line
from benchmarks.systems import Source, Target
from replicator.config import Budget, Configuration
from replicator.connectors.protocol import Connector
from replicator.cycle import Cycle
from replicator.hub.sync_tables import entity_set
from replicator.operate.planning.rehearse import make_plan
from replicator.world import World

_MOST = 187_000


def measure(server_url: str, records: int) -> list[Line]:
    """Writes planned per second, and CPU of this process for each."""
    records = min(records, _MOST)
    with ExitStack() as stack:
        engine = stack.enter_context(hub(server_url, "plan", model := compiled("bench", "bench2")))
        connectors: dict[str, Connector] = {"bench": Source(records), "bench2": Target()}
        workers = stack.enter_context(ThreadPoolExecutor(4))
        world = World(Configuration(first_updates=Budget(count=records, share=1)), model, engine, connectors, workers)
        connection = stack.enter_context(engine.connect())
        cycle = Cycle(world, connection)
        with connection.begin():
            connection.execute(
                entity_set.insert().values(system="bench2", entity_set="articles", whole_at=sa.func.now())
            )
        cycle.read(["bench"])
        cycle.merge()
        settle_down(engine)
        started, cpu = time.perf_counter(), time.process_time()
        planned = sum(bool(simplejson.dumps(vars(each), default=str)) for each in make_plan(world).writes)
        taken, used = time.perf_counter() - started, time.process_time() - cpu
    if planned != records:
        raise SystemExit(f"{planned} writes were planned instead of {records}")
    return [
        Line(f"{records:,} creates planned: per second", f"{records / taken:,.0f}"),
        Line("CPU of this process for each", f"{used / records * 1000:.2f} ms"),
    ]
