"""What people asked to be read again: single records by key, or an entity set whole, at its next read."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from replicator.core.hub_handle import Handle
from replicator.hub.sync_tables_for_people import refetch
from replicator.mapping.schema import EntitySet

_WHOLE = 0


@dataclass(frozen=True)
class ResyncRequests:
    """The requests for one entity set, each with its time: one that is made while the set is read stands."""

    rows: Sequence[tuple[int, datetime.datetime]] = ()

    @property
    def whole(self) -> bool:
        """Whether the set is to be read whole."""
        return any(record == _WHOLE for record, _ in self.rows)

    @property
    def records(self) -> list[int]:
        """The records that are to be read by key."""
        return [record for record, _ in self.rows if record != _WHOLE]


def answered(hub: Handle, entity_set: EntitySet, done: ResyncRequests) -> None:
    """These requests are done with, in the transaction that is open."""
    if done.rows:
        mine = sa.and_(refetch.c.system == entity_set.system, refetch.c.entity_set == entity_set.name)
        pairs = sa.tuple_(refetch.c.record_id, refetch.c.at)
        hub.execute(refetch.delete().where(mine, pairs.in_(list(done.rows))))
