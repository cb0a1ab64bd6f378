"""A changed snapshot of 1,000 records, in a hub and in one ten times as large: the time to the writes it causes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median

import sqlalchemy as sa

from benchmarks.clock import watch
from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line, seconds
from benchmarks.systems import Source, Target
from replicator.config import Budget, Configuration
from replicator.connectors.protocol import Connector
from replicator.cycle import Cycle
from replicator.hub.sync_tables import consumer, delivery, entity_set, map_
from replicator.mapping.compiled import Compiled
from replicator.world import World

CHANGES = 1000
_ROUNDS = 7
_SMALLER = 10
# The second system holds everything already. Its GUIDs end in the digits of the item's number.
_ARTICLES = """
insert into bench2.articles (articleid, number, name, description, active, city, quantity, price, availablefrom,
                             categorycode)
select ('00000000-0000-4000-8000-' || lpad(right(number, 7), 12, '0'))::uuid,
       number, name, description, active, city, quantity, price, availablefrom, categorycode
from desired.bench2_articles__item
"""
_LINKS = """
insert into sync.link_bench2_articles__item (common_id, mirror_id)
select i.id, a.id from common.item i join bench2.articles a on a.number = i.number
"""


class Changes:
    """One hub between two systems that are in step."""

    def __init__(self, engine: sa.Engine, model: Compiled, records: int, stack: ExitStack) -> None:
        self.engine, self.records = engine, records
        self.source, self.target = Source(records), Target()
        self.workers = stack.enter_context(ThreadPoolExecutor(4))
        self.connection = stack.enter_context(engine.connect())
        connectors: dict[str, Connector] = {"bench": self.source, "bench2": self.target}
        configuration = Configuration(first_updates=Budget(count=records, share=1))
        world = World(configuration, model, engine, connectors, self.workers)
        self.cycle = Cycle(world, self.connection)
        self.seconds: list[float] = []
        self.statements = watch(engine)
        self.spent: dict[str, float] = {}

    def prepare(self) -> None:
        """Load the first system through the replicator; fill in by SQL what the second would hold by now."""
        self.cycle.read(["bench"])
        self.cycle.merge()
        with self.connection.begin():
            self.connection.execute(sa.text(_ARTICLES))
            self.connection.execute(sa.text(_LINKS))
            now = sa.func.now()
            self.connection.execute(
                entity_set.insert().values(system="bench2", entity_set="articles", whole_at=now, read_at=now)
            )
            self.connection.execute(delivery.delete())
            self.connection.execute(map_.update().values(marked_hash=map_.c.hash))
        with self.connection.begin():  # what has been logged so far is in step
            self.connection.execute(consumer.update().values(snapshot=sa.text("pg_current_snapshot()")))
        settle_down(self.engine)

    def run(self, generation: int) -> None:
        """Change records all over the set, and wait until the second system has heard of all of them."""
        self.source.generation = generation
        step = self.records // CHANGES
        self.source.changes = [place * step + generation for place in range(CHANGES)]
        self.source.clock.take()
        self.statements.take()
        before = self.target.writes
        started = time.perf_counter()
        with self.statements.on("= read"):
            self.cycle.read(["bench"])
        with self.statements.on("= merge"):
            self.cycle.merge()
        with self.statements.on("= deliver"):
            self.cycle.deliver(["bench2"], again=False)
        taken = time.perf_counter() - started
        self.spent = self.statements.take()
        beside = self.source.clock.take()
        self.seconds.append(taken - beside["generate"])
        if self.target.writes - before != CHANGES:
            raise SystemExit(f"{self.target.writes - before} writes instead of {CHANGES}")
        self.cycle.merge()
        self.cycle.deliver(["bench2"], again=True)
        if self.target.writes - before != CHANGES:
            raise SystemExit("an echo was written")


def measure(server_url: str, records: int) -> list[Line]:
    """Rounds on both hubs in turn; the first on each is not counted."""
    model = compiled("bench", "bench2")
    with ExitStack() as stack:
        hubs = []
        for size in (records // _SMALLER, records):
            engine = stack.enter_context(hub(server_url, f"change_{size}", model))
            hubs.append(Changes(engine, model, size, stack))
            hubs[-1].prepare()
        for generation in range(1, _ROUNDS + 2):
            for each in hubs:
                each.run(generation)
    for each in hubs:
        seconds(f"{CHANGES:,} changed in a hub of {each.records:,}, the last round", each.spent)
    small, large = (median(each.seconds[1:]) for each in hubs)
    what = f"{CHANGES:,} changed, snapshot to writes, hub of"
    return [
        Line(f"{what} {records // _SMALLER:,}", f"{small * 1000:.0f} ms"),
        Line(f"{what} {records:,}", f"{large * 1000:.0f} ms", large / small, 1.3),
    ]
