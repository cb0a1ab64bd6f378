"""A restored hub knows that it was restored, and writes nothing before it has read everything again."""

from __future__ import annotations

from tests.fixtures.world import Systems

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
    assert systems.rows("select reread from sync.consumer") == [{"reread": False}]
    (held,) = systems.held("ops", "CustomersV3", CustomerAccount="A-1")
    assert held["OrganizationName"] == LATER["name"]


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
