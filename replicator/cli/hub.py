"""The commands for the hub's database itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from replicator.cli.options import config_option, json_option
from replicator.cli.output import answer, say_json
from replicator.errors import ReplicatorError
from replicator.hub import embedded, psql
from replicator.hub.address import load_hub
from replicator.hub.session import parameters, reach


@click.group()
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
    address = load_hub(config_path)
    program = psql.program(address.url)
    with reach(address):  # says what is wrong where it cannot be reached
        environment = os.environ | psql.environment(parameters(address))
    # In the place of this process, so that Ctrl-C means what it means in psql.
    os.execve(program, [str(program), *arguments], environment)  # noqa: S606 - no shell is wanted


def _embedded(config_path: Path | None, act: Callable[[Path], Any]) -> Any:
    address = load_hub(config_path)
    if address.url:
        raise ReplicatorError("the hub is a server of your own, not the embedded one", hint="unset HUB_URL or hub.url")
    return act(address.folder)
