"""Two systems in step but for what was planted in them: records lost, too many, changed, moved, doubled."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from typing import cast
from uuid import UUID

from benchmarks import rows
from benchmarks.clock import Clock
from benchmarks.systems import Source
from replicator.connectors.protocol import (
    Applied,
    Capabilities,
    Connector,
    Description,
    Image,
    Key,
    Limits,
    Outcome,
    Page,
    Reference,
    Row,
    Unit,
    Usage,
)
from replicator.mapping.language import EntitySetSpec

_FIELDS = ("goodid", "number", "name", "description", "city", "quantity", "price", "availablefrom", "groupid")
_FIRST = 'W/"1"'
Planted = dict[UUID, list[object] | None]


def good_id(number: int) -> UUID:
    """The GUID ends in the digits of the item's number."""
    return UUID(f"00000000-0000-4000-8000-{number:012d}")


def group_id(number: int) -> UUID:
    """That of a group."""
    return UUID(f"00000000-0000-4000-9000-{number:012d}")


class Losing(Source):
    """The system that is read, without the items in ``lost``."""

    def __init__(self, records: int) -> None:
        super().__init__(records)
        self.lost: set[int] = set()

    def _pages(self, entity_set: EntitySetSpec, *, whole: bool) -> Iterator[list[rows.Values]]:
        gone = {f"ITEM-{number:07d}" for number in self.lost}
        for page in super()._pages(entity_set, whole=whole):
            yield [row for row in page if row.get("number") not in gone] if gone else page

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """What is looked up is gone indeed."""
        gone = {UUID(rows.guid(number)) for number in self.lost}
        assert all(key[0] in gone for key in keys)
        return [None] * len(keys)


class Goods(Connector):
    """The system that is written to. ``planted`` holds what differs from the items, by key; None: not there."""

    name = "bench3"
    limits = Limits()
    capabilities = Capabilities()

    def __init__(self, records: int) -> None:
        self.records = records
        self.planted: Planted = {}
        self.writes = 0
        self.clock = Clock()

    def good(self, n: int, /, **other: object) -> list[object]:
        """A record as the decoder gives it, with other values and an etag."""
        item = rows.item(n, 0)
        values: dict[str, object] = {
            "goodid": good_id(n),
            "availablefrom": datetime.date.fromisoformat(str(item["availablefrom"])),
            "groupid": group_id(n % rows.CATEGORIES),
            **{name: item[name] for name in ("number", "name", "description", "city", "quantity", "price")},
            **other,
        }
        return [*(values[name] for name in _FIELDS), values.get("etag", _FIRST)]

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """The whole set."""
        if entity_set.entity_set == "groups":
            groups = [[group_id(n), f"C{n:02d}", f"Category {n}", _FIRST] for n in range(rows.CATEGORIES)]
            yield Page(cast("list[Row]", groups), last=True)
            return
        for start in range(0, self.records, rows.PAGE):
            with self.clock.on("generate"):
                numbers = range(start, min(start + rows.PAGE, self.records))
                page = [self.good(each) for each in self._unchanged(numbers)]
            yield Page(cast("list[Row]", page))
        yield Page(cast("list[Row]", [each for each in self.planted.values() if each]), last=True)

    def _unchanged(self, numbers: range) -> Iterator[int]:
        return (number for number in numbers if good_id(number) not in self.planted)

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        """The rows are decoded already."""
        return cast("Callable[[Row], list[object]]", lambda row: row)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """What was planted under these keys."""
        return [cast("Row | None", self.planted[cast("UUID", key[0])]) for key in keys]

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Everything is applied at once, and kept."""
        outcomes: list[list[Outcome]] = []
        for (write,) in units:
            self.writes += 1
            key = write.key[0]
            assert isinstance(key, UUID)
            if write.operation == "delete":
                self.planted[key] = None
                outcomes.append([Applied(None, None)])
                continue
            held = self.planted.get(key) or self.good(int(str(key)[-12:]) if write.operation == "update" else 0)
            sent = {name: each.key[0] if isinstance(each, Reference) else each for name, each in write.values.items()}
            image: Image = dict(zip(_FIELDS, held, strict=False)) | {"goodid": key} | sent
            etag = f'W/"w{self.writes}"'
            self.planted[key] = [*(image[name] for name in _FIELDS), etag]
            outcomes.append([Applied(image, etag)])
        return outcomes

    def usage(self) -> Usage:
        """No requests are counted."""
        return Usage(0)

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """Nobody asks."""
        raise NotImplementedError
