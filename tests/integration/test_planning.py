"""A plan shows every write in order, leaves no trace, and is run exactly as it was saved or not at all."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import httpx2
import psycopg
import pytest
import sqlalchemy as sa

from replicator.cli.plan import flows_of
from replicator.connectors import connect as connect_system
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Outcome, Page, Postponed, Rejected, Unit, Unknown
from replicator.cycle import Cycle
from replicator.errors import SystemUnavailable, Terminal, Transient
from replicator.mapping.compiled import Compiled
from replicator.mapping.language import EntitySetSpec
from replicator.operate.planning.rehearse import Plan, make_plan
from replicator.operate.planning.saved_plans import Gate, Guarded, Ran, run_plan, save
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

Said = list[tuple[str, str | None]]
Apply = Callable[[Sequence[Unit]], list[list[Outcome]]]
Weather = Callable[[Apply, Sequence[Unit]], list[list[Outcome]]]


def planned(systems: Systems) -> Plan:
    """Read both systems, and plan."""
    systems.cycle.prepare()
    systems.cycle.read()
    plan = make_plan(systems.cycle.world)
    assert plan.problems == []
    return plan


def saved(systems: Systems) -> int:
    return save(systems.connection, planned(systems), None)


def run(systems: Systems, number: int) -> Ran:
    return run_plan(systems.cycle.world, systems.connection, number)


def said(plan: Plan) -> Said:
    """What is done to which record, in order."""
    return [(f"{each.operation} {each.flow}", each.record) for each in plan.writes]


def everything(systems: Systems) -> dict[str, str]:
    """A checksum of every table of the hub."""
    tables = systems.rows(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables "
        "where schemaname not in ('pg_catalog', 'information_schema')"
    )
    with systems.connection.begin():
        driver = systems.connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        return {
            row["name"]: str(
                driver.execute(
                    f"select count(*), md5(string_agg(t::text, ';' order by t::text)) from {row['name']} t"
                ).fetchone()
            )
            for row in tables
        }


def a_business(systems: Systems) -> None:
    """Something new of everything, a change, and something that cannot be written."""
    systems.reference_data()
    systems.product("P-1")
    known = systems.account("A-1")
    systems.once()
    systems.sales.put("accounts", {"accountid": known["accountid"], "name": "Renamed"})
    systems.product("P-2")
    systems.account("A-2", address1_country="Atlantis")
    systems.quote("Q-1", systems.account("A-3"), ["P-1"])


def test_a_first_load_is_planned_in_the_order_of_the_chain(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.sales.put("products", {"productnumber": "P-1", "name": "P-1", "msdynce_ismaintainedexternally": True})
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    plan = planned(systems)
    names = [found for found, _ in said(plan)]
    customer, header, line = (
        next(place for place, name in enumerate(names) if name.endswith(end) and name.startswith("create"))
        for end in ("CustomersV3", "CDSSalesQuotationHeaders", "CDSSalesQuotationLines")
    )
    assert customer < header < line
    assert plan.writes[header].request == plan.writes[line].request
    assert plan.requests == {"ops": 2, "sales": 1}


def test_what_waits_for_a_planned_record_is_planned_too(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    assert said(planned(systems)) == [
        ("create account > ops.CustomersV3", "A-1"),
        ("create quote > ops.CDSSalesQuotationHeaders", "Q-1"),
        ("create quote_line > ops.CDSSalesQuotationLines", "Q-1 1"),
    ]


def test_a_plan_tells_the_value_there_now_and_the_one_to_be_written(systems: Systems) -> None:
    systems.reference_data()
    account = systems.account("A-1", telephone1="1")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2"})
    (write,) = planned(systems).writes
    assert (write.operation, write.fields) == ("update", {"PrimaryContactPhone": ["1", "2"]})


def test_a_plan_tells_what_would_stay_as_it_is_and_why(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    systems.quote("Q-1", systems.account("A-1", address1_country="Atlantis"), ["P-1"])
    plan = planned(systems)
    assert said(plan) == []
    assert {(each.flow, each.state): each.some for each in plan.standing} == {
        ("sales.accounts > account", "rejected"): ["A-1"],
        ("sales.quotes > quote", "blocked"): ["Q-1"],
        ("sales.quotedetails > quote_line", "blocked"): ["Q-1 1"],
    }
    assert {each.reason for each in plan.standing if each.state == "blocked"} == {"account A-1", "quote Q-1"}


def test_what_a_map_leaves_out_stays_for_that_reason_and_not_for_its_parent(systems: Systems) -> None:
    systems.reference_data()
    above = systems.contact("C-1", systems.account("A-1"))["contactid"]
    systems.contact(
        "C-2",
        **{
            "_parentcustomerid_value": above,
            "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "contact",
        },
    )
    systems.once()
    left_out = systems.rows("select flow, reason from sync.not_eligible where record = 'C-2'")
    stay = [each for each in planned(systems).standing if "C-2" in each.some]
    assert left_out
    assert [(each.flow, each.reason) for each in stay] == [(row["flow"], row["reason"]) for row in left_out]


def test_a_plan_leaves_no_trace_in_the_hub_or_in_a_system(systems: Systems) -> None:
    a_business(systems)
    systems.cycle.prepare()
    systems.cycle.read()
    before, writes = everything(systems), systems.writes()
    assert len(make_plan(systems.cycle.world).writes) > 4
    assert everything(systems) == before
    assert systems.writes() == writes


def test_a_plan_needs_no_more_than_the_right_to_read(systems: Systems) -> None:
    a_business(systems)
    expected = said(planned(systems))

    class ReadOnly(httpx2.BaseTransport):
        def __init__(self, name: str) -> None:
            self.wire = systems.wire[name]

        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            before = len(self.wire.sent)
            answer = self.wire.handle_request(request)
            assert request.method == "GET" or len(self.wire.sent) == before, "a write"
            return answer

    connectors = {
        name: connect_system(name, settings_of({"kind": kind, "url": "http://localhost"}), transport=ReadOnly(name))
        for name, kind in (("sales", "dataverse"), ("ops", "finops"))
    }
    world = replace(systems.cycle.world, connectors=connectors)
    Cycle(world, systems.connection).read(whole=True)
    assert said(make_plan(world)) == expected
    for connector in connectors.values():
        connector.close()


def test_a_saved_plan_is_run_exactly(systems: Systems) -> None:
    a_business(systems)
    plan = planned(systems)
    ran = run(systems, save(systems.connection, plan, None))
    assert ran.refused == []
    assert [write for write, _ in ran.writes] == list(plan.writes)
    before = systems.writes()
    systems.once()
    assert systems.writes() == before
    assert {row["outcome"] for row in systems.rows("select outcome from sync.planned")} == {"sent"}


def test_what_is_not_in_the_plan_stays_pending_and_is_sent_later(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)
    systems.account("A-2")
    run(systems, number)
    assert [each["CustomerAccount"] for each in systems.ops.records("CustomersV3")] == ["A-1"]
    assert systems.rows("select record_id from sync.delivery where state = 'pending'")
    systems.once()
    assert len(systems.ops.records("CustomersV3")) == 2


def test_a_record_that_changed_since_is_refused_alone_and_says_how(systems: Systems) -> None:
    systems.reference_data()
    moved, _ = systems.account("A-1"), systems.account("A-2")
    number = saved(systems)
    systems.sales.put("accounts", {"accountid": moved["accountid"], "address1_city": "Lyon"})
    (refused,) = run(systems, number).refused
    assert refused[0].record == "A-1"
    assert refused[1] == "moved: AddressCity is to become 'Lyon', planned was 'Bonn'"
    assert [each["CustomerAccount"] for each in systems.ops.records("CustomersV3")] == ["A-2"]


def test_a_target_that_changed_since_is_refused(systems: Systems) -> None:
    systems.reference_data()
    account = systems.account("A-1", telephone1="1")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2"})
    number = saved(systems)
    systems.ops.put("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "A-1", "PrimaryContactPhone": "3"})
    (refused,) = run(systems, number).refused
    assert refused[1] == "moved: PrimaryContactPhone is '3' there, and was '1'"


def test_a_record_that_somebody_made_since_is_not_made_again(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)
    systems.ops.put("CustomersV3", {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": "Made by hand"})
    (refused,) = run(systems, number).refused
    assert refused[1] == "moved: it would be updated, and was to be created"
    assert [each["OrganizationName"] for each in systems.ops.records("CustomersV3")] == ["Made by hand"]


def test_a_field_that_nobody_saw_in_the_plan_is_not_written(systems: Systems) -> None:
    systems.reference_data()
    account = systems.account("A-1", telephone1="1")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2"})
    number = saved(systems)
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Renamed"})
    (refused,) = run(systems, number).refused
    assert refused[1].startswith("moved: ")
    assert "OrganizationName is to be written" in refused[1]
    assert [each["PrimaryContactPhone"] for each in systems.ops.records("CustomersV3")] == ["1"]


def test_a_whole_whose_part_is_gone_is_not_the_planned_one(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    number = saved(systems)
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 2)
    refused = {write.flow.split(" > ")[0]: outcome for write, outcome in run(systems, number).refused}
    assert refused["quote"] == "moved: another record of the same root is not as it was planned"
    assert systems.ops.records("CDSSalesQuotationHeaders") == []


def test_a_delete_is_planned_with_what_goes_and_run(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.settle()
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 2)
    plan = planned(systems)
    assert said(plan) == [("delete quote_line > ops.CDSSalesQuotationLines", "Q-1 2")]
    assert plan.writes[0].fields["ProductNumber"] == ["P-1", None]
    assert run(systems, save(systems.connection, plan, None)).refused == []
    assert len(systems.ops.records("CDSSalesQuotationLines")) == 1


def test_what_need_not_be_written_any_more_is_told(systems: Systems) -> None:
    systems.reference_data()
    account = systems.account("A-1", telephone1="1")
    systems.settle()
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2"})
    number = saved(systems)
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "1"})
    (refused,) = run(systems, number).refused
    assert refused[1] == "moved: there is nothing to write any more"


def test_a_plan_is_run_once(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)
    run(systems, number)
    with pytest.raises(Terminal, match="a plan is run once"):
        run(systems, number)
    with pytest.raises(Terminal, match="there is no plan 99"):
        run(systems, 99)


def in_bad_weather(systems: Systems, number: int, weather: Weather) -> Ran:
    """Run a plan while ops answers otherwise than it should."""

    class Ops(Guarded):
        def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
            return weather(self.real.apply, units)

    world = systems.cycle.world
    connectors = {**world.connectors, "ops": Ops(world.connectors["ops"], Gate({}))}
    quick = world.configuration.daemon.model_copy(update={"retry_seconds": 0.01})
    configuration = world.configuration.model_copy(update={"daemon": quick})
    return run_plan(replace(world, connectors=connectors, configuration=configuration), systems.connection, number)


def test_a_plan_is_not_run_while_a_system_cannot_be_read(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)

    class Away(Guarded):
        def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
            raise SystemUnavailable("nobody at home")

        def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
            raise SystemUnavailable("nobody at home")

    world = systems.cycle.world
    connectors = {**world.connectors, "ops": Away(world.connectors["ops"], Gate({}))}
    with pytest.raises(Transient, match=r"the plan is not run, for ops.* could not be read: nobody at home"):
        run_plan(replace(world, connectors=connectors), systems.connection, number)
    assert run(systems, number).refused == []


def test_a_refusal_of_the_system_is_told(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)
    ran = in_bad_weather(systems, number, lambda apply, units: [[Rejected("no more customers")] for _ in units])
    assert [outcome for _, outcome in ran.refused] == ["rejected: no more customers"]


def test_of_a_system_that_goes_away_meanwhile_it_is_told_what_was_not_sent(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)

    def goes_away(apply: Apply, units: Sequence[Unit]) -> list[list[Outcome]]:
        raise SystemUnavailable("nobody at home any more")

    (refused,) = in_bad_weather(systems, number, goes_away).refused
    assert refused[1].startswith("failed: nobody at home any more (")
    assert systems.ops.records("CustomersV3") == []


def test_a_write_whose_answer_was_lost_is_looked_up_and_counts_as_sent(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)

    def loses_answers(apply: Apply, units: Sequence[Unit]) -> list[list[Outcome]]:
        apply(units)
        return [[Unknown("no answer")] for _ in units]

    assert in_bad_weather(systems, number, loses_answers).refused == []
    assert len(systems.ops.records("CustomersV3")) == 1


def test_a_write_that_was_put_off_is_tried_again(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    number = saved(systems)
    answers: list[Outcome] = [Postponed("come back later"), Unknown("no answer")]

    def at_the_third_time(apply: Apply, units: Sequence[Unit]) -> list[list[Outcome]]:
        return [[answers.pop(0)] for _ in units] if answers else apply(units)

    assert in_bad_weather(systems, number, at_the_third_time).refused == []
    assert len(systems.ops.records("CustomersV3")) == 1


def test_nobody_is_waited_for_longer_than_a_moment(systems: Systems, hub: sa.Engine) -> None:
    systems.reference_data()
    systems.settle()
    systems.account("A-1")
    systems.cycle.read()
    with hub.connect() as connection, connection.begin():
        connection.execute(sa.text("select * from sync.consumer for update"))
        with pytest.raises(Transient, match="somebody changes the hub"):
            make_plan(systems.cycle.world)
    assert len(make_plan(systems.cycle.world).writes) == 1


def test_a_plan_beside_a_replicator_at_work_gives_up_after_its_time(systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.cycle.prepare()
    systems.cycle.read()
    with pytest.raises(Transient, match="took too long"):
        make_plan(systems.cycle.world, led=True, too_long=lambda: True)


def test_a_plan_sees_what_people_committed_in_the_hub_and_no_more(systems: Systems, hub: sa.Engine) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.settle()
    by_hand = (
        "insert into common.account (organization_id, number, kind, name, status) "
        "select id, 'H-1', 'Organization', 'By hand', 'Active' from common.organization"
    )
    with hub.begin() as connection:
        connection.execute(sa.text(by_hand))
        assert said(planned(systems)) == []
    assert ("create account > ops.CustomersV3", "H-1") in said(planned(systems))


def test_a_date_is_planned_as_it_is_written(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    number = saved(systems)
    (row,) = systems.rows("select fields from sync.planned where flow like 'quote >%'")
    assert datetime.date.fromisoformat(row["fields"]["RequestedShippingDate"][1]) > datetime.date(2026, 1, 1)
    assert run(systems, number).refused == []


def test_only_an_entity_and_its_parts(systems: Systems, compiled: Compiled) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.settle()
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    plan = planned(systems).only(flows_of(compiled, "quote"))
    assert [each.record for each in plan.writes] == ["Q-1", "Q-1 1"]
    assert [(each.place, each.request) for each in plan.writes] == [(1, 1), (2, 1)]
    number = save(systems.connection, plan, "quote")
    refused = run(systems, number).refused
    assert "account A-1" in refused[0][1]
    assert systems.ops.records("CustomersV3") == []
