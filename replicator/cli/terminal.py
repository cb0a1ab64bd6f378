"""How the terminal shows what the views of the hub say."""

from __future__ import annotations

import datetime
import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from replicator.cli.output import Output, print_line
from replicator.hub.states import COLUMNS
from replicator.operate.hub_queries import Row, Rows, to_json
from replicator.text import many

_COUNTS = ("mirrored", "in_step", *COLUMNS)


def print_status(console: Output, found: Mapping[str, Rows]) -> None:
    """The flows as a table of what is not zero, and below it what is held and what could not be read."""
    names = [name for name in _COUNTS if name in ("mirrored", "in_step") or any(row[name] for row in found["flows"])]
    lines = [["flow", *(name.replace("_", " ") for name in names), "read", "arrived", "lag"]]
    for row in found["flows"]:
        counts = (str(row[name]) if row[name] else "·" for name in names)
        times = (_time(row["last_snapshot"]), _time(row["last_success"]), _seconds(row["lag_seconds"]))
        lines.append([row["flow"], *counts, *times])
    _print_table(console, lines)
    for row in found["held"]:
        print_line(console, f"held: {many(row['records'], row['operation'])} of {row['flow']}: {row['reason']}")
        print_line(console, f"      decide with: replicator approve|reject --flow {shlex.quote(row['flow'])}")
    if any(row["conflicts"] for row in found["flows"]):
        print_line(console, "conflicts: list them with: replicator conflicts; decide with: replicator resolve")
    for row in found["quarantined"]:
        records = many(row["records"], "record")
        print_line(console, f"quarantined: {records} of {row['system']}.{row['entity_set']}: {row['reason']}")
    for row in found["orphaned"]:
        records, name = many(row["records"], "record"), f"{row['system']}.{row['entity_set']}"
        print_line(console, f"orphaned: {records} of {name}: found when the hub was restored, and known to nobody")
        print_line(console, f"      delete them there, bring their sources, or: replicator skip --flow {name}")
    for row in found["under_way"]:
        print_line(
            console, f"under way: {many(row['records'], row['what'])} since {_time(row['since'])}, {row['next']}"
        )
    for line in _not_read(found["problems"]):
        print_line(console, line)
    _print_surroundings(console, found)


def print_reading(console: Output, found: Rows) -> None:
    """What reading cost, by entity set: today, and in the last seven days."""
    lines = [["reading", "today: reads", "requests", "rows", "received", "changed", "7 days: requests", "received"]]
    for row in found:
        today = [str(row[f"{name}_today"]) for name in ("reads", "requests", "rows")]
        received = [_bytes(row[f"received_{days}"]) for days in ("today", "week")]
        of_week = [str(row["requests_week"]), received[1]]
        lines.append([f"{row['system']}.{row['entity_set']}", *today, received[0], str(row["changed_today"]), *of_week])
    _print_table(console, lines)


def _print_table(console: Output, lines: list[list[str]]) -> None:
    """Lines of as many cells each, the first of them a name, the others figures."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for first, *others in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        print_line(console, "  ".join((f"{first:<{widths[0]}}", *cells)))


def _bytes(count: Decimal | int) -> str:
    kilobytes = float(count) / 1000
    return f"{kilobytes / 1000:.1f} MB" if kilobytes >= 1000 else f"{kilobytes:.1f} kB"


def _not_read(problems: Rows) -> Iterator[str]:
    """A line for each entity set, or one for all those of a system that have the same problem."""
    same: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in problems:
        same[row["system"], row["problem"]].append(row)
    for (system, problem), sets in same.items():
        since = _time(min(row["since"] for row in sets))
        names = sorted(row["entity_set"] for row in sets)
        yield f"not read: {system if names[1:] else f'{system}.{names[0]}'} since {since}: {problem}"
        if names[1:]:
            yield f"          {len(names)} entity sets: {', '.join(names)}"


def _print_surroundings(console: Output, found: Mapping[str, Rows]) -> None:
    """What stands still on purpose, the systems' patience, who leads, and who holds back the log's window."""
    for row in found["pauses"]:
        why = f": {row['reason']}" if row["reason"] else ""
        print_line(console, f"paused: {row['scope']} since {_time(row['at'])} by {row['by']}{why}")
    for row in found["flows"]:
        if row["mode"] == "observe":
            print_line(console, f"observed only: {row['flow']}; nothing is sent")
    for row in found["systems"]:
        left = "" if row["budget_left"] is None else f", {row['budget_left']} left"
        pause = "" if row["paused_until"] is None else f", asked for a pause until {_time(row['paused_until'])}"
        print_line(console, f"requests: {row['system']} {row['requests']}{left}{pause}")
    print_line(console, f"leads: {_leader(found['leader'])}")
    for row in found["window_holder"]:
        age = row["age"].total_seconds()
        print_line(console, f"open transaction: {_session(row)} since {age:.0f} s; its changes are seen when it ends")
    for row in found["lock_holders"]:
        print_line(console, f"lock held: by {_session(row)}; nothing is written until that session ends")


def _leader(rows: Rows) -> str:
    """Who leads; where nobody does, changes of either system are not seen."""
    if not rows:
        return "nobody; no replicator has worked on this hub yet"
    (row,) = rows
    since = f"{row['holder']} did until {row['expires_at']:%Y-%m-%d %H:%M:%S}"
    return str(row["holder"]) if row["fresh"] else f"nobody; {since}, and what changed since is not known"


def _session(row: Mapping[str, Any]) -> str:
    return f"process {row['pid']} of {row['usename']} ({row['application_name'] or 'no name'}, {row['state']})"


def print_details(console: Output, found: Mapping[str, Rows]) -> None:
    """The records that are not in step, one a line."""
    for row in found["blocked"]:
        waits = ", ".join(row["waits_for"] or ())
        why = f"; {row['root_cause']}" if row["root_cause"] else ""
        print_line(console, f"blocked       {row['flow']}  {row['record']}  waits for {waits}{why}")
    for row in found["failed"]:
        print_line(console, f"{row['state']:<13} {row['flow']}  {row['record'] or '(unknown)'}  {row['reason']}")
    for row in found["not_eligible"]:
        print_line(console, f"not eligible  {row['flow']}  {row['record']}  {row['reason']}")
    for row in found["skipped"]:
        print_line(console, f"skipped       {row['flow']}  {row['record']}  {row['state_before']}: {row['reason']}")
    for row in found["observed"]:
        print_line(console, f"observed      {row['flow']}  {row['record']}  {row['reason']}")


def print_causes(console: Output, found: Rows) -> None:
    """Failures by cause, the one with most records first."""
    for row in sorted(found, key=lambda row: (-row["records"], row["cause"])):
        of = " ".join(str(row[name]) for name in ("state", "code", "field") if row[name])
        print_line(console, f"{row['cause']}  {row['records']:>6}  {row['flow']}  {of}  since {_time(row['since'])}")
        why = f"; {row['root_cause']}" if row["root_cause"] else ""
        print_line(console, f"          for example {row['record'] or '(unknown)'}: {row['reason']}{why}")
    if found:
        print_line(console, "the records behind one: replicator causes ID; decide: replicator retry|skip --cause ID")


def print_behind(console: Output, found: Rows) -> None:
    """The records behind a cause, one a line."""
    for row in found:
        print_line(console, f"{row['state']:<13} {row['flow']}  {row['record'] or '(unknown)'}  {row['reason']}")


def print_decisions(console: Output, found: Rows) -> None:
    """What was decided, one a line."""
    for row in found:
        record = f" {row['record']}" if row["record"] else ""
        count = "" if row["action"] in ("pause", "resume") else f" ({many(row['records'], 'record')})"
        why = f": {row['reason']}" if row["reason"] else ""
        at = f"{row['at']:%Y-%m-%d %H:%M:%S}"
        print_line(console, f"{at}  {row['by']}  {row['action']} {row['what']}{record}{count}{why}")


def print_conflicts(console: Output, found: Rows) -> None:
    """The open conflicts, one a line: which field of which record, and every value."""
    for row in found:
        held = ", ".join(f"{name} {_shown(value)}" for name, value in sorted(row["held"].items()))
        record = f"{row['entity']} {row['record']}"
        print_line(console, f"{row['id']}  {record}  {row['field']}: {held}; before {_shown(row['base'])}")
    if found:
        print_line(console, "decide with: replicator resolve ID --take SIDE, or --value TEXT")


def print_chain(console: Output, found: Rows) -> None:
    """A chain of reasons, indented by depth; root causes are marked, and what happens next stands below."""
    for row in found:
        mark = "> " if row["cause"] else "  "
        indent = mark + "    " * row["depth"]
        print_line(console, f"{indent}{row['topic']}: {row['record']}: {row['state']}{_since(row['at'])}")
        if row["said"] and row["said"] != row["state"]:
            print_line(console, f"  {'    ' * row['depth']}    {row['said']}")
        if row["next"]:
            print_line(console, f"  {'    ' * row['depth']}    next: {row['next']}")


def print_root_causes(console: Output, found: Rows) -> None:
    """Root causes, and what happens next."""
    for row in found:
        print_line(console, f"> {row['record']}: {row['state']}: {row['said']}")
        if row["next"]:
            print_line(console, f"      next: {row['next']}")


def print_history(console: Output, found: Rows) -> None:
    """Changes, one a line."""
    for row in found:
        head = f"{_moment(row['at'])}  {row['place']}  {row['operation']}"
        if row["operation"] == "changed":
            what = f"{row['field']}: {_json(row['before'])} -> {_json(row['after'])}"
        else:
            image = row["before"] if row["operation"] == "deleted" else row["after"]
            what = ", ".join(f"{name} {_json(value)}" for name, value in (image or {}).items() if value is not None)
        print_line(console, f"{head}  {what}" + (f"  ({row['origin']})" if row["origin"] else ""))


def print_as_of(console: Output, found: Rows) -> None:
    """What each place held, the empty fields left out."""
    if not found:
        print_line(console, "it was nowhere at that moment")
    for row in found:
        print_line(
            console, f"{row['place']} {row['key']}" + ("" if row["known"] else ": the log does not reach back that far")
        )
        for name, value in (row["record"] or {}).items():
            if value is not None:
                print_line(console, f"    {name}: {_json(value)}")


def _since(value: datetime.datetime | None) -> str:
    return f", {_moment(value)}" if value else ""


def _moment(value: datetime.datetime | None) -> str:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S") if value else "before the log began"


def _json(value: object) -> str:
    return "(empty)" if value is None else value if isinstance(value, str) else to_json(value)


def _shown(value: str | None) -> str:
    return "(empty)" if value is None else f"'{value}'"


def _time(value: datetime.datetime | None) -> str:
    return value.strftime("%H:%M:%S") if value else "never"


def _seconds(value: Decimal | None) -> str:
    return f"{value:.0f} s" if value else "·"
