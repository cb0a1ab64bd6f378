"""How keys are compared, in SQL and in Python."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from replicator.mapping.schema import EntitySet, column_name

if TYPE_CHECKING:
    import sqlalchemy as sa

KEY_SEPARATOR = "\x1f"
"""Stands between the parts of a key that is kept as one text."""
BLANKS = " \t\n\r\f\v\u00a0\u200b\u2060\u3000\ufeff"
"""What shows nothing at the ends of a text, and does not count there: blanks, of no width too; as in ``sync.fold``."""
Columns = Sequence[tuple[str, str]]
"""By which rows point at others: own column, the column of the other."""


def fold(value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """A text as keys are compared: normalised, outer blanks and case ignored. Other types as they are."""
    import sqlalchemy as sa  # here: connectors compare keys without it, and settings are read with connectors at hand

    return sa.func.sync.fold(value, type_=sa.Text) if isinstance(value.type, sa.Text) else value


def key_expressions(table: sa.FromClause, columns: Sequence[str]) -> list[sa.ColumnElement[Any]]:
    """The columns of a key, as keys are compared."""
    return [fold(table.c[column]) for column in columns]


def same_values(ours: sa.FromClause, theirs: sa.FromClause, columns: Columns) -> sa.ColumnElement[bool]:
    """That the row of ``theirs`` is the one that the row of ``ours`` points at, by each pair of columns."""
    import sqlalchemy as sa  # here, as above

    return sa.and_(sa.true(), *(fold(theirs.c[other]) == fold(ours.c[own]) for own, other in columns))


def in_one_text(values: Sequence[sa.ColumnElement[Any]], separator: str) -> sa.ColumnElement[str]:
    """The parts of a key as one text."""
    import sqlalchemy as sa  # here, as above

    texts = [sa.cast(value, sa.Text) for value in values]
    return texts[0] if len(texts) == 1 else sa.func.concat_ws(separator, *texts, type_=sa.Text)


def said(name: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """What people call something by; null where it is empty, or blanks only."""
    import sqlalchemy as sa  # here, as above

    return sa.func.nullif(sa.func.btrim(sa.cast(name, sa.Text), BLANKS), "", type_=sa.Text)


def mirror_key(entity_set: EntitySet) -> list[str]:
    """The columns of an entity set's own key."""
    return [column_name(field) for field in entity_set.spec.key]


def comparable(key: tuple[object, ...]) -> tuple[object, ...]:
    """A key as keys are compared: texts normalised, without outer blanks and case."""
    return tuple(
        unicodedata.normalize("NFC", part).strip(BLANKS).casefold() if isinstance(part, str) else part for part in key
    )
