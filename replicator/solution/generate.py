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
from replicator.hub import product_sql, states
from replicator.hub.sync_tables import hub, map_
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.tables import ETAG
from replicator.solution import difference_views, record_fields, record_locations, record_names, unmatched
from replicator.solution.expression_check import check_expressions
from replicator.solution.flow_status import status
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
    row = {"schema_hash": digest, "version": __version__, "product_hash": product_sql.product_hash()}
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
    template = product_sql.sql("capture")
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
        name = f"desired.{_quote(difference_views.view_name(flow))}"
        yield create_view(name, difference_views.of_map(compiled, flow))
        yield f"comment on view {name} is 'Records of the map that are not in step, field by field'"
    yield create_view("sync.state", _states())
    yield "comment on view sync.state is 'How a record may stand that is not in step, and what follows from it'"
    for name in ("views", "decisions", "pauses", "resync"):
        yield _text(name)
    yield create_view("sync.crosswalk", record_names.crosswalk(compiled))
    yield "comment on view sync.crosswalk is 'Which record of a system is which common record'"
    yield "comment on column sync.crosswalk.system_key is 'The key fields of the system, joined by commas'"
    yield create_view("sync.status", status(compiled))
    yield "comment on view sync.status is 'How each flow stands'"
    yield create_view("sync.pair", record_names.pairs(compiled))
    yield "comment on view sync.pair is 'All crosswalks as one, by the ids of both sides'"
    yield create_view("sync.parents", record_names.parents(compiled))
    yield "comment on view sync.parents is 'What each record points at on its way, and whether that has landed'"
    yield create_view("sync.differences", difference_views.of_all(compiled))
    yield "comment on view sync.differences is 'Records whose counterpart is not as it should be, field by field'"
    yield create_view("sync.unexplained", difference_views.of_nobody())
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
    yield create_view("sync.field", record_fields.fields(compiled))
    yield "comment on view sync.field is 'The fields of the captured tables, and which belong together'"
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
    return fill(product_sql.sql(name), states.sql_values())


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
    return fill(product_sql.sql("roles"), values)


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
