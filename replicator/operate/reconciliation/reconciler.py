"""One reconciliation from the reading to the last comparison, and what it found, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from replicator.core.mark import CONSUMER
from replicator.cycle import Cycle
from replicator.errors import ReplicatorError, Terminal, Transient
from replicator.hub.restored import catch_up
from replicator.hub.states import BY_NAME
from replicator.inbound.load import SnapshotResult
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.operate.reconciliation.comparison import Comparison, Rows
from replicator.operate.reconciliation.report import explain
from replicator.world import World


@dataclass
class ReconcileResult:
    """What a reconciliation found. ``records`` are the first of the differences; the counts are of all."""

    read: Rows = field(default_factory=list)
    """By entity set: what the whole read showed that the hub did not know."""
    not_read: Rows = field(default_factory=list)
    differences: dict[str, int] = field(default_factory=dict)
    records: Rows = field(default_factory=list)
    explained: dict[str, int] = field(default_factory=dict)
    """What a row says already, or what is under way: counts by what it says."""
    held_deletes: dict[str, int] = field(default_factory=dict)
    rejected_deletes: dict[str, int] = field(default_factory=dict)
    """Records that stay in the hub although their system shows them no more: a person rejected their delete."""
    unlinked: Rows = field(default_factory=list)
    unlinked_records: Rows = field(default_factory=list)
    repaired: int = 0
    """How many records a repair has mended."""
    left: dict[str, int] | None = None
    """After a repair: what is still different. None where nothing was to be repaired."""
    left_records: Rows = field(default_factory=list)
    paused: list[str] = field(default_factory=list)
    """Flows, systems and directions that are paused: nothing of them is mended."""
    transient: bool = False
    """A part of a system could not be looked at, and may be later."""

    @property
    def in_step(self) -> bool:
        """Whether nothing differs, or nothing any more."""
        return not any((self.differences if self.left is None else self.left).values()) and not self.not_read

    @property
    def settled(self) -> bool:
        """Whether, besides, nothing that is told apart waits for anything or anybody."""
        waiting = (kind for kind, count in self.explained.items() if count and not _is_settled(kind))
        return self.in_step and not any(waiting) and not any(self.held_deletes.values())


def _is_settled(kind: str) -> bool:
    return BY_NAME[kind.replace(" ", "_")].settled


def concerned(compiled: Compiled, entity: str | None) -> list[CompiledMap]:
    """The maps of an entity and of its parts; of all, where none is named."""
    if entity is None:
        return list(compiled.maps)
    entities = compiled.schema.entities
    if entity not in entities:
        raise Terminal(f"there is no entity '{entity}'", hint=f"one of {', '.join(sorted(entities))}")
    roots = {name: compiled.schema.parent_field(each) for name, each in entities.items()}
    wanted = {entity, *(name for name, root in roots.items() if root and root[1].reference == entity)}
    return [flow for flow in compiled.maps if flow.mapping.entity.entity in wanted]


class Reconciliation:
    """Reads, compares, repairs; the caller holds the lead."""

    def __init__(self, world: World, connection: sa.Connection, entity: str | None = None) -> None:
        self.world = world
        self.maps = concerned(world.compiled, entity)
        self.comparison = Comparison(connection, world.compiled, self.maps)
        self.cycle = Cycle(world, connection)
        self.only = None if entity is None else {str(each.mapping.entity_set) for each in self.maps}

    def run(self, *, repair: bool, limit: int) -> ReconcileResult:
        """Everything; without ``repair`` nothing is sent."""
        self.comparison.prepare()
        self.cycle.prepare()
        self.cycle.read(whole=True, only=self.only)
        self.cycle.merge()
        catch_up(self.cycle.connection, CONSUMER)
        found = self._read()
        self._compare(found, limit)
        if repair and (found.differences or found.explained):
            self._repair(found, limit)
        return found

    def _read(self) -> ReconcileResult:
        found = ReconcileResult()
        for name, read in self.cycle.reads.items():
            if isinstance(read, ReplicatorError):
                found.not_read.append({"entity_set": name, "problem": read.message})
                found.transient |= isinstance(read, Transient)
            else:
                found.read.append({"entity_set": name, **_news(read)})
        return found

    def _compare(self, found: ReconcileResult, limit: int) -> None:
        self.comparison.compare(self.world.watcher.comparing)
        found.differences = self.comparison.counts(explained=False)
        found.explained = self.comparison.counts(explained=True) | self.comparison.beside()
        found.paused = self.comparison.paused()
        found.held_deletes = self.comparison.absent("held")
        found.rejected_deletes = self.comparison.absent("rejected")
        found.records = [explain(row) for row in self.comparison.records(limit)]
        found.unlinked = self.comparison.unmatched()
        found.unlinked_records = self.comparison.some_unmatched(limit)

    def _repair(self, found: ReconcileResult, limit: int) -> None:
        """By the path of every change: mark, merge, deliver, within the budgets; then look again."""
        to_repair = self.comparison.ask()
        self.cycle.settle()
        self.comparison.compare(self.world.watcher.comparing)
        found.repaired = to_repair - self.comparison.not_repaired()
        found.left = self.comparison.counts(explained=False)
        found.left_records = [explain(row) for row in self.comparison.records(limit)]
        found.explained = self.comparison.counts(explained=True) | self.comparison.beside()


def _news(taken: SnapshotResult) -> dict[str, Any]:
    return {
        "rows": taken.rows, "new": taken.inserted, "changed": taken.updated, "gone": taken.deleted,
        "held": taken.held, "quarantined": taken.quarantined,
    }  # fmt: skip
