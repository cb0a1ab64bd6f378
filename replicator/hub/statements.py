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
