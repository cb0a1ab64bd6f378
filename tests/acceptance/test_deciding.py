"""Deciding with the real commands: what they ask for, what they answer, and how they end."""

from __future__ import annotations

import re
import signal

import pytest

from tests.fixtures.commands import Systems, Workplace, in_hub, until

FLOW = "account > ops.CustomersV3"
LONG = "123456789012"


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems, and three accounts with a postal code that ops has no room for."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    for number in (1, 2, 3):
        systems.create("sales", "accounts", {
            "accountnumber": f"A-{number}", "name": "Shop", "address1_country": "DE", "address1_postalcode": LONG,
        })  # fmt: skip
    assert workplace.tell("once").code == 3
    return systems


def test_a_bad_day_is_sorted_out_by_cause(systems: Systems, workplace: Workplace) -> None:
    listed = workplace.tell("causes").out
    (cause,) = workplace.tell("causes", "--json").json["causes"]
    assert re.search(rf"^{cause['cause']} +3  {FLOW}  rejected invalid AddressZipCode", listed, re.MULTILINE)
    assert "replicator retry|skip --cause ID" in listed
    behind = workplace.tell("causes", cause["cause"], "--json").json["records"]
    assert sorted(row["record"] for row in behind) == ["A-1", "A-2", "A-3"]
    assert "A-2" in workplace.tell("causes", cause["cause"]).out
    skipped = workplace.tell("skip", "--record", "A-1", "--record", "A-2", "--reason", "closed shops")
    assert (skipped.code, skipped.out) == (0, "2 records will be left alone\n")
    assert workplace.tell("skip", "--cause", cause["cause"], "--json").json == {"action": "skip", "records": 1}
    assert workplace.tell("status").code == 0, "skipped records need no attention"
    assert "skipped       account > ops.CustomersV3  A-1  rejected:" in workplace.tell("status", "--details").out
    assert workplace.tell("retry", "--all").out == "3 records will be tried again\n"
    assert workplace.tell("retry", "--cause", cause["cause"]).code == 1, "they are on their way"
    assert workplace.tell("once").code == 3
    told = workplace.tell("decisions").out.splitlines()
    assert [line.split("  ")[2] for line in told] == [
        "retry all (3 records)", f"skip cause {cause['cause']} (1 record)",
        "skip records A-1 A-2 (2 records): closed shops",
    ]  # fmt: skip
    assert len(workplace.tell("decisions", "--limit", "2", "--json").json["decisions"]) == 2


@pytest.mark.parametrize("command", ["retry", "skip", "approve", "reject"])
def test_what_is_not_there_ends_with_1_and_a_hint(systems: Systems, workplace: Workplace, command: str) -> None:
    assert workplace.tell(command).code == 2, "--all is needed"
    unknown = workplace.tell(command, "--flow", "moon")
    assert (unknown.code, unknown.out) == (1, "")
    assert "there is no flow 'moon'" in unknown.err
    assert f"next: there are: {FLOW}; " in unknown.err
    assert "'replicator causes'" in workplace.tell("causes", "00000000").err
    assert workplace.tell(command, "--cause", "00000000").code == 1
    nobody = workplace.tell(command, "--record", "A-9")
    assert (nobody.code, nobody.err.splitlines()[0]) == (1, "error: there is nothing to decide about: A-9")


def test_a_pause_holds_while_the_daemon_runs_and_everything_goes_out_afterwards(
    systems: Systems, workplace: Workplace
) -> None:
    daemon = workplace.start("run")
    assert workplace.tell("pause", "ops", "--reason", "maintenance").out == "ops is paused\n"
    assert workplace.tell("pause", "ops").out == "ops was paused already\n"
    systems.create("sales", "accounts", {"accountnumber": "A-7", "name": "Late", "address1_country": "DE"})
    until(lambda: in_hub(workplace, "select 1 from common.account where number = 'A-7'"), what="the merge")
    until(lambda: workplace.tell("status", "--json").json["leader"][0]["fresh"], what="a leader")
    status = workplace.tell("status")
    assert "paused: ops since" in status.out
    assert ": maintenance" in status.out
    assert re.search(r"^leads: \S+:\d+$", status.out, re.MULTILINE)
    assert re.search(r"^requests: sales \d+", status.out, re.MULTILINE)
    assert systems.count("ops", "CustomersV3") == 0
    assert workplace.tell("resume", "ops").out == "ops goes on\n"
    until(lambda: systems.count("ops", "CustomersV3") == 1, what="the account in ops")
    assert workplace.tell("resume", "--all").out == "everything was not paused\n"
    assert daemon.end() == 0


def test_a_record_is_read_again_by_its_name(systems: Systems, workplace: Workplace) -> None:
    first = workplace.tell("resync", "account", "A-1")
    assert first.out == "1 record will be read again\n", first.err
    unknown = workplace.tell("resync", "account", "A-9")
    assert (unknown.code, unknown.err.splitlines()[0]) == (1, "error: no account A-9 is known")
    assert workplace.tell("resync", "moon").code == 1
    whole = workplace.tell("resync", "sales.accounts")
    assert whole.out == "sales.accounts will be read whole at the next read; 3 records will be looked at again\n"


def test_the_status_can_be_watched_until_it_is_interrupted(systems: Systems, workplace: Workplace) -> None:
    watching = workplace.start("status", "--watch", "0.1")
    lines = [watching.line() for _ in range(40)]
    assert sum(line.startswith("flow ") for line in lines) >= 2, "again and again"
    assert watching.end(signal.SIGINT) == 0
    assert "".join(watching.err) == ""


def test_an_observed_flow_is_configured_by_its_name(systems: Systems, workplace: Workplace) -> None:
    workplace.configure(systems.urls, more=f'flows: {{"{FLOW}": {{mode: observe}}}}\n')
    systems.create("sales", "accounts", {"accountnumber": "A-7", "name": "New", "address1_country": "DE"})
    assert "would create" in workplace.tell("once").out
    assert systems.count("ops", "CustomersV3") == 0
    assert f"observed only: {FLOW}; nothing is sent" in workplace.tell("status").out
    workplace.configure(systems.urls, more="flows: {moon: {mode: observe}}\n")
    refused = workplace.tell("once")
    assert refused.code == 1
    assert "there is no flow 'moon'" in refused.err
    assert FLOW in refused.err
