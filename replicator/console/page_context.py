"""What a page is made with: one look at the hub, in a transaction that can only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

Row = Mapping[str, Any]
PER_PAGE = 50
MOST_DIGITS = 18
"""Of an id: every number of so many digits fits into a column for ids."""
_LAST_PAGE = 10_000


@dataclass(frozen=True)
class PageContext:
    """A connection that reads, and what the address asks for."""

    connection: sa.Connection
    arguments: Mapping[str, str]

    @cached_property
    def captured(self) -> Mapping[str, Row]:
        """The captured tables by what people call the place."""
        return {row["place"]: row for row in self.rows(sa.text("select * from sync.captured"))}

    def rows(self, statement: sa.Executable, **values: object) -> list[Row]:
        """All rows of a statement."""
        return [dict(row) for row in self.connection.execute(statement, values).mappings()]

    def row(self, statement: sa.Executable, **values: object) -> Row | None:
        """The one row of a statement, if it has any."""
        found = self.connection.execute(statement, values).mappings().first()
        return dict(found) if found is not None else None

    def value(self, statement: sa.Executable, **values: object) -> Any:
        """The one value of a statement."""
        return self.connection.execute(statement, values).scalar_one()

    def page_number(self, name: str = "page") -> int:
        """Which page of a list is asked for; the first where that is no number, or one that no list has."""
        text = self.arguments.get(name, "1")
        is_number = text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS
        return min(max(int(text), 1), _LAST_PAGE) if is_number else 1

    def paged(self, statement: sa.Executable, name: str = "page", size: int = PER_PAGE, **values: object) -> Paged:
        """One page of a statement that takes ``:limit`` and ``:offset``."""
        number = self.page_number(name)
        found = self.rows(statement, limit=size + 1, offset=(number - 1) * size, **values)
        return Paged(found[:size], number, more=len(found) > size, name=name)


@dataclass(frozen=True)
class Paged:
    """The rows of one page of a list."""

    rows: Sequence[Any]
    number: int
    more: bool
    name: str = "page"

    @property
    def is_only(self) -> bool:
        """Whether there is no other page."""
        return self.number == 1 and not self.more
