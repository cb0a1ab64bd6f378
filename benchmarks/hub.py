"""A server with the product's own settings for the time of a run, and hubs made straight from the compiled schema."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import sqlalchemy as sa
from psycopg import sql

from replicator.hub import embedded, sync_tables, sync_tables_for_people
from replicator.hub.connection import connect
from replicator.mapping.compiled import Compiled, compile_schema
from replicator.mapping.schema import load
from replicator.solution.generate import create_objects

_HERE = Path(__file__).resolve().parent
_EXPLAIN = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "100ms",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_triggers": "on",
    "auto_explain.log_nested_statements": "on",
}
_RIGHTS = """\
GRANT pg_checkpoint, pg_write_server_files TO hub
GRANT SET ON PARAMETER commit_delay, commit_siblings TO hub
"""
"""What is done to measure, and not by the product."""
_FOLD = """
create function sync.fold(value text) returns text language sql immutable strict parallel safe
return lower(normalize(btrim(value, ' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13)
    || chr(160) || chr(8203) || chr(8288) || chr(12288) || chr(65279)), NFC))
"""


@contextmanager
def server(plans: Path | None) -> Iterator[str]:
    """The URL of a fresh server, which ends with the run. Its log, with plans of slow statements, goes to ``plans``."""
    home = Path(tempfile.mkdtemp(prefix="hub-benchmarks-", dir="/tmp"))
    home.chmod(0o711)
    try:
        embedded.administer(home / "home", _RIGHTS)
        yield embedded.start(home / "home", die_with_parent=True, settings=_EXPLAIN if plans else {}).url
    finally:
        embedded.stop(home / "home", mode="immediate")
        if plans:
            shutil.copy(home / "home" / "log", plans)
        shutil.rmtree(home, ignore_errors=True)


def compiled(*systems: str) -> Compiled:
    """The benchmark's schema, with these systems only."""
    schema = load(_HERE / "schema")
    sets = {key: found for key, found in schema.entity_sets.items() if key[0] in systems}
    return compile_schema(replace(schema, entity_sets=sets))


@contextmanager
def hub(server_url: str, name: str, model: Compiled) -> Iterator[sa.Engine]:
    """A fresh database with the hub's tables and generated objects."""
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    engine = connect(url)
    try:
        with engine.begin() as connection:
            make_hub(connection, model)
        yield engine
    finally:
        engine.dispose()
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def make_hub(connection: sa.Connection, model: Compiled) -> None:
    """What the migrations make, for another schema than the product's."""
    for schema in ("common", "log", "sync", *model.schema.systems):
        connection.execute(sa.schema.CreateSchema(schema))
    connection.execute(sa.text(_FOLD))
    connection.execute(sa.text("create sequence log.change_seq cache 100"))
    connection.execute(sa.text("create table sync.alembic_version (version_num text primary key)"))
    sync_tables_for_people.metadata.create_all(connection)
    model.tables.metadata.create_all(connection)
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    for table in (sync_tables.change, *model.tables.images.values()):
        partition = sql.SQL("create table log.{} partition of log.{} default")
        driver.execute(partition.format(sql.Identifier(f"{table.name}_default"), sql.Identifier(table.name)))
    create_objects(connection, model)


def settle_down(engine: sa.Engine) -> None:
    """Statistics and a checkpoint, outside of what is measured."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("vacuum analyze"))
        connection.execute(sa.text("checkpoint"))
