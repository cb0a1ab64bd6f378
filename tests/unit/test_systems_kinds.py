"""Kinds of systems are found by entry point: one that somebody else brings, and one that cannot be loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

GOOD = """\
from typing import Any, Literal
from replicator.connectors.settings import ConnectorSettings

class LedgerSettings(ConnectorSettings):
    kind: Literal["ledger"]
    host: str

    def connect(self, name: str, **options: Any):
        return f"a connector to {self.host} with {sorted(options)}"
"""
PROGRAM = """\
import sys
from pathlib import Path
from replicator import config
from replicator.connectors import connect
from replicator.errors import ConfigurationError
try:
    found = config.load(Path(sys.argv[1]), {})
    print({name: type(each).__name__ for name, each in found.systems.items()})
    print(connect("books", found.systems["books"], clock=1, transport=None) if "books" in found.systems else "")
except ConfigurationError as problem:
    print(problem.message)
"""
LEDGER = "  books:\n    kind: ledger\n    host: here\n"
SHOP = "  shop:\n    kind: jsonl\n    folder: shop\n"


def told(tmp_path: Path, module: str, systems: str, kind: str = "ledger") -> list[str]:
    """What a program says that finds another package beside its own."""
    (tmp_path / "my_ledger.py").write_text(module, encoding="utf-8")
    info = tmp_path / "my_ledger-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-ledger\nVersion: 1.0\n", encoding="utf-8")
    entry = f"[replicator.connectors]\n{kind} = my_ledger:LedgerSettings\n"
    (info / "entry_points.txt").write_text(entry, encoding="utf-8")
    file = tmp_path / "replicator.yaml"
    file.write_text(f"systems:\n{systems}", encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM, str(file)]
    done = subprocess.run(
        command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False, cwd=Path.cwd()
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_kind_that_another_package_brings_is_one_like_the_others(tmp_path: Path) -> None:
    systems, connector = told(tmp_path, GOOD, LEDGER + SHOP)
    assert systems == "{'books': 'LedgerSettings', 'shop': 'JsonlSettings'}"
    assert connector == "a connector to here with ['clock']"


def test_what_is_wrong_in_its_settings_is_named_with_its_line(tmp_path: Path) -> None:
    (message,) = told(tmp_path, GOOD, LEDGER + "    port: 7\n")
    assert (
        "replicator.yaml:5: systems.books.port: unknown key (possible: kind, parallel_requests, time_zone, host)"
        in message
    )


@pytest.mark.parametrize(
    ("module", "kind", "why"),
    [
        ("import nothing_of_this_name", "ledger", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("LedgerSettings = int", "ledger", "is no subclass of ConnectorSettings"),
        (GOOD, "books", "the kind of my_ledger:LedgerSettings is not Literal['books']"),
    ],
)
def test_a_kind_that_cannot_be_loaded_hurts_only_who_uses_it(tmp_path: Path, module: str, kind: str, why: str) -> None:
    (message,) = told(tmp_path, module, f"  books:\n    kind: {kind}\n    host: x\n", kind)
    assert "replicator.yaml:" in message
    assert f"the connector of kind '{kind}' cannot be loaded: " in message
    assert why in message


def test_beside_a_kind_that_cannot_be_loaded_the_others_work(tmp_path: Path) -> None:
    systems, _ = told(tmp_path, "1 / 0", SHOP)
    assert systems == "{'shop': 'JsonlSettings'}"


def test_a_kind_that_there_is_not_is_an_error_that_lists_those_that_are(tmp_path: Path) -> None:
    (message,) = told(tmp_path, GOOD, "  books:\n    kind: oracle\n")
    assert "replicator.yaml:3: systems.books.kind: has to be one of 'dataverse', 'finops', 'jsonl', 'ledger'" in message
