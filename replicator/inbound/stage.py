"""Stage: the rows of a snapshot as they come, in a temporary table; rows that do not fit are put aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import psycopg
import simplejson
import sqlalchemy as sa
from psycopg import sql

from replicator.hub.state import rejected
from replicator.model.schema import EntitySet, column_name
from replicator.model.spec import FieldType
from replicator.model.tables import ETAG, mirror_key
from replicator.systems.connector import FieldProblem, Row

KEY_SEPARATOR = "\x1f"
_COPY_TYPES: dict[FieldType, str] = {
    "text": "text", "integer": "int8", "decimal": "numeric", "boolean": "bool", "date": "date",
    "timestamp": "timestamptz", "uuid": "uuid", "reference": "uuid",
}  # fmt: skip
_ROW_CHARACTERS = 10_000  # of a rejected row that are kept


@dataclass(frozen=True)
class Bad:
    """A row that does not fit its entity set."""

    row: Row
    problem: FieldProblem


def stage_table(mirror: sa.Table) -> sa.TableClause:
    """The temporary table, to select from: the mirror's columns without the id. Its ctid is the order of the read."""
    columns = [sa.column(column.name, column.type) for column in mirror.columns if column.name != "id"]
    return sa.table(_name(mirror), *columns, sa.column("ctid"))


def _name(mirror: sa.Table) -> str:
    return f"stage_{mirror.schema}_{mirror.name}"


def make_stage(connection: sa.Connection, mirror: sa.Table) -> None:
    """Make the table empty. It outlives transactions, so that no transaction lasts as long as a read.

    A session keeps it: emptying a table is much less work than making one.
    """
    columns = [sql.Identifier(column.name) for column in mirror.columns if column.name != "id"]
    make = sql.SQL("create temporary table if not exists {} as select {} from {} with no data").format(
        sql.Identifier(_name(mirror)), sql.SQL(", ").join(columns), sql.Identifier(mirror.schema or "", mirror.name)
    )
    _driver(connection).execute(make)
    _driver(connection).execute(sql.SQL("truncate {}").format(sql.Identifier(_name(mirror))))


def drop_stage(connection: sa.Connection, mirror: sa.Table) -> None:
    """Give back the room of a large one."""
    _driver(connection).execute(sql.SQL("drop table {}").format(sql.Identifier(_name(mirror))))


def analyze_stage(connection: sa.Connection, entity_set: EntitySet, mirror: sa.Table) -> None:
    """Let the planner know what is in it, as far as joins need it."""
    keys = sql.SQL(", ").join(sql.Identifier(column) for column in mirror_key(entity_set))
    _driver(connection).execute(sql.SQL("analyze {} ({})").format(sql.Identifier(_name(mirror)), keys))


def _driver(connection: sa.Connection) -> psycopg.Connection[object]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    return driver


def copy_rows(
    connection: sa.Connection,
    entity_set: EntitySet,
    mirror: sa.Table,
    decode: Callable[[Row], Sequence[object]],
    rows: Iterable[Row],
) -> list[Bad]:
    """COPY rows into the stage; the rows that do not fit come back."""
    bad: list[Bad] = []
    columns = [*(column_name(name) for name in entity_set.spec.fields), ETAG]
    types = [*(_COPY_TYPES[field.type] for field in entity_set.spec.fields.values()), "text"]
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(_name(mirror)), sql.SQL(", ").join(map(sql.Identifier, columns))
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
    return f"{problem.field}: {ascii(problem.value)[:100]} {problem.why}"


def _as_text(row: Row) -> str:
    """JSON in ASCII: NUL characters and lone surrogates appear escaped, so that a database can hold them."""
    return simplejson.dumps(row, use_decimal=True, default=str, ensure_ascii=True)[:_ROW_CHARACTERS]
