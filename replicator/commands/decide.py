"""The commands by which a person decides: about held deletes and updates, what failed, and conflicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
import psycopg
import sqlalchemy as sa
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from replicator import report
from replicator.config import load
from replicator.daemon import notify
from replicator.errors import Terminal
from replicator.hub.state import delivery, map_
from replicator.model.compiled import Compiled
from replicator.objects.migrate import check_hub
from replicator.options import answer, config_option, json_option
from replicator.setup import hub_of

Check = Callable[[Compiled, sa.Connection], None]
"""Raises Terminal when what a decision is about is not there."""


@click.group()
def deletes() -> None:
    """Decide about deletes that are held because they are too many."""


def _decide(config_path: Path | None, function: str, *of: object, check: Check = lambda *_: None) -> int:
    """Call a function of schema sync, and wake the daemon; the number of records concerned. ``check`` may refuse."""
    with hub_of(load(config_path)) as hub:
        check_hub(hub)
        with hub.engine.connect() as connection:
            with connection.begin():
                check(hub.compiled, connection)
                call = getattr(sa.func.sync, function)(*of)
                count = connection.execute(sa.select(call)).scalar_one()
            notify(connection)
            return int(count)


def _is_set(system: str, entity_set: str) -> Check:
    def check(compiled: Compiled, _: sa.Connection) -> None:
        if (system, entity_set) not in compiled.schema.entity_sets:
            known = ", ".join(each.name for each in compiled.schema.sets_of(system))
            raise Terminal(
                f"there is no entity set '{entity_set}' of '{system}'",
                hint=f"{system} has {known}" if known else f"systems are {', '.join(compiled.schema.systems)}",
            )

    return check


def _is_flow(flow: str | None) -> Check:
    def check(compiled: Compiled, _: sa.Connection) -> None:
        if flow is not None and flow not in {found.name for found in compiled.maps if found.root is None}:
            raise Terminal(f"there is no flow '{flow}'", hint="'replicator status' lists them")

    return check


def _is_record(flow: str | None, record: str | None) -> Check:
    def check(compiled: Compiled, connection: sa.Connection) -> None:
        _is_flow(flow)(compiled, connection)
        there = sa.exists().where(delivery.c.map_id == map_.c.id, delivery.c.record == record)
        flows = sa.select(map_.c.name).where(there)
        found = set(connection.execute(flows).scalars())
        if record is not None and not (found if flow is None else found & {flow}):
            raise Terminal(
                f"no record '{record}'" + (f" of '{flow}'" if flow else "") + " is out of step",
                hint="'replicator status --details' lists those that are",
            )

    return check


@deletes.command()
@config_option
@click.argument("system")
@click.argument("entity_set")
@json_option
def approve(config_path: Path | None, system: str, entity_set: str, as_json: bool) -> None:
    """Let the held deletes of SYSTEM's ENTITY_SET go ahead; each record is looked up once more before."""
    count = _decide(config_path, "approve_deletes", system, entity_set, check=_is_set(system, entity_set))
    answer(f"{count} deletes approved", as_json, approved=count)


@deletes.command()
@config_option
@click.argument("system")
@click.argument("entity_set")
@json_option
def reject(config_path: Path | None, system: str, entity_set: str, as_json: bool) -> None:
    """Keep the records of SYSTEM's ENTITY_SET whose deletes are held."""
    count = _decide(config_path, "reject_deletes", system, entity_set, check=_is_set(system, entity_set))
    answer(f"{count} deletes rejected", as_json, rejected=count)


@click.group()
def updates() -> None:
    """Decide about the updates of a flow's first delivery that are held because they are too many."""


@updates.command("approve")
@config_option
@click.argument("flow")
@json_option
def approve_updates(config_path: Path | None, flow: str, as_json: bool) -> None:
    """Let the held updates of FLOW (as 'status' names it) go out."""
    count = _decide(config_path, "approve_updates", flow, check=_is_flow(flow))
    answer(f"{count} updates approved", as_json, approved=count)


@click.command()
@config_option
@click.option("--flow", help="Only this flow, as 'status' names it.")
@click.option("--record", help="Only this record, as 'status --details' names it.")
@json_option
def retry(config_path: Path | None, flow: str | None, record: str | None, as_json: bool) -> None:
    """Try failed and rejected records again with the next cycle: all, of one flow, or one record."""
    count = _decide(config_path, "retry", flow, record, check=_is_record(flow, record))
    answer(f"{count} records will be tried again", as_json, records=count)


@click.command()
@config_option
@json_option
def conflicts(config_path: Path | None, as_json: bool) -> None:
    """List the fields that were changed on both sides and wait for a decision."""
    with hub_of(load(config_path)) as hub:
        check_hub(hub)
        with hub.engine.connect() as connection:
            found = report.rows(connection, "conflicts")
    if as_json:
        click.echo(report.to_json({"conflicts": found}))
    else:
        report.print_conflicts(Console(), found)


@click.command()
@config_option
@click.argument("conflict", type=int)
@click.option("--take", metavar="SIDE", help="Take the value that this system, or common, holds.")
@click.option("--value", help="Take this value; an empty text empties the field.")
@json_option
def resolve(config_path: Path | None, conflict: int, take: str | None, value: str | None, as_json: bool) -> None:
    """Decide CONFLICT (its number in 'conflicts'); the value goes to all sides with the next cycle."""
    if (take is None) == (value is None):
        raise click.UsageError("say either --take or --value")
    try:
        _decide(config_path, "resolve", conflict, take, value)
    except DBAPIError as problem:
        refused = (psycopg.errors.RaiseException, psycopg.DataError, psycopg.IntegrityError)
        if not isinstance(problem.orig, refused):
            raise
        told = problem.orig.diag
        raise Terminal(told.message_primary or str(problem.orig), hint=told.message_hint or "") from problem
    answer(f"conflict {conflict} is decided", as_json, resolved=conflict)


commands: tuple[click.Command, ...] = (deletes, updates, retry, conflicts, resolve)
