"""The run of a saved plan: ``run --plan``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from replicator.cli.output import say
from replicator.cli.plan import named
from replicator.cli.progress import TerminalWatcher
from replicator.command_lead import command_lead
from replicator.config import load
from replicator.operate.planning.saved_plans import Ran, run_plan
from replicator.startup import open_world
from replicator.text import many


def run_saved(config_path: Path | None, number: int, stopping: Callable[[], bool]) -> None:
    """Run a saved plan and end the process: 0 when all of it was sent, 3 when something was refused."""
    watcher = TerminalWatcher(Console())
    with (
        open_world(load(config_path), watcher) as world,
        world.engine.connect() as connection,
        command_lead(connection, world.configuration, world.made_from) as lead,
        watcher.progress(),
    ):
        ran = run_plan(replace(world, lease=lead.lease, stopping=stopping), connection, number)
    for line in _refusals(ran):
        say(line)
    say(f"plan {number}: {len(ran.writes) - len(ran.refused)} of {many(len(ran.writes), 'write')} sent")
    sys.exit(4 if watcher.transient else 3 if ran.refused or watcher.terminal else 0)


def _refusals(ran: Ran) -> Iterable[str]:
    for write, outcome in ran.refused:
        yield f"refused  {write.operation} {named(write)} in {write.system}: {outcome}"
