"""How a person names a record, and what a record points at: ``sync.find``, ``crosswalk``, ``pair``, ``parents``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from psycopg import sql

from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.generations import precedes
from replicator.mapping.join_paths import Paths
from replicator.mapping.key_comparison import fold, same_values
from replicator.mapping.language import CommonEntity, FieldMap
from replicator.mapping.literals import constant
from replicator.mapping.missing_parts import awaited_parts, in_trouble
from replicator.mapping.schema import EntitySet, Map, PartSet, column_name
from replicator.mapping.tables import common_column
from replicator.solution.union import union_all

_kind: sa.ColumnElement[str] = sa.literal_column("$1", sa.Text)
_key: sa.ColumnElement[str] = sa.literal_column("$2", sa.Text)
_Source = sa.FromClause
FIND = sql.SQL(
    "create function sync.find(kind text, key text) returns table "
    "(entity text, common_id bigint, system text, entity_set text, mirror_id bigint, record text) "
    "language sql stable as $find$ {} $find$"
)


class Rows(Protocol):
    """Where records are looked for: in the tables themselves, or in what they held before."""

    def __call__(self, table: sa.Table, name: str, *, leads: bool) -> sa.FromClause:
        """The rows under an alias; ``leads``: those looked for themselves, not their roots."""


def _live(table: sa.Table, name: str, *, leads: bool) -> sa.FromClause:
    return table.alias(name)


def find(compiled: Compiled, rows: Rows = _live) -> sa.CompoundSelect[Any]:
    """The records that somebody means by an entity (or ``system.EntitySet``) and a key; each arm goes by an index."""
    arms = [_common(compiled, entity, rows) for entity in compiled.schema.entities.values()]
    for entity_set in compiled.schema.entity_sets.values():
        arms += _mirror(compiled, entity_set, rows)
    return sa.union(*arms)


def _row(entity: str | None, common: Any, entity_set: EntitySet | None, mirror: Any, record: Any) -> list[Any]:
    def text(value: str | None) -> sa.ColumnElement[Any]:
        return sa.cast(sa.null() if value is None else sa.literal(value), sa.Text)

    return [
        text(entity).label("entity"),
        sa.cast(common, sa.BigInteger).label("common_id"),
        text(entity_set.system if entity_set else None).label("system"),
        text(entity_set.name if entity_set else None).label("entity_set"),
        sa.cast(mirror, sa.BigInteger).label("mirror_id"),
        sa.cast(record, sa.Text).label("record"),
    ]


def _common(compiled: Compiled, entity: CommonEntity, rows: Rows) -> sa.Select[Any]:
    """Common records by the plain fields of their business key; a part by those of its root before its own."""
    table, key = rows(compiled.tables.common[entity.entity], "s", leads=True), _KeyParts(_plain_parts(compiled, entity))
    wanted, label = _by_key(compiled, entity, table, key, rows)
    row = _row(entity.entity, table.c.id, None, sa.null(), label)
    return sa.select(*row).where(_kind == entity.entity, *wanted)


def _plain_parts(compiled: Compiled, entity: CommonEntity) -> int:
    """Of how many plain fields the key is made that people give; a part's begins with that of its root."""
    own = sum(1 for name in entity.key if not entity.fields[name].reference)
    whole = compiled.schema.parent_field(entity)
    reference = whole[1].reference if whole is not None and whole[0] in entity.key else None
    return own + (_plain_parts(compiled, compiled.schema.entities[reference]) if reference is not None else 0)


class _KeyParts:
    """The parts of the key that was given, one after the other; whole where the key has one.

    A value may hold what parts are told apart by: ``sync.cuts`` gives every way to cut the key.
    """

    def __init__(self, count: int) -> None:
        cut = sa.func.sync.cuts(_key, constant(count))
        self._cut = cut.table_valued(sa.column("parts", sa.ARRAY(sa.Text)), name="cut").render_derived()
        self._single, self._place = count == 1, 0

    def next(self) -> sa.ColumnElement[str]:
        """The next part."""
        self._place += 1
        return _key if self._single else self._cut.c.parts[constant(self._place)]


def _by_key(
    compiled: Compiled, entity: CommonEntity, table: _Source, key: _KeyParts, rows: Rows, depth: int = 1
) -> tuple[list[sa.ColumnElement[bool]], sa.ColumnElement[Any]]:
    """The conditions, and what people call the record; its root, whose key leads, is joined."""
    whole = compiled.schema.parent_field(entity)
    wanted: list[sa.ColumnElement[bool]] = []
    label: sa.ColumnElement[Any] = sa.cast(table.c[common_column(entity, entity.label or entity.key[-1])], sa.Text)
    for name in entity.key:
        column = table.c[common_column(entity, name)]
        reference = entity.fields[name].reference
        if whole is not None and name == whole[0] and reference is not None:
            root = rows(compiled.tables.common[reference], f"w{depth}", leads=False)
            conditions, called = _by_key(compiled, compiled.schema.entities[reference], root, key, rows, depth + 1)
            wanted += [column == root.c.id, *conditions]
            label = sa.func.concat_ws(" ", called, label)
        elif reference is not None:  # a few of them lead the unique index: any will do
            few = compiled.tables.common[reference].alias(f"r{depth}_{name}")
            if rows is _live:
                wanted.append(column.in_(sa.select(few.c.id)))
        else:
            wanted.append(_equals(column, key.next()))
    return wanted, label


def _equals(column: sa.ColumnElement[Any], text: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Compared as keys are, by the index on the column."""
    if isinstance(column.type, sa.Uuid):
        return column == sa.func.sync.as_uuid(text, type_=sa.Uuid)
    if isinstance(column.type, sa.Text):
        return fold(column) == fold(sa.type_coerce(text, sa.Text))
    return sa.cast(column, sa.Text) == sa.func.btrim(text)


def _mirror(compiled: Compiled, entity_set: EntitySet, rows: Rows) -> Iterator[sa.Select[Any]]:
    """A system's records by its own key, by their business key, and by that of the entity they become."""
    table = rows(compiled.tables.mirror(entity_set), "m", leads=True)
    spec = entity_set.spec
    row = _row(None, sa.null(), entity_set, table.c.id, table.c[entity_set.label_column])
    own = [table.c[column_name(name)] for name in spec.key]
    given = _KeyParts(len(own))
    by_own = [_equals(column, given.next()) for column in own]
    yield sa.select(*row).where(_kind == str(entity_set), *by_own)
    inbound = (each for each in compiled.schema.maps if each.direction == "in" and each.entity_set == entity_set)
    entities = sorted({each.entity.entity for each in inbound})
    if len(entity_set.business_key) == 1 and entity_set.business_key != spec.key:
        kinds = [sa.literal(each) for each in (str(entity_set), *entities)]
        business = table.c[column_name(entity_set.business_key[0])]
        yield sa.select(*row).where(_kind.in_(kinds), _equals(business, _key))
    for each in compiled.schema.maps:
        if each.direction == "in" and each.entity_set == entity_set and len(spec.key) > 1:
            yield from _by_key_to_be(compiled, each, table, row, rows)


def _by_key_to_be(
    compiled: Compiled, mapping: Map, table: _Source, row: list[sa.ColumnElement[Any]], rows: Rows
) -> Iterator[sa.Select[Any]]:
    """By the key of the entity that they become, where that is made of their own: before they are in common."""
    entity, wanted, made_of = mapping.entity, list[sa.ColumnElement[bool]](), list[str]()
    key, given = mapping.entity_set.spec.key, _KeyParts(_plain_parts(compiled, mapping.entity))
    for name in entity.key:
        field = mapping.spec.fields[name]
        if isinstance(field.copy_, str) and field.copy_ in key:
            wanted.append(_equals(table.c[column_name(field.copy_)], given.next()))
            made_of.append(field.copy_)
        elif field.lookup is not None and _is_plain(compiled.schema.entities[field.lookup], field, key):
            few = compiled.tables.common[field.lookup].alias(f"any_{name}")  # they lead the unique index: any will do
            own = {few.c[common]: table.c[column_name(source)] for common, source in field.match.items()}
            made_of += field.match.values()
            if rows is _live:
                wanted += [fold(column).in_(sa.select(fold(common))) for common, column in own.items()]
    if sorted(made_of) == sorted(key):
        yield sa.select(*row).where(_kind == entity.entity, *wanted)


def _is_plain(looked_up: CommonEntity, field: FieldMap, key: Sequence[str]) -> bool:
    """Whether a look-up goes by fields of the key itself, and by none that refers to another record."""
    return all(source in key and not looked_up.fields[name].reference for name, source in field.match.items())


def crosswalk(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """All crosswalks with the keys of both sides."""
    parts = []
    for (system, set_name, entity), link in compiled.tables.links.items():
        entity_set = compiled.schema.entity_sets[system, set_name]
        mirror = compiled.tables.mirror(entity_set)
        keys = [sa.cast(mirror.c[column_name(name)], sa.Text) for name in entity_set.spec.key]
        key = sa.func.concat_ws(",", *keys)
        parts.append(
            sa.select(
                sa.literal(entity).label("entity"), link.c.common_id, sa.literal(system).label("system"),
                sa.literal(set_name).label("entity_set"), link.c.mirror_id, key.label("system_key"), link.c.ended_at,
            ).join_from(link, mirror, mirror.c.id == link.c.mirror_id, isouter=True)
        )  # fmt: skip
    return sa.union_all(*parts)


def pairs(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """All crosswalks as one, the keys left out: so that a look by either side goes by its index."""
    return sa.union_all(
        *(
            sa.select(
                sa.literal(entity).label("entity"), link.c.common_id, sa.literal(system).label("system"),
                sa.literal(name).label("entity_set"), link.c.mirror_id, link.c.ended_at,
            )
            for (system, name, entity), link in compiled.tables.links.items()
        )
    )  # fmt: skip


def parents(compiled: Compiled) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """What each record points at, by map: the record, the field, the parent, and whether the parent has landed."""
    arms: list[sa.Select[Any]] = []
    for flow in compiled.maps:
        for name, spec in flow.mapping.spec.fields.items():
            if spec.reference is not None:
                arms += (_inward if flow.mapping.direction == "in" else _outward)(compiled, flow, name, spec)
            elif spec.lookup is not None:
                arms += (_to_become if flow.mapping.direction == "in" else _searched)(compiled, flow, name, spec)
        if flow.mapping.direction == "out" and flow.root is None:
            arms += _parts(compiled, flow)
    types: dict[str, Any] = {"flow": sa.Text, "record_id": sa.BigInteger, "field": sa.Text, "parent_table": sa.Text,
                             "parent_id": sa.BigInteger, "need": sa.Text, "landed": sa.Boolean,
                             "entity": sa.Text}  # fmt: skip
    return union_all(arms, types)


def _edge(
    flow: CompiledMap,
    record: Any,
    name: str,
    table: sa.Table,
    parent: Any,
    need: str,
    landed: sa.ColumnElement[bool],
    entity: str,
) -> list[sa.ColumnElement[Any]]:
    return [
        sa.literal(flow.root or flow.name).label("flow"),
        record.label("record_id"),
        sa.literal(name).label("field"),
        sa.literal(table.fullname).label("parent_table"),
        parent.label("parent_id"),
        sa.literal(need).label("need"),
        landed.label("landed"),
        sa.literal(entity).label("entity"),
    ]


def _inward(compiled: Compiled, flow: CompiledMap, name: str, spec: FieldMap) -> Iterator[sa.Select[Any]]:
    """Inbound: a record of the system that this one points at, and that has to become a common record."""
    mapping, source = flow.mapping, flow.view.source.alias("s")
    reference = mapping.entity.fields[name].reference
    for each in compiled.schema.pointed(mapping.entity_set, spec.reference or ""):
        link = compiled.tables.link(each.entity_set, reference or "")
        if link is None:
            continue
        mirror = compiled.tables.mirror(each.entity_set)
        pointed = mirror.alias("p")
        landed: sa.ColumnElement[bool] = sa.exists().where(link.c.mirror_id == pointed.c.id, link.c.ended_at.is_(None))
        if each.entity_set.spec.generations:
            other, pair = mirror.alias("counting"), link.alias("of_counting")
            instead = precedes(other.c.__getitem__, pointed.c.__getitem__, each.entity_set)
            joined = other.join(pair, pair.c.mirror_id == other.c.id)
            landed = sa.or_(landed, sa.exists().select_from(joined).where(pair.c.ended_at.is_(None), instead))
        edge = _edge(flow, source.c.id, name, mirror, pointed.c.id, spec.need, landed, reference or "")
        yield sa.select(*edge).join_from(source, pointed, same_values(source, pointed, each.columns))


def _to_become(compiled: Compiled, flow: CompiledMap, name: str, spec: FieldMap) -> Iterator[sa.Select[Any]]:
    """Inbound: the records that would be found by a look-up, were they common records, as far as their keys tell."""
    source = flow.view.source.alias("s")
    for other in compiled.inbound():
        fields = other.mapping.spec.fields
        copied = {field: fields[field].copy_ if field in fields else None for field in spec.match}
        if other.mapping.entity.entity != spec.lookup or not copied:
            continue
        own, pointed = flow.mapping.entity_set.spec.fields, other.view.source.alias("p")
        plain = [(column, spec.match[field]) for field, column in copied.items()
                 if isinstance(column, str) and column in other.mapping.entity_set.spec.fields]  # fmt: skip
        known = other.mapping.entity_set
        indexed = {column for column, _ in plain} <= {*known.business_key, *known.spec.key}
        if len(plain) < len(copied) or not indexed or not all(wanted in own for _, wanted in plain):
            continue
        same = (_alike(pointed.c[column_name(column)], source.c[column_name(wanted)]) for column, wanted in plain)
        there = compiled.tables.common[spec.lookup].alias("there")
        found = (_alike(there.c[field], source.c[column_name(wanted)]) for field, wanted in spec.match.items())
        edge = _edge(
            flow, source.c.id, name, other.view.source, pointed.c.id, spec.need, sa.exists().where(*found), spec.lookup
        )
        yield sa.select(*edge).join_from(source, pointed, sa.and_(*same))


def _alike(one: sa.ColumnElement[Any], other: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return fold(one) == fold(other) if isinstance(one.type, sa.Text) else one == other


def _outward(compiled: Compiled, flow: CompiledMap, name: str, spec: FieldMap) -> Iterator[sa.Select[Any]]:
    """Outbound: a common record that this one points at, and that has to be in the system."""
    pointed = compiled.schema.pointed_by_field(flow.mapping.entity_set, name)
    sets = list(dict.fromkeys(each.entity_set.name for each in pointed))
    yield from _pointing(compiled, flow, name, spec.reference or "", sets, spec.need)


def _searched(compiled: Compiled, flow: CompiledMap, name: str, spec: FieldMap) -> Iterator[sa.Select[Any]]:
    """Outbound: a look-up by the counterpart of a common record."""
    fields = compiled.schema.entity_sets[flow.mapping.system, spec.lookup or ""].spec.fields
    for searched, path in spec.match.items():
        if fields[searched].type == "reference":
            yield from _pointing(compiled, flow, name, path, fields[searched].targets[:1], spec.need)


def _pointing(
    compiled: Compiled, flow: CompiledMap, name: str, path: str, sets: tuple[str, ...] | list[str], need: str
) -> Iterator[sa.Select[Any]]:
    mapping = flow.mapping
    paths = Paths(compiled.schema, compiled.tables, mapping, mapping.entity, "s")
    step, kind, last = paths.end(path)
    entity = paths.entity_pointed_at(kind, last)
    parent = step[f"{last}_id"]
    found_links = (compiled.tables.links.get((mapping.system, each, entity)) for each in sets)
    links = [link for link in found_links if link is not None]
    there = [sa.exists().where(link.c.common_id == parent, link.c.ended_at.is_(None)) for link in links]
    record = paths.row.alias.c[flow.view.root_column or "id"]
    landed = sa.or_(sa.false(), *there)
    edge = _edge(flow, record, name, compiled.tables.common[entity], parent, need, landed, entity)
    yield sa.select(*edge).select_from(paths.join(paths.row.alias)).where(parent.is_not(None))


def _parts(compiled: Compiled, flow: CompiledMap) -> Iterator[sa.Select[Any]]:
    """A root waits for those of its parts that its own system shows and that are not merged yet."""
    for part in awaited_parts(compiled.schema, compiled.tables, flow.mapping.entity):
        parts, link, child, joined = shown_parts(compiled, part, flow.mapping.entity)
        own = compiled.tables.link_of(part.mapping)
        merged = sa.exists().where(own.c.mirror_id == child.c.id, own.c.ended_at.is_(None))
        landed = sa.and_(merged, sa.not_(in_trouble(part, child.c.id)))
        name = part.mapping.entity.entity
        edge = _edge(flow, link.c.common_id, name, parts, child.c.id, "required", landed, name)
        yield sa.select(*edge).select_from(joined).where(link.c.ended_at.is_(None))


def shown_parts(
    compiled: Compiled, part: PartSet, entity: CommonEntity
) -> tuple[sa.Table, sa.Table, sa.FromClause, sa.FromClause]:
    """Parts as their system shows them: mirror, crosswalk of the roots, the mirror's rows, and all that joined."""
    mirror, roots = compiled.tables.mirror(part.entity_set), compiled.tables.mirror(part.whole).alias("w")
    link, child = compiled.tables.links[part.whole.system, part.whole.name, entity.entity], mirror.alias("p")
    joined = link.join(roots, roots.c.id == link.c.mirror_id)
    return mirror, link, child, joined.join(child, same_values(child, roots, part.pointed.columns))
