"""Values of an exported package, in the form in which OData has them: from the text to what the decoder takes.

Only what is written in exactly one known way is brought into that form. All else stays as it is, and the decoder then
says of that record what does not fit: a number with marks of thousands, a date in the order of a language.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from replicator.connectors.wire_values import utc_text
from replicator.mapping.language import FieldType, SystemField

Form = Callable[[str], object]
"""From a text of the package to the value that OData's JSON would have."""

_number = re.compile(r"-?(?:0|[1-9][0-9]{0,999})(\.[0-9]{1,999})?")
_date, _zone = r"([0-9]{4}-[0-9]{2}-[0-9]{2})", r"(?:Z|[+-][0-9]{2}:[0-9]{2})?"
_moment = re.compile(rf"{_date}[ T][0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:\.[0-9]{{1,9}})?{_zone}")
_day = re.compile(rf"{_date}(?:[ T]00:00:00(?:\.0{{1,9}})?{_zone})?")
_symbol = re.compile(r"[^\W\d]\w*")
_no_day = "1900-01-01"
_noon = "T12:00:00Z"
NO_DATE = _no_day + _noon
"""What stands for no date."""


def form_of(field: SystemField) -> Form:
    """How the texts of a field are brought into form."""
    if field.enum is not None:
        return _to_symbol
    if field.stored_as:
        return _to_instant
    return _forms[field.holds]


def _as_it_is(text: str) -> object:
    return text


def _if_any(text: str) -> object:
    return text or None


def _to_symbol(text: str) -> object:
    """A symbol, or nothing. What is none is put so that no text field takes it: it may be a label, or a number."""
    if not text or _symbol.fullmatch(text):
        return text or None
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else {"not a symbol": text}


def _to_number(text: str) -> object:
    """A number without marks of thousands, with a point. The system has no empty number: that is 0."""
    if not text:
        return 0
    found = _number.fullmatch(text)
    if found is None:
        return text
    return int(text) if found[1] is None else Decimal(text)


def _to_day(text: str) -> object:
    """A day, at noon: that which is written, whatever zone stands behind it."""
    found = _day.fullmatch(text)
    if found is None:
        return _to_instant(text)
    try:
        return datetime.date.fromisoformat(found[1]).isoformat() + _noon
    except ValueError:
        return text


def _to_instant(text: str) -> object:
    """An instant in UTC, as which one without a zone is taken."""
    if not text:
        return NO_DATE
    found = _moment.fullmatch(text)
    if found is None:
        return text
    try:
        moment = utc_text(datetime.datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return text
    return NO_DATE if found[1] == _no_day else moment


_forms: Mapping[FieldType, Form] = {
    "text": _as_it_is,
    "integer": _to_number,
    "decimal": _to_number,
    "boolean": _if_any,
    "date": _to_day,
    "timestamp": _to_instant,
    "uuid": _if_any,
}
