"""``drift: report``: what somebody changes in the target is shown and left, until a person or the master decides."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from replicator.mapping.compiled import Compiled, compile_folder
from replicator.operate.reconciliation import Reconciliation
from tests.fixtures.hub import SCHEMA, migrated
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

CUSTOMERS = "CustomersV3"
MAP = "  - from: account\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The product's schema; changes of customers in ops are reported."""
    folder = tmp_path_factory.mktemp("drift") / "schema"
    shutil.copytree(SCHEMA, folder)
    path = folder / "ops" / f"{CUSTOMERS}.yaml"
    text = path.read_text(encoding="utf-8")
    assert MAP in text
    path.write_text(text.replace(MAP, f"{MAP}    drift: report\n"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Compiled:
    return compile_folder(folder)


@pytest.fixture(scope="module")
def template(server_url: str, compiled: Compiled, folder: Path) -> Iterator[str]:
    """A migrated database with that schema."""
    with migrated(server_url, compiled, folder) as name:
        yield name


@pytest.fixture
def account(systems: Systems) -> Any:
    """An account that was delivered, and whose name somebody changed in ops since."""
    systems.reference_data()
    account = systems.account("A-1", name="Ours", telephone1="1")
    systems.settle()
    systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": "Theirs"})
    systems.settle()
    return account


def customer(systems: Systems) -> dict[str, Any]:
    (found,) = systems.ops.records(CUSTOMERS)
    return found


def test_a_change_in_the_target_is_shown_with_its_field_and_left(systems: Systems, account: Any) -> None:
    assert customer(systems)["OrganizationName"] == "Theirs"
    [found] = systems.rows("select record, state, reason from sync.failed")
    assert (found["record"], found["state"]) == ("A-1", "reported")
    assert "organization_name" in found["reason"] or "OrganizationName" in found["reason"]
    assert "retry puts it back" in found["reason"]


def test_a_retry_puts_it_back(systems: Systems, account: Any) -> None:
    systems.run("select sync.retry(null, 'A-1')")
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Ours"
    assert systems.why("failed") == {}


def test_a_repair_puts_it_back(systems: Systems, account: Any) -> None:
    found = Reconciliation(systems.cycle.world, systems.connection).run(repair=True, limit=10)
    assert (found.repaired, found.left, found.explained) == (1, {}, {})
    assert customer(systems)["OrganizationName"] == "Ours"


def test_other_fields_of_the_record_still_follow_their_master(systems: Systems, account: Any) -> None:
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2"})
    systems.settle()
    assert (customer(systems)["OrganizationName"], customer(systems)["PrimaryContactPhone"]) == ("Theirs", "2")
    assert set(systems.why("failed")) == {"A-1"}


def test_a_new_value_of_the_master_is_written_over_it(systems: Systems, account: Any) -> None:
    systems.sales.put("accounts", {"accountid": account["accountid"], "name": "Ours anew"})
    systems.settle()
    assert customer(systems)["OrganizationName"] == "Ours anew"
    assert systems.why("failed") == {}


def test_it_is_over_when_somebody_takes_the_change_back(systems: Systems, account: Any) -> None:
    systems.ops.put(CUSTOMERS, {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": "Ours"})
    systems.settle()
    assert systems.why("failed") == {}


def test_a_retry_also_puts_it_back_beside_another_change(systems: Systems, account: Any) -> None:
    systems.run("select sync.retry(null, 'A-1')")
    systems.sales.put("accounts", {"accountid": account["accountid"], "telephone1": "2"})
    systems.settle()
    assert (customer(systems)["OrganizationName"], customer(systems)["PrimaryContactPhone"]) == ("Ours", "2")
    assert systems.why("failed") == {}
