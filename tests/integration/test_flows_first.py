"""The first delivery after a map was changed: what it would update is counted, and held beyond the budget."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa

from replicator.cycle import Cycle
from replicator.mapping.compiled import compile_folder
from replicator.solution.migrate import MigrationTarget, migrate
from tests.fixtures.hub import SCHEMA, SOLUTION
from tests.fixtures.world import Systems

LINES = "CDSSalesQuotationLines"


def change_map(systems: Systems, hub: sa.Engine, folder: Path, name: str, old: str, new: str) -> None:
    """Another program is installed, whose map says something else, and works on the same hub."""
    shutil.copytree(SCHEMA, folder)
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")
    compiled = compile_folder(folder)
    migrate(MigrationTarget(hub, compiled, SOLUTION))
    systems.cycle = Cycle(replace(systems.cycle.world, compiled=compiled), systems.connection)


def prices(systems: Systems) -> set[object]:
    return {line["SalesPrice"] for line in systems.ops.records(LINES)}


def test_a_changed_map_of_lines_that_would_rewrite_many_quotes_waits_for_a_person(
    systems: Systems, hub: sa.Engine, tmp_path: Path
) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    account = systems.account("A-1")
    for number in range(8):
        systems.quote(f"Q-{number}", account, ["P-1", "P-1"])
    systems.settle()
    change_map(systems, hub, tmp_path / "schema", f"ops/{LINES}.yaml", "SalesPrice: price", "SalesPrice: amount")
    for line in systems.sales.records("quotedetails"):
        systems.sales.put("quotedetails", {"quotedetailid": line["quotedetailid"], "extendedamount": 25})
    systems.quote("Q-new", account, ["P-1"])
    systems.settle()
    assert prices(systems) == {10}
    held = systems.rows("select record, state, reason from sync.failed order by record")
    assert [row["record"] for row in held] == [f"Q-{number}" for number in range(8)]
    assert {row["reason"] for row in held} == {
        "the first delivery would update 8 of 8 records, and at most 5 go ahead unasked"
    }
    assert len(systems.held("ops", LINES, SalesQuotationNumber="Q-new")) == 1, "new records go on"
    systems.run("select sync.approve('quote > ops.CDSSalesQuotationHeaders')")
    systems.settle()
    assert prices(systems) == {25, 10}
    assert systems.why("failed") == {}
