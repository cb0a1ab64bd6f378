"""Rows of a system that do not fit their entity set: put aside with the reason, so that nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simplejson
import sqlalchemy as sa

from replicator.hub.state import rejected
from replicator.model.schema import EntitySet
from replicator.systems.connector import FieldProblem, Row

KEY_SEPARATOR = "\x1f"
_ROW_CHARACTERS = 10_000  # of a rejected row that are kept


@dataclass(frozen=True)
class Bad:
    """A row that does not fit its entity set."""

    row: Row
    problem: FieldProblem


def put_aside(
    connection: sa.Connection, entity_set: EntitySet, bad: Sequence[Bad], since: object | None = None
) -> None:
    """Note rows that were not taken in, with the reason and the row itself.

    They replace what earlier reads noted of the same keys. ``since`` is when this read began (default: just now).
    """
    if not bad:
        return
    keys = [key_of(entity_set, found.row) for found in bad]
    mine = sa.and_(rejected.c.system == entity_set.system, rejected.c.entity_set == entity_set.name)
    earlier = sa.true() if since is None else rejected.c.at < since
    same = rejected.c.key == sa.any_(sa.literal(keys, sa.ARRAY(sa.Text)))
    connection.execute(sa.delete(rejected).where(mine, same, earlier))
    rows = [
        {
            "system": entity_set.system,
            "entity_set": entity_set.name,
            "record": record_of(entity_set, found.row),
            "key": key,
            "field": found.problem.field,
            "reason": in_words(found.problem),
            "row": _as_text(found.row),
        }
        for found, key in zip(bad, keys, strict=True)
    ]
    connection.execute(rejected.insert(), rows)


def record_of(entity_set: EntitySet, row: Row) -> str:
    """What people call the row, as far as it can be read."""
    known = [row.get(name) for name in dict.fromkeys((*entity_set.business_key[-1:], *entity_set.spec.key))]
    return next((_storable(value) for value in known if value), "(no key)")


def key_of(entity_set: EntitySet, row: Row) -> str:
    """The row's own key as one text, as far as it can be read."""
    return KEY_SEPARATOR.join(_storable(row.get(name)) for name in entity_set.spec.key)


def in_words(problem: FieldProblem) -> str:
    """The reason, for people; the value in ASCII and cut."""
    return f"{problem.field}: {ascii(problem.value)[:100]} {problem.why}"


def _storable(value: object) -> str:
    """A text that a database can hold: NUL characters and lone surrogates escaped."""
    return str(value).replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _as_text(row: Row) -> str:
    """JSON in ASCII: NUL characters and lone surrogates appear escaped, so that a database can hold them."""
    return simplejson.dumps(row, use_decimal=True, default=str, ensure_ascii=True)[:_ROW_CHARACTERS]
