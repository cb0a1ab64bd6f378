"""What the replicator knows of each system's patience, noted for people in ``sync.system``."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.connectors.protocol import Usage
from replicator.hub.sync_tables_for_people import system


def note_usage(connection: sa.Connection, name: str, usage: Usage) -> None:
    """Note it, in the transaction that is open."""
    row = {**vars(usage), "at": sa.func.sync.now()}
    statement = insert(system).values(name=name, **row)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
