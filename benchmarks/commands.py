"""The processor time of commands that people in need give, whole processes, beside that of what none can do without."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Line
from replicator.hub import embedded

COMMANDS = (
    "--help", "status", "status --details --json", "causes", "conflicts", "decisions", "pause ops", "resume ops",
    "retry --all", "skip --all", "approve --all", "reject --all", "resolve 1 --take sales", "resync account",
    "explain account A-1", "history account A-1", "as-of account A-1 2026-01-01",
    "wait account A-1 --in ops --timeout 0",
    "metrics", "notify", "hub up", "hub psql -c 'table sync.pause'",
)  # fmt: skip
_BARE = (sys.executable, "-c", "import psycopg, click")
_PROGRAM = (sys.executable, "-m", "replicator")
_MOST = 0.4
"""Seconds. A person in need waits for nothing."""
_ROUNDS = 5


def measure(server_url: str, records: int) -> list[Line]:
    """On an embedded server that runs already, with an empty hub: what a command asks for is not what it takes."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for command in ("init .", "migrate"):
            words = (*_PROGRAM, *shlex.split(command))
            subprocess.run(words, cwd=folder, env=_environment(), check=True, capture_output=True)
        try:
            bare = min(_seconds(_BARE, folder) for _ in range(_ROUNDS))
            found = [Line("processor time of 'import psycopg, click'", f"{bare:.2f} s")]
            for command in COMMANDS:
                words = (*_PROGRAM, *shlex.split(command))
                least = min(_seconds(words, folder) for _ in range(_ROUNDS))
                what = f"processor time of 'replicator {command}', of {_MOST} s"
                found.append(Line(what, f"{least:.2f} s", least / _MOST, 1.0))
            return found
        finally:
            embedded.stop(folder / "hub")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in ("HUB_URL", "REPLICATOR_CONFIG")}


def _seconds(words: Sequence[str], folder: Path) -> float:
    """What the process and its children took, of user and system. Its answer may be that there is nothing."""
    before = os.times()
    done = subprocess.run(words, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    after = os.times()
    if done.returncode not in (0, 1, 3) or "Traceback" in done.stderr:
        raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}: {done.stderr}")
    return (after.children_user - before.children_user) + (after.children_system - before.children_system)
