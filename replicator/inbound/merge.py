"""Merge: what common should hold according to a mirror against what it holds, applied by SQL, set by set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert, psycopg
from sqlalchemy.exc import IntegrityError

from replicator.core.claim import Claimed, Shown, State, claim_records, each_half, settle_all, show, to_do
from replicator.core.deferred_deletes import joined_to_go
from replicator.core.desired_row import DesiredRow
from replicator.core.diff import INCOMPLETE, SETTLED, claim, diff, is_to_go, set_columns
from replicator.core.flows import note_success
from replicator.core.hub_handle import Handle
from replicator.core.linking import linking, pass_on, shows_unpaired
from replicator.core.mark import mark_roots_of, mark_through
from replicator.core.mirror import set_origin
from replicator.core.unread_parts import part_to_be_read
from replicator.core.why_not_written import shown
from replicator.hub.planner import analyze, enough_memory, prefer_whole_joins, thought_small
from replicator.hub.statements import built_once
from replicator.hub.sync_tables import delivery
from replicator.inbound.field_conflicts import Conflicts, shown_columns
from replicator.inbound.key_conflicts import blocking, claim_rivals, key_conflicts, moves_keys, parking, refused
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import DesiredView
from replicator.mapping.missing_parts import TROUBLED

_BATCH = 50_000
_PARTING = ("delete", "set", "unlink")
"""Actions after which the record has no counterpart."""
_dialect = psycopg.dialect()  # type: ignore[no-untyped-call]


@dataclass
class MergeResult:
    """What a merge did. Counts of common records; ``progress`` says whether anything moved, ``left`` how many entities
    have more to merge than went into this pass."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    settled: int = 0
    waiting: int = 0
    again: int = 0
    """What parted from its counterpart, and is looked at once more for why."""
    left: int = 0

    @property
    def progress(self) -> bool:
        return bool(self.created or self.updated or self.deleted)

    @property
    def goes_on(self) -> bool:
        """Whether a further pass may find something to do."""
        return self.progress or bool(self.left or self.again)

    def add(self, other: MergeResult) -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class Merges:
    """Merges marked records of every inbound map, parents before children."""

    def __init__(self, hub: Handle) -> None:
        self.hub = hub
        self._places: dict[str, int] = {}
        """By map: up to which record the pending ones have been merged, where they did not fit into a pass."""
        self._sweeps = Counter[str]()
        self._may_link: dict[str, bool] = {}
        """By map: whether common held a record without a counterpart when the sweep over it began."""
        self._again = False

    @property
    def rounds(self) -> int:
        """How often the map that was at it most often has begun to merge its records."""
        return max(self._sweeps.values(), default=0)

    def merge(self, *, again: bool) -> MergeResult:
        """One pass over all inbound maps; ``again`` tests the blocked records once more.

        Of each map a bounded number of pending records goes into one pass, so that many of one keep no other waiting.
        While some are left, what needs them waits for them, and the blocked ones are tested when none is.
        """
        total = MergeResult()
        left: set[str] = set()
        again = again or self._again
        waiting = to_do(self.hub.connection)
        for flow in self.hub.compiled.inbound():
            if flow.parents & left:
                continue
            here = waiting[self.hub.id_of(flow)]
            if here.pending:
                total.add(self._merge_pending(flow))
            else:
                self._places.pop(flow.name, None)
            if flow.name in self._places:
                left.add(flow.mapping.entity.entity)
            elif not left and (again or total.progress) and (here.blocked or total.waiting):
                total.add(self._merge_blocked(flow))
        self._again = bool(left) and (again or total.progress)
        total.left = len(left)
        return total

    def _merge_pending(self, flow: CompiledMap) -> MergeResult:
        """A slice of a map's pending records."""
        after = self._places.pop(flow.name, 0)
        self._sweeps[flow.name] += not after
        merged, place = self._merge_batch(flow, "pending", after)
        if place is not None or after:  # what was marked behind the place is looked at in another sweep
            self._places[flow.name] = place or 0
        return merged

    def _merge_blocked(self, flow: CompiledMap) -> MergeResult:
        """All records of a map that wait for others."""
        total = MergeResult()
        self._sweeps[flow.name] += 1
        place: int | None = 0
        while place is not None:
            merged, place = self._merge_batch(flow, "blocked", place)
            total.add(merged)
        return total

    def _merge_batch(self, flow: CompiledMap, state: State, after: int) -> tuple[MergeResult, int | None]:
        """One batch of a map's records, from the one after ``after`` on; and the last of them, if more may come."""
        map_id = self.hub.id_of(flow)
        with self.hub.leading():
            if self._parts_to_be_read(flow):
                return MergeResult(), None
            claimed = claim_records(self.hub.connection, map_id, [state], after=after, limit=_BATCH)
            if not claimed.records:
                return MergeResult(), None
            place = claimed.last if claimed.records == _BATCH else None
            set_origin(self.hub.connection, f"merge:{flow.mapping.system}")
            if not after:
                self._may_link[flow.name] = claimed.few or self.hub.execute(shows_unpaired(flow.view)).scalar_one()
            merged = self._merge_claimed(flow, claim_rivals(self.hub, flow, claimed))
            if merged.progress:
                note_success(self.hub.connection, map_id)
            return merged, place

    def _parts_to_be_read(self, flow: CompiledMap) -> bool:
        """Parts of a new generation take the place of those of the former one, so they have to be read by then."""
        of_wholes = (part for part in self.hub.compiled.schema.part_sets if part.mapping == flow.mapping)
        waits = any(lineage.columns for lineage in flow.view.lineages)
        return waits and any(part_to_be_read(self.hub.connection, part) for part in of_wholes)

    def _merge_claimed(self, flow: CompiledMap, claimed: Claimed) -> MergeResult:
        def work(some: Claimed) -> MergeResult:
            return _MapMerge(self.hub, flow, some, may_link=some.few or self._may_link[flow.name]).run()

        total = MergeResult()
        for merged in each_half(
            self.hub.connection, self.hub.id_of(flow), claimed, work, rejected=MergeResult(waiting=1)
        ):
            total.add(merged)
        return total


@built_once
def _work(view: DesiredView) -> sa.TableClause:
    """The temporary table of the diff."""
    names = [column.name for column in view.columns]
    return sa.table(
        "work", *(sa.column(name) for name in ("record_id", "source_id", "target_id", "action", "changed",
                                               "record", "reason", "verdict")),
        sa.column("waits_for", sa.ARRAY(sa.Text)), sa.column("later", sa.ARRAY(sa.Text)),
        *(sa.column(name, view.target.c[name].type) for name in names),
        *shown_columns(view),
    )  # fmt: skip


def _into_work(query: sa.Select[Any]) -> str:
    """The statement that fills it: SQLAlchemy keeps no compiled DDL."""
    return str(sa.CreateTableAs(query, "work", temporary=True).compile(dialect=_dialect))


_few_into_work = built_once(_into_work)


class _MapMerge:
    """One set of claimed records of one map, inside a transaction."""

    def __init__(
        self,
        hub: Handle,
        flow: CompiledMap,
        claimed: Claimed,
        *,
        may_link: bool,
    ) -> None:
        self.hub, self.flow, self.may_link = hub, flow, may_link
        self.view: DesiredView = flow.view
        self.claimed = claimed
        self.work = _work(self.view)
        self.conflicts = Conflicts(hub, flow, self.work)

    def run(self) -> MergeResult:
        """Link, diff, apply, settle."""
        if not self.claimed.few:
            enough_memory(self.hub.connection)
            if thought_small(self.hub.connection, self.view.target.fullname, self.claimed.records):
                prefer_whole_joins(self.hub.connection)
        passed = pass_on(self.hub, self.flow)
        linked = list(self.hub.execute(linking(self.view, self.claimed)).scalars()) if self.may_link else []
        self.conflicts.prepare()
        actions = self._make_work()
        if "recreate" in actions and self._part_lost():
            self.hub.execute(sa.text("drop table work"))
            actions = self._make_work()
        if actions & {"create", "update"}:
            for statement in key_conflicts(self.view, self.work):
                self.hub.execute(statement)
        gone = self._remove(actions)
        updated = self._update() if "update" in actions else 0
        created = self._create() if "create" in actions else 0
        self.conflicts.note()
        self._mark_through(linked)
        mark_through(self.hub, self.view.link, passed, parts=True)
        merged = self._settle(actions)
        self.hub.execute(sa.text("drop table work"))
        analyze(self.hub.connection, created, self.view.target, self.view.link)
        return MergeResult(
            created, gone.updated + updated, gone.deleted, merged.settled, merged.waiting, again=merged.again
        )

    def _make_work(self) -> set[str]:
        """The diff of the claimed records as a temporary table; the actions in it, so that no other step is taken."""
        query = diff(self.view, self.hub.id_of(self.flow), self.claimed)
        into_work = _few_into_work if self.claimed.few else _into_work
        self.hub.connection.exec_driver_sql(into_work(query))
        self.hub.execute(sa.text("analyze work (record_id, source_id, target_id, action)"))
        return set(self.hub.execute(sa.text("select distinct action from work")).scalars())

    def _part_lost(self) -> bool:
        """Pairs whose common record is gone end where a person asked for the record: it is made anew then."""
        work, link = self.work, self.view.link
        mine = sa.and_(delivery.c.map_id == self.hub.id_of(self.flow), delivery.c.record_id == work.c.record_id)
        lost = sa.select(work.c.source_id).where(work.c.action == "recreate", sa.exists().where(mine, delivery.c.asked))
        over = sa.update(link).values(ended_at=sa.func.sync.now())
        return bool(self.hub.execute(over.where(link.c.mirror_id.in_(lost), link.c.ended_at.is_(None))).rowcount)

    def _remove(self, actions: set[str]) -> MergeResult:
        """Delete what is to go, or what stands for it here."""
        updated = deleted = 0
        if "delete" in actions:
            self._still_needed()
            updated = self._let_go()
            deleted = self._delete()
        if "set" in actions:
            updated += self._set_instead()
        if actions.intersection(_PARTING):
            self._part()
        return MergeResult(updated=updated, deleted=deleted)

    def _block(self, which: sa.ColumnElement[bool], why: sa.ColumnElement[str]) -> None:
        self.hub.execute(blocking(self.work, which, why))

    def _still_needed(self) -> None:
        """A record that others of the common model point at cannot go before them."""
        for child, column in self._references():
            pointing = child.alias("child").c[column] == self.work.c.target_id
            same_set = sa.and_(self.work.c.action == "delete", sa.exists().where(pointing))
            self._block(same_set, sa.literal(f"the {child.name} records that still point at it"))

    def _let_go(self) -> int:
        """Of several that are to go and point at each other, none could go first: they let go of each other."""
        target, work, count = self.view.target, self.work, 0
        waiting = sa.select(work.c.target_id).where(work.c.action == "blocked", is_to_go(self.view, work))
        for reference in self.view.references:
            for joined in joined_to_go(self.hub.compiled, self.flow, reference) if reference.later else ():
                column = target.c[reference.column]
                apart = sa.update(target).values({column: None}).where(
                    target.c.id.in_(waiting), target.c.id.in_(joined)
                )  # fmt: skip
                count += self.hub.execute(apart).rowcount
        return count

    def _references(self) -> Iterator[tuple[sa.Table, str]]:
        for child in self.hub.compiled.tables.common.values():
            for key in child.foreign_keys:
                if key.column.table is self.view.target:
                    yield child, key.parent.name

    def _create(self) -> int:
        """Insert the new records and pair them with their source, which their business key tells."""
        try:
            with self.hub.connection.begin_nested():
                return self.hub.execute(self._insert()).rowcount
        except (
            IntegrityError
        ):  # a common record has one of the keys; asking for each beforehand costs half as much again
            paired = self.hub.execute(self._insert(around=True)).rowcount
            self.hub.execute(refused(self.view, self.work))
            return paired

    def _insert(self, *, around: bool = False) -> sa.Insert:
        """The new records and their pairs; ``around`` leaves out those whose key a common record has."""
        work, view, target = self.work, self.view, self.view.target
        names = [column.name for column in view.columns]
        keys = [column.name for column in view.columns if column.is_key]
        wanted = work.c.action == "create"
        rows = insert(target).from_select(names, sa.select(*(work.c[name] for name in names)).where(wanted))
        rows = rows.on_conflict_do_nothing() if around else rows
        created = rows.returning(target.c.id, *(target.c[key] for key in keys)).cte("created")
        same = sa.and_(wanted, *(created.c[key] == work.c[key] for key in keys))
        pairs = sa.select(work.c.source_id, created.c.id).join_from(created, work, same)
        return sa.insert(view.link).from_select(["mirror_id", "common_id"], pairs)

    def _update(self) -> int:
        if moves_keys(self.view):
            self.hub.execute(parking(self.view, self.work))
        work, target = self.work, self.view.target
        values = {column.name: work.c[column.name] for column in self.view.columns if column.write == "always"}
        statement = sa.update(target).values(values)
        wanted = statement.where(target.c.id == work.c.target_id, work.c.action == "update")
        return self.hub.execute(wanted).rowcount

    def _set_instead(self) -> int:
        """Deletes at the master that become an update here."""
        values = set_columns(self.view)
        target, work = self.view.target, self.work
        return self.hub.execute(
            sa.update(target).values(values).where(target.c.id == work.c.target_id, work.c.action == "set")
        ).rowcount

    def _delete(self) -> int:
        target = self.view.target
        removed = sa.select(self.work.c.target_id).where(self.work.c.action == "delete")
        return self.hub.execute(sa.delete(target).where(target.c.id.in_(removed))).rowcount

    def _part(self) -> None:
        """The pairs of records that are gone end."""
        work, view = self.work, self.view
        over = sa.select(work.c.source_id).where(work.c.action.in_(_PARTING))
        self.hub.execute(
            sa.update(view.link).values(ended_at=sa.func.sync.now())
            .where(view.link.c.mirror_id.in_(over), view.link.c.ended_at.is_(None))
        )  # fmt: skip

    def _mark_through(self, linked: Sequence[int]) -> None:
        """Tell the maps that read through this crosswalk without waiting for it."""
        moved = self.work.c.action.in_(["create", *_PARTING])
        ids = self.hub.execute(sa.select(self.work.c.source_id).where(moved)).scalars() if self._is_read else ()
        mark_through(self.hub, self.view.link, [*linked, *ids])

    @property
    def _is_read(self) -> bool:
        return any(self.view.link in flow.view.paths.soft_links for flow in self.hub.compiled.maps)

    def _newly_in_trouble(self, outcomes: Sequence[Shown]) -> list[int]:
        """Records that were merged, or never looked at, and cannot be merged as they are now."""
        now = [each.record_id for each in outcomes if each.state in TROUBLED]
        if not now:
            return []
        before = sa.select(claim.c.record_id).where(sa.cast(claim.c.state, sa.Text).in_(TROUBLED))
        known = set(self.hub.execute(before).scalars())
        return [record for record in now if record not in known]

    def _settle(self, actions: set[str]) -> MergeResult:
        work, map_id = self.work, self.hub.id_of(self.flow)
        if any(reference.later for reference in self.view.references):
            self.hub.execute(
                sa.update(work).values(action=INCOMPLETE)
                .where(work.c.action.in_(["create", "update"]), work.c.later.is_not(None))
            )  # fmt: skip
        done = (*SETTLED, "create", "update", *_PARTING)
        again = self._look_again() if actions.intersection(_PARTING) else 0
        finished = sa.select(work.c.record_id).where(work.c.action.in_(done))
        settled = settle_all(self.hub.connection, map_id, self.claimed, finished)
        columns = (work.c.record_id, work.c.action, work.c.record, work.c.reason, work.c.waits_for, work.c.later)
        rows: list[Any] = list(self.hub.execute(sa.select(*columns).where(work.c.action.not_in(done))))
        key = [column.name for column in self.view.columns if column.is_key]
        outcomes = [outcome for row in rows if (outcome := shown(DesiredRow(*row), key)) is not None]
        if self.flow.mapping.entity.part_of is not None:
            mark_roots_of(self.hub, self.flow, self._newly_in_trouble(outcomes))
        show(self.hub.connection, map_id, outcomes)
        return MergeResult(settled=settled, waiting=len(outcomes), again=again)

    def _look_again(self) -> int:
        """What parted and is shown still is left out, or history: pending, for that to be said; how many there are."""
        work, source = self.work, self.view.source
        shown_still = sa.and_(work.c.action.in_(_PARTING), source.c.id == work.c.source_id)
        self.hub.execute(sa.update(work).values(action="parted").where(shown_still))
        parted = sa.select(work.c.record_id).where(work.c.action == "parted")
        mine = sa.and_(delivery.c.map_id == self.hub.id_of(self.flow), delivery.c.record_id.in_(parted))
        pending = sa.update(delivery).where(mine).values(state=sa.cast("pending", delivery.c.state.type))
        return self.hub.execute(pending).rowcount
