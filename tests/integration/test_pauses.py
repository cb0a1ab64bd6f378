"""Flows that stand still on purpose: paused, or only observed; and what the status says about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from replicator.config import Configuration
from replicator.connectors.protocol import Limits
from replicator.core.flows import check_flows
from replicator.cycle import Cycle
from replicator.errors import ConfigurationError
from replicator.mapping.compiled import CompiledMap
from replicator.operate import hub_queries
from replicator.outbound.acknowledge import Acknowledged
from tests.fixtures.world import Problems, Systems, configuration

pytestmark = pytest.mark.thorough

CUSTOMERS, FLOW, INBOUND = "CustomersV3", "account > ops.CustomersV3", "sales.accounts > account"
HOW = """
select state::text as state, operation, reason from sync.delivery d join sync.map m on m.id = map_id
where m.name = :flow
"""


@pytest.fixture(autouse=True)
def product(systems: Systems) -> None:
    """A product that is in both systems."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()


class AtTheFirstAnswer(Problems):
    """Does something when the first request of a flow has been answered."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self.act: Callable[[], None] | None = act

    def delivered(self, flow: CompiledMap, result: Acknowledged) -> None:
        if flow.name == FLOW and self.act is not None:
            act, self.act = self.act, None
            act()


def pausing(systems: Systems, scope: str) -> Cycle:
    """One request at a time with two writes in it; after the first answer somebody pauses on another connection."""

    def act() -> None:
        with systems.cycle.world.engine.begin() as other:
            other.execute(sa.text("select sync.pause(:scope)"), {"scope": scope})

    for connector in systems.cycle.world.connectors.values():
        connector.limits = Limits(writes_per_request=2, parallel_requests=1)
    world = replace(systems.cycle.world, watcher=AtTheFirstAnswer(act))
    return Cycle(world, systems.connection)


def customers(systems: Systems) -> int:
    return len(systems.ops.records(CUSTOMERS))


def observing(systems: Systems, *flows: str) -> Cycle:
    """The same world, configured to observe these flows."""
    modes = {flow: {"mode": "observe"} for flow in flows}
    told = configuration().model_dump(by_alias=True) | {"flows": modes}
    return Cycle(replace(systems.cycle.world, configuration=Configuration.model_validate(told)), systems.connection)


@pytest.mark.parametrize("scope", [FLOW, "ops", "out"])
def test_a_pause_in_the_middle_of_a_delivery_stops_the_next_request(systems: Systems, scope: str) -> None:
    for number in range(12):
        systems.account(f"A-{number}")
    pausing(systems, scope).once()
    sent = customers(systems)
    assert 0 < sent <= 4, "one request was answered, and one may have been under way"
    assert {row["state"] for row in systems.rows(HOW, flow=FLOW)} == {"pending"}
    systems.account("A-12")
    systems.once()
    assert customers(systems) == sent, "nothing more while it is paused"
    (status,) = systems.rows("select pending, paused, failed from sync.status where flow = :flow", flow=FLOW)
    assert status == {"pending": 13 - sent, "paused": True, "failed": 0}
    systems.run("select sync.resume()")
    systems.settle()
    assert customers(systems) == 13
    assert systems.rows("select action, what from sync.decision order by id") == [
        {"action": "pause", "what": scope}, {"action": "resume", "what": "all"},
    ]  # fmt: skip


@pytest.mark.parametrize("scope", [INBOUND, "sales", "in"])
def test_while_merging_is_paused_changes_are_read_and_accumulate(systems: Systems, scope: str) -> None:
    systems.account("A-1", name="First")
    systems.settle()
    systems.run("select sync.pause(:scope)", scope=scope)
    for name in ("Second", "Third"):
        systems.sales.put("accounts", {"accountid": systems.sales.records("accounts")[0]["accountid"], "name": name})
        systems.once()
    (mirror,) = systems.rows("select name from sales.accounts")
    (common,) = systems.rows("select name from common.account")
    assert (mirror["name"], common["name"]) == ("Third", "First")
    systems.run("select sync.resume(:scope)", scope=scope)
    systems.settle()
    assert systems.ops.records(CUSTOMERS)[0]["OrganizationName"] == "Third"


def test_what_a_person_asked_for_outlives_a_request_that_a_pause_took_back(systems: Systems) -> None:
    """Customers that ops lost are created again by a retry only, and the pause comes after the first of them."""
    for number in range(8):
        systems.account(f"A-{number}")
    systems.settle()
    for customer in systems.ops.records(CUSTOMERS):
        systems.ops.delete(CUSTOMERS, "usmf", customer["CustomerAccount"])
    systems.run("select sync.approve()")
    systems.once()
    systems.run("select sync.approve()")
    systems.once()
    assert customers(systems) == 0
    assert {row["state"] for row in systems.rows(HOW, flow=FLOW)} == {"reported"}
    systems.run("select sync.retry()")
    pausing(systems, FLOW).once()
    assert 0 < customers(systems) < 8
    systems.run("select sync.resume()")
    systems.once()
    assert customers(systems) == 8


def test_what_cannot_be_paused_is_told_with_what_can(systems: Systems) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="there is nothing called 'moon' to pause"):
        systems.run("select sync.pause('moon')")
    systems.run("select sync.pause('ops')")
    systems.run("select sync.pause('ops')")
    assert [row["what"] for row in systems.rows("select what from sync.decision")] == ["ops"]


def test_an_observed_flow_decides_and_sends_nothing_until_it_may(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "New", "address1_city": "Ulm"})
    systems.account("A-2")
    systems.sent("ops", CUSTOMERS)
    watching = observing(systems, FLOW)
    watching.once()
    watching.once()
    assert systems.sent("ops", CUSTOMERS) == []
    found = {row["operation"]: row for row in systems.rows(HOW, flow=FLOW)}
    assert {row["state"] for row in found.values()} == {"observed"}
    assert found["update"]["reason"].startswith("would update OrganizationName, ")
    assert "AddressCity" in found["update"]["reason"]
    assert "AddressStreet" not in found["update"]["reason"]
    assert found["create"]["reason"].startswith("would create ")
    assert "OrganizationName" in found["create"]["reason"]
    (status,) = systems.rows("select observed, pending, mode from sync.status where flow = :flow", flow=FLOW)
    assert status == {"observed": 2, "pending": 0, "mode": "observe"}
    assert not hub_queries.needs_attention(hub_queries.status(systems.connection))
    systems.settle()
    assert customers(systems) == 2
    assert systems.held("ops", CUSTOMERS, OrganizationName="New", AddressCity="Ulm") != []
    assert systems.rows(HOW, flow=FLOW) == []


def test_an_observed_whole_tells_of_its_parts(systems: Systems) -> None:
    flow = "quote > ops.CDSSalesQuotationHeaders"
    systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    observing(systems, flow).once()
    (found,) = systems.rows(HOW, flow=flow)
    assert found["reason"].endswith("; create 2 CDSSalesQuotationLines")
    assert systems.ops.records("CDSSalesQuotationHeaders") == []


def test_many_first_updates_of_an_observed_flow_are_shown_and_held_when_it_is_to_write(systems: Systems) -> None:
    for number in range(20):
        theirs = {"CustomerAccount": f"A-{number}", "CustomerGroupId": "10", "OrganizationName": "Old name"}
        systems.ops.put(CUSTOMERS, theirs)
        systems.account(f"A-{number}")
    observing(systems, FLOW).once()
    assert {row["state"] for row in systems.rows(HOW, flow=FLOW)} == {"observed"}
    systems.settle()
    assert {row["state"] for row in systems.rows(HOW, flow=FLOW)} == {"held"}


@pytest.mark.parametrize(("flow", "why"), [("moon > ops", FLOW), (INBOUND, "only flows out of it")])
def test_a_flow_that_cannot_be_observed_is_a_wrong_configuration(systems: Systems, flow: str, why: str) -> None:
    told = Configuration.model_validate({"flows": {flow: {"mode": "observe"}}})
    with pytest.raises(ConfigurationError) as caught:
        check_flows(systems.cycle.world.compiled, told.flows)
    assert why in str(caught.value)
    assert flow in str(caught.value)


def test_the_status_says_when_records_last_arrived(systems: Systems) -> None:
    systems.account("A-1")
    systems.settle()
    arrived = {row["flow"]: row["last_success"] for row in systems.rows("select flow, last_success from sync.status")}
    assert arrived[FLOW] is not None
    assert arrived[INBOUND] is not None
    assert arrived["quote > ops.CDSSalesQuotationHeaders"] is None


def test_the_requests_to_each_system_are_counted_with_what_it_says_is_left(systems: Systems) -> None:
    before = {row["system"]: row["requests"] for row in systems.rows("select system, requests from sync.systems")}
    systems.once()
    after = {row["system"]: row for row in systems.rows("select * from sync.systems")}
    assert set(after) == {"sales", "ops"}
    assert all(row["requests"] > before[name] for name, row in after.items())


def test_the_status_names_the_transaction_that_holds_the_window_back(systems: Systems) -> None:
    with systems.cycle.world.engine.connect() as writer, writer.begin():
        writer.execute(sa.text("update common.organization set name = name"))
        pid = writer.execute(sa.text("select pg_backend_pid()")).scalar_one()
        assert [row["pid"] for row in systems.rows("select pid from sync.window_holder")] == [pid]
        assert hub_queries.status(systems.connection)["window_holder"] == [], "it is young"
        systems.run("select set_config('sync.now', (now() + interval '1 minute')::text, false)")
        (holder,) = hub_queries.status(systems.connection)["window_holder"]
        assert holder["pid"] == pid
        assert holder["age"].total_seconds() > 50
    systems.run("select set_config('sync.now', '', false)")
    assert systems.rows("select * from sync.window_holder") == []
