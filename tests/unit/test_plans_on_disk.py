"""The writes of a plan are kept on disk: what was appended is there, in order, as it was."""

from __future__ import annotations

import datetime
import gc
import tracemalloc
from decimal import Decimal

from replicator.spool import Spool

_WIDE = {f"field {number}": "a value of some length" * 4 for number in range(50)}


def test_items_are_there_as_they_were_appended_in_any_order_of_asking() -> None:
    spool: Spool[dict[str, object]] = Spool()
    items: list[dict[str, object]] = [
        {"number": number, "price": Decimal("1.10"), "day": datetime.date(2026, 1, number)} for number in range(1, 20)
    ]
    for place, item in enumerate(items):
        assert spool.append(item) == place
    assert spool[7] == items[7]
    spool.append({"late": True})
    assert spool[3:5] == items[3:5]
    assert spool == [*items, {"late": True}]
    assert spool != items
    assert spool[-1] == {"late": True}


def test_what_was_appended_is_held_on_disk_and_not_in_memory() -> None:
    held: dict[bool, int] = {}
    for on_disk in (False, True):
        gc.collect()
        tracemalloc.start()
        found: Spool[dict[str, str]] | list[dict[str, str]] = Spool() if on_disk else []
        for number in range(500):
            found.append({name: f"{value} {number}" for name, value in _WIDE.items()})
        held[on_disk] = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(found) == 500
    assert held[True] < held[False] / 20
