"""Fields that either side may change: what changed alone goes to the other side, what met another change is a conflict.

The product's schema with the phone, fax, website, description and credit limit of customers opened to both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from replicator.mapping.compiled import Compiled, compile_folder
from tests.fixtures.commands import Workplace, until
from tests.fixtures.either import write_either_schema
from tests.fixtures.hub import migrated
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

CUSTOMERS = "CustomersV3"
IN_SALES = {"phone": "telephone1", "fax": "fax", "website": "websiteurl", "description": "description",
            "credit_limit": "creditlimit"}  # fmt: skip
IN_OPS = {"phone": "PrimaryContactPhone", "fax": "PrimaryContactFax", "website": "PrimaryContactURL",
          "description": "SalesMemo", "credit_limit": "CreditLimit"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The schema of these tests."""
    return write_either_schema(tmp_path_factory.mktemp("either") / "schema")


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Compiled:
    """The schema of these tests, compiled."""
    return compile_folder(folder)


@pytest.fixture(scope="module")
def template(server_url: str, compiled: Compiled, folder: Path) -> Iterator[str]:
    """A migrated database with that schema."""
    with migrated(server_url, compiled, folder) as name:
        yield name


@pytest.fixture(autouse=True)
def reference_data(systems: Systems) -> None:
    """What sales needs before anything else."""
    systems.reference_data()


@pytest.fixture
def both(systems: Systems) -> Both:
    """An account that is in both systems, with a value in each of the fields."""
    systems.account("A-1", telephone1="1", fax="1", websiteurl="one", description="one", creditlimit=100)
    systems.settle()
    return Both(systems)


class Both:
    """One customer as each of the two systems, and common, hold it; and how people change it there."""

    def __init__(self, systems: Systems) -> None:
        self.systems = systems

    def sales(self, **fields: object) -> None:
        """A person changes the account in sales."""
        (account,) = self.systems.held("sales", "accounts", accountnumber="A-1")
        values = {IN_SALES[name]: value for name, value in fields.items()}
        self.systems.sales.put("accounts", {"accountid": account["accountid"], **values})

    def ops(self, **fields: object) -> None:
        """A person changes the customer in ops."""
        values = {IN_OPS[name]: value for name, value in fields.items()}
        self.systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", **values})

    def common(self, field: str, value: object) -> None:
        """A person changes the common record with SQL."""
        statements = {
            "phone": "update common.account set phone = :value where number = 'A-1'",
            "fax": "update common.account set fax = :value where number = 'A-1'",
        }
        self.systems.run(statements[field], value=value)

    def held(self, field: str) -> tuple[object, object, object]:
        """What sales, common and ops hold."""
        (account,) = self.systems.held("sales", "accounts", accountnumber="A-1")
        (customer,) = self.systems.held("ops", CUSTOMERS, CustomerAccount="A-1")
        (common,) = self.systems.rows("select to_jsonb(a) as row from common.account a where number = 'A-1'")
        return account[IN_SALES[field]], common["row"][field], customer[IN_OPS[field]]

    def conflicts(self) -> list[dict[str, Any]]:
        """All that is known about conflicts."""
        return self.systems.rows("select * from sync.conflict order by id")

    def open(self) -> dict[str, Any]:
        """The one open conflict."""
        (found,) = self.systems.rows("select * from sync.conflicts")
        return found

    def meet(self, field: str = "phone", in_sales: object = "2", in_ops: object = "3") -> None:
        """Both sides change the field between two looks of the hub."""
        self.sales(**{field: in_sales})
        self.ops(**{field: in_ops})
        self.systems.settle()

    def resolve(self, call: str) -> None:
        """A person decides the open conflict."""
        self.systems.run(f"select sync.resolve({self.open()['id']}, {call})")
        self.systems.settle()


def test_a_field_that_either_side_may_change_travels_both_ways(both: Both) -> None:
    both.ops(phone="2")
    both.systems.settle()
    assert both.held("phone") == ("2", "2", "2")
    both.sales(phone="3")
    both.systems.settle()
    assert both.held("phone") == ("3", "3", "3")
    assert both.conflicts() == []


def test_a_value_taken_away_on_one_side_is_taken_away_on_the_other(both: Both) -> None:
    both.ops(phone="", credit_limit=0)
    both.systems.settle()
    assert both.held("phone") == (None, None, "")
    assert both.held("credit_limit") == (None, None, 0)


def test_the_other_fields_keep_their_one_master(both: Both) -> None:
    both.systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": "Other",
                                     "PrimaryContactPhone": "2"})  # fmt: skip
    both.systems.settle()
    (customer,) = both.systems.ops.records(CUSTOMERS)
    assert (customer["OrganizationName"], customer["PrimaryContactPhone"]) == ("Account A-1", "2")
    assert both.held("phone") == ("2", "2", "2")


def test_a_customer_that_ops_creates_becomes_an_account_in_sales(systems: Systems) -> None:
    systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", "PartyType": "Organization",
                                "OrganizationName": "Made in ops", "CustomerGroupId": "10", "SalesCurrencyCode": "USD",
                                "PrimaryContactPhone": "7"})  # fmt: skip
    systems.settle()
    (account,) = systems.sales.records("accounts")
    assert (account["accountnumber"], account["name"], account["telephone1"]) == ("A-1", "Made in ops", "7")


def test_a_person_s_edit_of_common_travels_to_both_sides(both: Both) -> None:
    both.common("phone", "2")
    both.systems.settle()
    assert both.held("phone") == ("2", "2", "2")
    assert both.conflicts() == []


def test_changes_to_different_fields_of_one_record_on_both_sides_merge_without_a_conflict(both: Both) -> None:
    both.sales(phone="2", credit_limit=200)
    both.ops(description="two", fax="3")
    both.common("phone", "1")
    both.systems.settle()
    assert both.held("phone") == ("2", "2", "2")
    assert both.held("credit_limit") == (200, 200, 200)
    assert both.held("description") == ("two", "two", "two")
    assert both.held("fax") == ("3", "3", "3")
    assert both.conflicts() == []


def test_the_same_change_on_both_sides_is_no_conflict(both: Both) -> None:
    both.meet("phone", "2", "2")
    both.meet("credit_limit", 250, 250.0)
    assert both.held("phone") == ("2", "2", "2")
    assert both.conflicts() == []


def test_the_same_field_changed_on_both_sides_waits_for_a_person_and_overwrites_nobody(both: Both) -> None:
    both.meet()
    assert (both.held("phone")[0], both.held("phone")[2]) == ("2", "3")
    (found,) = both.conflicts()
    assert (found["entity"], found["record"], found["field"], found["state"]) == ("account", "A-1", "phone", "open")
    assert found["base"] == "1"
    assert found["held"] == {"common": both.held("phone")[1], "sales": "2", "ops": "3"}
    assert (found["decided_by"], found["decided_at"]) == (None, None)
    assert sum(row["conflicts"] for row in both.systems.rows("select conflicts from sync.status")) == 1


def test_other_fields_of_a_record_travel_while_one_is_in_conflict(both: Both) -> None:
    both.meet()
    both.sales(description="from sales")
    both.ops(credit_limit=300)
    both.systems.settle()
    assert both.held("description") == ("from sales", "from sales", "from sales")
    assert both.held("credit_limit") == (300, 300, 300)
    assert (both.held("phone")[0], both.held("phone")[2]) == ("2", "3")


@pytest.mark.parametrize(("call", "winner"), [("'sales'", "2"), ("'ops'", "3"), ("value => '4'", "4"),
                                              ("value => ''", None), ("value => '1'", "1")])  # fmt: skip
def test_a_person_decides_and_the_value_goes_to_both_sides(both: Both, call: str, winner: str | None) -> None:
    both.meet()
    both.resolve(call)
    assert both.held("phone") == (winner, winner, winner or "")
    (found,) = both.conflicts()
    assert (found["state"], found["decided"]) == ("decided", winner)
    assert found["decision"] == (call.strip("'") if call[0] == "'" else "value")
    assert found["decided_by"] == both.systems.rows("select session_user::text as name")[0]["name"]
    assert {found["held"]["sales"], found["held"]["ops"]} == {"2", "3"}


def test_a_person_decides_for_what_common_holds(both: Both) -> None:
    both.meet()
    held = both.held("phone")[1]
    both.resolve("'common'")
    assert both.held("phone") == (held, held, held)


def test_after_a_decision_the_field_is_open_to_both_sides_again(both: Both) -> None:
    both.meet()
    both.resolve("'sales'")
    both.ops(phone="5")
    both.systems.settle()
    assert both.held("phone") == ("5", "5", "5")
    both.meet("phone", "6", "7")
    assert both.open()["base"] == "5"


def test_a_change_made_after_a_decision_was_seen_is_a_change_and_no_part_of_it(both: Both) -> None:
    both.meet()
    both.systems.run(f"select sync.resolve({both.open()['id']}, value => '4')")
    both.ops(phone="5")
    both.sales(phone="6")
    both.systems.settle()
    assert {both.held("phone")[0], both.held("phone")[2]} == {"6", "5"}
    assert {conflict["state"] for conflict in both.conflicts()} == {"open", "decided"}


@pytest.mark.parametrize(("field", "winner"), [("fax", "2"), ("website", "3")])
def test_a_named_winner_decides_at_once_and_the_loser_is_kept(both: Both, field: str, winner: str) -> None:
    both.meet(field)
    assert both.held(field) == (winner, winner, winner)
    (found,) = both.conflicts()
    assert (found["state"], found["decided_by"], found["base"]) == ("decided", "policy", {"fax": "1"}.get(field, "one"))
    assert (found["held"]["sales"], found["held"]["ops"], found["decided"]) == ("2", "3", winner)
    assert found["decision"] in ({"2": "sales", "3": "ops"}[winner], "common")
    assert both.systems.rows("select * from sync.conflicts") == []


def test_the_winner_wins_whoever_is_heard_first(both: Both) -> None:
    both.sales(fax="2", website="2")
    both.ops(fax="3", website="3")
    for system in ("ops", "sales"):
        both.systems.cycle.read([system])
        both.systems.cycle.merge()
    both.systems.settle()
    assert (both.held("fax"), both.held("website")) == (("2", "2", "2"), ("3", "3", "3"))
    both.sales(fax="4", website="4")
    both.ops(fax="5", website="5")
    for system in ("sales", "ops"):
        both.systems.cycle.read([system])
        both.systems.cycle.merge()
    both.systems.settle()
    assert (both.held("fax"), both.held("website")) == (("4", "4", "4"), ("5", "5", "5"))
    assert {(row["state"], row["decided_by"]) for row in both.conflicts()} == {("decided", "policy")}


def test_a_person_s_edit_of_common_against_a_change_at_a_side_is_a_conflict(both: Both) -> None:
    both.common("phone", "4")
    both.ops(phone="3")
    both.systems.settle()
    assert both.held("phone") == ("4", "4", "3")
    assert both.open()["held"] == {"common": "4", "ops": "3", "sales": "4"}


def test_two_records_linked_for_the_first_time_with_different_values_are_a_conflict_without_a_base(
    systems: Systems,
) -> None:
    systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", "PartyType": "Organization",
                                "OrganizationName": "Account A-1", "CustomerGroupId": "10", "SalesCurrencyCode": "USD",
                                "PrimaryContactPhone": "3", "SalesMemo": "same",
                                "PrimaryContactURL": "ops.example"})  # fmt: skip
    systems.account("A-1", telephone1="2", description="same", websiteurl="sales.example")
    systems.settle()
    both = Both(systems)
    found = both.open()
    assert (found["field"], found["base"], found["held"]["sales"], found["held"]["ops"]) == ("phone", None, "2", "3")
    assert (both.held("phone")[0], both.held("phone")[2]) == ("2", "3")
    assert both.held("website") == ("ops.example", "ops.example", "ops.example")
    both.resolve("'ops'")
    assert both.held("phone") == ("3", "3", "3")


def test_a_conflict_is_over_when_a_side_takes_its_change_back(both: Both) -> None:
    both.meet()
    mine = both.open()["system"]
    {"sales": both.sales, "ops": both.ops}[mine](phone="1")
    both.systems.settle()
    assert len(set(both.held("phone"))) == 1
    assert [(row["state"], row["decided_by"]) for row in both.conflicts()] == [("decided", "change")]


def test_a_conflict_is_over_when_both_sides_come_to_say_the_same(both: Both) -> None:
    both.meet()
    both.sales(phone="9")
    both.ops(phone="9")
    both.systems.settle()
    assert both.held("phone") == ("9", "9", "9")
    assert [(row["state"], row["decided_by"], row["decided"]) for row in both.conflicts()] == [
        ("decided", "change", "9")
    ]


def test_an_open_conflict_shows_what_the_sides_hold_now(both: Both) -> None:
    both.meet()
    both.sales(phone="8")
    both.ops(phone="9")
    both.systems.settle()
    (found,) = both.conflicts()
    assert (found["held"]["sales"], found["held"]["ops"], found["base"]) == ("8", "9", "1")


def test_a_change_under_the_integration_user_s_name_counts_like_any_other(both: Both) -> None:
    with both.systems.connection.begin():
        both.systems.connection.execute(sa.text("select set_config('sync.origin', 'deliver:ops', true)"))
        both.systems.connection.execute(sa.text("update ops.customers_v3 set primary_contact_phone = '2'"))
    both.systems.cycle.merge()
    assert both.systems.rows("select phone from common.account") == [{"phone": "2"}]
    assert both.systems.rows("select origin from log.change where relation = 'ops.customers_v3'::regclass "
                             "order by seq desc limit 1") == [{"origin": "deliver:ops"}]  # fmt: skip


def test_a_change_that_is_taken_back_before_the_other_side_heard_of_it_is_taken_back(both: Both) -> None:
    both.sales(phone="2")
    both.systems.cycle.read(["sales"])
    both.systems.cycle.merge()
    both.sales(phone="1")
    both.systems.settle()
    assert both.held("phone") == ("1", "1", "1")
    assert both.conflicts() == []


def test_a_value_that_the_target_amends_is_no_change_of_its_own(both: Both) -> None:
    both.ops(credit_limit=10.12345)
    both.systems.settle()
    assert [str(value) for value in both.held("credit_limit")] == ["10.1235", "10.12345", "10.12345"]
    both.ops(credit_limit=20.5)
    both.systems.settle()
    assert both.held("credit_limit") == (20.5, 20.5, 20.5)
    both.ops(credit_limit=10.12345)
    both.systems.settle()
    both.sales(credit_limit=30)
    both.systems.settle()
    assert both.held("credit_limit") == (30, 30, 30)
    assert both.conflicts() == []


def meanwhile(systems: Systems, system: str, act: Callable[[], None], *, lost: bool = False) -> None:
    """Let ``act`` happen after the next write of the system was carried out, and before it is answered (or not)."""
    wire = systems.wire[system]
    carry_out = wire.handle_request

    def handle(request: httpx2.Request) -> httpx2.Response:
        answer = carry_out(request)
        if b"PATCH" in request.read() and wire.handle_request is handle:
            wire.handle_request = carry_out  # type: ignore[method-assign]
            act()
            if lost:
                raise httpx2.ReadError("the answer is lost", request=request)
        return answer

    wire.handle_request = handle  # type: ignore[method-assign]


@pytest.mark.parametrize("lost", [False, True])
def test_common_may_move_on_while_a_write_is_under_way(both: Both, hub: sa.Engine, lost: bool) -> None:
    def edit() -> None:
        with hub.begin() as other:
            other.execute(sa.text("update common.account set phone = '5'"))

    meanwhile(both.systems, "ops", edit, lost=lost)
    both.sales(phone="2")
    both.systems.once()
    both.systems.problems.found.clear()
    both.systems.run("select set_config('sync.now', (now() + interval '1 hour')::text, false)")  # past every pause
    both.systems.settle()
    assert both.held("phone") == ("5", "5", "5")
    assert both.conflicts() == []


def test_a_change_that_the_hub_has_not_read_is_not_written_over(both: Both) -> None:
    both.sales(phone="2")
    both.systems.cycle.read()
    both.systems.cycle.merge()
    both.ops(phone="3")
    both.systems.settle()
    assert (both.held("phone")[0], both.held("phone")[2]) == ("2", "3")
    assert both.open()["held"] == {"common": "2", "ops": "3", "sales": "2"}


def test_a_person_who_changes_common_in_the_midst_of_a_merge_is_heard(both: Both, hub: sa.Engine) -> None:
    both.sales(description="two")
    both.systems.cycle.read(["sales"])
    with hub.connect() as other, hub.connect() as watcher:
        person = other.begin()
        other.execute(sa.text("update common.account set phone = '4'"))
        watcher = watcher.execution_options(isolation_level="AUTOCOMMIT")
        waiting = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

        def commit() -> None:
            until(lambda: watcher.scalar(sa.text(waiting)), what="the merge waits for the person")
            person.commit()

        thread = Thread(target=commit)
        thread.start()
        both.systems.cycle.merge()
        thread.join()
    both.systems.settle()
    assert both.held("phone") == ("4", "4", "4")
    assert both.held("description") == ("two", "two", "two")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("{id}, 'moon'", "holds no value of moon"),
        ("{id}", "say whose value to take, or give one"),
        ("{id}, 'ops', 'x'", "say whose value to take, or give one"),
        ("{id} + 1, 'ops'", "is not open"),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(both: Both, call: str, words: str) -> None:
    both.meet()
    with pytest.raises(DBAPIError, match=words):
        both.systems.run(f"select sync.resolve({call.format(id=both.open()['id'])})")
    assert both.open()["held"]["ops"] == "3"


def test_a_decision_about_what_common_holds_no_more_is_refused(both: Both) -> None:
    both.meet()
    number = both.open()["id"]
    both.common("phone", "8")
    with pytest.raises(DBAPIError, match="common has changed since conflict"):
        both.systems.run(f"select sync.resolve({number}, 'sales')")
    both.systems.settle()
    assert both.open()["held"]["common"] == "8"


def test_the_base_is_kept_for_these_fields_alone_and_goes_with_the_pair(both: Both) -> None:
    bases = both.systems.rows(
        "select m.system, b.field, b.common, b.side from sync.base b join sync.map m on m.id = map_id"
    )
    assert {(row["system"], row["field"]) for row in bases} == {(s, f) for s in ("sales", "ops") for f in IN_SALES}
    assert all(row["common"] == row["side"] for row in bases)
    both.systems.run("update sync.link_ops_customers_v3__account set ended_at = now()")
    both.systems.run("select sync.prune('0 days')")
    assert {
        row["system"] for row in both.systems.rows("select system from sync.base join sync.map on id = map_id")
    } == {"sales"}


def test_the_commands_list_conflicts_and_decide_them(both: Both, folder: Path, hub_url: str, tmp_path: Path) -> None:
    place = Workplace(tmp_path, hub_url)
    place.configure({"sales": "http://localhost:1", "ops": "http://localhost:2"}, more=f"schema: {folder}\n")
    assert place.tell("conflicts").out == ""
    both.meet()
    number = str(both.open()["id"])
    listed = place.tell("conflicts").out
    assert f"{number}  account A-1  phone: common " in listed
    assert "ops '3', sales '2'; before '1'" in listed
    (told,) = place.tell("conflicts", "--json").json["conflicts"]
    assert (told["field"], told["held"]["sales"]) == ("phone", "2")
    assert place.tell("status").code == 3
    assert place.tell("resolve", number).code == 2
    refused = place.tell("resolve", number, "--take", "moon")
    assert (refused.code, "holds no value of moon" in refused.err) == (1, True)
    assert place.tell("resolve", number, "--take", "ops").out == f"conflict {number} is decided\n"
    both.systems.settle()
    assert both.held("phone") == ("3", "3", "3")
    both.meet("phone", "4", "5")
    number = str(both.open()["id"])
    assert place.tell("resolve", number, "--value", "6", "--json").json == {"resolved": int(number)}
    both.systems.settle()
    assert both.held("phone") == ("6", "6", "6")
    assert place.tell("status").code == 0


def test_values_longer_than_the_field_cannot_be_decided(both: Both, folder: Path, hub_url: str, tmp_path: Path) -> None:
    place = Workplace(tmp_path, hub_url)
    place.configure({"sales": "http://localhost:1", "ops": "http://localhost:2"}, more=f"schema: {folder}\n")
    both.meet()
    refused = place.tell("resolve", str(both.open()["id"]), "--value", "7" * 51)
    assert refused.code == 1
    assert "ck_account_phone_length" in refused.err
