"""The diff: what a record's counterpart should be against what it is, and what follows from that.

One statement per map, the same for both directions; inbound puts its rows into a temporary table and applies them by
SQL, outbound reads them and sends requests.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, array

from replicator.core.bidirectional import Sides
from replicator.core.bidirectional import sides as sides_of
from replicator.core.claim import Claimed
from replicator.core.last_writes import is_noted, sent, sent_before, stored, stored_as, with_notes
from replicator.core.mirror import version_of
from replicator.hub.statements import built_once
from replicator.mapping.desired_views import DesiredView, TargetColumn, match_columns
from replicator.mapping.generations import counts
from replicator.mapping.key_comparison import fold, key_expressions
from replicator.mapping.language import SetFields
from replicator.mapping.literals import constant
from replicator.mapping.schema import column_name

Span = tuple[int, int]
"""The first and the last of many claimed records."""
claim = sa.table(
    "claim", sa.column("record_id", sa.BigInteger()), sa.column("marked", sa.Integer()), sa.column("state", sa.Text())
)
"""The records under way: a temporary table."""

LEFT = "left"
"""The action of a record that its map leaves out now, and whose counterpart is still as it should be."""
HISTORY = "history"
"""The action of a record in whose place another one counts."""
LEFT_BEHIND = "left behind"
"""The action of one that its map leaves out now, and that has changed since it was delivered."""
SETTLED = ("none", "gone", LEFT, "silent")
"""Actions that need nothing done and leave nothing to show."""

_nothing = sa.cast(sa.literal("{}", sa.Text()), JSONB)
INCOMPLETE = "incomplete"
"""The action of a record that is in step but for a reference that comes later."""


def sides(view: DesiredView) -> tuple[str, str]:
    """The crosswalk's columns of the source and of the target."""
    return ("mirror_id", "common_id") if view.mapping.direction == "in" else ("common_id", "mirror_id")


def compared(view: DesiredView) -> list[TargetColumn]:
    """The columns whose difference is a reason to write."""
    outbound = view.mapping.direction == "out"
    return [
        column
        for column in view.columns
        if (column.write == "always" and not (outbound and column.is_key)) or follows_create(column)
    ]


def follows_create(column: TargetColumn) -> bool:
    """Whether it is written once, by the second write to a new record, which alone takes it."""
    return column.withheld and column.write == "on create"


def desired_of_claim(
    view: DesiredView, span: Span | None, *, by_root: bool, outer: bool
) -> tuple[sa.FromClause, sa.FromClause]:
    """The claim joined with the desired rows of its records, and the alias of those.

    PostgreSQL cannot push a join into a view of two branches: it would compute the whole view for ten records. So
    few records (no ``span``) drive the view one by one (the OFFSET keeps the planner from undoing it), many read the
    range of it that they span.
    """
    key = "root_id" if by_root else "source_id"
    v: sa.FromClause
    if span is None:
        rows = view.view.alias("rows")
        v = sa.select(rows).where(rows.c[key] == claim.c.record_id).offset(sa.literal_column("0")).lateral("v")
        return claim.join(v, sa.true(), isouter=outer), v
    v = view.view.alias("v")
    within = v.c[key].between(*span)
    return claim.join(v, sa.and_(v.c[key] == claim.c.record_id, within), isouter=outer), v


def diff(view: DesiredView, map_id: int, claimed: Claimed, *, by_root: bool = False) -> sa.Select[Any]:
    """A row per claimed record: all of the desired view, ``action``, ``changed`` columns and the target's own image.

    ``by_root`` claims by the root instead of the record itself. The target's columns are called ``now_<column>``.
    """
    if claimed.few:
        return _diff_of_few(view, map_id, by_root)
    return _diff(view, map_id, (claimed.first, claimed.last), by_root)


@built_once
def _diff_of_few(view: DesiredView, map_id: int, by_root: bool) -> sa.Select[Any]:
    return _diff(view, map_id, None, by_root)


def _diff(view: DesiredView, map_id: int, span: Span | None, by_root: bool) -> sa.Select[Any]:
    t = view.target.alias("t")
    joined, v = desired_of_claim(view, span, by_root=by_root, outer=not by_root)
    both = sides_of(view, sa.literal(map_id), joined.outerjoin(t, t.c.id == v.c.target_id), v, t)
    rows, notes = with_notes(view, sa.literal(map_id), both.joined, v)
    values = [both.wanted.get(column.name, column).label(column.name) for column in v.c]
    image: list[sa.ColumnElement[Any]] = [t.c[name].label(f"now_{name}") for name in _image(view)]
    # The version of the row that the decision rests on; no column can have the name of this one.
    image.append(version_of(t, sa.literal_column("t.xmin")).label("version now"))
    decision = (*_decision(view, notes, v, t, both), _holder(view, v).label("holder"))
    return sa.select(claim.c.record_id, *values, *both.shown, *image, *decision).select_from(rows)


def differences(view: DesiredView, map_id: sa.ColumnElement[int], root: DesiredView | None) -> sa.Select[Any]:
    """The same over all records of a map, those only that are not in step: record_id (of the root), record, action.

    ``fields`` holds by field the value there now and the one wanted. ``root`` is the map of a part's root: what is
    left alone there is left alone with its parts.
    """
    v, t = view.view.alias("v"), view.target.alias("t")
    both = sides_of(view, map_id, v.outerjoin(t, t.c.id == v.c.target_id), v, t)
    joined, notes = with_notes(view, map_id, both.joined, v)
    action = _decision(view, notes, v, t, both)[0]
    rows = sa.select(
        _record(view, v).label("record_id"), v.c.record, action, v.c.source_id, v.c.target_id,
        _fields(view, notes, v, t, both).label("fields"), v.c.reason, v.c.waits_for,
    ).select_from(joined)  # fmt: skip
    if root is not None:
        rows = rows.add_columns(_root_is_left(root, _record(view, v)).label("root_left"))
    decided = rows.subquery("decided")
    settled: list[sa.ColumnElement[str]] = [constant(each) for each in (*SETTLED, HISTORY)]
    if root is None:
        return sa.select(*decided.c).where(decided.c.action.not_in(settled))
    behind = sa.case((decided.c.root_left.is_(None), decided.c.action), else_=LEFT_BEHIND).label("action")
    columns = [behind if each is decided.c.action else each for each in decided.c if each is not decided.c.root_left]
    shown = decided.c.root_left.is_distinct_from(sa.false())
    return sa.select(*columns).where(decided.c.action.not_in(settled), shown)


def _root_is_left(root: DesiredView, record: sa.ColumnElement[int]) -> sa.ScalarSelect[bool]:
    """Whether the root of a part was delivered, is left out now and says why; null where it is not left out."""
    w = root.view.alias("w")
    says_why = sa.and_(w.c.reason.is_not(None), w.c.target_id.is_not(None))
    left = sa.select(says_why).where(w.c.source_id == record, w.c.verdict == constant("not eligible"))
    return left.limit(sa.literal_column("1")).scalar_subquery()


def _fields(
    view: DesiredView, notes: sa.ColumnElement[Any], v: sa.FromClause, t: sa.FromClause, both: Sides
) -> sa.ColumnElement[Any]:
    """By field of the target: what it holds and what it should hold, where the two differ."""
    differ = {column.name: _differs(view, notes, column, v, t, both) for column in compared(view)}
    parts = [
        sa.case((sa.or_(*_shown(view, notes, column, v, t, differ)), _pair(column, v, t, both)), else_=_nothing)
        for column in view.columns
    ]
    return functools.reduce(lambda all_, more: all_.op("||", return_type=JSONB())(more), parts, _nothing)


def _shown(
    view: DesiredView,
    notes: sa.ColumnElement[Any],
    column: TargetColumn,
    v: sa.FromClause,
    t: sa.FromClause,
    differ: Mapping[str, sa.ColumnElement[bool]],
) -> Iterator[sa.ColumnElement[bool]]:
    """When a field is part of the difference: a new record's values, a known one's changed values, and its key."""
    yield sa.and_(t.c.id.is_(None), v.c[column.name].is_not(None), sa.literal(column.write != "never"))
    there = t.c.id.is_not(None)
    if column.name in differ:
        yield sa.and_(there, differ[column.name])
    elif column.is_key and view.mapping.direction == "out":
        yield sa.and_(there, _key_differs(notes, column.name, v, t))


def _pair(column: TargetColumn, v: sa.FromClause, t: sa.FromClause, both: Sides) -> sa.ColumnElement[Any]:
    held = sa.func.to_jsonb(t.c[column.name], type_=JSONB)
    wanted = sa.func.to_jsonb(both.wanted.get(column.name, v.c[column.name]), type_=JSONB)
    values = sa.func.jsonb_build_array(held, wanted, type_=JSONB)
    return sa.func.jsonb_build_object(sa.literal(column.field, sa.Text()), values, type_=JSONB)


def _record(view: DesiredView, v: sa.FromClause) -> sa.ColumnElement[int]:
    """The record that is marked and claimed: for a part its root."""
    return v.c.root_id if view.root_column else v.c.source_id


def _decision(
    view: DesiredView, notes: sa.ColumnElement[Any], v: sa.FromClause, t: sa.FromClause, both: Sides
) -> list[sa.ColumnElement[Any]]:
    """What is to be done, and because of which columns: ``action``, ``changed``, ``drifted``."""
    differ = {column.name: _differs(view, notes, column, v, t, both) for column in compared(view)}
    reported = reports_drift(view)
    mastered = (each for each in compared(view) if reported and not each.either and not follows_create(each))
    drifts = {column.name: _drifted(view, notes, column, v, t) for column in mastered}
    action = _action(view, notes, v, t, sa.or_(sa.false(), *differ.values()), sa.or_(sa.false(), *drifts.values()))
    return [action.label("action"), _changed(differ).label("changed"), _changed(drifts).label("drifted")]


def _image(view: DesiredView) -> list[str]:
    """The target's columns that a write needs to know: outbound its version, key and what is written."""
    if view.mapping.direction == "in":
        return ["id"]
    return [column.name for column in view.target.columns]


def _differs(
    view: DesiredView,
    notes: sa.ColumnElement[Any],
    column: TargetColumn,
    v: sa.FromClause,
    t: sa.FromClause,
    both: Sides,
) -> sa.ColumnElement[bool]:
    wanted, held = both.wanted.get(column.name, v.c[column.name]), t.c[column.name]
    if view.mapping.direction == "in":
        return wanted.is_distinct_from(held)
    if follows_create(column):
        empty = sa.and_(sent(notes, column.name).is_(None), stored(notes, column.name).is_(None))
        due = sa.and_(is_noted(notes, column.name), empty)
        return sa.and_(wanted.is_not(None), wanted.is_distinct_from(held), due)
    settled = sent_before(notes, column.name, wanted)
    if column.either or not reports_drift(view):
        settled = sa.and_(settled, stored_as(notes, column.name, held))
    free = sa.not_(both.unmerged.get(column.name, sa.false()))
    return sa.and_(wanted.is_distinct_from(held), sa.not_(settled), free)


def _drifted(
    view: DesiredView, notes: sa.ColumnElement[Any], column: TargetColumn, v: sa.FromClause, t: sa.FromClause
) -> sa.ColumnElement[bool]:
    """The target holds something else than it stored when exactly this value was sent: somebody changed it there."""
    wanted, held = v.c[column.name], t.c[column.name]
    moved = sa.and_(sent_before(notes, column.name, wanted), sa.not_(stored_as(notes, column.name, held)))
    return sa.and_(wanted.is_distinct_from(held), moved)


def reports_drift(view: DesiredView) -> bool:
    """Whether a change made at the target is only shown."""
    return view.mapping.direction == "out" and view.mapping.spec.drift == "report"


def _changed(differences: dict[str, sa.ColumnElement[bool]]) -> sa.ColumnElement[Any]:
    if not differences:
        return sa.cast(array([]), sa.ARRAY(sa.Text))
    names = [sa.case((differs, name)) for name, differs in differences.items()]
    return sa.func.array_remove(sa.cast(array(names), sa.ARRAY(sa.Text)), sa.null())


def _action(
    view: DesiredView,
    notes: sa.ColumnElement[Any],
    v: sa.FromClause,
    t: sa.FromClause,
    differs: sa.ColumnElement[bool],
    drifted: sa.ColumnElement[bool],
) -> sa.ColumnElement[str]:
    there = t.c.id.is_not(None)
    left_out = v.c.verdict == "not eligible"
    removed = is_to_go(view, v)
    return sa.case(
        (v.c.verdict.is_(None), "gone"),
        (v.c.verdict == "history", sa.case((v.c.reason.is_(None), "silent"), else_=HISTORY)),
        (sa.and_(removed, sa.not_(there)), "unlink"),
        (removed, _removal(view, t)),
        (
            sa.and_(left_out, v.c.target_id.is_not(None)),
            sa.case((_says_why(view, v, differs), LEFT_BEHIND), else_=LEFT),
        ),
        (sa.and_(left_out, v.c.reason.is_(None)), "silent"),
        (v.c.verdict != "present", v.c.verdict),
        *((taken, "taken") for taken in _taken(view, v)),
        (v.c.target_id.is_(None), "create"),
        (sa.not_(there), "recreate"),
        *((rekeyed, "rekey") for rekeyed in _rekeyed(view, notes, v, t)),
        (differs, "update"),
        (drifted, "drift"),
        (v.c.later.is_not(None), INCOMPLETE),
        else_="none",
    )


def _says_why(view: DesiredView, v: sa.FromClause, differs: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """A linked record that is left out now is shown once it differs from its counterpart; a part holds no root."""
    return sa.false() if view.root_column else sa.and_(v.c.reason.is_not(None), differs)


def is_to_go(view: DesiredView, v: sa.FromClause) -> sa.ColumnElement[bool]:
    """The source of a desired row is gone, or counts as gone."""
    if view.mapping.spec.when_no_longer_eligible != "delete":
        return v.c.verdict == "absent"
    return sa.or_(v.c.verdict == "absent", sa.and_(v.c.verdict == "not eligible", v.c.target_id.is_not(None)))


def _removal(view: DesiredView, t: sa.FromClause) -> sa.ColumnElement[str]:
    policy = view.mapping.spec.on_delete
    if policy == "delete":
        return sa.literal("delete")
    if policy == "nothing":
        return sa.literal("unlink")
    assert isinstance(policy, SetFields)
    same = sa.and_(sa.true(), *(t.c[name].is_not_distinct_from(value) for name, value in set_columns(view).items()))
    return sa.case((same, "unlink"), else_="set")


def set_columns(view: DesiredView) -> dict[str, sa.ColumnElement[Any]]:
    """What a delete sets instead of deleting, by column of the target."""
    policy = view.mapping.spec.on_delete
    if not isinstance(policy, SetFields):
        return {}
    columns = {column.field: column.name for column in view.columns}
    named = {columns.get(field, column_name(field)): value for field, value in policy.set.items()}
    return {name: sa.cast(sa.literal(value), view.target.c[name].type) for name, value in named.items()}


def _rekeyed(
    view: DesiredView, notes: sa.ColumnElement[Any], v: sa.FromClause, t: sa.FromClause
) -> Iterator[sa.ColumnElement[bool]]:
    """Outbound: the desired key is another than the target's, and a target's key cannot change."""
    keys = [column.name for column in view.columns if column.is_key]
    if view.mapping.direction == "out" and keys:
        yield sa.or_(*(_key_differs(notes, name, v, t) for name in keys))


def _key_differs(notes: sa.ColumnElement[Any], name: str, v: sa.FromClause, t: sa.FromClause) -> sa.ColumnElement[bool]:
    """A part of the key is another one, and not what the target made of exactly this one when it was created."""
    wanted, held = v.c[name], t.c[name]
    given = sa.and_(sent_before(notes, name, wanted), stored_as(notes, name, held))
    return sa.and_(fold(wanted).is_distinct_from(fold(held)), sa.not_(given))


def _taken(view: DesiredView, v: sa.FromClause) -> Iterator[sa.ColumnElement[bool]]:
    """Outbound: the target holds this business key already, and linking did not pair the two.

    (The parts of a root trade places among themselves: their keys are free again when the root is written.)
    """
    if view.mapping.direction == "out" and view.root_column is None:
        other = view.target.alias("taken")
        yield sa.and_(v.c.target_id.is_(None), sa.exists().select_from(other).where(same_key(view, other, v)))


def _holder(view: DesiredView, v: sa.FromClause) -> sa.ColumnElement[str | None]:
    """What the records are called whose counterparts hold this record's business key in the target."""
    if view.mapping.direction == "in" or view.root_column is not None:
        return sa.cast(sa.null(), sa.Text)
    other, link, source = view.target.alias("held"), view.link.alias("held_link"), view.source.alias("holder")
    label = view.paths.label(source, view.mapping.entity)
    pairs = other.join(link, sa.and_(link.c.mirror_id == other.c.id, link.c.ended_at.is_(None)))
    names = sa.select(sa.func.string_agg(label, sa.literal(", ")))
    held = names.select_from(pairs.join(source, source.c.id == link.c.common_id)).where(same_key(view, other, v))
    named = [held.correlate(v).scalar_subquery(), *_another_kind(view, v)]
    return sa.case((v.c.target_id.is_(None), sa.func.coalesce(*named) if len(named) > 1 else named[0]))


def _another_kind(view: DesiredView, v: sa.FromClause) -> Iterator[sa.ColumnElement[str]]:
    """What a record of the target is called that bears the key, and is told apart by something else."""
    fields = ", ".join(column.field for column in view.columns if column.tells_apart)
    if fields:
        other = view.target.alias("other_kind")
        there = sa.exists().select_from(other).where(same_key(view, other, v), sa.not_(_agrees(view, other, v)))
        yield sa.case((there, sa.literal(f"a record with another {fields}")))


def is_counterpart(view: DesiredView, table: sa.FromClause, v: sa.FromClause) -> sa.ColumnElement[bool]:
    """A target's record bears the business key that ``v`` wants, and nothing tells the two apart."""
    return sa.and_(same_key(view, table, v), _agrees(view, table, v))


def _agrees(view: DesiredView, table: sa.FromClause, v: sa.FromClause) -> sa.ColumnElement[bool]:
    apart = [column.name for column in view.columns if column.tells_apart]
    same = (sa.or_(table.c[each].is_(None), v.c[each].is_(None), table.c[each] == v.c[each]) for each in apart)
    return sa.and_(sa.true(), *same)


def same_key(view: DesiredView, table: sa.FromClause, v: sa.FromClause) -> sa.ColumnElement[bool]:
    """A target's record bears the business key that ``v`` wants; none does where the map gives no such key."""
    names = [name for name in match_columns(view.mapping) if name in {column.name for column in view.columns}]
    if not names:
        return sa.false()
    pairs = zip(key_expressions(table, names), (fold(v.c[name]) for name in names), strict=True)
    out = view.mapping.direction == "out"
    counting = counts(table, view.target, view.mapping.entity_set) if out else sa.true()
    return sa.and_(sa.true(), *(left == right for left, right in pairs), counting)
