"""Tells a person at a terminal what moves, in which order, as it happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from replicator.cli.output import print_line
from replicator.errors import ReplicatorError, Transient
from replicator.inbound.load import SnapshotResult
from replicator.inbound.merge import MergeResult
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.schema import EntitySet
from replicator.outbound.acknowledge import Acknowledged
from replicator.watcher import Watcher


class TerminalWatcher(Watcher):
    """A line for everything that changed something; on a terminal a bar while it lasts."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.transient = 0
        self.terminal = 0
        self._lock = Lock()
        self._bar: Progress | None = None
        self._flows: dict[str, int] = {}

    @contextmanager
    def progress(self) -> Iterator[None]:
        """Show what is under way, where there is a terminal to show it on."""
        if not self.console.is_terminal:
            yield
            self.flush()
            return
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            self._bar = bar
            self._task = bar.add_task("reading", total=None)
            yield
            self._bar = None
        self.flush()

    def reading(self, entity_set: EntitySet) -> None:
        self._show(f"reading {entity_set}", None)

    def snapshot(self, entity_set: EntitySet, taken: SnapshotResult) -> None:
        parts = [f"{value} {name}" for name, value in vars(taken).items() if name not in ("kind", "rows") and value]
        if parts:
            self._line(f"read     {entity_set}: {', '.join(parts)}")

    def merged(self, merged: MergeResult) -> None:
        parts = [
            f"{getattr(merged, name)} {name}" for name in ("created", "updated", "deleted") if getattr(merged, name)
        ]
        if parts:
            self._line(f"merged   into common: {', '.join(parts)}")

    def sending(self, flow: CompiledMap, records: int) -> None:
        self.flush()
        self._show(f"sending {flow.name}", records)

    def delivered(self, flow: CompiledMap, result: Acknowledged) -> None:
        with self._lock:
            for name in ("applied", "amended", "rejected", "postponed", "unknown"):
                if getattr(result, name):
                    key = f"{flow.name}\n{name}"
                    self._flows[key] = self._flows.get(key, 0) + getattr(result, name)
        if self._bar is not None:
            self._bar.advance(self._task, result.applied + result.rejected + result.postponed)

    def pausing(self, seconds: float) -> None:
        self.transient = 0  # what failed is tried again, and told again if it fails again
        self._line(f"waiting  {seconds:.0f} s, then what failed is tried again")
        self._show("waiting", None)

    def comparing(self, flow: CompiledMap) -> None:
        self.flush()
        self._show(f"comparing {flow.name}", None)

    def problem(self, where: str, problem: ReplicatorError) -> None:
        if isinstance(problem, Transient):
            self.transient += 1
        else:
            self.terminal += 1
        self._line(f"problem  {where}: {problem.message}" + (f"; next: {problem.hint}" if problem.hint else ""))

    def _show(self, what: str, total: int | None) -> None:
        if self._bar is not None:
            self._bar.reset(self._task, description=what, total=total)

    def _line(self, text: str) -> None:
        self.flush()
        print_line(self.console, text)

    def flush(self) -> None:
        """One line per flow for all its requests."""
        with self._lock:
            flows, self._flows = self._flows, {}
        parts_of: dict[str, list[str]] = {}
        for key, count in flows.items():
            flow, name = key.split("\n")
            parts_of.setdefault(flow, []).append(f"{count} {name}")
        for flow, parts in parts_of.items():
            print_line(self.console, f"sent     {flow}: {', '.join(parts)}")
