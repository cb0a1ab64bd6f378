"""What several commands take, and how they answer."""

from __future__ import annotations

from pathlib import Path

import click

from replicator import report
from replicator.config import FILE

config_option = click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), envvar="REPLICATOR_CONFIG",
    help=f"Configuration file (default: {FILE}; environment: REPLICATOR_CONFIG).",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def answer(text: str, as_json: bool, **values: object) -> None:
    """One result: a sentence, or the values in it as JSON."""
    click.echo(report.to_json(values) if as_json else text)
