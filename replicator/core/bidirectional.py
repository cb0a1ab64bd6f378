"""Fields that either side may change: a system's value and common's, each against the base on which they last agreed.

Every side has a base of its own with common. So a change is told from a value that stood still whatever the other
side does meanwhile; who wrote a value is never asked. The base holds a value for each of the two, since a system may
have amended what it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from replicator.hub.sync_tables import base, map_
from replicator.mapping.desired_views import DesiredView

Column = sa.ColumnElement[Any]
ASK = "ask"


@dataclass(frozen=True)
class Sides:
    """What the diff needs to know about such fields: how to join it, and by column what follows from it."""

    joined: sa.FromClause
    wanted: Mapping[str, Column] = field(default_factory=dict)
    """Inbound: the merged value."""
    unmerged: Mapping[str, sa.ColumnElement[bool]] = field(default_factory=dict)
    """Outbound: the system holds a change that common has not taken in, which no write may go over."""
    shown: tuple[Column, ...] = ()
    """More columns of the diff's rows, for those who apply it."""


def sides(view: DesiredView, map_id: Column, joined: sa.FromClause, v: sa.FromClause, t: sa.FromClause) -> Sides:
    """The two sides of the claimed records; for a view without such fields nothing."""
    if not view.either:
        return Sides(joined)
    if view.mapping.direction == "in":
        return _inbound(view, map_id, joined, v, t)
    return _outbound(view, joined, v, t)


def as_text(value: Column) -> Column:
    """A value as base and conflict keep it."""
    return sa.cast(value, sa.Text)


def _agreed(map_id: Column, record_id: Column, common_id: Column, name: str, side: Column, value: Column) -> sa.Exists:
    """The base of this pair has this value. Texts of other fields are never cast to this one's type."""
    own = sa.case((base.c.field == name, side))
    found = sa.select(base.c.map_id).where(
        base.c.map_id == map_id,
        base.c.record_id == record_id,
        base.c.common_id == common_id,
        base.c.field == name,
        sa.cast(own, value.type).is_not_distinct_from(value),
    )
    return found.correlate_except(base).exists()


def _inbound(view: DesiredView, map_id: Column, joined: sa.FromClause, v: sa.FromClause, t: sa.FromClause) -> Sides:
    """Three-way merge. The outcome is worked out once for each field, in a row of its own beside the record's."""
    wanted: dict[str, Column] = {}
    shown: list[Column] = []
    outcomes = {name: _outcome(map_id, name, v, t).label(f"outcome_{name}") for name in view.either}
    row = sa.select(*outcomes.values()).offset(sa.literal_column("0")).correlate(v, t).lateral("merged")
    for name, winner in view.either.items():
        outcome = row.c[f"outcome_{name}"]
        takes = ("new", "taken", "conflict") if winner == view.mapping.system else ("new", "taken")
        wanted[name] = sa.case((outcome.in_(takes), v.c[name]), else_=t.c[name])
        shown += [outcome, v.c[name].label(f"side_{name}"), t.c[name].label(f"common_{name}")]
    return Sides(joined.join(row, sa.true()), wanted, shown=tuple(shown))


def _outcome(map_id: Column, name: str, v: sa.FromClause, t: sa.FromClause) -> sa.ColumnElement[str]:
    """Which of the two has changed the field since they agreed."""
    here, common = v.c[name], t.c[name]
    pair = (map_id, v.c.source_id, v.c.target_id, name)
    return sa.case(
        (t.c.id.is_(None), "new"),
        (here.is_not_distinct_from(common), "same"),
        (_agreed(*pair, base.c.side, here), "stands"),
        (_agreed(*pair, base.c.common, common), "taken"),
        else_="conflict",
    )


def held_there(view: DesiredView, mirror_id: Column) -> sa.FromClause:
    """What the system holds in a record, in common's terms: a row of the map of the other direction."""
    assert view.opposite is not None
    fields = [sa.column(name, view.source.c[name].type) for name in view.either]
    rows = sa.table(
        view.opposite.view_name, sa.column("source_id", sa.BigInteger()), sa.column("eligible", sa.Boolean()), *fields,
        schema="desired",
    )  # fmt: skip
    return sa.select(rows).where(rows.c.source_id == mirror_id).offset(sa.literal_column("0")).lateral("there")


def opposite_id(view: DesiredView) -> Column:
    """The id of the map of the other direction."""
    assert view.opposite is not None
    return sa.select(map_.c.id).where(map_.c.name == view.opposite.name).scalar_subquery()


def _outbound(view: DesiredView, joined: sa.FromClause, v: sa.FromClause, t: sa.FromClause) -> Sides:
    """A column is left alone while the system's own change of a field behind it waits to be merged or decided."""
    common, there = view.source.alias("common"), held_there(view, t.c.id)
    waits = {
        name: sa.and_(
            sa.func.coalesce(there.c.eligible, sa.false()),
            there.c[name].is_distinct_from(common.c[name]),
            sa.not_(_agreed(opposite_id(view), t.c.id, common.c.id, name, base.c.side, there.c[name])),
        )
        for name in view.either
    }
    return Sides(
        joined.outerjoin(common, common.c.id == v.c.source_id).outerjoin(there, sa.true()),
        unmerged={c.name: sa.or_(*(waits[name] for name in c.either)) for c in view.columns if c.either},
        shown=tuple(as_text(common.c[name]).label(f"common_{name}") for name in view.either),
    )
