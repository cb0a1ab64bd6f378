"""The steps of one cycle on one hub: read, mark, merge, deliver. The daemon and ``once`` only decide when."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import sqlalchemy as sa

from replicator.config import Configuration
from replicator.engine.lease import Lease
from replicator.engine.maps import map_ids, set_modes
from replicator.engine.marks import mark_changed_maps, mark_window
from replicator.engine.records import write_records
from replicator.engine.usage import note_usage
from replicator.errors import LeaseLost, ReplicatorError, SchemaError
from replicator.inbound.merge import Merged, Merges
from replicator.inbound.snapshot import Snapshots, Taken
from replicator.model.compiled import Compiled, CompiledMap
from replicator.model.schema import EntitySet
from replicator.outbound.acknowledge import Acknowledged
from replicator.outbound.apply import Delivered, Deliveries, Sending
from replicator.systems.connector import Connector, Usage

_ROUNDS_MAX = 100
"""Of marking and merging without reading anything new; more is taken for two maps that undo each other's work."""


class Watcher:
    """Hears what happens, as it happens. The default hears nothing."""

    def reading(self, entity_set: EntitySet) -> None:
        """An entity set is about to be read."""

    def snapshot(self, entity_set: EntitySet, taken: Taken) -> None:
        """An entity set was read."""

    def merged(self, merged: Merged) -> None:
        """Marked records were merged into common."""

    def sending(self, found: CompiledMap, records: int) -> None:
        """So many records of a map are about to be sent."""

    def delivered(self, found: CompiledMap, result: Acknowledged) -> None:
        """A request was answered and acknowledged."""

    def waiting(self, holder: str) -> None:
        """Another replicator leads; this one waits."""

    def problem(self, where: str, problem: ReplicatorError) -> None:
        """A flow failed; the others go on."""


@dataclass(frozen=True)
class World:
    """What the steps need from outside, so that tests can own it."""

    configuration: Configuration
    compiled: Compiled
    engine: sa.Engine
    connectors: Mapping[str, Connector]
    workers: Executor
    watcher: Watcher = field(default_factory=Watcher)
    random: random.Random = field(default_factory=random.SystemRandom)
    stopping: Callable[[], bool] = lambda: False
    lease: Lease | None = None
    """Checked before each request and in each acknowledgement; without one nobody else may work on the hub."""

    def check_lease(self, connection: sa.Connection) -> None:
        """Raise LeaseLost when another replicator has taken over."""
        if self.lease is not None:
            self.lease.check(connection)

    def new_key(self) -> uuid.UUID:
        """A fresh key for a record that is to be created."""
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def pause(self, attempts: int) -> float:
        """Seconds before the next try: doubling, capped, with jitter so that many do not come at once."""
        settings = self.configuration.daemon
        longest: float = min(settings.retry_max_seconds, settings.retry_seconds * 2 ** min(attempts, 20))
        return longest * (0.5 + self.random.random() / 2)


class Cycle:
    """The steps, on one database connection."""

    def __init__(self, world: World, connection: sa.Connection) -> None:
        self.world = world
        self.connection = connection
        with connection.begin():
            self.ids = map_ids(connection, world.compiled)
        self._usage: dict[str, Usage] = {}
        self._deliveries = {name: self._make_deliveries(connector) for name, connector in world.connectors.items()}

    def _make_deliveries(self, connector: Connector) -> Deliveries:
        world = self.world
        watcher = world.watcher
        sending = Sending(
            world.workers,
            world.new_key,
            world.pause,
            world.configuration.first_updates,
            world.check_lease,
            world.stopping,
            watcher.sending,
            watcher.delivered,
        )
        return Deliveries(self.connection, world.compiled, self.ids, connector, sending)

    def prepare(self) -> None:
        """After a start: the log's partitions, the configuration's own records, changed maps, requests cut off."""
        self.maintain()
        write_records(self.connection, self.world.compiled, self.world.configuration.records)
        set_modes(self.connection, self.world.compiled, self.world.configuration.flows)
        mark_changed_maps(self.connection, self.world.compiled, self.ids)
        self.recover(list(self._deliveries))

    def maintain(self) -> None:
        """The log's partitions: those of the days ahead made, those past their time dropped once they were read."""
        keep = datetime.timedelta(days=self.world.configuration.daemon.keep_log_days)
        with self.connection.begin():
            self.connection.execute(sa.select(sa.func.log.make_partitions()))
            self.connection.execute(sa.select(sa.func.log.drop_partitions(keep)))
            self.connection.execute(sa.select(sa.func.sync.prune(keep)))

    def recover(self, systems: Sequence[str]) -> None:
        """Requests that were cut off: their records have to be looked up."""
        for name in systems:
            self._deliveries[name].recover()

    def read(self, systems: Sequence[str] | None = None, *, whole: bool = False) -> bool:
        """Read every entity set of the systems; whether anything had changed. A set that fails stops no other."""
        changed = False
        for name in systems if systems is not None else list(self.world.connectors):
            snapshots = Snapshots(self.connection, self.world.compiled.tables, self.world.connectors[name])
            for entity_set in self.world.compiled.schema.sets_of(name):
                if self.world.stopping():
                    return changed
                changed |= self._read_set(snapshots, entity_set, whole=whole)
            self._note_usage(name)
        return changed

    def _read_set(self, snapshots: Snapshots, entity_set: EntitySet, *, whole: bool) -> bool:
        self.world.watcher.reading(entity_set)
        budget = self.world.configuration.delete_budget(entity_set.system, entity_set.name)
        try:
            taken = snapshots.take(entity_set, budget, whole=whole)
        except ReplicatorError as problem:
            self.world.watcher.problem(str(entity_set), problem)
            return False
        self.world.watcher.snapshot(entity_set, taken)
        return taken.anything

    def merge(self) -> bool:
        """Mark what changed and merge it, until nothing moves; whether anything did. Spinning maps count as quiet."""
        moved = False
        again = True
        merges = Merges(self.connection, self.world.compiled, self.ids)
        for _ in range(_ROUNDS_MAX):
            if self.world.stopping():
                return moved
            window = mark_window(self.connection, self.world.compiled, self.ids)
            if window is None and not again:
                return moved
            merged = merges.merge(again=window is not None)
            self.world.watcher.merged(merged)
            again = merged.progress
            moved |= merged.progress or window is not None
        spinning = SchemaError(
            f"merging did not come to rest in {_ROUNDS_MAX} rounds", hint="do two maps write the same common field?"
        )
        self.world.watcher.problem("merge", spinning)
        return False

    def deliver(self, systems: Sequence[str] | None = None, *, again: bool) -> Delivered:
        """One pass of deliveries to each system; what stops one does not stop the other."""
        total = Delivered()
        for name in systems if systems is not None else list(self._deliveries):
            try:
                total.add(self._deliveries[name].deliver(again=again))
            except LeaseLost:
                raise
            except ReplicatorError as problem:
                self.world.watcher.problem(name, problem)
            self._note_usage(name)
        return total

    def _note_usage(self, name: str) -> None:
        """What is known of a system's patience, where that changed."""
        usage = self.world.connectors[name].usage()
        if self._usage.get(name) != usage:
            self._usage[name] = usage
            note_usage(self.connection, name, usage)

    def settle(self) -> bool:
        """Merge and deliver until nothing moves; whether any system was written to."""
        written = False
        while not self.world.stopping():
            moved = self.merge()
            delivered = self.deliver(again=moved)
            written |= delivered.progress
            if not delivered.progress and not self.merge():
                return written
        return written

    def once(self, *, whole: bool = False) -> None:
        """Read, settle, and read again as long as something was written and the reading shows more to do."""
        self.prepare()
        self.read(whole=whole)
        while self.settle() and not self.world.stopping() and self.read():
            pass
