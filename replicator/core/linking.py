"""Linking: pairs records with the one record of the target that bears the same business key.

Where generations of a record share a key, the pair passes from the one that counted to the one that counts now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from replicator.core.claim import Claimed
from replicator.core.diff import Span, claim, desired_of_claim, is_counterpart, same_key, sides
from replicator.core.hub_handle import Handle
from replicator.hub.statements import built_once, statements
from replicator.hub.sync_tables import accepted, base
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import DesiredView
from replicator.mapping.generations import Lineage, counts, precedes, rivals

_sql = statements(__name__)
_heir = sa.table("heir", sa.column("record_id", sa.BigInteger()))


def linking(view: DesiredView, claimed: Claimed, *, by_root: bool = False) -> sa.Insert:
    """Pair claimed records that have no counterpart with the one record that bears the same business key.

    Only where nothing else is paired with it, and only where exactly one record on either side bears the key.
    """
    return _linking_of_few(view, by_root) if claimed.few else _linking(view, (claimed.first, claimed.last), by_root)


def pairs_to_renew(view: DesiredView, claimed: Claimed, *, by_root: bool = False) -> sa.Update:
    """End the pairs of claimed records whose counterpart the target lost, where it shows one with their key again."""
    return _renewing_of_few(view, by_root) if claimed.few else _renewing(view, (claimed.first, claimed.last), by_root)


@built_once
def _renewing_of_few(view: DesiredView, by_root: bool) -> sa.Update:
    return _renewing(view, None, by_root)


def _renewing(view: DesiredView, span: Span | None, by_root: bool) -> sa.Update:
    t, lost = view.target.alias("t"), view.target.alias("lost")
    joined, v = desired_of_claim(view, span, by_root=by_root, outer=False)
    gone = sa.not_(sa.exists().where(lost.c.id == v.c.target_id))
    again = sa.select(v.c.target_id).select_from(joined.join(t, is_counterpart(view, t, v))).where(v.c.eligible, gone)
    link, target = view.link, view.link.c[sides(view)[1]]
    return sa.update(link).values(ended_at=sa.func.sync.now()).where(link.c.ended_at.is_(None), target.in_(again))


@built_once
def shows_unpaired(view: DesiredView) -> sa.Select[tuple[bool]]:
    """Whether the target holds any record that is nobody's counterpart: where it holds none, nothing can be linked."""
    t = view.target.alias("t")
    return sa.select(sa.exists(sa.select(t.c.id).where(sa.not_(_paired(view, t)))))


def _paired(view: DesiredView, t: sa.FromClause) -> sa.ColumnElement[bool]:
    side = sides(view)[1]
    return sa.or_(*(sa.exists().where(each.c[side] == t.c.id, each.c.ended_at.is_(None)) for each in view.target_links))


@built_once
def _linking_of_few(view: DesiredView, by_root: bool) -> sa.Insert:
    return _linking(view, None, by_root)


def _linking(view: DesiredView, span: Span | None, by_root: bool) -> sa.Insert:
    t, other = view.target.alias("t"), view.target.alias("other")
    joined, v = desired_of_claim(view, span, by_root=by_root, outer=False)
    link = view.link
    source_side, target_side = sides(view)
    ambiguous = sa.exists().where(same_key(view, other, v), other.c.id != t.c.id)
    paired = _paired(view, t)
    columns = {source_side: v.c.source_id, target_side: t.c.id}
    if view.root_column:
        columns["root_id"] = v.c.root_id
    chosen = (
        sa.select(*columns.values())
        .select_from(joined.join(t, is_counterpart(view, t, v)))
        .where(v.c.target_id.is_(None), v.c.eligible, sa.not_(paired), sa.not_(ambiguous))
    )
    rivals = sa.func.count().over(partition_by=list(columns.values())[1])
    ranked = chosen.add_columns(rivals.label("rivals")).subquery("ranked")
    only = sa.select(*list(ranked.c)[: len(columns)]).where(ranked.c.rivals == 1)
    return sa.insert(link).from_select(list(columns), only).returning(link.c.mirror_id)


def take_over(hub: Handle, flow: CompiledMap) -> list[int]:
    """Pass pairs of parts from records that are gone to the claimed units' new ones with their key; the mirror rows.

    What was left out and is there again before its delete went out is the same part: it is not deleted and made anew.
    """
    rows = hub.execute(_taking_over(flow.view)).all()
    _keep(hub, flow, accepted, rows)
    return [row.mirror_id for row in rows]


@built_once
def _taking_over(view: DesiredView) -> sa.Update:
    t, link, source, rows = view.target.alias("t"), view.link.alias("l"), view.source.alias("s"), view.view.alias("r")
    source_side, target_side = sides(view)
    v = sa.select(rows).where(rows.c.root_id == claim.c.record_id).offset(sa.literal_column("0")).lateral("v")
    left_out = sa.and_(
        link.c.root_id == claim.c.record_id,
        link.c.ended_at.is_(None),
        sa.not_(sa.exists().where(source.c.id == link.c[source_side])),
    )
    start = claim.join(link, left_out).join(t, t.c.id == link.c[target_side])
    again = start.join(v, sa.and_(same_key(view, t, v), v.c.target_id.is_(None)))
    heir, taken = v.c.source_id, link.c[target_side]
    alone = [sa.func.count().over(partition_by=column).label(name) for column, name in ((heir, "of"), (taken, "by"))]
    pairs = sa.select(heir.label("heir"), link.c[source_side].label("former"), taken.label("taken"), *alone)
    chosen = pairs.select_from(again).subquery("chosen")
    crosswalk = view.link
    return (
        sa.update(crosswalk)
        .values({source_side: chosen.c.heir})
        .where(crosswalk.c[target_side] == chosen.c.taken, crosswalk.c.ended_at.is_(None))
        .where(chosen.c.of == 1, chosen.c.by == 1)
        .returning(crosswalk.c.mirror_id, chosen.c.heir, chosen.c.former)
    )


def _keep(hub: Handle, flow: CompiledMap, table: sa.Table, rows: Sequence[sa.Row[Any]]) -> None:
    """What ``table`` holds of the former records of passed pairs is their heirs' now."""
    if not rows:
        return
    ids = [sa.literal([getattr(row, name) for row in rows], sa.ARRAY(sa.BigInteger)) for name in ("heir", "former")]
    columns = sa.column("heir", sa.BigInteger()), sa.column("former", sa.BigInteger())
    pairs = sa.func.unnest(*ids).table_valued(*columns, name="pairs").render_derived()
    own = table.c.map_id == hub.id_of(flow)
    hub.execute(sa.delete(table).where(own, table.c.record_id == pairs.c.heir))
    hub.execute(sa.update(table).values(record_id=pairs.c.heir).where(own, table.c.record_id == pairs.c.former))


def pass_on(hub: Handle, flow: CompiledMap) -> list[int]:
    """Pass pairs from records that are history, or gone, to the claimed ones that count; the mirror rows that got one.

    The common record stays what it is, with its counterparts everywhere. What was agreed on for fields that either side
    may change is kept, so that a later generation that says something else has changed it.
    """
    passed: list[int] = []
    for lineage in flow.view.lineages:
        rows = _pass(hub, flow.view, lineage)
        passed += [row.mirror_id for row in rows]
        if flow.view.either:
            _keep(hub, flow, base, rows)
    return passed


def _pass(hub: Handle, view: DesiredView, lineage: Lineage) -> Sequence[sa.Row[tuple[int, int, int]]]:
    """Few claimed records are looked up one by one; of many the range of the view that they span is read."""
    size = hub.execute(_sql["claimed"]).one()
    claimed = Claimed(size.records, size.first, size.last)
    if claimed.few:
        return hub.execute(_passing_of_few(view, lineage)).all()
    hub.execute(_sql["make"])
    hub.execute(_sql["clear"])
    may = _may_inherit(view, lineage)
    if not hub.execute(sa.insert(_heir).from_select(["record_id"], sa.select(may.c.record_id))).rowcount:
        return []
    hub.execute(_sql["analyze"])  # the planner guesses how large a part of a statement is, and goes by one
    v = view.view.alias("v")
    within = v.c.source_id.between(claimed.first, claimed.last)
    heirs = _heir.join(v, sa.and_(v.c.source_id == _heir.c.record_id, within))
    return hub.execute(_passing(view, lineage, heirs, v)).all()


@built_once
def _passing_of_few(view: DesiredView, lineage: Lineage) -> sa.Update:
    may = _may_inherit(view, lineage)
    rows = view.view.alias("rows")
    v = sa.select(rows).where(rows.c.source_id == may.c.record_id).offset(sa.literal_column("0")).lateral("v")
    return _passing(view, lineage, may.join(v, sa.true()), v)


def _passing(view: DesiredView, lineage: Lineage, heirs: sa.FromClause, v: sa.FromClause) -> sa.Update:
    """Of ``heirs``: claimed records without a pair that may have a forerunner, with their rows ``v`` of the view."""
    t, link, row, former = view.target.alias("t"), view.link.alias("l"), view.source.alias("s"), view.source.alias("h")
    now, joined_now = lineage.of(row, "now")
    then, joined_then = lineage.of(former, "then")
    start = heirs.join(t, same_key(view, t, v)).join(link, link.c.common_id == t.c.id)
    start = start.join(row, row.c.id == v.c.source_id).outerjoin(former, former.c.id == link.c.mirror_id)
    if lineage.columns:
        start = start.join(now, joined_now).outerjoin(then, joined_then)
    later = precedes(now.c.__getitem__, then.c.__getitem__, lineage.entity_set)
    pairs = (
        sa.select(row.c.id.label("heir"), link.c.mirror_id.label("former"))
        .select_from(start)
        .where(v.c.target_id.is_(None), v.c.eligible, link.c.ended_at.is_(None))
        .where(sa.or_(former.c.id.is_(None), *([then.c.id.is_(None)] if lineage.columns else []), later))
    )
    chosen = pairs.add_columns(sa.func.count().over(partition_by=link.c.mirror_id).label("heirs")).subquery("passing")
    crosswalk = view.link
    return (
        sa.update(crosswalk)
        .values(mirror_id=chosen.c.heir)
        .where(crosswalk.c.mirror_id == chosen.c.former, crosswalk.c.ended_at.is_(None), chosen.c.heirs == 1)
        .returning(crosswalk.c.mirror_id, chosen.c.heir, chosen.c.former)
    )


def _may_inherit(view: DesiredView, lineage: Lineage) -> sa.CTE:
    """Claimed records without a pair that count alone, and have an earlier generation or (any of them) a lost one."""
    row, other, link = view.source.alias("s"), lineage.table.alias("o"), view.link
    now, joined = lineage.of(row, "now")
    start = claim.join(row, row.c.id == claim.c.record_id)
    start = start.join(now, joined) if lineage.columns else start
    ours, others = now.c.__getitem__, other.c.__getitem__
    earlier = sa.exists().where(precedes(ours, others, lineage.entity_set))
    tied = sa.exists().where(rivals(ours, others, lineage.entity_set))
    paired = sa.exists().where(link.c.mirror_id == row.c.id, link.c.ended_at.is_(None))
    wanted = sa.select(claim.c.record_id).select_from(start).where(
        sa.not_(paired), counts(now, lineage.table, lineage.entity_set), sa.not_(tied),
        sa.or_(earlier, _lost(view, lineage)),
    )  # fmt: skip
    return wanted.cte("may_inherit").prefix_with("MATERIALIZED")


def _lost(view: DesiredView, lineage: Lineage) -> sa.ColumnElement[bool]:
    """One of the claimed records is paired and gone, or its root is."""
    under_way, link, there = claim.alias("c"), view.link.alias("lost"), view.source.alias("there")
    whole, joined = lineage.of(there, "its_whole")
    left = there.join(whole, joined) if lineage.columns else there
    kept = sa.exists().select_from(left).where(there.c.id == link.c.mirror_id)
    pairs = under_way.join(link, link.c.mirror_id == under_way.c.record_id)
    return sa.exists().select_from(pairs).where(link.c.ended_at.is_(None), sa.not_(kept)).correlate(None)
