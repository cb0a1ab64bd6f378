"""Whatever words come from elsewhere: a line that is printed, logged or sent is one line, and shows all of itself."""

from __future__ import annotations

import datetime
import io
import json
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from replicator.cli import terminal
from replicator.cli.output import answer, say
from replicator.cli.progress import TerminalWatcher
from replicator.config import NotifySettings, load
from replicator.errors import ConfigurationError, SystemUnavailable
from replicator.log_lines import log_as_json
from replicator.operate.notify import messages
from replicator.text import visible

NASTY = "A-1\x1b[2J\r\nheld: nothing\x9b31m\x7f \u202e\u2066\u200b\u200f\ufeff\u2028\u00ad\U000e0041"
UNSEEN = set(NASTY) - set("A-1[2Jheld: nothing31m ")
NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)


def assert_shown(text: str, lines: int = 1) -> None:
    assert text.endswith("\n")
    assert len(text.removesuffix("\n").split("\n")) == lines
    assert not UNSEEN & set(text.replace("\n", ""))
    assert r"\x1b[2J" in text or r"\u001b[2J" in text
    assert r"\u202e" in text


def printed(print_: Any, *values: Any) -> str:
    console = Console(file=io.StringIO(), width=400)
    print_(console, *values)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


ROW: dict[str, Any] = {
    "cause": "c1", "records": 1, "flow": "a > b", "state": "rejected", "code": NASTY, "field": None, "since": NOW,
    "record": NASTY, "reason": NASTY, "waits_for": [NASTY], "topic": "a", "depth": 0, "said": NASTY,
    "next": None, "at": NOW, "by": NASTY, "action": "skip", "what": "a", "held": {"sales": NASTY}, "entity": "a",
    "id": 1, "base": None, "place": "a", "operation": "changed", "before": None, "after": NASTY, "origin": None,
    "known": True, "key": NASTY, "root_cause": NASTY,
}  # fmt: skip


NOTHING: dict[str, Any] = dict.fromkeys(("blocked", "failed", "not_eligible", "skipped", "observed"), ())


@pytest.mark.parametrize(
    ("print_", "found", "lines"),
    [
        (terminal.print_causes, [ROW], 3),
        (terminal.print_behind, [ROW], 1),
        (terminal.print_decisions, [ROW], 1),
        (terminal.print_conflicts, [ROW], 2),
        (terminal.print_chain, [{**ROW, "cause": False}], 2),
        (terminal.print_root_causes, [ROW], 1),
        (terminal.print_history, [ROW], 1),
        (terminal.print_as_of, [{**ROW, "record": {"name": NASTY}}], 2),
        (terminal.print_details, {**NOTHING, "blocked": [ROW]}, 1),
        (terminal.print_details, {**NOTHING, "failed": [ROW]}, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_a_record_that_is_named_like_an_attack_is_one_line_of_every_table(print_: Any, found: Any, lines: int) -> None:
    assert_shown(printed(print_, found), lines)


def test_a_problem_on_the_terminal_is_one_line() -> None:
    assert_shown(printed(lambda console: TerminalWatcher(console).problem("sales", SystemUnavailable(NASTY))))


@click.command()
def saying() -> None:
    say(NASTY)


@click.command()
@click.option("--json", "as_json", is_flag=True)
def answering(as_json: bool) -> None:
    answer(f"first line\n{visible(NASTY)}", as_json, record=NASTY)


def test_what_a_command_says_is_one_line_and_an_answer_has_only_its_own() -> None:
    assert_shown(CliRunner().invoke(saying).output)
    assert_shown(CliRunner().invoke(answering).output, 2)


def test_json_escapes_all_of_it_and_reads_back() -> None:
    output = CliRunner().invoke(answering, ["--json"]).output
    assert output.isascii()
    assert_shown(output, 3)
    assert json.loads(output) == {"record": NASTY}


def test_a_line_of_the_log_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    log_as_json()
    structlog.get_logger("replicator").warning("problem", where=NASTY, problem=NASTY)
    structlog.reset_defaults()
    told = capfd.readouterr().err
    assert_shown(told)
    assert json.loads(told)["where"] == NASTY


def test_a_message_to_people_shows_all_of_itself() -> None:
    alarm = {**ROW, "title": NASTY, "root_cause": NASTY, "since": NOW - datetime.timedelta(hours=1)}
    (message,) = messages([alarm], [], NotifySettings(), NOW)
    assert_shown(message.text + "\n", 4)


def test_a_key_of_a_file_that_is_named_like_an_attack_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "replicator.yaml"
    file.write_text('"a\\e[2J\\r\\n\\u202E": 1\n', encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert_shown(caught.value.message + "\n")


def test_other_writings_stay_as_they_are() -> None:
    text = "Ünïcødé 値 العربية 🎉 a\u00a0b"
    assert visible(text) == text


@given(st.text())
def test_any_text_becomes_one_line_that_can_be_printed_and_stays_the_same_when_shown_again(text: str) -> None:
    found = visible(text)
    found.encode()
    assert found.splitlines() in ([], [found])
    assert visible(found) == found
