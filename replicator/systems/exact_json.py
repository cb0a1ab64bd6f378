"""JSON in which every number survives: decimals as Decimal, integers of any size, no NaN and no Infinity."""

from __future__ import annotations

from decimal import InvalidOperation
from typing import cast

import simplejson

from replicator.errors import UnexpectedAnswer


def loads(body: bytes, what: str) -> dict[str, object]:
    """The JSON object in ``body``; numbers are int or Decimal. ``what`` names the answer in the error.

    Raises UnexpectedAnswer for anything else: no JSON, half of it, not an object, numbers beyond reason.
    """
    try:
        value = simplejson.loads(body.decode("utf-8-sig"), use_decimal=True, allow_nan=False)
    except (ValueError, RecursionError, InvalidOperation) as error:
        # The parser's own words can repeat the payload, so only its class and place are told.
        place = f" at character {error.pos} of {len(body)}" if isinstance(error, simplejson.JSONDecodeError) else ""
        raise UnexpectedAnswer(f"{what}: the answer is not complete JSON{place}") from None
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"{what}: the answer is JSON, but not an object")
    return cast("dict[str, object]", value)


def dumps(value: object) -> bytes:
    """Compact JSON in ASCII; Decimals are written digit by digit. Raises ValueError for NaN and Infinity."""
    return simplejson.dumps(value, use_decimal=True, allow_nan=False, separators=(",", ":")).encode("ascii")
