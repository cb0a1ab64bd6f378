"""JSON in which every number survives: decimals as Decimal, integers of any size. No NaN or Infinity is written."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import cast

import simplejson

from replicator.errors import UnexpectedAnswer


def loads(body: bytes, what: str) -> dict[str, object]:
    """The JSON object in ``body``; numbers are int or Decimal. ``what`` names the answer in the error.

    A number that no field can hold is a Decimal too, so that it is a problem of its record alone: thousands of
    digits, NaN, Infinity (for an exponent without bounds as well).
    Raises UnexpectedAnswer for anything else: no JSON, half of it, too deeply nested, not an object.
    """
    try:
        value = _parsed(body.decode("utf-8-sig"))
    except RecursionError:
        raise UnexpectedAnswer(f"{what}: the answer is JSON that is nested too deeply to be read") from None
    except ValueError as error:
        # The parser's own words can repeat the payload, so only its class and place are told.
        place = f" at character {error.pos} of {len(body)}" if isinstance(error, simplejson.JSONDecodeError) else ""
        raise UnexpectedAnswer(f"{what}: the answer is not complete JSON{place}") from None
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"{what}: the answer is JSON, but not an object")
    return cast("dict[str, object]", value)


def _parsed(text: str) -> object:
    """The value; only where the quick way fails each number is looked at one by one, which takes longer."""
    try:
        return simplejson.loads(text, use_decimal=True, allow_nan=False)
    except (ValueError, InvalidOperation):
        return simplejson.loads(text, parse_int=_integer, parse_float=_decimal, parse_constant=Decimal)


def _integer(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:  # Python reads no integer of thousands of digits
        return Decimal(digits)


def _decimal(number: str) -> Decimal:
    try:
        return Decimal(number)
    except InvalidOperation:  # an exponent of twenty digits
        return Decimal("-Infinity" if number.startswith("-") else "Infinity")


def dumps(value: object) -> bytes:
    """Compact JSON in ASCII; Decimals are written digit by digit. Raises ValueError for NaN and Infinity."""
    return simplejson.dumps(value, use_decimal=True, allow_nan=False, separators=(",", ":")).encode("ascii")
