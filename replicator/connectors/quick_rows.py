"""Rows decoded straight from their bytes, as nearly all of them can be; the others are read again with care.

Nothing is decided here: what is not plainly as declared is left to ``wire_values``, which says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

Kind = Literal["text", "integer", "boolean", "number", "uuid"]
"""Of a value as it stands in the JSON; a number with its digits."""


@dataclass(frozen=True)
class Column:
    """A field as it stands in a row: its name there, how its value is converted, and what that is in the JSON.

    ``is_typed``: read as its kind it is what it should be, but for an empty text, which is none.
    """

    field: str
    wire: str
    convert: Callable[[object], object]
    kind: Kind
    is_typed: bool = False


_integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_types: dict[Kind, Any] = {
    "text": str | None, "integer": _integer | None, "boolean": bool | None, "number": msgspec.Raw,
    "uuid": UUID | None,
}  # fmt: skip
_escaped_nul = b"\\u0000"
not_plain = (msgspec.MsgspecError, ValueError, InvalidOperation)
"""What a quick decoder raises for a row that has to be read with care."""


def quick_decoder(columns: Sequence[Column], etag: str) -> Callable[[bytes], list[object]]:
    """A function from the bytes of a row to the typed values of the columns, then the etag."""
    fields: list[tuple[str, Any, Any]] = [
        (f"field{place}", _types[column.kind], msgspec.field(name=column.wire)) for place, column in enumerate(columns)
    ]
    fields.append(("version", str | None, msgspec.field(name=etag, default=None)))
    read = msgspec.json.Decoder(msgspec.defstruct("Row", fields)).decode
    values_of = msgspec.structs.astuple
    texts = [place for place, column in enumerate(columns) if column.kind == "text" and column.is_typed]
    texts.append(len(columns))
    conversions = [
        (place, _from_digits(column.convert) if column.kind == "number" else column.convert)
        for place, column in enumerate(columns)
        if not column.is_typed
    ]

    def decode(raw: bytes) -> list[object]:
        if _escaped_nul in raw:
            raise msgspec.ValidationError("a NUL character")
        values: list[object] = list(values_of(read(raw)))
        if "" in values:
            for place in texts:
                values[place] = values[place] or None
        for place, convert in conversions:
            values[place] = convert(values[place])
        return values

    return decode


def _from_digits(convert: Callable[[object], object]) -> Callable[[object], object]:
    """From the bytes of a number, or null, to what ``convert`` makes of it."""

    def converted(raw: object) -> object:
        digits = str(raw, "ascii")  # type: ignore[call-overload]
        if digits == "null":
            return convert(None)
        return convert(Decimal(digits))

    return converted
