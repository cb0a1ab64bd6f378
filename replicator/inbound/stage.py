"""Stage: the rows of a snapshot as they come, in a temporary table; rows that do not fit are put aside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import psycopg
import sqlalchemy as sa
from psycopg import sql

from replicator.engine.rejected import Bad
from replicator.hub.sql import statements
from replicator.model.schema import EntitySet, column_name
from replicator.model.spec import FieldType
from replicator.model.tables import ETAG, mirror_key
from replicator.systems.connector import FieldProblem, Row

TABLE = "stage"
_COPY_TYPES: dict[FieldType, str] = {
    "text": "text", "integer": "int8", "decimal": "numeric", "boolean": "bool", "date": "date",
    "timestamp": "timestamptz", "uuid": "uuid", "reference": "uuid",
}  # fmt: skip
_sql = statements(__file__)


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
