"""SQL as text: what SQLAlchemy does not know how to create, and how text is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, LiteralString

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects import postgresql

from replicator.hub import product_sql

_dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_PLACEHOLDER = re.compile(r"@\{(\w+)\}")


def body(definition: sa.Select[Any] | sa.CompoundSelect[Any]) -> sql.SQL:
    """A statement as text, every value written out."""
    text = str(definition.compile(dialect=_dialect, compile_kwargs={"literal_binds": True})).replace("%%", "%")
    return sql.SQL(text)


def create_view(name: sql.Identifier, definition: sa.Select[Any] | sa.CompoundSelect[Any]) -> sql.Composed:
    """The text that creates a view."""
    return sql.SQL("create view {} as {}").format(name, body(definition))


def comment(kind: LiteralString, name: sql.Composable, text: str | None) -> sql.Composed:
    """The text that says what something is."""
    return sql.SQL("comment on {} {} is {}").format(sql.SQL(kind), name, text or "")


def fill(name: str, values: Mapping[str, sql.Composable]) -> sql.Composed:
    """A file of the hub's SQL with its ``@{placeholders}`` filled in."""
    pieces = enumerate(_PLACEHOLDER.split(product_sql.sql(name)))
    return sql.Composed([values[piece] if at % 2 else sql.SQL(piece) for at, piece in pieces])


def execute(connection: sa.Connection, text: sql.Composable) -> None:
    """Run SQL text as it stands: no parameters, so that neither ``%`` nor ``:x`` means anything."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(text.as_bytes(), prepare=False)
