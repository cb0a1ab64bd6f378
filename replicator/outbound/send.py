"""Send: groups of deliveries in parallel requests, each acknowledged as its answer comes.

Requests run in worker threads; the database is touched by the calling thread alone, and no transaction is open
meanwhile. A request that the system refuses as such is halved until the bad record stands alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import suppress
from dataclasses import dataclass

from replicator.config import Budget
from replicator.connectors.protocol import Connector, Outcome, Postponed
from replicator.core.hub_handle import Handle
from replicator.errors import ReplicatorError, RequestRefused, Throttled
from replicator.mapping.compiled import CompiledMap
from replicator.outbound.acknowledge import Acknowledged, Acknowledgement, Pause
from replicator.outbound.decide import Delivery
from replicator.outbound.earlier_tries import KeyFor
from replicator.outbound.pause_and_observe import put_back, put_back_if_paused

Group = list[Delivery]
_REFUSALS = 3
"""After so many records in a row that are refused one by one it is not the record: nothing more is sent."""


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
    looked_up: int = 0
    """Of which nobody knew what had become of them."""
    left: int = 0
    """Maps of which there is more to look at than went into this pass."""

    @property
    def progress(self) -> bool:
        """Whether a system changed."""
        return bool(self.applied)

    @property
    def releases(self) -> bool:
        """Whether what waits may find its parents there now."""
        return bool(self.applied or self.looked_up)

    def add(self, other: Delivered | Acknowledged) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name, 0))


@dataclass(frozen=True)
class Sending:
    """How to send: the worker threads, fresh keys, the pause after a failure, whether to stop, and who hears of it."""

    workers: Executor
    new_key: KeyFor
    pause: Pause
    first_updates: Budget
    stopping: Callable[[], bool] = lambda: False
    on_send: Callable[[CompiledMap, int], None] = lambda flow, records: None
    on_batch: Callable[[CompiledMap, Acknowledged], None] = lambda flow, result: None
    rests: Callable[[], bool] = lambda: False
    """Whether the system asked for a pause that is not over."""
    admit: Callable[[Sequence[Delivery]], list[Delivery]] = list
    """Which of these may be sent; the others stay as they are."""


class Sender:
    """Sends to one system. ``halted`` is the error after which nothing more is sent in this pass."""

    def __init__(
        self,
        hub: Handle,
        connector: Connector,
        sending: Sending,
    ) -> None:
        self.hub = hub
        self.connector, self.sending = connector, sending
        self.halted: ReplicatorError | None = None

    def send(self, flow: CompiledMap, deliveries: Sequence[Delivery], counts: Delivered) -> None:
        """Send these deliveries of one map, and count what becomes of them."""
        if deliveries:
            self.sending.on_send(flow, len(deliveries))
            _Round(self, flow, counts).run(grouped(deliveries, self.connector))


class _Round:
    """The groups of one ``send``: those that wait and those under way."""

    def __init__(self, sender: Sender, flow: CompiledMap, counts: Delivered) -> None:
        self.sender, self.flow, self.counts = sender, flow, counts
        self.waiting: deque[Group] = deque()
        self.under_way: dict[Future[list[list[Outcome]]], Group] = {}
        self.refusals = 0

    def run(self, groups: Iterator[Group]) -> None:
        self.waiting.extend(groups)
        parallel = self.sender.connector.limits.parallel_requests
        try:
            while self.waiting or self.under_way:
                if self.waiting and len(self.under_way) < parallel:
                    self._submit(self.waiting.popleft())
                else:
                    self._collect()
        except Exception:
            self._drain()
            raise

    def _submit(self, group: Group) -> None:
        sender = self.sender
        if sender.halted:
            self._acknowledge(group, _not_sent(group, sender.halted))
            return
        map_id = sender.hub.id_of(self.flow)
        with sender.hub.leading():
            if put_back_if_paused(sender.hub.connection, map_id, group):
                return
            if sender.sending.stopping():
                put_back(sender.hub.connection, map_id, group)
                return
        self.under_way[sender.sending.workers.submit(sender.connector.apply, [each.unit for each in group])] = group

    def _drain(self) -> None:
        """Acknowledge what is still under way, as far as that can be done: an answer that came is not given away."""
        while self.under_way:
            with suppress(Exception):  # the first problem is the one that is raised
                self._collect()

    def _collect(self) -> None:
        done, _ = wait(self.under_way, return_when=FIRST_COMPLETED)
        for future in done:
            group = self.under_way.pop(future)
            try:
                outcomes = future.result()
                self.refusals = 0
            except RequestRefused as problem:
                outcomes = self._refused(group, problem)
            except ReplicatorError as problem:
                self.sender.halted = problem
                outcomes = _not_sent(group, problem)
            if outcomes:
                self._acknowledge(group, outcomes)

    def _refused(self, group: Group, problem: RequestRefused) -> list[list[Outcome]]:
        """The system refuses the request as such: nothing of it was done, and which record it minds is not said.

        Each is sent alone then; one that is refused so waits and is tried again, for nothing was said of its data.
        """
        if self.refusals >= _REFUSALS:
            self.sender.halted = problem
            return _not_sent(group, problem)
        if len(group) > 1:
            middle = len(group) // 2
            self.waiting.extendleft((group[middle:], group[:middle]))
            return []
        self.refusals += 1
        return _not_sent(group, problem)

    def _acknowledge(self, group: Group, outcomes: list[list[Outcome]]) -> None:
        sender = self.sender
        with sender.hub.leading():
            pause = sender.sending.pause
            acknowledgement = Acknowledgement(sender.hub, self.flow, pause)
            result = acknowledgement.write(group, outcomes)
        self.counts.add(result)
        self.counts.unknown += len(result.stale) + result.unconfirmed
        sender.sending.on_batch(self.flow, result)


def _not_sent(group: Sequence[Delivery], problem: ReplicatorError) -> list[list[Outcome]]:
    """What becomes of a group that ``problem`` keeps from being sent."""
    pause = problem.retry_after if isinstance(problem, Throttled) else None
    return [[Postponed(str(problem), pause) for _ in delivery.writes] for delivery in group]


def grouped(deliveries: Sequence[Delivery], connector: Connector) -> Iterator[Group]:
    """Deliveries in groups as large as one request of the system may be; one that is larger goes alone."""
    limits = connector.limits
    group: Group = []
    writes = size = 0
    for delivery in deliveries:
        own = 0 if limits.request_size is None else connector.size(delivery.unit)
        too_many = writes + len(delivery.writes) > limits.writes_per_request
        if group and (too_many or size + own > (limits.request_size or 0)):
            yield group
            group, writes, size = [], 0, 0
        group.append(delivery)
        writes += len(delivery.writes)
        size += own
    if group:
        yield group
