"""The daemon as a process: it keeps both systems in step, stops when told, survives being killed, tells no secrets."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import simplejson
import sqlalchemy as sa

from replicator.hub.connection import connect
from tests.fixtures.commands import Process, Systems, Workplace, in_hub, until

TOKEN = "Sesam-offne-dich"


def authorized(systems: Systems) -> Systems:
    systems.client.headers["Authorization"] = f"Bearer {TOKEN}"
    return systems


def sandbox(workplace: Workplace, ports: Mapping[str, int] | None = None) -> Systems:
    """Both systems, which want a token and keep their state."""
    return workplace.sandbox(state=workplace.folder / "state", options=[f"token={TOKEN}"], ports=ports)


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems and a configuration that knows their token."""
    systems = authorized(sandbox(workplace))
    workplace.configure(systems.urls)
    path = workplace.folder / "replicator.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"}', '", auth: {kind: bearer, token: {env: A_TOKEN}}}'), encoding="utf-8")
    workplace.environment["A_TOKEN"] = TOKEN
    return systems


@pytest.fixture
def daemon(workplace: Workplace, systems: Systems) -> Iterator[Process]:
    """The daemon, which has read both systems once."""
    process = start(workplace)
    yield process
    process.close()


def start(workplace: Workplace) -> Process:
    process = workplace.start("run")
    until(lambda: actions(process, "start"), what="the daemon's first line")
    return process


def lines(process: Process) -> list[dict[str, Any]]:
    return [simplejson.loads(line) for line in list(process.err)]


def actions(process: Process, name: str) -> list[dict[str, Any]]:
    return [line for line in lines(process) if name in (line.get("event"), line.get("action"))]


def account(systems: Systems, number: str, name: str) -> None:
    systems.create("sales", "accounts", {"accountnumber": number, "name": name, "address1_country": "Germany"})


def customers(systems: Systems) -> dict[str, str]:
    return {row["CustomerAccount"]: row["OrganizationName"] for row in systems.records("ops", "CustomersV3")}


def test_what_changes_in_one_system_arrives_in_the_other(systems: Systems, daemon: Process) -> None:
    account(systems, "A-1", "Lamp Shop")
    until(lambda: customers(systems) == {"A-1": "Lamp Shop"}, what="the new customer")
    [found] = systems.records("sales", "accounts")
    systems.change("sales", f"accounts({found['accountid']})", {"name": "Lamp Store"})
    until(lambda: customers(systems) == {"A-1": "Lamp Store"}, what="the new name")


def test_it_works_also_when_no_notification_ever_comes(workplace: Workplace, systems: Systems) -> None:
    """In this hub a function of the same name stands before the real one and swallows every notification."""
    engine = connect(workplace.environment["HUB_URL"])
    with engine.begin() as connection:
        connection.execute(sa.text("create schema deaf"))
        connection.execute(sa.text("create function deaf.pg_notify(text, text) returns void language sql as ''"))
        connection.execute(sa.text("alter role current_user in database " + engine.dialect.identifier_preparer.quote(
            engine.url.database or "") + " set search_path = deaf, pg_catalog, public"))  # fmt: skip
    engine.dispose()
    process = start(workplace)
    account(systems, "A-1", "Lamp Shop")
    until(lambda: customers(systems) == {"A-1": "Lamp Shop"}, what="the new customer")
    assert process.end() == 0


def test_a_record_made_with_sql_in_the_hub_goes_out(workplace: Workplace, systems: Systems, daemon: Process) -> None:
    until(lambda: in_hub(workplace, "select id from common.organization"), what="the organization of the configuration")
    in_hub(workplace, (
        "insert into common.account (organization_id, number, kind, name, status)"
        " select id, 'A-1', 'Organization', 'Lamp Shop', 'Active' from common.organization returning id"
    ))  # fmt: skip
    until(lambda: customers(systems) == {"A-1": "Lamp Shop"}, what="the new customer")


def test_a_change_made_with_sql_where_a_system_masters_the_field_is_put_back(
    workplace: Workplace, systems: Systems, daemon: Process
) -> None:
    account(systems, "A-1", "Lamp Shop")
    until(lambda: customers(systems) == {"A-1": "Lamp Shop"}, what="the new customer")
    in_hub(workplace, "update common.account set name = 'Lamp Store' returning id")
    until(lambda: in_hub(workplace, "select name from common.account") == ["Lamp Shop"], what="the name put back")
    until(lambda: customers(systems) == {"A-1": "Lamp Shop"}, what="the customer as it was")


def test_sigterm_stops_it_within_seconds(systems: Systems, daemon: Process) -> None:
    account(systems, "A-1", "Lamp Shop")
    until(lambda: customers(systems), what="the new customer")
    asked = time.monotonic()
    assert daemon.end(signal.SIGTERM) == 0
    assert time.monotonic() - asked < 10, "also beside other busy processes"
    assert actions(daemon, "stop")


def test_ctrl_c_stops_it_too(systems: Systems, daemon: Process) -> None:
    assert daemon.end(signal.SIGINT) == 0
    assert "Traceback" not in "\n".join(daemon.err)


def test_sigterm_right_at_the_start_stops_it_too(workplace: Workplace, systems: Systems) -> None:
    process = start(workplace)
    assert process.end(signal.SIGTERM) == 0


def test_killed_and_started_again_it_goes_on_and_doubles_nothing(
    workplace: Workplace, systems: Systems, daemon: Process
) -> None:
    for number in range(40):
        account(systems, f"A-{number}", f"Shop {number}")
    until(lambda: customers(systems), what="the first customers")
    daemon.end(signal.SIGKILL)
    account(systems, "A-99", "Shop 99")
    again = start(workplace)
    until(lambda: len(customers(systems)) == 41, what="all customers")
    assert again.end() == 0
    assert workplace.tell("once").code == 0
    assert customers(systems) == {f"A-{number}": f"Shop {number}" for number in [*range(40), 99]}


def test_the_log_is_json_with_actions_and_ids_and_without_contents_or_secrets(
    workplace: Workplace, systems: Systems, daemon: Process
) -> None:
    systems.create("sales", "accounts", {
        "accountnumber": "A-1", "name": "Geheimes Haus", "address1_country": "Germany",
        "address1_postalcode": "12345-Geheim",
    })  # fmt: skip
    systems.create("sales", "accounts", {"accountnumber": "A-2", "name": "Lamp Shop", "address1_country": "Nirgendwo"})
    account(systems, "A-3", "Rotes Haus")
    until(lambda: customers(systems) == {"A-3": "Rotes Haus"}, what="the good one of three")
    until(lambda: actions(daemon, "deliver"), what="a line about it")
    assert daemon.end() == 0
    found = lines(daemon)
    assert all({"event", "level", "timestamp"} <= set(line) for line in found)
    assert {"start", "snapshot", "merge", "deliver", "stop"} <= {line["event"] for line in found}
    [written] = [write for line in actions(daemon, "deliver") for write in line["writes"]]
    assert written.pop("record") in in_hub(workplace, "select id from common.account where number = 'A-3'")
    assert written == {"operation": "create", "key": "usmf,A-3", "outcome": "applied"}
    told = "\n".join(daemon.err)
    for secret in (TOKEN, "Geheimes Haus", "Rotes Haus", "Nirgendwo", "12345-Geheim"):
        assert secret not in told


def test_a_system_that_goes_away_and_comes_back_is_caught_up_with(
    workplace: Workplace, systems: Systems, daemon: Process
) -> None:
    account(systems, "A-1", "Lamp Shop")
    until(lambda: customers(systems), what="the new customer")
    ports = {name: int(url.rpartition(":")[2]) for name, url in systems.urls.items()}
    systems.close()
    until(lambda: actions(daemon, "problem"), what="a line about the trouble")
    assert daemon.popen.poll() is None
    again = authorized(sandbox(workplace, ports))
    account(again, "A-2", "Book Shop")
    until(lambda: "A-2" in customers(again), what="the customer made after the pause")
