"""Pairs common records with a system's records, and parts them again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.core.hub_handle import Handle
from replicator.core.mark import mark_through
from replicator.hub.statements import built_once
from replicator.mapping.compiled import CompiledMap

Pair = tuple[int, int, int | None]
"""A common record, the mirror row of its counterpart, and for a part the common record of its root."""


def link(hub: Handle, flow: CompiledMap, pairs: Sequence[Pair]) -> None:
    """Pair common records with mirror rows; a pair that is there already stays.

    Who reads through the pairs is marked: a read may have shown the mirror rows before, so that no window tells of it.
    """
    if pairs:
        commons, targets, roots = (list(part) for part in zip(*pairs, strict=True))
        values = {"commons": commons, "targets": targets, "roots": roots}
        linked = list(hub.connection.execute(_pairing(flow.view.link), values).scalars())
        mark_through(hub, flow.view.link, linked)


@built_once
def _pairing(crosswalk: sa.Table) -> sa.Insert:
    """One statement of a fixed text for any number of pairs."""
    names = ["common_id", "mirror_id", *(["root_id"] if "root_id" in crosswalk.c else [])]
    ids = sa.ARRAY(sa.BigInteger)
    arrays = [sa.bindparam(each, type_=ids) for each in ("commons", "targets", "roots")]
    given = sa.func.unnest(*arrays).table_valued(
        *(sa.column(each, sa.BigInteger) for each in ("common_id", "mirror_id", "root_id")), name="given"
    ).render_derived()  # fmt: skip
    statement = insert(crosswalk).from_select(names, sa.select(*(given.c[name] for name in names)))
    return statement.on_conflict_do_nothing().returning(crosswalk.c.mirror_id)


def paired_with_others(connection: sa.Connection, flow: CompiledMap, pairs: Sequence[Pair]) -> dict[int, str]:
    """Those of these common records whose mirror row is the counterpart of another one, and how that is called."""
    if not pairs:
        return {}
    crosswalk, entity = flow.view.link, flow.mapping.entity.entity
    label = flow.view.paths.label_of(entity, crosswalk.c.common_id)
    asked = sa.select(crosswalk.c.mirror_id, crosswalk.c.common_id, label.label("label"))
    rows = connection.execute(
        asked.where(
            crosswalk.c.mirror_id == sa.any_(_ids([target for _, target, _ in pairs])), crosswalk.c.ended_at.is_(None)
        )
    )
    held = {row.mirror_id: (row.common_id, f"{entity} {row.label}") for row in rows}
    return {common: held[target][1] for common, target, _ in pairs if target in held and held[target][0] != common}


def paired(connection: sa.Connection, flow: CompiledMap, mirror_ids: Sequence[int]) -> set[int]:
    """Those of these mirror rows that are the counterpart of a common record."""
    crosswalk = flow.view.link
    asked = sa.select(crosswalk.c.mirror_id).where(crosswalk.c.mirror_id == sa.any_(_ids(mirror_ids)))
    return set(connection.execute(asked.where(crosswalk.c.ended_at.is_(None))).scalars())


def part_links(connection: sa.Connection, flow: CompiledMap, mirror_ids: Sequence[int]) -> None:
    """End the pairs of these mirror rows: one of the two records is gone."""
    if mirror_ids:
        crosswalk = flow.view.link
        _end(connection, crosswalk, crosswalk.c.mirror_id == sa.any_(_ids(mirror_ids)))


def part_from_others(connection: sa.Connection, flow: CompiledMap, pairs: Sequence[Pair]) -> None:
    """End what these common records were paired with before, where that is another mirror row than now."""
    crosswalk = flow.view.link
    for common, target, root in pairs:
        same = [crosswalk.c.root_id == root] if flow.view.root_column else []
        _end(connection, crosswalk, sa.and_(crosswalk.c.common_id == common, crosswalk.c.mirror_id != target, *same))


def _ids(ids: Sequence[int]) -> sa.ColumnElement[Any]:
    return sa.literal(list(ids), sa.ARRAY(sa.BigInteger))


def _end(connection: sa.Connection, crosswalk: sa.Table, which: sa.ColumnElement[bool]) -> None:
    ended = sa.update(crosswalk).values(ended_at=sa.func.sync.now())
    connection.execute(ended.where(which, crosswalk.c.ended_at.is_(None)))
