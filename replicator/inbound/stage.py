"""Stage: the rows of a snapshot as they come, in a temporary table; rows that do not fit are quarantined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import sqlalchemy as sa
from psycopg import sql

from replicator.connectors.protocol import FieldProblem, Row
from replicator.core.quarantine import Bad
from replicator.inbound.duplicate_rows import Decoded, without_contradictions
from replicator.inbound.temporary_tables import PAGE, driver, stage_name
from replicator.mapping.key_comparison import mirror_key
from replicator.mapping.language import FieldType
from replicator.mapping.schema import EntitySet, column_name
from replicator.mapping.tables import DIGEST, ETAG

COPY_TYPES: dict[FieldType, str] = {
    "text": "text", "integer": "int8", "decimal": "numeric", "boolean": "bool", "date": "date",
    "timestamp": "timestamptz", "uuid": "uuid",
}  # fmt: skip


def make_stage(connection: sa.Connection, mirror: sa.Table) -> None:
    """Make the table empty. It outlives transactions, so that no transaction lasts as long as a read.

    A session keeps it: emptying a table is much less work than making one.
    """
    columns = [sql.Identifier(column.name) for column in mirror.columns if column.name != "id"]
    make = sql.SQL("create temporary table if not exists {} as select {}, 0 as {} from {} with no data").format(
        sql.Identifier(stage_name(mirror)), sql.SQL(", ").join(columns), sql.Identifier(PAGE),
        sql.Identifier(mirror.schema or "", mirror.name),
    )  # fmt: skip
    driver(connection).execute(make)
    driver(connection).execute(sql.SQL("truncate {}").format(sql.Identifier(stage_name(mirror))))


def drop_stage(connection: sa.Connection, mirror: sa.Table) -> None:
    """Give back the room of a large one."""
    driver(connection).execute(sql.SQL("drop table {}").format(sql.Identifier(stage_name(mirror))))


def analyze_stage(connection: sa.Connection, entity_set: EntitySet, mirror: sa.Table) -> None:
    """Let the planner know what is in it, as far as joins need it."""
    keys = sql.SQL(", ").join(sql.Identifier(column) for column in mirror_key(entity_set))
    driver(connection).execute(sql.SQL("analyze {} ({})").format(sql.Identifier(stage_name(mirror)), keys))


def copy_rows(
    connection: sa.Connection,
    entity_set: EntitySet,
    mirror: sa.Table,
    decode: Callable[[Row], Sequence[object]],
    rows: Iterable[tuple[Row, bytes | None]],
    page: int,
) -> list[Bad]:
    """COPY rows of a page, each with the digest of its bytes, into the stage; those that do not fit come back."""
    bad: list[Bad] = []
    good = without_contradictions(entity_set, list(_decoded(decode, rows, bad)), bad)
    columns = [*(column_name(name) for name in entity_set.spec.fields), ETAG, DIGEST, PAGE]
    types = [*(COPY_TYPES[field.holds] for field in entity_set.spec.fields.values()), "text", "bytea", "int4"]
    statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
        sql.Identifier(stage_name(mirror)), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with driver(connection).cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(types)
        write = copy.write_row
        for _, values, digest in good:
            write((*values, digest, page))
    return bad


def _decoded(
    decode: Callable[[Row], Sequence[object]], rows: Iterable[tuple[Row, bytes | None]], bad: list[Bad]
) -> Iterator[Decoded]:
    for row, digest in rows:
        try:
            yield Decoded(row, decode(row), digest)
        except FieldProblem as problem:
            bad.append(Bad(row, problem))
