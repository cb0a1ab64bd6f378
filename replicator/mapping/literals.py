"""Values written in files: whether they fit the type of a column, and how they go into SQL."""

from __future__ import annotations

import datetime
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import TIMESTAMP

from replicator.mapping.key_comparison import BLANKS, fold
from replicator.mapping.language import CommonField, FieldType, SystemField

_WORDS: dict[type, str] = {
    sa.Text: "text", sa.Boolean: "boolean", sa.BigInteger: "integer", sa.Numeric: "decimal", sa.Date: "date",
    TIMESTAMP: "timestamp", sa.Uuid: "uuid",
}  # fmt: skip
types: dict[FieldType, sa.types.TypeEngine[Any]] = {
    "text": sa.Text(),
    "integer": sa.BigInteger(),
    "decimal": sa.Numeric(),
    "boolean": sa.Boolean(),
    "date": sa.Date(),
    "timestamp": TIMESTAMP(timezone=True),
    "uuid": sa.Uuid(),
}
"""The column type of each field type."""


def word(kind: sa.types.TypeEngine[Any]) -> str:
    """What ``schema/`` calls a column's type."""
    return _WORDS.get(type(kind), type(kind).__name__)


def fits(value: object, kind: sa.types.TypeEngine[Any]) -> bool:
    """Whether a value from a file can stand in a column of this type as it is."""
    if isinstance(kind, sa.Boolean) or isinstance(value, bool):
        return isinstance(kind, sa.Boolean) and isinstance(value, bool)
    if isinstance(kind, TIMESTAMP):
        return isinstance(value, datetime.datetime)
    if isinstance(kind, sa.Date):
        return isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    if isinstance(kind, sa.BigInteger):
        return isinstance(value, int) and abs(value) < 2**63
    if isinstance(kind, sa.Numeric):
        return isinstance(value, int | Decimal)
    return isinstance(value, str) and (not isinstance(kind, sa.Uuid) or _is_uuid(value))


def misfit(value: object, name: str, field: CommonField | SystemField, kind: sa.types.TypeEngine[Any]) -> str | None:
    """Why a value from a file can never stand in the field ``name``, whose column is of type ``kind``."""
    shown = repr(value) if isinstance(value, str) else as_text(value)
    if not fits(value, kind):
        return f"{shown} does not fit '{name}', which is {word(kind)}"
    if isinstance(value, str) and field.length and length_of(value, field) > field.length:
        return f"{shown} has {length_of(value, field)} characters, at most {field.length} fit '{name}'"
    if isinstance(field, SystemField) and field.places is not None and _places(value) > field.places:
        return f"{shown} has {_places(value)} decimal places, at most {field.places} fit '{name}'"
    if isinstance(field, CommonField) and field.values and value not in field.values:
        return f"{shown} is none of {', '.join(field.values)}, the values of '{name}'"
    return None


def length_of(text: str, field: CommonField | SystemField) -> int:
    """The length of a text as its field counts it: a system's in UTF-16 units, the hub's in characters."""
    return len(text.encode("utf-16-le")) // 2 if isinstance(field, SystemField) else len(text)


def beginning(text: str, length: int, field: CommonField | SystemField) -> str:
    """As much of a text as fits into a length."""
    while length_of(text[:length], field) > length:
        text = text[:length][:-1]
    return text[:length]


def _places(value: object) -> int:
    """How many places after the point a number needs."""
    exponent = value.normalize().as_tuple().exponent if isinstance(value, Decimal) else 0
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True


def as_text(value: object) -> str:
    """A value as PostgreSQL writes it as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def constant(value: str | int, kind: sa.types.TypeEngine[Any] | None = None) -> sa.ColumnElement[Any]:
    """A value as a constant of a statement and no parameter of it: for what is created, and for the planner."""
    return sa.literal_column(sql.Literal(value).as_string(), kind)


_readers: Mapping[str, Callable[[str], object]] = {
    "integer": int, "decimal": Decimal, "boolean": lambda text: text == "True", "uuid": uuid.UUID,
    "date": datetime.date.fromisoformat, "timestamp": datetime.datetime.fromisoformat,
}  # fmt: skip


def folded(text: str) -> str:
    """A text as ``sync.fold`` makes it in the hub: normalised, without outer blanks, in lower case."""
    return "".join(each.lower()[0] for each in unicodedata.normalize("NFC", text.strip(BLANKS)))


def equals(column: sa.ColumnElement[Any], value: object) -> sa.ColumnElement[bool]:
    """That a column holds a value from a file: texts are compared as keys are."""
    return fold(column) == fold(sa.cast(sa.literal(value), column.type))


def from_text(kind: str, text: str) -> object:
    """A key value of a field of this type, from the text that ``str`` made of it."""
    return _readers.get(kind, str)(text)
