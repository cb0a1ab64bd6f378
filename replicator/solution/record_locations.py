"""Where a record is and was: captured tables, the parts of a root, what is not in its mirror, what was deleted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from replicator.hub.sync_tables import change
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.dependency_paths import REGCLASS
from replicator.mapping.key_comparison import KEY_SEPARATOR, in_one_text, same_values
from replicator.mapping.language import CommonEntity
from replicator.mapping.missing_parts import awaited_parts
from replicator.solution.record_names import find, shown_parts

FIND_GONE = sql.SQL(
    "create function sync.find_gone(kind text, key text) returns table "
    "(entity text, common_id bigint, system text, entity_set text, mirror_id bigint, record text) "
    "language sql stable as $find$ {} $find$"
)


def captured(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """The captured tables: what people call the place, its table, its before-images, and the column of its label."""
    rows: list[tuple[str | None, ...]] = [
        (f"common.{name}", None, None, name, f"common.{name}", f"common_{name}", _label(entity))
        for name, entity in compiled.schema.entities.items()
    ]
    for (system, name), table in compiled.tables.mirrors.items():
        label = compiled.schema.entity_sets[system, name].label_column
        rows.append((f"{system}.{name}", system, name, None, table.fullname, compiled.tables.image(table).name, label))
    names = ("place", "system", "entity_set", "entity", "relation", "image", "label")
    return sa.union_all(
        *(sa.select(*(_text(value).label(name) for name, value in zip(names, row, strict=True))) for row in rows)
    )


def _label(entity: CommonEntity) -> str:
    name = entity.label or entity.key[-1]
    return f"{name}_id" if entity.fields[name].reference else name


def _text(value: str | None) -> sa.ColumnElement[Any]:
    return sa.cast(sa.null() if value is None else sa.literal(value, sa.Text()), sa.Text)


def missing(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """Inbound references to records that are not in their mirror: not shown by the system, or quarantined."""
    arms = []
    for flow in compiled.inbound():
        for name, spec in flow.mapping.spec.fields.items():
            if spec.reference is not None:
                arms.append(_missing(compiled, flow, name, spec.reference))
    texts = [_text(None).label(name) for name in ("flow", "field", "system", "key")]
    sets = sa.cast(sa.null(), sa.ARRAY(sa.Text)).label("entity_sets")
    nothing = sa.select(texts[0], sa.cast(sa.null(), sa.BigInteger).label("record_id"), *texts[1:3], sets, texts[3])
    return sa.union_all(nothing.where(sa.false()), *arms)


def _missing(compiled: Compiled, flow: CompiledMap, name: str, reference: str) -> sa.Select[Any]:
    mapping, source = flow.mapping, flow.view.source.alias("s")
    pointed = compiled.schema.pointed(mapping.entity_set, reference)
    columns = [source.c[own] for own, _ in pointed[0].columns]
    absent: list[sa.ColumnElement[bool]] = [column.is_not(None) for column in columns]
    for each in pointed:
        there = compiled.tables.mirror(each.entity_set).alias(f"p_{each.entity_set.name}".lower())
        absent.append(sa.not_(sa.exists().where(same_values(source, there, each.columns))))
    targets = [each.entity_set.name for each in pointed]
    return sa.select(
        _text(flow.root or flow.name).label("flow"), source.c.id.label("record_id"), _text(name).label("field"),
        _text(mapping.system).label("system"), sa.literal(targets, sa.ARRAY(sa.Text)).label("entity_sets"),
        in_one_text(columns, KEY_SEPARATOR).label("key"),
    ).where(*absent)  # fmt: skip


def parts(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """The parts of each common record, wherever they are: in common, in the mirrors, or on their way to or from there.

    A part that was deleted in common is one still while its pair lasts.
    """
    arms: list[sa.Select[Any]] = []
    for entity in compiled.schema.entities.values():
        whole = compiled.schema.parent_field(entity)
        if whole is not None and whole[1].reference is not None:
            arms += _parts_of(compiled, entity, whole[1].reference, f"{whole[0]}_id")
    for flow in compiled.maps:
        entity = flow.mapping.entity
        roots = flow.mapping.direction == "out" and flow.root is None
        for part in awaited_parts(compiled.schema, compiled.tables, entity) if roots else ():
            mirror, link, child, joined = shown_parts(compiled, part, entity)
            row = _part(entity.entity, link.c.common_id, mirror, child.c.id)
            arms.append(sa.select(*row).select_from(joined).where(link.c.ended_at.is_(None)))
    nothing = sa.select(*_part("", sa.null(), compiled.tables.captured[0], sa.null())).where(sa.false())
    return sa.union_all(nothing, *arms)


def _parts_of(compiled: Compiled, entity: CommonEntity, root: str, column: str) -> Iterator[sa.Select[Any]]:
    table = compiled.tables.common[entity.entity]
    row = table.alias("c")
    yield sa.select(*_part(root, row.c[column], table, row.c.id))
    for (system, name, of), link in compiled.tables.links.items():
        if of != entity.entity:
            continue
        mirror = compiled.tables.mirrors[system, name]
        pairs = row.join(link, sa.and_(link.c.common_id == row.c.id, link.c.ended_at.is_(None)))
        yield sa.select(*_part(root, row.c[column], mirror, link.c.mirror_id)).select_from(pairs)
        if "root_id" in link.c:
            written = link.c.root_id.is_not(None), link.c.ended_at.is_(None)
            yield sa.select(*_part(root, link.c.root_id, table, link.c.common_id)).where(*written)


def _part(root: str, root_id: Any, table: sa.Table, record: Any) -> list[sa.ColumnElement[Any]]:
    return [
        _text(root).label("entity"),
        sa.cast(root_id, sa.BigInteger).label("root_id"),
        _text(table.fullname).label("relation"),
        sa.cast(record, sa.BigInteger).label("record_id"),
    ]


def find_gone(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """What ``sync.find`` would have found: the before-images of deleted records, by the same keys."""

    def images(table: sa.Table, name: str, *, leads: bool) -> sa.FromClause:
        image = compiled.tables.image(table)
        if not leads:
            return image.alias(name)
        kept = [image.c[column.name] for column in table.columns if column.name in image.c]
        deleted = sa.and_(
            change.c.seq == image.c.seq, change.c.at == image.c.at, change.c.operation == "D",
            change.c.relation == sa.cast(sa.literal(table.fullname, sa.Text), REGCLASS),
        )  # fmt: skip
        return sa.select(*kept).select_from(image.join(change, deleted)).subquery(name)

    return find(compiled, images)
