"""The commands that show how things stand: status, failures by cause, conflicts, and what was decided."""

from __future__ import annotations

import io
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replicator.cli import terminal
from replicator.cli.options import config_option, connected, json_option
from replicator.cli.output import Plain, say_json
from replicator.errors import Terminal
from replicator.hub.session import Session
from replicator.operate import hub_queries
from replicator.signals import stop_on_signals

if TYPE_CHECKING:
    from rich.text import Text


@click.command()
@config_option
@click.option("--details", is_flag=True, help="List the records that are not in step, with their reasons.")
@click.option(
    "--limit", type=click.IntRange(0), default=50, show_default=True, help="At most so many records of each kind."
)
@click.option("--cost", is_flag=True, help="Show what reading each entity set cost, today and in seven days.")
@click.option("--watch", metavar="[SECONDS]", type=click.FloatRange(0.1), is_flag=False, flag_value=2.0,
              help="Show it again every so many seconds (2), until Ctrl-C.")  # fmt: skip
@json_option
def status(config_path: Path | None, details: bool, limit: int, cost: bool, watch: float | None, as_json: bool) -> None:
    """Show how every flow stands: mirrored, in step, pending, blocked, failed, last read, lag; and who leads.

    Exits with 0 when everything is in step, else with 3: something is pending, blocked, failed, rejected, reported,
    held, orphaned or in conflict, or could not be read or never was, or a daemon led last and leads no more, so that
    what changed since is not known. Skipped, observed and not eligible records, and pauses as such, do not count.
    With --watch it ends with 0.
    """
    if watch is not None and cost:
        raise click.UsageError("--cost is not watched; ask for it apart")
    if watch is not None and as_json:
        raise click.UsageError("--watch is for people; ask for --json again and again")
    with connected(config_path) as connection:
        if watch is not None:
            _watch(connection, watch, limit if details else None)
            return
        found = hub_queries.status(connection)
        if details or as_json:
            found |= hub_queries.details(connection, limit)
        if cost or as_json:
            found["reading"] = hub_queries.reading(connection)
    tell(found, as_json)
    sys.exit(3 if hub_queries.needs_attention(found) or hub_queries.leader_is_missed(found) else 0)


def tell(found: dict[str, hub_queries.Rows], as_json: bool) -> None:
    """A status on the terminal."""
    if as_json:
        say_json(found)
        return
    console = Plain()
    terminal.print_status(console, found)
    if "blocked" in found:
        terminal.print_details(console, found)
    if "reading" in found:
        terminal.print_reading(console, found["reading"])


def _watch(connection: Session, seconds: float, limit: int | None) -> None:
    """The status again and again: in place on a terminal, else one after the other."""
    from rich.console import Console
    from rich.live import Live

    console, stop = Console(), threading.Event()
    stop_on_signals(stop.set)
    if not console.is_terminal:
        while not stop.is_set():
            console.print(_rendered(connection, console.width, limit), end="")
            stop.wait(seconds)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while not stop.is_set():
            live.update(_rendered(connection, console.width, limit), refresh=True)
            stop.wait(seconds)


def _rendered(connection: Session, width: int, limit: int | None) -> Text:
    from rich.console import Console
    from rich.text import Text

    found = hub_queries.status(connection)
    page = Console(file=io.StringIO(), width=width)
    terminal.print_status(page, found)
    if limit is not None:
        terminal.print_details(page, hub_queries.details(connection, limit))
    assert isinstance(page.file, io.StringIO)
    return Text(page.file.getvalue())


@click.command()
@config_option
@click.argument("cause", required=False)
@click.option("--limit", type=click.IntRange(0), default=50, show_default=True, help="At most so many records.")
@json_option
def causes(config_path: Path | None, cause: str | None, limit: int, as_json: bool) -> None:
    """List what did not arrive, or is held, by cause; with a CAUSE the records behind it.

    Records have one cause when system, flow, state, code, field and the words agree, values aside. Decide about all of
    them with 'retry --cause ID', 'skip --cause ID', or, if they are held, 'approve' or 'reject'.
    """
    with connected(config_path) as connection:
        found = hub_queries.causes(connection) if cause is None else hub_queries.behind(connection, cause, limit)
    if cause is not None and not found:
        raise Terminal(f"there is no cause '{cause}'", hint="'replicator causes' lists them")
    if as_json:
        say_json({"causes" if cause is None else "records": found})
    elif cause is None:
        terminal.print_causes(Plain(), found)
    else:
        terminal.print_behind(Plain(), found)


@click.command()
@config_option
@json_option
def conflicts(config_path: Path | None, as_json: bool) -> None:
    """List the fields that were changed on both sides and wait for a decision."""
    with connected(config_path) as connection:
        found = hub_queries.rows(connection, "conflicts")
    if as_json:
        say_json({"conflicts": found})
    else:
        terminal.print_conflicts(Plain(), found)


@click.command()
@config_option
@click.option(
    "--limit", type=click.IntRange(0), default=20, show_default=True, help="At most so many, the latest first."
)
@json_option
def decisions(config_path: Path | None, limit: int, as_json: bool) -> None:
    """List what people decided: who, when, about what, how many records it concerned, and why."""
    with connected(config_path) as connection:
        found = hub_queries.decided(connection, limit)
    if as_json:
        say_json({"decisions": found})
    else:
        terminal.print_decisions(Plain(), found)
