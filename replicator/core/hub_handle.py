"""The handle by which a step of the cycle holds the hub: a connection, what ``schema/`` says, and the flows' ids."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from replicator.hub.lease import leading
from replicator.hub.sync_tables import map_
from replicator.mapping.compiled import Compiled, CompiledMap


@dataclass(frozen=True)
class Handle:
    """An open hub. Every transaction that writes what others read is begun by ``leading``."""

    connection: sa.Connection
    compiled: Compiled
    ids: Mapping[str, int]
    """Of the flows in ``sync.map``, by name."""

    @classmethod
    def on(cls, connection: sa.Connection, compiled: Compiled) -> Handle:
        """The handle on the hub of this connection, which has no transaction open."""
        with connection.begin():
            return cls(connection, compiled, flow_ids(connection, compiled))

    def id_of(self, flow: CompiledMap) -> int:
        """The flow's id in ``sync.map``."""
        return self.ids[flow.name]

    def marked_id(self, flow: CompiledMap) -> int:
        """The id under which a flow's records are marked: for a part that of its root."""
        return self.ids[self.compiled.marked(flow).name]

    def leading(self) -> AbstractContextManager[None]:
        """A transaction of the leader; see ``leading`` of the lease for what it raises."""
        return leading(self.connection)

    def execute(self, statement: sa.Executable, values: Any = None) -> sa.CursorResult[Any]:
        """Run a statement in the transaction that is open."""
        return self.connection.execute(statement, values)


def flow_ids(connection: sa.Connection, compiled: Compiled) -> Mapping[str, int]:
    """The ids of the flows in ``sync.map``, by name."""
    names = [flow.name for flow in compiled.maps]
    rows = connection.execute(sa.select(map_.c.name, map_.c.id).where(map_.c.name.in_(names)))
    return {row.name: row.id for row in rows}
