"""The first page: what moves between the systems and the hub, and what does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flask import render_template

from replicator.console.page_context import PageContext, Row
from replicator.hub.statements import statements
from replicator.hub.states import COLUMNS, MOVING, STUCK
from replicator.operate import hub_queries

_sql = statements(__name__)
_MINUTES = 60
_LIVE_SECONDS = 5


@dataclass(frozen=True)
class Lane:
    """The flows between one system and the hub, in one direction."""

    system: str
    direction: str
    flows: Sequence[Row]

    def total(self, *names: str) -> int:
        """Records in these states, over all of its flows."""
        return sum(flow[name] for flow in self.flows for name in names)

    @property
    def moving(self) -> int:
        """What is under way, or going to be by itself."""
        return self.total(*MOVING)

    @property
    def stuck(self) -> int:
        """What does not go on without somebody or something else."""
        return self.total(*STUCK)


@dataclass(frozen=True)
class Bar:
    """One minute of the last hour, for the picture."""

    x: int
    height: float
    changes: int


def overview(look: PageContext) -> str:
    """What moves, at what rate, how far behind it is, and what is stuck."""
    flows = look.rows(_sql["flows"])
    causes = look.rows(_sql["causes"])
    movement = {row["minute"]: row["changes"] for row in look.rows(_sql["movement"])}
    known: dict[str, Any] = {
        "flows": flows,
        "lanes": lanes(flows),
        "columns": [name for name in COLUMNS if any(flow[name] for flow in flows)],
        "common": {flow["entity"]: flow["records"] for flow in flows if flow["direction"] == "out"},
        "mirrored": mirrored(flows),
        "bars": list(bars(movement)),
        "hour": sum(movement.values()),
        "minute": movement.get(0, 0),
        "live": _LIVE_SECONDS if look.arguments.get("live") == "on" else None,
        "totals": {"causes": causes[0]["causes"] if causes else 0, **(look.row(_sql["totals"]) or {})},
        "causes": causes,
        "leader": look.row(_sql["leader"]),
    }
    for name in ("systems", "holder", "lock_holders", "problems", "pauses"):
        known[name] = look.rows(_sql[name])
    for name in ("held", "quarantined", "orphaned", "under_way"):
        known[name] = hub_queries.rows(look.connection, name)
    known["in_step"] = not hub_queries.needs_attention(known)
    return render_template("overview.html", **known)


def lanes(flows: Sequence[Row]) -> dict[str, dict[str, Lane]]:
    """The flows by system and direction."""
    systems = dict.fromkeys(flow["system"] for flow in sorted(flows, key=lambda flow: flow["direction"]))
    return {
        system: {
            direction: Lane(system, direction, [
                flow for flow in flows if flow["system"] == system and flow["direction"] == direction])
            for direction in ("in", "out")
        }
        for system in sorted(systems, reverse=True)
    }  # fmt: skip


def mirrored(flows: Sequence[Row]) -> dict[str, int]:
    """How many records of each system are in their mirrors."""
    sets: dict[tuple[str, str], Any] = {(flow["system"], flow["entity_set"]): flow["mirrored"] for flow in flows}
    return {system: sum(n for (owner, _), n in sets.items() if owner == system) for system in {s for s, _ in sets}}


def bars(movement: dict[int, int]) -> Iterator[Bar]:
    """The last hour from left to right, the highest minute as high as the picture."""
    highest = max(movement.values(), default=0)
    for minute in range(_MINUTES - 1, -1, -1):
        changes = movement.get(minute, 0)
        if changes:
            yield Bar((_MINUTES - 1 - minute) * 10, max(2.0, round(40 * changes / highest, 1)), changes)
