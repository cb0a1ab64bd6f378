"""The data at hand: values that no map knows, key conflicts, look-ups that find nothing or too much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from replicator.config import Configuration
from replicator.hub.planner import prefer_whole_joins
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.field_values import Values
from replicator.mapping.join_paths import Paths
from replicator.mapping.key_comparison import comparable, fold, said
from replicator.mapping.language import FieldMap
from replicator.mapping.literals import as_text, equals, folded
from replicator.mapping.schema import column_name
from replicator.mapping.tables import common_key
from replicator.operate.preflight.findings import Report
from replicator.text import many

_SHOWN_MAX = 20
"""Of values or keys of one map; the rest is counted."""


def check(connection: sa.Connection, compiled: Compiled, configuration: Configuration, notes: Report) -> None:
    """Look at what the mirrors and common hold now."""
    for flow in compiled.maps:
        with notes.looking(flow.name), connection.begin():
            prefer_whole_joins(connection)
            for name, spec in flow.mapping.spec.fields.items():
                if spec.value_map is not None:
                    _values(connection, compiled, flow, name, spec, notes)
                if spec.lookup is not None and spec.where:
                    _lookup(connection, compiled, configuration, flow, name, spec, notes)
    for entity in compiled.schema.entities:
        with notes.looking(entity), connection.begin():
            prefer_whole_joins(connection)
            _key_conflicts(connection, compiled, entity, notes)
    with notes.looking("keys"), connection.begin():
        _doubles(connection, notes)


def _values(
    connection: sa.Connection, compiled: Compiled, flow: CompiledMap, name: str, spec: FieldMap, notes: Report
) -> None:
    """Values that no entry of the map covers, of records that are rejected: others are left out, or history."""
    mapping = flow.mapping
    kind = mapping.entity_set if mapping.direction == "in" else mapping.entity
    paths = Paths(compiled.schema, compiled.tables, mapping, kind, "s")
    translations, ignore_case = Values(paths, mapping, paths.row).translations(name, spec)
    value = sa.cast(paths.column(spec.value_map or ""), sa.Text)
    compared = fold(value) if ignore_case else value
    wanted = flow.view.view.alias("v")
    rejected = sa.select(wanted.c.source_id).where(wanted.c.verdict == "invalid")
    known = [folded(as_text(each)) if ignore_case else as_text(each) for each in translations]
    records = sa.func.count().label("records")
    query = (
        sa.select(sa.func.min(value).label("value"), records, sa.func.count().over().label("kinds"))
        .select_from(paths.join(paths.row.alias))
        .where(
            paths.row.alias.c.id.in_(rejected),
            said(value).is_not(None),
            compared != sa.all_(sa.literal(known, sa.ARRAY(sa.Text))),
        )
        .group_by(compared)
        .order_by(records.desc(), sa.literal_column("1"))
        .limit(_SHOWN_MAX)
    )
    rows = connection.execute(query).all()
    for row in rows:
        what = f"the value map of '{name}' does not know '{row.value}' of {spec.value_map}"
        notes.found(flow.name, f"{what}: {many(row.records, 'record')}", "add it to the map, or mend the records")
    if rows and rows[0].kinds > len(rows):
        notes.found(flow.name, f"the value map of '{name}' lacks {rows[0].kinds - len(rows)} values more")


def _lookup(
    connection: sa.Connection, compiled: Compiled, configuration: Configuration, flow: CompiledMap, name: str,
    spec: FieldMap, notes: Report,
) -> None:  # fmt: skip
    """A record that all records of the map look up: without it all wait, with two the choice would be a guess."""
    mapping, searched = flow.mapping, spec.lookup or ""
    if spec.match:
        return
    words = " and ".join(f"{field} {as_text(value)}" for field, value in spec.where.items())
    if mapping.direction == "in":
        given = configuration.records.get(searched, ())
        left = _left_in_hub(connection, compiled, searched, spec.where, given)
        wanted = comparable(tuple(spec.where.values()))
        count = len(left) + sum(comparable(tuple(each.get(name) for name in spec.where)) == wanted for each in given)
        missing = f"see 'records: {searched}:' in the configuration"
    else:
        table, left = compiled.tables.mirrors[mapping.system, searched], []
        same = (equals(table.c[column_name(field)], value) for field, value in spec.where.items())
        count = connection.execute(sa.select(sa.func.count()).select_from(table).where(*same)).scalar_one()
        missing = f"create it in {mapping.system}, or read {mapping.system}.{searched} first"
    if count == 0:
        notes.found(flow.name, f"there is no {searched} with {words}, and every record waits for it", missing)
    elif count > 1 and spec.order_by is None:
        beside = f"; the hub holds {', '.join(left)}, and the configuration does not" if left and given else ""
        what = f"there are {count} {searched} with {words}, and '{name}' means one{beside}"
        delete = f"give it there, or delete it from common.{searched} when nothing points at it any more"
        notes.found(flow.name, what, delete if beside else "leave one of them")


def _left_in_hub(
    connection: sa.Connection, compiled: Compiled, entity: str, where: Mapping[str, Any],
    given: Sequence[Mapping[str, Any]],
) -> list[str]:  # fmt: skip
    """The keys of some common records with these values that the configuration does not hold, and so leaves alone."""
    table, key = compiled.tables.common[entity], compiled.schema.entities[entity].key
    same = (equals(table.c[field], value) for field, value in where.items())
    columns = [table.c[name] for name in common_key(compiled.schema.entities[entity])]
    rows = connection.execute(sa.select(*columns).where(*same).limit(_SHOWN_MAX + len(given))).all()
    known = {comparable(tuple(each.get(name) for name in key)) for each in given}
    return [",".join(map(str, row)) for row in rows if comparable(tuple(row)) not in known]


def _key_conflicts(connection: sa.Connection, compiled: Compiled, entity: str, notes: Report) -> None:
    """Records of one system that want to be one common record."""
    maps = [flow for flow in compiled.inbound() if flow.mapping.entity.entity == entity]
    key = common_key(compiled.schema.entities[entity])
    for system, of_system in groupby(maps, key=lambda flow: flow.mapping.system):
        arms = [_wanted(flow, key) for flow in of_system]
        wanted = sa.union_all(*arms).subquery("wanted")
        keys = [wanted.c[f"key_{place}"] for place in range(len(key))]
        records = sa.func.string_agg(wanted.c.record, sa.literal(", ")).label("records")
        query = (
            sa.select(records, sa.func.count().over().label("keys"))
            .where(*(each.is_not(None) for each in keys))
            .group_by(*keys)
            .having(sa.func.count() > 1)
            .limit(_SHOWN_MAX)
        )
        rows = connection.execute(query).all()
        for row in rows:
            notes.found(f"{system} > {entity}", f"records bear one key: {row.records}", "renumber all but one of them")
        if rows and rows[0].keys > len(rows):
            notes.found(f"{system} > {entity}", f"{rows[0].keys - len(rows)} keys more are borne by several records")


def _wanted(flow: CompiledMap, key: Sequence[str]) -> sa.Select[Any]:
    """The keys that a map wants, as keys are compared, and the records by their systems' keys besides."""
    v, s = flow.view.view.alias("v"), flow.view.source.alias("s")
    columns: list[sa.ColumnElement[Any]] = [fold(v.c[name]).label(f"key_{place}") for place, name in enumerate(key)]
    own = flow.view.paths.key_of(s, flow.mapping.entity_set)
    named = sa.func.concat(f"{flow.mapping.entity_set.name} ", v.c.record, " (", own, ")")
    both = v.join(s, s.c.id == v.c.source_id)
    return sa.select(named.label("record"), *columns).select_from(both).where(v.c.verdict == "present")


def _doubles(connection: sa.Connection, notes: Report) -> None:
    """Records of targets that bear one key."""
    view = sa.table("duplicates", *map(sa.column, ("system", "entity_set", "key", "mirror_ids")), schema="sync")
    for row in connection.execute(sa.select(view).limit(_SHOWN_MAX)):
        what = f"{len(row.mirror_ids)} records bear the key {row.key}"
        notes.found(f"{row.system}.{row.entity_set}", what, "delete or rename all but one of them in the system")
