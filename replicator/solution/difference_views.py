"""Differences as views: one beside each desired view, and ``sync.differences`` over all of them."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from replicator.core.diff import differences
from replicator.hub.sync_tables import delivery, map_
from replicator.mapping.compiled import Compiled, CompiledMap

_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "record_id": sa.BigInteger(), "record": sa.Text(), "action": sa.Text(), "source_id": sa.BigInteger(),
    "target_id": sa.BigInteger(), "fields": JSONB(), "reason": sa.Text(), "waits_for": sa.ARRAY(sa.Text),
}  # fmt: skip


def view_name(flow: CompiledMap) -> str:
    """The view of one map's differences: a query for one record has to plan no more than that map."""
    return f"{flow.mapping.view_name}_diff"


def rows_of(flow: CompiledMap) -> sa.TableClause:
    """That view, to select from."""
    return sa.table(view_name(flow), *(sa.column(*each) for each in _COLUMNS.items()), schema="desired")


def of_map(compiled: Compiled, flow: CompiledMap) -> sa.Select[Any]:
    """The records of one map that are not in step; ``record_id`` is that of the root."""
    root = compiled.marked(flow)
    map_id = sa.select(map_.c.id).where(map_.c.name == flow.name).scalar_subquery()
    return differences(flow.view, map_id, None if root is flow else root.view)


def of_all(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """Those of all maps; a part's are those of its root's flow."""
    arms = []
    for found in compiled.maps:
        rows = rows_of(found)
        flow = compiled.marked(found).name
        arms.append(sa.select(sa.literal(flow).label("flow"), sa.literal(found.name).label("map"), *rows.c))
    return sa.union_all(*arms)


def of_nobody() -> sa.Select[Any]:
    """The balance: records that are not in step, and of which no delivery says why."""
    columns = (sa.column("flow", sa.Text()), sa.column("map", sa.Text()), *(sa.column(*c) for c in _COLUMNS.items()))
    rows = sa.table("differences", *columns, schema="sync").alias("d")
    said = sa.exists().where(
        map_.c.name == rows.c.flow, delivery.c.map_id == map_.c.id, delivery.c.record_id == rows.c.record_id
    )
    return sa.select(*rows.c).where(sa.not_(said))
