"""What several commands take: options, and a session on the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from replicator.hub.address import FILE, load_hub
from replicator.hub.session import Session, open_hub

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
