"""The commands from the first one on: what they say, what they leave behind, and how they end."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import simplejson
from click.testing import CliRunner
from sqlalchemy import make_url

from replicator.cli.main import main
from replicator.hub import embedded
from tests.fixtures.commands import Systems, Workplace, until, write_records


def commands(group: click.Group, before: str = "") -> Iterator[str]:
    """Every command and group, as it is typed."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{before}{name}"
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


COMMANDS = list(commands(main))
GUID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems, empty, and a configuration that names them."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    return systems


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_says_in_a_sentence_what_a_command_does(command: str) -> None:
    told = CliRunner().invoke(main, [*command.split(), "--help"])
    assert told.exit_code == 0
    text = told.output.partition("\n\n")[2].partition("\n\n")[0]
    sentence = " ".join(text.split())
    assert re.match(r"[A-Z].*[^.]\.( |$)", sentence), told.output


def test_help_lists_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    told = Workplace(tmp_path, None).tell("--help")
    assert told.code == 0
    assert set(re.findall(r"^  ([a-z][a-z-]+) ", told.out, re.MULTILINE)) == set(
        main.list_commands(click.Context(main))
    )
    assert re.findall(r"^ +([0-9])  ", told.out, re.MULTILINE) == list("012345")


def test_the_version_is_told(tmp_path: Path) -> None:
    assert re.fullmatch(r"replicator, version \d+\.\d+\.\d+\n", Workplace(tmp_path, None).run("--version").out)


@pytest.mark.parametrize(
    "arguments", ["nonsense", "once --nonsense", "status --limit many", "retry", "pause", "resolve 1"]
)
def test_wrong_usage_ends_with_2(arguments: str) -> None:
    told = CliRunner().invoke(main, arguments.split())
    assert told.exit_code == 2
    assert told.stderr.startswith("Usage: ")


def test_init_writes_a_solution_and_no_second_one_over_it(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    assert place.tell("init", "mine").code == 0
    folder = tmp_path / "mine"
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "alembic.ini", "migrations", "replicator.yaml", "schema",
    }  # fmt: skip
    assert not list(folder.rglob("__pycache__"))
    written = (folder / "replicator.yaml").read_text(encoding="utf-8")
    assert written.startswith("# ")
    (folder / "replicator.yaml").write_text("mine\n", encoding="utf-8")
    (folder / "migrations/versions/0002_mine.py").write_text("# mine\n", encoding="utf-8")
    refused = place.tell("init", "mine")
    assert refused.code == 1
    assert "mine is not empty" in refused.err
    assert "--force" in refused.err
    assert (folder / "replicator.yaml").read_text(encoding="utf-8") == "mine\n"
    assert place.tell("init", "mine", "--force", "--json").json == {"written": "mine"}
    assert (folder / "replicator.yaml").read_text(encoding="utf-8") == written
    assert (folder / "migrations/versions/0002_mine.py").read_text(encoding="utf-8") == "# mine\n"


def test_init_into_what_is_no_folder_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    for name in ("file", "file/below"):
        told = Workplace(tmp_path, None).tell("init", name)
        assert told.code in (1, 2)
        assert name in told.err
        assert "Traceback" not in told.err


def test_migrate_may_be_repeated(bare_workplace: Workplace) -> None:
    first, second = bare_workplace.tell("migrate"), bare_workplace.tell("migrate")
    assert (first.code, second.code) == (0, 0), first.told + second.told
    assert "the hub is ready" in first.out


def test_empty_systems_are_in_step(systems: Systems, workplace: Workplace) -> None:
    first = workplace.tell("once")
    assert first.code == 0, first.told
    assert systems.count("ops", "CustomersV3") == 0
    status = workplace.tell("status")
    assert status.code == 0
    assert "account > ops.CustomersV3" in status.out


def test_status_as_json_tells_every_flow_with_numbers(systems: Systems, workplace: Workplace) -> None:
    workplace.tell("once")
    told = workplace.tell("status", "--json")
    assert told.code == 0
    flows = {flow["flow"]: flow for flow in told.json["flows"]}
    assert "sales.accounts > account" in flows
    assert all(flow["last_snapshot"] for flow in flows.values())
    assert {"mirrored", "in_step", "pending", "blocked", "failed", "lag_seconds"} <= set(
        flows["account > ops.CustomersV3"]
    )
    assert told.err == ""


def test_once_as_json_prints_nothing_else_on_its_output(systems: Systems, workplace: Workplace) -> None:
    told = workplace.run("once", "--json")
    assert told.code == 0
    assert "flows" in told.json


def test_status_before_anything_was_read_says_so_and_does_not_call_it_in_step(workplace: Workplace) -> None:
    told = workplace.tell("status")
    assert told.code == 3, told.told
    assert "never" in told.out


def test_a_record_that_waits_is_shown_and_the_exit_code_says_so(systems: Systems, workplace: Workplace) -> None:
    systems.create("ops", "SellableReleasedProducts", {
        "dataAreaId": "usmf", "ProductNumber": "P-1", "ProductName": "Lamp", "ProductType": "Item", "SalesPrice": 3,
        "CurrencyCode": "USD", "SalesUnitSymbol": "ea", "IsStockedProduct": "Yes",
    })  # fmt: skip
    once = workplace.tell("once")
    assert once.code == 3, once.told
    assert "blocked" in once.out
    assert "P-1" in once.out
    details = workplace.tell("status", "--details")
    assert details.code == 3
    assert "waits for unit with code 'ea', currency with code 'USD'" in details.out


def test_a_record_that_a_system_refuses_is_shown_with_its_words_and_can_be_retried(
    systems: Systems, workplace: Workplace
) -> None:
    systems.create(
        "sales", "transactioncurrencies", {"isocurrencycode": "XYZ", "currencyname": "Shells", "currencysymbol": "¤"}
    )
    [currency] = systems.records("sales", "transactioncurrencies")
    systems.create("sales", "accounts", {
        "accountnumber": "A-1", "name": "Lamp Shop", "address1_country": "DE",
        "transactioncurrencyid@odata.bind": f"/transactioncurrencies({currency['transactioncurrencyid']})",
    })  # fmt: skip
    once = workplace.tell("once")
    assert once.code == 3, once.told
    assert "rejected" in once.out
    assert "A-1" in once.out
    assert "XYZ" in once.out
    retried = workplace.tell("retry", "--flow", "account > ops.CustomersV3", "--record", "A-1")
    assert (retried.code, retried.out) == (0, "1 record will be tried again\n")
    again = workplace.tell("retry", "--record", "A-1")
    assert (again.code, again.out) == (0, "no record will be tried again\n"), "it is on its way already"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("retry", "--flow", "account > ops.Customers"), "there is no flow 'account > ops.Customers'"),
        (("skip", "--cause", "1234abcd"), "there is no cause '1234abcd'"),
        (("approve", "--flow", "sales.acounts"), "there is no flow 'sales.acounts'"),
        (("reject", "--flow", "shop.accounts"), "there is no flow 'shop.accounts'"),
        (("retry", "--record", "A-9", "--record", "A-8"), "there is nothing to decide about: A-8; A-9"),
        (("skip", "--flow", "account > ops.CustomersV3", "--record", "A-9"), "there is nothing to decide about: A-9"),
        (("wait", "account", "A-9", "--in", "shop"), "there is no system 'shop'"),
        (("resolve", "7", "--take", "sales"), "conflict 7 is not open"),
    ],
)
def test_a_decision_about_what_is_not_there_is_an_error(
    workplace: Workplace, arguments: tuple[str, ...], words: str
) -> None:
    told = workplace.tell(*arguments)
    assert told.code == 1, told.told
    assert words in told.err
    assert "next: " in told.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("explain", "quote", "\udcff"), 2, "is no text in UTF-8"),
        (("status", "--details", "--limit", "-5"), 2, "Invalid value for '--limit'"),
        (("check-schema", "/proc/self/fdinfo"), 1, "holds no schema"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    workplace: Workplace, arguments: tuple[str, ...], code: int, words: str
) -> None:
    told = workplace.tell(*arguments)
    assert told.code == code
    assert words in told.err


def test_a_decision_that_concerns_nothing_now_is_none(workplace: Workplace) -> None:
    assert workplace.tell("approve", "--flow", "account > ops.CustomersV3").out == "no record may go ahead\n"


def test_every_command_that_answers_can_do_so_in_json() -> None:
    other = {
        "run",
        "console",
        "metrics",
        "hub psql",
    }  # they go on until they are stopped, or speak a format of their own
    for name in COMMANDS:
        command: click.Command = main
        for word in name.split():
            assert isinstance(command, click.Group)
            found = command.get_command(click.Context(command), word)
            assert found is not None
            command = found
        if not isinstance(command, click.Group) and name not in other:
            assert "--json" in {option for each in command.params for option in each.opts}, name


def test_the_sandbox_tells_its_addresses_as_json(workplace: Workplace) -> None:
    process = workplace.start("sandbox", "--sales-port", "0", "--ops-port", "0", "--json")
    lines = [process.line()]
    while lines[-1] != "}":
        lines.append(process.line())
    urls = simplejson.loads("".join(lines))["urls"]
    assert set(urls) == {"sales", "ops"}
    assert all(url.startswith("http://127.0.0.1:") for url in urls.values())


def test_a_bad_line_does_not_stop_a_sandbox_that_loads_again(workplace: Workplace) -> None:
    good = {"accountnumber": "A-1", "name": "Lamp Shop"}
    write_records(workplace.folder / "data", "sales", "accounts", [good])
    systems = workplace.sandbox_process("--load", "data")
    path = workplace.folder / "data" / "sales" / "accounts.jsonl"
    path.write_text('{"accountnumber":\n{"accountnumber": "A-2", "name": "Two"}\n', encoding="utf-8")
    other = workplace.folder / "data" / "ops" / "CustomersV3.jsonl"
    other.parent.mkdir()
    other.write_text("{\n", encoding="utf-8")
    systems.process.popen.send_signal(signal.SIGHUP)
    until(lambda: systems.count("sales", "accounts") == 2, what="the good line")
    until(lambda: any("accounts.jsonl:1" in line for line in systems.process.err), what="the bad line told")
    until(lambda: any("CustomersV3.jsonl:1" in line for line in systems.process.err), what="that of the other system")
    other.unlink()
    other.parent.rmdir()
    path.write_text('{"accountnumber": "A-3", "name": "Three"}\n', encoding="utf-8")
    systems.process.popen.send_signal(signal.SIGHUP)
    until(lambda: systems.count("sales", "accounts") == 3, what="the mended file")
    until(
        lambda: any("data loaded again: sales 1 record" in line for line in systems.process.err), what="what was loaded"
    )


def test_a_sandbox_does_not_start_with_what_it_cannot_load(workplace: Workplace) -> None:
    orphan = {"accountnumber": "A-1", "name": "Lamp Shop", "parentaccountid.accountnumber": "A-0"}
    write_records(workplace.folder / "data", "sales", "accounts", [orphan])
    started = workplace.tell("sandbox", "--sales-port", "0", "--ops-port", "0", "--load", "data")
    assert (started.code, started.out) == (1, "")
    assert started.err.splitlines() == [
        "error: the sandbox does not start: data/sales: 1 problem: "
        "accounts.jsonl:1: parentaccountid.accountnumber 'A-0' is not there",
        "  next: load what they refer to first",
    ]


@pytest.mark.parametrize(
    ("entity_set", "record", "flow"),
    [
        ("contacts", {"contactid": GUID, "msdynce_contactnumber": "C-1", "birthdate": "soon"},
         "sales.contacts > contact"),
        ("pricelevels", {"pricelevelid": GUID, "name": "A", "statecode": "open"}, None),
    ],
    ids=["of a set that flows start from", "of a set that is only looked up"],
)  # fmt: skip
def test_a_record_that_a_snapshot_could_not_take_in_is_counted_and_the_exit_code_says_so(
    workplace: Workplace, entity_set: str, record: dict[str, str], flow: str | None
) -> None:
    write_records(workplace.folder / "data", "sales", entity_set, [record])
    systems = workplace.sandbox(load=workplace.folder / "data")
    workplace.configure(systems.urls)
    once = workplace.tell("once")
    assert once.code == 3, once.told
    assert f"quarantined: 1 record of sales.{entity_set}: " in once.out
    for _ in range(2):
        assert workplace.tell("once", "--whole").code == 3
    status = workplace.tell("status", "--json")
    assert status.code == 3
    assert {row["flow"]: row["quarantined"] for row in status.json["flows"] if row["quarantined"]} == (
        {} if flow is None else {"sales.contacts > account": 1, flow: 1}
    )
    assert [(row["entity_set"], row["records"]) for row in status.json["quarantined"]] == [(entity_set, 1)]


def test_a_record_is_explained_waited_for_and_looked_at_over_time(systems: Systems, workplace: Workplace) -> None:
    systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "Lamp Shop", "address1_country": "DE"})
    assert workplace.tell("once").code == 0
    explained = workplace.tell("explain", "account", "A-1")
    assert explained.code == 0, explained.told
    assert "in step everywhere" in explained.out
    assert workplace.tell("explain", "ops.CustomersV3", "usmf,A-1", "--json").json["root_causes"] == []
    history = workplace.tell("history", "account", "A-1")
    assert re.search(r"sales\.accounts  created .*\(snapshot:sales\)", history.out), history.told
    moment = workplace.tell("as-of", "account", "A-1", "2100-01-01")
    assert "organization_name: Lamp Shop" in moment.out
    late = workplace.tell("wait", "account", "A-1", "--in", "ops", "--timeout", "0s")
    assert late.code == 3
    assert "have not been read since" in late.out


def test_wait_ends_when_a_running_replicator_has_brought_the_record(systems: Systems, workplace: Workplace) -> None:
    daemon = workplace.start("run")
    until(lambda: any('"start"' in line for line in list(daemon.err)), what="the daemon's first line")
    systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "Lamp Shop", "address1_country": "DE"})
    told = workplace.tell("wait", "account", "A-1", "--in", "ops", "--timeout", "100s")
    assert (told.code, told.out) == (0, "account A-1 has arrived in ops\n"), told.told
    assert [row["CustomerAccount"] for row in systems.records("ops", "CustomersV3")] == ["A-1"]


@pytest.mark.parametrize("command", ["explain", "history", "wait --in ops --timeout 0", "as-of"])
def test_a_record_that_nobody_knows_is_a_message(workplace: Workplace, command: str) -> None:
    moment = ["2026-11-23"] if command == "as-of" else []
    told = workplace.tell(*command.split(), "account", "A-9", *moment)
    assert told.code == 1
    assert "no account A-9 is known" in told.err
    assert "next: KIND is an entity" in told.err


def test_check_schema_lists_the_maps_in_their_order(tmp_path: Path) -> None:
    schema = Path(__file__).resolve().parents[2] / "schema"
    told = Workplace(tmp_path, None).tell("check-schema", str(schema))
    assert told.code == 0
    ranks = [int(line.split()[0]) for line in told.out.splitlines()[:-1]]
    assert ranks == sorted(ranks)
    assert told.out.splitlines()[-1].endswith("no problem found")


def test_check_schema_looks_where_the_configuration_says_whatever_else_that_says(tmp_path: Path) -> None:
    place = Workplace(tmp_path, None)
    (tmp_path / "replicator.yaml").write_text("schema: own\nsystems: 7\n", encoding="utf-8")
    told = place.tell("check-schema")
    assert told.code == 1
    assert "own" in told.err
    shutil.copytree(Path(__file__).resolve().parents[2] / "schema", tmp_path / "own")
    assert place.tell("check-schema").code == 0


def test_check_schema_prints_the_json_schema_for_editors(tmp_path: Path) -> None:
    told = Workplace(tmp_path, None).tell("check-schema", "--json-schema")
    assert told.code == 0
    assert set(told.json) == {"common", "entity_set", "value_map"}


def test_psql_opens_on_the_hub_and_its_exit_code_is_the_commands_own(workplace: Workplace) -> None:
    done = workplace.run("hub", "psql", "-At", "--set=ON_ERROR_STOP=1", "-c", "select count(*) > 0 from sync.map")
    assert (done.code, done.out) == (0, "t\n")
    failed = workplace.run("hub", "psql", "-c", "select nothing")
    assert failed.code == 1
    assert 'column "nothing" does not exist' in failed.err


def test_psql_is_the_one_on_the_path_and_no_password_stands_on_its_command_line(workplace: Workplace) -> None:
    """A psql that only says how it was called."""
    program = workplace.folder / "bin" / "psql"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\necho "$PGPASSWORD in $PGDATABASE"\n', encoding="utf-8")
    program.chmod(0o755)
    url = make_url(workplace.environment["HUB_URL"]).set(password="a secret")
    path = f"{program.parent}:{workplace.environment['PATH']}"
    done = workplace.run("hub", "psql", "-l", PATH=path, HUB_URL=url.render_as_string(hide_password=False))
    assert done.out == f"-l\na secret in {url.database}\n", done.told


def test_nothing_at_all_is_needed_but_the_commands(tmp_path: Path) -> None:
    """With a real embedded hub: init, migrate, once, status, hub down."""
    place = Workplace(tmp_path, None)
    assert place.run("init", ".").code == 0
    systems = place.sandbox_process()
    try:
        place.configure(systems.urls)
        migrated = place.run("migrate")
        assert migrated.code == 0, migrated.told
        systems.create("sales", "accounts", {"accountnumber": "A-1", "name": "Lamp Shop", "address1_country": "DE"})
        once = place.run("once")
        assert once.code == 0, once.told
        assert [row["CustomerAccount"] for row in systems.records("ops", "CustomersV3")] == ["A-1"]
        assert place.tell("status").code == 0
        assert place.run("hub", "up").out.startswith("postgresql://")
        assert place.run("hub", "up", "--json").json["hub"].startswith("postgresql://")
        assert place.run("hub", "psql", "-Atc", "select in_step from sync.status where rank > 0", PATH="").code == 0
        assert place.run("hub", "down", "--json").json == {"stopped": True}
    finally:
        place.close()
        embedded.stop(tmp_path / "hub", mode="immediate")
