"""Apply: claims records of one system's maps, sends what differs, in parallel requests, and acknowledges.

Parents go before children, so that a child finds its parent in the system; deletes go the other way round. Requests
run in worker threads; the database is touched by the calling thread alone, and no transaction is open meanwhile.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass

import simplejson
import sqlalchemy as sa

from replicator.config import Budget
from replicator.engine.claim import Claimed, State, ToDo, claim_due, claim_records, claimed_rows, settle, show, to_do
from replicator.engine.diff import diff, linking
from replicator.engine.marks import mark_through
from replicator.errors import ReplicatorError, Throttled
from replicator.hub.sql import MANY, analyze, statements
from replicator.model.compiled import Compiled, CompiledMap
from replicator.outbound.acknowledge import Acknowledged, Acknowledgement, Pause, part_links
from replicator.outbound.first import hold_first_updates
from replicator.outbound.later import Later
from replicator.outbound.look_up import LookUp
from replicator.outbound.plan import Delivery, Earlier, NewKey, plan_delivery
from replicator.outbound.restraint import only_observe, put_back_if_paused
from replicator.systems.connector import Connector, Outcome, Postponed

_sql = statements(__file__.replace("apply", "claim"))
_BATCH = 500
_ATTEMPTS_AT_ONCE = 4


@dataclass
class Delivered:
    """Counts of records, by what became of them in one pass."""

    applied: int = 0
    amended: int = 0
    rejected: int = 0
    postponed: int = 0
    unknown: int = 0
    settled: int = 0
    waiting: int = 0

    @property
    def progress(self) -> bool:
        """Whether a system changed."""
        return bool(self.applied)

    def add(self, other: Delivered | Acknowledged) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name, 0))


@dataclass(frozen=True)
class Sending:
    """How to send: the worker threads, fresh keys, the pause after a failure, whether to stop, and who hears of it."""

    workers: Executor
    new_key: NewKey
    pause: Pause
    first_updates: Budget
    check_lease: Callable[[sa.Connection], None] = lambda connection: None
    """Raises LeaseLost; called right before each request and in each acknowledgement."""
    stopping: Callable[[], bool] = lambda: False
    on_send: Callable[[CompiledMap, int], None] = lambda found, records: None
    on_batch: Callable[[CompiledMap, Acknowledged], None] = lambda found, result: None


class Deliveries:
    """Delivers to one system, on one connection."""

    def __init__(
        self,
        connection: sa.Connection,
        compiled: Compiled,
        ids: Mapping[str, int],
        connector: Connector,
        sending: Sending,
    ) -> None:
        self.connection, self.compiled, self.ids = connection, compiled, ids
        self.connector, self.sending = connector, sending
        self.halted: ReplicatorError | None = None
        self.look_up = LookUp(connection, compiled, ids, connector)
        self.later = Later(connection, compiled, ids)

    def recover(self) -> None:
        """After a start: what was in flight when the last daemon stopped has to be looked up."""
        with self.connection.begin():
            self.connection.execute(_sql["recover"], {"system": self.connector.name})

    def deliver(self, *, again: bool) -> Delivered:
        """One pass over the system's maps; ``again`` tests the blocked records once more.

        Raises the error that stopped it (access denied, throttled, ...) after everything sent was acknowledged.
        """
        total = Delivered()
        self.halted = None
        waiting = to_do(self.connection)
        mine = self.compiled.outbound(self.connector.name)
        if not any(waiting[self.ids[found.name]].anything for found in mine):
            return total
        ready = self._ready()
        maps = [found for found in mine if self._sets(found) <= ready]
        for found in reversed(maps):
            if waiting[self.ids[found.name]].pending:
                total.add(self._deliver_map(found, ["pending"], gone=True))
        for found in maps:
            total.add(self._deliver_again(found, waiting[self.ids[found.name]], again=again or total.progress))
        if self.halted is not None:
            raise self.halted
        return total

    def _deliver_again(self, found: CompiledMap, waiting: ToDo, *, again: bool) -> Delivered:
        total = Delivered()
        if waiting.pending:
            hold_first_updates(self.connection, self.compiled, self.ids, found, self.sending.first_updates)
        unknown = waiting.unknown
        for _ in range(_ATTEMPTS_AT_ONCE if waiting.pending or unknown else 0):
            looked_up = self.look_up.look_up(found) if unknown else 0
            round_ = self._deliver_map(found, ["pending"])
            total.add(round_)
            unknown = bool(round_.unknown)
            if not (looked_up or unknown):
                break
        if waiting.due:
            total.add(self._deliver_due(found))
        if (again or total.progress) and (waiting.blocked or total.waiting):
            total.add(self._deliver_map(found, ["blocked"]))
        return total

    def _ready(self) -> set[str]:
        with self.connection.begin():
            rows = self.connection.execute(_sql["ready"], {"system": self.connector.name})
            return set(rows.scalars())

    def _sets(self, found: CompiledMap) -> set[str]:
        """The system's entity sets that this map and those of its parts read or write."""
        mirrors = self.compiled.tables.mirrors
        names = {table: name for (system, name), table in mirrors.items() if system == self.connector.name}
        maps = (found, *self.compiled.parts(found))
        steps = [step.table for each in maps for step in each.view.paths.steps]
        return {each.mapping.entity_set.name for each in maps} | {names[table] for table in steps if table in names}

    def _deliver_due(self, found: CompiledMap) -> Delivered:
        self.later.begin(found)
        with self.connection.begin():
            claimed = claim_due(self.connection, self.ids[found.name], limit=_BATCH)
            deliveries, counts = self._decide(found, claimed) if claimed.records else ([], Delivered())
        self._send(found, deliveries, counts)
        return counts

    def _deliver_map(self, found: CompiledMap, states: Sequence[State], *, gone: bool = False) -> Delivered:
        total, after = Delivered(), 0
        source = found.view.source if gone else None
        if not gone:
            self.later.begin(found)
        while not self.halted and not self.sending.stopping():
            with self.connection.begin():
                claimed = claim_records(
                    self.connection, self.ids[found.name], states, after=after, limit=_BATCH, without=source
                )
                if not claimed.records:
                    break
                deliveries, counts = self._decide(found, claimed)
            after = claimed.last
            self._send(found, deliveries, counts)
            total.add(counts)
            if total.applied // MANY > (total.applied - counts.applied) // MANY:
                self._analyze(found, total.applied)
        return total

    def _analyze(self, found: CompiledMap, grown: int) -> None:
        with self.connection.begin():
            for each in (found, *self.compiled.parts(found)):
                analyze(self.connection, grown, each.view.target, each.view.link)

    def _decide(self, found: CompiledMap, claimed: Claimed) -> tuple[list[Delivery], Delivered]:
        """Link, diff and plan the claimed records; settle what needs no write, put the rest in flight."""
        self._link(found, claimed)
        marks = {record: marked for record, marked, _ in claimed_rows(self.connection)}
        earlier = self._earlier(found)
        parts: dict[int, list[tuple[CompiledMap, object]]] = defaultdict(list)
        for part in self.compiled.parts(found):
            for row in self.connection.execute(diff(part.view, self.ids[part.name], claimed, by_root=True)):
                parts[row.record_id].append((part, row))
        rows = self.later.hold(found, self.connection.execute(diff(found.view, self.ids[found.name], claimed)).all())
        deliveries = [
            plan_delivery(
                found,
                row,
                parts[row.record_id],
                marks[row.record_id],
                earlier.keys(row.record_id, self.sending.new_key),
                asked=row.record_id in earlier.asked,
            )
            for row in rows
        ]
        only_observe(self.connection, self.ids[found.name], deliveries)
        return self._sort_out(found, deliveries)

    def _earlier(self, found: CompiledMap) -> Earlier:
        rows = self.connection.execute(_sql["earlier"], {"map_id": self.ids[found.name]}).all()
        asked = frozenset(row.record_id for row in rows if row.operation == "retry")
        return Earlier(asked, {row.record_id: row.identity for row in rows if row.identity})

    def _link(self, found: CompiledMap, claimed: Claimed) -> None:
        for each in (found, *self.compiled.parts(found)):
            linked = list(self.connection.execute(linking(each.view, claimed, by_root=each is not found)).scalars())
            mark_through(self.connection, self.compiled, self.ids, each.view.link, linked)

    def _sort_out(self, found: CompiledMap, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], Delivered]:
        map_id = self.ids[found.name]
        troubled = [delivery.shown for delivery in deliveries if delivery.shown is not None]
        show(self.connection, map_id, troubled)
        parted: dict[str, list[int]] = defaultdict(list)
        for delivery in deliveries:
            for each, record in delivery.unlink:
                parted[each.name].append(record)
        for name, records in parted.items():
            part_links(self.connection, self.compiled.map(name), records)
        settled = [each.record_id for each in deliveries if each.shown is None and not each.writes]
        settle(self.connection, map_id, settled)
        sent = [each for each in deliveries if each.shown is None and each.writes]
        self._put_in_flight(map_id, sent)
        return sent, Delivered(settled=len(settled), waiting=len(troubled))

    def _put_in_flight(self, map_id: int, deliveries: Sequence[Delivery]) -> None:
        rows = [
            {"record_id": each.record_id, "record": each.record, "operation": each.operation, "identity": each.identity}
            for each in deliveries
        ]
        if rows:
            values = {"map_id": map_id, "deliveries": simplejson.dumps(rows)}
            self.connection.execute(_sql["in_flight"], values)

    def _send(self, found: CompiledMap, deliveries: Sequence[Delivery], counts: Delivered) -> None:
        """Send groups of deliveries in parallel; acknowledge each as its answer comes."""
        groups = grouped(deliveries, self.connector.limits.writes_per_request)
        if deliveries:
            self.sending.on_send(found, len(deliveries))
        under_way: dict[Future[list[list[Outcome]]], list[Delivery]] = {}
        for group in groups:
            if len(under_way) >= self.connector.limits.parallel_requests:
                self._collect(found, under_way, counts)
            if self.halted or self.sending.stopping():
                self._acknowledge(found, group, _not_sent(group, self.halted), counts)
                continue
            with self.connection.begin():
                self.sending.check_lease(self.connection)
                paused = put_back_if_paused(self.connection, self.ids[found.name], group)
            if paused:
                continue
            under_way[self.sending.workers.submit(self.connector.apply, [each.unit for each in group])] = group
        while under_way:
            self._collect(found, under_way, counts)

    def _collect(
        self, found: CompiledMap, under_way: dict[Future[list[list[Outcome]]], list[Delivery]], counts: Delivered
    ) -> None:
        done, _ = wait(under_way, return_when=FIRST_COMPLETED)
        for future in done:
            group = under_way.pop(future)
            try:
                outcomes = future.result()
            except ReplicatorError as problem:
                self.halted = problem
                outcomes = _not_sent(group, problem)
            self._acknowledge(found, group, outcomes, counts)

    def _acknowledge(
        self, found: CompiledMap, group: list[Delivery], outcomes: list[list[Outcome]], counts: Delivered
    ) -> None:
        with self.connection.begin():
            self.sending.check_lease(self.connection)
            acknowledgement = Acknowledgement(self.connection, self.compiled, self.ids, found, self.sending.pause)
            result = acknowledgement.write(group, outcomes)
        self.look_up.confirm(result.unconfirmed)
        counts.add(result)
        counts.unknown += len(result.stale)
        self.sending.on_batch(found, result)


def _not_sent(group: Sequence[Delivery], problem: ReplicatorError | None) -> list[list[Outcome]]:
    """What becomes of a group that ``problem`` keeps from being sent, or the replicator's own end."""
    why = "not sent: the replicator is stopping" if problem is None else str(problem)
    pause = problem.retry_after if isinstance(problem, Throttled) else None
    return [[Postponed(why, pause) for _ in delivery.writes] for delivery in group]


def grouped(deliveries: Sequence[Delivery], writes_max: int) -> Iterator[list[Delivery]]:
    """Deliveries in groups of at most so many writes; one that is larger goes alone."""
    group: list[Delivery] = []
    writes = 0
    for delivery in deliveries:
        if group and writes + len(delivery.writes) > writes_max:
            yield group
            group, writes = [], 0
        group.append(delivery)
        writes += len(delivery.writes)
    if group:
        yield group
