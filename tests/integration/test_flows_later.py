"""References that are filled in later: self-references, rings and deep chains arrive whole, in two passes."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from replicator.cycle import Cycle
from replicator.mapping.compiled import compile_folder
from replicator.solution.generate import create_objects, drop_objects
from tests.fixtures.hub import SCHEMA
from tests.fixtures.schema_files import SchemaFiles
from tests.fixtures.staff import Staff
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

STUCK = "a title that is too long"


def test_teams_arrive_below_their_parents_whatever_comes_first(staff: Staff) -> None:
    staff.team("C", "B")
    staff.team("B", "A")
    staff.team("A")
    staff.once()
    assert staff.tree() == staff.common() == {"A": None, "B": "A", "C": "B"}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


@pytest.mark.parametrize("ring", ["A", "AB", "ABC"])
def test_a_ring_lands_whole(staff: Staff, ring: str) -> None:
    staff.directory.rings_allowed = True
    expected = dict(zip(ring, ring[1:] + ring[0], strict=True))
    for code, parent in expected.items():
        staff.team(code, parent)
    assert staff.once() == Counter(create=len(ring), update=len(ring))
    assert staff.tree() == staff.common() == expected
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_ring_of_two_entities_lands_whole(staff: Staff) -> None:
    staff.team("A", leader="Ada")
    staff.member("Ada", "A")
    staff.once()
    assert [row["LeaderNumber"] for row in staff.directory.of("Teams").values()] == ["Ada"]
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


@pytest.mark.parametrize(("order", "depth"), [("parents first", 500), ("children first", 5000)])
def test_a_deep_chain_lands_in_two_passes(staff: Staff, order: str, depth: int) -> None:
    names = [f"T{place:04}" for place in range(depth)]
    expected: dict[str, str | None] = dict(zip(names, [None, *names[:-1]], strict=True))
    for code in names if order == "parents first" else reversed(names):
        staff.team(code, expected[code])
    staff.directory.rings_allowed = True  # Only for speed: it walks up the chain for every write otherwise.
    asked = staff.once()
    assert staff.tree() == staff.common() == expected
    assert (staff.blocked(), staff.directory.refused) == ({}, [])
    assert asked["create"] == depth
    assert asked["update"] < depth
    assert max(staff.writes.values()) <= 2
    assert staff.requests <= 2 * depth / 100 + 10


def test_a_team_whose_parent_is_refused_is_there_without_it_and_says_so(staff: Staff) -> None:
    staff.team("A", title=STUCK)
    staff.team("B", "A", title="old")
    staff.team("C", "B")
    staff.member("Bob", "B")
    staff.once()
    assert staff.tree() == {"B": None, "C": "B"}
    assert staff.blocked() == {"B": ("team A in directory", "update")}
    assert [row["Number"] for row in staff.directory.of("Members").values()] == ["Bob"]
    staff.team("B", "A", title="new")
    assert staff.once() == Counter(update=1)
    assert staff.blocked() == {"B": ("team A in directory", "update")}
    staff.team("A", title="short")
    assert staff.once() == Counter(create=1, update=1)
    assert staff.tree() == {"A": None, "B": "A", "C": "B"}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_team_whose_parent_the_target_refused_is_complete_in_the_cycle_in_which_it_lands(staff: Staff) -> None:
    staff.directory.refuses = {"A"}
    staff.team("A")
    staff.team("B", "A")
    staff.once()
    assert staff.tree() == {"B": None}
    assert staff.directory.refused == ["A is not welcome"]
    staff.directory.refuses = set()
    staff.team("A", title="again")
    assert staff.once() == Counter(create=1, update=1)
    assert staff.tree() == {"A": None, "B": "A"}
    assert staff.blocked() == {}


def test_the_hub_fills_in_a_parent_that_it_did_not_know(staff: Staff) -> None:
    staff.team("A", secret=True)
    staff.team("B", "A")
    staff.once()
    assert staff.common() == staff.tree() == {"B": None}
    assert staff.blocked() == {"B": ("team A", "update")}
    staff.team("A")
    staff.once()
    assert staff.common() == staff.tree() == {"A": None, "B": "A"}
    assert staff.blocked() == {}


def test_a_parent_and_its_child_change_places_without_a_ring(staff: Staff) -> None:
    staff.team("A")
    staff.team("B", "A")
    staff.team("C", "B")
    staff.once()
    staff.team("B")
    staff.team("A", "B")
    assert staff.once() == Counter(update=2)
    assert staff.tree() == {"A": "B", "B": None, "C": "B"}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_team_goes_below_what_stands_below_one_that_moves_away_without_a_ring(staff: Staff) -> None:
    for code, parent in (("A", None), ("B", "A"), ("C", "B"), ("D", "C")):
        staff.team(code, parent)
    staff.once()
    staff.team("B")
    staff.team("A", "D")
    assert staff.once() == Counter(update=2)
    assert staff.tree() == {"A": "D", "B": None, "C": "B", "D": "C"}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_chain_is_turned_round_without_a_ring_in_two_writes_each(staff: Staff) -> None:
    names = [f"T{place:03}" for place in range(200)]
    for code, parent in zip(names, [None, *names[:-1]], strict=True):
        staff.team(code, parent)
    staff.once()
    turned: dict[str, str | None] = dict(zip(names, [*names[1:], None], strict=True))
    for code, parent in turned.items():
        staff.team(code, parent)
    asked = staff.once()
    assert staff.requests <= 10
    assert staff.tree() == turned
    assert (staff.blocked(), staff.directory.refused) == ({}, [])
    assert asked["update"] <= 2 * len(names)


def test_one_team_that_moves_is_written_once(staff: Staff) -> None:
    for code, parent in (("A", None), ("B", None), ("C", "A"), ("D", "C")):
        staff.team(code, parent)
    staff.once()
    staff.team("C", "B")
    assert staff.once() == Counter(update=1)
    assert staff.tree() == {"A": None, "B": None, "C": "B", "D": "C"}


def test_a_team_waits_for_the_place_of_one_that_cannot_move_yet_and_others_do_not(staff: Staff) -> None:
    for code, parent in (("A", None), ("B", "A"), ("C", None), ("D", None)):
        staff.team(code, parent)
    staff.once()
    staff.directory.refuses = {"bad"}
    staff.team("B", title="bad")
    staff.team("A", "B")
    staff.team("D", "C")
    staff.once()
    assert staff.tree() == {"A": None, "B": "A", "C": None, "D": "C"}
    assert staff.blocked() == {"A": ("team B in directory to stand in its new place", "update")}
    staff.team("B", title="good")
    assert staff.once() == Counter(update=2)
    assert staff.tree() == {"A": "B", "B": None, "C": None, "D": "C"}
    assert (staff.blocked(), staff.directory.refused) == ({}, ["bad is not welcome"])


def test_any_move_at_random_makes_no_ring_on_the_way(staff: Staff) -> None:
    random = Random(7)
    names = [f"T{place:02}" for place in range(30)]
    for _ in range(6):
        random.shuffle(names)
        expected = {code: random.choice([None, *names[:place]]) for place, code in enumerate(names)}
        for code, parent in expected.items():
            staff.team(code, parent)
        staff.once()
        assert staff.tree() == staff.common() == expected
        assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_parent_goes_when_its_children_have_let_go(staff: Staff) -> None:
    for code, parent in (("A", None), ("B", "A"), ("C", "A"), ("D", None)):
        staff.team(code, parent)
    staff.once()
    staff.team("B", "D")
    staff.team("C")
    staff.remove("A")
    assert staff.once() == Counter(update=2, delete=1)
    assert staff.tree() == staff.common() == {"B": "D", "C": None, "D": None}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_parent_that_is_gone_leaves_its_children_without_one(staff: Staff) -> None:
    for code, parent in (("A", None), ("B", "A")):
        staff.team(code, parent)
    staff.once()
    staff.remove("A")
    assert staff.once() == Counter(update=1, delete=1)
    assert staff.tree() == staff.common() == {"B": None}
    assert set(staff.blocked()) == {"B"}
    assert staff.directory.refused == []


def test_a_parent_waits_for_a_child_that_cannot_let_go(staff: Staff) -> None:
    for code, parent in (("A", None), ("B", "A")):
        staff.team(code, parent)
    staff.once()
    staff.directory.refuses = {"bad"}
    staff.remove("A")
    staff.team("B", title="bad")
    staff.once()
    assert staff.tree() == {"A": None, "B": "A"}
    assert staff.blocked()["A"] == ("team B in directory to let go of it", None)
    staff.team("B", title="good")
    staff.once()
    assert staff.tree() == {"B": None}
    assert staff.directory.refused == ["bad is not welcome"]


@pytest.mark.parametrize("ring", ["A", "AB", "ABC"])
def test_a_whole_ring_is_deleted(staff: Staff, ring: str) -> None:
    staff.directory.rings_allowed = True
    staff.team("Z")
    for code, parent in zip(ring, ring[1:] + ring[0], strict=True):
        staff.team(code, parent)
    staff.once()
    staff.remove(*ring)
    asked = staff.once()
    assert staff.tree() == staff.common() == {"Z": None}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])
    assert asked.total() <= 2 * len(ring)


def test_a_whole_ring_of_two_entities_is_deleted(staff: Staff) -> None:
    staff.team("Z")
    staff.member("Zoe", "Z")
    staff.team("A", leader="Ada")
    staff.member("Ada", "A")
    staff.once()
    staff.remove("A", "Ada")
    assert staff.once() == Counter(update=1, delete=2)
    assert staff.tree() == staff.common() == {"Z": None}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_whole_chain_is_deleted_in_two_passes(staff: Staff) -> None:
    names = [f"T{place:03}" for place in range(200)]
    staff.team("Z")
    for code, parent in zip(names, [None, *names[:-1]], strict=True):
        staff.team(code, parent)
    staff.once()
    staff.remove(*names)
    asked = staff.once()
    assert staff.tree() == staff.common() == {"Z": None}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])
    assert asked["delete"] == len(names)
    assert asked["update"] < len(names)
    assert staff.requests <= 10


# The simulated systems themselves: the parent account of sales as the invoice account of ops

PARENTS = (
    "alter table common.account add parent_id bigint references common.account deferrable initially deferred",
    "alter table log.common_account add parent_id bigint",
    "alter table sales.accounts add parentaccountid uuid",
    "alter table log.sales_accounts add parentaccountid uuid",
    "alter table ops.customers_v3 add invoice_account text",
    "alter table log.ops_customers_v3 add invoice_account text",
)


@pytest.fixture
def with_parents(systems: Systems, tmp_path: Path) -> Systems:
    """The product's own schema, and a parent account in it."""
    files = SchemaFiles(tmp_path / "schema")
    shutil.copytree(SCHEMA, files.folder)
    files.replace("common/account.yaml", "fields:\n", "fields:\n  parent: {reference: account}\n")
    accounts, customers = "sales/accounts.yaml", "ops/CustomersV3.yaml"
    files.replace(accounts, "  statecode:", "  parentaccountid: {type: reference, to: [accounts]}\n  statecode:")
    last = "      description: description"
    files.replace(accounts, last, f"      parent: {{reference: parentaccountid, need: later}}\n{last}")
    files.replace(customers, "  OnHoldStatus:", "  InvoiceAccount: {}\n  OnHoldStatus:")
    invoiced = (
        "references:\n  invoiced: {to: CustomersV3, by: {dataAreaId: dataAreaId, InvoiceAccount: CustomerAccount}}"
    )
    files.replace(customers, "maps:\n", f"{invoiced}\nmaps:\n")
    last = "      SalesMemo: description"
    files.replace(customers, last, f"      InvoiceAccount: {{reference: parent, need: later}}\n{last}")
    compiled = compile_folder(files.folder)
    with systems.connection.begin():
        drop_objects(systems.connection)
        for statement in PARENTS:
            systems.connection.execute(sa.text(statement))
        create_objects(systems.connection, compiled)
    systems.cycle = Cycle(replace(systems.cycle.world, compiled=compiled), systems.connection)
    systems.reference_data()
    return systems


def invoice_accounts(systems: Systems) -> dict[str, Any]:
    return {row["CustomerAccount"]: row["InvoiceAccount"] or None for row in systems.held("ops", "CustomersV3")}


def below(systems: Systems, account: Mapping[str, Any], parent: Mapping[str, Any] | None) -> None:
    parent_id = None if parent is None else parent["accountid"]
    systems.sales.put("accounts", {"accountid": account["accountid"], "_parentaccountid_value": parent_id})


def test_parent_accounts_of_sales_become_invoice_accounts_of_ops(with_parents: Systems) -> None:
    systems = with_parents
    first, second, third = (systems.account(number) for number in ("A-1", "A-2", "A-3"))
    below(systems, first, second)
    below(systems, second, third)
    systems.settle()
    assert invoice_accounts(systems) == {"A-1": "A-2", "A-2": "A-3", "A-3": None}
    below(systems, second, first)
    below(systems, first, None)
    below(systems, third, second)
    systems.settle()
    assert invoice_accounts(systems) == {"A-1": None, "A-2": "A-1", "A-3": "A-2"}
    assert systems.why("failed") == systems.why("blocked") == {}
