"""The commands that look at one record: why it stands as it does, how it came to be so, and whether it has arrived."""

from __future__ import annotations

import datetime
import sys
import time
from pathlib import Path

import click

from replicator.cli import terminal
from replicator.cli.options import Moment, Seconds, config_option, connected, json_option
from replicator.cli.output import Plain, answer, say_json, unknown
from replicator.errors import Terminal
from replicator.hub.session import Session
from replicator.operate import hub_queries
from replicator.operate.wait_for_arrival import Waiting

NAMES = """
\b
KIND is an entity, or an entity set of a system: quote, sales.quotes.
KEY is the business key; for an entity set also its own key, fields joined by commas, or a GUID.
"""
_POLL_SECONDS = 0.25


def _asked(connection: Session, function: str, kind: str, key: str, *more: object) -> hub_queries.Rows:
    found = hub_queries.called(connection, function, kind, key, *more)
    if not found:
        raise unknown(kind, key)
    return found


@click.command(epilog="Example: replicator explain quote QU-0012\n" + NAMES)
@config_option
@click.argument("kind")
@click.argument("key")
@json_option
def explain(config_path: Path | None, kind: str, key: str, as_json: bool) -> None:
    """Why KIND KEY stands as it does: from where it was seen down to the root cause, and what happens next.

    Lines marked with > are root causes. The same as: select * from sync.explain(KIND, KEY).
    """
    with connected(config_path) as connection:
        found = _asked(connection, "explain", kind, key)
    if as_json:
        causes = [row for row in found if row["cause"]]
        say_json({"kind": kind, "key": key, "chain": found, "root_causes": causes})
    else:
        terminal.print_chain(Plain(), found)


@click.command(epilog="Example: replicator history quote QU-0012 --limit 20\n" + NAMES)
@config_option
@click.argument("kind")
@click.argument("key")
@click.option("--limit", type=click.IntRange(1), help="Only the last so many changes.")
@json_option
def history(config_path: Path | None, kind: str, key: str, limit: int | None, as_json: bool) -> None:
    """Who changed what in KIND KEY, in both systems and in common, oldest first.

    The log keeps keep_log_days; what is older shows as 'known'. The same as: select * from sync.history(KIND, KEY).
    """
    with connected(config_path) as connection:
        found = _asked(connection, "history", kind, key)
    found = found[-limit:] if limit else found
    if as_json:
        say_json({"kind": kind, "key": key, "history": found})
    else:
        terminal.print_history(Plain(), found)


@click.command("as-of", epilog="Example: replicator as-of quote QU-0012 2026-11-23T08:00:00Z\n" + NAMES)
@config_option
@click.argument("kind")
@click.argument("key")
@click.argument("moment", type=Moment())
@json_option
def as_of(config_path: Path | None, kind: str, key: str, moment: datetime.datetime, as_json: bool) -> None:
    """What both systems and common held of KIND KEY at MOMENT (ISO 8601, UTC where no zone is given).

    The same as: select * from sync.as_of(KIND, KEY, MOMENT).
    """
    with connected(config_path) as connection:
        found = hub_queries.called(connection, "as_of", kind, key, moment)
        if not found:
            _asked(connection, "history", kind, key)
    if as_json:
        say_json({"kind": kind, "key": key, "moment": moment, "places": found})
    else:
        terminal.print_as_of(Plain(), found)


@click.command(epilog="Example: replicator wait quote QU-0012 --in ops --timeout 2m\n" + NAMES)
@config_option
@click.argument("kind")
@click.argument("key")
@click.option("--in", "system", required=True, metavar="SYSTEM", help="The system in which it has to arrive.")
@click.option("--timeout", type=Seconds(), default="30s", show_default=True, help="How long: 30, 30s, 5m, 1h.")
@json_option
def wait(config_path: Path | None, kind: str, key: str, system: str, timeout: float, as_json: bool) -> None:
    """Wait until KIND KEY has arrived in SYSTEM, as it was when this command began or newer.

    Its entity sets have to be read once more meanwhile, by a running replicator; a read that was under way already
    does not count. Exits with 0 when it has arrived, with 3 at the timeout (and shows the root cause), with 1 when
    nobody knows the record.
    """
    with connected(config_path) as connection:
        systems = sorted({row["system"] for row in hub_queries.rows(connection, "map") if row["in_use"]})
        if system not in systems:
            raise Terminal(f"there is no system '{system}'", hint=f"there are: {', '.join(systems)}")
        waiting = Waiting(connection, kind, key, system)
        until = time.monotonic() + timeout
        while not (arrived := waiting.look()) and not waiting.unknown and time.monotonic() < until:
            time.sleep(_POLL_SECONDS)
        causes = [] if arrived else hub_queries.called(connection, "root_causes", kind, key)
    if arrived is None:
        raise unknown(kind, key)
    text = (
        f"{kind} {key} has arrived in {system}"
        if arrived
        else f"{kind} {key} has not arrived in {system}: {waiting.why}"
    )
    answer(text, as_json, kind=kind, key=key, system=system, arrived=arrived, why=waiting.why, root_causes=causes)
    if not as_json and not arrived:
        terminal.print_root_causes(Plain(), causes)
    sys.exit(0 if arrived else 3)
