"""Clashes: records that bear the same business key. None overwrites another; each says who the others are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from replicator.model.tables import fold
from replicator.model.views import DesiredView


def blocking(work: sa.TableClause, which: sa.ColumnElement[bool], why: sa.ColumnElement[str]) -> sa.Update:
    """Turn the action of some of the records under way into ``blocked``, for a reason."""
    nothing = sa.cast(sa.text("'{}'"), sa.ARRAY(sa.Text))
    return sa.update(work).where(which).values(action="blocked", waits_for=sa.func.array_append(nothing, why))


def clashes(view: DesiredView, work: sa.TableClause) -> Iterator[sa.Update]:
    """Statements that block records under way whose business key another record has."""
    names = [column.name for column in view.columns if column.is_key]
    keys = [fold(work.c[name]) for name in names]
    create, rename = work.c.action == "create", work.c.action == "update"
    yield _among_themselves(work, keys, create)
    yield _with_common(view, work, keys, create, sa.true())
    yield _with_common(view, work, keys, rename, view.target.c.id != work.c.target_id)


def _among_themselves(
    work: sa.TableClause, keys: list[sa.ColumnElement[Any]], create: sa.ColumnElement[bool]
) -> sa.Update:
    """Several new records with one key: none of them is created, for any choice would be a guess."""
    named = {f"key_{place}": key for place, key in enumerate(keys)}
    twins = (
        sa.select(
            *(key.label(name) for name, key in named.items()),
            sa.func.string_agg(work.c.record, sa.literal(", ")).label("records"),
        )
        .where(create)
        .group_by(*keys)
        .having(sa.func.count() > 1)
        .subquery("twins")
    )
    same = sa.and_(*(twins.c[name] == key for name, key in named.items()))
    return blocking(
        work, sa.and_(create, same), sa.literal("several records bear one business key: ") + twins.c.records
    )


def _with_common(
    view: DesiredView,
    work: sa.TableClause,
    keys: list[sa.ColumnElement[Any]],
    which: sa.ColumnElement[bool],
    other: sa.ColumnElement[bool],
) -> sa.Update:
    """A record whose key a common record has that belongs to another record."""
    target = view.target
    names = [column.name for column in view.columns if column.is_key]
    same = sa.and_(*(fold(target.c[name]) == key for name, key in zip(names, keys, strict=True)))
    label = view.paths.label(target, view.mapping.entity)
    leaving = work.alias("leaving")
    moves = sa.or_(*(fold(leaving.c[name]) != fold(target.c[name]) for name in names))
    frees = sa.or_(leaving.c.action == "delete", sa.and_(leaving.c.action == "update", moves))
    freed = sa.exists().where(leaving.c.target_id == target.c.id, frees)
    words = sa.literal(f"another record is {view.mapping.entity.entity} ") + label + " already"
    return blocking(work, sa.and_(which, same, other, sa.not_(freed)), words)


def parking(view: DesiredView, work: sa.TableClause) -> sa.Update:
    """Records that trade keys among themselves: out of each other's way first, for a unique index checks row by row."""
    target, holder = view.target, view.target.alias("holder")
    names = [column.name for column in view.columns if column.is_key]
    moves = sa.or_(*(fold(work.c[name]) != fold(target.c[name]) for name in names))
    taken = sa.exists().where(
        *(fold(holder.c[name]) == fold(work.c[name]) for name in names), holder.c.id != target.c.id
    )
    last = target.c[names[-1]]
    parked = (
        -target.c.id if isinstance(last.type, sa.BigInteger) else sa.literal("~").concat(sa.cast(target.c.id, sa.Text))
    )
    return (
        sa.update(target)
        .values({last.name: parked})
        .where(target.c.id == work.c.target_id, work.c.action == "update", moves, taken)
    )
