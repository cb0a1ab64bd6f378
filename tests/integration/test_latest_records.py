"""Entity sets whose changes are told by a time: what is asked for, what is missed, and when all is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from replicator.connectors.protocol import Connector, Moment, Page
from replicator.connectors.wrapped import Wrapped
from replicator.cycle import Cycle
from replicator.mapping.language import EntitySetSpec
from tests.fixtures.folders import Folders, synchronised_folders

pytestmark = pytest.mark.thorough

FILES = {
    "common/bill.yaml": """\
entity: bill
description: What was billed.
key: [number]
fields:
  number: {required: true}
  amount: {type: decimal}
""",
    "shop/Bills.yaml": """\
entity_set: Bills
description: Bills of the shop.
key: [number]
changes: {window: day}
fields:
  number: {}
  amount: {type: decimal}
  day: {type: date}
maps:
  - to: bill
    fields: {number: number, amount: amount}
""",
}
OLD = {"number": "1", "amount": 10, "day": "2026-01-01"}
NEW = {"number": "2", "amount": 20, "day": "2026-01-31"}
LATE = {"number": "3", "amount": 30, "day": "2026-01-25"}
BACKDATED = {"number": "4", "amount": 40, "day": "2026-01-23"}


class Asked(Wrapped):
    """A system that remembers what was asked of it."""

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.asked: list[str] = []

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        self.asked.append("whole")
        return self.real.read(entity_set, token)

    def read_since(self, entity_set: EntitySetSpec, field: str, since: Moment) -> Iterator[Page]:
        self.asked.append(f"{field} from {since.isoformat()}")
        return self.real.read_since(entity_set, field, since)

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        self.asked.append("sweep")
        return self.real.sweep(entity_set)


@pytest.fixture
def folders(hub: sa.Engine, connection: sa.Connection, tmp_path: Path) -> Iterator[Folders]:
    with synchronised_folders(FILES, hub, connection, tmp_path) as made:
        yield made


class Shop:
    """Reads of the shop, and the bills that the hub holds."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        world = folders.cycle.world
        self.asked = Asked(world.connectors["shop"])
        self.cycle = Cycle(
            replace(world, connectors={**world.connectors, "shop": self.asked}), folders.cycle.connection
        )

    def read(self) -> tuple[list[str], list[str]]:
        """What was asked, and which bills are known afterwards."""
        self.asked.asked.clear()
        self.cycle.once()
        known = self.folders.rows("select number from common.bill order by number")
        return self.asked.asked, [number for (number,) in known]


def test_later_bills_are_asked_for_by_their_date_and_all_are_looked_at_after_a_week(folders: Folders) -> None:
    shop = Shop(folders)
    folders.put("shop/Bills", OLD, NEW)
    assert shop.read() == (["whole"], ["1", "2"])
    assert shop.read() == (["day from 2026-01-24"], ["1", "2"])
    folders.put("shop/Bills", NEW, LATE, BACKDATED)
    assert shop.read() == (["day from 2026-01-24"], ["1", "2", "3"]), "neither the delete nor what was dated back"
    folders.rows("select set_config('sync.now', cast(now() + interval '8 days' as text), false)")
    assert shop.read() == (["sweep"], ["2", "3", "4"])
    assert shop.read() == (["day from 2026-01-24"], ["2", "3", "4"])


def test_a_date_in_the_future_hides_no_later_bill(folders: Folders) -> None:
    shop = Shop(folders)
    folders.rows("select set_config('sync.now', '2026-02-10 12:00+00', false)")
    folders.put("shop/Bills", NEW, {**OLD, "day": "2031-01-01"})
    shop.read()
    folders.put("shop/Bills", NEW, {**OLD, "day": "2031-01-01"}, {**LATE, "day": "2026-02-09"})
    assert shop.read() == (["day from 2026-02-03"], ["1", "2", "3"])


def test_the_place_is_kept_until_something_later_is_read(folders: Folders) -> None:
    shop = Shop(folders)
    folders.put("shop/Bills")
    assert shop.read() == (["whole"], [])
    assert shop.read() == (["whole"], []), "of an empty set nothing is known"
    folders.put("shop/Bills", OLD)
    assert shop.read() == (["whole"], ["1"])
    folders.put("shop/Bills", OLD, NEW)
    for since in ("2025-12-25", "2026-01-24", "2026-01-24"):
        assert shop.read() == ([f"day from {since}"], ["1", "2"])
