"""A restored hub knows that it was restored, and writes nothing before it has read everything again."""

from __future__ import annotations

import pytest

from replicator.operate import hub_queries
from replicator.operate.planning.rehearse import make_plan
from replicator.operate.reconciliation import Reconciliation
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"
LATER = {"name": "Changed after the backup"}


def restored(systems: Systems) -> None:
    """A hub with one account, as an older backup has it: both systems have moved on together since."""
    systems.reference_data()
    systems.account("A-1")
    systems.settle()
    (account,) = systems.held("sales", "accounts", accountnumber="A-1")
    systems.sales.put("accounts", {"accountid": account["accountid"], **LATER})
    (customer,) = systems.held("ops", "CustomersV3", CustomerAccount="A-1")
    systems.ops.put("CustomersV3", {**customer, "OrganizationName": LATER["name"]})
    systems.run("update sync.consumer set cluster = 'the place of the backup'")
    for wire in systems.wire.values():
        wire.sent.clear()


def test_a_restored_hub_reads_both_systems_whole_before_it_writes_anything(systems: Systems) -> None:
    restored(systems)
    systems.cycle.prepare()
    assert systems.rows("select * from sync.entity_set where token is not null or whole_at is not null") == []
    systems.cycle.read(["ops"])  # the target first, as a daemon's thread may
    systems.cycle.merge()
    assert not systems.cycle.deliver(again=True).progress
    systems.cycle.read(["sales"])
    assert not systems.cycle.deliver(again=True).progress, "what was read is not merged yet"
    systems.settle()
    sent = [value for wire in systems.wire.values() for each in wire.sent for value in each.body.values()]
    assert "Account A-1" not in sent, "what the backup held"
    assert systems.rows("select reread_since from sync.consumer") == [{"reread_since": None}]
    (held,) = systems.held("ops", "CustomersV3", CustomerAccount="A-1")
    assert held["OrganizationName"] == LATER["name"]


def test_a_hub_that_was_restored_from_a_cluster_with_more_transactions_reads_on(systems: Systems) -> None:
    """A dump keeps what its log says of transactions, and a new cluster begins to count them anew."""
    restored(systems)
    systems.run("update log.change set txid = (txid::text::bigint + 1000000000)::text::xid8")
    systems.settle()
    (held,) = systems.held("ops", "CustomersV3", CustomerAccount="A-1")
    assert held["OrganizationName"] == LATER["name"]
    assert systems.rows("select name from common.account") == [LATER]
    systems.account("A-2")
    systems.settle()
    assert systems.held("ops", "CustomersV3", CustomerAccount="A-2")


def test_a_restored_hub_says_that_it_has_read_nothing_yet(systems: Systems) -> None:
    restored(systems)
    systems.cycle.prepare()
    assert {row["last_snapshot"] for row in systems.rows("select last_snapshot from sync.status")} == {None}


def test_a_hub_that_stays_where_it_is_reads_on(systems: Systems) -> None:
    systems.reference_data()
    systems.settle()
    before = systems.rows("select whole_at from sync.entity_set order by system, entity_set")
    systems.cycle.prepare()
    assert systems.rows("select whole_at from sync.entity_set order by system, entity_set") == before


def known(systems: Systems, key: str) -> list[str]:
    """What the orphans are called of which this is said, by set and record."""
    return [f"{row['entity_set']} {row[key]}" for row in systems.rows("select * from sync.orphans order by 2, 4")]


def lost_some(systems: Systems) -> None:
    """A hub as its backup has it: ops had a customer of its own since ever, and more came after the backup.

    A-2 and a line of the quotation were written by the hub, and their sources are gone since; A-3 is on both sides.
    """
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    systems.ops.put("CustomersV3", customer("OWN-1"))
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    (line,) = systems.held("ops", "CDSSalesQuotationLines")
    systems.ops.put("CDSSalesQuotationLines", {**line, "LineCreationSequenceNumber": 2})
    (delivered,) = systems.held("ops", "CustomersV3", CustomerAccount="A-1")
    for company, number in (("usmf", "A-2"), ("dat", "A-2"), ("usmf", "A-3")):
        later = {"dataAreaId": company, "CustomerAccount": number, "PartyNumber": ""}
        systems.ops.put("CustomersV3", {**delivered, **later})
    systems.account("A-3")
    systems.run("update sync.consumer set cluster = 'the place of the backup'")
    systems.settle()


def customer(number: str) -> dict[str, object]:
    return {"dataAreaId": "usmf", "CustomerAccount": number, "PartyType": "Organization", "OrganizationName": number}


def standing(systems: Systems) -> tuple[bool, list[tuple[str, int]]]:
    """Whether the hub needs attention, and the orphans that its status counts."""
    with systems.connection.begin():
        found = hub_queries.status(systems.connection)
    counts = [(f"{row['system']}.{row['entity_set']}", row["records"]) for row in found["orphaned"]]
    return hub_queries.needs_attention(found), sorted(counts)


BOTH = [("ops.CDSSalesQuotationLines", 1), ("ops.CustomersV3", 1)]


def test_what_a_restored_hub_may_have_written_itself_and_nothing_explains_is_shown_by_all(systems: Systems) -> None:
    """Not what a target had before, what belongs to another company, or what has a source."""
    lost_some(systems)
    assert known(systems, "system_key") == ["CDSSalesQuotationLines usmf,Q-1,2", "CustomersV3 usmf,A-2"]
    assert standing(systems) == (True, BOTH)
    (cause,) = systems.rows("select * from sync.causes where flow = 'ops.CustomersV3'")
    assert (cause["state"], cause["records"], cause["record"]) == ("orphaned", 1, "A-2")
    assert systems.rows("select record from sync.failed where state = 'orphaned' order by 1") == [
        {"record": "2"}, {"record": "A-2"},
    ]  # fmt: skip
    (line,) = systems.rows("select state, said from sync.root_causes('ops.CustomersV3', 'usmf,A-2')")
    assert line["state"] == "orphaned"
    assert [row["title"] for row in systems.rows("select title from sync.alarms where root_cause ~ 'restored'")]
    found = Reconciliation(systems.cycle.world, systems.connection).run(repair=False, limit=10)
    assert found.explained == {"orphaned": 2}
    assert found.in_step
    assert not found.settled
    plan = make_plan(systems.cycle.world)
    assert [(each.flow, each.state, each.records) for each in plan.standing] == [
        (name, "orphaned", records) for name, records in BOTH
    ]
    assert plan.stays == 2


def test_a_person_says_of_an_orphan_that_it_is_fine_and_takes_that_back(systems: Systems) -> None:
    lost_some(systems)
    (cause,) = systems.rows("select cause from sync.causes where flow = 'ops.CustomersV3'")
    assert systems.rows("select sync.skip(of_cause => :cause) as records", **cause) == [{"records": 1}]
    assert standing(systems) == (True, BOTH[:1])
    assert systems.rows("select sync.skip(of_flow => 'ops.CDSSalesQuotationLines') as records") == [{"records": 1}]
    assert standing(systems) == (False, [])
    assert systems.why("skipped").keys() == {"A-2", "2"}
    assert systems.rows("select * from sync.root_causes('ops.CustomersV3', 'usmf,A-2')") == []
    systems.settle()
    assert standing(systems) == (False, [])
    assert systems.rows("select sync.retry(of_record => 'A-2') as records") == [{"records": 1}]
    assert standing(systems) == (True, BOTH[1:])
    decided = systems.rows("select action, records from sync.decision order by id")
    assert [(row["action"], row["records"]) for row in decided] == [("skip", 1), ("skip", 1), ("retry", 1)]


def test_an_orphan_is_none_any_more_when_it_is_deleted_or_its_source_comes(systems: Systems) -> None:
    lost_some(systems)
    systems.account("A-2")
    systems.ops.delete("CDSSalesQuotationLines", "usmf", 2, "Q-1")
    systems.settle()
    assert standing(systems) == (False, [])
    assert systems.held("ops", "CustomersV3", CustomerAccount="A-2", OrganizationName="Account A-2")
    assert systems.rows("select * from sync.orphan") != []
    systems.cycle.maintain()
    assert systems.rows("select * from sync.orphan") == []


def numbered_by_ops(systems: Systems) -> None:
    """Quote Q-2 as ops holds it since the backup: its lines bear numbers of ops, and the hub knows nothing of them."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    account = systems.account("A-1")
    systems.quote("Q-1", account, ["P-1", "P-1"])
    systems.settle()
    (header,) = systems.held("ops", HEADERS)
    systems.ops.put(HEADERS, {**header, "SalesQuotationNumber": "Q-2", "SalesQuotationName": "Quote Q-2"})
    for place, line in enumerate(systems.held("ops", LINES), 100_001):
        systems.ops.put(LINES, {**line, "SalesQuotationNumber": "Q-2", "LineCreationSequenceNumber": place})
    systems.quote("Q-2", account, ["P-1", "P-1"])
    systems.run("update sync.consumer set cluster = 'the place of the backup'")
    systems.once()


def test_lines_that_ops_numbered_after_the_backup_are_not_made_again_before_somebody_decides(systems: Systems) -> None:
    numbered_by_ops(systems)
    assert len(systems.held("ops", LINES, SalesQuotationNumber="Q-2")) == 2
    (waits,) = systems.why("blocked").values()
    assert waits == (
        "a decision about ops.CDSSalesQuotationLines usmf,Q-2,100001, usmf,Q-2,100002, "
        "which this restored hub may have made (sync.orphans)"
    )
    for place in (100_001, 100_002):
        systems.ops.delete(LINES, "usmf", place, "Q-2")
    systems.settle()
    numbers = [line["LineCreationSequenceNumber"] for line in systems.held("ops", LINES, SalesQuotationNumber="Q-2")]
    assert sorted(numbers) == [1, 2]


def test_lines_of_ops_own_are_left_beside_ours_when_a_person_says_that_they_are_fine(systems: Systems) -> None:
    numbered_by_ops(systems)
    systems.run("select sync.skip('ops.CDSSalesQuotationLines')")
    systems.once()
    assert len(systems.held("ops", LINES, SalesQuotationNumber="Q-2")) == 4
    assert systems.why("blocked") == {}


def test_what_a_target_gets_of_its_own_later_is_no_orphan(systems: Systems) -> None:
    lost_some(systems)
    systems.ops.put("CustomersV3", customer("OWN-2"))
    systems.settle()
    assert standing(systems) == (True, BOTH)


def test_a_quotation_whose_quote_was_won_meanwhile_is_no_orphan(systems: Systems) -> None:
    """Its source is there, and left alone."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    account = systems.account("A-1")
    systems.settle()
    systems.ops.put("CDSSalesQuotationHeaders", {
        "dataAreaId": "usmf", "SalesQuotationNumber": "Q-1", "RequestingCustomerAccountNumber": "A-1",
        "CurrencyCode": "USD", "RequestedShippingDate": "2026-12-24T12:00:00Z",
    })  # fmt: skip
    systems.close(systems.quote("Q-1", account, ["P-1"]), won=True)
    systems.run("update sync.consumer set cluster = 'the place of the backup'")
    systems.settle()
    assert standing(systems) == (False, [])


def test_a_hub_that_was_never_restored_has_no_orphans(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.settle()
    systems.ops.put("CustomersV3", customer("OWN-1"))
    systems.settle()
    assert standing(systems) == (False, [])
