"""Reading an entity set of the ERP by keys and etags, side by side with a whole read of it, over HTTP."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.erp import erp
from benchmarks.hub import hub
from benchmarks.report import Line, table
from replicator.config import Budget
from replicator.connectors import connect
from replicator.connectors.kinds import settings_of
from replicator.core.hub_handle import Handle
from replicator.inbound.snapshot import Snapshots
from replicator.mapping.compiled import compile_folder

_MOST = 200_000
_SCHEMA = Path(__file__).resolve().parents[1] / "schema"


@dataclass(frozen=True)
class Cost:
    """Of one read: what it was, requests, bytes, seconds of the product's processor and by the clock."""

    kind: str
    requests: int
    received: int
    processor: float
    wall: float


def measure(server_url: str, records: int) -> list[Line]:
    """Ratios to a whole read that shows nothing new."""
    records = min(records, _MOST)
    with ExitStack() as stack:
        source = stack.enter_context(erp(records))
        engine = stack.enter_context(hub(server_url, "reading", model := compile_folder(_SCHEMA)))
        connector = connect("ops", settings_of({"kind": "finops", "url": source.url}))
        stack.callback(connector.close)
        reads = Reads(Snapshots(Handle.on(stack.enter_context(engine.connect()), model), connector))
        found = {"first": reads.take(whole=True), "whole": reads.take(whole=True), "swept by row": reads.take()}
        found["nothing changed"] = reads.take()
        for share in (1000, 100, 5):
            source.change(records // share)
            found[f"1 in {share:,}"] = reads.take()
    _show(records, found)
    whole, quiet, few = found["whole"], found["nothing changed"], found["1 in 1,000"]
    what = f"{records:,} customers, nothing changed"
    return [
        Line(f"{what}: bytes, to a whole read", _bytes(quiet), quiet.received / whole.received, 0.3),
        Line(f"{what}: processor", f"{quiet.processor:.2f} s", quiet.processor / whole.processor, 0.15),
        Line("1 in 1,000 changed: requests, to none changed", str(few.requests), few.requests / quiet.requests, 1.1),
    ]


class Reads:
    """Reads of the customers, one after the other."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._set = snapshots.hub.compiled.schema.entity_sets["ops", "CustomersV3"]

    def take(self, *, whole: bool = False) -> Cost:
        """What one cost."""
        processor, started = time.process_time(), time.perf_counter()
        taken = self._snapshots.take(self._set, Budget(), whole=whole)
        wall, processor = time.perf_counter() - started, time.process_time() - processor
        (cost,) = self._snapshots.costs
        with self._snapshots.hub.leading():
            self._snapshots.note_reads()
        return Cost(taken.kind, cost.requests, cost.received, processor, wall)


def _show(records: int, found: dict[str, Cost]) -> None:
    whole = found["whole"]
    table(
        f"Reading {records:,} customers; ratios to the whole read that shows nothing new",
        ("read", "way", "requests", "bytes", "", "processor", "", "by the clock", ""),
        [
            (
                name, each.kind, str(each.requests), _bytes(each), f"{each.received / whole.received:.2f}",
                f"{each.processor:.2f} s", f"{each.processor / whole.processor:.2f}",
                f"{each.wall:.2f} s", f"{each.wall / whole.wall:.2f}",
            )
            for name, each in found.items()
        ],
    )  # fmt: skip


def _bytes(cost: Cost) -> str:
    return f"{cost.received / 1e6:.1f} MB"
