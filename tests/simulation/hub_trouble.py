"""What befalls the hub itself, drawn from a seed: a backup is put back, sessions begin otherwise, a map is gone.

What it draws, it draws from a source of its own: a seed without it is lived through as before.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from weakref import WeakSet

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from replicator.mapping.compiled import Compiled, compile_folder
from replicator.solution import generate
from tests.fixtures.hub import SCHEMA
from tests.fixtures.postgres import create_database, drop_database, name_of

KINDS = ("restored", "strange settings", "read-only", "too slow", "map dropped")
_CHANCE = 0.1
"""Of each of the three in a life."""
STRANGE = {
    "datestyle": ("German", "SQL, DMY"), "intervalstyle": ("iso_8601",), "timezone": ("Asia/Tokyo", "America/Caracas"),
    "search_path": ("log", "sync"), "client_encoding": ("LATIN1",), "bytea_output": ("escape",),
    "standard_conforming_strings": ("off",), "default_transaction_isolation": ("serializable", "repeatable read"),
    "transform_null_equals": ("on",), "extra_float_digits": ("-5",),
}  # fmt: skip
"""What a program may rely on without knowing it."""
_TIMEOUT = "500ms"
"""Longer than any statement of so small a world takes: only those end by it that are made slow here."""
_ENDED = frozenset({"25006", "57014", "57P01"})
"""SQLSTATEs: written in a read-only session, out of time, session ended by its owner."""
_DROPPED: tuple[tuple[tuple[str, ...], bool], ...] = (
    (("ops/CDSContactPersonsV2.yaml", "ops/CDSSalesQuotationHeaders.yaml", "ops/CDSSalesQuotationLines.yaml"), True),
    (("sales/contacts.yaml", "sales/quotes.yaml", "sales/quotedetails.yaml"), False),
)
"""Files that are missing together, and whether as a whole; of the others only their maps are. Only two, for what a
schema is compiled to takes longer to make than to use."""
_views: dict[int, tuple[Compiled, list[sql.Composable]]] = {}
_compiled: dict[tuple[int, tuple[tuple[str, ...], bool]], tuple[Compiled, Compiled]] = {}


@dataclass
class Spell:
    """Something that begins before one step of a life and ends before a later one, or after the last; -1: never."""

    begin: int = -1
    end: int = -1


@dataclass
class HubTrouble:
    """What befalls one hub in one life."""

    random: Random
    url: str
    struck: Counter[str] = field(default_factory=Counter)
    backup: Spell = field(default_factory=Spell)
    settings: Spell = field(default_factory=Spell)
    dropped: Spell = field(default_factory=Spell)
    copy_is_due: bool = False
    is_restored: bool = False
    slowness: float = 0.0
    """The chance that a statement takes longer than sessions with a timeout may."""
    _set: dict[str, str] = field(default_factory=dict)
    _timed: WeakSet[psycopg.Connection[Any]] = field(default_factory=WeakSet)

    def draw(self, steps: int) -> None:
        """What will happen in a life of so many steps."""
        for spell in (self.backup, self.settings, self.dropped):
            if self.random.random() < _CHANCE:
                spell.begin = self.random.randrange(steps)
                spell.end = self.random.randint(spell.begin + 1, steps)

    # restored

    @property
    def _copy(self) -> str:
        return f"{name_of(self.url)}_backup"

    @property
    def _server(self) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path="/postgres"))

    def copy(self) -> None:
        """Make a backup, while nobody has a session on the hub."""
        self.copy_is_due = False
        create_database(self._server, self._copy, name_of(self.url))

    def restore(self) -> None:
        """Put the backup in the hub's place."""
        self.struck["restored"] += 1
        self.is_restored = True
        drop_database(self._server, name_of(self.url))
        self._alter("alter database {copy} rename to {database}", copy=self._copy)

    def tidy(self) -> None:
        """No backup is left behind."""
        if self.backup.begin >= 0:
            drop_database(self._server, self._copy)

    def _alter(self, statement: str, *values: str, **names: str) -> None:
        known = {name: sql.Identifier(each) for name, each in {"database": name_of(self.url), **names}.items()}
        with psycopg.connect(self._server, autocommit=True) as owner:
            owner.execute(sql.SQL(statement).format(*map(sql.Literal, values), **known))

    # other settings

    def set_something(self) -> None:
        """From now on sessions begin with other settings; some of the old ones are ended."""
        kind = self.random.choice(("strange settings", "read-only", "too slow"))
        self.struck[kind] += 1
        if kind == "strange settings":
            names = self.random.sample(sorted(STRANGE), self.random.randint(1, 4))
            self._set = {name: self.random.choice(STRANGE[name]) for name in names}
        elif kind == "read-only":
            self._set = {"default_transaction_read_only": "on"}
        else:
            self._set = {"statement_timeout": _TIMEOUT}
            self.slowness = self.random.choice((0.01, 0.05, 1.0))
        for name, value in self._set.items():
            self._alter("alter database {database} set {name} = {}", value, name=name)
        if self.random.random() < 0.5:
            self._alter("select pg_terminate_backend(pid) from pg_stat_activity where datname = {}", name_of(self.url))

    def reset(self) -> None:
        """Sessions begin as they always did; those that began otherwise stay as they are."""
        for name in self._set:
            self._alter("alter database {database} reset {name}", name=name)
        self._set = {}

    def explains(self, problem: Exception) -> bool:
        """Whether this has to be expected of the hub's database: also afterwards, of sessions that began before."""
        origin = problem.orig if isinstance(problem, DBAPIError) else problem
        ended = isinstance(origin, psycopg.Error) and origin.sqlstate in _ENDED
        return ended and bool(self.struck["read-only"] or self.struck["too slow"] or self.struck["strange settings"])

    def watch(self, engine: sa.Engine) -> None:
        """Make statements slow in those sessions of an engine that began with a timeout."""
        execute = engine.dialect.do_execute

        def slowly(cursor: Any, *rest: Any) -> None:
            if cursor.connection in self._timed and self.random.random() < self.slowness:
                cursor.execute("select pg_sleep(60)")
            execute(cursor, *rest)

        sa.event.listen(engine, "connect", self._note_timeout)
        engine.dialect.do_execute = slowly  # type: ignore[assignment]

    def _note_timeout(self, connection: Any, _: object) -> None:
        if "statement_timeout" in self._set:
            self._timed.add(connection)

    # a map that is gone

    def drop_map(self, hub: sa.Engine, compiled: Compiled) -> Compiled:
        """Another schema is installed, which lacks a part of the old one."""
        self.struck["map dropped"] += 1
        less = _without(compiled, self.random.choice(_DROPPED))
        install(hub, less)
        return less


def exempt(engine: sa.Engine) -> None:
    """People's own sessions begin as ever."""
    sa.event.listen(engine, "connect", _as_ever)


def _as_ever(connection: Any, _: object) -> None:
    connection.execute("set default_transaction_read_only = off")
    connection.execute("set statement_timeout = 0")
    connection.commit()


def install(hub: sa.Engine, compiled: Compiled) -> None:
    """Make the hub's objects anew from this schema; the text of its views takes a second, and is made once."""
    if id(compiled) not in _views:
        _views[id(compiled)] = (compiled, list(generate._view_texts(compiled)))
    with hub.begin() as connection, pytest.MonkeyPatch.context() as patching:
        patching.setattr(generate, "_view_texts", lambda compiled: _views[id(compiled)][1])
        generate.drop_objects(connection)
        generate.create_objects(connection, compiled)


def _without(compiled: Compiled, dropped: tuple[tuple[str, ...], bool]) -> Compiled:
    """The schema without these; made once for each compiled schema, as its statements are."""
    known = (id(compiled), dropped)
    if known not in _compiled:
        with _less(*dropped) as folder:
            _compiled[known] = (compiled, compile_folder(folder))  # the first lives on, so that its id stays its own
    return _compiled[known][1]


@contextmanager
def _less(files: tuple[str, ...], as_whole: bool) -> Iterator[Path]:
    """A schema folder without these files, or without their maps."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "schema")
        shutil.copytree(SCHEMA, folder)
        for name in files:
            path = folder / name
            text = path.read_text(encoding="utf-8").partition("maps:")[0]
            path.unlink() if as_whole else path.write_text(text, encoding="utf-8")
        yield folder
