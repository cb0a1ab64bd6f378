"""Key conflicts: records that bear the same business key. None overwrites another; each says who the others are."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by

from replicator.core.claim import Claimed, claim_more
from replicator.core.diff import claim
from replicator.core.hub_handle import Handle
from replicator.core.why_not_written import KEY_CONFLICT
from replicator.hub.statements import built_once
from replicator.hub.sync_tables import delivery
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import DesiredView
from replicator.mapping.key_comparison import fold
from replicator.mapping.schema import EntitySet


def blocking(
    work: sa.TableClause, which: sa.ColumnElement[bool], why: sa.ColumnElement[str], action: str = "blocked"
) -> sa.Update:
    """Turn the action of some of the records under way into ``blocked``, or ``key conflict``, for a reason."""
    nothing = sa.cast(sa.text("'{}'"), sa.ARRAY(sa.Text))
    return sa.update(work).where(which).values(action=action, waits_for=sa.func.array_append(nothing, why))


def claim_rivals(hub: Handle, flow: CompiledMap, claimed: Claimed) -> Claimed:
    """Claim also who bears the name of a claimed record and is not in common either.

    They are looked at together, so that it is no matter which of them was touched, or came last: none goes. Beside many
    these are all that are known to be in each other's way; to look for the namesakes of each would take as long as a
    merge. So of several that a first read of very many brings, the first may go, and the others say so.
    """
    map_id = hub.id_of(flow)
    for rivals in _namesakes(flow.view) if claimed.few else [_in_conflict(map_id)]:
        claimed = claim_more(hub.connection, map_id, rivals, claimed)
    return claimed


def _in_conflict(map_id: int) -> sa.Select[Any]:
    mine = delivery.c.map_id == map_id, delivery.c.state == sa.literal_column("'blocked'")
    return sa.select(delivery.c.record_id).where(*mine, delivery.c.code == KEY_CONFLICT)


@built_once
def _namesakes(view: DesiredView) -> list[sa.Select[Any]]:
    own, other = view.source.alias("own"), view.source.alias("other")
    claimed = claim.join(own, own.c.id == claim.c.record_id)
    found = [
        sa.select(other.c.id).where(same).offset(sa.literal_column("0")).lateral("found")  # by the index, one by one
        for same in view.paths.namesakes(own, other, view.mapping.entity_set)
    ]
    return [sa.select(each.c.id).select_from(claimed.join(each, sa.true())) for each in found]


@built_once
def key_conflicts(view: DesiredView, work: sa.TableClause) -> list[sa.Update]:
    """Statements that block records under way whose business key another record has, before anything is written.

    Records that are to be created are only compared among themselves: whether common has their key already is what
    its unique index says when they are inserted (``refused``).
    """
    names = [column.name for column in view.columns if column.is_key]
    rename = sa.and_(work.c.action == "update", sa.type_coerce(work.c.changed, ARRAY(sa.Text)).overlap(names))
    return [
        _among_themselves(view, work, [fold(work.c[name]) for name in names]),
        _with_common(view, work, sa.and_(rename, view.target.c.id != work.c.target_id)),
    ]


@built_once
def refused(view: DesiredView, work: sa.TableClause) -> sa.Update:
    """Block the records that were not created, because a common record of another record has their key."""
    link = view.link
    paired = sa.exists().where(link.c.mirror_id == work.c.source_id, link.c.ended_at.is_(None))
    return _with_common(view, work, sa.and_(work.c.action == "create", sa.not_(paired)))


def moves_keys(view: DesiredView) -> bool:
    """Whether the map writes the key again and again: one that only sets it never renumbers a record."""
    return all(column.write == "always" for column in view.columns if column.is_key)


def _among_themselves(view: DesiredView, work: sa.TableClause, keys: list[sa.ColumnElement[Any]]) -> sa.Update:
    """Several new records with one key: none of them is created, for any choice would be a guess.

    Those that wait for something else are among them, for they come later; those that were rejected are not.
    """
    create = work.c.action == "create"
    new = sa.and_(work.c.target_id.is_(None), work.c.action.in_(["create", "blocked"]))
    called = _called(view, work)
    listed = sa.case((create, called), else_=work.c.record)  # who is in trouble anyhow is called so already
    named = {f"key_{place}": key for place, key in enumerate(keys)}
    doubled = sa.select(*keys).where(new).group_by(*keys).having(sa.func.count() > 1)
    sharing = (  # the names are put together for those few only
        sa.select(
            *(key.label(name) for name, key in named.items()),
            sa.func.string_agg(listed, aggregate_order_by(sa.literal(", "), work.c.source_id)).label("records"),
        )
        .where(new, sa.tuple_(*keys).in_(doubled))
        .group_by(*keys)
        .subquery("sharing")
    )
    same = sa.and_(*(sharing.c[name] == key for name, key in named.items()))
    words = sa.literal("a key of its own: one business key is that of ") + sharing.c.records
    return blocking(work, sa.and_(create, same), words, KEY_CONFLICT).values(record=called)


def _called(view: DesiredView, work: sa.TableClause) -> sa.ColumnElement[str]:
    """A record under way, by its system's key besides: whoever is in its way has the same name."""
    source = view.source.alias("own")
    key = sa.select(view.paths.key_of(source, view.mapping.entity_set)).where(source.c.id == work.c.source_id)
    return sa.func.concat(work.c.record, " (", key.scalar_subquery(), ")")


def _holders(view: DesiredView) -> sa.ColumnElement[str]:
    """The system's records that are paired with a common record, by their keys; empty where there is none."""
    paths, entity = view.paths, view.mapping.entity.entity
    links = {name: link for (system, name, of), link in paths.tables.links.items()
             if (system, of) == (view.mapping.system, entity)}  # fmt: skip
    held = (_held(view, paths.schema.entity_sets[view.mapping.system, name], link) for name, link in links.items())
    return sa.func.concat(*held)


def _held(view: DesiredView, entity_set: EntitySet, link: sa.Table) -> sa.ColumnElement[str]:
    """The records of one entity set that are paired with a common record."""
    holder, pair = view.paths.tables.mirror(entity_set).alias("holder"), link.alias("held")
    keys = sa.func.string_agg(view.paths.key_of(holder, entity_set), sa.literal(", "))
    paired = sa.and_(pair.c.common_id == view.target.c.id, pair.c.ended_at.is_(None))
    words = sa.literal(f", for {entity_set} ").concat(keys)  # null where there is none
    found = sa.select(words).select_from(pair.join(holder, holder.c.id == pair.c.mirror_id)).where(paired)
    return found.correlate(view.target).scalar_subquery()


def _with_common(view: DesiredView, work: sa.TableClause, which: sa.ColumnElement[bool]) -> sa.Update:
    """A record whose key a common record has that belongs to another record."""
    target = view.target
    names = [column.name for column in view.columns if column.is_key]
    same = sa.and_(*(fold(target.c[name]) == fold(work.c[name]) for name in names))
    label = view.paths.label(target, view.mapping.entity)
    leaving = work.alias("leaving")
    moves = sa.or_(*(fold(leaving.c[name]) != fold(target.c[name]) for name in names))
    renumbered = sa.and_(leaving.c.action == "update", moves) if moves_keys(view) else sa.false()
    frees = sa.or_(leaving.c.action == "delete", renumbered)
    freed = sa.exists().where(leaving.c.target_id == target.c.id, frees)
    entity = view.mapping.entity.entity
    other = sa.func.concat(f"a key of its own: {target.fullname} ", target.c.id, f" is {entity} ", label, " already")
    before = sa.literal("; this one was ") + view.paths.label_of(entity, work.c.target_id)
    words = sa.func.concat(other, _holders(view), before)
    blocked = blocking(work, sa.and_(which, same, sa.not_(freed)), words, KEY_CONFLICT)
    return blocked.values(record=_called(view, work))


@built_once
def parking(view: DesiredView, work: sa.TableClause) -> sa.Update:
    """Records that trade keys among themselves: out of each other's way first, for a unique index checks row by row."""
    target, holder = view.target, view.target.alias("holder")
    names = [column.name for column in view.columns if column.is_key]
    moves = sa.or_(*(fold(work.c[name]) != fold(target.c[name]) for name in names))
    taken = sa.exists().where(
        *(fold(holder.c[name]) == fold(work.c[name]) for name in names), holder.c.id != target.c.id
    )
    last = target.c[names[-1]]
    parked = (
        -target.c.id if isinstance(last.type, sa.BigInteger) else sa.literal("~").concat(sa.cast(target.c.id, sa.Text))
    )
    return (
        sa.update(target)
        .values({last.name: parked})
        .where(target.c.id == work.c.target_id, work.c.action == "update", moves, taken)
    )
