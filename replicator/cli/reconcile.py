"""``reconcile``: compare everything with a fresh, whole read of both systems, and repair what differs."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from replicator.cli.options import config_option, json_option
from replicator.cli.output import say_json
from replicator.cli.progress import TerminalWatcher
from replicator.command_lead import command_lead
from replicator.config import load
from replicator.operate.reconciliation import ReconcileResult, Reconciliation, concerned
from replicator.startup import open_world
from replicator.text import many

_FIELDS_MAX = 12


@click.command()
@config_option
@click.option("--repair", is_flag=True, help="Then mend the differences by the path of every change.")
@click.option("--entity", metavar="E", help="Only this entity of the common model, with its parts.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(0),
              help="Show at most so many records; the counts are of all.")  # fmt: skip
@json_option
def reconcile(config_path: Path | None, repair: bool, entity: str | None, limit: int, as_json: bool) -> None:
    """Read both systems afresh and whole, compare every record, and explain each difference.

    Nothing is sent to either system without --repair; what the read shows is taken into the hub in any case. It takes
    the lead, so a running daemon has to be stopped first. A daemon that runs afterwards mends by itself, in its next
    cycle, what is marked here; --repair does it now, and also creates again what a target lost and puts back what
    was changed there, reported earlier or not. Budgets of deletes and of first updates hold as always.

    \b
    Kinds of difference:
      missing       a record is not in the target
      extra         a record of the target whose source is gone
      unpaired      a record of the target bears the key, and is not paired yet
      duplicate     several records of the target bear the key; a person decides
      wrong parent  a reference points at another record
      stale         the target's record was changed, and the hub had not heard of it
      different     other fields have other values

    Told apart, because they are no differences: what is under way, what a row explains (blocked, rejected, held, in
    conflict, orphaned, not eligible: see 'status --details'), and records of a target that were never paired, which
    are never touched.

    Exits with 0 when nothing differs (or nothing any more), with 3 when differences are left, or something that is
    told apart waits for anything or anybody.
    """
    console = Console(stderr=as_json)
    watcher = TerminalWatcher(console)
    with open_world(load(config_path), watcher) as world, world.engine.connect() as connection:
        concerned(world.compiled, entity)  # a wrong name is told before anything is done
        with command_lead(connection, world.configuration, world.made_from) as lead, watcher.progress():
            led = replace(world, lease=lead.lease, stopping=lead.lost.is_set)
            found = Reconciliation(led, connection, entity).run(repair=repair, limit=limit)
    if as_json:
        say_json(asdict(found) | {"in_step": found.in_step, "settled": found.settled})
    else:
        for line in lines(found):
            Console().print(line, highlight=False, soft_wrap=True, markup=False)
    sys.exit(4 if found.transient else 0 if found.settled else 3)


def lines(found: ReconcileResult) -> Iterator[str]:
    """The report for people."""
    yield from _read(found)
    total = sum(found.differences.values())
    if total:
        yield f"{total} difference{'s' if total > 1 else ''}: {_counts(found.differences)}"
        yield from _records(found.records, total)
    else:
        yield "no differences" if found.settled else "no differences but what is told below"
    yield from _apart(found)
    if found.left is None:
        if total or found.explained.get("reported"):
            yield "mend what differs, and what was reported, with: replicator reconcile --repair"
        return
    left = sum(found.left.values())
    yield f"repaired: {found.repaired}; left: {_counts(found.left) or 'none'}"
    yield from _records(found.left_records, left)


def _read(found: ReconcileResult) -> Iterator[str]:
    for row in found.read:
        news = [f"{row[name]} {name}" for name in ("new", "changed", "gone", "held", "quarantined") if row[name]]
        if news:
            yield f"read {row['entity_set']}: {many(row['rows'], 'record')}; not known before: {', '.join(news)}"
    for row in found.not_read:
        yield f"not read {row['entity_set']}: {row['problem']}; compared with what was known before"


def _records(rows: list[dict[str, Any]], total: int) -> Iterator[str]:
    for row in rows:
        where = f"{row['where']}, of {row['entity']}" if row["entity"] else row["where"]
        key = f" ({row['key']})" if row["key"] else ""
        yield f"{row['kind']:<13} {where} {row['record'] or '(no name)'}{key}" + _why(row)
        for place, (name, values) in enumerate(row["fields"].items()):
            if place < _FIELDS_MAX:
                yield f"{'':<13}   {name}: {_value(values['held'])}, should be {_value(values['wanted'])}"
            elif place == _FIELDS_MAX:
                yield f"{'':<13}   and {len(row['fields']) - place} fields more"
        if row["version"]:
            yield f"{'':<13}   version: {row['version']['known']} was known, now {row['version']['now']}"
        yield f"{'':<13}   repair: {row['repair']}"
    if total > len(rows):
        yield f"and {total - len(rows)} more; see them with --limit"


def _why(row: Mapping[str, Any]) -> str:
    words = [row["state"] if row["state"] != "pending" else None, row["reason"]]
    return "".join(f": {each}" for each in words if each)


def _value(value: object) -> str:
    return "(empty)" if value is None else f"'{value}'"


def _apart(found: ReconcileResult) -> Iterator[str]:
    for scope in found.paused:
        yield f"paused: {scope}; nothing of it is mended until: replicator resume '{scope}'"
    if found.explained:
        yield f"told apart: {_counts(found.explained)}; see them with: replicator status --details"
    for name, records in found.held_deletes.items():
        deletes = many(records, "delete")
        yield f"held: {deletes} of {name}; look at sync.held, then replicator approve or reject --flow {name}"
    for name, records in found.rejected_deletes.items():
        yield f"kept: {many(records, 'record')} of {name} not there any more, whose delete was rejected"
    for row in found.unlinked:
        parted = f", {row['parted']} of them no longer" if row["parted"] else ""
        yield f"unlinked: {many(row['records'], 'record')} of {row['entity_set']} paired with none of the hub's{parted}"
    for row in found.unlinked_records[:10]:
        yield f"{'':<13}   {row['entity_set']} {row['system_key']}"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if count)
