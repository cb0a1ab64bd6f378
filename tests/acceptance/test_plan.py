"""``plan`` and ``run --plan`` as commands: what they say, and that only the second one writes."""

from __future__ import annotations

import pytest

from tests.fixtures.commands import Systems, Workplace, until


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems with one account and its currency, and a configuration that names them."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    systems.create(
        "sales", "transactioncurrencies", {"isocurrencycode": "USD", "currencyname": "US Dollar", "currencysymbol": "$"}
    )
    account(systems, "A-1")
    return systems


def account(systems: Systems, number: str) -> None:
    [currency] = systems.records("sales", "transactioncurrencies")
    systems.create("sales", "accounts", {
        "accountnumber": number, "name": "Lamp Shop", "address1_country": "DE",
        "transactioncurrencyid@odata.bind": f"/transactioncurrencies({currency['transactioncurrencyid']})",
    })  # fmt: skip


def test_a_plan_is_shown_saved_and_run(systems: Systems, workplace: Workplace) -> None:
    shown = workplace.tell("plan", "--fields")
    assert shown.code == 0, shown.told
    assert shown.out.splitlines()[:2] == [
        "request 1 to ops: account > ops.CustomersV3",
        "      1  create  account A-1",
    ]
    assert "OrganizationName (empty) -> 'Lamp Shop'" in " ".join(shown.out.split())
    assert "1 write in 1 request: 1 to ops" in shown.out
    kept = workplace.tell("plan", "--save", "--json")
    assert (kept.json["plan"], kept.json["requests"], kept.json["standing"]) == (1, {"ops": 1}, [])
    assert systems.count("ops", "CustomersV3") == 0
    account(systems, "A-2")
    ran = workplace.tell("run", "--plan", "1")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "plan 1: 1 of 1 write sent")
    assert systems.count("ops", "CustomersV3") == 1
    again = workplace.tell("run", "--plan", "1")
    assert again.code == 1
    assert "a plan is run once" in again.err


def test_a_record_that_moved_is_refused_with_code_3(systems: Systems, workplace: Workplace) -> None:
    assert "plan 1 is saved; run it with: replicator run --plan 1" in workplace.tell("plan", "--save").out
    [record] = systems.records("sales", "accounts")
    systems.change("sales", f"accounts({record['accountid']})", {"name": "Lamp Stall"})
    ran = workplace.tell("run", "--plan", "1")
    assert ran.code == 3, ran.told
    assert "refused  create account A-1 in ops: moved: " in ran.out
    assert "OrganizationName is to become 'Lamp Stall', planned was 'Lamp Shop'" in ran.out
    assert systems.count("ops", "CustomersV3") == 0


def test_without_reading_only_what_was_read_before_is_planned(systems: Systems, workplace: Workplace) -> None:
    assert "nothing would be written" in workplace.tell("plan", "--no-read").out
    assert workplace.tell("plan", "--entity", "shop").code == 1
    only = workplace.tell("plan", "--entity", "product")
    assert "nothing would be written" in only.out
    assert "only product and its parts are shown" in only.out


def test_a_plan_beside_a_daemon_is_made_from_what_it_has_read(systems: Systems, workplace: Workplace) -> None:
    workplace.start("run")
    until(lambda: systems.count("ops", "CustomersV3") == 1)
    told = until(lambda: (found := workplace.tell("plan")).code == 0 and found)
    assert "is at work: planned from what it has read" in told.out
    assert "nothing would be written" in told.out
    assert workplace.tell("run", "--plan", "1").code == 4
