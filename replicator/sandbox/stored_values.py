"""Values of fields: what a system takes for each type, and the form in which it stores them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, tzinfo
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from uuid import UUID

from replicator.sandbox.description import FieldSpec, FieldType

EDM = {
    "text": "Edm.String",
    "memo": "Edm.String",
    "integer": "Edm.Int32",
    "bigint": "Edm.Int64",
    "decimal": "Edm.Decimal",
    "money": "Edm.Decimal",
    "boolean": "Edm.Boolean",
    "guid": "Edm.Guid",
    "date": "Edm.Date",
    "datetime": "Edm.DateTimeOffset",
    "choice": "Edm.Int32",
    "lookup": "Edm.Guid",
}
MONEY_SCALE = 4
_largest = {"money": Decimal("922337203685477"), "decimal": Decimal("100000000000")}


class BadValueError(ValueError):
    """A value that does not fit its field: ``kind`` is type, length, range or choice."""

    def __init__(self, kind: str, name: str, spec: FieldSpec, value: object, why: str) -> None:
        super().__init__(f"{name}: {why}")
        self.kind = kind
        self.name = name
        self.spec = spec
        self.value = value
        self.why = why


def edm(spec: FieldSpec) -> str:
    """The type's name in metadata and messages."""
    return EDM[spec.type]


def _text(spec: FieldSpec, value: object) -> object:
    if not isinstance(value, str):
        raise TypeError("is not a text")
    if "\x00" in value or any(0xD800 <= ord(c) <= 0xDFFF for c in value if c > "\ud7ff"):
        raise TypeError("holds a character that cannot be stored")
    return value


def _integer(spec: FieldSpec, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError("is not a whole number")
    if isinstance(value, Decimal) and value.adjusted() > 10:  # before int() makes a giant of it
        raise OverflowError("is outside the range of a 32 bit number")
    if value != int(value):
        raise TypeError("is not a whole number")
    if not -(2**31) <= value < 2**31:
        raise OverflowError("is outside the range of a 32 bit number")
    return int(value)


def _decimal(spec: FieldSpec, value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError("is not a number")
    if Decimal(value).copy_abs() > _largest[spec.type]:
        raise OverflowError("is too large")
    scale = MONEY_SCALE if spec.type == "money" and spec.scale is None else spec.scale
    return rounded(value, scale)


def rounded(value: int | Decimal, scale: int | None) -> int | Decimal:
    """A number with no more than ``scale`` decimals; shorter ones stay as they are."""
    if not isinstance(value, Decimal) or scale is None or -int(value.as_tuple().exponent) <= scale:
        return value
    try:
        return value.quantize(Decimal(1).scaleb(-scale), ROUND_HALF_UP)
    except InvalidOperation as error:
        raise OverflowError("is too large") from error


def _boolean(spec: FieldSpec, value: object) -> object:
    if not isinstance(value, bool):
        raise TypeError("is not true or false")
    return value


def _guid(spec: FieldSpec, value: object) -> object:
    if not isinstance(value, str):
        raise TypeError("is not a GUID")
    return str(UUID(value))


def _date(spec: FieldSpec, value: object) -> object:
    if not isinstance(value, str):
        raise TypeError("is not a date")
    return date.fromisoformat(value[:10]).isoformat() if len(value) > 10 else date.fromisoformat(value).isoformat()


_moment = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$")


def _datetime(spec: FieldSpec, value: object) -> object:
    if not isinstance(value, str) or not _moment.match(value):
        raise TypeError("is not a time")
    if len(value) == 10:
        if spec.day:
            raise TypeError("is a day, where an instant with its offset is wanted")
        return f"{date.fromisoformat(value).isoformat()}T12:00:00Z"
    try:
        return stamp(datetime.fromisoformat(value))
    except OverflowError:
        raise TypeError("is a time beyond the calendar in UTC") from None


def stamp(moment: datetime) -> str:
    """A time as it is stored: UTC, whole seconds."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def typed_day(value: object, zone: tzinfo) -> object:
    """What is stored when somebody in ``zone`` types a day into a form: the instant at which it begins there."""
    if not isinstance(value, str) or len(value) != 10:
        return value
    try:
        return stamp(datetime.combine(date.fromisoformat(value), time(), zone))
    except (ValueError, OverflowError):
        return value


def _choice(spec: FieldSpec, value: object) -> object:
    if spec.enum:
        return _text(spec, value)
    value = _integer(spec, value)
    if value not in spec.choices:
        raise LookupError("is outside the valid range")
    return value


_convert: dict[FieldType, Callable[[FieldSpec, object], object]] = {
    "text": _text,
    "memo": _text,
    "integer": _integer,
    "bigint": _integer,
    "decimal": _decimal,
    "money": _decimal,
    "boolean": _boolean,
    "guid": _guid,
    "date": _date,
    "datetime": _datetime,
    "choice": _choice,
    "lookup": _guid,
}


def convert(name: str, spec: FieldSpec, value: object) -> object:
    """The value in the form it is stored in. Raises BadValueError."""
    try:
        return _convert[spec.type](spec, value)
    except LookupError as error:
        raise BadValueError("choice", name, spec, value, str(error)) from error
    except OverflowError as error:
        raise BadValueError("range", name, spec, value, str(error)) from error
    except (TypeError, ValueError, ArithmeticError) as error:
        raise BadValueError("type", name, spec, value, str(error)) from error


def has_wire_form(spec: FieldSpec, value: object) -> bool:
    """Whether a day or an instant is written as its type in metadata: neither stands for the other."""
    return (
        not isinstance(value, str)
        or spec.type not in ("date", "datetime")
        or (len(value) == 10) == (spec.type == "date")
    )


def check(name: str, spec: FieldSpec, value: object) -> object:
    """``convert``, and then lengths and ranges too."""
    value = convert(name, spec, value)
    if isinstance(value, str) and spec.length is not None and len(value) > spec.length:
        raise BadValueError("length", name, spec, value, f"is longer than {spec.length}")
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        if spec.minimum is not None and value < spec.minimum:
            raise BadValueError("range", name, spec, value, f"is below {spec.minimum}")
        if spec.maximum is not None and value > spec.maximum:
            raise BadValueError("range", name, spec, value, f"is above {spec.maximum}")
    return value
