"""The hot statements touch what was claimed or changed, whatever the hub holds: their plans use indexes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
import sqlalchemy as sa

from replicator.core import claim as claims
from replicator.core.diff import diff
from replicator.core.hub_handle import flow_ids
from replicator.core.linking import linking
from replicator.hub import changefeed
from replicator.hub.statements import statements
from replicator.mapping.compiled import Compiled, CompiledMap, compile_folder
from tests.fixtures.hub import SCHEMA
from tests.fixtures.load import claim_all
from tests.fixtures.plans import MANY, explain, scans

pytestmark = pytest.mark.thorough

FEW = 10
_compiled = compile_folder(SCHEMA)
MAPS = [found.name for found in _compiled.maps]
MARKINGS = [(found.name, place) for found in _compiled.maps for place in range(len(found.markings))]


@pytest.fixture
def few(crowded: sa.Connection, compiled: Compiled) -> Iterator[sa.Connection]:
    """A transaction on the crowded hub, rolled back."""
    with crowded.begin() as transaction:
        # A table of some thousand rows is read whole at nearly the price of ten look-ups; in a large hub it is not.
        crowded.execute(sa.text("set local random_page_cost = 1.1"))
        yield crowded
        transaction.rollback()


def claim_few(connection: sa.Connection, root: CompiledMap, ids: Mapping[str, int]) -> claims.Claimed:
    """Claim a few records of the map, as a cycle does; they lie far apart."""
    few = sa.func.greatest(sa.select(sa.func.count()).select_from(root.view.source).scalar_subquery() / FEW, 1)
    wanted = sa.select(root.view.source.c.id.label("record_id")).where(root.view.source.c.id % few == 0).limit(FEW)
    return claim_all(connection, ids[root.name], wanted)


@pytest.mark.parametrize("name", MAPS)
def test_the_diff_reads_only_what_was_claimed(few: sa.Connection, compiled: Compiled, name: str) -> None:
    flow = compiled.map(name)
    ids = flow_ids(few, compiled)
    claimed = claim_few(few, compiled.marked(flow), ids)
    plan = explain(few, diff(flow.view, ids[name], claimed, by_root=flow.root is not None))
    assert scans(few, plan) == []


@pytest.mark.parametrize("name", MAPS)
def test_linking_reads_only_what_was_claimed(few: sa.Connection, compiled: Compiled, name: str) -> None:
    flow = compiled.map(name)
    claimed = claim_few(few, compiled.marked(flow), flow_ids(few, compiled))
    plan = explain(few, linking(flow.view, claimed, by_root=flow.root is not None))
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
    marked = few.execute(sa.select(sa.func.count()).select_from(marking.records.subquery())).scalar_one()
    if marked > MANY:
        pytest.skip(f"{marking.table.fullname} is read by most records, so a change there marks most records")
    assert scans(few, explain(few, marking.records)) == []


def test_claiming_reads_only_what_is_pending(few: sa.Connection, compiled: Compiled) -> None:
    """Most deliveries of a large hub wait for something; claiming must not walk through them."""
    few.execute(
        sa.text("""
            insert into sync.delivery (map_id, record_id, state)
            select m.id, n, (case n % 1000 when 0 then 'pending' else 'not_eligible' end)::sync.delivery_state
            from sync.map m, generate_series(1, 5000) n
        """)
    )
    few.execute(sa.text("analyze sync.delivery"))
    few.execute(claims._sql["make"])
    values = {"map_id": 1, "states": ["pending"], "after": 0, "limit": FEW}
    assert scans(few, explain(few, claims._sql["take"], **values)) == []
    assert scans(few, explain(few, claims._sql["take_due"], map_id=1, limit=FEW)) == []


def window_bounds(connection: sa.Connection) -> dict[str, object]:
    """A kept snapshot that has read all but the last few transactions."""
    kept = connection.execute(
        sa.text("select format('%1$s:%1$s:', max(txid))::pg_snapshot::text from log.change")
    ).scalar_one()
    return {"kept": kept, "now": connection.execute(sa.text("select pg_current_snapshot()::text")).scalar_one()}


@pytest.mark.parametrize("statement", ["any", "window"])
def test_a_window_reads_only_what_is_new(few: sa.Connection, statement: str) -> None:
    plan = explain(few, statements(changefeed.__name__)[statement], **window_bounds(few))
    assert scans(few, plan) == []
