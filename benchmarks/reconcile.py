"""37 differences planted among so many linked records: exactly those are found, none is left after the repair.

Beside it, in the same run, a bare COPY of both mirrors out of the server: a sequential scan of the same rows.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from uuid import UUID

import sqlalchemy as sa

from benchmarks import rows
from benchmarks.clock import watch
from benchmarks.hub import compiled, hub, settle_down
from benchmarks.planted import Goods, Losing, good_id, group_id
from benchmarks.report import Line, seconds
from replicator.config import Budget, Configuration
from replicator.connectors.protocol import Connector
from replicator.cycle import Cycle
from replicator.hub.sync_tables import consumer, delivery, map_
from replicator.mapping.compiled import Compiled
from replicator.operate.reconciliation import ReconcileResult, Reconciliation
from replicator.world import World

_GROUPS = """
insert into bench3.groups (groupid, code, name, etag)
select ('00000000-0000-4000-9000-' || lpad(right(code, 2), 12, '0'))::uuid, code, name, 'W/"1"'
from desired.bench3_groups__category
"""
_GROUP_LINKS = """
insert into sync.link_bench3_groups__category (common_id, mirror_id)
select c.id, g.id from common.category c join bench3.groups g on g.code = c.code
"""
_GOODS = """
insert into bench3.goods (goodid, number, name, description, city, quantity, price, availablefrom, groupid, etag)
select ('00000000-0000-4000-8000-' || lpad(right(number, 7), 12, '0'))::uuid,
       number, name, description, city, quantity, price, availablefrom, groupid, 'W/"1"'
from desired.bench3_goods__item
"""
_LINKS = """
insert into sync.link_bench3_goods__item (common_id, mirror_id)
select i.id, g.id from common.item i join bench3.goods g on g.number = i.number
"""
_WANTED = {"missing": 7, "extra": 6, "different": 7, "wrong parent": 6, "duplicate": 5, "stale": 6}


class Reconciled:
    """One hub between two systems that are in step."""

    def __init__(self, engine: sa.Engine, model: Compiled, records: int, stack: ExitStack) -> None:
        self.engine, self.records = engine, records
        self.source, self.target = Losing(records), Goods(records)
        self.connection = stack.enter_context(engine.connect())
        configuration = Configuration(first_updates=Budget(count=records, share=1))
        workers = stack.enter_context(ThreadPoolExecutor(4))
        connectors: dict[str, Connector] = {"bench": self.source, "bench3": self.target}
        self.world = World(configuration, model, engine, connectors, workers, random=Random(1))
        self.statements = watch(engine)

    def prepare(self) -> None:
        """Load the first system through the replicator; fill in by SQL what the second would hold, and read it."""
        cycle = Cycle(self.world, self.connection)
        cycle.read(["bench"])
        cycle.merge()
        for statement in (_GROUPS, _GROUP_LINKS, _GOODS, _LINKS):
            with self.connection.begin():
                self.connection.execute(sa.text(statement))
        cycle.read(["bench3"])
        with self.connection.begin():
            self.connection.execute(delivery.delete())
            self.connection.execute(map_.update().values(marked_hash=map_.c.hash))
        with self.connection.begin():  # what has been logged so far is in step
            self.connection.execute(consumer.update().values(snapshot=sa.text("pg_current_snapshot()")))
        settle_down(self.engine)

    def plant(self) -> set[tuple[str, str]]:
        """37 differences, far apart; each as it is to be found."""
        numbers = iter(range(self.records // 100, self.records, self.records // 41))
        planted: set[tuple[str, str]] = set()
        target = self.target
        for kind, count in _WANTED.items():
            for _ in range(count):
                number = next(numbers)
                planted.add((kind, f"ITEM-{number:07d}"))
                key = good_id(number)
                if kind == "missing":
                    target.planted[key] = None
                elif kind == "extra":
                    self.source.lost.add(number)
                elif kind == "different":
                    target.planted[key] = target.good(number, city="Atlantis")
                elif kind == "wrong parent":
                    target.planted[key] = target.good(
                        number, _groupid_value=str(group_id((number + 1) % rows.CATEGORIES))
                    )
                elif kind == "duplicate":
                    second = UUID(int=key.int + 2**48)
                    target.planted[second] = target.good(number, goodid=str(second), number=f" item-{number:07d}")
                else:
                    target.planted[key] = target.good(number, quantity=-1, **{"@odata.etag": 'W/"2"'})
        return planted

    def run(self, *, repair: bool) -> tuple[ReconcileResult, float]:
        """A reconciliation, and the hub's share of its time."""
        for system in (self.source, self.target):
            system.clock.take()
        self.statements.take()
        started = time.perf_counter()
        found = Reconciliation(self.world, self.connection).run(repair=repair, limit=1000)
        taken = time.perf_counter() - started
        beside = self.source.clock.take()
        spent = taken - beside["generate"] - self.target.clock.take()["generate"]
        seconds(f"reconcile{' --repair' if repair else ''} of {self.records:,}: {spent:.1f} s", self.statements.take())
        return found, spent

    def compare(self) -> float:
        """The comparison alone."""
        comparison = Reconciliation(self.world, self.connection).comparison
        comparison.prepare()
        started = time.perf_counter()
        comparison.compare(self.world.watcher.comparing)
        return time.perf_counter() - started

    def copy(self) -> float:
        """A bare COPY of both mirrors to nowhere."""
        started = time.perf_counter()
        with self.connection.begin():
            for table in ("bench.items", "bench3.goods"):
                self.connection.exec_driver_sql(f"copy {table} to '/dev/null' (format binary)")
        return time.perf_counter() - started


def measure(server_url: str, records: int) -> list[Line]:
    """In step; planted; found; repaired; in step."""
    model = compiled("bench", "bench3")
    with ExitStack() as stack:
        engine = stack.enter_context(hub(server_url, "reconcile", model))
        here = Reconciled(engine, model, records, stack)
        here.prepare()
        bare = here.copy()
        still, quiet = here.run(repair=False)
        if still.differences or still.explained or still.unlinked:
            raise SystemExit(f"differences where there are none: {still.differences} {still.records[:3]}")
        planted = here.plant()
        found, first = here.run(repair=False)
        told = {(row["kind"], str(row["record"]).strip().upper()) for row in found.records}
        counted = Counter(kind for kind, _ in planted)
        if told != planted or found.differences != counted or here.target.writes:
            raise SystemExit(f"planted and not found: {planted - told}; found and not planted: {told - planted}")
        mended, second = here.run(repair=True)
        if mended.left != {"duplicate": 5}:  # which of two records stays is for a person to say
            raise SystemExit(f"left after the repair: {mended.left} {mended.left_records[:3]}")
        comparing = here.compare()
        bare = (bare + here.copy()) / 2
        million = quiet / records * 1_000_000
    return [
        Line(f"bare COPY of both mirrors of {records:,} out of the server", f"{bare:.1f} s", 1.0),
        Line("the comparison alone", f"{comparing:.1f} s", comparing / bare),
        Line("reconcile, nothing differs: read, merged, compared", f"{quiet:.1f} s", quiet / bare),
        Line("the same, seconds for each million", f"{million:.1f} s", million, 15 if records >= 1_000_000 else None),
        Line(f"reconcile, {len(planted)} planted: exactly those found", f"{first:.1f} s", first / bare),
        Line(
            f"reconcile --repair, {here.target.writes} writes: none left but 5 doubles",
            f"{second:.1f} s",
            second / bare,
        ),
    ]
