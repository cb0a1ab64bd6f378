"""Fixed statements on the hub's tables: they live in .sql files beside the module that runs them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.resources import files
from typing import ParamSpec, TypeVar, cast

import sqlalchemy as sa

_P = ParamSpec("_P")
_T = TypeVar("_T")


def built_once(build: Callable[_P, _T]) -> Callable[_P, _T]:
    """Keep the statements that ``build`` makes of a map's view or table: making one takes longer than running it."""
    return cast("Callable[_P, _T]", lru_cache(maxsize=1000)(build))


def statements(module: str, name: str | None = None) -> Mapping[str, sa.TextClause]:
    """The named blocks of a .sql file: ``-- name: claim``, one line of purpose, the statement.

    The file lies in the package of ``module`` (a module's ``__name__``) and bears its name, or the one that is given.
    """
    package, _, own = module.rpartition(".")
    text = files(package).joinpath(f"{name or own}.sql").read_text(encoding="utf-8")
    blocks = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return {name: sa.text(body) for name, body in zip(blocks[1::2], blocks[2::2], strict=True)}


MANY = 1000
"""From so many new rows on the planner may have to be told: without statistics a first load goes quadratic."""
_ANALYZE = sa.text("select sync.analyze(cast(:name as regclass))")
_ESTIMATE = sa.text("select greatest(reltuples, 0) from pg_class where oid = cast(:name as regclass)")


def analyze(connection: sa.Connection, grown: int, *tables: sa.Table) -> None:
    """Refresh the planner's statistics of tables that grew by so many rows, where that is much of what they hold."""
    for table in tables if grown >= MANY else ():
        known = connection.execute(_ESTIMATE, {"name": table.fullname}).scalar_one()
        if grown >= known / 5:
            connection.execute(_ANALYZE, {"name": table.fullname})


def enough_memory(connection: sa.Connection) -> None:
    """For the rest of this transaction let large joins and sorts stay in memory."""
    connection.execute(sa.text("set local work_mem = '128MB'"))


def prefer_whole_joins(connection: sa.Connection) -> None:
    """For the rest of this transaction join large sets whole: a table that the planner thinks empty may not be."""
    enough_memory(connection)
    connection.execute(sa.text("set local enable_nestloop = off"))


def thought_small(connection: sa.Connection, table: str, than: int) -> bool:
    """Whether the planner takes the table (``schema.name``) to hold fewer rows than these."""
    return bool(connection.execute(_ESTIMATE, {"name": table}).scalar_one() < than)
