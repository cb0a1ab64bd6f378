"""What a merge found out about fields that either side may change: conflicts noted, bases moved, the system told.

The diff has worked out the outcome of each field (``core/bidirectional.py``): ``new`` and ``taken`` give common the
system's value, ``same`` needs nothing, with ``stands`` common keeps its own, and ``conflict`` goes by the field's word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from replicator.core.bidirectional import ASK, as_text
from replicator.core.diff import claim
from replicator.core.hub_handle import Handle
from replicator.core.mark import marking_of
from replicator.core.merge_base import agree
from replicator.hub.statements import built_once
from replicator.hub.sync_tables import base, conflict, delivery
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import DesiredView

Statement = sa.Insert | sa.Update
_MERGED = ("create", "update", "none")
"""Actions after which the record is merged; a record that waits or is rejected has decided nothing yet."""
_PARTED = ("delete", "set", "unlink", "gone")


def shown_columns(view: DesiredView) -> Iterator[sa.ColumnClause[Any]]:
    """The columns that the diff adds for such fields."""
    for name in view.either:
        kind = view.target.c[name].type
        yield sa.column(f"outcome_{name}", sa.Text())
        yield sa.column(f"side_{name}", kind)
        yield sa.column(f"common_{name}", kind)


class Conflicts:
    """One set of claimed records of one map, inside the transaction of their merge."""

    def __init__(self, hub: Handle, flow: CompiledMap, work: sa.TableClause) -> None:
        self.hub, self.flow, self.work, self.view = hub, flow, work, flow.view

    def prepare(self) -> None:
        """Lock the common records: what a person writes between the diff and its update would be lost."""
        if self.view.either:
            self.hub.execute(_locked(self.view))
            self._own_writes()

    def _own_writes(self) -> None:
        """A write whose answer was lost may be what the system shows now: then it is no change of the system's own."""
        outward = self.hub.compiled.opposite(self.flow)
        if outward is None:
            return
        sent = self.hub.execute(_sent(outward.view, self.hub.marked_id(outward))).scalars()
        written = [each for identity in sent for each in identity or ()]
        agreed = [(each["record_id"], each.get("agreed", {})) for each in written if each["map"] == outward.name]
        agree(self.hub.connection, outward.view, agreed, certain=False)

    def note(self) -> None:
        """Write down what became of each field, and let the system hear where common stands against it."""
        if not self.view.either:
            return
        mine = self.flow.mapping
        others = tuple(
            other.view
            for other in self.hub.compiled.inbound()
            if other.mapping.entity == mine.entity and other.mapping.system != mine.system
        )
        outward = self.hub.compiled.opposite(self.flow)
        marked = None if outward is None else (outward.view, self.hub.marked_id(outward))
        for statement in _noting(self.view, self.work, self.hub.id_of(self.flow), others, marked):
            self.hub.execute(statement)


@built_once
def _locked(view: DesiredView) -> sa.Select[Any]:
    target, link = view.target, view.link
    pairs = link.join(claim, claim.c.record_id == link.c.mirror_id)
    held = sa.select(target.c.id).select_from(target.join(pairs, link.c.common_id == target.c.id))
    live = held.where(link.c.ended_at.is_(None)).order_by(target.c.id)
    return live.with_for_update(of=target, key_share=True)


@built_once
def _sent(outward: DesiredView, marked_id: int) -> sa.Select[Any]:
    """What was sent of the claimed records by the map of the other direction, and not answered."""
    link = outward.link
    pairs = link.join(claim, sa.and_(claim.c.record_id == link.c.mirror_id, link.c.ended_at.is_(None)))
    here = link.c["root_id" if outward.root_column else "common_id"]
    return (
        sa.select(delivery.c.identity).distinct().join_from(delivery, pairs, delivery.c.record_id == here)
        .where(delivery.c.map_id == marked_id, delivery.c.state == sa.literal_column("'unknown'"))
    )  # fmt: skip


@built_once
def _noting(
    view: DesiredView, work: sa.TableClause, map_id: int, others: tuple[DesiredView, ...],
    outward: tuple[DesiredView, int] | None,
) -> tuple[Statement, ...]:  # fmt: skip
    return tuple(_Noting(view, work, map_id, others).statements(outward))


@dataclass(frozen=True)
class _Noting:
    """The statements that note what the merges of one map found out. ``others`` are those of other systems."""

    view: DesiredView
    work: sa.TableClause
    map_id: int
    others: Sequence[DesiredView]

    def statements(self, outward: tuple[DesiredView, int] | None) -> Iterator[Statement]:
        for name, winner in self.view.either.items():
            yield self._over(name, winner)
            yield self._met(name, winner)
            yield self._heard_elsewhere(name)
            yield self._agreed(name, winner)
        if outward is not None:
            yield self._marked_outward(*outward)

    def _outcome(self, name: str, *wanted: str) -> sa.ColumnElement[bool]:
        return sa.and_(self.work.c.action.in_(_MERGED), self.work.c[f"outcome_{name}"].in_(wanted))

    def _over(self, name: str, winner: str) -> sa.Update:
        """Open conflicts that are none any more: a side took its change back or is gone, or the policy is another."""
        settled = ("new", "same", "stands", "taken", *(() if winner == ASK else ("conflict",)))
        over = sa.or_(self._outcome(name, *settled), self.work.c.action.in_(_PARTED))
        return (
            sa.update(conflict)
            .values(state="decided", decided_at=sa.func.sync.now(), decided_by="change",
                    decided=as_text(self.work.c[name]))
            .where(conflict.c.map_id == self.map_id, conflict.c.record_id == self.work.c.record_id,
                   conflict.c.field == name, conflict.c.state == sa.literal_column("'open'"), over)
        )  # fmt: skip

    def _met(self, name: str, winner: str) -> Statement:
        """The conflicts: open, or decided at once by the policy."""
        work, system = self.work, self.view.mapping.system
        same_pair = sa.and_(
            base.c.map_id == self.map_id, base.c.record_id == work.c.source_id, base.c.common_id == work.c.target_id,
            base.c.field == name,
        )  # fmt: skip
        row: dict[str, Any] = {
            "map_id": sa.literal(self.map_id), "record_id": work.c.source_id, "common_id": work.c.target_id,
            "entity": sa.literal(self.view.mapping.entity.entity), "record": work.c.record,
            "field": sa.literal(name), "system": sa.literal(system), "base": base.c.common,
            "held": self._held(name), "since": sa.func.sync.now(),
        }  # fmt: skip
        if winner != ASK:
            row |= {
                "state": sa.literal("decided"), "decided_at": sa.func.sync.now(), "decided_by": sa.literal("policy"),
                "decision": sa.literal(system if winner == system else "common"), "decided": as_text(work.c[name]),
            }  # fmt: skip
        rows = sa.select(*row.values()).select_from(work.outerjoin(base, same_pair))
        statement = insert(conflict).from_select(list(row), rows.where(self._outcome(name, "conflict")))
        if winner != ASK:
            return statement
        new = {column: statement.excluded[column] for column in ("record", "base", "held")}
        return statement.on_conflict_do_update(
            index_elements=["map_id", "record_id", "field"],
            index_where=conflict.c.state == sa.literal_column("'open'"),
            set_=new,
            where=sa.or_(*(conflict.c[column].is_distinct_from(value) for column, value in new.items())),
        )

    def _heard_elsewhere(self, name: str) -> sa.Update:
        """What this system holds now, for the open conflict of another one about the same field."""
        system, value = self.view.mapping.system, as_text(self.work.c[f"side_{name}"])
        mine = sa.func.jsonb_build_object(sa.literal(system, sa.Text()), value)
        return (
            sa.update(conflict)
            .values(held=conflict.c.held.op("||", return_type=JSONB())(mine))
            .where(conflict.c.common_id == self.work.c.target_id, conflict.c.state == sa.literal_column("'open'"),
                   conflict.c.entity == self.view.mapping.entity.entity, conflict.c.field == name,
                   conflict.c.system != system, self.work.c.action.in_(_MERGED),
                   conflict.c.held[system].astext.is_distinct_from(value))
        )  # fmt: skip

    def _held(self, name: str) -> sa.ColumnElement[Any]:
        """What common, this system and each other linked one hold, by name."""
        own = sa.func.jsonb_build_object(
            sa.literal("common", sa.Text()), as_text(self.work.c[f"common_{name}"]),
            sa.literal(self.view.mapping.system, sa.Text()), as_text(self.work.c[f"side_{name}"]),
            type_=JSONB,
        )  # fmt: skip
        nothing = sa.cast(sa.literal("{}", sa.Text()), JSONB)
        others = (
            sa.func.coalesce(self._held_at(other, name), nothing) for other in self.others if name in other.either
        )
        return reduce(lambda all_, more: all_.op("||", return_type=JSONB())(more), others, own)

    def _held_at(self, other: DesiredView, name: str) -> sa.ColumnElement[Any]:
        rows, link = other.view.alias("rows"), other.link
        there = sa.select(rows.c[name]).where(rows.c.source_id == link.c.mirror_id)
        one = there.offset(sa.literal_column("0")).correlate(link).lateral("there")
        named = sa.func.jsonb_build_object(sa.literal(other.mapping.system, sa.Text()), as_text(one.c[name]))
        return (
            sa.select(named)
            .select_from(link.join(one, sa.true()))
            .where(link.c.common_id == self.work.c.target_id, link.c.ended_at.is_(None))
            .limit(1).correlate(self.work).scalar_subquery()
        )  # fmt: skip

    def _agreed(self, name: str, winner: str) -> sa.Insert:
        """The base moves to what the system holds: common holds it too now, or stands against it as if changed since.

        A conflict that is left to a person moves nothing.
        """
        link, side = self.view.link, as_text(self.work.c[f"side_{name}"])
        outcomes = ("new", "same", "taken", *(() if winner == ASK else ("conflict",)))
        row: dict[str, Any] = {
            "map_id": sa.literal(self.map_id), "record_id": link.c.mirror_id, "field": sa.literal(name),
            "common_id": link.c.common_id, "common": side, "side": side, "at": sa.func.sync.now(),
        }  # fmt: skip
        pair = sa.and_(link.c.mirror_id == self.work.c.source_id, link.c.ended_at.is_(None))
        rows = sa.select(*row.values()).select_from(self.work.join(link, pair)).where(self._outcome(name, *outcomes))
        statement = insert(base).from_select(list(row), rows)
        new = {column: statement.excluded[column] for column in ("common_id", "common", "side")}
        return statement.on_conflict_do_update(
            index_elements=["map_id", "record_id", "field"],
            set_=new | {"at": statement.excluded["at"]},
            where=sa.or_(*(base.c[column].is_distinct_from(value) for column, value in new.items())),
        )

    def _marked_outward(self, outward: DesiredView, marked_id: int) -> sa.Insert:
        """Where common stands the system has to get its value; the log does not tell of a decided conflict."""
        target = self.view.target
        stands = [
            self._outcome(name, "stands", *(() if winner in (ASK, self.view.mapping.system) else ("conflict",)))
            for name, winner in self.view.either.items()
        ]
        concerned = target.c[outward.root_column or "id"].label("record_id")
        records = sa.select(concerned).join_from(target, self.work, self.work.c.target_id == target.c.id)
        return marking_of(marked_id, records.where(sa.or_(*stands)).distinct())
