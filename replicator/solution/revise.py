"""Writes the next revision of a solution: what ``schema/`` describes and the hub's tables do not have."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import render_op, renderers
from alembic.migration import MigrationContext
from alembic.operations import ops
from alembic.script import ScriptDirectory

from replicator.errors import HubMismatch
from replicator.hub.product_sql import BRANCH
from replicator.mapping.compiled import Compiled
from replicator.solution.migrate import SOLUTION_BRANCH, MigrationTarget, alembic_config, scripts
from replicator.solution.table_comparison import flattened, only_tells, systems_known

_CAST = sa.text("""
select castcontext::text from pg_cast
where castsource = cast(:source as regtype) and casttarget = cast(:target as regtype)
""")
_ORDER: tuple[tuple[type[ops.MigrateOperation], ...], ...] = (
    (ops.DropIndexOp, ops.DropConstraintOp),  # what stands on a column goes before the column changes
    (ops.CreateTableOp,),
    (ops.AddColumnOp, ops.AlterColumnOp),
    (ops.CreateIndexOp, ops.AddConstraintOp),
    (ops.DropColumnOp,),
    (ops.DropTableOp,),
)


class MarkedOperation(ops.MigrateOperation):
    """An operation that a person has to look at before it is run, and why."""

    def __init__(self, operation: ops.MigrateOperation, why: str, using: str | None = None) -> None:
        self.operation, self.why, self.using = operation, why, using


@renderers.dispatch_for(MarkedOperation)
def _render(context: AutogenContext, marked: MarkedOperation) -> list[str]:
    *lines, last = render_op(context, marked.operation)
    if marked.using is not None:
        last = f"{last[:-1]},\n           postgresql_using={marked.using!r})"
    return [f"# A person has to look: {marked.why}", *lines, last]


def revise(target: MigrationTarget, message: str) -> Path | None:
    """Write the revision and return its path; None when there is nothing to write.

    Raises HubMismatch unless every revision that is there was run on the hub: it is compared with what these made.
    """
    found = scripts(target.solution)
    _check_at_head(target, found)
    config = alembic_config(target)
    config.attributes |= {"writes": False, "revising": True}
    config.cmd_opts = Namespace(quiet=True)  # what was written is for the caller to tell
    made = command.revision(
        config, message, autogenerate=True, head=f"{SOLUTION_BRANCH}@head", rev_id=_next(found),
        version_path=str(target.solution / "migrations" / "versions"),
    )  # fmt: skip
    return None if made is None or isinstance(made, list) else Path(made.path)


def _check_at_head(target: MigrationTarget, found: ScriptDirectory) -> None:
    with target.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table_schema": "sync"})
        waiting = sorted(set(found.get_heads()) - set(context.get_current_heads()))
    if waiting:
        raise HubMismatch(
            f"revisions have not been run on this hub, up to {' and '.join(waiting)}",
            hint="replicator migrate, then again; where schema/ has moved on since the last one was written and it has "
            "run nowhere yet, delete that file instead",
        )


def _next(found: ScriptDirectory) -> str:
    """The number of the next revision of the solution's branch."""
    own = [each.revision for each in found.walk_revisions() if BRANCH not in each.branch_labels]
    numbers = (int(each) for each in own if each.isdecimal())
    return f"{max(numbers, default=0) + 1:04}"


def complete(context: MigrationContext, _: object, directives: list[ops.MigrationScript]) -> None:
    """Alembic's hook: make what it found a revision that runs as it is, or none when there is nothing to change."""
    script = directives[0]
    if script.upgrade_ops is None or script.downgrade_ops is None:
        return
    connection, compiled = context.connection, context.opts["compiled"]
    assert connection is not None
    up, down = (_wanted(container.ops) for container in (script.upgrade_ops, script.downgrade_ops))
    new, old = _schemas(connection, compiled)
    if context.opts["leave_out_empty"] and not (up or new or old):
        directives.clear()
        return
    script.upgrade_ops.ops = [*map(_create, new), *_marked(connection, up), *map(_drop, old)]
    # What is taken back was new, so that only its casts are worth a look.
    script.downgrade_ops.ops = [*map(_create, old), *_cast(connection, down), *map(_drop, new)]


def _wanted(operations: Iterable[ops.MigrateOperation]) -> list[ops.MigrateOperation]:
    """The operations that change tables, in an order in which they can be run."""

    def place(operation: ops.MigrateOperation) -> int:
        return next((i for i, kinds in enumerate(_ORDER) if isinstance(operation, kinds)), len(_ORDER))

    return sorted((each for each in flattened(operations) if not only_tells(each)), key=place)


def _schemas(connection: sa.Connection, compiled: Compiled) -> tuple[list[str], list[str]]:
    """The schemas of new systems, and of those that are gone."""
    there = set(sa.inspect(connection).get_schema_names())
    wanted = set(compiled.schema.systems)
    return sorted(wanted - there), sorted((systems_known(connection) & there) - wanted)


def _create(schema: str) -> ops.ExecuteSQLOp:
    comment = f"Mirrors of the entity sets of {schema}: the last image known of each record"
    return ops.ExecuteSQLOp(f"create schema {schema}; comment on schema {schema} is '{comment}'")


def _drop(schema: str) -> ops.ExecuteSQLOp:
    return ops.ExecuteSQLOp(f"drop schema {schema}")


def _cast(connection: sa.Connection, operations: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    for each in operations:
        retyped = isinstance(each, ops.AlterColumnOp) and each.modify_type is not None
        yield _retyped(connection, cast("ops.AlterColumnOp", each)) if retyped else each


def _marked(connection: sa.Connection, operations: Iterable[ops.MigrateOperation]) -> Iterator[ops.MigrateOperation]:
    for each in _cast(connection, operations):
        if isinstance(each, ops.AddColumnOp) and not each.column.nullable and each.column.server_default is None:
            yield MarkedOperation(each, "rows that are there already need a value before this can be run")
        elif isinstance(each, ops.AlterColumnOp) and each.modify_nullable is False:
            yield MarkedOperation(each, "rows that are there already and have no value need one before this can be run")
        elif isinstance(each, ops.DropColumnOp | ops.DropTableOp):
            yield MarkedOperation(each, "what it holds is gone for good")
        else:
            yield each


def _retyped(connection: sa.Connection, operation: ops.AlterColumnOp) -> ops.MigrateOperation:
    """A change of type, with the cast that PostgreSQL does not do by itself."""
    assert operation.existing_type is not None
    assert operation.modify_type is not None
    source, target = (each.compile(connection.dialect) for each in (operation.existing_type, operation.modify_type))
    kind = connection.execute(_CAST, {"source": source, "target": target}).scalar()
    if kind == "i" or target == "TEXT":
        return operation
    change = f"{operation.schema}.{operation.table_name}.{operation.column_name} from {source} to {target}"
    if kind == "a":
        return MarkedOperation(operation, f"{change}, by which values may lose what does not fit")
    column = connection.dialect.identifier_preparer.quote(operation.column_name)
    text = f"nullif(btrim({column}), '')" if source == "TEXT" else column if kind == "e" else f"{column}::text"
    why = f"{change}, which PostgreSQL does not do by itself; a value that the cast does not take stops the migration"
    return MarkedOperation(operation, why, using=f"{text}::{target.lower()}")
