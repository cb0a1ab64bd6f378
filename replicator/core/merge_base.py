"""Moves the base of fields that either side may change to what was sent, and to what the system made of it.

Not the next merge but the acknowledgement does it: common may have moved on meanwhile, and the system's new value would
look like a change of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.core.bidirectional import as_text, held_there, opposite_id
from replicator.hub.sync_tables import base
from replicator.mapping.desired_views import DesiredView

Agreed = tuple[int, Mapping[str, str | None]]
"""A common record, and by field the value of common that was sent, as text."""


def agree(connection: sa.Connection, view: DesiredView, written: Sequence[Agreed], *, certain: bool) -> None:
    """These values were sent; the mirror holds what the system made of them.

    Not ``certain``: the request was not answered, and only what is found as it was sent counts as arrived.
    """
    for name in view.either:
        sent = {record: values[name] for record, values in written if name in values}
        if sent:
            connection.execute(_moved(view, name, sent, certain=certain))


def _moved(view: DesiredView, name: str, values: Mapping[int, str | None], *, certain: bool) -> sa.Insert:
    link, kind = view.link, view.source.c[name].type
    records = sa.literal(list(values), sa.ARRAY(sa.BigInteger))
    texts = sa.literal(list(values.values()), sa.ARRAY(sa.Text))
    columns = (sa.column("common_id", sa.BigInteger()), sa.column("value", sa.Text()))
    sent = sa.func.unnest(records, texts).table_valued(*columns, name="sent").render_derived()
    there = held_there(view, link.c.mirror_id)
    pair = sa.and_(link.c.common_id == sent.c.common_id, link.c.ended_at.is_(None))
    row = {
        "map_id": opposite_id(view), "record_id": link.c.mirror_id, "field": sa.literal(name),
        "common_id": link.c.common_id, "common": sent.c.value, "side": as_text(there.c[name]), "at": sa.func.sync.now(),
    }  # fmt: skip
    rows = sa.select(*row.values()).select_from(sent.join(link, pair).join(there, sa.true()))
    if not certain:
        rows = rows.where(there.c[name].is_not_distinct_from(sa.cast(sent.c.value, kind)))
    statement = insert(base).from_select(list(row), rows)
    new = {column: statement.excluded[column] for column in ("common_id", "common", "side", "at")}
    return statement.on_conflict_do_update(index_elements=["map_id", "record_id", "field"], set_=new)
