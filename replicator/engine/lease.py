"""One leader: any number of replicators may run on one hub, but only the holder of the lease works.

The lease has an epoch that every takeover raises. A replicator that froze and woke finds another epoch, both right
before a request and in the transaction that acknowledges one, and writes nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from replicator.errors import LeaseLost
from replicator.hub.sql import statements

_sql = statements(__file__)
NAME = "replicator"


@dataclass(frozen=True)
class Lease:
    """A lease that was taken. ``seconds`` is how long it holds without being renewed, by the hub's clock."""

    epoch: int
    seconds: float

    def check(self, connection: sa.Connection) -> None:
        """Raise LeaseLost unless this is still the epoch; holds off a takeover until the transaction ends."""
        values = {"name": NAME, "epoch": self.epoch}
        if connection.execute(_sql["check"], values).first() is None:
            raise LeaseLost("another replicator has taken over", hint="this one waits until it may lead again")

    def renew(self, connection: sa.Connection) -> bool:
        """Keep the lead; False when it is lost."""
        values = {"name": NAME, "epoch": self.epoch, "seconds": self.seconds}
        with connection.begin():
            return connection.execute(_sql["renew"], values).rowcount == 1

    def release(self, connection: sa.Connection) -> None:
        """Let the next one lead at once."""
        with connection.begin():
            connection.execute(_sql["release"], {"name": NAME, "epoch": self.epoch})


def acquire(connection: sa.Connection, holder: str, seconds: float) -> Lease | None:
    """Take the lead if it is free."""
    with connection.begin():
        row = connection.execute(_sql["acquire"], {"name": NAME, "holder": holder, "seconds": seconds}).first()
    return None if row is None else Lease(row.epoch, seconds)


def holder(connection: sa.Connection) -> str:
    """Who leads, in words."""
    with connection.begin():
        row = connection.execute(_sql["holder"], {"name": NAME}).first()
    return "nobody" if row is None else str(row.holder)


def leader(connection: sa.Connection) -> str | None:
    """Who leads at this moment, if anybody does."""
    with connection.begin():
        return connection.execute(_sql["leader"], {"name": NAME}).scalar()
