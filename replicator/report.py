"""What the command line shows of the hub: it only renders the views of schema ``sync``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import simplejson
import sqlalchemy as sa
from rich.console import Console

Row = Mapping[str, Any]
Rows = Sequence[Row]
_COUNTS = (
    "mirrored",
    "in_step",
    "pending",
    "in_flight",
    "blocked",
    "failed",
    "rejected",
    "not_eligible",
    "reported",
    "conflicts",
)


def rows(connection: sa.Connection, view: str, limit: int | None = None) -> Rows:
    """The rows of a view of schema ``sync``."""
    query = sa.select(sa.text("*")).select_from(sa.table(view, schema="sync"))
    with connection.begin():
        return [dict(row) for row in connection.execute(query.limit(limit) if limit else query).mappings()]


def called(connection: sa.Connection, function: str, *values: object) -> Rows:
    """The rows of a function of schema ``sync``."""
    query = sa.select(sa.text("*")).select_from(getattr(sa.func.sync, function)(*values))
    with connection.begin():
        return [dict(row) for row in connection.execute(query).mappings()]


def status(connection: sa.Connection) -> dict[str, Rows]:
    """All that ``status`` tells, as data."""
    return {
        "flows": sorted(rows(connection, "status"), key=lambda row: (row["rank"], row["flow"])),
        "held": rows(connection, "held"),
        "problems": rows(connection, "problems"),
    }


def details(connection: sa.Connection, limit: int) -> dict[str, Rows]:
    """The records that are not in step, with their reasons; at most ``limit`` of each kind."""
    return {name: rows(connection, name, limit) for name in ("blocked", "failed", "not_eligible")}


def needs_attention(found: Mapping[str, Rows]) -> bool:
    """Whether anything is blocked, failed, rejected, reported, held or in conflict, or could not be read."""
    troubled = ("blocked", "failed", "rejected", "reported", "conflicts", "in_flight", "pending")
    return bool(found["held"] or found["problems"]) or any(row[name] for row in found["flows"] for name in troubled)


def to_json(value: object) -> str:
    """JSON with exact decimals and ISO 8601 times."""
    return simplejson.dumps(value, use_decimal=True, default=_plain, indent=2)


def _plain(value: object) -> object:
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return str(value)


def print_status(console: Console, found: Mapping[str, Rows]) -> None:
    """The flows as a table of what is not zero, and below it what is held and what could not be read."""
    names = [name for name in _COUNTS if name in ("mirrored", "in_step") or any(row[name] for row in found["flows"])]
    lines = [["flow", *(name.replace("_", " ") for name in names), "read", "lag"]]
    for row in found["flows"]:
        counts = (str(row[name]) if row[name] else "·" for name in names)
        lines.append([row["flow"], *counts, _time(row["last_snapshot"]), _seconds(row["lag_seconds"])])
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    for first, *others in lines:
        cells = (f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True))
        _line(console, "  ".join((f"{first:<{widths[0]}}", *cells)))
    for row in found["held"]:
        _line(console, f"held: {row['records']} deletes of {row['system']}.{row['entity_set']}: {row['reason']}")
        _line(console, f"      decide with: replicator deletes approve|reject {row['system']} {row['entity_set']}")
    if any(row["conflicts"] for row in found["flows"]):
        _line(console, "conflicts: list them with: replicator conflicts; decide with: replicator resolve")
    for row in found["problems"]:
        _line(console, f"not read: {row['system']}.{row['entity_set']} since {_time(row['since'])}: {row['problem']}")


def print_details(console: Console, found: Mapping[str, Rows]) -> None:
    """The records that are not in step, one a line."""
    for row in found["blocked"]:
        _line(console, f"blocked       {row['map']}  {row['record']}  waits for {', '.join(row['waits_for'] or ())}")
    for row in found["failed"]:
        _line(console, f"{row['state']:<13} {row['map']}  {row['record'] or '(unknown)'}  {row['reason']}")
    for row in found["not_eligible"]:
        _line(console, f"not eligible  {row['map']}  {row['record']}  {row['reason']}")


def print_conflicts(console: Console, found: Rows) -> None:
    """The open conflicts, one a line: which field of which record, and every value."""
    for row in found:
        held = ", ".join(f"{name} {_shown(value)}" for name, value in sorted(row["held"].items()))
        record = f"{row['entity']} {row['record']}"
        _line(console, f"{row['id']}  {record}  {row['field']}: {held}; before {_shown(row['base'])}")
    if found:
        _line(console, "decide with: replicator resolve ID --take SIDE, or --value TEXT")


def print_chain(console: Console, found: Rows) -> None:
    """A chain of reasons, indented by depth; root causes are marked, and what happens next stands below."""
    for row in found:
        mark = "> " if row["cause"] else "  "
        indent = mark + "    " * row["depth"]
        _line(console, f"{indent}{row['topic']}: {row['record']}: {row['state']}{_since(row['at'])}")
        if row["said"] and row["said"] != row["state"]:
            _line(console, f"  {'    ' * row['depth']}    {row['said']}")
        if row["next"]:
            _line(console, f"  {'    ' * row['depth']}    next: {row['next']}")


def print_causes(console: Console, found: Rows) -> None:
    """Root causes, and what happens next."""
    for row in found:
        _line(console, f"> {row['record']}: {row['state']}: {row['said']}")
        if row["next"]:
            _line(console, f"      next: {row['next']}")


def print_history(console: Console, found: Rows) -> None:
    """Changes, one a line."""
    for row in found:
        head = f"{_moment(row['at'])}  {row['place']}  {row['operation']}"
        if row["operation"] == "changed":
            what = f"{row['field']}: {_json(row['before'])} -> {_json(row['after'])}"
        else:
            image = row["before"] if row["operation"] == "deleted" else row["after"]
            what = ", ".join(f"{name} {_json(value)}" for name, value in (image or {}).items() if value is not None)
        _line(console, f"{head}  {what}" + (f"  ({row['origin']})" if row["origin"] else ""))


def print_as_of(console: Console, found: Rows) -> None:
    """What each place held, the empty fields left out."""
    if not found:
        _line(console, "it was nowhere at that moment")
    for row in found:
        _line(console, f"{row['place']} {row['key']}" + ("" if row["known"] else ": the log does not reach back that far"))
        for name, value in (row["record"] or {}).items():
            if value is not None:
                _line(console, f"    {name}: {_json(value)}")


def _since(value: datetime.datetime | None) -> str:
    return f", {_moment(value)}" if value else ""


def _moment(value: datetime.datetime | None) -> str:
    return value.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M:%S") if value else "before the log began"


def _json(value: object) -> str:
    return "(empty)" if value is None else value if isinstance(value, str) else to_json(value)


def _shown(value: str | None) -> str:
    return "(empty)" if value is None else f"'{value}'"


def _line(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def _time(value: datetime.datetime | None) -> str:
    return value.strftime("%H:%M:%S") if value else "never"


def _seconds(value: Decimal | None) -> str:
    return f"{value:.0f} s" if value else "·"
