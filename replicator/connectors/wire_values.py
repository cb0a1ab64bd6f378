"""Between JSON and typed values: what the connectors share of decoding and encoding fields.

A decoder runs for every record of a snapshot, so each field's converter is put together once: the usual case is
decided by one check of the exact type, and only what does not fit that goes on to the careful code.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import cache
from types import NoneType
from typing import Any
from uuid import UUID, SafeUUID

from replicator.connectors.json_rows import JsonRow
from replicator.connectors.protocol import FieldProblem, Row
from replicator.connectors.quick_rows import Column, Kind, not_plain, quick_decoder
from replicator.mapping.language import EntitySetSpec, FieldType, SystemField
from replicator.mapping.local_days import day_of, midnight, time_zone

Convert = Callable[[object], object]
"""From a JSON value to a typed value; raises FieldProblem."""
MakeConverter = Callable[[str], Convert]
"""From a field's name, which is for the problem only, to its converter."""

smallest, largest = -(2**63), 2**63 - 1
most_digits = 1000
"""A decimal with more digits before or after the point is taken for nonsense."""
usual_size = Decimal(1).__sizeof__()
new, put, unknown = object.__new__, object.__setattr__, SafeUUID.unknown


def to_text(name: str) -> Convert:
    """Text that a database can hold; the empty text is no value."""

    def convert(value: object) -> str | None:
        if type(value) is str:
            if "\x00" in value:
                raise FieldProblem(name, value, "holds a NUL character")
            if not value.isascii():
                _check_surrogates(name, value)
            return value or None
        if value is None:
            return None
        raise FieldProblem(name, value, "is not a text")

    return convert


def _check_surrogates(name: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise FieldProblem(name, value, "holds half a character (a lone surrogate)") from None


def to_integer(name: str) -> Convert:
    """An integer of 64 bits; a decimal without a fraction counts."""

    def convert(value: object) -> int | None:
        if type(value) is int:
            if smallest <= value <= largest:
                return value
            raise FieldProblem(name, value, "is out of range")
        if value is None:
            return None
        return _whole(name, value)

    return convert


def _whole(name: str, value: object) -> int:
    if type(value) is not Decimal or not value.is_finite():
        raise FieldProblem(name, value, "is not an integer")
    if value.adjusted() > 19:
        raise FieldProblem(name, value, "is out of range")
    if value != value.to_integral_value():
        raise FieldProblem(name, value, "is not an integer")
    return int(value)


def to_decimal(name: str) -> Convert:
    """A finite decimal, digit by digit as it came."""

    def convert(value: object) -> Decimal | None:
        if type(value) is Decimal:
            # Up to 76 digits fit into the smallest size: such a value needs no closer look.
            if value.is_finite() and -100 <= value.adjusted() <= 100 and value.__sizeof__() <= usual_size:
                return value
            return _within_reason(name, value)
        if type(value) is int:
            return _within_reason(name, Decimal(value))
        if value is None:
            return None
        raise FieldProblem(name, value, "is not a number")

    return convert


def _within_reason(name: str, value: Decimal) -> Decimal:
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise FieldProblem(name, value, "is not a finite number")
    if -most_digits <= exponent and value.adjusted() <= most_digits:
        return value
    raise FieldProblem(name, value, "is out of range")


def to_boolean(name: str) -> Convert:
    """true or false."""

    def convert(value: object) -> bool | None:
        if value is True or value is False or value is None:
            return value
        raise FieldProblem(name, value, "is neither true nor false")

    return convert


def to_symbol(name: str) -> Convert:
    """A boolean that travels as the symbol Yes or No."""
    symbols = {"Yes": True, "No": False, None: None}

    def convert(value: object) -> bool | None:
        try:
            return symbols[value]  # type: ignore[index]
        except (KeyError, TypeError):
            raise FieldProblem(name, value, "is neither Yes nor No") from None

    return convert


def to_date(name: str) -> Convert:
    """A date: ``YYYY-MM-DD``, or the day in UTC of a timestamp."""

    def convert(value: object) -> datetime.date | None:
        if value is None:
            return None
        if type(value) is not str:
            raise FieldProblem(name, value, "is not a date")
        try:
            if len(value) == 10 and value[7] == "-":
                return datetime.date.fromisoformat(value)
            if len(value) > 10 and value[10] == "T":
                return _moment(value).date()
        except (ValueError, OverflowError):
            pass
        raise FieldProblem(name, value, "is not a date")

    return convert


def converter(
    makers: Mapping[Any, MakeConverter], name: str, field: SystemField, zone: datetime.tzinfo = datetime.UTC
) -> Convert:
    """The converter of a field, of those that the connector has by type; ``zone`` is that of the system's people."""
    make = makers[field.holds]
    return to_local_day(make(name), name, _zone_of(field, zone)) if field.stored_as else make(name)


def _zone_of(field: SystemField, zone: datetime.tzinfo) -> datetime.tzinfo:
    return zone if field.time_zone is None else time_zone(field.time_zone)


def to_local_day(to_day: Convert, name: str, zone: datetime.tzinfo) -> Convert:
    """The day that an instant stands for; a plain date is read by ``to_day``."""
    to_instant = to_timestamp(name)

    def convert(value: object) -> object:
        if type(value) is not str or len(value) <= 10:
            return to_day(value)
        instant = to_instant(value)
        assert isinstance(instant, datetime.datetime)
        try:
            return day_of(instant, zone)
        except OverflowError:
            raise FieldProblem(name, value, "is not a date and time") from None

    return convert


def zones_of(entity_set: EntitySetSpec, zone: datetime.tzinfo) -> list[str]:
    """The zones by which days are read from instants: with another one, what was read counts no more."""
    return [f"{name} {each.time_zone or zone}" for name, each in entity_set.fields.items() if each.stored_as]


def local_midnight(name: str, field: SystemField, day: datetime.date, zone: datetime.tzinfo) -> datetime.datetime:
    """The instant that stands for a day in a field that is stored as one."""
    try:
        return midnight(day, _zone_of(field, zone))
    except OverflowError:
        raise FieldProblem(name, day, "does not begin within the years 1 to 9999 everywhere") from None


def to_timestamp(name: str) -> Convert:
    """A moment, in UTC; a text without an offset is taken for UTC."""

    def convert(value: object) -> datetime.datetime | None:
        if value is None:
            return None
        if type(value) is not str:
            raise FieldProblem(name, value, "is not a date and time")
        try:
            return _moment(value)
        except (ValueError, OverflowError):
            raise FieldProblem(name, value, "is not a date and time") from None

    return convert


def _moment(value: str) -> datetime.datetime:
    moment = datetime.datetime.fromisoformat(value)
    if moment.tzinfo is datetime.UTC:
        return moment
    if moment.tzinfo is None:
        return moment.replace(tzinfo=datetime.UTC)
    return moment.astimezone(datetime.UTC)


def to_uuid(name: str) -> Convert:
    """A GUID in its usual form, or without its hyphens."""

    def convert(value: object) -> UUID | None:
        if type(value) is str and len(value) in (32, 36):
            try:
                number = bytes.fromhex(value.replace("-", ""))
            except ValueError:
                raise FieldProblem(name, value, "is not a GUID") from None
            if len(number) == 16:
                # UUID(value) in half the time: set as UUID itself does, without its many questions.
                result = new(UUID)
                put(result, "int", int.from_bytes(number))
                put(result, "is_safe", unknown)
                return result
        if value is None:
            return None
        raise FieldProblem(name, value, "is not a GUID")

    return convert


def without_empty(convert: Convert, empty: object) -> Convert:
    """``convert``, with the value that the system holds instead of nothing read as None."""

    def converted(value: object) -> object:
        result = convert(value)
        return None if result == empty else result

    return converted


def empty_value(name: str, field: SystemField, convert: Convert) -> object:
    """The typed form of a field's declared ``empty``, which a schema file may also write as the system does."""
    empty = field.empty
    if isinstance(empty, str) and field.type != "text":
        return convert(empty)
    if type(empty) is datetime.date and field.type == "timestamp":
        return datetime.datetime(empty.year, empty.month, empty.day, tzinfo=datetime.UTC)
    if type(empty) is datetime.datetime and field.type == "date":
        return empty.date()
    if isinstance(empty, datetime.datetime) and empty.tzinfo is None:
        return empty.replace(tzinfo=datetime.UTC)
    return empty


def column(name: str, wire: str, field: SystemField, convert: Convert, *, symbols: bool = False) -> Column:
    """How a field stands in a row; with ``symbols`` a boolean is the text Yes or No."""
    kinds: dict[FieldType, Kind] = {"integer": "integer", "decimal": "number", "uuid": "uuid"}
    kind = "boolean" if field.holds == "boolean" and not symbols else kinds.get(field.holds, "text")
    is_typed = kind in ("integer", "boolean", "uuid") or field.holds == "text"
    return Column(name, wire, convert, kind, is_typed and field.empty is None)


def row_decoder(columns: Sequence[Column], etag: str = "@odata.etag") -> Callable[[Row], list[object]]:
    """A function from a row to the typed values of ``columns``, then the etag.

    It raises FieldProblem for a value that does not fit, and for a field that the row lacks: a field that silently
    stays away would otherwise empty that field in every record.
    """
    plan = [(each.wire, each.convert) for each in columns]
    fields = {each.wire: each.field for each in columns}
    etag_of = to_text(etag)
    quick = cache(lambda: quick_decoder(columns, etag))  # made for the first row that needs it: many reads bring none

    def decode(row: Row) -> list[object]:
        if type(row) is JsonRow:
            try:
                return quick()(row.raw)
            except not_plain:
                pass  # read with care it may be good, or says what is wrong with it
        try:
            values = [convert(row[wire]) for wire, convert in plan]
        except KeyError as error:
            raise FieldProblem(fields.get(error.args[0], "?"), None, "is missing in the answer") from None
        values.append(etag_of(row.get(etag)))
        return values

    return decode


fits: Mapping[str, tuple[type, ...]] = {
    "text": (str,),
    "integer": (int,),
    "decimal": (int, Decimal),
    "boolean": (bool,),
    "date": (datetime.date,),
    "timestamp": (datetime.datetime,),
    "uuid": (UUID,),
}


def plain_json(name: str, field: SystemField, value: object) -> object:
    """The JSON value of a typed value that is the same in every system: not for dates, booleans and references.

    Raises FieldProblem for a value of another type, and for what JSON cannot hold.
    """
    check_type(name, field, value)
    if isinstance(value, Decimal) and not value.is_finite():
        raise FieldProblem(name, value, "is not a finite number")
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str):
        to_text(name)(value)
    return value


def check_type(name: str, field: SystemField, value: object) -> None:
    """Raise FieldProblem unless ``value`` is None or of the field's type."""
    allowed = (*fits[field.holds], NoneType)
    confused = {bool: "boolean", datetime.datetime: "timestamp"}.get(type(value), field.holds)  # subclasses of others
    if not isinstance(value, allowed) or confused != field.holds:
        raise FieldProblem(name, value, f"is not of type {field.holds}")


def utc_text(moment: datetime.datetime) -> str:
    """A moment as both systems write it: UTC, with Z. One without an offset is taken for UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return aware.astimezone(datetime.UTC).replace(tzinfo=None).isoformat() + "Z"
