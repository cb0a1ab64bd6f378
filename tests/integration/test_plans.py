"""The hot statements touch what was claimed or changed, whatever the hub holds: their plans use indexes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from replicator.engine import claim as claims
from replicator.engine.diff import diff, linking
from replicator.engine.maps import map_ids
from replicator.hub import changefeed
from replicator.hub.sql import statements
from replicator.model.compiled import Compiled, CompiledMap, compile_folder
from tests.fixtures.hub import SCHEMA

FEW = 10
MANY = 1_000
SCANS = ("Index Scan", "Index Only Scan", "Bitmap Index Scan")
_compiled = compile_folder(SCHEMA)
MAPS = [found.name for found in _compiled.maps]
OUTBOUND_PARTS = [found.name for found in _compiled.maps if found.root]
MARKINGS = [(found.name, place) for found in _compiled.maps for place in range(len(found.markings))]
Plan = dict[str, Any]


def explain(connection: sa.Connection, statement: sa.Executable, **values: object) -> Plan:
    """The plan of a statement, as the server would run it with these values."""
    text = statement.text if isinstance(statement, sa.TextClause) else None
    if text is not None:
        found = connection.execute(sa.text("explain (format json) " + text), values).scalar_one()
    else:
        assert isinstance(statement, sa.ClauseElement)
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        found = connection.exec_driver_sql("explain (format json) " + str(compiled)).scalar_one()
    plan: Plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


def nodes(plan: Plan) -> Iterator[Plan]:
    """A plan's nodes."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def crowds(connection: sa.Connection) -> set[str]:
    """Names of the tables with many rows; one partition of the log counts as the log."""
    return set(
        connection.execute(
            sa.text("select relname from pg_class where relkind = 'r' and reltuples > :many"), {"many": MANY}
        ).scalars()
    )


def scans(connection: sa.Connection, plan: Plan) -> list[str]:
    """What a plan reads from end to end although it is large."""
    large = crowds(connection)
    indexes = dict(
        connection.execute(
            sa.text("select i.indexrelid::regclass::text, c.relname from pg_index i join pg_class c on c.oid = indrelid")
        ).all()
    )
    found = []
    for node in nodes(plan):
        kind, table = node["Node Type"], node.get("Relation Name")
        table = table or indexes.get(node.get("Index Name", ""))
        whole = kind == "Seq Scan" or (kind in SCANS and "Index Cond" not in node)
        if table in large and whole:
            found.append(f"{kind} on {table} {node.get('Alias', '')} {node.get('Filter', '')}")
    return found


@pytest.fixture
def few(crowded: sa.Connection, compiled: Compiled) -> Iterator[sa.Connection]:
    """A transaction on the crowded hub, rolled back."""
    with crowded.begin() as transaction:
        yield crowded
        transaction.rollback()


def claim_few(connection: sa.Connection, root: CompiledMap, ids: dict[str, int]) -> None:
    """Claim a few records of the map, as a cycle does."""
    wanted = sa.select(root.view.source.c.id).order_by(root.view.source.c.id.desc()).limit(FEW)
    claims.claim_records(connection, ids[root.name], ["pending"], limit=0)
    claims.put_claim(connection, [(record, 1, "pending") for record in connection.execute(wanted).scalars()])
    connection.execute(sa.text("analyze claim"))


@pytest.mark.parametrize("name", MAPS)
def test_the_diff_reads_only_what_was_claimed(few: sa.Connection, compiled: Compiled, name: str) -> None:
    found = compiled.map(name)
    ids = dict(map_ids(few, compiled))
    claim_few(few, compiled.marked(found), ids)
    plan = explain(few, diff(found.view, ids[name], by_root=found.root is not None))
    assert scans(few, plan) == []


@pytest.mark.parametrize("name", MAPS)
def test_linking_reads_only_what_was_claimed(few: sa.Connection, compiled: Compiled, name: str) -> None:
    found = compiled.map(name)
    ids = dict(map_ids(few, compiled))
    claim_few(few, compiled.marked(found), ids)
    plan = explain(few, linking(found.view, by_root=found.root is not None))
    assert scans(few, plan) == []


@pytest.mark.parametrize(("name", "place"), MARKINGS)
def test_a_marking_reads_only_what_changed(few: sa.Connection, compiled: Compiled, name: str, place: int) -> None:
    marking = compiled.map(name).markings[place]
    few.execute(
        sa.text("""
            create temporary table changed on commit drop as
            select relation::oid as relation, record_id, seq, operation::text as operation
            from log.change where relation = cast(:table as regclass) order by seq desc limit :few
        """),
        {"table": marking.table.fullname, "few": FEW},
    )
    few.execute(sa.text("analyze changed"))
    assert scans(few, explain(few, marking.records)) == []
