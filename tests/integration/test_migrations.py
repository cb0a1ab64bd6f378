"""Migrations: any hub becomes this program's hub, by hand or by Alembic, and no other hub is worked on."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa
from alembic import command

from replicator.core.hub_handle import Handle
from replicator.core.mark import mark_window
from replicator.errors import HubMismatch, SchemaError
from replicator.hub import embedded
from replicator.hub.connection import connect
from replicator.mapping.compiled import Compiled, compile_folder
from replicator.solution.hub_fits import check_hub
from replicator.solution.migrate import MigrationTarget, alembic_config, migrate
from tests.fixtures.hub import SCHEMA, SOLUTION
from tests.fixtures.load import Filling, Size
from tests.fixtures.postgres import OLDEST, database

pytestmark = pytest.mark.thorough

SCHEMAS = ("common", "desired", "log", "ops", "sales", "sync")
OBJECTS = """
select 'view ' || c.oid::regclass || pg_get_viewdef(c.oid) from pg_class c
where c.relkind = 'v' and c.relnamespace::regnamespace::text = any(:schemas)
union all
select 'function ' || pg_get_functiondef(p.oid) from pg_proc p where p.pronamespace::regnamespace::text = any(:schemas)
union all
select 'trigger ' || pg_get_triggerdef(t.oid) || t.tgenabled::text from pg_trigger t
join pg_class c on c.oid = t.tgrelid
where not t.tgisinternal and c.relnamespace::regnamespace::text = any(:schemas)
"""


@pytest.fixture
def empty_url(server_url: str) -> Iterator[str]:
    """The URL of a database with nothing in it."""
    with database(server_url) as url:
        yield url


@pytest.fixture
def empty(empty_url: str, compiled: Compiled) -> Iterator[MigrationTarget]:
    """A database with nothing in it, to be migrated."""
    engine = connect(empty_url)
    yield MigrationTarget(engine, compiled, SOLUTION)
    engine.dispose()


@pytest.fixture
def target(hub: sa.Engine, compiled: Compiled) -> MigrationTarget:
    """This test's hub, which is up to date."""
    return MigrationTarget(hub, compiled, SOLUTION)


def rows(target: MigrationTarget, query: str) -> list[str]:
    """The first column of a query."""
    with target.engine.connect() as connection:
        return list(connection.execute(sa.text(query), {"schemas": list(SCHEMAS)}).scalars())


def run(target: MigrationTarget, *statements: str) -> None:
    with target.engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def relations(target: MigrationTarget) -> set[str]:
    """Tables and views that a hub consists of; of the log's days not which they are: midnight may lie between two."""
    names = rows(
        target,
        "select oid::regclass::text from pg_class "
        "where relnamespace::regnamespace::text = any(:schemas) and relkind in ('r', 'p', 'v', 'S')",
    )
    return {re.sub(r"_\d{8}$", "_DAY", name) for name in names}


def objects(target: MigrationTarget) -> set[str]:
    """The definitions of all generated objects."""
    return set(rows(target, OBJECTS))


def test_an_empty_database_becomes_a_hub(empty: MigrationTarget, target: MigrationTarget) -> None:
    migrate(empty)
    check_hub(empty)
    assert relations(empty) == relations(target)
    assert {"sales.accounts", "common.quote", "log.change", "sync.status"} <= relations(empty)


def test_a_hub_can_be_taken_down_and_made_again(empty: MigrationTarget) -> None:
    migrate(empty)
    before = relations(empty), objects(empty)
    command.downgrade(alembic_config(empty), "base")
    assert relations(empty) == {"sync.alembic_version"}
    assert rows(empty, "select typname from pg_type where typnamespace = 'sync'::regnamespace and typtype = 'e'") == []
    migrate(empty)
    check_hub(empty)
    assert (relations(empty), objects(empty)) == before


def test_migrating_again_changes_nothing_a_user_wrote(filled: Filling) -> None:
    target = MigrationTarget(filled.connection.engine, filled.compiled, SOLUTION)
    tables = [*filled.compiled.tables.captured, *filled.compiled.tables.links.values()]
    queries = [f"select count(*) from {table.fullname}" for table in tables]
    before = [rows(target, query) for query in [*queries, "select count(*) from log.change"]]
    migrate(target)
    assert [rows(target, query) for query in [*queries, "select count(*) from log.change"]] == before
    assert mark_window(filled.hub) is None


def test_models_and_database_are_the_same(target: MigrationTarget) -> None:
    """What Alembic would write into the next revision: nothing."""
    command.check(alembic_config(target))


@pytest.mark.parametrize(
    "damage",
    [
        'drop view desired."ops_customers_v3__account" cascade',
        "drop schema desired cascade",
        "drop view sync.status",
        "drop trigger capture_update on common.quote",
        "alter table sales.accounts disable trigger capture_insert",
        "drop view sync.blocked; create view sync.blocked as select 'nothing' as record",
        "create or replace function sync.today() returns date language sql stable as $$ select date '2000-01-01' $$",
        "drop function log.capture_common_quote cascade",
        "create view sync.mine as select 1 as one",
        "create trigger capture_twice after insert on common.unit for each statement "
        "execute function log.refuse_truncate()",
    ],
)
def test_what_somebody_changed_by_hand_is_made_again(target: MigrationTarget, damage: str) -> None:
    before = objects(target)
    run(target, *damage.split("; "))
    assert objects(target) != before
    migrate(target)
    assert objects(target) == before


def test_a_migration_that_fails_leaves_the_hub_as_it_was(target: MigrationTarget) -> None:
    run(target, "alter table common.unit rename to was_unit")
    before = objects(target)
    with pytest.raises(HubMismatch, match=r"common\.unit"):
        migrate(target)
    assert objects(target) == before


# Plain SQL, which only PostgreSQL can judge


QUANTITY = "      RequestedSalesQuantity: quantity\n"


def with_plain_sql(folder: Path, line: str, expression: str) -> Path:
    """A copy of the schema, in which a line of the quotation lines' map is a field made by this expression."""
    shutil.copytree(SCHEMA, folder)
    file = folder / "ops/CDSSalesQuotationLines.yaml"
    text = file.read_text(encoding="utf-8")
    assert text.count(line) == 1
    field = line.partition(":")[0]
    file.write_text(text.replace(line, f'{field}: {{sql: "{expression}"}}\n'), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("{quantity} is what", 'PostgreSQL refuses it: syntax error at or near "what"'),
        ("{quantity}, {price}", 'PostgreSQL refuses it: column "value" has pseudo-type record'),
        ("quantity * 2", 'PostgreSQL refuses it: column "quantity" does not exist'),
        ("rounded({quantity})", "PostgreSQL refuses it: function rounded(numeric) does not exist"),
        ("sum({quantity})", "PostgreSQL refuses it: aggregate functions are not allowed in VALUES"),
        ("generate_series(1, {sequence})", "PostgreSQL refuses it: set-returning functions are not allowed in VALUES"),
        ("{description}", "it gives text, and decimal is wanted"),
        ("{quantity} > 1", "it gives boolean, and decimal is wanted"),
        ("'many'", "it gives text, and decimal is wanted"),
    ],
)
def test_plain_sql_that_is_wrong_is_told_with_file_line_and_field(
    target: MigrationTarget, tmp_path: Path, expression: str, words: str
) -> None:
    before = objects(target)
    folder = with_plain_sql(tmp_path / "schema", QUANTITY, expression)
    with pytest.raises(SchemaError) as caught:
        migrate(MigrationTarget(target.engine, compile_folder(folder), SOLUTION))
    place = "ops/CDSSalesQuotationLines.yaml:25: maps.0.fields.RequestedSalesQuantity.sql: "
    assert caught.value.message == f"{folder}/{place}{words}"
    assert objects(target) == before


@pytest.mark.parametrize(
    "expression",
    ["{quantity} * 2 % 7", "{sequence}", "1 / coalesce({quantity}, 0)", "extract(day from {requested_delivery_date})"],
)
def test_plain_sql_of_its_fields_type_is_taken_without_being_computed(
    target: MigrationTarget, tmp_path: Path, expression: str
) -> None:
    folder = with_plain_sql(tmp_path / "schema", QUANTITY, expression)
    migrate(MigrationTarget(target.engine, compile_folder(folder), SOLUTION))
    assert rows(target, "select to_regclass('desired.tried')::text") == [None]


def test_every_wrong_expression_is_told_at_once(target: MigrationTarget, tmp_path: Path) -> None:
    folder = with_plain_sql(tmp_path / "schema", QUANTITY, "{quantity} is what")
    file = folder / "ops/CDSSalesQuotationLines.yaml"
    condition = "    when:\n      - sql: '{quantity}'\n    fields:\n"
    file.write_text(file.read_text(encoding="utf-8").replace("    fields:\n", condition), encoding="utf-8")
    whole = folder / "ops/CDSSalesQuotationHeaders.yaml"
    whole.write_text(whole.read_text(encoding="utf-8").replace(" = {quote.organization}", ""), encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        migrate(MigrationTarget(target.engine, compile_folder(folder), SOLUTION))
    assert [line.partition("yaml:")[2] for line in caught.value.message.splitlines()] == [
        "35: maps.0.when.2.sql: it gives bigint, and boolean is wanted",
        '27: maps.0.fields.RequestedSalesQuantity.sql: PostgreSQL refuses it: syntax error at or near "what"',
        "21: maps.0.when.0.sql: it gives numeric, and boolean is wanted",
    ]


# A hub that does not fit


def test_an_empty_database_is_no_hub(empty: MigrationTarget) -> None:
    with pytest.raises(HubMismatch, match=r"empty.*replicator migrate"):
        check_hub(empty)


def test_a_database_that_knows_no_upper_case_beyond_ascii_is_refused(server_url: str, compiled: Compiled) -> None:
    """Keys that differ in case alone are one record, in every language."""
    plain = f"plain_{uuid.uuid4().hex[:8]}"
    name = psycopg.sql.Identifier(plain)
    make = psycopg.sql.SQL("create database {} template template0 locale_provider libc locale 'C'").format(name)
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(make)
        engine = connect(urlunsplit(urlsplit(server_url)._replace(path=f"/{plain}")))
        with pytest.raises(HubMismatch, match=r"upper and lower case beyond ASCII.*C\.UTF-8"):
            migrate(MigrationTarget(engine, compiled, SOLUTION))
        engine.dispose()
        server.execute(psycopg.sql.SQL("drop database {}").format(name))


def test_a_hub_of_another_schema_is_refused(target: MigrationTarget) -> None:
    run(target, "update sync.hub set schema_hash = 'another'")
    with pytest.raises(HubMismatch, match=r"another schema than this program's.*replicator migrate"):
        check_hub(target)
    migrate(target)
    check_hub(target)


NEWER = [
    "update sync.alembic_version set version_num = 'replicator_9999' where version_num like 'replicator%'",
    "update sync.alembic_version set version_num = '9999' where version_num not like 'replicator%'",
]
"""A revision that this program, and one that this solution does not know."""


@pytest.mark.parametrize("newer", NEWER)
def test_a_hub_of_a_newer_program_or_solution_is_refused(target: MigrationTarget, newer: str) -> None:
    run(target, newer)
    before = objects(target)
    with pytest.raises(HubMismatch, match=r"newer program.*install"):
        migrate(target)
    assert objects(target) == before


@pytest.mark.parametrize("newer", NEWER)
def test_a_hub_of_a_newer_program_or_solution_is_not_worked_on(target: MigrationTarget, newer: str) -> None:
    run(target, newer)
    with pytest.raises(HubMismatch, match="newer"):
        check_hub(target)


def test_a_hub_that_was_taken_down_is_not_worked_on(empty: MigrationTarget) -> None:
    migrate(empty)
    command.downgrade(alembic_config(empty), "base")
    with pytest.raises(HubMismatch, match="replicator migrate"):
        check_hub(empty)


def test_a_half_made_hub_is_not_worked_on(target: MigrationTarget) -> None:
    run(target, "delete from sync.hub")
    with pytest.raises(HubMismatch, match="replicator migrate"):
        check_hub(target)


# Plain Alembic


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The plain command, as an administrator without the replicator's own would use it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("REPLICATOR_")}
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=SOLUTION,
        env=environment | {"HUB_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )


def test_plain_alembic_makes_a_complete_hub(empty: MigrationTarget, empty_url: str, target: MigrationTarget) -> None:
    done = alembic(empty_url, "upgrade", "heads")
    assert done.returncode == 0, done.stderr
    check_hub(empty)
    assert relations(empty) == relations(target)
    assert objects(empty) == objects(target)


def test_plain_alembic_finds_nothing_to_do(hub_url: str) -> None:
    done = alembic(hub_url, "check")
    assert done.returncode == 0, done.stderr + done.stdout


def test_scripts_without_a_database_are_refused_in_words(hub_url: str) -> None:
    done = alembic(hub_url, "upgrade", "heads", "--sql")
    assert done.returncode != 0
    assert "offline migrations are not supported" in done.stderr


# What a person sees in psql


def test_every_table_and_view_says_what_it_is(target: MigrationTarget) -> None:
    silent = rows(
        target,
        "select oid::regclass::text from pg_class where relnamespace::regnamespace::text = any(:schemas) "
        "and relkind in ('r', 'p', 'v') and not relispartition and obj_description(oid, 'pg_class') is null order by 1",
    )
    assert silent == []


def test_every_column_says_what_it_holds(target: MigrationTarget) -> None:
    columns = rows(
        target,
        "select c.oid::regclass || '.' || a.attname || ': ' || coalesce(col_description(c.oid, a.attnum), '') "
        "from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped "
        "where c.relnamespace::regnamespace::text = any(:schemas) and c.relkind in ('r', 'p', 'v') "
        "and not c.relispartition order by 1",
    )
    assert [column for column in columns if column.endswith(": ")] == []
    assert {
        "sales.accounts.merged: merged: Given up for another account",
        "desired.ops_customers_v3__account.organization_name: OrganizationName",
        "log.sales_accounts.merged: merged: Given up for another account",
        "log.change.record_id: id in the captured table",
        "sales.accounts.accountnumber: accountnumber",
        "common.account.kind: Persons are contacts that buy for themselves; one of Organization, Person",
        "common.quote.currency_id: Of all its amounts; a record of common.currency",
        "sync.blocked.waits_for: Each parent that is missing, in words",
        "sync.amended.field: Column of the target",
    } <= set(columns)


def test_a_new_description_needs_no_revision(target: MigrationTarget, tmp_path: Path) -> None:
    folder = tmp_path / "schema"
    shutil.copytree(SCHEMA, folder)
    unit = folder / "common" / "unit.yaml"
    unit.write_text(unit.read_text(encoding="utf-8").replace("The symbol in ops", "What it's called"), encoding="utf-8")
    migrate(MigrationTarget(target.engine, compile_folder(folder), SOLUTION))
    said = rows(target, "select col_description('common.unit'::regclass, 2)")
    assert said == ["What it's called and the name in sales; at most 100 characters"]


def test_every_schema_says_what_it_is(target: MigrationTarget) -> None:
    silent = rows(
        target,
        "select nspname::text from pg_namespace where nspname = any(:schemas) "
        "and obj_description(oid, 'pg_namespace') is null order by 1",
    )
    assert silent == []
    assert len(rows(target, "select nspname from pg_namespace where nspname = any(:schemas)")) == len(SCHEMAS)


def test_every_function_that_people_call_says_what_it_does(target: MigrationTarget) -> None:
    silent = rows(
        target,
        "select oid::regprocedure::text from pg_proc where pronamespace = 'sync'::regnamespace "
        "and obj_description(oid, 'pg_proc') is null order by 1",
    )
    assert silent == []


# The oldest server


@pytest.fixture
def oldest_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of the oldest PostgreSQL."""
    monkeypatch.setenv("REPLICATOR_PG_BIN", str(OLDEST))
    folder = Path(tempfile.mkdtemp(prefix="hub-oldest-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        yield embedded.start(folder / "home", settings={"fsync": "off"}).url
    finally:
        embedded.stop(folder / "home", mode="immediate")
        shutil.rmtree(folder)


def test_a_hub_works_on_postgresql_15(oldest_url: str, compiled: Compiled) -> None:
    engine = connect(oldest_url)
    target = MigrationTarget(engine, compiled, SOLUTION)
    migrate(target)
    check_hub(target)
    assert rows(target, "select current_setting('server_version')")[0].startswith("15.")
    with engine.connect() as connection:
        Filling(connection, compiled, Size()).fill()
        with connection.begin():
            connection.execute(sa.text("update common.product set maintained = false"))
        assert mark_window(Handle.on(connection, compiled)) is not None
    flows = {flow.name for flow in compiled.maps if flow.root is None}
    assert set(rows(target, "select flow from sync.status")) == flows
    engine.dispose()
