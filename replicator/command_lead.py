"""The lead that a command holds while it works: no daemon works on the hub meanwhile."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from replicator.config import Configuration
from replicator.errors import LeaseLost
from replicator.hub.lease import Lease, acquire, holder
from replicator.signals import cleaning_up


@dataclass(frozen=True)
class Lead:
    """The lead that a command holds, and whether another replicator has taken it over."""

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Let the time pass, as long as the lead is held; whether it still is."""
        return not self.lost.wait(seconds)


@contextmanager
def command_lead(connection: sa.Connection, configuration: Configuration, known: str | None = None) -> Iterator[Lead]:
    """Hold the lead while a command works; a daemon that leads has to be stopped first.

    ``known``: what the hub was made from when the command began.
    """
    lease = acquire(connection, this_process(), configuration.daemon.lease_seconds, known)
    if lease is None:
        raise LeaseLost(f"somebody else works on this hub: {holder(connection)}", hint="stop it, or let it do the work")
    lead, renewing = Lead(lease), threading.Event()

    def renew() -> None:
        while not renewing.wait(lease.seconds / 3) and not lead.lost.is_set():
            # While the hub is down nothing can be written, so it is only tried.
            with suppress(DBAPIError), connection.engine.connect() as own:
                if not lease.renew(own):
                    lead.lost.set()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        with cleaning_up():
            yield lead
        if lead.lost.is_set():
            with connection.begin():
                lease.check(connection)
    finally:
        renewing.set()
        thread.join()
        lease.release(connection)


def this_process() -> str:
    """Who this is, for people: host and process."""
    return f"{platform.node()}:{os.getpid()}"
