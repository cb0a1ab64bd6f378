"""``demo``: sample data, both systems over real HTTP, the hub and the daemon, and people at work, in one command."""

from __future__ import annotations

import datetime
import itertools
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import click
import simplejson
import sqlalchemy as sa
from rich.console import Console

from replicator.cli import output, terminal
from replicator.cli.options import json_option
from replicator.cli.output import say_json
from replicator.cli.progress import TerminalWatcher
from replicator.config import Configuration, load
from replicator.daemon import Daemon
from replicator.errors import ReplicatorError, SystemUnavailable
from replicator.hub import embedded
from replicator.operate import hub_queries
from replicator.sandbox.host import Host
from replicator.sandbox.sample import generate
from replicator.solution import shipped
from replicator.solution.migrate import migrate
from replicator.startup import hub_of, open_world

_PATIENCE = 120.0
_HELD = """
select m.name as flow, m.entity, min(d.record) as record from sync.delivery d join sync.map m on m.id = d.map_id
where d.state = 'held' group by m.name, m.entity order by m.name
"""


class Demo:
    """One performance; a context manager that cleans up after itself."""

    def __init__(self, seed: int, folder: Path | None, console: Console) -> None:
        self.console = console
        if folder and folder.exists() and any(folder.iterdir()):
            raise ReplicatorError(
                f"{folder} is not empty, and the demonstration starts anew: the systems of an earlier one are gone",
                hint="give another --folder; or remove this one, if it holds nothing but a demonstration",
            )
        self._stack = ExitStack()
        temporary = None if folder else self._stack.enter_context(tempfile.TemporaryDirectory(prefix="replicator-"))
        self.folder = (folder or Path(temporary or "")).resolve()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.sample = self.folder / "sample"
        generate(seed, self.sample)

    def __enter__(self) -> Demo:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.host = Host({"sales": 0, "ops": 0})
        self._stack.callback(self.host.close)
        self.host.load(self.sample)
        configuration = self._configure()
        self._stack.callback(embedded.stop, configuration.hub.folder)
        with hub_of(configuration) as hub:
            migrate(hub)
        self.watcher = TerminalWatcher(self.console)
        world = self._stack.enter_context(open_world(configuration, self.watcher))
        self.engine = world.engine
        self.daemon = Daemon(world, "demo")
        self._thread = threading.Thread(target=self.daemon.run, name="daemon")
        self._stack.callback(self._end)

    def _configure(self) -> Configuration:
        self.file = shipped.write(self.folder, force=True)
        template = self.file.read_text(encoding="utf-8")
        for written, name in (("http://127.0.0.1:8081", "sales"), ("http://127.0.0.1:8082", "ops")):
            template = template.replace(written, self.host.urls[name])
        self.file.write_text(template, encoding="utf-8")
        return load(self.file, {})

    def play(self) -> None:
        """Start the daemon, let people change things in both systems, and show how everything stands."""
        for name, url in self.host.urls.items():
            self._say(f"{name} serves at {url}")
        self._say(f"the hub is a PostgreSQL of its own in {self.folder / 'hub'}")
        self._scene("The daemon starts", lambda: None, starting=True)
        self._scene("A person looks at what is held, and lets it go", self._decide)
        changes = [simplejson.loads(line, use_decimal=True) for line in (self.sample / "changes.jsonl").open()]
        for step, group in itertools.groupby(changes, key=lambda change: change["after"]):
            some = list(group)
            self._scene(f"People work in both systems ({step})", lambda some=some: self._change(some))  # type: ignore[misc]
        self._end()
        self._tell_what_is_left_alone()

    def standing(self) -> dict[str, hub_queries.Rows]:
        """How everything stands, as data."""
        with self.engine.connect() as connection:
            unlinked = {"unlinked": hub_queries.rows(connection, "unlinked")}
            return hub_queries.status(connection) | hub_queries.details(connection, 50) | unlinked

    def _tell_what_is_left_alone(self) -> None:
        self.console.rule("What the hub leaves alone", align="left")
        for row in self.standing()["unlinked"]:
            where = f"{row['system']}.{row['entity_set']}"
            self._say(f"not linked    {where}  {row['record']}  paired with no common record; never touched")

    def _end(self) -> None:
        self.daemon.stop()
        if self._thread.is_alive():
            self._thread.join()

    def stay(self) -> None:
        """Keep the hub up, to look around."""
        command = Path(sys.executable).with_name("replicator"), "hub", "psql", "--config", self.file
        self._say("the hub stays up until Ctrl-C; look around with:")
        self._say(f"  {shlex.join((*map(str, command), '-c', 'table sync.status'))}")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()

    def _scene(self, title: str, act: Callable[[], None], *, starting: bool = False) -> None:
        self.console.rule(title, align="left")
        act()
        since = datetime.datetime.now(datetime.UTC)
        if starting:
            self._thread.start()
        else:
            self.daemon.read_now()
        self._wait_until_quiet(since)
        self.watcher.flush()
        with self.engine.connect() as connection:
            found, details = hub_queries.status(connection), hub_queries.details(connection, 20)
        terminal.print_details(self.console, details)
        terminal.print_status(self.console, found)

    def _decide(self) -> None:
        with self.engine.connect() as connection, connection.begin():
            held = connection.execute(sa.text(_HELD)).all()
        for flow, entity, record in held:
            self._command("explain", entity, record)
            self._command("approve", "--flow", flow, "--reason", "the records are the same ones")

    def _command(self, *words: str) -> None:
        """What a person types at a terminal, and what it answers."""
        self._say(f"$ {shlex.join(('replicator', *words))}")
        environment = os.environ | {"REPLICATOR_CONFIG": str(self.file), "HUB_URL": ""}
        done = subprocess.run(
            [sys.executable, "-m", "replicator", *words], env=environment, capture_output=True, text=True, check=False
        )
        self._say((done.stdout + done.stderr).rstrip())
        if done.returncode:
            raise ReplicatorError(f"'replicator {words[0]}' ended with {done.returncode}")

    def _change(self, changes: list[Mapping[str, Any]]) -> None:
        for change in changes:
            self._say(f"{change['system']}: {change['why']}")
            sandbox = self.host.sandboxes[change["system"]]
            if "delete" in change:
                sandbox.delete(change["entity_set"], *change["delete"])
            else:
                sandbox.put(change["entity_set"], change["record"])

    def _say(self, text: str) -> None:
        output.print_line(self.console, text, keep="\n")

    def _wait_until_quiet(self, since: datetime.datetime) -> None:
        """Until every entity set has been read since, and no change waits to be marked or sent."""
        deadline = time.monotonic() + _PATIENCE
        calm = 0
        while calm < 3:
            if time.monotonic() > deadline:
                raise SystemUnavailable("the daemon did not come to rest", hint="see the problems above")
            if not self._thread.is_alive():
                raise ReplicatorError("the daemon stopped")
            time.sleep(0.2)
            calm = calm + 1 if self._quiet(since) else 0

    def _quiet(self, since: datetime.datetime) -> bool:
        query = sa.text(
            "select not exists (select from sync.entity_set where greatest(read_at, problem_since) < :since)"
            " and (select count(*) from sync.entity_set) >= :sets"
            " and not exists (select from sync.delivery where state in ('pending', 'in_flight', 'unknown'))"
            " and not exists (select from log.change c, sync.consumer k"
            "                 where not pg_visible_in_snapshot(c.txid, k.snapshot))"
        )
        sets = sum(len(self.daemon.world.compiled.schema.sets_of(name)) for name in self.daemon.world.connectors)
        with self.engine.connect() as connection:
            return bool(connection.execute(query, {"since": since, "sets": sets}).scalar_one())


@click.command()
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as after Ctrl-C
    with Demo(seed, folder, Console(stderr=as_json)) as show:
        show.play()
        if as_json:
            say_json(show.standing())
        if keep:
            show.stay()
