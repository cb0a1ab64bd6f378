"""The commands that set up: a configuration to start from, and the hub's database."""

from __future__ import annotations

from pathlib import Path

import click

from replicator.cli.options import answer, config_option, json_option, say
from replicator.config import FILE, commented_file, load
from replicator.errors import ReplicatorError
from replicator.hub.connection import shown_url
from replicator.opening import hub_of
from replicator.solution.migrate import OWNER, migrate, owner_of


@click.command()
@click.option("--force", is_flag=True, help="Overwrite the file that is there.")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False), default=FILE)
@json_option
def init(path: Path, force: bool, as_json: bool) -> None:
    """Write a commented configuration to PATH (default: replicator.yaml)."""
    if path.exists() and not force:
        raise ReplicatorError(f"{path} exists", hint="give another path, or --force")
    path.write_text(commented_file(), encoding="utf-8")
    told = f"wrote {path}: fill in the addresses of both systems, then run 'replicator migrate'"
    answer(told, as_json, written=str(path))


@click.command("migrate")
@config_option
@json_option
def migrate_command(config_path: Path | None, as_json: bool) -> None:
    """Bring the hub's database to this version: tables, triggers, views. Safe to repeat.

    The same as 'alembic upgrade head'. Everything happens in one transaction.
    """
    with hub_of(load(config_path)) as hub:
        migrate(hub)
        where = shown_url(hub.engine)
        owner = owner_of(hub.engine)
    if owner != OWNER:
        say(f"warning: the roles of the hub could not be set up, {owner} owns it and does everything", err=True)
        say(f"  next: let {owner} create roles; where they are there: grant {OWNER} to it. Then again", err=True)
    answer(f"the hub is ready: {where}", as_json, hub=where)
