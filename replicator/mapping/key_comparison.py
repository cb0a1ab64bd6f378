"""How keys are compared, in SQL and in Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from replicator.mapping.schema import EntitySet, column_name

if TYPE_CHECKING:
    import sqlalchemy as sa


def fold(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A text as keys are compared: normalised, outer blanks and case ignored. Other types as they are."""
    import sqlalchemy as sa  # here: connectors compare keys without it, and settings are read with connectors at hand

    return sa.func.sync.fold(value, type_=sa.Text) if isinstance(value.type, sa.Text) else value


def key_expressions(table: sa.FromClause, columns: Sequence[str]) -> list[sa.ColumnElement[Any]]:
    """The columns of a key, as keys are compared."""
    return [fold(table.c[column]) for column in columns]


def mirror_key(entity_set: EntitySet) -> list[str]:
    """The columns of an entity set's own key."""
    return [column_name(field) for field in entity_set.spec.key]


def comparable(key: tuple[object, ...]) -> tuple[object, ...]:
    """A key as keys are compared: texts normalised, without outer blanks and case."""
    return tuple(
        unicodedata.normalize("NFC", part).strip().casefold() if isinstance(part, str) else part for part in key
    )
