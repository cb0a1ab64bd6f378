"""The commands by which a person decides: about what failed or is held, conflicts, pauses, and reading again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import psycopg

from replicator.cli.options import config_option, connected, json_option
from replicator.cli.output import answer, unknown
from replicator.errors import Terminal
from replicator.hub.wake_up import notify
from replicator.operate import hub_queries
from replicator.text import many

_Command = TypeVar("_Command", bound=Callable[..., Any])
_REFUSED = (psycopg.errors.RaiseException, psycopg.DataError, psycopg.IntegrityError)
reason_option = click.option("--reason", metavar="TEXT", help="Why; it is kept with the decision.")


def _decide(
    config_path: Path | None, function: str, *of: object, flow: str | None = None, named: Sequence[str] = ()
) -> int:
    """Call a function of schema sync, and wake the daemon; the number of records concerned.

    ``named`` are names that somebody typed: one that nothing bears is an error, before anything is decided.
    """
    with connected(config_path, "started") as connection:
        try:
            if named:
                hub_queries.value(connection, "check_names", flow, list(named))
            count = hub_queries.value(connection, function, *of)
        except _REFUSED as problem:
            refusal = problem.diag
            raise Terminal(refusal.message_primary or str(problem), hint=refusal.message_hint or "") from problem
        notify(connection)
        return int(count)


def _records(count: int, what: str) -> str:
    """So many records, in words."""
    return f"no record {what}" if not count else f"{many(count, 'record')} {what}"


def selection(command: _Command) -> _Command:
    """The options that say which records are meant; without any of them ``--all`` is needed."""
    options = (
        config_option,
        click.option("--flow", metavar="FLOW", help="Those of a flow, as 'status' names it, or of system.EntitySet."),
        click.option("--record", "records", metavar="NAME", multiple=True,
                     help="A record, as 'status --details' names it; may be repeated."),
        click.option("--cause", metavar="ID", help="Those that 'causes' groups under this id."),
        click.option("--all", "everything", is_flag=True, help="All of them; needed when nothing else says which."),
        reason_option,
        json_option,
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _select(
    action: str, done: str, config_path: Path | None, flow: str | None, records: tuple[str, ...], cause: str | None,
    everything: bool, reason: str | None, as_json: bool,
) -> None:  # fmt: skip
    if not (flow or records or cause or everything):
        raise click.UsageError("say which records: --flow, --record, --cause, or --all")
    one = records[0] if len(records) == 1 else None
    several = list(records) if len(records) > 1 else None
    count = _decide(config_path, action, flow, one, cause, several, reason, flow=flow, named=records)
    answer(_records(count, done), as_json, action=action, records=count)


@click.command()
@selection
def retry(**which: Any) -> None:
    """Try failed, rejected, reported or skipped records again with the next cycle.

    A record that a system lost, or that was changed there, is created or put right again. What was not answered is
    looked up first. A row that could not be taken in is read again with its whole entity set.

    \b
    replicator retry --record NAME --record OTHER
    replicator retry --cause 1f0c6a2b --reason "the values are mended"
    """
    _select("retry", "will be tried again", **which)


@click.command()
@selection
def skip(**which: Any) -> None:
    """Leave failed, rejected, reported, blocked, held or orphaned records as they are; retry undoes it.

    They stay so although they change, do not count as needing attention any more, and nothing is sent of them.
    Records that wait for them go on waiting. A record that is only pending or observed can be skipped by its name.

    \b
    replicator skip --flow FLOW --record NAME --reason "only a test"
    """
    _select("skip", "will be left alone", **which)


@click.command()
@selection
def approve(**which: Any) -> None:
    """Let held deletes of an entity set, or held updates of a flow, go ahead.

    Each record is looked up once more by its key before it is deleted.

    \b
    replicator approve --flow SYSTEM.SET    # the held deletes of an entity set
    replicator approve --flow FLOW          # the held updates of its first delivery
    """
    _select("approve", "may go ahead", **which)


@click.command()
@selection
def reject(**which: Any) -> None:
    """Refuse held deletes, so that the records stay, or held updates, so that they are skipped.

    A rejected delete stands until the system shows the record again; retry takes back a skipped update.

    \b
    replicator reject --flow SYSTEM.SET --record NAME
    """
    _select("reject", "left alone in the target", **which)


@click.command()
@config_option
@click.argument("conflict", type=int)
@click.option("--take", metavar="SIDE", help="Take the value that this system, or common, holds.")
@click.option("--value", help="Take this value; an empty text empties the field.")
@reason_option
@json_option
def resolve(
    config_path: Path | None, conflict: int, take: str | None, value: str | None, reason: str | None, as_json: bool
) -> None:
    """Decide CONFLICT (its number in 'conflicts'); the value goes to all sides with the next cycle."""
    if (take is None) == (value is None):
        raise click.UsageError("say either --take or --value")
    _decide(config_path, "resolve", conflict, take, value, reason)
    answer(f"conflict {conflict} is decided", as_json, resolved=conflict)


@click.command()
@config_option
@click.argument("scope")
@reason_option
@json_option
def pause(config_path: Path | None, scope: str, reason: str | None, as_json: bool) -> None:
    """Stop writing by a flow, for a system, or in a direction (in, out), at once; reading goes on.

    Changes go on being noted and go out with 'resume', however late. Requests under way are finished.

    \b
    replicator pause ops --reason "maintenance until 6"
    replicator pause "FLOW"
    """
    done = _decide(config_path, "pause", scope, reason)
    answer(f"{scope} is paused" if done else f"{scope} was paused already", as_json, paused=scope, changed=bool(done))


@click.command()
@config_option
@click.argument("scope", required=False)
@click.option("--all", "everything", is_flag=True, help="Take back every pause.")
@reason_option
@json_option
def resume(config_path: Path | None, scope: str | None, everything: bool, reason: str | None, as_json: bool) -> None:
    """Take back the pause of SCOPE (as 'status' lists it); what has accumulated goes out."""
    if (scope is None) != everything:
        raise click.UsageError("say what to resume, or --all")
    done = _decide(config_path, "resume", scope, reason)
    named = scope or "everything"
    answer(f"{named} goes on" if done else f"{named} was not paused", as_json, resumed=named, changed=bool(done))


@click.command()
@config_option
@click.argument("kind")
@click.argument("key", required=False)
@reason_option
@json_option
def resync(config_path: Path | None, kind: str, key: str | None, reason: str | None, as_json: bool) -> None:
    """Read KIND afresh at the next read, and look at its records again: an entity, or system.EntitySet.

    With KEY only that record, by its business key or the system's own, is read by its key; without it each entity set
    is read whole, whatever change tracking says.

    \b
    replicator resync ENTITY KEY
    replicator resync SYSTEM.SET
    """
    count = _decide(config_path, "resync", kind, key, reason)
    if key is not None and not count:
        raise unknown(kind, key)
    whole = f"{kind} will be read whole at the next read; {_records(count, 'will be looked at again')}"
    words = whole if key is None else _records(count, "will be read again")
    answer(words, as_json, action="resync", records=count)
