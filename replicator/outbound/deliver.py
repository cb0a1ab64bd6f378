"""Apply: claims records of one system's maps, decides what each needs, and sends what differs.

Parents go before children, so that a child finds its parent in the system; deletes go the other way round. Of each map
a bounded number of records goes into one pass, so that many of one keep no other waiting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import simplejson
import sqlalchemy as sa

from replicator.connectors.protocol import Connector
from replicator.core.claim import (
    Claimed,
    State,
    ToDo,
    claim_due,
    claim_records,
    claimed_rows,
    each_half,
    settle,
    show,
    to_do,
)
from replicator.core.crosswalk import part_links
from replicator.core.diff import diff, linking
from replicator.core.mark import mark_through
from replicator.errors import OF_THE_SYSTEM, ReplicatorError
from replicator.hub.lease import leading
from replicator.hub.planner import MANY, analyze
from replicator.hub.statements import statements
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.outbound.decide import Delivery, Earlier, plan_delivery
from replicator.outbound.deferred_references import Later
from replicator.outbound.first_delivery_guard import hold_first_updates
from replicator.outbound.pause_and_observe import only_observe
from replicator.outbound.resolve import LookUp
from replicator.outbound.send import Delivered, Sender, Sending
from replicator.outbound.unread_parts import parts_to_be_read

_sql = statements(__name__, "claim")
_BATCH = 500
_BATCHES = 10
"""Of one map in one pass."""
_ATTEMPTS_AT_ONCE = 4
Decided = tuple[list[Delivery], Delivered]


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
        self.sender = Sender(connection, compiled, ids, connector, sending)
        self.look_up = LookUp(connection, compiled, ids, connector, sending.pause)
        self.later = Later(connection, compiled, ids)
        self._tested: dict[str, int] = {}
        """By map: up to which record the blocked ones have been tested again, where that did not fit into a pass."""

    def recover(self) -> None:
        """After a start: what was in flight when the last daemon stopped has to be looked up."""
        with leading(self.connection):
            self.connection.execute(_sql["recover"], {"system": self.connector.name})

    def deliver(self, *, again: bool) -> Delivered:
        """One pass over the system's maps; ``again`` tests the blocked records once more.

        What stopped it (access denied, throttled, ...) is in ``halted``; everything sent was acknowledged.
        """
        total = Delivered()
        self.sender.halted = None
        waiting = to_do(self.connection)
        mine = self.compiled.outbound(self.connector.name)
        if not any(waiting[self.ids[flow.name]].anything for flow in mine):
            return total
        ready = self._ready()
        maps = [flow for flow in mine if self._sets(flow) <= ready]
        for flow in reversed(maps):
            if waiting[self.ids[flow.name]].pending:
                total.add(self._deliver_gone(flow))
        for flow in maps:
            total.add(self._deliver_again(flow, waiting[self.ids[flow.name]], again=again or total.progress))
        return total

    @property
    def halted(self) -> ReplicatorError | None:
        """What stopped the last pass."""
        return self.sender.halted

    def _deliver_again(self, flow: CompiledMap, waiting: ToDo, *, again: bool) -> Delivered:
        total = Delivered()
        if waiting.pending:
            hold_first_updates(self.connection, self.compiled, self.ids, flow, self.sending.first_updates)
        unknown = waiting.unknown
        for _ in range(_ATTEMPTS_AT_ONCE if waiting.pending or unknown else 0):
            looked_up = self._look_up(flow) if unknown else 0
            round_ = self._deliver_map(flow, ["pending"])
            total.add(round_)
            unknown = bool(round_.unknown)
            if not (looked_up or unknown):
                break
        if waiting.due:
            total.add(self._deliver_due(flow))
        again = again or total.progress or flow.name in self._tested
        if again and (waiting.blocked or total.waiting):
            total.add(self._deliver_map(flow, ["blocked"], after=self._tested.pop(flow.name, 0)))
        return total

    def _look_up(self, flow: CompiledMap) -> int:
        if self._ends:
            return 0
        try:
            return self.look_up.look_up(flow)
        except OF_THE_SYSTEM as problem:
            self.sender.halted = problem
            return 0

    @property
    def _ends(self) -> bool:
        """Whether nothing more is to be sent in this pass."""
        return self.halted is not None or self.sending.stopping()

    def _ready(self) -> set[str]:
        with leading(self.connection):
            rows = self.connection.execute(_sql["ready"], {"system": self.connector.name})
            return set(rows.scalars())

    def _sets(self, flow: CompiledMap) -> set[str]:
        """The system's entity sets that this map and those of its parts read or write."""
        mirrors = self.compiled.tables.mirrors
        names = {table: name for (system, name), table in mirrors.items() if system == self.connector.name}
        maps = (flow, *self.compiled.parts(flow))
        steps = [step.table for each in maps for step in each.view.paths.steps]
        return {each.mapping.entity_set.name for each in maps} | {names[table] for table in steps if table in names}

    def _deliver_due(self, flow: CompiledMap) -> Delivered:
        if self._ends:
            return Delivered()
        self.later.begin(flow)
        with leading(self.connection):
            if parts_to_be_read(self.connection, self.compiled, flow):
                return Delivered()
            claimed = claim_due(self.connection, self.ids[flow.name], limit=_BATCH)
            deliveries, counts = self._decide(flow, claimed)
        self.sender.send(flow, deliveries, counts)
        return counts

    def _deliver_gone(self, flow: CompiledMap) -> Delivered:
        """All deletes of a map: those of its parents come after them."""
        total = Delivered()
        place: int | None = 0
        while place is not None:
            counts, place = self._deliver_batch(flow, ["pending"], place, without=flow.view.source)
            total.add(counts)
        return total

    def _deliver_map(self, flow: CompiledMap, states: Sequence[State], *, after: int = 0) -> Delivered:
        """A slice of a map's records in these states."""
        total = Delivered()
        self.later.begin(flow)
        for _ in range(_BATCHES):
            counts, place = self._deliver_batch(flow, states, after)
            total.add(counts)
            if total.applied // MANY > (total.applied - counts.applied) // MANY:
                self._analyze(flow, total.applied)
            if place is None:
                return total
            after = place
        total.left += 1
        if "blocked" in states:
            self._tested[flow.name] = after
        return total

    def _deliver_batch(
        self, flow: CompiledMap, states: Sequence[State], after: int, without: sa.Table | None = None
    ) -> tuple[Delivered, int | None]:
        """One batch of a map's records, from the one after ``after`` on; and the last of them, if more may come."""
        if self._ends:
            return Delivered(), None
        with leading(self.connection):
            if parts_to_be_read(self.connection, self.compiled, flow):
                return Delivered(), None
            map_id = self.ids[flow.name]
            claimed = claim_records(self.connection, map_id, states, after=after, limit=_BATCH, without=without)
            deliveries, counts = self._decide(flow, claimed)
        self.sender.send(flow, deliveries, counts)
        return counts, claimed.last if claimed.records == _BATCH else None

    def _analyze(self, flow: CompiledMap, grown: int) -> None:
        with leading(self.connection):
            for each in (flow, *self.compiled.parts(flow)):
                analyze(self.connection, grown, each.view.target, each.view.link)

    def _decide(self, flow: CompiledMap, claimed: Claimed) -> Decided:
        """What is to be sent for the claimed records; one that the database cannot compute is rejected alone."""
        if not claimed.records:
            return [], Delivered()
        deliveries: list[Delivery] = []
        counts = Delivered()

        def work(some: Claimed) -> Decided:
            return self._decide_all(flow, some)

        rejected: Decided = ([], Delivered(waiting=1))
        for more, count in each_half(self.connection, self.ids[flow.name], claimed, work, rejected=rejected):
            deliveries += more
            counts.add(count)
        return deliveries, counts

    def _decide_all(self, flow: CompiledMap, claimed: Claimed) -> Decided:
        """Link, diff and plan the claimed records; settle what needs no write, put the rest in flight."""
        self._link(flow, claimed)
        marks = {record: marked for record, marked, _ in claimed_rows(self.connection)}
        earlier = self._earlier(flow)
        parts: dict[int, list[tuple[CompiledMap, object]]] = defaultdict(list)
        for part in self.compiled.parts(flow):
            for row in self.connection.execute(diff(part.view, self.ids[part.name], claimed, by_root=True)):
                parts[row.record_id].append((part, row))
        rows = self.later.hold(flow, self.connection.execute(diff(flow.view, self.ids[flow.name], claimed)).all())
        deliveries = [
            plan_delivery(
                flow,
                row,
                parts[row.record_id],
                marks[row.record_id],
                earlier.keys(row.record_id, self.sending.new_key),
                asked=row.record_id in earlier.asked,
            )
            for row in rows
        ]
        only_observe(self.connection, self.ids[flow.name], deliveries)
        return self._sort_out(flow, deliveries)

    def _earlier(self, flow: CompiledMap) -> Earlier:
        rows = self.connection.execute(_sql["earlier"], {"map_id": self.ids[flow.name]}).all()
        asked = frozenset(row.record_id for row in rows if row.asked)
        return Earlier(asked, {row.record_id: row.identity for row in rows if row.identity})

    def _link(self, flow: CompiledMap, claimed: Claimed) -> None:
        for each in (flow, *self.compiled.parts(flow)):
            linked = list(self.connection.execute(linking(each.view, claimed, by_root=each is not flow)).scalars())
            mark_through(self.connection, self.compiled, self.ids, each.view.link, linked)

    def _sort_out(self, flow: CompiledMap, deliveries: Sequence[Delivery]) -> Decided:
        map_id = self.ids[flow.name]
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
        sent = self.sending.admit([each for each in deliveries if each.shown is None and each.writes])
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
