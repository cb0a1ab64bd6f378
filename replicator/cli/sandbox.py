"""``sandbox``: both systems simulated, to try things on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from replicator.cli.options import json_option
from replicator.cli.output import answer, say
from replicator.errors import ReplicatorError, Terminal
from replicator.sandbox.host import Host
from replicator.text import many


@click.command()
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
            counted = (f"{name} {many(sum(counts.values()), 'record')}" for name, counts in systems.items())
            say(f"{folder} loaded again: {', '.join(counted)}", err=True)
