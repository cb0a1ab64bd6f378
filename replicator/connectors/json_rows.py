"""Rows that keep their JSON as it came: told apart by their bytes, and decoded only where somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import overload

import msgspec

from replicator.connectors import exact_json


class JsonRow(Mapping[str, object]):
    """A record in the bytes of its answer; ``what`` names the answer in an error."""

    __slots__ = ("_values", "raw", "what")

    def __init__(self, raw: bytes, what: str) -> None:
        self.raw, self.what = raw, what
        self._values: dict[str, object] | None = None

    @property
    def values_by_name(self) -> dict[str, object]:
        """The record; numbers are int or Decimal."""
        if self._values is None:
            self._values = exact_json.loads(self.raw, self.what)
        return self._values

    def __getitem__(self, name: str) -> object:
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


class JsonRows(Sequence[JsonRow]):
    """The records of a page, of which most are never asked for more than their bytes, ``raw``."""

    def __init__(self, raw: list[bytes], what: str) -> None:
        self.raw, self._what = raw, what

    @overload
    def __getitem__(self, place: int) -> JsonRow: ...
    @overload
    def __getitem__(self, place: slice) -> JsonRows: ...
    def __getitem__(self, place: int | slice) -> JsonRow | JsonRows:
        if isinstance(place, slice):
            return JsonRows(self.raw[place], self._what)
        return JsonRow(self.raw[place], self._what)

    def __len__(self) -> int:
        return len(self.raw)


class _Page(msgspec.Struct):
    value: list[msgspec.Raw]
    next_link: object = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: object = msgspec.field(name="@odata.deltaLink", default=None)


_page = msgspec.json.Decoder(_Page)


def json_page(body: bytes, what: str) -> tuple[JsonRows, object, object] | None:
    """The rows of a page undecoded, its next link and its delta link; None where it has to be read with care.

    That is a page that is no JSON as the standard has it (some systems write NaN), or none of records.
    """
    try:
        # As text: what is no UTF-8 is no JSON, also where it stands inside a row.
        found = _page.decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    raw = list(map(bytes, found.value))
    if any(row[:1] != b"{" for row in raw):
        return None
    return JsonRows(raw, what), found.next_link, found.delta_link
