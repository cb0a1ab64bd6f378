"""The hub's generated objects: capture triggers, functions and views; dropped and made again at every upgrade."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import REGCLASS, insert

from replicator import __version__
from replicator.core.mirror import set_origin
from replicator.hub import product_sql, states
from replicator.hub.sync_tables import entity_set, hub, map_
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.tables import DIGEST, OF_THE_MIRROR
from replicator.mapping.value_maps import DIRECTIONS, function_name, named_json
from replicator.solution import difference_views, record_fields, record_locations, record_names, unmatched
from replicator.solution.expression_check import check_expressions
from replicator.solution.flow_status import status
from replicator.solution.left_out import leaves_out
from replicator.solution.sql_text import body, comment, create_view, execute, fill

DROP = sql.SQL("""
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
""")


def drop_objects(connection: sa.Connection) -> None:
    """Drop every generated object; tables and ``sync.fold`` (which indexes use) stay."""
    execute(connection, DROP)


def create_objects(connection: sa.Connection, compiled: Compiled) -> None:
    """Make every generated object, note the maps, and note what the hub was compiled from and by."""
    for text in _base_texts(compiled):
        execute(connection, text)
    check_expressions(connection, compiled)
    for text in _view_texts(compiled):
        execute(connection, text)
    _note_maps(connection, compiled)
    _read_anew(connection, compiled)
    connection.execute(hub.delete())
    row = {"schema_hash": schema_hash(compiled), "version": __version__, "product_hash": product_sql.product_hash()}
    connection.execute(hub.insert().values(row))


def schema_hash(compiled: Compiled) -> str:
    """What a hub made from this schema by this program notes in ``sync.hub``: of all that its objects are made from.

    Of their text it would say the same, and each start would take a second to make that.
    """
    schema = compiled.schema
    sets = (each.spec for each in schema.entity_sets.values())
    digest = hashlib.sha256(f"{product_sql.makers_hash()} {list(schema.entity_sets)}".encode())
    for spec in (*schema.entities.values(), *sets, *schema.value_maps.values()):
        digest.update(spec.model_dump_json().encode())
    return digest.hexdigest()[:16]


def _base_texts(compiled: Compiled) -> Iterator[sql.Composable]:
    """The SQL of what the views are made on, in order: schema, functions and triggers."""
    yield sql.SQL("create schema desired")
    yield from _value_maps(compiled)
    for name in (
        "who",
        "clock",
        "here",
        "utf16",
        "analyze",
        "keys_as_text",
        "causes",
        "refuse_truncate",
        "digest",
        "retention",
    ):
        yield _text(name)
    yield sql.SQL("set local client_min_messages = warning")
    yield sql.SQL("select log.make_partitions()")
    for table in compiled.tables.captured:
        yield fill("capture", capture_values(table))
    for table in compiled.tables.mirrors.values():
        yield fill("forget_digest", {"table": sql.Identifier(table.schema or "", table.name)})
    for table in compiled.tables.metadata.tables.values():
        yield comment("table", sql.Identifier(table.schema or "", table.name), table.comment)
        yield from _column_comments((table.schema or "", table.name), table.columns)


def _view_texts(compiled: Compiled) -> Iterator[sql.Composable]:
    """The SQL of all other generated objects, in order."""
    for flow in compiled.maps:
        view = ("desired", flow.mapping.view_name)
        yield create_view(sql.Identifier(*view), flow.view.definition)
        yield comment("view", sql.Identifier(*view), flow.mapping.spec.description or flow.name)
        yield from _column_comments(view, [flow.view.target.c[column.name] for column in flow.view.columns])
        yield from _policies(flow)
    for flow in compiled.maps:
        differences = sql.Identifier("desired", difference_views.view_name(flow))
        yield create_view(differences, difference_views.of_map(compiled, flow))
        yield comment("view", differences, "Records of the map that are not in step, field by field")
    yield _sync_view("state", _states())
    yield _sync_view("orphans", unmatched.orphans(compiled))
    for name in ("views", "decisions", "pauses", "resync", "hints"):
        yield _text(name)
    yield _sync_view("crosswalk", record_names.crosswalk(compiled))
    yield _sync_view("status", status(compiled))
    yield _sync_view("pair", record_names.pairs(compiled))
    yield _sync_view("parents", record_names.parents(compiled))
    yield _sync_view("differences", difference_views.of_all(compiled))
    yield _sync_view("unexplained", difference_views.of_nobody())
    yield _sync_view("unlinked", unmatched.unlinked(compiled))
    yield _sync_view("unaccounted", unmatched.unaccounted(compiled))
    yield _sync_view("duplicates", unmatched.duplicates(compiled))
    yield record_names.FIND.format(body(record_names.find(compiled)))
    yield from _explaining(compiled)
    yield _text("comments")
    yield roles(compiled)


def _explaining(compiled: Compiled) -> Iterator[sql.Composable]:
    """Where a record is and was, why it is not where it should be, and how it came to be as it is."""
    yield _sync_view("captured", record_locations.captured(compiled))
    yield _sync_view("field", record_fields.fields(compiled))
    yield _sync_view("missing", record_locations.missing(compiled))
    yield _sync_view("part", record_locations.parts(compiled))
    yield record_locations.FIND_GONE.format(body(record_locations.find_gone(compiled)))
    for name in ("places", "history", "explain", "arrived", "alarms"):
        yield _text(name)


def _sync_view(name: str, definition: sa.Select[Any] | sa.CompoundSelect[Any]) -> sql.Composed:
    return create_view(sql.Identifier("sync", name), definition)


def _value_maps(compiled: Compiled) -> Iterator[sql.Composable]:
    """A function for each named value map in each direction."""
    for name, spec in compiled.schema.value_maps.items():
        for direction in DIRECTIONS:
            function = sql.Identifier("desired", function_name(name, direction))
            gives = sql.SQL("begin return {}::jsonb; end").format(named_json(spec, direction)).as_string()
            yield fill("value_map", {"function": function, "body": sql.Literal(gives)})
            yield comment("function", function, spec.description)


def _text(name: str) -> sql.Composed:
    """A file of the hub's SQL, with what it says of states filled in."""
    return fill(name, states.sql_values())


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


def roles(compiled: Compiled) -> sql.Composed:
    """Who may do what, for every object that was made before."""
    systems = compiled.schema.systems
    listed = {
        "schemas": ("common", "log", "sync", "desired", *systems), "systems": systems,
        "decisions": ("retry", "skip", "approve", "reject", "resolve", "pause", "resume", "resync"),
    }  # fmt: skip
    return fill("roles", {name: sql.SQL(", ").join(each) for name, each in listed.items()})


def capture_values(table: sa.Table) -> dict[str, sql.Composable]:
    """The placeholders of ``capture.sql`` for one captured table."""
    name = f"{table.schema}_{table.name}"
    columns = [sql.Identifier(column.name) for column in table.columns if column.name not in OF_THE_MIRROR]
    return {
        "table": sql.Identifier(table.schema or "", table.name),
        "function": sql.Identifier(f"capture_{name}"),
        "image": sql.Identifier(name),
        "columns": sql.SQL(", ").join(columns),
        "is_quiet": sql.SQL("cause = 'digest'" if DIGEST in table.c else "false"),
    }


def _column_comments(name: tuple[str, str], columns: Iterable[sa.Column[Any]]) -> Iterator[sql.Composable]:
    """What each column holds. Descriptions change with ``schema/`` and no table does, so they need no revision."""
    for column in columns:
        yield comment("column", sql.Identifier(*name, column.name), column.comment)


def _policies(flow: CompiledMap) -> Iterator[sql.Composable]:
    """Who decides a conflict, beside each field that either side may change."""
    for field, winner in flow.view.either.items() if flow.mapping.direction == "in" else ():
        column = sql.Identifier("desired", flow.mapping.view_name, field)
        yield comment("column", column, f"Either side may change it; in a conflict: {winner}")


def _note_maps(connection: sa.Connection, compiled: Compiled) -> None:
    connection.execute(map_.update().values(in_use=False))
    for flow in compiled.maps:
        row = {
            "direction": flow.mapping.direction, "system": flow.mapping.system, "rank": flow.rank,
            "source": flow.view.source.fullname, "target": flow.view.target.fullname, "root": flow.root,
            "hash": flow.hash, "in_use": True, "view_name": flow.mapping.view_name,
            "entity": flow.mapping.entity.entity, "entity_set": flow.mapping.entity_set.name,
            "leaves_out": leaves_out(flow.mapping.spec.when),
        }  # fmt: skip
        statement = insert(map_).values(name=flow.name, **row)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=row))
    # Nobody looks at the records of a map that is gone: put back, it looks at all of them.
    connection.execute(map_.update().where(sa.not_(map_.c.in_use)).values(marked_hash=None))


def _read_anew(connection: sa.Connection, compiled: Compiled) -> None:
    """What was read into another mirror, or without one of its columns, is read whole; what is gone is forgotten."""
    sets = compiled.tables.mirrors
    known = sa.tuple_(entity_set.c.system, entity_set.c.entity_set)
    connection.execute(entity_set.delete().where(known.not_in(list(sets))))
    for (system, name), mirror in sets.items():
        made_of = sa.func.sync.made_of(sa.cast(mirror.fullname, REGCLASS))
        mine = sa.and_(entity_set.c.system == system, entity_set.c.entity_set == name)
        other = entity_set.c.made_of.is_distinct_from(made_of)
        anew = entity_set.update().where(mine, other).values(token=None, whole_at=None, made_of=made_of)
        if connection.execute(anew).rowcount:
            set_origin(connection, "digest")  # the rows are known, but not what the new columns are to hold of them
            connection.execute(mirror.update().where(mirror.c[DIGEST].is_not(None)).values({DIGEST: None}))
            set_origin(connection, "")
