"""``demo``: everything at work, in one command."""

from __future__ import annotations

import signal
from pathlib import Path

import click
from rich.console import Console

from replicator.cli.demonstration import Demo
from replicator.cli.options import json_option, say_json


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
