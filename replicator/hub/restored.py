"""A hub that was restored knows less than the systems: it writes nothing before it has read both whole and merged that.

It knows so by its place (``sync.here``), which is another one than when it last worked. What it wrote after the backup
and what became of that it cannot know: records of the targets that it finds then, and that nothing explains, are
``orphaned`` until a person says what they are.
"""

from __future__ import annotations

import sqlalchemy as sa

from replicator.hub.lease import leading
from replicator.hub.planner import prefer_whole_joins
from replicator.hub.statements import statements

_sql = statements(__name__)


def notice_restore(connection: sa.Connection, consumer: str) -> bool:
    """If the hub is at another place than before, have everything read whole; whether it is."""
    with leading(connection):
        is_restored = connection.execute(_sql["notice"], {"name": consumer}).rowcount > 0
        if is_restored:
            connection.execute(_sql["forget_reads"])
            connection.execute(_sql["forget_other_cluster"])
        return is_restored


def catch_up(connection: sa.Connection, consumer: str, *, merged: bool = False) -> None:
    """If a restored hub has read and merged all that it missed, note what it found beside and work as always.

    ``merged``: whoever asks has just merged until nothing moved, be it in a rehearsal, whose changes nobody else sees.
    """
    with leading(connection):
        since = connection.execute(_sql["is_caught_up"], {"name": consumer, "merged": merged}).scalar()
        if since is not None:
            prefer_whole_joins(connection)
            connection.execute(_sql["orphans"], {"since": since})
            connection.execute(_sql["caught_up"], {"name": consumer})


def may_write(connection: sa.Connection, consumer: str, *, merged: bool) -> bool:
    """Whether the systems may be written to: not before what a restored hub missed was read and merged."""
    catch_up(connection, consumer, merged=merged)
    with leading(connection):
        return bool(connection.execute(_sql["may_write"], {"name": consumer}).scalar_one())
