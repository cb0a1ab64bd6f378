"""Records that go out: all created, then all changed. The other system is a process of its own that answers at once."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import sqlalchemy as sa

from benchmarks.clock import watch
from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line, seconds
from benchmarks.sink import sink
from benchmarks.systems import Source
from replicator.config import Budget, Configuration
from replicator.connectors import connect
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Connector
from replicator.cycle import Cycle
from replicator.hub.sync_tables import entity_set
from replicator.startup import look_for_garbage_seldom
from replicator.world import World

_MOST = 20_000
_ARRIVED = "select count(*) from bench2.articles where etag is not null"
_CHANGED = "select count(*) from bench2.articles where description like '%generation 1,%'"


def measure(server_url: str, records: int) -> list[Line]:
    """CPU of this process for each record, and records per second, from the marks to the last acknowledgement; and what
    takes longer, from one transaction in the mirror until all have arrived: new records or changed ones.
    """
    records = min(records, _MOST)
    look_for_garbage_seldom()
    with ExitStack() as stack:
        engine = stack.enter_context(hub(server_url, "deliver", model := compiled("bench", "bench2")))
        source = Source(records)
        target = connect("bench2", settings_of({"kind": "dataverse", "url": stack.enter_context(sink())}))
        stack.callback(target.close)
        connectors: dict[str, Connector] = {"bench": source, "bench2": target}
        workers = stack.enter_context(ThreadPoolExecutor(4))
        configuration = Configuration(first_updates=Budget(count=records, share=1))
        connection = stack.enter_context(engine.connect())
        cycle = Cycle(World(configuration, model, engine, connectors, workers), connection)
        with connection.begin():
            now = sa.func.now()
            connection.execute(entity_set.insert().values(system="bench2", entity_set="articles", whole_at=now))
        statements = watch(engine)
        lines = []
        whole: list[float] = []
        for generation, (what, arrived) in enumerate((("created", _ARRIVED), ("changed", _CHANGED))):
            source.generation, source.changes = generation, range(records)
            cycle.read(["bench"])
            began = time.perf_counter()
            cycle.merge()
            merged = time.perf_counter() - began
            settle_down(engine)
            statements.take()
            started, cpu = time.perf_counter(), time.process_time()
            cycle.settle()
            taken, used = time.perf_counter() - started, time.process_time() - cpu
            whole.append(merged + taken)
            seconds(f"{records:,} {what}: {taken:.1f} s, and {merged:.1f} s to merge them", statements.take())
            if (there := connection.scalar(sa.text(arrived))) != records:
                raise SystemExit(f"{there} records arrived instead of {records}")
            connection.rollback()
            each = used / records * 1000
            lines.append(Line(f"{what}: CPU of the product per record", f"{each:.2f} ms", each, 0.2))
            rate = records / taken
            lines.append(Line(f"{what}: records per second", f"{rate:,.0f}", rate, 4000, "at least"))
    ratio = whole[1] / whole[0]
    return [*lines, Line("merged and delivered: changed against created", f"{whole[1]:.1f} s", ratio, 1.2)]
