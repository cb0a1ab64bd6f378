"""The tables that follow from ``schema/`` against those of the hub: what no revision has made yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations
from alembic.ddl.impl import ComparisonResult
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.migration import MigrationContext
from alembic.operations import ops

from replicator.errors import HubMismatch
from replicator.hub import sync_tables_for_people
from replicator.mapping.compiled import Compiled

MOST_TOLD = 5
_SYSTEMS = sa.text("select distinct system from sync.map")
_PARTITION = re.compile(r"_default$|_\d{8}$")


class HubImpl(PostgresqlImpl):
    """PostgreSQL, with CHECK constraints compared by what they allow; Alembic takes the last class of a dialect."""

    __dialect__ = "postgresql"

    def compare_check_constraint(
        self, metadata_constraint: sa.CheckConstraint, reflected_constraint: sa.CheckConstraint
    ) -> ComparisonResult:
        wanted, there = constants(str(metadata_constraint.sqltext)), constants(str(reflected_constraint.sqltext))
        return ComparisonResult.Equal() if wanted == there else ComparisonResult.Different(f"{there} to {wanted}")


def constants(expression: str) -> list[str]:
    """The texts and numbers in an expression, sorted: all that differs between two constraints of one name."""
    return sorted(re.findall(r"'(?:[^']|'')*'|\b\d+\b", expression))


def options(connection: sa.Connection, compiled: Compiled, *, program: bool = True) -> dict[str, Any]:
    """How Alembic compares: the solution's tables and, where wished, the program's; nobody else's."""
    schemas = {"common", "log", "sync", *compiled.schema.systems, *systems_known(connection)}
    others = {"sync.alembic_version", *(() if program else sync_tables_for_people.metadata.tables)}

    def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
        if kind == "schema":
            return name in schemas
        if kind == "table":
            return parents["schema_qualified_table_name"] not in others and not _PARTITION.search(name or "")
        return True

    own = [compiled.tables.metadata]
    return {
        "target_metadata": [sync_tables_for_people.metadata, *own] if program else own,
        "include_schemas": True,
        "include_name": include_name,
        "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
    }


def systems_known(connection: sa.Connection) -> set[str]:
    """The systems that the hub has or once had."""
    known = sa.inspect(connection).has_table("map", "sync")
    return set(connection.execute(_SYSTEMS).scalars()) if known else set()


def unmade(connection: sa.Connection, compiled: Compiled) -> list[str]:
    """What ``schema/`` describes and the hub's tables do not have, in words. What they have besides may stay."""
    opts = options(connection, compiled, program=False) | {"version_table_schema": "sync"}
    context = MigrationContext.configure(connection, opts=opts)
    found = produce_migrations(context, opts["target_metadata"])
    assert found.upgrade_ops is not None
    return [words(each) for each in flattened(found.upgrade_ops.ops) if _matters(each)]


def flattened(operations: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    """The operations one by one, those on one table too."""
    for each in operations:
        if isinstance(each, ops.OpContainer):
            yield from flattened(each.ops)
        else:
            yield each


def only_tells(operation: ops.MigrateOperation) -> bool:
    """Whether it changes a comment alone; those are made anew at every migration, and need no revision."""
    if isinstance(operation, ops.AlterColumnOp):
        return not (operation.has_changes() and _without_comment(operation))
    return isinstance(operation, ops.CreateTableCommentOp | ops.DropTableCommentOp)


def _without_comment(operation: ops.AlterColumnOp) -> bool:
    changed = operation.modify_type is not None or operation.modify_nullable is not None
    return changed or operation.modify_server_default is not False


def _matters(operation: ops.MigrateOperation) -> bool:
    """Whether the hub cannot be worked on without it. A table, column or index too many is in nobody's way."""
    if isinstance(operation, ops.DropColumnOp):
        column = operation.to_column()
        return not column.nullable and column.server_default is None
    return not (only_tells(operation) or isinstance(operation, ops.DropTableOp | ops.DropIndexOp))


def words(operation: ops.MigrateOperation) -> str:
    """What it changes, for people."""
    table = getattr(operation, "table_name", None) or getattr(operation, "source_table", "")
    schema = getattr(operation, "schema", None) or getattr(operation, "kw", {}).get("source_schema")
    name = f"{schema}.{table}"
    if isinstance(operation, ops.CreateTableOp):
        return f"table {name}"
    if isinstance(operation, ops.AddColumnOp):
        return f"column {name}.{operation.column.name}"
    if isinstance(operation, ops.AlterColumnOp | ops.DropColumnOp):
        return f"column {name}.{operation.column_name}"
    if isinstance(operation, ops.CreateIndexOp):
        return f"index {operation.index_name} of {name}"
    return f"constraint {getattr(operation, 'constraint_name', '')} of {name}"


def check_tables(connection: sa.Connection, compiled: Compiled) -> None:
    """Raise HubMismatch when ``schema/`` describes tables, columns or constraints that no revision has made."""
    if found := unmade(connection, compiled):
        more = f" and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
        raise HubMismatch(
            f"schema/ describes what no revision has made: {', '.join(found[:MOST_TOLD])}{more}",
            hint='replicator revise -m "what changes", look at the file that it writes, then replicator migrate',
        )
