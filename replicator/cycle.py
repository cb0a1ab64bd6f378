"""The steps of one cycle on one hub: read, mark, merge, deliver. The daemon and ``once`` only decide when."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from replicator.connectors.protocol import Connector, Usage
from replicator.connectors.stop_between_requests import UntilStopping
from replicator.core.claim import due_in
from replicator.core.configured_records import write_records
from replicator.core.flows import set_modes
from replicator.core.hub_handle import Handle
from replicator.core.mark import CONSUMER, mark_changed_maps, mark_window
from replicator.core.system_usage import note_usage
from replicator.errors import OF_THE_LEAD, OF_THE_SYSTEM, ReplicatorError, SchemaError, Stopping, Throttled, Transient
from replicator.hub.lease import lead_on
from replicator.hub.restored import may_write, notice_restore
from replicator.inbound.load import SnapshotResult
from replicator.inbound.merge import Merges
from replicator.inbound.pace import due, hinted_sets
from replicator.inbound.reading_turns import Turn, in_groups
from replicator.inbound.snapshot import Snapshots
from replicator.mapping.schema import EntitySet
from replicator.outbound.delivery_pass import Deliveries
from replicator.outbound.send import Delivered, Sending
from replicator.world import World

_ROUNDS_MAX = 100
"""Of marking and merging without reading anything new; more is taken for two maps that undo each other's work."""


PATIENCE = 60.0
"""Seconds that ``once`` waits for systems without anything being written meanwhile: most pauses are shorter, and with
longer ones whoever called it is better told how things stand than kept waiting."""
_SHORTEST_PAUSE = 1.0
"""Seconds. What is due and yet not tried is not asked about without end."""


class Cycle:
    """The steps, on one database connection."""

    def __init__(self, world: World, connection: sa.Connection) -> None:
        self.world = world
        self.connection = connection
        lead_on(connection, world.lease)
        self.reads: dict[str, SnapshotResult | ReplicatorError] = {}
        """What the last read of each entity set brought, or why it failed."""
        self.hub = Handle.on(connection, world.compiled)
        self._usage: dict[str, Usage] = {}
        self._pauses: dict[str, Throttled] = {}
        """Of systems that were left alone because of it, since the last wait."""
        self._sizes = {name: connector.limits.request_size for name, connector in world.connectors.items()}
        self._written: set[str] = set()
        """Systems that were written to, since the last settling began."""
        self._unclear: set[str] = set()
        """Those of them whose answers did not tell all that has become of them."""
        self._may_write = False
        self._connectors = {name: UntilStopping(each, world.stopping) for name, each in world.connectors.items()}
        self._deliveries = {name: self._make_deliveries(each) for name, each in self._connectors.items()}

    def _make_deliveries(self, connector: Connector) -> Deliveries:
        world = self.world
        watcher = world.watcher
        sending = Sending(
            world.workers,
            world.new_key,
            world.pause,
            world.configuration.first_updates,
            world.stopping,
            watcher.sending,
            watcher.delivered,
            lambda: self._rests(connector.name),
            world.admit,
            world.clock,
        )
        return Deliveries(self.hub, connector, sending)

    def prepare(self) -> None:
        """After a start: what a read needs, the configuration's own records, changed maps, requests cut off."""
        self.prepare_to_read()
        self.take_in_configuration()
        self.recover(list(self._deliveries))

    def prepare_to_read(self) -> None:
        """The log's partitions; and if the hub was restored, everything is read whole."""
        self.maintain()
        notice_restore(self.connection, CONSUMER)
        self._may_write = False

    def take_in_configuration(self) -> None:
        """Write the configuration's own records, and mark the records of changed maps."""
        write_records(self.connection, self.world.compiled, self.world.configuration.records)
        set_modes(self.connection, self.world.compiled, self.world.configuration.flows)
        mark_changed_maps(self.hub)

    def maintain(self) -> None:
        """The log's partitions: those of the days ahead made, those past their time dropped once they were read."""
        keep = datetime.timedelta(days=self.world.configuration.daemon.keep_log_days)
        with self.hub.leading():
            self.hub.execute(sa.select(sa.func.log.make_partitions()))
            self.hub.execute(sa.select(sa.func.log.drop_partitions(keep)))
            self.hub.execute(sa.select(sa.func.sync.prune(keep)))

    def recover(self, systems: Sequence[str]) -> None:
        """Requests that were cut off: their records have to be looked up."""
        for name in systems:
            self._deliveries[name].recover()

    def read(
        self,
        systems: Sequence[str] | None = None,
        *,
        whole: bool = False,
        only: Collection[str] | None = None,
        hinted: bool = False,
        turn: Turn = lambda root: nullcontext(True),
    ) -> bool:
        """Read the entity sets of all systems; whether anything had changed. A set that fails stops no other.

        With ``systems`` it is a poll of these: each set is read as often as its file says (``every``), and all at
        once where they are ``hinted``: something changed, or somebody does not want to wait.
        A system that fails as a whole is told once, and its other sets are not asked for.
        ``only`` names the entity sets (``system.EntitySet``) to read, where not all are wanted; ``turn`` says whether
        a set, with its parts, is this reader's to read.
        """
        changed = False
        polled = systems is not None and only is None and not (whole or hinted)
        for name in systems if systems is not None else list(self.world.connectors):
            compiled = self.world.compiled
            only = due(self.connection, compiled.schema, name) if polled else only
            wanted = [each for each in compiled.schema.reading_order(name) if only is None or str(each) in only]
            if wanted and self._rests(name):
                self._leave_out(name, wanted)
                continue
            snapshots = Snapshots(self.hub, self._connectors[name], self.world.wait)
            changed |= self._read_sets(snapshots, wanted, turn, whole=whole)
            self._note(name, snapshots)
        return changed

    def read_hinted(self, name: str, turn: Turn = lambda root: nullcontext(True)) -> bool:
        """Read those entity sets of a system in which it said that something changed; whether anything had."""
        only = hinted_sets(self.connection, self.world.compiled.schema, name)
        return bool(only) and self.read([name], only=only, turn=turn)

    def _rests(self, name: str) -> bool:
        """Whether a system asked for a pause, this process or another one, that is not over."""
        pause = self.world.pause_of(self.connection, name)
        if pause is not None:
            self._pauses[name] = pause
        return pause is not None

    def _leave_out(self, name: str, wanted: Sequence[EntitySet]) -> None:
        """Entity sets of a system in a pause are not read."""
        problem = self._pauses[name]
        self.reads |= {str(each): problem for each in wanted}
        self.world.watcher.problem(name, problem)

    def _read_sets(self, snapshots: Snapshots, wanted: Sequence[EntitySet], turn: Turn, *, whole: bool) -> bool:
        """Read entity sets of one system; those that another reader has at hand are left to him."""
        changed = False
        trouble: ReplicatorError | None = None
        for root, group in in_groups(self.world.compiled.schema, wanted).items():
            with turn(root) as is_ours:
                for entity_set in group if is_ours else ():
                    if self.world.stopping():
                        return changed
                    if trouble is not None:
                        self.reads[str(entity_set)] = trouble
                        snapshots.not_read(entity_set, trouble)
                        continue
                    read = self._read_set(snapshots, entity_set, whole=whole)
                    changed |= isinstance(read, SnapshotResult) and read.anything
                    trouble = read if isinstance(read, OF_THE_SYSTEM) else None
        return changed

    def _read_set(
        self, snapshots: Snapshots, entity_set: EntitySet, *, whole: bool
    ) -> SnapshotResult | ReplicatorError | None:
        self.world.watcher.reading(entity_set)
        budget = self.world.configuration.delete_budget(entity_set.system, entity_set.name)
        try:
            taken = snapshots.take(entity_set, budget, whole=whole)
        except OF_THE_LEAD:
            raise
        except Stopping:
            return None
        except ReplicatorError as problem:
            self.reads[str(entity_set)] = problem
            where = entity_set.system if isinstance(problem, OF_THE_SYSTEM) else str(entity_set)
            self.world.watcher.problem(where, problem)
            return problem
        except (DBAPIError, psycopg.Error):
            raise
        except Exception as problem:
            self.world.watcher.defect(str(entity_set), problem)
            return None
        self.reads[str(entity_set)] = taken
        self.world.watcher.snapshot(entity_set, taken)
        return taken

    def merge(self, moved: Callable[[], None] = lambda: None) -> bool:
        """Mark what changed and merge it, until nothing moves; whether anything did. Spinning maps count as quiet.

        Between two passes what changed meanwhile is marked, so that it waits for no large merge to end. ``moved`` is
        called after each pass in which something did.
        """
        any_moved = False
        again = True
        merges = Merges(self.hub)
        while merges.rounds < _ROUNDS_MAX:
            if self.world.stopping():
                return any_moved
            window = mark_window(self.hub, self.world.window)
            if window is None and not again:
                return any_moved
            merged = merges.merge(again=window is not None)
            self.world.watcher.merged(merged)
            again = merged.goes_on
            if merged.progress or window is not None:
                any_moved = True
                moved()
        spinning = SchemaError(
            f"merging did not come to rest in {_ROUNDS_MAX} rounds", hint="do two maps write the same common field?"
        )
        self.world.watcher.problem("merge", spinning)
        return False

    def deliver(self, systems: Sequence[str] | None = None, *, again: bool, merged: bool = False) -> Delivered:
        """One pass of deliveries to each system; what stops one does not stop the other.

        ``merged``: all that was read has just been merged.
        """
        total = Delivered()
        self._may_write = self._may_write or may_write(self.connection, CONSUMER, merged=merged)
        if not self._may_write:
            return total
        for name in systems if systems is not None else list(self._deliveries):
            deliveries = self._deliveries[name]
            try:
                delivered = deliveries.deliver(again=again)
                total.add(delivered)
                self._written |= {name} if delivered.progress else set()
                self._unclear |= set() if delivered.says_all else {name}
            except OF_THE_LEAD:
                raise
            except Stopping:
                return total
            except ReplicatorError as problem:
                self.world.watcher.problem(name, problem)
            if deliveries.halted is not None:
                self.world.watcher.problem(name, deliveries.halted)
            self._note(name)
        return total

    def _note(self, name: str, snapshots: Snapshots | None = None) -> None:
        """What is known of a system's patience, where that changed, and the last reads, if they brought nothing."""
        usage = self.world.connectors[name].usage()
        changed = self._usage.get(name) != usage
        size = self.world.connectors[name].limits.request_size
        if size is not None and size != self._sizes.get(name):
            self.world.watcher.smaller_requests(name, size)
            self._sizes[name] = size
        if changed or (snapshots is not None and (snapshots.idle or snapshots.costs)):
            with self.hub.leading():
                if changed:
                    note_usage(self.connection, name, usage)
                    self._usage[name] = usage
                if snapshots is not None:
                    snapshots.note_reads()

    def settle(self) -> bool:
        """Merge and deliver until nothing moves; whether any system was written to."""
        self._written, self._unclear = set(), set()
        moved = self.merge()
        while not self.world.stopping():
            delivered = self.deliver(again=moved, merged=True)
            moved = self.merge()
            if not (moved or delivered.releases or delivered.left):
                break
        return bool(self._written)

    def once(self, *, whole: bool = False) -> None:
        """Read, settle, and read again what was written to, where its answers left open what it made of that.

        Where a system asks for a pause, or a record is tried again after one, it waits for that; but not for long.
        """
        self.prepare()
        self.read(whole=whole)
        patience = PATIENCE
        while not self.world.stopping():
            if self.settle():
                patience = PATIENCE
                unclear = self._written & self._unclear
                if unclear and not self.world.stopping() and self.read(only=self._sets_of(unclear)):
                    continue
            pause = self._pause()
            if pause is None or pause > patience or self.world.stopping() or not self._pass(pause):
                return
            patience -= pause
            self.read(only={name for name, read in self.reads.items() if isinstance(read, Transient)})

    def _sets_of(self, systems: Collection[str]) -> set[str]:
        return {str(each) for name in systems for each in self.world.compiled.schema.reading_order(name)}

    def _pause(self) -> float | None:
        """Seconds until something that failed may be tried again; None where nothing will be."""
        pauses = [read.retry_after for read in self.reads.values() if isinstance(read, Throttled)]
        pauses += [pause.retry_after for pause in self._pauses.values()]
        due = due_in(self.connection)
        if due is not None:
            pauses.append(due)
        return max(min(pauses), _SHORTEST_PAUSE) if pauses else None

    def _pass(self, seconds: float) -> bool:
        self.world.watcher.pausing(seconds)
        self._pauses.clear()
        return self.world.wait(seconds)
