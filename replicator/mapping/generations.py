"""Generations: records of one entity set that bear the same business key, of which one counts.

A record that is revised leaves the closed one behind, under the same key; one that was given up for another may bear
its key still. ``generations`` of an entity set says in which order they stand: the first counts, the others are
its history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from replicator.mapping.key_comparison import fold, same_values
from replicator.mapping.schema import EntitySet, column_name

Columns = Callable[[str], sa.ColumnElement[Any]]
"""A row: gives the column of a name."""


@dataclass(frozen=True, eq=False)
class Lineage:
    """The entity set whose generations the records of an inbound map belong to: their own, or that of their root."""

    entity_set: EntitySet
    table: sa.Table
    columns: tuple[tuple[str, str], ...] = ()
    """By which columns a part points at its root; none where the records are the generations themselves."""

    def of(self, row: sa.FromClause, name: str) -> tuple[sa.FromClause, sa.ColumnElement[bool]]:
        """The generation that a record belongs to, and how to join it."""
        if not self.columns:
            return row, sa.true()
        whole = self.table.alias(name)
        return whole, same_values(row, whole, self.columns)


def order_of(entity_set: EntitySet) -> list[tuple[str, bool]]:
    """The columns by which generations stand in order, and whether downward; what is empty comes last."""
    return [(column_name(name), downward) for name, downward in entity_set.spec.order_of_generations]


def _same_key(first: Columns, second: Columns, entity_set: EntitySet) -> list[sa.ColumnElement[bool]]:
    return [fold(first(column)) == fold(second(column)) for column in map(column_name, entity_set.business_key)]


def rivals(first: Columns, second: Columns, entity_set: EntitySet) -> sa.ColumnElement[bool]:
    """Two records with the same business key, neither of which counts rather than the other."""
    apart = [first(column) != second(column) for column in map(column_name, entity_set.spec.key)]
    equal = [first(column).is_not_distinct_from(second(column)) for column, _ in order_of(entity_set)]
    return sa.and_(*_same_key(first, second, entity_set), *equal, sa.or_(*apart))


def precedes(first: Columns, second: Columns, entity_set: EntitySet) -> sa.ColumnElement[bool]:
    """Both bear the same business key, and the first one counts rather than the second."""
    same = _same_key(first, second, entity_set)
    equal: list[sa.ColumnElement[bool]] = []
    earlier: list[sa.ColumnElement[bool]] = []
    for column, downward in order_of(entity_set):
        one, other = first(column), second(column)
        before = one > other if downward else one < other
        earlier.append(sa.and_(*equal, sa.or_(before, sa.and_(one.is_not(None), other.is_(None)))))
        equal.append(one.is_not_distinct_from(other))
    return sa.and_(*same, sa.or_(*earlier))


def counts(row: sa.FromClause, table: sa.Table, entity_set: EntitySet) -> sa.ColumnElement[bool]:
    """No other record of the table counts rather than this row."""
    if not entity_set.spec.generations:
        return sa.true()
    other = table.alias("generation")
    return sa.not_(sa.exists().where(precedes(other.c.__getitem__, row.c.__getitem__, entity_set)))
