"""What people decide: by record, by a selection, by cause and all at once; who decided is kept."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from tests.fixtures.roles import Logins
from tests.fixtures.world import Systems

CUSTOMERS, FLOW, INBOUND = "CustomersV3", "account > ops.CustomersV3", "sales.accounts > account"
LONG = "123456789012"
STATES = (
    "select record, state::text as state from sync.delivery d join sync.map m on m.id = map_id where m.name = :flow"
)


@pytest.fixture(autouse=True)
def product(systems: Systems) -> None:
    """A product that is in both systems."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


def call(systems: Systems, function: str) -> int:
    """What a function of schema sync returns."""
    (row,) = systems.rows(f"select sync.{function} as records")
    return int(row["records"])


def refused(systems: Systems, function: str) -> str:
    """What a function says that refuses, with its hint."""
    with pytest.raises(DBAPIError) as caught:
        call(systems, function)
    told = caught.value.orig.diag  # type: ignore[union-attr]
    return f"{told.message_primary}; {told.message_hint}"


def states(systems: Systems, flow: str = FLOW) -> dict[str, str]:
    """How each record of a flow stands that is not in step."""
    return {row["record"]: row["state"] for row in systems.rows(STATES, flow=flow)}


def rejected(systems: Systems, many: int = 3) -> list[dict[str, Any]]:
    """Accounts whose postal code is too long for the target."""
    made = [dict(systems.account(f"A-{number}", address1_postalcode=LONG)) for number in range(1, many + 1)]
    systems.settle()
    assert states(systems) == {f"A-{number}": "rejected" for number in range(1, many + 1)}
    return made


def cause(systems: Systems) -> str:
    """The only cause there is."""
    (row,) = systems.rows("select cause from sync.causes")
    return str(row["cause"])


def held_updates(systems: Systems, many: int = 20) -> None:
    """A first delivery that would change more than goes ahead unasked."""
    for number in range(many):
        theirs = {"CustomerAccount": f"A-{number}", "CustomerGroupId": "10", "OrganizationName": "Old name"}
        systems.ops.put(CUSTOMERS, theirs)
        systems.account(f"A-{number}")
    systems.settle()
    assert set(states(systems).values()) == {"held"}


def held_deletes(systems: Systems) -> None:
    """Seven accounts of ten that are gone in sales."""
    made = [systems.account(f"A-{number}") for number in range(10)]
    systems.settle()
    for account in made[:7]:
        systems.sales.delete("accounts", account["accountid"])
    systems.settle()


def old_names(systems: Systems) -> int:
    return len(systems.held("ops", CUSTOMERS, OrganizationName="Old name"))


def on_hold(systems: Systems) -> list[str]:
    return sorted(row["CustomerAccount"] for row in systems.held("ops", CUSTOMERS, OnHoldStatus="All"))


def decisions(systems: Systems) -> list[dict[str, Any]]:
    return systems.rows("select action, what, record, records, reason from sync.decision order by id")


WAYS = {
    "one record": "of_record => 'A-1'",
    "a selection": "of_records => array['A-1', 'A-3']",
    "a flow": f"of_flow => '{FLOW}'",
    "a cause": "of_cause => '{cause}'",
    "a record of a cause": "of_cause => '{cause}', of_record => 'A-2'",
    "all": "",
}
CONCERNED = {
    "one record": ["A-1"], "a selection": ["A-1", "A-3"], "a flow": ["A-1", "A-2", "A-3"],
    "a cause": ["A-1", "A-2", "A-3"], "a record of a cause": ["A-2"], "all": ["A-1", "A-2", "A-3"],
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_records_are_skipped_and_tried_again(systems: Systems, way: str) -> None:
    rejected(systems)
    which = WAYS[way].format(cause=cause(systems))
    assert call(systems, f"skip({which})") == len(CONCERNED[way])
    assert [record for record, state in states(systems).items() if state == "skipped"] == CONCERNED[way]
    systems.settle()
    assert [record for record, state in states(systems).items() if state == "skipped"] == CONCERNED[way]
    tried = 3 if way in ("a flow", "a cause", "all") else len(CONCERNED[way])  # the others are rejected still
    assert call(systems, f"retry({which})") == tried
    assert all(states(systems)[record] == "pending" for record in CONCERNED[way])
    systems.settle()
    assert set(states(systems).values()) == {"rejected"}


def test_a_skipped_record_stays_so_whatever_happens_to_it_and_is_sent_when_tried_again(systems: Systems) -> None:
    (account,) = rejected(systems, 1)
    contact = systems.contact("C-1", account)
    call(systems, "skip(of_record => 'A-1')")
    systems.sales.put("accounts", {"accountid": account["accountid"], "address1_postalcode": "53111"})
    systems.settle()
    systems.cycle.once(whole=True)
    assert states(systems) == {"A-1": "skipped"}
    assert systems.ops.records(CUSTOMERS) == []
    assert systems.why("failed") == {}
    assert systems.why("blocked") == {contact["msdynce_contactnumber"]: "account A-1 in ops"}
    (flow,) = systems.rows("select skipped, rejected, in_step from sync.status where flow = :flow", flow=FLOW)
    assert flow == {"skipped": 1, "rejected": 0, "in_step": 0}
    assert call(systems, "retry(of_record => 'A-1')") == 1
    systems.settle()
    assert [row["CustomerAccount"] for row in systems.ops.records(CUSTOMERS)] == ["A-1"]
    assert (states(systems), systems.why("blocked")) == ({}, {})


def test_a_blocked_record_can_be_skipped_and_comes_back_blocked(systems: Systems) -> None:
    (account,) = rejected(systems, 1)
    systems.contact("C-1", account)
    systems.settle()
    flow = "contact > ops.CDSContactPersonsV2"
    call(systems, f"skip('{flow}')")
    systems.settle()
    assert states(systems, flow) == {"C-1": "skipped"}
    call(systems, "retry(of_record => 'C-1')")
    systems.settle()
    assert states(systems, flow) == {"C-1": "blocked"}


def test_a_record_on_its_way_is_skipped_by_name_only(systems: Systems) -> None:
    systems.account("A-1")
    call(systems, "pause('ops')")
    systems.once()
    assert states(systems) == {None: "pending"}
    assert call(systems, "skip()") == 0


@pytest.mark.parametrize(
    ("which", "sent"),
    [("of_record => 'A-3'", 1), ("of_records => array['A-3', 'A-4']", 2), (f"'{FLOW}'", 20), ("", 20),
     ("of_cause => '{cause}'", 20)],
)  # fmt: skip
def test_held_updates_go_when_they_are_approved_and_the_others_stay_held(
    systems: Systems, which: str, sent: int
) -> None:
    held_updates(systems)
    assert call(systems, f"approve({which.format(cause=cause(systems))})") == sent
    systems.settle()
    assert old_names(systems) == 20 - sent
    assert len(states(systems)) == 20 - sent
    assert set(states(systems).values()) <= {"held"}


def test_held_updates_that_are_rejected_are_skipped(systems: Systems) -> None:
    held_updates(systems)
    assert call(systems, "reject(of_record => 'A-3')") == 1
    call(systems, f"approve('{FLOW}')")
    systems.settle()
    assert states(systems) == {"A-3": "skipped"}
    assert old_names(systems) == 1
    call(systems, "retry(of_record => 'A-3')")
    systems.settle()
    assert (states(systems), old_names(systems)) == ({}, 0)


@pytest.mark.parametrize(
    ("which", "gone"),
    [("of_record => 'A-3'", ["A-3"]), ("of_records => array['A-3', 'A-4']", ["A-3", "A-4"]),
     ("'sales.accounts'", [f"A-{n}" for n in range(7)]), ("of_cause => '{cause}'", [f"A-{n}" for n in range(7)])],
)  # fmt: skip
def test_held_deletes_go_when_they_are_approved_and_stay_when_they_are_rejected(
    systems: Systems, which: str, gone: list[str]
) -> None:
    held_deletes(systems)
    of = cause(systems)
    assert call(systems, f"approve({which.format(cause=of)})") == len(gone)
    assert call(systems, "reject()") == 7 - len(gone)
    systems.settle()
    assert on_hold(systems) == gone
    assert systems.rows("select * from sync.held") == []


@pytest.mark.parametrize("function", ["retry", "skip", "approve", "reject"])
def test_a_flow_or_cause_that_is_not_there_is_refused_with_what_there_is(systems: Systems, function: str) -> None:
    assert refused(systems, f"{function}('nothing > here')").startswith(
        "there is no flow 'nothing > here'; there are: "
    )
    assert FLOW in refused(systems, f"{function}('nothing > here')")
    assert "sync.causes" in refused(systems, f"{function}(of_cause => '00000000')")
    assert call(systems, f"{function}('{FLOW}')") == 0
    assert decisions(systems) == [], "nothing was concerned"


def test_who_decided_is_kept_and_the_console_names_people(systems: Systems) -> None:
    rejected(systems, 1)
    call(systems, "skip(of_record => 'A-1', why => 'a test')")
    with systems.connection.begin():
        systems.connection.execute(sa.text("select set_config('sync.actor', 'Ada', true)"))
        systems.connection.execute(sa.text("select sync.retry(of_record => 'A-1')"))
    (role,) = systems.rows("select session_user::text as name")
    kept = systems.rows("select by, action, what, record, records, reason from sync.decision order by id")
    assert kept == [
        {"by": role["name"], "action": "skip", "what": "all", "record": "A-1", "records": 1, "reason": "a test"},
        {"by": "Ada", "action": "retry", "what": "all", "record": "A-1", "records": 1, "reason": None},
    ]


def test_a_role_that_may_not_act_for_others_decides_under_its_own_name(
    logins: Logins, hub_url: str, systems: Systems
) -> None:
    url = logins.member_of("replicator_reader", hub_url)
    with psycopg.connect(url) as visitor:
        visitor.execute("select set_config('sync.actor', 'Ada', true)")
        assert visitor.execute("select sync.actor()").fetchone() == (visitor.info.user,)


def test_a_hundred_rejected_records_of_two_causes_are_two_rows(systems: Systems) -> None:
    for number in range(100):
        fields = {"address1_postalcode": f"{number:012}"} if number < 60 else {"name": "x" * (200 + number)}
        systems.account(f"A-{number}", **fields)
    systems.once()
    found = systems.rows("select flow, state, code, field, records from sync.causes order by records desc")
    assert found == [
        {"flow": FLOW, "state": "rejected", "code": "invalid", "field": "AddressZipCode", "records": 60},
        {"flow": INBOUND, "state": "rejected", "code": "invalid", "field": "name", "records": 40},
    ]
    for row in systems.rows("select cause, records, record, since, last_tried, reason from sync.causes"):
        behind = systems.rows("select record, state from sync.cause_records(:cause)", cause=row["cause"])
        assert len(behind) == row["records"]
        assert row["record"] in [each["record"] for each in behind]
        assert row["since"] <= row["last_tried"]
        listed = systems.rows("select count(*) as n from sync.failed where cause = :cause", cause=row["cause"])
        assert listed[0]["n"] == row["records"]


def test_records_that_wait_for_one_kind_of_parent_have_one_cause(systems: Systems) -> None:
    for number, account in enumerate(rejected(systems, 3)):
        systems.contact(f"C-{number}", account)
    systems.once()
    (waiting,) = systems.rows("select records, reason from sync.causes where state = 'blocked'")
    assert waiting["records"] == 3
    assert waiting["reason"].startswith("account A-")


def test_records_with_one_business_key_say_so_with_code_and_field(systems: Systems) -> None:
    first = systems.account("A-1", name="One")
    systems.settle()
    second = systems.account(" a-1", name="Two")
    systems.once()
    (found,) = systems.rows("select flow, state, code, field, reason, record from sync.causes")
    assert found == {
        "flow": INBOUND, "state": "blocked", "code": "key conflict", "field": "organization_id, number",
        "reason": f"a key of its own: common.account 1 is account A-1 already, for sales.accounts {first['accountid']}",
        "record": f"a-1 ({second['accountid']})",
    }  # fmt: skip


def test_a_row_that_a_read_could_not_take_in_has_a_cause_and_is_read_again_when_tried_again(systems: Systems) -> None:
    account = systems.account("A-1", creditlimit="many")
    systems.once()
    (found,) = systems.rows("select cause, flow, state, code, record from sync.causes")
    assert (found["flow"], found["state"], found["code"]) == ("sales.accounts", "quarantined", "snapshot")
    assert call(systems, f"retry(of_cause => '{found['cause']}')") == 1
    systems.sales.put("accounts", {"accountid": account["accountid"], "creditlimit": 5})
    systems.settle()
    assert systems.rows("select * from sync.causes") == []
    assert systems.rows("select * from sync.refetch") == []


def test_one_record_is_read_again_by_key_although_change_tracking_missed_it(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.settle()
    missed(systems, account["accountid"])
    systems.settle()
    assert systems.held("ops", CUSTOMERS, OrganizationName="Missed") == []
    assert call(systems, "resync('account', 'A-1')") == 1
    systems.settle()
    assert len(systems.held("ops", CUSTOMERS, OrganizationName="Missed")) == 1
    assert systems.rows("select * from sync.refetch") == []


@pytest.mark.parametrize("kind", ["account", "sales.accounts"])
def test_a_set_is_read_whole_although_change_tracking_missed_something(systems: Systems, kind: str) -> None:
    account = systems.account("A-1")
    systems.settle()
    missed(systems, account["accountid"])
    assert call(systems, f"resync('{kind}')") == 1
    systems.settle()
    assert len(systems.held("ops", CUSTOMERS, OrganizationName="Missed")) == 1
    (read,) = systems.rows("select kind from sync.snapshot where entity_set = 'accounts' order by id desc limit 1")
    assert read["kind"] == "whole"


def test_a_record_that_is_gone_is_proposed_for_deletion_when_it_is_read_again(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.settle()
    systems.sales.delete("accounts", account["accountid"])
    pass_over(systems)
    systems.settle()
    assert on_hold(systems) == []
    call(systems, "resync('account', 'A-1')")
    systems.settle()
    assert on_hold(systems) == ["A-1"]


def test_what_is_not_there_cannot_be_read_again(systems: Systems) -> None:
    assert "there is no entity or entity set 'moon'" in refused(systems, "resync('moon')")
    assert call(systems, "resync('account', 'A-9')") == 0


def test_a_part_is_looked_at_again_with_its_whole(systems: Systems) -> None:
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.settle()
    assert call(systems, "resync('quote_line', 'Q-1,1')") == 1
    assert list(states(systems, "quote > ops.CDSSalesQuotationHeaders").values()) == ["pending"]
    systems.settle()


def missed(systems: Systems, key: str) -> None:
    """A change that the system's change tracking does not tell of."""
    systems.sales.put("accounts", {"accountid": key, "name": "Missed"})
    pass_over(systems)


def pass_over(systems: Systems) -> None:
    """What has changed since the last read of accounts is never told."""
    world = systems.cycle.world
    spec = next(each.spec for each in world.compiled.schema.sets_of("sales") if each.name == "accounts")
    (position,) = systems.rows("select token from sync.entity_set where entity_set = 'accounts'")
    (*_, last) = world.connectors["sales"].read(spec, position["token"])
    systems.run("update sync.entity_set set token = :token where entity_set = 'accounts'", token=last.token)
