"""References that come later, at a target that refuses rings and the delete of what is still pointed at.

A record goes under another only when that one, and all above it, stand in the target where they belong: until then it
is written without. So no order of requests makes a ring that the new tree does not have, and two passes do for any
depth. A record is deleted when none points at it any more; those that are to go let go of each other first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from replicator.core.claim import claim_selected
from replicator.core.deferred_deletes import joined_to_go
from replicator.core.desired_row import DesiredRow
from replicator.core.diff import desired_of_claim, is_to_go
from replicator.core.hub_handle import Handle
from replicator.hub.sync_tables import delivery
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import ReferenceColumn
from replicator.mapping.join_paths import PointedTable
from replicator.mapping.key_comparison import comparable, same_values
from replicator.outbound.decide import Deferred, Moving


class DeferredReferences:
    """Says of one system's records what has to be left out of a write for now, or deleted later."""

    def __init__(self, hub: Handle) -> None:
        self.hub = hub
        self._moving: list[Moving] = []

    def begin(self, flow: CompiledMap) -> None:
        """Before a pass over a map: note what has still to move. Our own writes only make that less."""
        self._moving = []
        for reference, pointed in _to_itself(flow):
            with self.hub.leading():
                below = self._below_moving(flow, reference.column, pointed)
            self._moving.append(Moving(reference.column, [own for own, _ in pointed.columns], below))

    def of(self, flow: CompiledMap, rows: Sequence[DesiredRow]) -> Deferred:
        """What of these rows of the diff has to wait."""
        to_go = [row.target_id for row in rows if row.action == "delete" and row.target_id is not None]
        pointed = self._pointed_at(flow, to_go)
        return Deferred(self._moving, pointed, self._to_let_go(flow, list(pointed)) if pointed else {})

    def _below_moving(self, flow: CompiledMap, column: str, pointed: PointedTable) -> dict[tuple[object, ...], str]:
        """Records of the target whose reference has to change, and all that point at them, directly or not."""
        moving = self._to_move(flow, column)
        if not moving:
            return {}
        target = flow.view.target
        start = sa.select(target.c.id).where(target.c.id == sa.any_(sa.literal(moving, sa.ARRAY(sa.BigInteger))))
        below = start.cte("below", recursive=True)
        child, parent = target.alias("child"), target.alias("parent")
        pointing = same_values(child, parent, pointed.columns)
        below = below.union(
            sa.select(child.c.id).select_from(below.join(parent, parent.c.id == below.c.id).join(child, pointing))
        )
        called = flow.view.paths.label(target, flow.mapping.entity_set)
        key = [target.c[other] for _, other in pointed.columns]
        named = sa.select(called.label("called"), *key).join(below, below.c.id == target.c.id)
        entity = flow.mapping.entity.entity
        return {comparable(tuple(row[1:])): f"{entity} {row.called}" for row in self.hub.execute(named)}

    def _to_move(self, flow: CompiledMap, column: str) -> list[int]:
        """Ids of the target's records that point somewhere else than they should."""
        view, t = flow.view, flow.view.target.alias("t")
        linked = view.link.join(t, t.c.id == view.link.c.mirror_id)
        here = sa.and_(view.link.c.common_id == delivery.c.record_id, view.link.c.ended_at.is_(None))
        under_way = sa.select(delivery.c.record_id, delivery.c.marked, delivery.c.state).where(
            delivery.c.map_id == self.hub.id_of(flow),
            sa.exists().select_from(linked).where(here, t.c[column].is_not(None)),
        )
        claimed = claim_selected(self.hub.connection, under_way)
        if not claimed.records:
            return []
        span = None if claimed.few else (claimed.first, claimed.last)
        joined, v = desired_of_claim(view, span, by_root=False, outer=False)
        followed = sa.or_(v.c.verdict != "not eligible", is_to_go(view, v))
        differs = t.c[column].is_distinct_from(v.c[column])
        statement = sa.select(t.c.id).select_from(joined.join(t, t.c.id == v.c.target_id)).where(differs, followed)
        return list(self.hub.execute(statement).scalars())

    def _pointed_at(self, flow: CompiledMap, ids: Sequence[int]) -> dict[int, list[str]]:
        """Which of these records of the target others point at, and who has to let go.

        Looked at where a reference that comes later is involved; everything else goes by the order of dependency.
        """
        waits: dict[int, list[str]] = defaultdict(list)
        knotted = any(reference.later for reference in flow.view.references)
        for other in self.hub.compiled.beside(flow) if ids else ():
            involved = (each for each in other.view.references if each.later or knotted)
            for pointed in dict.fromkeys(pointed for reference in involved for pointed in reference.points_at):
                if pointed.table is flow.view.target:
                    self._name_pointing(other, pointed, ids, waits)
        return waits

    def _name_pointing(
        self, other: CompiledMap, pointed: PointedTable, ids: Sequence[int], waits: dict[int, list[str]]
    ) -> None:
        child, parent = other.view.target.alias("child"), pointed.table.alias("parent")
        label = other.view.paths.label(child, other.mapping.entity_set)
        pointing = same_values(child, parent, pointed.columns)
        itself = child.c.id == parent.c.id if other.view.target is pointed.table else sa.false()
        found = (
            sa.select(parent.c.id, sa.func.min(label).label("first"), sa.func.count().label("children"))
            .join_from(parent, child, pointing)
            .where(parent.c.id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.BigInteger))), sa.not_(itself))
            .group_by(parent.c.id)
        )
        for row in self.hub.execute(found):
            more = f" and {row.children - 1} more" if row.children > 1 else ""
            mapping = other.mapping
            waits[row.id].append(f"{mapping.entity.entity} {row.first}{more} in {mapping.system} to let go of it")

    def _to_let_go(self, flow: CompiledMap, ids: Sequence[int]) -> dict[int, list[str]]:
        """The columns by which these records, which are to go, point at others that are to go."""
        columns: dict[int, list[str]] = defaultdict(list)
        for reference in flow.view.references:
            for joined in joined_to_go(self.hub.compiled, flow, reference) if reference.later else ():
                held = joined.where(joined.selected_columns.id == sa.any_(sa.literal(ids, sa.ARRAY(sa.BigInteger))))
                for record in self.hub.execute(held).scalars():
                    columns[record].append(reference.column)
        return columns


def _to_itself(flow: CompiledMap) -> Iterator[tuple[ReferenceColumn, PointedTable]]:
    """The references that come later and point at records of the same entity set."""
    for reference in flow.view.references:
        for pointed in reference.points_at if reference.later else ():
            if pointed.table is flow.view.target:
                yield reference, pointed
