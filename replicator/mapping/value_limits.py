"""What fits a field: texts cut, numbers rounded where a map says so, and the words for values that do not fit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from replicator.mapping.language import CommonField, FieldMap, SystemField

Expression = sa.ColumnElement[Any]


def length_of(expression: Expression, field: CommonField | SystemField) -> sa.ColumnElement[int]:
    """The length of a text as its field counts it: a system's in UTF-16 units, the hub's in characters."""
    if isinstance(field, SystemField):
        return sa.func.sync.utf16_length(expression, type_=sa.Integer)
    return sa.func.char_length(expression, type_=sa.Integer)


def cut(expression: Expression, field: CommonField | SystemField, length: int) -> Expression:
    """The beginning of a text, counted as its field counts, without half a character at its end."""
    if isinstance(field, SystemField):
        # No text has more units than bytes: most need not be counted, and a call costs as much as ten fields.
        short = sa.func.octet_length(expression) <= length
        return sa.case((short, expression), else_=sa.func.sync.utf16_left(expression, length, type_=sa.Text))
    return sa.func.left(expression, length, type_=sa.Text)


def rounded(expression: Expression, places: int) -> Expression:
    """A number with so many places; halves away from zero."""
    return sa.func.round(expression, places, type_=sa.Numeric)


def misfits(
    spec: FieldMap, field: CommonField | SystemField, expression: Expression
) -> Iterator[tuple[sa.ColumnElement[bool], list[object]]]:
    """When a value does not fit its field, and the words for that."""
    if spec.constant is not None:
        return  # looked at when it was read
    if field.length and not (spec.truncate is not None and spec.truncate <= field.length):
        length = length_of(expression, field)
        # No text has more units than bytes: most need no second look.
        long = sa.and_(sa.func.octet_length(expression) > field.length, length > field.length)
        yield long, [length, f" characters, at most {field.length} fit"]
    places = field.places if isinstance(field, SystemField) else None
    if places is not None and not (spec.round is not None and spec.round <= places):
        held = sa.func.min_scale(expression, type_=sa.Integer)
        yield (
            held > places,
            [expression, " has ", held, f" decimal places, at most {places} fit; say 'round: {places}'"],
        )
    if isinstance(field, CommonField) and field.values and spec.copy_:
        yield expression.not_in(field.values), ["'", expression, "' is not a known value"]
