"""The command line. It only decides what to call; what it shows are views of the hub."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import psycopg
import structlog
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from replicator import __version__
from replicator.cli import check, console, explain, migrations, monitoring, plan, reconcile, status, steward
from replicator.cli.options import answer, config_option, json_option, say, say_json
from replicator.cli.progress import TerminalWatcher
from replicator.config import load, load_hub, split_address
from replicator.cycle import Cycle, World
from replicator.daemon import Daemon, LogWatcher, why_unclean
from replicator.errors import HubMigrated, ReplicatorError, Terminal, Transient
from replicator.hub import embedded, psql
from replicator.hub.connection import CONSOLE, DAEMON, METRICS
from replicator.hub.remedies import passes, remedy, words_of
from replicator.hub.server import open_hub
from replicator.mapping.compiled import compile_folder
from replicator.opening import engine_of, leading, log_as_json, this_process, world_of
from replicator.operate import views
from replicator.operate.metrics import serve
from replicator.signals import stop_on_signals
from replicator.text import many

if TYPE_CHECKING:
    from replicator.sandbox.host import Host

EXIT_CODES = """
\b
Exit codes:
  0  done; for once, status and plan: everything is in step, or would be
  1  an error that a person has to mend
  2  wrong usage
  3  once, status and plan: something is or stays pending, blocked, failed, rejected, reported, held or in conflict,
     or was not read; run --plan: something of the plan was refused; wait: the time is over
  4  a passing failure: the hub or a system could not be reached
  5  the hub was migrated while this command worked on it; started again it goes on, if it is what the hub was made with
"""


MIGRATED = 5


def exit_code(problem: ReplicatorError) -> int:
    """By which a script tells what kind of problem it was."""
    if isinstance(problem, HubMigrated):
        return MIGRATED
    return 4 if isinstance(problem, Transient) else 1


@contextmanager
def told_errors() -> Iterator[None]:
    """Errors raised on purpose become one message and an exit code; anything else is a defect and shows itself."""
    try:
        yield
    except ReplicatorError as problem:
        say(f"error: {problem.message}", err=True, keep="\n\t")
        if problem.hint:
            say(f"  next: {problem.hint}", err=True)
        sys.exit(exit_code(problem))
    except BrokenPipeError:
        raise  # click's own: whoever read the output has seen enough
    except OSError as problem:
        say(f"error: {problem.filename or 'a file'}: {problem.strerror or problem}", err=True)
        sys.exit(1)
    except (DBAPIError, psycopg.Error) as problem:
        say(f"error: the hub: {words_of(problem)}", err=True)
        say(f"  next: {remedy(problem)}, then run the command again", err=True)
        sys.exit(4 if passes(problem) else 1)


class Group(click.Group):
    """A command group that tells errors as messages."""

    def invoke(self, ctx: click.Context) -> Any:
        with told_errors():
            return super().invoke(ctx)


@click.group(cls=Group, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="replicator")
def main() -> None:
    """Keep a CRM and an ERP in step through a common-data PostgreSQL hub.

    \b
    Start:   replicator init; replicator migrate; replicator run
    Try it:  replicator demo
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)


for module in (migrations, status, explain, plan, steward, reconcile, check, monitoring, console):
    for command in module.commands:
        main.add_command(command)


@main.command()
@config_option
@click.option("--whole", is_flag=True, help="Read every entity set whole, not only what changed.")
@json_option
def once(config_path: Path | None, whole: bool, as_json: bool) -> None:
    """Read both systems and work until they are quiet; then say how every flow stands.

    It waits for systems that ask for a pause and for records that are tried again, up to a minute in which nothing
    can be written.

    Exits with 3 when anything is blocked, failed, rejected or held, with 0 when everything is in step.
    """
    console = Console(stderr=as_json)
    watcher = TerminalWatcher(console)
    with world_of(load(config_path), watcher) as world, world.engine.connect() as connection:
        with leading(connection, world.configuration, world.made_from) as lead, watcher.progress():
            led = replace(world, lease=lead.lease, stopping=lead.lost.is_set, wait=lead.wait)
            Cycle(led, connection).once(whole=whole)
        found = views.status(connection)
        found |= views.details(connection, 50)
    status.tell(found, as_json)
    sys.exit(4 if watcher.transient else 3 if views.needs_attention(found) or watcher.terminal else 0)


@main.command()
@config_option
@click.option("--plan", "number", type=int, metavar="ID", help="Send exactly what this saved plan says, then end.")
def run(config_path: Path | None, number: int | None) -> None:
    """Run the daemon: keep both systems in step until SIGTERM or Ctrl-C.

    Logs are JSON lines on stderr. What is under way is finished before it stops. With 'console:' in the configuration
    it serves the web console too, also while another daemon leads.

    With --plan it reads both systems, makes the writes of that plan and no other, and ends. A write that would not be
    the planned one any more is refused with what differs (exit code 3); everything else stays pending.
    """
    if number is not None:
        stopped = threading.Event()
        stop_on_signals(stopped.set)
        plan.run_saved(config_path, number, stopped.is_set)
    log_as_json()
    with ExitStack() as stack:
        world = stack.enter_context(world_of(load(config_path), LogWatcher()))
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
        stack.enter_context(serving(engine, world.compiled, configuration.console))
    if configuration.metrics is not None:
        engine = stack.enter_context(engine_of(configuration, role=DAEMON, sessions=METRICS))
        server = stack.enter_context(serve(engine, *split_address(configuration.metrics.listen)))
        structlog.get_logger("replicator").info("metrics", url=f"{server.url}/metrics")


@main.command("check-schema")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("schema"))
@click.option("--json-schema", is_flag=True, help="Print the JSON Schema of the files, for editors.")
@json_option
def check_schema(folder: Path, json_schema: bool, as_json: bool) -> None:
    """Read and compile the schema in FOLDER, and say what is wrong with it; needs no hub."""
    if json_schema:
        from replicator.mapping.json_schema import json_schemas

        say_json(json_schemas())
        return
    compiled = compile_folder(folder)
    lines = [f"{found.rank}  {found.name}" for found in compiled.maps]
    lines.append(f"{len(compiled.schema.entities)} entities, {len(compiled.maps)} maps, no problem found")
    maps = [{"map": found.name, "rank": found.rank} for found in compiled.maps]
    answer("\n".join(lines), as_json, entities=list(compiled.schema.entities), maps=maps)


@main.command()
@click.option("--sales-port", default=8081, show_default=True, help="Port of the sales system; 0: any free one.")
@click.option("--ops-port", default=8082, show_default=True, help="Port of the ops system; 0: any free one.")
@click.option("--load", "folders", type=click.Path(path_type=Path, exists=True, file_okay=False), multiple=True,
              help="Folder with sales/*.jsonl and ops/*.jsonl to load; may be repeated, loaded in order.")  # fmt: skip
@click.option(
    "--state", type=click.Path(path_type=Path, file_okay=False), help="Folder that keeps the state across restarts."
)
@click.option("--option", "options", multiple=True, metavar="NAME=VALUE",
              help="A behaviour, as recalculate=true, activation_rules=true, token=..., throttle={...}.")  # fmt: skip
@json_option
def sandbox(
    sales_port: int,
    ops_port: int,
    folders: tuple[Path, ...],
    state: Path | None,
    options: tuple[str, ...],
    as_json: bool,
) -> None:
    """Serve the two simulated systems on loopback until SIGTERM or Ctrl-C.

    It does not start with what it cannot load. SIGHUP loads the folders again, into the running systems, and says what
    it loaded; what cannot be loaded is told, and the rest is there.
    """
    from replicator.sandbox.host import Host

    host = Host({"sales": sales_port, "ops": ops_port}, state=state, options=options)
    try:
        _load_first(host, folders)
        answer("\n".join(f"{name}: {url}" for name, url in host.urls.items()), as_json, urls=host.urls)
        sys.stdout.flush()
        host.wait(lambda: _load_again(host, folders))
    finally:
        host.close()


def _load_first(host: Host, folders: tuple[Path, ...]) -> None:
    """All of it, for who starts a sandbox is there to mend the files; once it runs, others work with it."""
    for folder in folders:
        try:
            host.load(folder)
        except Terminal as problem:
            raise Terminal(f"the sandbox does not start: {problem.message}", hint=problem.hint) from problem


def _load_again(host: Host, folders: tuple[Path, ...]) -> None:
    """Into the running systems, which go on whatever a file holds."""
    for folder in folders:
        try:
            systems = host.load(folder)
        except (ReplicatorError, OSError) as problem:
            say(f"error: {problem}", err=True)
        else:
            told = (f"{name} {many(sum(counts.values()), 'record')}" for name, counts in systems.items())
            say(f"{folder} loaded again: {', '.join(told)}", err=True)


@main.command()
@click.option("--seed", default=1, show_default=True, help="Of the invented sample data.")
@click.option("--keep", is_flag=True, help="Go on running afterwards, until Ctrl-C, to look around with psql.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where it is kept: a new or empty folder (default: a temporary one).",
)
@json_option
def demo(seed: int, keep: bool, folder: Path | None, as_json: bool) -> None:
    """Show it at work: an embedded hub, both systems simulated over HTTP, and the daemon between them.

    With --json the story goes to standard error, and how everything stands in the end is printed.
    """
    from replicator.cli.demonstration import Demo

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as after Ctrl-C
    with Demo(seed, folder, Console(stderr=as_json)) as show:
        show.play()
        if as_json:
            say_json(show.standing())
        if keep:
            show.stay()


@main.group()
def hub() -> None:
    """The hub's database: its embedded server, when the configuration names no other, and psql for either."""


@hub.command()
@config_option
@json_option
def up(config_path: Path | None, as_json: bool) -> None:
    """Start the embedded server (other commands do so too), and print its URL."""
    url = _embedded(config_path, embedded.start).url
    answer(url, as_json, hub=url)


@hub.command()
@config_option
@json_option
def down(config_path: Path | None, as_json: bool) -> None:
    """Stop the embedded server."""
    _embedded(config_path, embedded.stop)
    if as_json:
        say_json({"stopped": True})


@hub.command("psql", context_settings={"ignore_unknown_options": True})
@config_option
@click.argument("arguments", metavar="[ARGS]...", nargs=-1, type=click.UNPROCESSED)
def psql_command(config_path: Path | None, arguments: tuple[str, ...]) -> None:
    """Open psql on the hub, embedded or not; ARGS are psql's own, and so is the exit code.

    \b
    replicator hub psql
    replicator hub psql -c "table sync.status"
    """
    settings = load_hub(config_path)
    program = psql.program(settings.url)
    engine = open_hub(settings.url, settings.folder)
    environment = os.environ | psql.environment(engine)
    engine.dispose()
    # In the place of this process, so that Ctrl-C means what it means in psql.
    os.execve(program, [str(program), *arguments], environment)  # noqa: S606 - no shell is wanted


def _embedded(config_path: Path | None, act: Callable[[Path], Any]) -> Any:
    settings = load_hub(config_path)
    if settings.url:
        raise ReplicatorError("the hub is a server of your own, not the embedded one", hint="unset HUB_URL or hub.url")
    return act(settings.folder)


if __name__ == "__main__":
    main()
