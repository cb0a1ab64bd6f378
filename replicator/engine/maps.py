"""The maps as the hub knows them: their ids, and what has to be marked when one of them changed."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from replicator.hub.state import map_
from replicator.model.compiled import Compiled


def map_ids(connection: sa.Connection, compiled: Compiled) -> Mapping[str, int]:
    """The id of each map in ``sync.map``, by name."""
    names = [found.name for found in compiled.maps]
    rows = connection.execute(sa.select(map_.c.name, map_.c.id).where(map_.c.name.in_(names)))
    return {row.name: row.id for row in rows}
