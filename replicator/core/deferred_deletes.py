"""References that come later: the deletes of what they join. Both directions let go of the same ones, by this."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from replicator.core.diff import is_to_go, sides
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.desired_views import ReferenceColumn
from replicator.mapping.join_paths import PointedTable
from replicator.mapping.key_comparison import same_values


def joined_to_go(compiled: Compiled, flow: CompiledMap, reference: ReferenceColumn) -> Iterator[sa.Select[Any]]:
    """The target's records (column ``id``) whose reference points at one that is to be deleted.

    Several that are to go and point at each other, in a chain or a ring, have to let go first.
    """
    child = flow.view.target.alias("child")
    for pointed in reference.points_at:
        for parents in compiled.beside(flow):
            if parents.view.target is pointed.table and parents.mapping.spec.on_delete == "delete":
                yield _to_go(child, parents, pointed)


def _to_go(child: sa.FromClause, parents: CompiledMap, pointed: PointedTable) -> sa.Select[Any]:
    parent, link, rows = parents.view.target.alias("parent"), parents.view.link.alias("l"), parents.view.view.alias("r")
    source_side, target_side = sides(parents.view)
    # One by one, as the diff reads few records: a join would compute the whole view.
    v = sa.select(rows).where(rows.c.source_id == link.c[source_side]).offset(sa.literal_column("0")).lateral("v")
    return (
        sa.select(child.c.id)
        .join_from(child, parent, same_values(child, parent, pointed.columns))
        .join(link, sa.and_(link.c[target_side] == parent.c.id, link.c.ended_at.is_(None)))
        .join(v, sa.true())
        .where(is_to_go(parents.view, v))
    )
