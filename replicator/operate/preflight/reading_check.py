"""Reading: whether each entity set can be read on in the way that its file says, and what a day of it will cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from replicator.connectors.protocol import Connector, keys_only
from replicator.mapping.schema import EntitySet
from replicator.mapping.told_changes import ByTime
from replicator.operate.preflight.findings import Report

_DAY = 86_400
_WINDOW = 300
"""Seconds: systems count requests over so long."""


def check(sets: Sequence[EntitySet], connector: Connector, poll_seconds: float, notes: Report) -> None:
    """Try the way of each set, and add up the requests of all of them."""
    for entity_set in sets:
        with notes.looking(entity_set):
            for what, next_ in _untrue(entity_set, connector):
                notes.found(entity_set, what, next_)
    daily, dense = 0.0, 0.0
    for entity_set in sets:
        with notes.looking(entity_set):
            requests = _requests(entity_set, connector)
            pace = max(poll_seconds, entity_set.spec.every_seconds)
            daily += requests * _DAY / max(pace, entity_set.spec.quiet_seconds)
            dense += requests * math.ceil(_WINDOW / pace)
    _tell(connector, daily, dense, notes)


def _tell(connector: Connector, daily: float, dense: float, notes: Report) -> None:
    words = f"reading it takes about {daily:,.0f} requests on a quiet day, at most {dense:,.0f} in 5 minutes"
    most = connector.limits.requests_per_window
    if most is not None and dense > most:
        notes.found(connector.name, f"{words}, and it bears {most:,}", "read large sets less often: say 'every'")
    else:
        notes.tell(connector.name, words + (f" (it bears {most:,})" if most is not None else ""))


def _untrue(entity_set: EntitySet, connector: Connector) -> Iterator[tuple[str, str]]:
    """What the file says of its changes, and the system does not do."""
    spec, told = entity_set.spec, entity_set.spec.changes
    if told == "delta" and connector.capabilities.changes == "whole":
        yield "its system tells no changes by itself, so every read is whole", "say 'changes: sweep'"
    if isinstance(told, ByTime):
        next(iter(connector.read_since(spec, told.field, datetime.now(UTC))), None)  # refused where it cannot be asked
    if told == "sweep":
        decode = connector.decoder(keys_only(spec))
        page = next(iter(connector.sweep(spec)), None)
        if page is not None and page.rows and decode(page.rows[0])[-1] is None:
            yield "its rows have no etag, so every sweep reads them all", "say 'changes: whole', or by which time"


def _requests(entity_set: EntitySet, connector: Connector) -> float:
    """Of one read that brings nothing."""
    way = entity_set.spec.way
    if way == "since" or (way == "told" and connector.capabilities.changes != "whole"):
        return 1
    size = connector.limits.keys_per_read if way == "sweep" else connector.limits.records_per_read
    return max(1, math.ceil((connector.count(entity_set.spec) or 0) / size))
