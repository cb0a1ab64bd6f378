"""The daemon: threads that read each system, mark and merge, and deliver to each system, until told to stop.

Each thread has its own connection and its own pace; what wakes them is a hint (NOTIFY), and polling finds the rest.
An error of one flow is logged, shown and tried again; it stops no other thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from replicator.cycle import Cycle, Watcher, World
from replicator.engine.lease import Lease, acquire, holder
from replicator.errors import LeaseLost, ReplicatorError, Transient
from replicator.inbound.merge import Merged
from replicator.inbound.snapshot import Taken
from replicator.model.compiled import CompiledMap
from replicator.model.schema import EntitySet
from replicator.outbound.acknowledge import Acknowledged

CHANNEL = "replicator"
_STOP_SECONDS = 10.0
_RENEWALS_PER_MAINTENANCE = 100


class LogWatcher(Watcher):
    """Writes what happens as structured log lines: an action and ids, never a record's content."""

    def __init__(self) -> None:
        self.log = structlog.get_logger("replicator")

    def snapshot(self, entity_set: EntitySet, taken: Taken) -> None:
        if taken.anything:
            self.log.info("snapshot", entity_set=str(entity_set), **vars(taken))

    def merged(self, merged: Merged) -> None:
        if merged.progress:
            self.log.info("merge", **vars(merged))

    def delivered(self, found: CompiledMap, result: Acknowledged) -> None:
        counts = {name: value for name, value in vars(result).items() if isinstance(value, int) and value}
        self.log.info("deliver", flow=found.name, **counts)

    def waiting(self, holder: str) -> None:
        self.log.info("wait", leader=holder)

    def problem(self, where: str, problem: ReplicatorError) -> None:
        kind = "transient" if isinstance(problem, Transient) else "terminal"
        self.log.warning("problem", where=where, kind=kind, message=problem.message, hint=problem.hint)


class Daemon:
    """Runs until ``stop``, and works while it leads. ``stop`` may be called from any thread and a signal handler."""

    def __init__(self, world: World, holder: str) -> None:
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._holder = holder
        self.world = replace(world, stopping=lambda: self._stop.is_set() or self._lost.is_set() or world.stopping())
        self._to_deliver = {name: threading.Event() for name in world.connectors}
        self._to_read = {name: threading.Event() for name in world.connectors}

    def stop(self) -> None:
        """Finish what is under way, then stop."""
        self._stop.set()
        self._wake()

    def _wake(self) -> None:
        for event in (*self._to_deliver.values(), *self._to_read.values()):
            event.set()

    def run(self) -> bool:
        """Work until stopped; whether every thread ended in time."""
        clean = True
        while clean and not self._stop.is_set():
            lease = self._take_lead()
            if lease is None:
                break
            self._lost.clear()
            self.world = replace(self.world, lease=lease)
            clean = self._lead(lease)
        return clean

    def _take_lead(self) -> Lease | None:
        """Wait until the lead is free; None when stopped meanwhile."""
        seconds = self.world.configuration.daemon.lease_seconds
        taken: list[Lease] = []

        def work(cycle: Cycle) -> None:
            told = False
            while not self._stop.is_set():
                lease = acquire(cycle.connection, self._holder, seconds)
                if lease is not None:
                    taken.append(lease)
                    return
                if not told:
                    self.world.watcher.waiting(holder(cycle.connection))
                    told = True
                self._stop.wait(seconds / 3)

        self._lost.clear()
        self._with_connection("lead", work, once=True)
        return taken[0] if taken else None

    def _lead(self, lease: Lease) -> bool:
        """Run the threads while the lease holds; whether they ended in time."""
        self._with_connection("start", lambda cycle: cycle.prepare(), once=True)
        threads = [threading.Thread(target=self._merge_loop, name="merge", daemon=True)]
        for name in self.world.connectors:
            for loop, what in ((self._read_loop, "read"), (self._deliver_loop, "deliver")):
                threads.append(threading.Thread(target=loop, args=(name,), name=f"{what} {name}", daemon=True))
        for thread in threads:
            thread.start()
        self._keep_lead(lease)
        self._wake()
        for thread in threads:
            thread.join(_STOP_SECONDS / 2)
        ended = not any(thread.is_alive() for thread in threads)
        if self._stop.is_set() and ended:
            with suppress(DBAPIError), self.world.engine.connect() as connection:
                lease.release(connection)
        return ended

    def _keep_lead(self, lease: Lease) -> None:
        """Renew the lease until stopped or lost. While the hub is down nothing can be written, so it is only tried."""
        renewals = 0
        while not self._stop.wait(lease.seconds / 3):
            try:
                with self.world.engine.connect() as connection:
                    if not lease.renew(connection):
                        self._lost.set()
                        return
                    renewals += 1
                    if renewals % _RENEWALS_PER_MAINTENANCE == 0:
                        Cycle(self.world, connection).maintain()
            except DBAPIError:
                continue

    def read_now(self) -> None:
        """Read both systems without waiting for the next poll."""
        for event in self._to_read.values():
            event.set()

    def _with_connection(self, where: str, work: Callable[[Cycle], object], *, once: bool = False) -> None:
        """Run ``work`` on a connection of its own; after a failure of the hub, again on a fresh one."""
        attempts = 0
        while not self.world.stopping():
            try:
                with self.world.engine.connect() as connection:
                    cycle = Cycle(self.world, connection)
                    attempts = 0
                    work(cycle)
                    if once:
                        return
            except LeaseLost as problem:
                self.world.watcher.problem(where, problem)
                self._lost.set()
            except (DBAPIError, psycopg.Error) as problem:
                words = str(problem.__cause__ or problem).strip().split("\n", maxsplit=1)[0]
                self.world.watcher.problem(where, Transient(f"the hub: {words}", hint="tried again by itself"))
                self._stop.wait(min(self.world.pause(attempts), 30))
                attempts += 1

    def _read_loop(self, name: str) -> None:
        def work(cycle: Cycle) -> None:
            while not self.world.stopping():
                if cycle.read([name]):
                    notify(cycle.connection)
                self._to_read[name].wait(self.world.configuration.daemon.poll_seconds)
                self._to_read[name].clear()

        self._with_connection(f"read {name}", work)

    def _merge_loop(self) -> None:
        def work(cycle: Cycle) -> None:
            with Listener(self.world.engine) as listener:
                while not self.world.stopping():
                    if cycle.merge():
                        for event in self._to_deliver.values():
                            event.set()
                    listener.wait(self.world.configuration.daemon.hub_poll_seconds)

        self._with_connection("merge", work)

    def _deliver_loop(self, name: str) -> None:
        def work(cycle: Cycle) -> None:
            cycle.recover([name])
            marked = True
            while not self.world.stopping():
                delivered = cycle.deliver([name], again=marked)
                if delivered.progress:
                    notify(cycle.connection)
                marked = self._to_deliver[name].wait(self.world.configuration.daemon.hub_poll_seconds)
                self._to_deliver[name].clear()

        self._with_connection(f"deliver {name}", work)


def notify(connection: sa.Connection) -> None:
    """Wake whoever waits for the hub to change."""
    with connection.begin():
        connection.execute(sa.text("select pg_notify(:channel, '')"), {"channel": CHANNEL})


class Listener:
    """Waits for a notification, or for the time to pass, whichever comes first."""

    def __init__(self, engine: sa.Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        self._driver: psycopg.Connection[object] = driver
        self._driver.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(CHANNEL)))

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.invalidate()
        self._connection.close()

    def wait(self, seconds: float) -> None:
        """Return at the first notification, at the latest after ``seconds``."""
        for _ in self._driver.notifies(timeout=seconds, stop_after=1):
            pass
