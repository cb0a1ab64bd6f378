"""SQL as text: what SQLAlchemy does not know how to create, and how text is run."""

from __future__ import annotations

from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

_dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def body(definition: sa.Select[Any] | sa.CompoundSelect[Any]) -> str:
    """A statement as text, every value written out."""
    return str(definition.compile(dialect=_dialect, compile_kwargs={"literal_binds": True})).replace("%%", "%")


def create_view(name: str, definition: sa.Select[Any] | sa.CompoundSelect[Any]) -> str:
    """The text that creates a view."""
    return " ".join(("create view", name, "as", body(definition)))


def execute(connection: sa.Connection, text: str) -> None:
    """Run SQL text as it stands: no parameters, so that neither ``%`` nor ``:x`` means anything."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(text.encode(), prepare=False)
