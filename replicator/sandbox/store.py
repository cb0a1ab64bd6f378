"""State in SQLite: records as JSON text, an index of folded values, tombstones and one version counter."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicator.sandbox.description import SimulatedSet, SystemDescription
from replicator.sandbox.odata_http import from_json, to_json

Doc = dict[str, Any]

_schema = """
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY AUTOINCREMENT, entity_set TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    doc TEXT NOT NULL, UNIQUE (entity_set, key));
CREATE INDEX IF NOT EXISTS record_version ON record (entity_set, version);
CREATE INDEX IF NOT EXISTS record_order ON record (entity_set, id);
CREATE TABLE IF NOT EXISTS term (
    entity_set TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, id INTEGER NOT NULL,
    PRIMARY KEY (entity_set, field, value, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS term_record ON term (id);
CREATE TABLE IF NOT EXISTS deleted (
    entity_set TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (entity_set, key));
CREATE INDEX IF NOT EXISTS deleted_version ON deleted (entity_set, version);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
_columns = "SELECT id, key, version, doc FROM record "


@dataclass(frozen=True)
class Row:
    """One stored record."""

    entity_set: str
    id: int
    key: str
    version: int
    doc: Doc


@dataclass(frozen=True)
class RecordChange:
    """What became of a record; before it was made, and once it is gone, it holds nothing."""

    entity_set: str
    key: str
    before: Doc | None
    after: Doc | None

    @property
    def message(self) -> str:
        """What a client asks for to bring it about."""
        return "Create" if self.before is None else "Delete" if self.after is None else "Update"


@dataclass(frozen=True)
class StoredCondition:
    """A condition on records as SQL with its values."""

    sql: str = "1"
    values: tuple[object, ...] = ()


def fold(value: Any) -> Any:
    """Text as both systems compare it: case and trailing blanks do not count."""
    return value.rstrip(" ").lower() if isinstance(value, str) else value


def storable(text: str) -> str:
    """Text that SQLite takes; lone surrogates, which a restored backup may hold, are written out."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def term_value(values: Iterable[object]) -> str | None:
    """Several values as one indexed text; nothing where one of them is missing."""
    texts = []
    for value in values:
        if value is None or value == "":
            return None
        texts.append(storable(str(fold(value))))
    return "\x1f".join(texts)


class Store:
    """One connection, used by one thread at a time; the caller holds the lock."""

    def __init__(self, path: Path | None, description: SystemDescription) -> None:
        self.description = description
        self._db = sqlite3.connect(":memory:" if path is None else path, isolation_level=None, check_same_thread=False)
        self._db.create_function("fold", 1, fold, deterministic=True)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;" + _schema)
        self._depth = 0
        self.on_changes: Callable[[Sequence[RecordChange]], None] | None = None
        """Hears of changes once they are committed."""
        self._changes: list[RecordChange] = []
        self._forget()

    def _forget(self) -> None:
        row = self._db.execute("SELECT value FROM counter WHERE name = 'version'").fetchone()
        self.version: int = row[0] if row else 1000

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; inside another one it simply joins."""
        if self._depth:
            yield
            return
        self._db.execute("BEGIN IMMEDIATE")
        self._depth = 1
        before = self.version
        try:
            yield
            if self.version != before:
                self._db.execute("INSERT OR REPLACE INTO counter VALUES ('version', ?)", (self.version,))
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            self.version = before
            self._changes.clear()
            raise
        finally:
            self._depth = 0
        self._tell()

    def _note(self, change: RecordChange) -> None:
        if self.on_changes is not None:
            self._changes.append(change)
            if not self._depth:
                self._tell()

    def _tell(self) -> None:
        told, self._changes = self._changes, []
        if told and self.on_changes is not None:
            self.on_changes(told)

    def next_number(self, name: str, start: int) -> int:
        """The next value of a running number."""
        sql = "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value"
        return int(self._db.execute(sql, (f"number:{name}", start)).fetchone()[0])

    def get(self, entity_set: str, key: str) -> Row | None:
        """The record with this key."""
        sql = _columns + "WHERE entity_set = ? AND key = ?"
        return next(self._rows(entity_set, sql, (entity_set, key)), None)

    def find(self, entity_set: str, fields: tuple[str, ...], values: Iterable[object]) -> list[Row]:
        """The records with these values in indexed fields."""
        value = term_value(values)
        if value is None:
            return []
        sql = (
            "SELECT record.id, key, version, doc FROM term JOIN record USING (id) "
            "WHERE term.entity_set = ? AND field = ? AND value = ? ORDER BY id"
        )
        return list(self._rows(entity_set, sql, (entity_set, ",".join(fields), value)))

    def put(self, entity_set: SimulatedSet, key: str, doc: Doc) -> Row:
        """Write a record as a new version of it."""
        self.version += 1
        name = entity_set.name
        before = self.get(name, key) if self.on_changes is not None else None
        sql = (
            "INSERT INTO record (entity_set, key, version, doc) VALUES (?, ?, ?, ?) ON CONFLICT (entity_set, key) "
            "DO UPDATE SET version = excluded.version, doc = excluded.doc RETURNING id"
        )
        number = int(self._db.execute(sql, (name, key, self.version, to_json(doc))).fetchone()[0])
        self._db.execute("DELETE FROM term WHERE id = ?", (number,))
        self._db.executemany("INSERT INTO term VALUES (?, ?, ?, ?)", self._terms(entity_set, doc, number))
        self._db.execute("DELETE FROM deleted WHERE entity_set = ? AND key = ?", (name, key))
        self._note(RecordChange(name, key, None if before is None else before.doc, doc))
        return Row(name, number, key, self.version, doc)

    @staticmethod
    def _terms(entity_set: SimulatedSet, doc: Doc, number: int) -> Iterator[tuple[str, str, str, int]]:
        for fields in entity_set.terms:
            value = term_value(doc.get(part) for part in fields)
            if value is not None:
                yield entity_set.name, ",".join(fields), value, number

    def remove(self, row: Row) -> None:
        """Delete a record and remember that it was there."""
        self.version += 1
        self._db.execute("DELETE FROM record WHERE id = ?", (row.id,))
        self._db.execute("DELETE FROM term WHERE id = ?", (row.id,))
        self._db.execute("INSERT OR REPLACE INTO deleted VALUES (?, ?, ?)", (row.entity_set, row.key, self.version))
        self._note(RecordChange(row.entity_set, row.key, row.doc, None))

    def count(self, entity_set: str, condition: StoredCondition) -> int:
        """How many records fulfil a condition."""
        sql = "SELECT count(*) FROM record WHERE entity_set = ? AND " + condition.sql  # noqa: S608 - own fragments
        return int(self._db.execute(sql, (entity_set, *condition.values)).fetchone()[0])

    def page(self, entity_set: str, condition: StoredCondition, after: int, limit: int) -> list[Row]:
        """Records in the order in which they were made, behind a position."""
        sql = _columns + "WHERE entity_set = ? AND id > ? AND " + condition.sql + " ORDER BY id LIMIT ?"
        return list(self._rows(entity_set, sql, (entity_set, after, *condition.values, limit)))

    def sorted(
        self, entity_set: str, condition: StoredCondition, order: StoredCondition, offset: int, limit: int
    ) -> list[Row]:
        """Records in an order of their values, behind a number of them."""
        sql = _columns + "WHERE entity_set = ? AND " + condition.sql + " ORDER BY " + order.sql + " id LIMIT ? OFFSET ?"
        values = (entity_set, *condition.values, *order.values, limit, offset)
        return list(self._rows(entity_set, sql, values))

    def changed(self, entity_set: str, after: int, until: int, limit: int) -> list[Row]:
        """Records whose version lies in a span, oldest first."""
        sql = _columns + "WHERE entity_set = ? AND version > ? AND version <= ? ORDER BY version LIMIT ?"
        return list(self._rows(entity_set, sql, (entity_set, after, until, limit)))

    def deleted(self, entity_set: str, after: int, until: int, limit: int) -> list[tuple[str, int]]:
        """Keys deleted in a span of versions, with the version of the deletion."""
        sql = (
            "SELECT key, version FROM deleted WHERE entity_set = ? AND version > ? AND version <= ? "
            "ORDER BY version LIMIT ?"
        )
        return list(self._db.execute(sql, (entity_set, after, until, limit)))

    def _rows(self, entity_set: str, sql: str, values: tuple[object, ...]) -> Iterator[Row]:
        for number, key, version, doc in self._db.execute(sql, values):
            yield Row(entity_set, number, key, version, from_json(doc))
