"""``check``: a look at everything before, or while, the replicator runs."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from replicator.cli.options import config_option, json_option
from replicator.cli.output import say, say_json
from replicator.config import load
from replicator.operate.preflight import Report
from replicator.operate.preflight import check as look


@click.command()
@config_option
@json_option
def check(config_path: Path | None, as_json: bool) -> None:
    """Look for what would go wrong: in the hub, in both systems, in the data at hand. Writes nothing.

    Hub: reachable, made by this program from this schema, with the rights and the locale it needs. Systems: reachable,
    the credentials work, every entity set can be read, and fields, keys, types and lengths of schema/ are those of the
    system's own metadata; what it requires is mapped. Data: every value is in its value map, no key is borne twice,
    the records that all others look up are there.

    Problems found are told apart from problems in looking: where something could not be looked at, nothing is known
    of it.

    \b
    Exits with 0 when nothing was found, 3 when something was, and, whatever was found, with 4 (for now) or 1 (for
    good) when something could not be looked at.
    """
    console = Console(stderr=True)
    with console.status("looking at the hub") as status:
        notes = look(
            load(config_path),
            lambda what: status.update(f"looking at {what}"),
            lambda: datetime.datetime.now(datetime.UTC),
        )
    if as_json:
        data = {
            name: [asdict(note) for note in getattr(notes, name)]
            for name in ("findings", "errors", "untold", "information")
        }
        say_json(data)
    else:
        for line in lines(notes):
            say(line)
    sys.exit(notes.exit_code)


def lines(notes: Report) -> Iterator[str]:
    """The report for people."""
    for title, found in (("found", notes.findings), ("not looked at", notes.errors), ("not told", notes.untold)):
        for note in found:
            yield f"{title:<14} {note.where}: {note.what}" + (f"; next: {note.next}" if note.next else "")
    for note in notes.information:
        yield f"{'':<14} {note.where}: {note.what}"
    here = " in what could be looked at" if notes.errors else ""
    words = (f"{len(notes.findings)} problems found" if notes.findings else "no problem found") + here
    words += f"; {len(notes.errors)} could not be" if notes.errors else ""
    yield words + (f"; {len(notes.untold)} not told by the systems" if notes.untold else "")
