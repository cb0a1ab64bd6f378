"""One leader: any number of replicators may run on one hub, but only the holder of the lease works.

The lease has an epoch that every takeover raises. Whatever the leader writes, it writes in a transaction opened by
``leading``, which asks for the epoch first and holds off a takeover until its end. So a replicator that froze and woke
finds another epoch and writes nothing more; one that froze within a transaction loses that to the server's timeout.

A migration waits for these transactions too, and the next one finds that the hub was made from something else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from replicator.errors import LeaseLost
from replicator.hub.made_from import check_same, hold_off, hub_must_stand, read_made_from
from replicator.hub.statements import statements

_sql = statements(__name__)
NAME = "replicator"
_SHORTEST_IDLE = 10.0
"""Seconds. A busy machine, or a statement that is compiled for the first time, makes the leader pause for a while."""


@dataclass(frozen=True)
class Lease:
    """A lease that was taken. ``seconds`` is how long it holds without being renewed, by the hub's clock;
    ``made_from`` is the hub that it was taken on, in the words of ``made_from``.
    """

    epoch: int
    seconds: float
    made_from: str

    def check(self, connection: sa.Connection) -> None:
        """Raise LeaseLost unless this is still the epoch, HubMigrated unless it is still the hub.

        Holds off a takeover and a migration until the transaction ends.
        """
        hold_off(connection)
        # A statement of its own: it has to see what was committed while the lock was waited for.
        with hub_must_stand():
            row = connection.execute(_sql["check"], {"name": NAME, "epoch": self.epoch}).one()
        check_same(row.made_from, self.made_from)
        if not row.leads:
            raise LeaseLost("another replicator has taken over", hint="this one waits until it may lead again")

    def renew(self, connection: sa.Connection) -> bool:
        """Keep the lead; False when it is lost."""
        values = {"name": NAME, "epoch": self.epoch, "seconds": self.seconds, "made_from": self.made_from}
        with connection.begin():
            return connection.execute(_sql["renew"], values).rowcount == 1

    def release(self, connection: sa.Connection) -> None:
        """Let the next one lead at once."""
        with connection.begin():
            connection.execute(_sql["release"], {"name": NAME, "epoch": self.epoch})


def lead_on(connection: sa.Connection, lease: Lease | None) -> None:
    """From now on ``leading`` asks for this lease on the connection; None: nobody else may work on the hub.

    Raises what ``leading`` raises.
    """
    connection.execution_options(lease=lease)
    if lease is not None:
        with connection.begin():
            lease.check(connection)
            milliseconds = round(1000 * max(lease.seconds, _SHORTEST_IDLE))
            connection.execute(_sql["end_when_idle"], {"milliseconds": str(milliseconds)})


@contextmanager
def leading(connection: sa.Connection) -> Iterator[None]:
    """A transaction of the leader. Raises LeaseLost when another replicator has taken over, HubMigrated when the hub
    was migrated.
    """
    with connection.begin():
        lease: Lease | None = connection.get_execution_options().get("lease")
        if lease is not None:
            lease.check(connection)
        yield


def acquire(
    connection: sa.Connection, holder: str, seconds: float, known: str | None = None, *, goes_on: bool = False
) -> Lease | None:
    """Take the lead if it is free, and no transaction of the last leader and no migration is under way.

    ``goes_on``: for as long as nobody stops it, so that it is missed when it is gone.
    Raises HubMigrated when the hub was made from something else than what is ``known``; None: it may be any.
    """
    with connection.begin(), hub_must_stand():
        free = all(connection.execute(_sql[ask], {"name": NAME}).scalar_one() for ask in ("is_free", "is_quiet"))
        found = read_made_from(connection)  # if it is quiet, no migration comes in between from here on
        check_same(found, known)
        values = {"name": NAME, "holder": holder, "seconds": seconds, "goes_on": goes_on}
        row = connection.execute(_sql["acquire"], values).first() if free else None
    return None if row is None else Lease(row.epoch, seconds, found)


def holder(connection: sa.Connection) -> str:
    """Who leads, or keeps others from it, in words."""
    with connection.begin():
        return str(connection.execute(_sql["holder"], {"name": NAME}).scalar() or "nobody")


def leader(connection: sa.Connection) -> str | None:
    """Who leads at this moment, if anybody does."""
    with connection.begin():
        return connection.execute(_sql["leader"], {"name": NAME}).scalar()
