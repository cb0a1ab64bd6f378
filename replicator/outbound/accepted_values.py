"""Values that a target stored as others than were sent: in step while both stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.core.hub_handle import Handle
from replicator.hub.sync_tables import accepted
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import TargetColumn

Stored: TypeAlias = tuple[int, TargetColumn, object, object]
"""A record in common, a column of its target, the value that was sent and the one that was stored."""


def note_stored(hub: Handle, flow: CompiledMap, stored: Sequence[Stored]) -> None:
    """Note these values of one map's records, in place of what was noted of the same columns."""
    if not stored:
        return
    rows = [
        {
            "map_id": hub.id_of(flow), "record_id": record, "field": column.name,
            "sent": _as_text(column, sent), "stored": _as_text(column, held),
        }
        for record, column, sent, held in stored
    ]  # fmt: skip
    statement = insert(accepted).values(rows)
    both = {name: statement.excluded[name] for name in ("sent", "stored")}
    hub.execute(statement.on_conflict_do_update(index_elements=["map_id", "record_id", "field"], set_=both))


def _as_text(column: TargetColumn, value: object) -> sa.ColumnElement[str]:
    return sa.cast(sa.cast(sa.literal(value, column.type), column.type), sa.Text)
