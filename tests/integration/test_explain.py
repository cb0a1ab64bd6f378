"""What ``sync.explain`` says of a record in every state it may be in, and of those that it waits for."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import httpx2
import pytest

from replicator.connectors.protocol import Page
from replicator.mapping.language import EntitySetSpec
from replicator.operate.wait_for_arrival import Waiting
from tests.fixtures.world import Recording, Systems

OUT = "account > ops.CustomersV3"


@pytest.fixture(autouse=True)
def reference_data(systems: Systems) -> None:
    """What sales needs, and a product that is in both systems; a replicator leads."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    systems.run("insert into sync.lease values ('replicator', 'test', 1, now() + interval '1 day')")


def chain(systems: Systems, kind: str, key: str) -> list[dict[str, Any]]:
    """The whole chain."""
    return systems.rows("select * from sync.explain(:kind, :key) order by place", kind=kind, key=key)


def causes(systems: Systems, kind: str, key: str) -> list[tuple[str, str, str]]:
    """The root causes: which record, its state, and what is said."""
    rows = systems.rows("select record, state, said from sync.root_causes(:kind, :key)", kind=kind, key=key)
    return [(row["record"], row["state"], row["said"]) for row in rows]


def cause(systems: Systems, kind: str, key: str) -> dict[str, Any]:
    """The only root cause."""
    (row,) = systems.rows("select * from sync.root_causes(:kind, :key)", kind=kind, key=key)
    return row


def refused(systems: Systems, number: str) -> Mapping[str, Any]:
    """An account that ops refuses, for its currency is unknown there."""
    currency = systems.sales.put("transactioncurrencies", {"isocurrencycode": "XYZ", "currencyname": "Shells"})
    return systems.account(number, _transactioncurrencyid_value=currency["transactioncurrencyid"])


def inject(systems: Systems, state: str, reason: str, record: str = "A-1") -> None:
    """Put the delivery of an account into a state."""
    systems.run(
        "update sync.delivery d set state = cast(:state as sync.delivery_state), reason = :reason, code = null, "
        "field = null from sync.map m where m.id = d.map_id and m.name = :flow and d.record = :record",
        state=state, reason=reason, flow=OUT, record=record,
    )  # fmt: skip


def test_a_record_in_step_says_so_and_where_it_is(systems: Systems) -> None:
    systems.account("A-1")
    systems.once()
    told = chain(systems, "account", "A-1")
    assert (told[-1]["state"], told[-1]["said"]) == ("in step", "in step everywhere")
    assert [row["record"] for row in told if row["topic"] == "seen"] == [
        "sales.accounts A-1", "common.account A-1", "ops.CustomersV3 A-1",
    ]  # fmt: skip
    assert "by the delivery to ops" in told[2]["said"]
    assert causes(systems, "account", "A-1") == []


def test_the_same_is_told_for_each_name_of_a_record(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.once()
    names = [("account", "a-1 "), ("sales.accounts", account["accountid"]), ("ops.CustomersV3", "usmf,A-1")]
    told = [[row["said"] for row in chain(systems, *name)] for name in names]
    assert told[0] == told[1] == told[2]


def test_a_key_may_hold_what_its_parts_are_told_apart_by(systems: Systems) -> None:
    """A part is found by its key and by what people call it, as a record of a system is by all parts of its key."""
    systems.quote("Q,1 x", systems.account("A, 1"), ["P-1"])
    systems.once()
    for kind, *keys in (
        ("quote_line", "Q,1 x,1", "Q,1 x 1", "q,1 X,1"),
        ("account", "A, 1"),
        ("ops.CustomersV3", "usmf,A, 1"),
    ):
        for key in keys:
            assert systems.rows("select * from sync.find(:kind, :key)", kind=kind, key=key)
            assert chain(systems, kind, key)[-1]["said"].startswith("in step")
    assert not systems.rows("select * from sync.find('quote_line', 'Q,1 x,2')")
    systems.run("set enable_seqscan = off")
    plan = [row["QUERY PLAN"] for row in systems.rows("explain select * from sync.find('quote_line', 'Q,1 x,1')")]
    assert not [line for line in plan if "Seq Scan" in line]


def test_a_record_that_nobody_knows_has_no_line(systems: Systems) -> None:
    assert chain(systems, "account", "A-9") == chain(systems, "nonsense", "A-9") == []


def test_a_change_in_the_log_that_nobody_has_looked_at_is_the_cause(systems: Systems) -> None:
    systems.account("A-1")
    systems.once()
    systems.run("update common.account set description = 'by hand'")
    (row,) = causes(systems, "account", "A-1")
    assert row == ("common.account A-1", "unread", "the log has its change, and nobody has looked at it yet")


def test_a_record_that_is_only_waiting_for_its_turn_says_when(systems: Systems) -> None:
    systems.account("A-1")
    systems.cycle.read()
    systems.cycle.merge()
    found = cause(systems, "account", "A-1")
    assert (found["state"], found["said"], found["next"]) == (
        "pending",
        "is to be delivered to ops",
        "with the next cycle",
    )
    fields = next(row["said"] for row in chain(systems, "account", "A-1") if row["topic"] == "difference")
    assert "OrganizationName: (empty) -> Account A-1" in fields


@pytest.mark.parametrize("scope", [OUT, "ops", "out"])
def test_a_pause_is_the_cause_for_what_only_waits(systems: Systems, scope: str) -> None:
    systems.account("A-1")
    systems.cycle.read()
    systems.cycle.merge()
    systems.run("insert into sync.pause values (:scope, now(), 'ada', 'year end')", scope=scope)
    found = cause(systems, "account", "A-1")
    assert (found["state"], found["said"]) == ("paused", f"{scope} is paused by ada: year end")
    assert "replicator resume" in found["next"]


def test_that_nobody_leads_is_the_cause_for_what_only_waits(systems: Systems) -> None:
    systems.account("A-1")
    systems.cycle.read()
    systems.cycle.merge()
    systems.run("update sync.lease set expires_at = now() - interval '1 hour'")
    found = cause(systems, "account", "A-1")
    assert (found["state"], found["said"]) == ("nobody leads", "test leads no more: its lease is over")


def test_what_was_never_read_whole_is_the_cause_for_what_waits_for_it(systems: Systems) -> None:
    systems.account("A-1")
    systems.cycle.read()
    systems.cycle.merge()
    systems.run("update sync.entity_set set whole_at = null where entity_set = 'CustomersV3'")
    assert "ops.CustomersV3 has never been read whole" in cause(systems, "account", "A-1")["said"]


def test_a_rule_of_the_hub_is_named_with_its_field(systems: Systems) -> None:
    systems.account("A-1", address1_country="Atlantis")
    systems.once()
    found = cause(systems, "account", "A-1")
    assert found["state"] == "rejected"
    assert "the hub refuses it; mailing_country: no value for 'Atlantis'" in found["said"]
    assert "retry" in found["next"]


def test_a_refusal_is_told_in_the_words_of_the_system(systems: Systems) -> None:
    refused(systems, "A-1")
    systems.once()
    found = cause(systems, "account", "A-1")
    assert found["said"].startswith("ops refused it; ")
    assert "XYZ" in found["said"]
    assert "tried 1 times" in found["said"]


def test_a_line_waits_for_its_quote_and_that_for_an_account_that_ops_refuses(systems: Systems) -> None:
    quote = systems.quote("Q-1", refused(systems, "A-1"), ["P-1"])
    systems.once()
    (line,) = systems.held("sales", "quotedetails", _quoteid_value=quote["quoteid"])
    told = chain(systems, "sales.quotedetails", line["quotedetailid"])
    ((record, state, said),) = causes(systems, "sales.quotedetails", line["quotedetailid"])
    assert (record, state) == ("A-1", "rejected")
    assert "XYZ" in said
    assert [(row["depth"], row["record"], row["state"]) for row in told if " > ops." in row["topic"]] == [
        (0, "Q-1", "blocked"), (1, "A-1", "rejected"),
    ]  # fmt: skip


def test_records_of_one_name_are_told_apart_wherever_they_are_named(systems: Systems) -> None:
    account = systems.account("A-1")
    quotes = [systems.quote(number, account, ["P-1"])["quoteid"] for number in ("Q-1", " Q-1")]
    systems.once()
    waiting = {row["record"]: row for row in systems.rows("select * from sync.blocked where code is not null")}
    assert waiting.keys() == {f"Q-1 ({quote})" for quote in quotes}, "a key conflict of two"
    for quote in quotes:
        (line,) = systems.held("sales", "quotedetails", _quoteid_value=quote)
        (row,) = systems.rows("select * from sync.blocked where record like :name", name=f"%({line['quotedetailid']})")
        assert row["record"] == f"Q-1 1 ({line['quotedetailid']})"
        assert row["waits_for"] == [f"quote Q-1 ({quote})"]
        (why,) = systems.rows("select sync.why_blocked(:flow, :id) as why", flow=row["flow"], id=row["record_id"])
        assert why["why"].startswith(f"Q-1 ({quote}): a key of its own"), "the reason of the parent"
    seen = [" ".join(row["record"].split()) for row in chain(systems, "quote", "Q-1") if row["topic"] == "seen"]
    assert seen == [f"sales.quotes Q-1 ({quote})" for quote in quotes]
    for kind in ("quote", "sales.quotes"):  # a record is found by what it is called
        assert causes(systems, kind, f"Q-1 ({quotes[0]})") == causes(systems, "sales.quotes", quotes[0])


def test_a_line_waits_for_a_quote_that_waits_for_an_account_that_waits_for_a_currency(systems: Systems) -> None:
    currency = systems.sales.put("transactioncurrencies", {"isocurrencycode": "ABC", "currencyname": "bad\0"})
    account = systems.account("A-1", _transactioncurrencyid_value=currency["transactioncurrencyid"])
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.once()
    (line,) = systems.held("sales", "quotedetails", _quoteid_value=quote["quoteid"])
    told = chain(systems, "sales.quotedetails", line["quotedetailid"])
    links = [(row["depth"], row["state"]) for row in told if row["topic"] != "difference"]
    assert links[-4:] == [(0, "blocked"), (1, "blocked"), (2, "blocked"), (3, "quarantined")]
    ((_, state, said),) = causes(systems, "sales.quotedetails", line["quotedetailid"])
    assert state == "quarantined"
    assert "currencyname" in said


def test_a_quarantined_row_is_found_by_its_key_though_it_was_never_taken_in(systems: Systems) -> None:
    account = systems.account("A-1", name="bad\0")
    systems.once()
    for kind, key in (("account", "A-1"), ("sales.accounts", account["accountid"])):
        found = cause(systems, kind, key)
        assert found["state"] == "quarantined"
        assert "name" in found["said"]
        assert "correct it in sales" in found["next"]


def test_a_record_that_is_not_in_common_yet_is_found_by_the_key_that_it_will_have(systems: Systems) -> None:
    """Ops has two parts in the key of a product; people say its number."""
    systems.product("P-2", SalesUnitSymbol="none")
    systems.cycle.read()
    systems.cycle.merge()
    assert any(row["record"].endswith("P-2") for row in chain(systems, "product", "p-2"))
    assert [record for record, _, _ in causes(systems, "product", "P-2")] == ["P-2"]
    systems.run("set enable_seqscan = off")
    plan = [row["QUERY PLAN"] for row in systems.rows("explain select * from sync.find('product', 'P-2')")]
    assert not [line for line in plan if "Seq Scan" in line and "any_organization" not in line]


def test_a_record_that_looks_up_one_that_is_left_out_says_why_that_is(systems: Systems) -> None:
    group = systems.sales.put("uomschedules", {"name": "Other Group"})["uomscheduleid"]
    systems.sales.put("uoms", {"name": "box", "_uomscheduleid_value": group})
    systems.product("P-2", SalesUnitSymbol="BOX")
    systems.once()
    ((record, state, said),) = causes(systems, "product", "P-2")
    assert (record, state) == ("box", "not_eligible")
    assert "unit box is of the group Other Group" in said


def test_a_namesake_that_is_left_out_is_no_cause_where_the_one_that_is_looked_up_is_there(systems: Systems) -> None:
    (usual,) = systems.held("sales", "uomschedules", name="Default unit")
    systems.sales.put("uoms", {"name": "box", "_uomscheduleid_value": usual["uomscheduleid"]})
    group = systems.sales.put("uomschedules", {"name": "Other Group"})["uomscheduleid"]
    systems.sales.put("uoms", {"uomid": str(uuid.uuid4()), "name": "box", "_uomscheduleid_value": group})
    systems.product("P-2", SalesUnitSymbol="box", CurrencyCode="XXX")
    systems.once()
    ((record, state, said),) = causes(systems, "product", "P-2")
    assert (record, state) == ("P-2", "waits")
    assert "currency" in said


def test_what_a_map_leaves_out_says_why(systems: Systems) -> None:
    systems.quote("Q-1", systems.account("A-1"), ["P-1"], statecode=0, statuscode=1)
    systems.once()
    found = cause(systems, "quote", "Q-1")
    assert (found["state"], found["said"]) == (
        "not_eligible", "the map leaves it out; only active quotes go out, this one is Draft",
    )  # fmt: skip


def test_what_is_left_as_it_was_is_no_fault(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.once()
    systems.close(quote, won=True)
    systems.once()
    assert causes(systems, "quote", "Q-1") == []
    assert any(row["state"] == "left" and "this one is Won" in row["said"] for row in chain(systems, "quote", "Q-1"))


@pytest.mark.parametrize(
    ("state", "words", "then"),
    [
        ("failed", "ops could not take it in this time; busy", "replicator retry"),
        ("unknown", "the last request to ops was not answered; busy", "looked up"),
        ("in_flight", "was sent to ops and is not answered yet", "answer"),
        ("held", "the update is held; busy", "replicator approve"),
        ("observed", "nothing is sent; busy", "observe"),
        ("skipped", "a person decided to skip it; busy", "retry"),
        ("reported", "only reported; busy", "retry"),
    ],
)
def test_each_state_of_a_delivery_has_its_words_and_what_comes_next(
    systems: Systems, state: str, words: str, then: str
) -> None:
    systems.quote("Q-1", refused(systems, "A-1"), ["P-1"])
    systems.once()
    inject(systems, state, "busy")
    for kind, key in (("account", "A-1"), ("quote", "Q-1")):
        found = cause(systems, kind, key)
        assert (found["record"], found["state"]) == ("A-1", state)
        assert words in found["said"]
        assert then in found["next"]


def test_a_passing_failure_says_when_it_is_tried_again(systems: Systems) -> None:
    systems.account("A-1")
    busy(systems.wire["ops"])
    systems.once()
    found = cause(systems, "account", "A-1")
    assert found["state"] == "failed"
    assert "not before 2" in found["next"]


def busy(wire: Recording) -> None:
    """From now on the system takes no writes."""
    passing = wire.handle_request

    def refuse(request: httpx2.Request) -> httpx2.Response:
        return passing(request) if request.method == "GET" else httpx2.Response(429, headers={"Retry-After": "60"})

    wire.handle_request = refuse  # type: ignore[method-assign]


def test_a_held_delete_waits_for_a_person(systems: Systems) -> None:
    accounts = [systems.account(f"A-{number}") for number in range(7)]
    systems.once()
    for account in accounts:
        systems.sales.delete("accounts", account["accountid"])
    systems.once()
    found = cause(systems, "account", "A-1")
    assert found["state"] == "held"
    assert "sales.accounts shows it no more; the delete is held: " in found["said"]
    assert found["next"] == "never by itself: replicator approve|reject --flow sales.accounts"


def test_a_conflict_names_every_value_and_the_command_that_decides(systems: Systems) -> None:
    systems.account("A-1")
    systems.once()
    systems.run(
        "insert into sync.conflict (map_id, record_id, common_id, entity, record, field, system, base, held) "
        "select m.id, 1, a.id, 'account', a.number, 'phone', 'sales', '1', "
        """cast('{"common": "2", "ops": "2", "sales": "3"}' as jsonb) """
        "from sync.map m, common.account a where m.name = 'sales.accounts > account'"
    )
    found = cause(systems, "account", "A-1")
    assert found["said"] == "phone was changed on both sides: common 2, ops 2, sales 3; before 1"
    assert found["next"] == "never by itself: replicator resolve 1 --take SIDE, or --value TEXT"


def test_a_record_that_vanished_at_the_target_is_reported(systems: Systems) -> None:
    systems.account("A-1")
    systems.account("A-2")
    systems.once()
    systems.ops.delete("CustomersV3", "usmf", "A-1")
    systems.once()
    found = cause(systems, "account", "A-1")
    assert found["state"] == "reported"
    assert "the target holds the record no more; retry creates it again" in found["said"]


def test_a_set_that_cannot_be_read_is_a_cause_even_where_all_looks_well(systems: Systems) -> None:
    systems.account("A-1")
    systems.once()
    systems.run(
        "update sync.entity_set set problem = 'access denied', problem_since = now() where entity_set = 'accounts'"
    )
    found = cause(systems, "account", "A-1")
    assert (found["record"], found["state"]) == ("sales.accounts", "unreadable")
    assert "access denied" in found["said"]


def test_a_deleted_record_is_still_known(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.account("A-2")
    systems.once()
    systems.sales.delete("accounts", account["accountid"])
    systems.ops.delete("CustomersV3", "usmf", "A-1")
    systems.once()
    told = chain(systems, "account", "A-1")
    assert told[-1]["state"] == "deleted"
    assert {row["state"] for row in told if row["topic"] == "seen"} == {"deleted"}
    assert causes(systems, "account", "A-1") == []


def test_records_that_wait_for_each_other_end_in_a_ring(systems: Systems) -> None:
    """No map here has one, so the guard is asked directly."""
    systems.quote("Q-1", refused(systems, "A-1"), ["P-1"])
    systems.once()
    rows = systems.rows(
        "select f.state, f.cause from sync.delivery d join sync.map m on m.id = d.map_id, "
        "sync.explain_flow(m, d.record_id, 1, array[format('%s %s', m.name, d.record_id)]) f "
        "where d.state = 'blocked' and m.direction = 'out'"
    )
    assert rows == [{"state": "ring", "cause": True}]


# Whether a record has arrived


def arrived(systems: Systems, key: str, kind: str = "quote") -> Any:
    """Whether it has arrived in ops."""
    (row,) = systems.rows("select sync.arrived(:kind, :key, 'ops') as told", kind=kind, key=key)
    return row["told"]


def test_a_record_has_arrived_when_nothing_is_on_its_way(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    assert arrived(systems, "Q-1") is None
    systems.cycle.read()
    assert arrived(systems, "Q-1") is False
    systems.cycle.merge()
    assert arrived(systems, "Q-1") is False
    systems.once()
    assert arrived(systems, "Q-1") is True
    systems.change_line(quote, 1, quantity=7)
    systems.cycle.read()
    assert arrived(systems, "Q-1") is False
    systems.once()
    assert arrived(systems, "Q-1") is True


def test_a_line_deleted_in_common_is_on_its_way_with_its_quote(systems: Systems) -> None:
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1", "P-1"])
    systems.once()
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 1)
    systems.cycle.read()
    assert arrived(systems, "Q-1") is False
    systems.cycle.merge()
    assert arrived(systems, "Q-1") is False
    systems.once()
    assert arrived(systems, "Q-1") is True


def test_waiting_ends_only_after_the_sources_were_read_since(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.once()
    waiting = Waiting(systems.connection, "account", "A-1", "ops")
    assert waiting.look() is False
    assert "have not been read since" in waiting.why
    systems.cycle.read()
    assert waiting.look() is True
    waiting = Waiting(systems.connection, "account", "A-1", "ops")
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "New"})
    assert waiting.look() is False
    systems.cycle.read()
    assert waiting.look() is False
    systems.cycle.settle()
    assert waiting.look() is True
    assert systems.ops.records("CustomersV3")[0]["OrganizationName"] == "New"


def test_a_read_that_was_under_way_before_does_not_end_the_waiting(
    systems: Systems, monkeypatch: pytest.MonkeyPatch
) -> None:
    systems.account("A-1")
    systems.once()
    begun: list[Waiting] = []
    sales = systems.cycle.world.connectors["sales"]
    read = sales.read

    def reading(entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        if entity_set.entity_set == "accounts" and not begun:
            begun.append(Waiting(systems.connection, "account", "A-1", "ops"))
        yield from read(entity_set, token)

    monkeypatch.setattr(sales, "read", reading)
    systems.cycle.read()
    (waiting,) = begun
    assert waiting.look() is False
    systems.cycle.read()
    assert waiting.look() is True


def test_waiting_for_a_record_that_reading_does_not_show_ends_as_unknown(systems: Systems) -> None:
    waiting = Waiting(systems.connection, "account", "A-9", "ops")
    assert (waiting.look(), waiting.unknown) == (None, False)
    systems.cycle.read()
    assert (waiting.look(), waiting.unknown) == (None, True)
    assert Waiting(systems.connection, "nonsense", "A-9", "ops").look() is None
