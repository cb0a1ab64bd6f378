"""A hub that is restored from a backup, by the commands: what it wrote meanwhile and nobody has any more is shown."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.commands import Systems, Workplace, in_hub
from tests.fixtures.postgres import create_database, drop_database, name_of

OWN = {
    "dataAreaId": "usmf", "CustomerAccount": "OWN-1", "OrganizationName": "Ours", "PartyType": "Organization",
    "CustomerGroupId": "30", "SalesCurrencyCode": "USD",
}  # fmt: skip


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems in step, but for a customer that only ops knows."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    systems.create("ops", "CustomersV3", OWN)
    account(systems, "A-1")
    done = workplace.tell("once")
    assert done.code == 0, done.told
    return systems


@pytest.fixture
def backup(workplace: Workplace, systems: Systems, server_url: str) -> Iterator[str]:
    """The hub as it is now, restored at another place."""
    kept = name_of(workplace.environment["HUB_URL"])
    yield create_database(server_url, f"{kept}_restored", kept)
    drop_database(server_url, f"{kept}_restored")


def account(systems: Systems, number: str) -> None:
    systems.create("sales", "accounts", {"accountnumber": number, "name": number, "address1_country": "Germany"})


def test_what_a_hub_wrote_after_its_backup_and_has_no_source_is_shown_until_somebody_decides(
    workplace: Workplace, systems: Systems, backup: str
) -> None:
    for number in ("A-2", "A-3"):
        account(systems, number)
    assert workplace.tell("once").code == 0
    (gone,) = (row for row in systems.records("sales", "accounts") if row["accountnumber"] == "A-2")
    systems.delete("sales", f"accounts({gone['accountid']})")
    workplace.environment["HUB_URL"] = backup

    planned = workplace.tell("plan")
    assert planned.code == 3, planned.told
    assert "orphaned" in planned.out, "a plan reads everything too, and sees it"
    done = workplace.tell("once")
    assert done.code == 3, done.told
    assert "orphaned: 1 record of ops.CustomersV3" in done.out
    assert "orphaned      ops.CustomersV3  A-2  found when the hub was restored" in done.out
    status = workplace.tell("status")
    assert (status.code, "orphaned: 1 record of ops.CustomersV3" in status.out) == (3, True)
    assert workplace.tell("status", "--json").json["orphaned"][0]["records"] == 1
    assert "orphaned" in workplace.tell("causes").out
    explained = workplace.tell("explain", "ops.CustomersV3", "usmf,A-2").out
    assert "> orphan: ops.CustomersV3 A-2: orphaned" in explained
    assert "replicator skip" in explained
    compared = workplace.tell("reconcile")
    assert compared.code == 3, compared.told
    assert "told apart: 1 orphaned" in compared.out
    assert workplace.tell("plan").code == 3

    skipped = workplace.tell("skip", "--record", "A-2", "--reason", "it stays for the books")
    assert skipped.code == 0, skipped.told
    for command in ("once", "status", "reconcile", "plan"):
        assert workplace.tell(command).code == 0, command
    assert in_hub(workplace, "select record from sync.orphans where decided_by is not null") == ["A-2"]
