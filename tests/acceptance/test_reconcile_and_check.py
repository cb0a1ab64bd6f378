"""``reconcile`` and ``check`` as commands: what they say, and how they end."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from tests.fixtures.commands import Systems, Workplace, in_hub

CUSTOMER = "CustomersV3(dataAreaId='usmf',CustomerAccount='A-1')"


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems with an account each knows, in step."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    systems.create(
        "sales", "transactioncurrencies", {"isocurrencycode": "USD", "currencyname": "US Dollar", "currencysymbol": "$"}
    )
    systems.create("sales", "uomschedules", {"name": "Default unit"})
    systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "One"})
    assert workplace.tell("once").code == 0
    return systems


def test_reconcile_tells_what_differs_sends_nothing_and_repairs_when_asked(
    workplace: Workplace, systems: Systems
) -> None:
    assert workplace.tell("reconcile").told.splitlines()[-1] == "no differences"
    systems.change("ops", CUSTOMER, {"OrganizationName": "Two"})
    before = systems.versions()
    looked = workplace.tell("reconcile")
    assert looked.code == 3
    assert "1 difference: 1 stale" in looked.out
    assert "stale         ops.CustomersV3, of account A-1 (usmf,A-1)" in looked.out
    assert "OrganizationName: 'Two', should be 'One'" in looked.out
    assert "replicator reconcile --repair" in looked.out
    assert systems.versions() == before
    data = workplace.tell("reconcile", "--json").json
    assert data["records"][0]["fields"] == {"OrganizationName": {"held": "Two", "wanted": "One"}}
    mended = workplace.tell("reconcile", "--repair")
    assert mended.code == 0
    assert "repaired: 1; left: none" in mended.out
    assert systems.records("ops", "CustomersV3")[0]["OrganizationName"] == "One"


def test_reconcile_refuses_an_entity_that_is_not_there(workplace: Workplace, systems: Systems) -> None:
    told = workplace.tell("reconcile", "--entity", "nonsense")
    assert told.code == 1
    assert "there is no entity 'nonsense'" in told.err
    assert systems.count("ops", "CustomersV3") == 1


def test_check_finds_nothing_where_all_is_well(workplace: Workplace, systems: Systems) -> None:
    told = workplace.tell("check")
    assert (told.code, told.err) == (0, ""), told.told
    assert told.out.splitlines()[-1] == "no problem found; 2 not told by the systems"
    assert systems.count("ops", "CustomersV3") == 1


def test_check_tells_problems_found_apart_from_problems_in_looking(workplace: Workplace, systems: Systems) -> None:
    systems.create("sales", "accounts", {"accountnumber": "A-2", "name": "Two", "address1_country": "Atlantis"})
    assert workplace.tell("once").code == 3
    found = workplace.tell("check", "--json")
    assert found.code == 3
    (finding,) = found.json["findings"]
    assert finding["where"] == "sales.accounts > account"
    assert "'mailing_country' does not know 'Atlantis' of address1_country: 1 record" in finding["what"]
    workplace.configure(systems.urls | {"ops": "http://127.0.0.1:9"})
    told = workplace.tell("check", "--json")
    assert told.code == 4
    assert [note["where"] for note in told.json["errors"]] == ["ops"]
    assert len(told.json["findings"]) == 1, "the rest is looked at nevertheless"


def test_check_says_that_the_hub_is_another_one(bare_workplace: Workplace) -> None:
    systems = bare_workplace.sandbox()
    bare_workplace.configure(systems.urls)
    told = bare_workplace.tell("check")
    assert told.code == 3
    assert "hub: the hub's database is empty; next: run 'replicator migrate'" in told.out


def test_check_finds_that_nothing_can_be_written_to_the_hub(workplace: Workplace, systems: Systems) -> None:
    with psycopg.connect(workplace.environment["HUB_URL"], autocommit=True) as owner:
        database = owner.info.dbname
        owner.execute(
            sql.SQL("alter database {} set default_transaction_read_only = on").format(sql.Identifier(database))
        )
    told = workplace.tell("check")
    assert told.code == 3
    assert f"nothing can be written to the database {database}" in told.out


def test_check_finds_records_that_bear_one_key(workplace: Workplace, systems: Systems) -> None:
    in_hub(workplace, "update sales.accounts set accountnumber = ' a-1' returning 1")
    systems.create(
        "sales", "contacts", {"msdynce_contactnumber": "a-1", "lastname": "Ada", "msdynce_isactivecustomer": True}
    )
    assert workplace.tell("once").code == 3
    told = workplace.tell("check")
    assert "sales > account: records bear one key:" in told.out
