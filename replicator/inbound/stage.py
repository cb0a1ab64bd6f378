"""Stage: the rows of a snapshot as they come, in a temporary table; rows that do not fit are quarantined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import psycopg
import sqlalchemy as sa
from psycopg import sql

from replicator.connectors.protocol import FieldProblem, Row
from replicator.core.quarantine import Bad
from replicator.inbound.duplicate_rows import without_contradictions
from replicator.mapping.key_comparison import mirror_key
from replicator.mapping.language import FieldType
from replicator.mapping.schema import EntitySet, column_name
from replicator.mapping.tables import ETAG

_COPY_TYPES: dict[FieldType, str] = {
    "text": "text", "integer": "int8", "decimal": "numeric", "boolean": "bool", "date": "date",
    "timestamp": "timestamptz", "uuid": "uuid",
}  # fmt: skip


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
    """COPY the rows of a page into the stage; the rows that do not fit come back."""
    bad: list[Bad] = []
    good = without_contradictions(entity_set, list(_decoded(decode, rows, bad)), bad)
    columns = [*(column_name(name) for name in entity_set.spec.fields), ETAG]
    types = [*(_COPY_TYPES[field.holds] for field in entity_set.spec.fields.values()), "text"]
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(_name(mirror)), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with _driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        write = copy.write_row
        for _, values in good:
            write(values)
    return bad


def _decoded(
    decode: Callable[[Row], Sequence[object]], rows: Iterable[Row], bad: list[Bad]
) -> Iterator[tuple[Row, Sequence[object]]]:
    for row in rows:
        try:
            yield row, decode(row)
        except FieldProblem as problem:
            bad.append(Bad(row, problem))
