"""Two systems in step but for what was planted in them: records lost, too many, changed, moved, doubled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from benchmarks import rows
from benchmarks.clock import Clock
from benchmarks.systems import Decode, Source, answers, decoder
from replicator.connectors.protocol import (
    Applied,
    Capabilities,
    Connector,
    Description,
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

_TAKEN_OVER = ("number", "name", "description", "city", "quantity", "price", "availablefrom")
_FIRST = 'W/"1"'


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
        self.planted: dict[UUID, rows.Values | None] = {}
        self.writes = 0
        self.clock = Clock()

    def good(self, n: int, /, **other: object) -> rows.Values:
        """A record as JSON has it, with other values."""
        item = rows.item(n, 0)
        return {
            "@odata.etag": _FIRST,
            "goodid": str(good_id(n)),
            **{name: item[name] for name in _TAKEN_OVER},
            "_groupid_value": str(group_id(n % rows.CATEGORIES)),
            **other,
        }

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """The whole set."""
        yield from answers(self._groups() if entity_set.entity_set == "groups" else self._goods(), self.clock)
        yield Page([], last=True)

    def _groups(self) -> Iterator[list[rows.Values]]:
        yield [
            {"@odata.etag": _FIRST, "groupid": str(group_id(n)), "code": f"C{n:02d}", "name": f"Category {n}"}
            for n in range(rows.CATEGORIES)
        ]

    def _goods(self) -> Iterator[list[rows.Values]]:
        for start in range(0, self.records, rows.PAGE):
            numbers = range(start, min(start + rows.PAGE, self.records))
            yield [self.good(each) for each in numbers if good_id(each) not in self.planted]
        yield [each for each in self.planted.values() if each]

    def decoder(self, entity_set: EntitySetSpec) -> Decode:
        """The real one."""
        return decoder(entity_set)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """What was planted under these keys."""
        return [self.planted[_good_key(key)] for key in keys]

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Everything is applied at once, and kept."""
        outcomes: list[list[Outcome]] = []
        for (write,) in units:
            self.writes += 1
            key = _good_key(write.key)
            if write.operation == "delete":
                self.planted[key] = None
                outcomes.append([Applied(None, None)])
                continue
            held = self.planted.get(key) or self.good(int(str(key)[-12:]) if write.operation == "update" else 0)
            self.planted[key] = held | {"goodid": str(key), "@odata.etag": f'W/"w{self.writes}"'} | _sent(write.values)
            *values, etag = decoder(write.entity_set)(self.planted[key] or {})
            outcomes.append([Applied(dict(zip(write.entity_set.fields, values, strict=True)), str(etag))])
        return outcomes

    def usage(self) -> Usage:
        """No requests are counted."""
        return Usage(0)

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """Nobody asks."""
        raise NotImplementedError


def _good_key(key: Key) -> UUID:
    assert isinstance(key[0], UUID)
    return key[0]


def _sent(values: Mapping[str, Any]) -> rows.Values:
    """The values of a write as JSON has them."""
    return {
        "_groupid_value" if isinstance(each, Reference) else name:
        str(each.key[0]) if isinstance(each, Reference) else each.isoformat() if isinstance(each, date) else each
        for name, each in values.items()
    }  # fmt: skip
