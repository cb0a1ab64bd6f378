"""Exit code, status, explain, reconcile, balance, plan and console say the same: each says what is left to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from replicator.cli.reconcile import lines
from replicator.hub.lease import acquire
from replicator.hub.states import BY_NAME, NAMES
from replicator.operate import hub_queries
from replicator.operate.planning.rehearse import make_plan
from replicator.operate.reconciliation import Reconciliation
from tests.fixtures.agreement import disagreements, reconciled, some_records
from tests.fixtures.transitions import seen_transitions, watch_transitions, wrong_transitions
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

FLOW = "account > ops.CustomersV3"


@pytest.fixture
def settled(systems: Systems) -> Systems:
    """Two accounts that are in step."""
    systems.reference_data()
    for number in ("A-1", "A-2"):
        systems.account(number)
    systems.settle()
    return systems


def attention(systems: Systems) -> bool:
    return hub_queries.needs_attention(hub_queries.status(systems.connection))


def wrong(systems: Systems) -> list[str]:
    return [*disagreements(systems.connection, [("account", "A-1"), ("account", "A-2")])]


def test_all_say_of_a_quiet_hub_that_it_is_in_step(settled: Systems) -> None:
    records = some_records(settled.connection)
    assert len(records) > 4
    assert [*disagreements(settled.connection, records)] == []
    assert [*reconciled(settled.cycle.world, settled.connection)] == []
    assert not attention(settled)


def change_in_common(systems: Systems) -> None:
    systems.run("update common.account set name = 'Another' where number = 'A-1'")


def delete_that_is_approved(systems: Systems) -> None:
    systems.run(
        "insert into sync.proposed_delete (system, entity_set, record_id, record, state, reason) "
        "select 'sales', 'accounts', id, accountnumber, 'held', 'too many' from sales.accounts "
        "where accountnumber = 'A-1'"
    )
    systems.run("select sync.approve('sales.accounts')")


@pytest.mark.parametrize("done", [change_in_common, delete_that_is_approved])
def test_what_is_to_be_done_and_has_no_delivery_yet_is_left_to_do_for_the_exit_code_too(
    settled: Systems, done: Callable[[Systems], None]
) -> None:
    done(settled)
    assert wrong(settled) == []
    assert attention(settled)


def conflict_that_is_open(systems: Systems) -> None:
    systems.run(
        "insert into sync.conflict (map_id, record_id, common_id, entity, record, field, system, held) "
        "select m.id, s.id, c.id, 'account', 'A-1', 'phone', 'sales', '{}' from sync.map m, sales.accounts s, "
        "common.account c where m.name = 'sales.accounts > account' and s.accountnumber = 'A-1' and c.number = 'A-1'"
    )


def ten_that_are_blocked(systems: Systems) -> None:
    nobody = {"accountid": "00000000-0000-4000-8000-00000000000a"}
    for number in range(10):
        systems.quote(f"Q-{number}", nobody, [])
    systems.once()


def row_that_was_quarantined(systems: Systems) -> None:
    systems.account("A-9", name="bad\0")
    systems.once()


def deletes_that_are_held(systems: Systems) -> None:
    for (row,) in [systems.held("sales", "accounts", accountnumber=each) for each in ("A-1", "A-2")]:
        systems.sales.delete("accounts", row["accountid"])
    systems.cycle.once(whole=True)


def updates_that_are_held(systems: Systems) -> None:
    (account,) = systems.held("sales", "accounts", accountnumber="A-1")
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Another"})
    systems.cycle.read()
    systems.cycle.merge()
    systems.run("update sync.delivery set state = 'held', reason = 'too many'")


WORLDS = [
    conflict_that_is_open, ten_that_are_blocked, row_that_was_quarantined, deletes_that_are_held, updates_that_are_held,
]  # fmt: skip


@pytest.mark.parametrize("made", WORLDS)
def test_what_waits_for_somebody_is_said_in_every_way_of_asking(
    settled: Systems, made: Callable[[Systems], None]
) -> None:
    made(settled)
    assert wrong(settled) == []
    assert attention(settled)
    assert [*reconciled(settled.cycle.world, settled.connection)] == []
    found = Reconciliation(settled.cycle.world, settled.connection).run(repair=False, limit=5)
    assert not found.settled
    assert "no differences" not in [*lines(found)]
    assert wrong(settled) == []


def test_a_record_whose_delete_was_rejected_is_kept_and_not_in_step_everywhere(settled: Systems) -> None:
    deletes_that_are_held(settled)
    settled.rows("select sync.reject()")
    settled.once()
    *_, last = hub_queries.called(settled.connection, "explain", "account", "A-1")
    assert (last["topic"], last["state"]) == ("result", "kept")
    assert "not there any more in one system, and kept in the others" in last["said"]
    assert [*reconciled(settled.cycle.world, settled.connection)] == []


def test_a_plan_calls_held_updates_updates_and_held_deletes_deletes(settled: Systems) -> None:
    updates_that_are_held(settled)
    plan = make_plan(settled.cycle.world)
    assert [(each.flow, each.state, each.reason) for each in plan.standing] == [(FLOW, "held", "too many")]
    settled.run("delete from sync.delivery")
    deletes_that_are_held(settled)
    (standing,) = make_plan(settled.cycle.world).standing
    assert (standing.flow, standing.state, standing.records) == ("sales.accounts", "held", 2)
    assert standing.reason.startswith("delete: ")
    assert len(standing.some) == 2, "by name"


def test_a_plan_says_which_entity_sets_could_not_be_looked_at(settled: Systems) -> None:
    settled.run("update sync.entity_set set problem = 'nobody answers', problem_since = now() where system = 'ops'")
    plan = make_plan(settled.cycle.world)
    assert plan.writes == []
    assert plan.not_read["ops.CustomersV3"] == "nobody answers"
    assert plan.stays == len(plan.not_read) > 1


def test_a_daemon_that_leads_no_more_is_missed_and_a_command_that_ended_is_not(settled: Systems) -> None:
    assert not hub_queries.leader_is_missed(hub_queries.status(settled.connection))
    for goes_on in (False, True):
        lease = acquire(settled.connection, "somebody", 30, goes_on=goes_on)
        assert lease is not None
        assert not hub_queries.leader_is_missed(hub_queries.status(settled.connection))
        lease.release(settled.connection)
        assert hub_queries.leader_is_missed(hub_queries.status(settled.connection)) == goes_on


def put(systems: Systems, state: str) -> None:
    """A delivery of the first account in a state."""
    systems.run(
        "insert into sync.delivery (map_id, record_id, state, record, reason, waits_for) "
        "select m.id, a.id, cast(:state as sync.delivery_state), a.number, 'because', array['rain'] "
        "from sync.map m, common.account a "
        "where m.name = :flow and a.number = 'A-1'", state=state, flow=FLOW,
    )  # fmt: skip


@pytest.mark.parametrize("state", NAMES)
def test_a_record_in_any_state_is_counted_explained_and_left_to_do_or_settled(settled: Systems, state: str) -> None:
    put(settled, state)
    assert wrong(settled) == []
    assert attention(settled) != BY_NAME[state].settled
    (flow,) = settled.rows("select * from sync.status where flow = :flow", flow=FLOW)
    assert flow[BY_NAME[state].counted] == 1


@pytest.mark.parametrize("state", NAMES)
def test_what_may_be_retried_or_skipped_is_what_the_table_of_states_says(settled: Systems, state: str) -> None:
    known = BY_NAME[state]
    concerned = {
        "select sync.retry(of_record => 'A-1')": known.may_retry,
        "select sync.skip(of_record => 'A-1')": known.may_skip != "no",
        f"select sync.skip('{FLOW}')": known.may_skip == "yes",
    }
    for decision, takes in concerned.items():
        settled.run("delete from sync.delivery")
        put(settled, state)
        (row,) = settled.rows(f"{decision} as records")
        assert (row["records"] == 1) == takes, decision


def test_the_check_sees_what_one_of_them_hides(settled: Systems) -> None:
    settled.run("alter view sync.under_way rename to under_way_before")
    settled.run("create view sync.under_way as select * from sync.under_way_before where false")
    change_in_common(settled)
    assert {each.partition(",")[0] for each in wrong(settled)} == {"the exit code is 0"}


def test_what_becomes_of_deliveries_is_in_the_table_of_states(systems: Systems) -> None:
    watch_transitions(systems.cycle.world.engine)
    systems.reference_data()
    account = systems.account("A-1", address1_country="Atlantis")
    systems.quote("Q-1", account, [])
    systems.once()
    systems.run("select sync.skip(of_record => 'A-1'), sync.retry(of_record => 'A-1')")
    systems.sales.put("accounts", {"accountid": account["accountid"], "address1_country": "Germany"})
    systems.once()
    with systems.connection.begin():
        assert [*wrong_transitions(systems.connection)] == []
        assert seen_transitions(systems.connection) >= {
            ("pending", "rejected"), ("rejected", "skipped"), ("skipped", "pending"), ("pending", "in_flight"),
        }  # fmt: skip
    systems.account("A-2", address1_country="Lemuria")
    systems.once()
    systems.run("update sync.delivery set state = 'held' where state = 'rejected'")
    with systems.connection.begin():
        assert [*wrong_transitions(systems.connection)] == ["rejected became held"]
