"""Rows that keep their JSON as it came: told apart by their bytes, and decoded only where somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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


class _Page(msgspec.Struct):
    value: list[msgspec.Raw]
    next_link: object = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: object = msgspec.field(name="@odata.deltaLink", default=None)


_page = msgspec.json.Decoder(_Page)


def json_page(body: bytes, what: str) -> tuple[list[JsonRow], object, object] | None:
    """The rows of a page undecoded, its next link and its delta link; None where it has to be read with care.

    That is a page that is no JSON as the standard has it (some systems write NaN), or none of records.
    """
    try:
        # As text: what is no UTF-8 is no JSON, also where it stands inside a row.
        found = _page.decode(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    rows = [JsonRow(bytes(raw), what) for raw in found.value]
    if not all(row.raw.startswith(b"{") for row in rows):
        return None
    return rows, found.next_link, found.delta_link
