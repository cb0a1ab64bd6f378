"""Stage: the rows of a snapshot as they come, in a temporary table; rows that do not fit are put aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
import simplejson
import sqlalchemy as sa
from psycopg import sql

from replicator.hub.sql import statements
from replicator.hub.state import rejected
from replicator.model.schema import EntitySet, column_name
from replicator.model.spec import FieldType
from replicator.model.tables import ETAG, mirror_key
from replicator.systems.connector import FieldProblem, Row

TABLE = "stage"
KEY_SEPARATOR = "\x1f"
_COPY_TYPES: dict[FieldType, str] = {
    "text": "text", "integer": "int8", "decimal": "numeric", "boolean": "bool", "date": "date",
    "timestamp": "timestamptz", "uuid": "uuid", "reference": "uuid",
}  # fmt: skip
_sql = statements(__file__)
_VALUE_CHARACTERS = 100  # of a rejected value that are told
_ROW_CHARACTERS = 10_000  # of a rejected row that are kept


@dataclass(frozen=True)
class Bad:
    """A row that does not fit its entity set."""

    row: Row
    problem: FieldProblem


def stage_table(mirror: sa.Table) -> sa.TableClause:
    """The temporary table, to select from: the mirror's columns without the id, and the row's place in the read."""
    columns = [sa.column(column.name, column.type) for column in mirror.columns if column.name != "id"]
    return sa.table(TABLE, *columns, sa.column("place", sa.BigInteger()))


def make_stage(connection: sa.Connection, mirror: sa.Table) -> None:
    """Make the table empty. It outlives transactions, so that no transaction lasts as long as a read."""
    like = sql.SQL("create temporary table stage (like {}, place bigserial)").format(
        sql.Identifier(mirror.schema or "", mirror.name)
    )
    connection.execute(_sql["drop"])
    _driver(connection).execute(like)
    connection.execute(_sql["without_id"])


def analyze_stage(connection: sa.Connection, entity_set: EntitySet) -> None:
    """Let the planner know what is in it, as far as joins need it."""
    keys = sql.SQL(", ").join(sql.Identifier(column) for column in mirror_key(entity_set))
    _driver(connection).execute(sql.SQL("analyze stage ({})").format(keys))


def _driver(connection: sa.Connection) -> psycopg.Connection[object]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def copy_rows(
    connection: sa.Connection, entity_set: EntitySet, decode: Callable[[Row], Sequence[object]], rows: Iterable[Row]
) -> list[Bad]:
    """COPY rows into the stage; the rows that do not fit come back."""
    bad: list[Bad] = []
    columns = [*(column_name(name) for name in entity_set.spec.fields), ETAG]
    types = [*(_COPY_TYPES[field.type] for field in entity_set.spec.fields.values()), "text"]
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(TABLE), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        write = copy.write_row
        for values in _decoded(decode, rows, bad):
            write(values)
    return bad


def _decoded(
    decode: Callable[[Row], Sequence[object]], rows: Iterable[Row], bad: list[Bad]
) -> Iterator[Sequence[object]]:
    for row in rows:
        try:
            values = decode(row)
        except FieldProblem as problem:
            bad.append(Bad(row, problem))
            continue
        yield values


def put_aside(connection: sa.Connection, entity_set: EntitySet, bad: Sequence[Bad]) -> None:
    """Note rows that were not taken in, with the reason and the row itself: nothing is lost."""
    if not bad:
        return
    rows = [
        {
            "system": entity_set.system,
            "entity_set": entity_set.name,
            "record": record_of(entity_set, found.row),
            "key": key_of(entity_set, found.row),
            "field": found.problem.field,
            "reason": _in_words(found.problem),
            "row": _as_text(found.row),
        }
        for found in bad
    ]
    connection.execute(rejected.insert(), rows)


def record_of(entity_set: EntitySet, row: Row) -> str:
    """What people call the row, as far as it can be read."""
    known = [row.get(name) for name in dict.fromkeys((*entity_set.business_key[-1:], *entity_set.spec.key))]
    return next((_storable(value) for value in known if value), "(no key)")


def key_of(entity_set: EntitySet, row: Row) -> str:
    """The row's own key as one text, as far as it can be read."""
    return KEY_SEPARATOR.join(_storable(row.get(name)) for name in entity_set.spec.key)


def _storable(value: object) -> str:
    """A text that a database can hold: NUL characters and lone surrogates escaped."""
    return str(value).replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()


def _in_words(problem: FieldProblem) -> str:
    value = ascii(problem.value)
    if len(value) > _VALUE_CHARACTERS:
        value = value[: _VALUE_CHARACTERS - 4] + "..." + value[-1]  # the quotation mark stays
    return f"{problem.field}: {value} {problem.why}"


def _as_text(row: Row) -> str:
    """JSON in ASCII: NUL characters and lone surrogates appear escaped, so that a database can hold them."""
    return simplejson.dumps(row, use_decimal=True, default=str, ensure_ascii=True)[:_ROW_CHARACTERS]
