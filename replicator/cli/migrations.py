"""Commands that make a solution's folder and bring the hub to it: init, migrate, revise."""

from __future__ import annotations

from pathlib import Path

import click

from replicator.cli.options import config_option, json_option
from replicator.cli.output import answer, say
from replicator.config import load
from replicator.hub.connection import shown_url
from replicator.solution import shipped
from replicator.solution.migrate import OWNER, migrate, owner_of
from replicator.startup import hub_of


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Write into a folder with something in it; files of these names are lost.")
@json_option
def init(folder: Path, force: bool, as_json: bool) -> None:
    """Write a complete solution to FOLDER: configuration, schema, migrations. It is yours; no upgrade touches it."""
    file = shipped.write(folder, force=force)
    words = f"wrote {folder}: fill in the addresses of both systems in {file}, then run 'replicator migrate' there"
    answer(words, as_json, written=str(folder))


@click.command("migrate")
@config_option
@json_option
def migrate_command(config_path: Path | None, as_json: bool) -> None:
    """Bring the hub's database to this version and this solution: tables, triggers, views. Safe to repeat.

    The same as 'alembic upgrade heads' in the solution's folder. Everything happens in one transaction.
    """
    with hub_of(load(config_path)) as hub:
        migrate(hub)
        where = shown_url(hub.engine)
        owner = owner_of(hub.engine)
    if owner != OWNER:
        say(f"warning: the roles of the hub could not be set up, {owner} owns it and does everything", err=True)
        say(f"  next: let {owner} create roles; where they are there: grant {OWNER} to it. Then again", err=True)
    answer(f"the hub is ready: {where}", as_json, hub=where)


@click.command()
@config_option
@click.option("-m", "--message", required=True, help="What changes, as 'Add the industry code'.")
@json_option
def revise(config_path: Path | None, message: str, as_json: bool) -> None:
    """Write the solution's next revision: what schema/ describes and the hub's tables do not have.

    Read it before 'replicator migrate' runs it, above all where it says that a person has to look.
    """
    from replicator.solution import revise as revising

    with hub_of(load(config_path)) as hub:
        path = revising.revise(hub, message)
    if path is None:
        answer("nothing to write: the hub's tables are those that schema/ describes", as_json, written=None)
        return
    answer(f"wrote {path}: read it, then run 'replicator migrate'", as_json, written=str(path))


commands = (init, migrate_command, revise)
