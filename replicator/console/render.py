"""Turns what a page knows into HTML: the templates, and how values, times and counts are written for people."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote, urlencode

import simplejson
from flask import request
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from replicator.hub.states import BY_NAME, MOVING, STUCK

TEMPLATE_OPTIONS = {"undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
_LONGEST = 300
_CODE = Markup("<code>{}</code>")
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def prepare(environment: Environment, clock: Callable[[], datetime.datetime]) -> None:
    """Give the templates everything they call."""

    def ago(value: datetime.datetime | None, never: str = "never") -> Markup | str:
        """A moment as its distance from now, the moment itself beside it for machines and pointers."""
        if value is None:
            return never
        passed = (clock() - value).total_seconds()
        text = f"in {span(-passed)}" if passed < 0 else "just now" if passed < 1 else f"{span(passed)} ago"
        return _time(value, text)

    environment.filters |= {
        "ago": ago, "moment": moment, "span": span, "value": shown, "count": count, "words": words, "path": path,
        "plural": plural, "prose": prose, "total": total,
    }  # fmt: skip
    environment.globals |= {
        "with_page": with_page, "record_path": record_path, "states": BY_NAME, "moving_columns": MOVING,
        "stuck_columns": STUCK,
    }  # fmt: skip


def _time(value: datetime.datetime, text: str) -> Markup:
    exact = value.astimezone(datetime.UTC)
    full = f"{exact:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(exact.isoformat(), full, text)


def moment(value: datetime.datetime | None) -> Markup | str:
    """A moment to the second."""
    return "never" if value is None else _time(value, f"{value.astimezone(datetime.UTC):%Y-%m-%d %H:%M:%S}")


def span(seconds: float | Decimal | datetime.timedelta | None) -> str:
    """How long something takes."""
    if seconds is None:
        return "none"
    number = seconds.total_seconds() if isinstance(seconds, datetime.timedelta) else float(seconds)
    for size, unit in _UNITS:
        if number >= size:
            return f"{number / size:.0f} {unit}"
    return f"{number:.0f} s"


def shown(value: object) -> Markup | str:
    """A value as people read it; nothing is shown as nothing, and long texts are cut."""
    if value is None:
        return Markup('<span class="empty">empty</span>')
    if value == "":
        return Markup('<span class="empty">empty text</span>')
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime.datetime):
        return moment(value)
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, dict | list):
        value = simplejson.dumps(value, use_decimal=True, default=str, ensure_ascii=False)
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def count(number: int | Decimal | None) -> str:
    """A count with its thousands apart."""
    return "unknown" if number is None else f"{number:,}"


def plural(number: int, one: str, many: str | None = None) -> str:
    """A count with its word."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def words(name: object) -> str:
    """A state or column as words."""
    return str(name).replace("_", " ")


def prose(text: str) -> Markup:
    """A clause as the beginning of a sentence; what stands between backticks is code."""
    words_and_code = (text[:1].upper() + text[1:]).split("`")
    pieces = (_CODE.format(each) if place % 2 else escape(each) for place, each in enumerate(words_and_code))
    return Markup("").join(pieces)


def total(flow: Mapping[str, int], columns: Sequence[str]) -> int:
    """How many records these columns of a flow count."""
    return sum(flow[name] for name in columns)


def path(text: object) -> str:
    """A text as one segment of an address."""
    return quote(str(text), safe="")


def record_path(kind: str, key: str) -> str:
    """The address of a record's page."""
    return f"/record/{path(kind)}/{path(key)}"


def with_page(number: int, name: str = "page") -> str:
    """This page's address with another page of its list."""
    kept = {key: value for key, value in request.args.items() if key not in ("did", "records")}
    return "?" + urlencode({**kept, name: number})
