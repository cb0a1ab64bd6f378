"""One pass of deliveries: claims records of one system's maps, decides what each needs, and sends what differs.

Parents go before children, so that a child finds its parent in the system; deletes go the other way round. Each map has
a bounded time in one pass, so that many records of one keep no other waiting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import simplejson
import sqlalchemy as sa

from replicator.connectors.protocol import Connector
from replicator.core.claim import (
    Claimed,
    State,
    ToDo,
    claim_due,
    claim_records,
    each_half,
    settle,
    show,
    to_do,
)
from replicator.core.crosswalk import part_links
from replicator.core.hub_handle import Handle
from replicator.core.unread_parts import parts_to_be_read
from replicator.errors import OF_THE_SYSTEM, ReplicatorError
from replicator.hub.planner import MANY, analyze
from replicator.hub.statements import statements
from replicator.mapping.compiled import CompiledMap
from replicator.outbound.create_follow_up import note_what_follows, nothing_follows
from replicator.outbound.decide import Delivery, decide
from replicator.outbound.deferred_references import DeferredReferences
from replicator.outbound.first_delivery_guard import hold_first_updates
from replicator.outbound.pause_and_observe import only_observe
from replicator.outbound.restored_parts import wait_for_orphans
from replicator.outbound.select import select
from replicator.outbound.send import Delivered, Sender, Sending
from replicator.outbound.unknown_outcomes import UnknownOutcomes

_sql = statements(__name__)
_BATCH = 2000
"""Records that are claimed, decided and sent together: as many as keep a few large requests under way at once."""
_SLICE_SECONDS = 2.0
"""After so long the batch that is under way is the last one of its map in this pass."""
_ATTEMPTS_AT_ONCE = 4
Decided = tuple[list[Delivery], Delivered]


class Deliveries:
    """Delivers to one system, on one connection."""

    def __init__(
        self,
        hub: Handle,
        connector: Connector,
        sending: Sending,
    ) -> None:
        self.hub = hub
        self.connector, self.sending = connector, sending
        self.sender = Sender(hub, connector, sending)
        self.unknown_outcomes = UnknownOutcomes(hub, connector, sending.pause)
        self.deferred = DeferredReferences(hub)
        self._tested: dict[str, int] = {}
        """By map: up to which record the blocked ones have been tested again, where that did not fit into a pass."""

    def recover(self) -> None:
        """After a start: what was in flight when the last daemon stopped has to be looked up."""
        with self.hub.leading():
            self.hub.execute(_sql["recover"], {"system": self.connector.name})

    def deliver(self, *, again: bool) -> Delivered:
        """One pass over the system's maps; ``again`` tests the blocked records once more.

        What stopped it (access denied, throttled, ...) is in ``halted``; everything sent was acknowledged. While the
        system is in a pause that it asked for, everything stays as it is.
        """
        total = Delivered()
        self.sender.halted = None
        waiting = to_do(self.hub.connection)
        mine = self.hub.compiled.outbound(self.connector.name)
        if not any(waiting[self.hub.id_of(flow)].anything for flow in mine):
            return total
        if self.sending.rests():
            return total
        ready = self._ready()
        maps = [flow for flow in mine if self._sets(flow) <= ready]
        for flow in reversed(maps):
            if waiting[self.hub.id_of(flow)].pending:
                total.add(self._deliver_gone(flow))
        for flow in maps:
            total.add(self._deliver_again(flow, waiting[self.hub.id_of(flow)], again=again or total.releases))
        return total

    @property
    def halted(self) -> ReplicatorError | None:
        """What stopped the last pass."""
        return self.sender.halted

    def _deliver_again(self, flow: CompiledMap, waiting: ToDo, *, again: bool) -> Delivered:
        total = Delivered()
        if waiting.pending:
            hold_first_updates(self.hub, flow, self.sending.first_updates)
        unknown = waiting.unknown
        for _ in range(_ATTEMPTS_AT_ONCE if waiting.pending or unknown else 0):
            looked_up = self._look_up(flow) if unknown else 0
            total.looked_up += looked_up
            round_ = self._deliver_map(flow, ["pending"])
            total.add(round_)
            unknown = bool(round_.unknown)
            if not (looked_up or unknown):
                break
        if waiting.due:
            total.add(self._deliver_due(flow))
        again = again or total.releases or flow.name in self._tested
        if again and (waiting.blocked or total.waiting):
            total.add(self._deliver_map(flow, ["blocked"], after=self._tested.pop(flow.name, 0)))
        return total

    def _look_up(self, flow: CompiledMap) -> int:
        if self._ends:
            return 0
        try:
            return self.unknown_outcomes.resolve(flow)
        except OF_THE_SYSTEM as problem:
            self.sender.halted = problem
            return 0

    @property
    def _ends(self) -> bool:
        """Whether nothing more is to be sent in this pass."""
        return self.halted is not None or self.sending.stopping()

    def _ready(self) -> set[str]:
        with self.hub.leading():
            rows = self.hub.execute(_sql["ready"], {"system": self.connector.name})
            return set(rows.scalars())

    def _sets(self, flow: CompiledMap) -> set[str]:
        """The system's entity sets that this map and those of its parts read or write."""
        mirrors = self.hub.compiled.tables.mirrors
        names = {table: name for (system, name), table in mirrors.items() if system == self.connector.name}
        maps = (flow, *self.hub.compiled.parts(flow))
        steps = [step.table for each in maps for step in each.view.paths.steps]
        return {each.mapping.entity_set.name for each in maps} | {names[table] for table in steps if table in names}

    def _deliver_due(self, flow: CompiledMap) -> Delivered:
        if self._ends:
            return Delivered()
        self.deferred.begin(flow)
        with self.hub.leading():
            if parts_to_be_read(self.hub.connection, self.hub.compiled, flow):
                return Delivered()
            claimed = claim_due(self.hub.connection, self.hub.id_of(flow), limit=_BATCH)
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
        analyzed = 0
        until = self.sending.clock() + _SLICE_SECONDS
        self.deferred.begin(flow)
        while True:
            counts, place = self._deliver_batch(flow, states, after)
            total.add(counts)
            if total.applied >= 2 * analyzed + MANY:
                analyzed = total.applied
                self._analyze(flow, analyzed)
            if place is None:
                return total
            after = place
            if self.sending.clock() >= until:
                break
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
        with self.hub.leading():
            if parts_to_be_read(self.hub.connection, self.hub.compiled, flow):
                return Delivered(), None
            map_id = self.hub.id_of(flow)
            claimed = claim_records(self.hub.connection, map_id, states, after=after, limit=_BATCH, without=without)
            deliveries, counts = self._decide(flow, claimed)
        self.sender.send(flow, deliveries, counts)
        return counts, claimed.last if claimed.records == _BATCH else None

    def _analyze(self, flow: CompiledMap, grown: int) -> None:
        with self.hub.leading():
            for each in (flow, *self.hub.compiled.parts(flow)):
                analyze(self.hub.connection, grown, each.view.target, each.view.link)

    def _decide(self, flow: CompiledMap, claimed: Claimed) -> Decided:
        """What is to be sent for the claimed records; one that the database cannot compute is rejected alone."""
        if not claimed.records:
            return [], Delivered()
        deliveries: list[Delivery] = []
        counts = Delivered()

        def work(some: Claimed) -> Decided:
            return self._decide_all(flow, some)

        rejected: Decided = ([], Delivered(waiting=1))
        for more, count in each_half(self.hub.connection, self.hub.id_of(flow), claimed, work, rejected=rejected):
            deliveries += more
            counts.add(count)
        return deliveries, counts

    def _decide_all(self, flow: CompiledMap, claimed: Claimed) -> Decided:
        """Decide on the claimed records; settle what needs no write, put the rest in flight."""
        candidates = select(self.hub, flow, claimed)
        deferred = self.deferred.of(flow, [each.row for each in candidates])
        deliveries = [decide(flow, each, deferred, self.sending.new_key) for each in candidates]
        wait_for_orphans(self.hub, flow, deliveries)
        only_observe(self.hub.connection, self.hub.id_of(flow), deliveries)
        return self._sort_out(flow, deliveries)

    def _sort_out(self, flow: CompiledMap, deliveries: Sequence[Delivery]) -> Decided:
        map_id = self.hub.id_of(flow)
        troubled = [delivery.shown for delivery in deliveries if delivery.shown is not None]
        show(self.hub.connection, map_id, troubled)
        parted: dict[str, list[int]] = defaultdict(list)
        for delivery in deliveries:
            for each, record in delivery.unlink:
                parted[each.name].append(record)
        for name, records in parted.items():
            part_links(self.hub.connection, self.hub.compiled.map(name), records)
        settled = [each.record_id for each in deliveries if each.shown is None and not each.writes]
        settle(self.hub.connection, map_id, settled)
        nothing_follows(self.hub, flow, settled)
        sent = self.sending.admit([each for each in deliveries if each.shown is None and each.writes])
        self._put_in_flight(map_id, sent)
        note_what_follows(self.hub, flow, sent)
        return sent, Delivered(settled=len(settled), waiting=len(troubled))

    def _put_in_flight(self, map_id: int, deliveries: Sequence[Delivery]) -> None:
        rows = [
            {"record_id": each.record_id, "record": each.record, "operation": each.operation, "identity": each.identity}
            for each in deliveries
        ]
        if rows:
            values = {"map_id": map_id, "deliveries": simplejson.dumps(rows)}
            self.hub.execute(_sql["in_flight"], values)
