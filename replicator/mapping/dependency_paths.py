"""From a changed row back to the records whose desired row it can change.

For every step of a map's paths there is one statement: the same joins as in the desired view, but starting at the
images (old and new) of the changed rows, and only where a column that the map reads has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import OID
from sqlalchemy.sql.visitors import replacement_traverse

from replicator.mapping.desired_views import DesiredView
from replicator.mapping.join_paths import Paths, Step
from replicator.mapping.tables import Tables

changed = sa.table(
    "changed",
    sa.column("relation", OID()),
    sa.column("record_id", sa.BigInteger()),
    sa.column("seq", sa.BigInteger()),
    sa.column("operation", sa.Text()),
)
"""The window of the log under way: a temporary table made by the changefeed, one row per change."""


@dataclass(frozen=True)
class Marking:
    """When rows of ``table`` change, the records that ``records`` selects (column ``record_id``) are to be marked."""

    table: sa.Table
    records: sa.Select[Any]


def relation(table: sa.Table) -> sa.ColumnElement[Any]:
    """The table as log.change names it."""
    return sa.cast(sa.cast(sa.literal(table.fullname), sa.Text), REGCLASS())


class REGCLASS(sa.types.UserDefinedType[str]):
    """PostgreSQL's type of table names."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "regclass"


def markings(view: DesiredView, tables: Tables) -> list[Marking]:
    """The markings of one map; those of a part mark its whole."""
    return [
        _own(view, tables),
        _target(view, tables),
        *_steps(view, tables, view.paths, []),
        *(marking for child, step in view.children for marking in _child(view, tables, child, step)),
    ]


def _own(view: DesiredView, tables: Tables) -> Marking:
    """The record itself changed; for a part the whole it belongs to, and the one it belonged to before."""
    if view.root_column:
        rows = images(view.source, view.paths.row.columns | {view.root_column}, tables)
        return Marking(view.source, sa.select(rows.c[view.root_column].label("record_id")).distinct())
    before, now = tables.image(view.source).alias("before"), view.source.alias("now")
    here = changed.c.relation == relation(view.source)
    differs = sa.or_(
        now.c.id.is_(None), *(before.c[c].is_distinct_from(now.c[c]) for c in sorted(view.paths.row.columns))
    )
    updated = (
        sa.select(changed.c.record_id)
        .join_from(changed, before, before.c.seq == changed.c.seq)
        .outerjoin(now, now.c.id == before.c.id)
        .where(here, changed.c.operation == "U", differs)
    )
    others = sa.select(changed.c.record_id).where(here, changed.c.operation != "U")
    both = sa.union(others, updated).subquery("own")
    return Marking(view.source, sa.select(both.c.record_id))


def _target(view: DesiredView, tables: Tables) -> Marking:
    """The record's counterpart changed, or is gone.

    A new one needs no look: whoever made it for a record did so by the very diff, and to any other it is not linked.
    """
    rows = images(view.target, {column.name for column in view.columns}, tables, inserted=False)
    source_side, target_side = (
        ("mirror_id", "common_id") if view.mapping.direction == "in" else ("common_id", "mirror_id")
    )
    side = "root_id" if view.root_column else source_side
    records = (
        sa.select(view.link.c[side].label("record_id"))
        .join_from(rows, view.link, view.link.c[target_side] == rows.c.id)
        .where(view.link.c.ended_at.is_(None))
    )
    return Marking(view.target, records.distinct())


def _steps(
    view: DesiredView, tables: Tables, paths: Paths, before: Sequence[tuple[sa.FromClause, sa.ColumnElement[bool]]]
) -> Iterator[Marking]:
    """One marking for each step that is read: joined to the record through the steps it needs."""
    wanted = view.paths.row.alias.c[view.root_column or "id"]
    for step in paths.steps:
        if not step.columns:
            continue
        start: sa.FromClause = view.paths.row.alias
        for alias, on in before:
            start = start.join(alias, on)
        for needed in paths.needed(step):
            start = start.join(needed.alias, needed.on)
        rows = images(step.table, step.columns, tables, name=f"{step.alias.name}_images")
        records = sa.select(wanted.label("record_id")).select_from(start.join(rows, _replaced(step.on, step, rows)))
        yield Marking(step.table, records.distinct())


def _child(view: DesiredView, tables: Tables, child: Paths, step: Step) -> Iterator[Marking]:
    rows = images(step.table, step.columns, tables, name="child_images")
    start = view.paths.row.alias.join(rows, _replaced(step.on, step, rows))
    yield Marking(step.table, sa.select(view.paths.row.alias.c.id.label("record_id")).select_from(start).distinct())
    yield from _steps(view, tables, child, [(step.alias, step.on)])


def _replaced(on: sa.ColumnElement[bool], step: Step, rows: sa.FromClause) -> sa.ColumnElement[bool]:
    """The join condition with the step's row replaced by its images."""

    def swap(element: object, **_: object) -> sa.ColumnElement[Any] | None:
        table = getattr(element, "table", None)
        return rows.c[element.name] if table is step.alias else None  # type: ignore[attr-defined]

    return replacement_traverse(on, {}, swap)


def images(
    table: sa.Table, columns: set[str], tables: Tables, name: str = "images", *, inserted: bool = True
) -> sa.Subquery:
    """The changed rows as they are now and as they were, where one of ``columns`` differs between the two."""
    read = sorted(columns - {"id"})
    before = tables.image(table).alias("before")
    now = table.alias("now")
    differs = sa.or_(sa.false(), *(before.c[c].is_distinct_from(now.c[c]) for c in read))
    here = changed.c.relation == relation(table)
    kept = sa.exists().where(before.c.seq == changed.c.seq, differs)
    present = (
        sa.select(*(now.c[c] for c in ("id", *read)))
        .join_from(changed, now, now.c.id == changed.c.record_id)
        .where(here, sa.or_(changed.c.operation == "I", kept) if inserted else kept)
    )
    past = (
        sa.select(*(before.c[c] for c in ("id", *read)))
        .join_from(changed, before, before.c.seq == changed.c.seq)
        .outerjoin(now, now.c.id == before.c.id)
        .where(here, changed.c.operation != "I", sa.or_(now.c.id.is_(None), differs))
    )
    return sa.union_all(present, past).subquery(name)
