"""The hub's generated objects: capture triggers, functions and views; dropped and made again at every upgrade."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import insert

from replicator import __version__
from replicator.hub import program, states
from replicator.hub.sync_tables import conflict, delivery, hub, map_, quarantine
from replicator.hub.sync_tables import entity_set as read_state
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.schema import column_name
from replicator.mapping.tables import ETAG
from replicator.solution import differences, record_locations, record_names, unmatched
from replicator.solution.expression_check import check_expressions
from replicator.solution.sql_text import body, create_view, execute

_dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
_quote = _dialect.identifier_preparer.quote

DROP = """
do $drop$
declare
    views text[];
    functions text[];
    item text;
begin
    drop schema if exists desired cascade;
    -- Named before the first is dropped: others go with it.
    select coalesce(array_agg(c.oid::regclass::text), '{}') into views from pg_class c
    where c.relkind = 'v' and c.relnamespace::regnamespace::text in ('sync', 'log');
    select coalesce(array_agg(p.oid::regprocedure::text), '{}') into functions from pg_proc p
    where p.pronamespace::regnamespace::text in ('sync', 'log') and p.proname <> 'fold';
    foreach item in array views loop
        execute 'drop view if exists ' || item || ' cascade';
    end loop;
    foreach item in array functions loop
        execute 'drop function if exists ' || item || ' cascade';
    end loop;
end
$drop$
"""


def drop_objects(connection: sa.Connection) -> None:
    """Drop every generated object; tables and ``sync.fold`` (which indexes use) stay."""
    execute(connection, DROP)


def create_objects(connection: sa.Connection, compiled: Compiled) -> None:
    """Make every generated object, note the maps, and note what the hub was compiled from and by."""
    base, views = list(_base_texts(compiled)), list(_view_texts(compiled))
    for text in base:
        execute(connection, text)
    check_expressions(connection, compiled)
    for text in views:
        execute(connection, text)
    _note_maps(connection, compiled)
    digest = _digest([*base, *views])
    connection.execute(hub.delete())
    row = {"schema_hash": digest, "version": __version__, "product_hash": program.product_hash()}
    connection.execute(hub.insert().values(row))


def schema_hash(compiled: Compiled) -> str:
    """What a hub made from this schema notes in ``sync.hub``."""
    return _digest([*_base_texts(compiled), *_view_texts(compiled)])


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _base_texts(compiled: Compiled) -> Iterator[str]:
    """The SQL of what the views are made on, in order: schema, functions and triggers."""
    yield "create schema desired"
    yield "comment on schema desired is 'What common and each system should hold, by map'"
    for name in ("who", "clock", "analyze", "keys_as_text", "causes", "refuse_truncate", "retention"):
        yield _text(name)
    yield "set local client_min_messages = warning"
    yield "select log.make_partitions()"
    template = program.sql("capture")
    for table in compiled.tables.captured:
        yield fill(template, capture_values(table))
    for table in compiled.tables.metadata.tables.values():
        name = f"{_quote(table.schema or '')}.{_quote(table.name)}"
        yield " ".join(("comment on table", name, "is", _literal(table.comment)))
        yield from _column_comments(name, table.columns)


def _view_texts(compiled: Compiled) -> Iterator[str]:
    """The SQL of all other generated objects, in order."""
    for flow in compiled.maps:
        name = f"desired.{_quote(flow.mapping.view_name)}"
        yield create_view(name, flow.view.definition)
        yield _comment(name, flow)
        yield from _column_comments(name, [flow.view.target.c[column.name] for column in flow.view.columns])
        yield from _policies(flow)
    for flow in compiled.maps:
        name = f"desired.{_quote(differences.view_name(flow))}"
        yield create_view(name, differences.of_map(compiled, flow))
        yield f"comment on view {name} is 'Records of the map that are not in step, field by field'"
    yield create_view("sync.state", _states())
    yield "comment on view sync.state is 'How a record may stand that is not in step, and what follows from it'"
    for name in ("views", "decisions", "pauses", "resync"):
        yield _text(name)
    yield create_view("sync.crosswalk", crosswalk(compiled))
    yield "comment on view sync.crosswalk is 'Which record of a system is which common record'"
    yield "comment on column sync.crosswalk.system_key is 'The key fields of the system, joined by commas'"
    yield create_view("sync.status", status(compiled))
    yield "comment on view sync.status is 'How each flow stands'"
    yield create_view("sync.pair", record_names.pairs(compiled))
    yield "comment on view sync.pair is 'All crosswalks as one, by the ids of both sides'"
    yield create_view("sync.parents", record_names.parents(compiled))
    yield "comment on view sync.parents is 'What each record points at on its way, and whether that has landed'"
    yield create_view("sync.differences", differences.of_all(compiled))
    yield "comment on view sync.differences is 'Records whose counterpart is not as it should be, field by field'"
    yield create_view("sync.unexplained", differences.of_nobody())
    yield "comment on view sync.unexplained is 'The balance: records that are not in step and no delivery says why'"
    yield create_view("sync.unlinked", unmatched.unlinked(compiled))
    yield "comment on view sync.unlinked is 'Records of targets that are paired with no common record; never touched'"
    yield "comment on column sync.unlinked.parted_at is 'When it was last parted from one; null where it never had one'"
    yield create_view("sync.duplicates", unmatched.duplicates(compiled))
    yield "comment on view sync.duplicates is 'Records of a target that bear one business key, as keys are compared'"
    yield "comment on column sync.duplicates.linked is 'Those among mirror_ids that are paired with a common record'"
    yield " ".join((record_names.FIND, "$find$", body(record_names.find(compiled)), "$find$"))
    yield "comment on function sync.find is 'The records that an entity, or system.EntitySet, and a key mean'"
    yield from _explaining(compiled)
    yield _text("comments")
    yield roles(compiled)


def _explaining(compiled: Compiled) -> Iterator[str]:
    """Where a record is and was, why it is not where it should be, and how it came to be as it is."""
    yield create_view("sync.captured", record_locations.captured(compiled))
    yield "comment on view sync.captured is 'The captured tables, their before-images, and the column of their label'"
    yield create_view("sync.missing", record_locations.missing(compiled))
    yield "comment on view sync.missing is 'Inbound: what records point at that is not in its mirror'"
    yield create_view("sync.part", record_locations.parts(compiled))
    yield "comment on view sync.part is 'The parts of each common record, in common and in the mirrors'"
    yield " ".join((record_locations.FIND_GONE, "$find$", body(record_locations.find_gone(compiled)), "$find$"))
    yield "comment on function sync.find_gone is 'Records deleted since: those that an entity and a key meant'"
    for name in ("places", "history", "explain_flow", "explain", "arrived", "alarms"):
        yield _text(name)


def _text(name: str) -> str:
    """A file of the hub's SQL, with what it says of states filled in."""
    return fill(program.sql(name), states.sql_values())


def _plain(text: str) -> str:
    return text.replace("`", "")


def _states() -> sa.CompoundSelect[Any]:
    """The table of states, for people with SQL."""
    rows = (
        sa.select(
            sa.literal(each.name).label("state"), sa.literal(_plain(each.meaning)).label("meaning"),
            sa.literal(_plain(each.todo)).label("todo"), sa.literal(each.next).label("next"),
            sa.literal(each.moves).label("moves"), sa.literal(each.needs_person).label("needs_person"),
            sa.literal(each.may_retry).label("may_retry"), sa.literal(each.may_skip).label("may_skip"),
            sa.literal(each.settled).label("settled"),
        )
        for each in states.ALL
    )  # fmt: skip
    return sa.union_all(*rows)


def roles(compiled: Compiled) -> str:
    """Who may do what, for every object that was made before."""

    def listed(*names: str) -> str:
        return ", ".join("'" + name + "'" for name in names)

    systems = compiled.schema.systems
    values = {
        "schemas": listed("common", "log", "sync", "desired", *systems), "systems": listed(*systems),
        "decisions": listed("retry", "skip", "approve", "reject", "resolve", "pause", "resume", "resync"),
    }  # fmt: skip
    return fill(program.sql("roles"), values)


def fill(template: str, values: dict[str, str]) -> str:
    """A template of ``replicator/hub/sql`` with its ``@{placeholders}`` filled in."""
    return re.sub(r"@\{(\w+)\}", lambda match: values[match[1]], template)


def capture_values(table: sa.Table) -> dict[str, str]:
    """The placeholders of ``capture.sql`` for one captured table."""
    name = f"{table.schema}_{table.name}"
    columns = [_quote(column.name) for column in table.columns if column.name != ETAG]
    return {
        "table": f"{_quote(table.schema or '')}.{_quote(table.name)}",
        "function": _quote(f"capture_{name}"),
        "image": _quote(name),
        "columns": ", ".join(columns),
    }


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


def status(compiled: Compiled) -> sa.CompoundSelect[Any]:
    """One row per flow: how many records, how they stand, and when they were last read."""
    return sa.union_all(*(_status_of(compiled, flow) for flow in compiled.maps if flow.root is None))


def _status_of(compiled: Compiled, flow: CompiledMap) -> sa.Select[Any]:
    view, mapping = flow.view, flow.mapping
    side = "mirror_id" if mapping.direction == "in" else "common_id"
    waiting = (
        sa.exists()
        .where(delivery.c.map_id == map_.c.id, delivery.c.record_id == view.link.c[side])
        .correlate(map_, view.link)
    )
    linked = sa.select(sa.func.count()).select_from(view.link).where(view.link.c.ended_at.is_(None), sa.not_(waiting))

    def count(*names: str) -> sa.ColumnElement[int]:
        wanted = delivery.c.state.in_([sa.literal_column(f"'{name}'") for name in names])
        return (
            sa.select(sa.func.count()).where(delivery.c.map_id == map_.c.id, wanted).correlate(map_).scalar_subquery()
        )

    conflicts = (
        sa.select(sa.func.count())
        .where(conflict.c.map_id == map_.c.id, conflict.c.state == sa.literal_column("'open'"))
        .correlate(map_).scalar_subquery()
    )  # fmt: skip
    counts = {column: count(*states.counted_in(column)) for column in states.COLUMNS}
    counts |= {states.QUARANTINED.counted: _quarantined(flow), states.CONFLICT.counted: conflicts}
    moving: list[sa.ColumnElement[str]] = [
        sa.literal_column(f"'{each.name}'") for each in states.DELIVERY if each.moves
    ]
    oldest = (
        sa.select(sa.func.min(delivery.c.since))
        .where(delivery.c.map_id == map_.c.id, delivery.c.state.in_(moving))
        .correlate(map_).scalar_subquery()
    )  # fmt: skip
    return (
        sa.select(
            map_.c.name.label("flow"),
            map_.c.rank,
            sa.select(sa.func.count()).select_from(view.source).scalar_subquery().label("records"),
            sa.select(sa.func.count()).select_from(compiled.tables.mirror(mapping.entity_set)).scalar_subquery().label("mirrored"),
            linked.correlate(map_).scalar_subquery().label("in_step"),
            *(how_many.label(column) for column, how_many in counts.items()),
            read_state.c.read_at.label("last_snapshot"),
            read_state.c.problem,
            oldest.label("oldest"),
            sa.func.greatest(sa.extract("epoch", sa.func.sync.now() - oldest), 0).label("lag_seconds"),
            map_.c.last_success_at.label("last_success"),
            sa.func.sync.is_paused(map_.c.id).label("paused"),
            map_.c.mode,
        )
        .select_from(map_.outerjoin(read_state, sa.and_(
            read_state.c.system == mapping.system, read_state.c.entity_set == mapping.entity_set.name)))
        .where(map_.c.name == flow.name)
    )  # fmt: skip


def _quarantined(flow: CompiledMap) -> sa.ColumnElement[int]:
    """Records that an inbound map has never seen as they are: a snapshot could not take them in."""
    if flow.mapping.direction == "out":
        return sa.literal_column("0")
    entity_set = flow.mapping.entity_set
    own = sa.and_(quarantine.c.system == entity_set.system, quarantine.c.entity_set == entity_set.name)
    record = sa.func.coalesce(quarantine.c.key, sa.cast(quarantine.c.id, sa.Text))
    return sa.select(sa.func.count(record.distinct())).where(own).scalar_subquery()


def _comment(name: str, flow: CompiledMap) -> str:
    return " ".join(("comment on view", name, "is", _literal(flow.mapping.spec.description or flow.name)))


def _literal(text: str | None) -> str:
    return "'" + (text or "").replace("'", "''") + "'"


def _column_comments(name: str, columns: Iterable[sa.Column[Any]]) -> Iterator[str]:
    """What each column holds. Descriptions change with ``schema/`` and no table does, so they need no revision."""
    for column in columns:
        yield " ".join(("comment on column", f"{name}.{_quote(column.name)}", "is", _literal(column.comment)))


def _policies(flow: CompiledMap) -> Iterator[str]:
    """Who decides a conflict, beside each field that either side may change."""
    for field, winner in flow.view.either.items() if flow.mapping.direction == "in" else ():
        column = ".".join(("desired", _quote(flow.mapping.view_name), _quote(field)))
        yield " ".join(("comment on column", column, "is 'Either side may change it; in a conflict:", winner + "'"))


def _note_maps(connection: sa.Connection, compiled: Compiled) -> None:
    connection.execute(map_.update().values(in_use=False))
    for flow in compiled.maps:
        row = {
            "direction": flow.mapping.direction, "system": flow.mapping.system, "rank": flow.rank,
            "source": flow.view.source.fullname, "target": flow.view.target.fullname, "root": flow.root,
            "hash": flow.hash, "in_use": True, "view_name": flow.mapping.view_name,
            "entity": flow.mapping.entity.entity, "entity_set": flow.mapping.entity_set.name,
        }  # fmt: skip
        statement = insert(map_).values(name=flow.name, **row)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
