"""Linking: pairs records with the one record of the target that bears the same business key."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.core.claim import Claimed
from replicator.core.diff import Span, desired_of_claim, same_key, sides
from replicator.hub.statements import built_once
from replicator.mapping.desired_views import DesiredView


def linking(view: DesiredView, claimed: Claimed, *, by_root: bool = False) -> sa.Insert:
    """Pair claimed records that have no counterpart with the one record that bears the same business key.

    Only where nothing else is paired with it, and only where exactly one record on either side bears the key.
    """
    return _linking_of_few(view, by_root) if claimed.few else _linking(view, (claimed.first, claimed.last), by_root)


@built_once
def _linking_of_few(view: DesiredView, by_root: bool) -> sa.Insert:
    return _linking(view, None, by_root)


def _linking(view: DesiredView, span: Span | None, by_root: bool) -> sa.Insert:
    t, other = view.target.alias("t"), view.target.alias("other")
    joined, v = desired_of_claim(view, span, by_root=by_root, outer=False)
    link = view.link
    source_side, target_side = sides(view)
    ambiguous = sa.exists().where(same_key(view, other, v), other.c.id != t.c.id)
    paired = sa.or_(
        *(
            sa.exists().where(other_link.c[target_side] == t.c.id, other_link.c.ended_at.is_(None))
            for other_link in view.target_links
        )
    )
    columns = {source_side: v.c.source_id, target_side: t.c.id}
    if view.root_column:
        columns["root_id"] = v.c.root_id
    chosen = (
        sa.select(*columns.values())
        .select_from(joined.join(t, same_key(view, t, v)))
        .where(v.c.target_id.is_(None), v.c.eligible, sa.not_(paired), sa.not_(ambiguous))
    )
    rivals = sa.func.count().over(partition_by=list(columns.values())[1])
    ranked = chosen.add_columns(rivals.label("rivals")).subquery("ranked")
    only = sa.select(*list(ranked.c)[: len(columns)]).where(ranked.c.rivals == 1)
    return sa.insert(link).from_select(list(columns), only).returning(link.c.mirror_id)
