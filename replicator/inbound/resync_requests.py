"""What people asked to be read again: single records by key, or an entity set whole, at its next read."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from replicator.hub.sync_tables_for_people import refetch

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


def asked(connection: sa.Connection, names: Mapping[str, str]) -> ResyncRequests:
    """What is asked of the entity set that ``names`` names."""
    found = connection.execute(sa.select(refetch.c.record_id, refetch.c.at).where(*_of(names)))
    return ResyncRequests([(row.record_id, row.at) for row in found])


def answered(connection: sa.Connection, names: Mapping[str, str], done: ResyncRequests) -> None:
    """These requests are done with."""
    if done.rows:
        pairs = sa.tuple_(refetch.c.record_id, refetch.c.at)
        connection.execute(refetch.delete().where(*_of(names), pairs.in_(list(done.rows))))


def _of(names: Mapping[str, str]) -> list[sa.ColumnElement[bool]]:
    return [refetch.c.system == names["system"], refetch.c.entity_set == names["entity_set"]]
