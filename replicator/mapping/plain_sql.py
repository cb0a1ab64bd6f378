"""Plain SQL in ``schema/``: text with fields in braces, which become the columns they stand for."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

_FIELD = re.compile(r"\{([\w.]+)\}")
_QUOTED = re.compile(
    r"""\be'(?:\\.|[^'\\])*' | '[^']*' | "[^"]*" | \$(\w*)\$.*?\$\1\$ | --[^\n]* | /\*.*?\*/""", re.I | re.S | re.X
)
_READING = re.compile(r"\b(?:select|table)\b", re.I)
"""The words without which no sub-select reads a table; FROM has other uses: ``extract(year from x)``."""


class PlainSql(sa.ColumnElement[Any]):
    """An expression made of SQL text and columns in turn."""

    inherit_cache = False

    def __init__(self, parts: list[str | sa.ColumnElement[Any]], kind: sa.types.TypeEngine[Any]) -> None:
        self.parts = parts
        self.type = kind

    def over_nulls(self) -> PlainSql:
        """The same, each field a null of its type: it can be tried where there is no table."""
        nulls = (part if isinstance(part, str) else sa.cast(sa.null(), part.type) for part in self.parts)
        return PlainSql(list(nulls), self.type)


@compiles(PlainSql)
def _compile(element: PlainSql, compiler: SQLCompiler, **kw: Any) -> str:
    texts = (part if isinstance(part, str) else compiler.process(part, **kw) for part in element.parts)
    return "(" + "".join(texts) + ")"


def reads_tables(text: str) -> bool:
    """Whether there is a sub-select in the SQL text; what stands in literals, braces and remarks is none."""
    return _READING.search(_QUOTED.sub(" ", _FIELD.sub(" ", text))) is not None


def plain_sql(text: str, column: Callable[[str], sa.ColumnElement[Any]], kind: sa.types.TypeEngine[Any]) -> PlainSql:
    """The expression ``text`` of type ``kind``, each ``{path}`` in it replaced by ``column(path)``."""
    pieces = _FIELD.split(text)
    return PlainSql([column(piece) if place % 2 else piece for place, piece in enumerate(pieces)], kind)
