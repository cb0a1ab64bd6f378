"""The daemon: threads that read each system, mark and merge, and deliver to each system, until told to stop.

Each thread that works on the hub has its own connection, and each its own pace. What wakes them is a hint (NOTIFY, or
a system that says that something changed), and polling finds the rest.
An error of one flow is logged, shown and tried again; it stops no other thread.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psycopg
from sqlalchemy.exc import DBAPIError

from replicator.cycle import Cycle
from replicator.errors import (
    OF_THE_LEAD,
    AccessDenied,
    HubMigrated,
    LeaseLost,
    ReplicatorError,
    SystemUnavailable,
    Transient,
)
from replicator.hub.database_errors import hub_trouble
from replicator.hub.lease import Lease, acquire, holder
from replicator.hub.wake_up import HINTS, Listener, notify
from replicator.inbound.reading_turns import Reader, ReadingTurns
from replicator.operate.notify import Notifier
from replicator.operate.receivers import senders
from replicator.world import World

STOP_SECONDS = 5.0
"""For all threads together."""
_LONGEST_PAUSE = 30.0
_HINTS_SECONDS = 1.0
"""So often a thread that waits for hints looks whether it has to stop."""
_RENEWALS_PER_MAINTENANCE = 100


@dataclass(frozen=True)
class DaemonEnd:
    """How a daemon ended: the threads that did not end in time, and whether because the hub was migrated."""

    unfinished: Sequence[str] = ()
    migrated: bool = False


class Daemon:
    """Runs until ``stop``, and works while it leads. ``stop`` may be called from any thread and a signal handler."""

    def __init__(self, world: World, holder: str) -> None:
        self._stop = threading.Event()
        self._holder = holder
        self.world = world
        self._leader: Leader | None = None

    def stop(self) -> None:
        """Finish what is under way, then stop."""
        self._stop.set()
        if self._leader is not None:
            self._leader.wake()

    def read_now(self) -> None:
        """Read all of both systems without waiting for the next poll, or for what is read rarely."""
        if self._leader is not None:
            self._leader.read_now()

    def run(self) -> DaemonEnd:
        """Work until stopped, or until the hub was migrated.

        Where the lead is lost, or given up because a thread died, it waits for the lead again. A thread that is stuck
        in a request meanwhile does no harm: it belongs to the old lease, under which nothing can be written any more.
        """
        unfinished: list[str] = []
        while not self._stop.is_set():
            try:
                lease = self._take_lead()
            except HubMigrated as problem:
                self.world.watcher.problem("hub", problem)
                return DaemonEnd(unfinished, migrated=True)
            if lease is None:
                break
            self._leader = Leader(self.world, lease, self._stop)
            unfinished = self._leader.lead()
            if unfinished and not self._stop.is_set():
                words = f"a thread of the old lead has not ended yet: {', '.join(unfinished)}"
                self.world.watcher.problem("lead", Transient(words))
        return DaemonEnd(unfinished)

    def _take_lead(self) -> Lease | None:
        """Wait until the lead is free; None when stopped meanwhile. Raises HubMigrated."""
        seconds = self.world.configuration.daemon.lease_seconds
        told = False
        attempts = 0
        while not self._stop.is_set():
            try:
                with self.world.engine.connect() as connection:
                    lease = acquire(connection, self._holder, seconds, self.world.made_from, goes_on=True)
                    if lease is not None:
                        return lease
                    if not told:
                        self.world.watcher.waiting(holder(connection))
                        told = True
                attempts = 0
                self._stop.wait(seconds / 3)
            except DBAPIError as problem:
                self.world.watcher.problem("lead", hub_trouble(problem))
                _mend_hub(self.world)
                self._stop.wait(min(self.world.pause(attempts), _LONGEST_PAUSE))
                attempts += 1
        return None


class Leader:
    """The threads that work under one lease. When it is lost they end, and no other lease makes them work again."""

    def __init__(self, world: World, lease: Lease, stop: threading.Event) -> None:
        self._stop, self._lease = stop, lease
        self._lost, self._woken = threading.Event(), threading.Event()
        stopping = world.stopping
        self.world = replace(world, lease=lease, stopping=lambda: stop.is_set() or self._lost.is_set() or stopping())
        self._to_deliver = {name: threading.Event() for name in world.connectors}
        turns = {name: ReadingTurns() for name in world.connectors}
        self._readers = [
            Reader(name, turns[name], is_first=number == 0)
            for name in world.connectors
            for number in range(world.configuration.daemon.readers)
        ]
        self.read_now()  # what changed while nobody led waits for no pace
        self._threads = [threading.Thread(target=self._merge_loop, name="merge", daemon=True)]
        if world.configuration.notify.anybody:
            self._threads.append(threading.Thread(target=self._notify_loop, name="notify", daemon=True))
        if world.configuration.hints is not None:
            self._threads.append(threading.Thread(target=self._hear_loop, name="hints", daemon=True))
        for name, connector in world.connectors.items():
            loops = [(self._deliver_loop, "deliver")]
            if connector.capabilities.pushes:
                loops.append((self._hint_loop, "hints of"))
            for loop, what in loops:
                self._threads.append(threading.Thread(target=loop, args=(name,), name=f"{what} {name}", daemon=True))
        for reader in self._readers:
            thread = threading.Thread(target=self._read_loop, args=(reader,), name=reader.name, daemon=True)
            self._threads.append(thread)

    def wake(self) -> None:
        """Let every thread look whether it has to stop."""
        self._woken.set()
        self._deliver_now()
        self.read_now()

    def read_now(self) -> None:
        """Read all of both systems without waiting for the next poll, or for what is read rarely."""
        for reader in self._readers:
            reader.read_all()

    def _read_all_of(self, name: str) -> None:
        for reader in self._readers:
            if reader.system == name:
                reader.read_all()

    def _deliver_now(self) -> None:
        for event in self._to_deliver.values():
            event.set()

    def lead(self) -> list[str]:
        """Work until stopped, or until the lead is lost; the threads that did not end in time."""
        self._with_connection("start", lambda cycle: cycle.prepare(), once=True)
        for thread in self._threads:
            thread.start()
        self._keep_lead()
        self._lost.set()
        self.wake()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        unfinished = [thread.name for thread in self._threads if thread.is_alive()]
        if not unfinished:  # nor is a lead that somebody else has given up
            with suppress(DBAPIError), self.world.engine.connect() as connection:
                self._lease.release(connection)
        return unfinished

    def _keep_lead(self) -> None:
        """Renew the lease until stopped, lost, or a thread is found dead.

        While the hub is down nothing can be written, so it is only tried.
        """
        renewals = 0
        while not (self._woken.wait(self._lease.seconds / 3) or self.world.stopping()):
            dead = [thread.name for thread in self._threads if not (thread.is_alive() or self.world.stopping())]
            if dead:
                words = f"the thread '{dead[0]}' has ended of itself"
                self.world.watcher.problem("lead", Transient(words, hint="all threads are started anew"))
                return
            try:
                with self.world.engine.connect() as connection:
                    if not self._lease.renew(connection):
                        return
                    renewals += 1
                    if renewals % _RENEWALS_PER_MAINTENANCE == 0:
                        Cycle(self.world, connection).maintain()
            except OF_THE_LEAD:
                return
            except DBAPIError:
                continue
            except Exception as problem:
                self.world.watcher.defect("lead", problem)

    def _with_connection(self, where: str, work: Callable[[Cycle], object], *, once: bool = False) -> None:
        """Run ``work`` on a connection of its own; after a failure again, on a fresh one.

        A failure that nobody foresaw is a defect: it is told with where it happened, and stops no thread.
        """
        attempts = 0
        while not self.world.stopping():
            began = time.monotonic()
            try:
                with self.world.engine.connect() as connection:
                    work(Cycle(self.world, connection))
                    if once:
                        return
                    continue
            except OF_THE_LEAD as problem:
                if isinstance(problem, LeaseLost):
                    self.world.watcher.problem(where, problem)
                self._lost.set()
                self._woken.set()
                return
            except (DBAPIError, psycopg.Error) as problem:
                self.world.watcher.problem(where, hub_trouble(problem))
                _mend_hub(self.world)
            except Exception as problem:
                if once:
                    raise
                self.world.watcher.defect(where, problem)
            attempts = 0 if time.monotonic() - began > _LONGEST_PAUSE else attempts
            self._stop.wait(min(self.world.pause(attempts), _LONGEST_PAUSE))
            attempts += 1

    def _read_loop(self, reader: Reader) -> None:
        def work(cycle: Cycle) -> None:
            while not self.world.stopping():
                asked = reader.take_wish()
                since = reader.since_poll(self.world.configuration.daemon.poll_seconds) if asked is None else asked
                try:
                    if cycle.read([reader.system], hinted=asked is not None, turn=reader.turn(since)):
                        notify(cycle.connection)
                except Exception:
                    if asked is not None:
                        reader.read_all(asked)
                    raise
                self._wait_for_poll(cycle, reader)

        if not reader.is_first:  # it helps where the first one is at a long read
            self._lost.wait(self.world.configuration.daemon.poll_seconds / 2)
        self._with_connection(reader.name, work)

    def _wait_for_poll(self, cycle: Cycle, reader: Reader) -> None:
        """Until the next poll, or until all is wanted; meanwhile what is hinted is read, and that alone."""
        until = time.monotonic() + self.world.configuration.daemon.poll_seconds
        while (left := until - time.monotonic()) > 0 and reader.to_look.wait(left):
            reader.to_look.clear()  # first: what is said from here on is looked at once more
            if not reader.is_first:
                self._lost.wait(self.world.configuration.daemon.hub_poll_seconds)
            if reader.is_all_wanted or self.world.stopping():
                return
            if cycle.read_hinted(reader.system, reader.turn(math.inf)):
                notify(cycle.connection)

    def _hear_loop(self) -> None:
        """Hear of the hub which systems said that something changed. What is not heard of is found by the next poll.

        Many hints are one read: it hears no more often than the hub is looked at.
        """

        def work(cycle: Cycle) -> None:
            with Listener(self.world.engine, HINTS) as listener:
                told = set(self.world.connectors)  # of what was said before, nobody may have heard
                while not self.world.stopping():
                    for reader in self._readers:
                        if reader.system in told:
                            reader.to_look.set()
                    if told:
                        self._lost.wait(self.world.configuration.daemon.hub_poll_seconds)
                    told = listener.wait(_HINTS_SECONDS)

        self._with_connection("hints", work)

    def _hint_loop(self, name: str) -> None:
        """Hear of a system that something changed there. What is not heard of is found by the next poll.

        Many hints are one read: it looks around no more often than the hub is looked at.
        """
        where, attempts = f"hints of {name}", 0
        while not self.world.stopping():
            try:
                if self.world.connectors[name].wait_for_change(_HINTS_SECONDS):
                    self._read_all_of(name)
                attempts = 0
                self._lost.wait(self.world.configuration.daemon.hub_poll_seconds)
                continue
            except ReplicatorError as problem:
                self.world.watcher.problem(where, problem)
            except Exception as problem:
                self.world.watcher.defect(where, problem)
            self._lost.wait(min(self.world.pause(attempts), _LONGEST_PAUSE))
            attempts += 1

    def _merge_loop(self) -> None:
        def work(cycle: Cycle) -> None:
            with Listener(self.world.engine) as listener:
                while not self.world.stopping():
                    cycle.merge(self._deliver_now)
                    listener.wait(self.world.configuration.daemon.hub_poll_seconds)

        self._with_connection("merge", work)

    def _notify_loop(self) -> None:
        settings = self.world.configuration.notify

        def work(cycle: Cycle) -> None:
            notifier = Notifier(cycle.connection, settings, senders(settings), self.world.stopping)
            while not self.world.stopping():
                try:
                    notifier.tell()
                except (SystemUnavailable, AccessDenied) as problem:
                    self.world.watcher.problem("notify", problem)
                self._lost.wait(settings.every_seconds)

        self._with_connection("notify", work)

    def _deliver_loop(self, name: str) -> None:
        def work(cycle: Cycle) -> None:
            cycle.recover([name])
            marked = True
            while not self.world.stopping():
                delivered = cycle.deliver([name], again=marked)
                if delivered.progress:
                    notify(cycle.connection)
                pause = 0.0 if delivered.left else self.world.configuration.daemon.hub_poll_seconds
                marked = self._to_deliver[name].wait(pause)
                if marked:  # cleared otherwise, what is set between the two lines would be lost
                    self._to_deliver[name].clear()

        self._with_connection(f"deliver {name}", work)


def _mend_hub(world: World) -> None:
    """Fresh sessions, with what is set for them by now; and the server itself, where it is ours and down."""
    world.engine.dispose()
    try:
        world.revive()
    except ReplicatorError as problem:
        world.watcher.problem("hub", problem)


def why_unclean(unfinished: Sequence[str]) -> dict[str, object]:
    """What the log's last line says of threads that did not end in time."""
    if not unfinished:
        return {}
    message = (
        f"not ended within {STOP_SECONDS:.0f} s: {', '.join(unfinished)}; what they had under way is looked up at the"
        " next start, and the lead is free when the lease runs out"
    )
    return {"unfinished": list(unfinished), "message": message}
