"""Plain SQL in maps: whether PostgreSQL understands it, and whether it gives the type of its field."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import sqlalchemy as sa
from psycopg import sql

from replicator.errors import ReplicatorError, SchemaError
from replicator.mapping.compiled import Compiled
from replicator.mapping.literals import word
from replicator.mapping.plain_sql import PlainSql
from replicator.solution.sql_text import create_view, execute

_WHOLE = {"smallint", "integer", "bigint"}
_GIVES = {
    "text": {"text", "character varying", "character"},
    "integer": _WHOLE,
    "decimal": {"numeric", *_WHOLE},
    "timestamp": {"timestamp with time zone"},
}
"""PostgreSQL's types that a field of ours takes as they are, where they are not just called as ours."""
_TYPE = sa.text("select format_type(atttypid, null) from pg_attribute where attrelid = 'desired.tried'::regclass")


def check_expressions(connection: sa.Connection, compiled: Compiled) -> None:
    """Raise a SchemaError that names each plain SQL expression that no view can be made of, or of another type."""
    problems = [problem.message for problem in _problems(connection, compiled)]
    if problems:
        raise SchemaError("\n".join(problems))


def _problems(connection: sa.Connection, compiled: Compiled) -> Iterator[ReplicatorError]:
    for flow in compiled.maps:
        for at, expression in flow.view.paths.expressions:
            try:
                given = _type_of(connection, expression)
            except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError) as problem:
                yield flow.mapping.problem(f"PostgreSQL refuses it: {problem.diag.message_primary}", *at)
                continue
            wanted = word(expression.type)
            if given not in _GIVES.get(wanted, {wanted}):
                yield flow.mapping.problem(f"it gives {given}, and {wanted} is wanted", *at)


def _type_of(connection: sa.Connection, expression: PlainSql) -> str:
    """What PostgreSQL says the expression gives: a view is read and typed without a row being computed."""
    row = sa.values(sa.column("value", expression.type), name="one").data([(expression.over_nulls(),)])
    with connection.begin_nested() as tried:
        execute(connection, create_view(sql.Identifier("desired", "tried"), sa.select(row)))
        given = str(connection.execute(_TYPE).scalar_one())
        tried.rollback()
    return given
