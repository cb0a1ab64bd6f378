"""The commands that work: once until all is quiet, or on and on."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click
import structlog
from rich.console import Console

from replicator import __version__
from replicator.cli import run_plan, status
from replicator.cli.exit_codes import MIGRATED
from replicator.cli.options import config_option, json_option
from replicator.cli.progress import TerminalWatcher
from replicator.command_lead import command_lead, this_process
from replicator.config import load, split_address
from replicator.cycle import Cycle
from replicator.daemon import Daemon, why_unclean
from replicator.hub.connection import DAEMON
from replicator.hub.session import CONSOLE, HINTS, METRICS
from replicator.log_lines import LogWatcher, log_as_json
from replicator.operate import hub_queries
from replicator.operate.metrics import serve
from replicator.signals import stop_on_signals
from replicator.startup import engine_of, open_world
from replicator.world import World


@click.command()
@config_option
@click.option("--whole", is_flag=True, help="Read every entity set whole, not only what changed.")
@json_option
def once(config_path: Path | None, whole: bool, as_json: bool) -> None:
    """Read both systems and work until they are quiet; then say how every flow stands.

    It waits for systems that ask for a pause and for records that are tried again, up to a minute in which nothing
    can be written.

    Exits with 3 when anything is blocked, failed, rejected, held or orphaned, with 0 when everything is in step.
    """
    console = Console(stderr=as_json)
    watcher = TerminalWatcher(console)
    with open_world(load(config_path), watcher) as world, world.engine.connect() as connection:
        with command_lead(connection, world.configuration, world.made_from) as lead, watcher.progress():
            led = replace(world, lease=lead.lease, stopping=lead.lost.is_set, wait=lead.wait)
            Cycle(led, connection).once(whole=whole)
        found = hub_queries.status(connection)
        found |= hub_queries.details(connection, 50)
    status.tell(found, as_json)
    sys.exit(4 if watcher.transient else 3 if hub_queries.needs_attention(found) or watcher.terminal else 0)


@click.command()
@config_option
@click.option("--plan", "number", type=int, metavar="ID", help="Send exactly what this saved plan says, then end.")
def run(config_path: Path | None, number: int | None) -> None:
    """Run the daemon: keep both systems in step until SIGTERM or Ctrl-C.

    Logs are JSON lines on stderr. What is under way is finished before it stops. With 'console:' in the configuration
    it serves the web console too, with 'hints:' it hears what systems say of changes, also while another daemon leads.

    With --plan it reads both systems, makes the writes of that plan and no other, and ends. A write that would not be
    the planned one any more is refused with what differs (exit code 3); everything else stays pending.
    """
    if number is not None:
        stopped = threading.Event()
        stop_on_signals(stopped.set)
        run_plan.run_saved(config_path, number, stopped.is_set)
    log_as_json()
    with ExitStack() as stack:
        world = stack.enter_context(open_world(load(config_path), LogWatcher()))
        daemon = Daemon(world, this_process())
        stop_on_signals(daemon.stop)
        log = structlog.get_logger("replicator")
        log.info("start", version=__version__, systems=list(world.connectors))
        _open_doors(world, stack)
        end = daemon.run()
        log.info("stop", clean=not end.unfinished, **why_unclean(end.unfinished))
    code = MIGRATED if end.migrated else 0
    if end.unfinished:
        # A request that does not end would hold the interpreter; its record is looked up at the next start.
        os._exit(code)
    sys.exit(code)


def _open_doors(world: World, stack: ExitStack) -> None:
    """Serve what the configuration says, with sessions of their own: none of the work's is taken."""
    configuration = world.configuration
    if configuration.console is not None:
        from replicator.console.serve import serving

        engine = stack.enter_context(engine_of(configuration, role=DAEMON, sessions=CONSOLE))
        stack.enter_context(serving(engine, configuration.console))
    if configuration.hints is not None:
        from replicator.hints.hint_server import hearing

        engine = stack.enter_context(engine_of(configuration, role=DAEMON, sessions=HINTS))
        stack.enter_context(hearing(engine, world.compiled.schema, configuration.hints, world.watcher))
    if configuration.metrics is not None:
        engine = stack.enter_context(engine_of(configuration, role=DAEMON, sessions=METRICS))
        server = stack.enter_context(serve(engine, *split_address(configuration.metrics.listen)))
        structlog.get_logger("replicator").info("metrics", url=f"{server.url}/metrics")
