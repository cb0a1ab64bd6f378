"""The states of a delivery stand once: documents, SQL and code say nothing else, and name none that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.console.render import prose
from replicator.hub import states
from replicator.hub.sync_tables import delivery_state
from replicator.operate.metrics import STATES

ROOT = Path(__file__).resolve().parent.parent.parent
PRODUCT = ROOT / "replicator"
SQL = sorted(path for folder in (ROOT / "schema", PRODUCT) for path in folder.rglob("*.sql"))
OTHER_STATES = {
    "proposed", "approved", "withdrawn", "done",  # of a proposed delete, beside held and rejected
    "open", "decided",  # of a conflict
    "quarantined", "orphaned", "conflict", "not_read",  # of what has no delivery
    "here", "deleted", "unmarked",  # of a row in one place, for explain
}  # fmt: skip
"""Words that stand in a column called state and are no state of a delivery."""
LITERALS = re.compile(
    r"\bstate(?:::text)?\s*(?:=|<>|is distinct from)\s*'(?P<one>[a-z_ ]+)'"
    r"|\bstate(?:::text)?\s*(?:not\s+)?in\s*\((?P<some>[^()]*)\)"
    r"|\bcase\s+\w+\.state(?:::text)?\s+when\s+'(?P<case>[a-z_ ]+)'"
)


def said_in(text: str) -> Iterator[str]:
    """Every state that a text in SQL compares or sets."""
    for found in LITERALS.finditer(text):
        yield from (
            [found["one"], found["case"]] if found["some"] is None else re.findall(r"'([a-z_ ]+)'", found["some"])
        )


def test_the_type_of_the_table_has_these_states_and_no_other() -> None:
    assert tuple(delivery_state.enums) == states.NAMES == tuple(each.name for each in states.DELIVERY)


@pytest.mark.parametrize("path", SQL, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sql_names_a_state_that_is_not_there(path: Path) -> None:
    assert {*said_in(path.read_text(encoding="utf-8"))} - {None} <= {*states.NAMES, *OTHER_STATES}


def texts_of(node: ast.AST) -> Iterator[str]:
    """Every text in an expression but the names of parameters."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("bindparam"):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value.strip("'").partition("'")[0]
    for child in ast.iter_child_nodes(node):
        yield from texts_of(child)


def states_in(node: ast.AST) -> Iterator[str]:
    """What an expression compares with a column called state, or puts under that name."""
    if isinstance(node, ast.Compare) and ast.unparse(node.left).endswith(".state"):
        for other in node.comparators:
            yield from texts_of(other)
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value == "state" and isinstance(value, ast.Constant):
                yield from texts_of(value)


def test_no_python_names_a_state_that_is_not_there() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {state}"
        for path in sorted(PRODUCT.rglob("*.py"))
        if not {"sandbox", "connectors"} & set(path.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Compare | ast.Dict)
        for state in states_in(node)
        if state not in {*states.NAMES, *OTHER_STATES}
    ]
    assert wrong == []


def test_a_search_for_states_finds_them() -> None:
    text = "where d.state in ('failed', 'lost') and p.state = 'held' or case d.state when 'gone' then 1 end = 1"
    assert [*filter(None, said_in(text))] == ["failed", "lost", "held", "gone"]


def test_the_readme_says_of_each_state_what_it_means_and_what_to_do() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition("| state | what it means | what to do |\n|---|---|---|\n")[2].partition("\n\n")[0]
    assert table.splitlines() == [f"| {each.words} | {each.meaning} | {each.todo} |" for each in states.ALL]


def test_the_document_of_the_hub_names_every_column_of_the_status_and_every_state() -> None:
    text = (ROOT / "docs/hub.md").read_text(encoding="utf-8")
    (status,) = re.findall(r"^\| `status` \|.*$", text, re.MULTILINE)
    assert [name for name in states.COLUMNS if not re.search(rf"\b{name}\b", status)] == []


def test_what_follows_from_a_state_fits_together() -> None:
    for each in states.ALL:
        assert not (each.moves and each.needs_person), each.name
        assert not (each.settled and (each.trouble or each.moves or each.needs_person)), each.name
        assert each.settled or each.trouble or each.moves, each.name
        assert each.becomes <= set(states.NAMES)
    for each in states.DELIVERY:
        assert "pending" in each.becomes, f"{each.name} would stay for ever"
        assert ("skipped" in each.becomes) == (each.may_skip != "no"), each.name
        assert not each.needs_person or each.may_retry or each.name == "held", f"nobody could decide about {each.name}"


def test_every_state_is_counted_once_in_the_status_and_told_to_monitoring() -> None:
    assert len({*states.COLUMNS}) == len(states.COLUMNS)
    counted = [name for column in states.COLUMNS for name in states.counted_in(column)]
    assert sorted(counted) == sorted(states.NAMES)
    assert {*STATES} == {"in_step", *states.COLUMNS} - {"conflicts"}


def test_a_meaning_is_a_sentence_on_a_page() -> None:
    assert prose("a `b` <c>") == "A <code>b</code> &lt;c&gt;"


@pytest.mark.parametrize("name", ["alerts.yaml", "dashboard.json"])
def test_monitoring_asks_for_states_that_are_told(name: str) -> None:
    text = (ROOT / "docs/monitoring" / name).read_text(encoding="utf-8")
    asked = {state for group in re.findall(r'state=~?\\?"([a-z_|]+)', text) for state in group.split("|")}
    assert asked
    assert asked <= {*STATES}
