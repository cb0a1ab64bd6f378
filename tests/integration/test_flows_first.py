"""First deliveries, also after a map was changed: updates beyond the budget are held; what was put back is as new."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from replicator.cycle import Cycle
from replicator.mapping.compiled import Compiled, compile_folder
from replicator.solution.generate import create_objects, drop_objects
from replicator.solution.migrate import MigrationTarget, migrate
from tests.fixtures.hub import SCHEMA, SOLUTION
from tests.fixtures.in_between import CUSTOMERS, an_hour_later
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

LINES, PERSONS = "CDSSalesQuotationLines", "CDSContactPersonsV2"


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
    quotes = [systems.quote(f"Q-{number}", account, ["P-1", "P-1"]) for number in range(8)]
    systems.settle()
    change_map(systems, hub, tmp_path / "schema", f"ops/{LINES}.yaml", "SalesPrice: price", "SalesPrice: amount")
    for quote in quotes:
        with systems.revising(quote) as draft:
            for place in (1, 2):
                systems.edit_line(draft, place, extendedamount=25)
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


def test_a_first_delivery_is_not_let_through_before_everything_that_feeds_it_was_read(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contacts, of which many are customers that ops has already, cannot be read at first; accounts can."""
    systems.reference_data()
    wire = systems.wire["sales"]
    send = wire.handle_request

    def act(request: httpx2.Request) -> httpx2.Response:
        if request.method == "GET" and request.url.path.endswith("/contacts"):
            return httpx2.Response(403, json={"error": {"code": "", "message": "no privilege"}})
        return send(request)

    systems.account("A-0")
    for number in range(20):
        person = {"PartyType": "Person", "PersonFirstName": "Ada", "PersonLastName": "Old name"}
        systems.ops.put(CUSTOMERS, {"CustomerAccount": f"K-{number}", "CustomerGroupId": "10", **person})
        systems.contact(f"K-{number}", msdynce_isactivecustomer=True)
    with monkeypatch.context() as forbidden:
        forbidden.setattr(wire, "handle_request", act)
        systems.once()
    an_hour_later(systems)
    systems.once()
    assert systems.held("ops", CUSTOMERS, CustomerAccount="A-0")
    assert len(systems.held("ops", CUSTOMERS, PersonLastName="Old name")) == 20


def drop(systems: Systems, hub: sa.Engine, folder: Path, name: str, cut: Callable[[str], str]) -> None:
    """Another program works on the hub, which lacks a part of a file, or the file where nothing is left of it."""
    shutil.copytree(SCHEMA, folder)
    path = folder / name
    text = cut(path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8") if text else path.unlink()
    work_with(systems, hub, compile_folder(folder))


def work_with(systems: Systems, hub: sa.Engine, compiled: Compiled) -> None:
    with hub.begin() as connection:
        drop_objects(connection)
        create_objects(connection, compiled)
    systems.cycle = Cycle(replace(systems.cycle.world, compiled=compiled), systems.connection)


def test_what_changed_while_a_map_was_dropped_goes_out_when_it_is_put_back(
    systems: Systems, hub: sa.Engine, compiled: Compiled, tmp_path: Path
) -> None:
    systems.reference_data()
    account = systems.account("A-1")
    contact = systems.contact("K-1", account)
    gone = systems.contact("K-2", account)
    systems.settle()
    drop(systems, hub, tmp_path / "schema", f"ops/{PERSONS}.yaml", lambda text: text.partition("maps:")[0])
    systems.sales.put("contacts", {"contactid": contact["contactid"], "firstname": "Grace"})
    systems.sales.delete("contacts", gone["contactid"])
    systems.contact("K-3", account)
    systems.settle()
    work_with(systems, hub, compiled)
    systems.settle()
    people = {
        row["ContactPersonPartyNumber"]: row["FirstName"] for row in systems.held("ops", PERSONS, IsInactive="No")
    }
    assert people == {"K-1": "Grace", "K-3": "Ada"}


def test_a_set_whose_mirror_was_dropped_and_made_again_is_read_whole_before_anything_is_sent(
    systems: Systems, hub: sa.Engine, compiled: Compiled
) -> None:
    """A delta would show only what has changed since."""
    systems.reference_data()
    for number in ("A-1", "A-2", "A-3"):
        systems.account(number)
    systems.settle()
    remake(systems, hub, compiled, "sales.accounts", "log.sales_accounts")
    before = len(systems.ops.records("CustomersV3"))
    systems.settle()
    assert systems.rows("select count(*) as n from sales.accounts") == [{"n": 3}]
    assert len(systems.ops.records("CustomersV3")) == before == 3
    assert systems.rows("select * from sync.proposed_delete") == []


def test_a_set_with_a_column_that_was_dropped_and_made_again_is_read_whole(
    systems: Systems, hub: sa.Engine, compiled: Compiled
) -> None:
    systems.reference_data()
    systems.account("A-1", telephone1="030 1")
    systems.settle()
    with hub.begin() as connection:
        drop_objects(connection)
        for table in ("sales.accounts", "log.sales_accounts"):
            connection.execute(sa.text(f"alter table {table} drop column telephone1"))
            connection.execute(sa.text(f"alter table {table} add column telephone1 text"))
        create_objects(connection, compiled)
    systems.settle()
    assert systems.rows("select telephone1 from sales.accounts") == [{"telephone1": "030 1"}]
    (customer,) = systems.ops.records("CustomersV3")
    assert customer["PrimaryContactPhone"] == "030 1"


def remake(systems: Systems, hub: sa.Engine, compiled: Compiled, *tables: str) -> None:
    """The tables, and the crosswalks of the first one, as a revision drops them and another makes them again."""
    known = compiled.tables.metadata.tables
    links = [name for name in known if name.startswith(f"sync.link_{tables[0].replace('.', '_')}__")]
    with hub.begin() as connection:
        drop_objects(connection)
        for name in (*tables, *links):
            known[name].drop(connection)
            known[name].create(connection)
        create_objects(connection, compiled)
    systems.cycle = Cycle(systems.cycle.world, systems.connection)
