"""What a create does not take and is written once, by the second write to the new record: noted before the first.

The note is a row of ``sync.accepted`` without values. So whatever becomes of the answer, the second write is due; what
the target makes of it takes the place of the note, and a record that needs none loses it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.core.diff import follows_create
from replicator.core.hub_handle import Handle
from replicator.hub.sync_tables import accepted
from replicator.mapping.compiled import CompiledMap
from replicator.outbound.decide import Delivery, withheld


def note_what_follows(hub: Handle, flow: CompiledMap, deliveries: Sequence[Delivery]) -> None:
    """Creates are about to be sent: note the fields that follow them."""
    rows = [
        {"map_id": hub.id_of(flow), "record_id": planned.record_id, "field": column.name, "sent": None, "stored": None}
        for delivery in deliveries
        for planned in delivery.writes
        for column in withheld(planned)
        if follows_create(column)
    ]
    if rows:
        none = dict.fromkeys(("sent", "stored"), sa.null())
        keys = ["map_id", "record_id", "field"]
        hub.execute(insert(accepted).values(rows).on_conflict_do_update(index_elements=keys, set_=none))


def nothing_follows(hub: Handle, flow: CompiledMap, settled: Sequence[int]) -> None:
    """These records are in step: what was noted for them is there."""
    names = [column.name for column in flow.view.columns if follows_create(column)]
    if names and settled:
        hub.execute(
            sa.delete(accepted).where(
                accepted.c.map_id == hub.id_of(flow), accepted.c.record_id.in_(settled), accepted.c.field.in_(names),
                accepted.c.sent.is_(None), accepted.c.stored.is_(None),
            )
        )  # fmt: skip
