"""What people need when things are broken needs the hub alone: whatever is wrong with ``schema/`` or the systems."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import httpx2
import pytest
from sqlalchemy import make_url

from replicator import __version__
from replicator.cli.main import COMMANDS, main
from tests.fixtures.commands import Workplace, in_hub
from tests.fixtures.hub import own_schema

NOWHERE = {"sales": "http://127.0.0.1:1", "ops": "http://127.0.0.1:1"}
SHOWING = (
    "status", "status --details", "status --json", "causes", "causes 1f0c6a2b", "conflicts", "decisions",
    "explain account A-1", "history account A-1", "as-of account A-1 2026-01-01",
    "wait account A-1 --in ops --timeout 0",
    "metrics",
)  # fmt: skip
DECIDING = (
    "pause ops", "resume ops", "resume --all", "retry --all", "skip --all", "approve --flow sales.accounts",
    "reject --flow sales.accounts", "resolve 1 --take sales", "resync account",
)  # fmt: skip
OTHERS = {
    "init", "migrate", "revise", "plan", "reconcile", "check", "once", "run", "check-schema", "sandbox", "demo",
    "console", "hub", "notify", "hints",
}  # fmt: skip
"""Commands that need more than the hub, or another part of the configuration."""


ORGANIZATION = """
insert into common.organization (code, name, company, is_default) values ('USMF', 'Main company', 'usmf', true)
returning id
"""


def configure(place: Workplace, *, more: str = "") -> None:
    """A configuration that says itself where the hub is."""
    place.configure(NOWHERE, hub=f"hub: {{url: '{place.environment['HUB_URL']}'}}", more=more)


def missing(place: Workplace) -> None:
    configure(place, more="schema: /nowhere/schema\n")


def misspelt(place: Workplace) -> None:
    _of_ones_own(place, "lenght: 20")


def no_yaml(place: Workplace) -> None:
    _of_ones_own(place, "[")


def ahead(place: Workplace) -> None:
    _of_ones_own(place, "length: 21")


def _of_ones_own(place: Workplace, instead: str) -> None:
    own_schema(place.folder)
    path = place.folder / "schema" / "common" / "account.yaml"
    text = path.read_text(encoding="utf-8")
    assert "length: 20" in text
    path.write_text(text.replace("length: 20", instead, 1), encoding="utf-8")
    configure(place)


def other_configuration_wrong(place: Workplace) -> None:
    configure(place, more="poll_secnods: 3\nmetrics: {listen: nowhere}\n")


def other_configuration_no_yaml(place: Workplace) -> None:
    configure(place, more="console: {listen: [\n")


def secret_missing(place: Workplace) -> None:
    configure(place)
    path = place.folder / "replicator.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"}', '", auth: {kind: bearer, token: {env: NO_SUCH}}}'), encoding="utf-8")


TROUBLES: dict[str, Callable[[Workplace], None]] = {
    each.__name__: each
    for each in (
        missing, misspelt, no_yaml, ahead, other_configuration_wrong, other_configuration_no_yaml, secret_missing,
    )
}  # fmt: skip


@pytest.fixture
def place(workplace: Workplace) -> Workplace:
    """Where nothing from outside says where the hub is."""
    configure(workplace)
    return workplace


def answer(place: Workplace, command: str) -> tuple[int, str]:
    told = place.tell(*command.split(), HUB_URL="")
    return told.code, told.told.replace(str(place.folder), "")


def test_every_command_is_tried_here_or_needs_more() -> None:
    tried = {command.split()[0] for command in (*SHOWING, *DECIDING)}
    assert tried | OTHERS == set(COMMANDS)
    assert not tried & OTHERS


@pytest.mark.parametrize("trouble", TROUBLES)
def test_with_something_else_broken_every_command_answers_as_ever(place: Workplace, trouble: str) -> None:
    for command in DECIDING:
        answer(place, command)
    steady = [*SHOWING[1:2], *SHOWING[3:6], *SHOWING[7:11], *DECIDING]  # the others tell the time
    before = {command: answer(place, command) for command in steady}
    assert {code for code, _ in before.values()} <= {0, 1, 3}
    TROUBLES[trouble](place)
    assert place.tell("once", HUB_URL="").code == 1, "this is broken"
    for command in SHOWING:
        code, told = answer(place, command)
        assert code in (0, 1, 3), told
        assert "schema" not in told, told
    answer(place, "resume --all")
    decided = {command: answer(place, command) for command in DECIDING}
    assert decided["pause ops"] == (0, "ops is paused\n")
    assert decided["resume ops"] == (0, "ops goes on\n")
    after = {command: answer(place, command) for command in steady}
    assert {**after, "decisions": 0} == {**before, "decisions": 0}, "but what was decided meanwhile"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_pause_works_whatever_else_is_broken(place: Workplace, trouble: str) -> None:
    TROUBLES[trouble](place)
    assert answer(place, "pause ops --reason fire") == (0, "ops is paused\n")
    assert in_hub(place, "select reason from sync.pause") == ["fire"]
    assert answer(place, "resume ops") == (0, "ops goes on\n")
    assert in_hub(place, "select scope from sync.pause") == []


def test_an_empty_hub_is_refused_with_what_to_do(bare_workplace: Workplace) -> None:
    told = bare_workplace.tell("status")
    assert told.code == 1
    assert "database is empty" in told.err
    assert "replicator migrate" in told.err


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "update sync.hub set version = '9.9.9', product_hash = 'another' returning 1",
            ("version 9.9.9", __version__, "replicator migrate"),
        ),
        ("delete from sync.hub returning 1", ("half made", "replicator migrate")),
    ],
)
def test_a_hub_of_another_program_is_refused_with_what_to_do(
    workplace: Workplace, statement: str, words: tuple[str, ...]
) -> None:
    in_hub(workplace, statement)
    for command in ("status", "pause ops"):
        told = workplace.tell(*command.split())
        assert told.code == 1
        assert all(each in told.err for each in words), told.err
    assert in_hub(workplace, "select scope from sync.pause") == []


def test_what_the_url_says_of_the_session_is_no_obstacle(workplace: Workplace) -> None:
    url = make_url(workplace.environment["HUB_URL"]).update_query_dict(
        {"options": "-c jit=on", "application_name": "me", "connect_timeout": "5"}
    )
    told = workplace.tell("status", HUB_URL=url.render_as_string(hide_password=False))
    assert told.code == 3, "nothing was read yet"


def test_psql_opens_a_hub_of_another_program_too(workplace: Workplace) -> None:
    in_hub(workplace, "update sync.hub set version = '9.9.9', product_hash = 'another' returning 1")
    told = workplace.run("hub", "psql", "-Atc", "select version from sync.hub")
    assert (told.code, told.out) == (0, "9.9.9\n"), told.err


def test_a_message_is_tried_with_no_more_than_whom_it_goes_to(workplace: Workplace) -> None:
    secret_missing(workplace)
    told = workplace.tell("notify")
    assert told.code == 1
    assert "nobody is told of anything" in told.err


SLOW = ("sqlalchemy", "pydantic", "rich", "httpx2", "authlib", "structlog", "alembic", "jinja2", "werkzeug",
        "flask")  # fmt: skip
IMPORTED = """
import sys
from replicator.cli.main import main
try:
    main(sys.argv[1:], prog_name="replicator")
finally:
    print("", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported_by(place: Workplace, command: str) -> set[str]:
    """The packages that a command imports."""
    environment = place.environment | {"HUB_URL": ""}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *command.split()], cwd=place.folder, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    found = set(done.stderr.splitlines()[-1].split())
    assert "replicator" in found
    return found


@pytest.mark.parametrize(
    "command", ["--help", "status", "explain account A-1", "retry --all", "metrics", "hub psql --help"]
)
def test_what_takes_long_to_import_stays_out_of_it(place: Workplace, command: str) -> None:
    """Their processor time is measured in benchmarks/; this is what it comes from."""
    assert not set(SLOW) & imported_by(place, command)


def test_to_try_a_message_nothing_is_imported_that_asks_the_hub(place: Workplace) -> None:
    imported = imported_by(place, "notify")
    assert "httpx2" in imported
    assert not {"psycopg", "sqlalchemy"} & imported


def test_the_help_of_all_says_of_each_command_what_its_own_help_says() -> None:
    context = click.Context(main, info_name="replicator")
    for name, entry in COMMANDS.items():
        command = main.get_command(context, name)
        assert command is not None
        assert command.name == name
        assert entry.help == command.get_short_help_str(10_000), name


def test_an_unknown_command_is_wrong_usage(tmp_path: Path) -> None:
    told = Workplace(tmp_path, None).tell("nonsense")
    assert told.code == 2
    assert "No such command 'nonsense'" in told.err


@pytest.mark.parametrize("trouble", ["missing", "no_yaml", "ahead", "secret_missing", "other_configuration_wrong"])
def test_the_console_needs_the_hub_alone(place: Workplace, trouble: str) -> None:
    in_hub(place, ORGANIZATION)
    TROUBLES[trouble](place)
    process = place.start("console", "--listen", "127.0.0.1:0", HUB_URL="")
    with httpx2.Client(base_url=process.line().removeprefix("console: "), trust_env=False) as client:
        for path in ("/", "/causes", "/record/organization/USMF"):
            assert client.get(path).status_code == 200
        assert "Main company" in client.get("/record/organization/USMF").text
    assert process.end() == 0
