"""How far an entity set was read, as the text that the hub keeps of it, and by which way it is read on from there."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from zlib import crc32

from replicator.connectors.protocol import Capabilities, tells_deletes
from replicator.mapping.language import EntitySetSpec
from replicator.mapping.schema import EntitySet
from replicator.mapping.spec import seconds
from replicator.mapping.told_changes import ByTime, Way

_DAY = datetime.timedelta(days=1)
_SPREAD = 0.25
"""Of the time between two whole reads: so much earlier some sets are read, lest all that began together stay so."""


@dataclass(frozen=True)
class Position:
    """Where a read goes on. ``mark`` is that of what rows are made into; under another one all is read again."""

    way: Way
    place: str = ""
    """In the words of the way."""

    def text(self, mark: str) -> str:
        """What the hub keeps; a token of the system's own is kept as it is instead."""
        return f"{self.way} {mark} {self.place}".rstrip()


def position_of(spec: EntitySetSpec, kept: str | None, mark: str) -> Position:
    """From where on it is read: whole where nothing is kept, or what is kept belongs to another way or mark."""
    way = spec.way
    if not kept or way == "whole":
        return Position("whole")
    named, _, rest = kept.partition(" ")
    if way == "told":
        return Position("whole") if named in ("sweep", "since") else Position(way, kept)
    made_with, _, place = rest.partition(" ")
    return Position(way, place) if (named, made_with) == (way, mark) else Position("whole")


def looked_at_every(entity_set: EntitySet, capabilities: Capabilities) -> datetime.timedelta | None:
    """After how long everything is looked at, however changes are told; None: never, for nothing escapes the way."""
    spec = entity_set.spec
    every: datetime.timedelta | None
    if spec.whole_every:
        every = datetime.timedelta(seconds=seconds(spec.whole_every))
    elif spec.way == "told":
        every = None if capabilities.changes in (*tells_deletes, "whole") else _DAY
    else:
        every = _DAY if isinstance(spec.changes, ByTime) and spec.changes.changed_since else 7 * _DAY
    share = crc32(str(entity_set).encode()) / 2**32
    return every and every * (1 - _SPREAD * share)
