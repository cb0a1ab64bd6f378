"""What is noted of a record's last write: by column what was sent, and what the target stored instead."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from replicator.hub.sync_tables import accepted
from replicator.mapping.desired_views import DesiredView


def with_notes(
    view: DesiredView, map_id: sa.ColumnElement[int], joined: sa.FromClause, v: sa.FromClause
) -> tuple[sa.FromClause, sa.ColumnElement[Any]]:
    """Outbound beside each row what is noted of the record's last write: by column what was sent and what was stored.

    Looked up once for a row, however many columns ask for it.
    """
    if view.mapping.direction == "in":
        return joined, sa.null()
    both = sa.func.jsonb_build_array(accepted.c.sent, accepted.c.stored, type_=JSONB)
    mine = sa.and_(accepted.c.map_id == map_id, accepted.c.record_id == v.c.source_id)
    noted = sa.select(sa.func.jsonb_object_agg(accepted.c.field, both, type_=JSONB).label("notes")).where(mine)
    n = noted.lateral("n")
    return joined.join(n, sa.true()), n.c.notes


def sent(notes: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[str]:
    """What was sent of this column, as text."""
    text: sa.ColumnElement[str] = notes[name][0].astext
    return text


def stored(notes: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[str]:
    """What the target stored of it, as text."""
    text: sa.ColumnElement[str] = notes[name][1].astext
    return text


def stored_as(notes: sa.ColumnElement[Any], name: str, held: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether the target still holds what it stored then."""
    return stored(notes, name).is_not_distinct_from(sa.cast(held, sa.Text))


def sent_before(notes: sa.ColumnElement[Any], name: str, wanted: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    """Whether the record's last write of this column is noted, and sent exactly this value."""
    same = sent(notes, name).is_not_distinct_from(sa.cast(wanted, sa.Text))
    return sa.and_(is_noted(notes, name), same)


def is_noted(notes: sa.ColumnElement[Any], name: str) -> sa.ColumnElement[bool]:
    """Whether anything is noted of this column."""
    return sa.func.coalesce(notes.has_key(name), sa.false())
