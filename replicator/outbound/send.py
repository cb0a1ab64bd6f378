"""Send: groups of deliveries in parallel requests, acknowledged as their answers come.

Requests run in worker threads; the database is touched by the calling thread alone, and no transaction is open
meanwhile. A request that the system refuses as such is halved until the bad record stands alone.
"""

from __future__ import annotations

import time
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
Answered = tuple[Group, list[list[Outcome]]]
_REFUSALS = 3
"""After so many records in a row that are refused one by one it is not the record: nothing more is sent."""


@dataclass
class Delivered:
    """Counts of records, by what became of them in one pass."""

    applied: int = 0
    deleted: int = 0
    """Of these, deletes, or with deletes of their parts."""
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
    def says_all(self) -> bool:
        """Whether the answers told all that has become of the system, so that a read could only show the same again.

        A delete may take others along, and what was refused may be there all the same.
        """
        return not (self.deleted or self.rejected or self.unknown or self.looked_up)

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
    clock: Callable[[], float] = time.monotonic
    """Seconds."""


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
    """The groups of one ``send``: those that wait, those under way, and those whose answers have arrived."""

    def __init__(self, sender: Sender, flow: CompiledMap, counts: Delivered) -> None:
        self.sender, self.flow, self.counts = sender, flow, counts
        self.waiting: deque[Group] = deque()
        self.under_way: dict[Future[list[list[Outcome]]], Group] = {}
        self.arrived: list[Answered] = []
        self.refusals = 0

    def run(self, groups: Iterator[Group]) -> None:
        self.waiting.extend(groups)
        try:
            while self.waiting or self.under_way or self.arrived:
                self._submit()  # first, so that the system has something to do meanwhile
                self._acknowledge()
                self._collect()
        except Exception:
            self._drain()
            raise

    def _submit(self) -> None:
        """Send as many groups as may be under way at once."""
        sender = self.sender
        if sender.halted:
            self.arrived += [(group, _not_sent(group, sender.halted)) for group in self.waiting]
            self.waiting.clear()
        free = sender.connector.limits.parallel_requests - len(self.under_way)
        groups = [self.waiting.popleft() for _ in range(min(free, len(self.waiting)))]
        if groups and self._may_go([delivery for group in groups for delivery in group]):
            for group in groups:
                request = sender.sending.workers.submit(sender.connector.apply, [each.unit for each in group])
                self.under_way[request] = group

    def _may_go(self, deliveries: Sequence[Delivery]) -> bool:
        """Whether these may be sent now; if not, they are as if they had not been claimed."""
        sender = self.sender
        map_id = sender.hub.id_of(self.flow)
        with sender.hub.leading():
            if put_back_if_paused(sender.hub.connection, map_id, deliveries):
                return False
            if sender.sending.stopping():
                put_back(sender.hub.connection, map_id, deliveries)
                return False
        return True

    def _drain(self) -> None:
        """Acknowledge what is still under way, as far as that can be done: an answer that came is not given away."""
        while self.under_way or self.arrived:
            with suppress(Exception):  # the first problem is the one that is raised
                self._acknowledge()
                self._collect()

    def _collect(self) -> None:
        """Wait for an answer; with it come all that are there by then."""
        done, _ = wait(self.under_way, return_when=FIRST_COMPLETED)
        for future in [each for each in self.under_way if each in done]:
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
                self.arrived.append((group, outcomes))

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

    def _acknowledge(self) -> None:
        """Everything that has arrived, in one transaction: of many small answers most would be its costs.

        If that fails, each alone: what could be written of the others is not given away.
        """
        arrived, self.arrived = self.arrived, []
        try:
            self._write(arrived)
        except Exception as problem:
            if len(arrived) == 1:
                raise
            problems = [failure for each in arrived if (failure := self._failure(each)) is not None]
            if problems:
                raise problems[0] from problem

    def _failure(self, answered: Answered) -> Exception | None:
        """Why one answer cannot be acknowledged; None where it was."""
        try:
            self._write([answered])
        except Exception as problem:
            return problem
        return None

    def _write(self, arrived: Sequence[Answered]) -> None:
        if not arrived:
            return
        sender = self.sender
        deliveries = [delivery for group, _ in arrived for delivery in group]
        outcomes = [each for _, some in arrived for each in some]
        with sender.hub.leading():
            acknowledgement = Acknowledgement(sender.hub, self.flow, sender.sending.pause)
            result = acknowledgement.write(deliveries, outcomes)
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
