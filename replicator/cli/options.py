"""What several commands take, and how they answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from replicator.hub.address import FILE, load_hub
from replicator.hub.session import Session, open_hub
from replicator.operate import views
from replicator.text import visible

config_option = click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), envvar="REPLICATOR_CONFIG",
    help=f"Configuration file (default: {FILE}; environment: REPLICATOR_CONFIG).",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


@contextmanager
def connected(config_path: Path | None) -> Iterator[Session]:
    """A session on the hub, for a command that needs nothing else."""
    with open_hub(load_hub(config_path)) as connection:
        yield connection


def say(text: str, *, err: bool = False, keep: str = "") -> None:
    """One line, whatever words from elsewhere it holds; more only where ``keep`` has the line end."""
    click.echo(visible(text, keep=keep), err=err)


def say_json(value: object) -> None:
    """JSON, which escapes by itself what a terminal would obey."""
    click.echo(views.to_json(value))


def answer(text: str, as_json: bool, **values: object) -> None:
    """One result: a sentence, or the values in it as JSON."""
    if as_json:
        say_json(values)
    else:
        say(text, keep="\n\t")
