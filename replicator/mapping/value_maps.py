"""Value maps: what they turn a value into, and the function of the hub that holds a named one.

A named map may hold thousands of spellings. As a constant it would stand in a view at each place that asks for it, and
a session that first uses such a view would read megabytes of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from replicator.mapping.language import Scalar, ValueMapSpec
from replicator.mapping.literals import as_text, folded

Direction = Literal["in", "out"]
DIRECTIONS: tuple[Direction, ...] = ("in", "out")
Translations = Mapping[Scalar, Scalar | None]


def translations(values: Translations, direction: Direction) -> Translations:
    """Source value to target value; outward the first value of the system that has a common value stands for it."""
    if direction == "in":
        return values
    turned: dict[Scalar, Scalar | None] = {}
    for system_value, common_value in values.items():
        if common_value is not None:
            turned.setdefault(common_value, system_value)
    return turned


def as_json(values: Translations, ignore_case: bool) -> str:
    """The values as one JSON object of texts, under what is looked for in it."""
    keys = {folded(as_text(key)) if ignore_case else as_text(key): value for key, value in values.items()}
    return json.dumps({key: None if value is None else as_text(value) for key, value in keys.items()})


def named_json(spec: ValueMapSpec, direction: Direction) -> str:
    """The JSON object that the function of a named map gives."""
    return as_json(translations(spec.values, direction), spec.ignore_case)


def function_name(name: str, direction: Direction) -> str:
    """The function of schema ``desired`` that gives a named map in one direction."""
    return f"{name}_to_common" if direction == "in" else f"{name}_from_common"


def named_dictionary(name: str, direction: Direction) -> sa.ColumnElement[Any]:
    """A call of that function, which PostgreSQL makes once for a plan."""
    called = sa.quoted_name(function_name(name, direction), quote=True)
    return sa.Function(called, packagenames=("desired",), type_=JSONB)


def dictionary(values: Translations) -> sa.ColumnElement[Any]:
    """The values that a field of a map lists for itself."""
    return sa.cast(sa.literal(as_json(values, ignore_case=False)), JSONB)
