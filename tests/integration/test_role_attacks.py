"""What a login with one role has tried to do beyond it: each attack that a review found, and the rule behind all."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from replicator.errors import HubUnavailable
from replicator.hub.connection import DAEMON, connect
from replicator.hub.lease import acquire, holder
from replicator.mapping.compiled import Compiled
from replicator.operate.preflight.findings import Report
from replicator.operate.preflight.hub_check import check
from replicator.solution import migrate as migrating
from replicator.solution.migrate import MigrationTarget, migrate
from tests.fixtures.commands import until
from tests.fixtures.hub import SOLUTION
from tests.fixtures.postgres import database
from tests.fixtures.roles import Logins
from tests.fixtures.world import Systems

Attacker = Callable[[str], psycopg.Connection[Any]]
DOCS = Path(__file__).resolve().parents[2] / "docs"
OPERATING, HARDENING = DOCS / "operating.md", DOCS / "hardening.md"
DECISIONS = ("retry", "skip", "approve", "reject", "resolve", "pause", "resume", "resync")
EVERYBODY = ("replicator_reader", "replicator_steward", "replicator_daemon")


@pytest.fixture
def attacker(logins: Logins, hub_url: str) -> Iterator[Attacker]:
    """Logs in with one role and nothing else; where temporary objects are allowed, which is what most attacks need."""
    sessions: list[psycopg.Connection[Any]] = []

    def as_member_of(role: str) -> psycopg.Connection[Any]:
        sessions.append(psycopg.connect(logins.member_of(role, hub_url), autocommit=True))
        return sessions[-1]

    yield as_member_of
    for session in sessions:
        session.close()


def is_refused(session: psycopg.Connection[Any], statement: str) -> bool:
    try:
        session.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


# 1: a trigger of one's own

BAIT = """
create type pg_temp.bait as (word text);
create function pg_temp.bite(pg_temp.bait) returns bigint language plpgsql as
$$ begin create table sync.loot (of name default current_user); return 1; end $$;
create cast (pg_temp.bait as bigint) with function pg_temp.bite(pg_temp.bait) as assignment;
create temporary table trap (id pg_temp.bait);
"""


@pytest.mark.parametrize("role", EVERYBODY)
def test_a_trigger_of_one_s_own_runs_no_function_of_the_owner(
    attacker: Attacker, connection: sa.Connection, role: str
) -> None:
    session = attacker(role)
    session.execute(BAIT.encode())
    functions = connection.execute(
        sa.text("select oid::regproc::text from pg_proc where prorettype = 'trigger'::regtype and "
                "pronamespace::regnamespace::text in ('log', 'sync')")
    ).scalars()  # fmt: skip
    for name in functions:
        trigger = sql.SQL("create trigger pull after insert on trap referencing new table as after "
                          "for each statement execute function {}()")  # fmt: skip
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=name.split(".")[1]):
            session.execute(trigger.format(sql.Identifier(*name.split("."))))
    session.execute("insert into trap values (row('x'))")
    assert connection.execute(sa.text("select to_regclass('sync.loot')")).scalar() is None


# 2: temporary objects with the names of others

DISGUISE = """
create function pg_temp.strike(pg_catalog.text) returns boolean language plpgsql as
$$ begin
    if current_user = 'replicator_owner' then create table sync.loot (); end if;
    return true;
exception when duplicate_table then return true; end $$;
"""
TYPES = (
    "text",
    "int8",
    "int4",
    "int2",
    "bool",
    "name",
    "regclass",
    "jsonb",
    "timestamptz",
    "record",
    "uuid",
    "interval",
)
CALLS = [
    "select sync.retry()", "select sync.skip(of_record => 'A-1')", "select sync.approve()", "select sync.reject()",
    "select sync.pause('out', 'a test')", "select sync.resume()", "select sync.resync('account', 'A-1')",
    "select sync.resync('account')", "select sync.resolve(1, 'common')",
    "select * from sync.sessions()", "select log.make_partitions()", "select log.drop_partitions('1 day')",
    "select sync.analyze('common.account')", "select sync.prune('1 day')",
]  # fmt: skip


@pytest.mark.parametrize("role", EVERYBODY)
def test_a_temporary_type_in_the_disguise_of_a_real_one_is_not_taken_for_it(
    attacker: Attacker, systems: Systems, role: str
) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.once()
    session = attacker(role)
    session.execute(DISGUISE.encode())
    for name in TYPES:
        if name != "record":
            disguise = sql.SQL(
                "create domain pg_temp.{0} as pg_catalog.{0} check (pg_temp.strike(value::pg_catalog.text))"
            )
            session.execute(disguise.format(sql.Identifier(name)))
    for call in CALLS:
        try:
            session.execute(call.encode())
        except psycopg.Error:
            continue
    assert systems.rows("select to_regclass('sync.loot')::text as loot") == [{"loot": None}]


TABLES = """
create function pg_temp.hit() returns text language plpgsql as
$$ begin
    if current_user = 'replicator_owner' then create table sync.loot (); end if;
    return 'x';
exception when duplicate_table then return 'x'; end $$;
create view pg_temp.pg_class as select c.oid, pg_temp.hit() as relname, c.relnamespace, c.relkind, c.relispartition
    from pg_catalog.pg_class c;
create view pg_temp.pg_namespace as select n.oid, n.nspowner, pg_temp.hit() as nspname from pg_catalog.pg_namespace n;
create view pg_temp.pg_roles as select r.oid, pg_temp.hit() as rolname from pg_catalog.pg_roles r;
create view pg_temp.pg_stat_activity as select a.pid, a.usename, a.application_name, a.xact_start, a.datname,
    a.backend_xid, pg_temp.hit() as state from pg_catalog.pg_stat_activity a;
grant select on pg_temp.pg_class, pg_temp.pg_namespace, pg_temp.pg_roles, pg_temp.pg_stat_activity to public;
"""


@pytest.mark.parametrize("role", EVERYBODY)
def test_a_temporary_view_in_the_disguise_of_a_catalogue_is_not_taken_for_it(
    attacker: Attacker, systems: Systems, role: str
) -> None:
    session = attacker(role)
    session.execute(TABLES.encode())
    for call in CALLS:
        try:
            session.execute(call.encode())
        except psycopg.Error:
            continue
    assert systems.rows("select to_regclass('sync.loot')::text as loot") == [{"loot": None}]


def test_what_the_daemon_may_write_is_no_text_that_the_owner_runs(attacker: Attacker, systems: Systems) -> None:
    """sync.resync puts the names in sync.map into statements."""
    session = attacker("replicator_daemon")
    assert is_refused(session, "update sync.map set source = '(select 1 as id) x; drop table sync.decision; --'")
    assert is_refused(session, "insert into sync.map (name) values ('mine')")
    assert is_refused(session, "delete from sync.map")
    session.execute("update sync.map set opened_at = null")


# 3: unread days of the log


@pytest.mark.parametrize("role", ["replicator_reader", "replicator_steward"])
def test_nobody_but_the_daemon_makes_and_drops_days_of_the_log(attacker: Attacker, hub_url: str, role: str) -> None:
    session = attacker(role)
    for statement in (
        "select log.drop_day(current_date)", "select log.drop_partitions('-2 days')", "select log.make_partitions(50)",
        "select log.clear_default('1 day')", "select log.make_default_partitions()",
    ):  # fmt: skip
        assert is_refused(session, statement), statement


def test_no_day_is_dropped_that_somebody_still_writes_into_whatever_the_arguments(
    attacker: Attacker, hub_url: str, connection: sa.Connection
) -> None:
    """Its consumers have read all that is there; the change of an open transaction comes after."""
    connection.execute(sa.text("insert into sync.consumer (name, snapshot, cluster) "
                               "values ('replicator', pg_current_snapshot(), 'here')"))  # fmt: skip
    connection.commit()
    daemon = attacker("replicator_daemon")
    with psycopg.connect(hub_url) as writer:
        writer.execute("insert into common.unit (code) values ('ea')")
        with pytest.raises(psycopg.errors.RaiseException, match="still to come"):
            daemon.execute("select log.drop_partitions('-2 days')")
        assert daemon.execute("select log.drop_partitions('0 days')").fetchone() == (0,)
        assert is_refused(daemon, "select log.drop_day(current_date)")
    with pytest.raises(psycopg.errors.RaiseException, match="read committed"):
        daemon.execute("begin isolation level repeatable read; select log.drop_partitions('1 day')")
    daemon.rollback()
    with pytest.raises(psycopg.errors.RaiseException, match="31 days"):
        daemon.execute("select log.make_partitions(50)")
    changes = connection.execute(sa.text("select count(*) from log.change where relation = 'common.unit'::regclass"))
    assert changes.scalar() == 1


# Lesser ones


def test_a_steward_does_not_date_a_decision(attacker: Attacker, systems: Systems) -> None:
    session = attacker("replicator_steward")
    session.execute("set sync.now = '2001-01-01 00:00+00'")
    session.execute("select sync.pause('out', 'a test')")
    dated = systems.rows("select at from sync.decision union all select at from sync.pause")
    assert [datetime.datetime.now(datetime.UTC) - row["at"] < datetime.timedelta(minutes=5) for row in dated] == [
        True
    ] * 2


def test_a_reader_sees_who_holds_the_log_back_and_nothing_of_what_they_ask(
    attacker: Attacker, hub_url: str, connection: sa.Connection
) -> None:
    reader = attacker("replicator_reader")
    with psycopg.connect(hub_url, application_name="a long import") as writer:
        writer.execute("insert into common.unit (code) values ('secret')")
        shown = reader.execute("select pid, application_name, state from sync.window_holder").fetchone()
        assert shown == (writer.info.backend_pid, "a long import", "idle in transaction")
        query = reader.execute(
            "select query from pg_stat_activity where pid = %s", [writer.info.backend_pid]
        ).fetchone()
        assert query == ("<insufficient privilege>",)


def test_a_login_that_holds_the_replicator_s_lock_is_named(
    attacker: Attacker, systems: Systems, connection: sa.Connection
) -> None:
    session = attacker("replicator_reader")
    pid = session.info.backend_pid
    session.execute("select pg_advisory_lock(cast('sync.lease'::regclass as bigint))")
    assert acquire(connection, "me", 30) is None
    assert f"process {pid} of {session.info.user}" in holder(connection)
    assert [row["pid"] for row in systems.rows("select pid from sync.lock_holders")] == [pid]
    session.close()
    until(lambda: systems.rows("select pid from sync.lock_holders") == [], what="the end of the session")


@pytest.mark.parametrize(
    "held", ["select pg_advisory_lock('sync'::regnamespace::oid::bigint)", "begin; select count(*) from sync.status"]
)
def test_a_migration_ends_and_names_who_is_in_its_way(
    attacker: Attacker, hub_url: str, compiled: Compiled, monkeypatch: pytest.MonkeyPatch, held: str
) -> None:
    monkeypatch.setattr(migrating, "_PATIENCE", "300ms")
    session = attacker("replicator_reader")
    session.execute(held.encode())
    engine = connect(hub_url)
    begun = time.monotonic()
    with pytest.raises(HubUnavailable, match=f"process {session.info.backend_pid} of {session.info.user}"):
        migrate(MigrationTarget(engine, compiled, SOLUTION))
    assert time.monotonic() - begun < 10
    engine.dispose()


# The rules behind all


@pytest.fixture(scope="module")
def fresh_url(server_url: str, compiled: Compiled) -> Iterator[str]:
    """A hub as a migration leaves it: a copy of one loses what is granted on the database itself."""
    with database(server_url) as url:
        engine = connect(url)
        migrate(MigrationTarget(engine, compiled, SOLUTION))
        engine.dispose()
        yield url


@pytest.fixture
def fresh(fresh_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(fresh_url, autocommit=True) as session:
        yield session


FUNCTIONS = """
select p.pronamespace::regnamespace::text || '.' || p.proname as name, p.prosecdef as definer,
       coalesce(p.proconfig, '{}') as settings,
       has_function_privilege('public', p.oid, 'execute') as everybody, p.provolatile = 'v' as writes,
       array(select r from unnest(array['reader', 'steward', 'daemon']) r
             where has_function_privilege('replicator_' || r, p.oid, 'execute')) as roles
from pg_proc p where p.pronamespace::regnamespace::text in ('log', 'sync', 'common', 'desired', 'sales', 'ops')
"""


def test_the_owner_s_functions_are_nobody_s_and_look_at_temporary_objects_last(fresh: psycopg.Connection[Any]) -> None:
    functions = fresh.execute(FUNCTIONS.encode()).fetchall()
    definers = {name: settings for name, definer, settings, *_ in functions if definer}
    assert len(definers) > 20
    assert {name: held for name, held in definers.items() if "search_path=pg_catalog, pg_temp" not in held} == {}
    assert {name for name, _, _, everybody, *_ in functions if everybody} == {"sync.fold"}
    assert {name for name, _, _, _, writes, roles in functions if writes and "reader" in roles} == set()


def test_a_new_function_of_the_owner_starts_closed(fresh: psycopg.Connection[Any]) -> None:
    with fresh.transaction(force_rollback=True):
        fresh.execute("set local role replicator_owner")
        fresh.execute("create function sync.new() returns integer language sql as 'select 1'")
        found = fresh.execute("select has_function_privilege('public', 'sync.new()', 'execute')").fetchone()
    assert found == (False,)


def test_only_whom_an_administrator_lets_in_connects(
    logins: Logins, fresh_url: str, fresh: psycopg.Connection[Any]
) -> None:
    """The roles, and whoever is granted it as docs/hardening.md says."""
    name, url = logins.new(fresh_url)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"), psycopg.connect(url):
        pass
    for role in EVERYBODY:
        with psycopg.connect(logins.member_of(role, fresh_url)) as session:
            session.execute("table sync.status")
    [told] = re.findall(r"^    (grant connect on database hub to backup);$", HARDENING.read_text("utf-8"), re.MULTILINE)
    words = {"hub": sql.Identifier(fresh.info.dbname), "backup": sql.Identifier(name)}
    fresh.execute(sql.SQL(" ").join(words.get(word, sql.SQL(word)) for word in told.split()))
    psycopg.connect(url).close()
    fresh.execute(sql.SQL("revoke connect on database {} from {}").format(*words.values()))


@pytest.mark.parametrize("copied", [False, True])
def test_check_says_where_every_login_may_connect(
    fresh_url: str, hub_url: str, compiled: Compiled, copied: bool
) -> None:
    """A copy of a hub has lost what was taken from everybody."""
    engine, told = connect(hub_url if copied else fresh_url, role=DAEMON), Report()
    check(MigrationTarget(engine, compiled, SOLUTION), told, lambda: datetime.datetime.now(datetime.UTC))
    engine.dispose()
    assert [note.what.startswith("every login of the server may connect") for note in told.findings] == [True] * copied


@pytest.mark.parametrize("role", ["replicator_reader", "replicator_steward"])
def test_readers_and_stewards_make_no_temporary_objects(fresh: psycopg.Connection[Any], role: str) -> None:
    may = "select has_database_privilege(%s, current_database(), 'temporary')"
    assert fresh.execute(may, [role]).fetchone() == (False,)


def told_of(role: str) -> set[str]:
    """The functions that the table of roles in the documents names for a role."""
    [row] = re.findall(rf"^\| `{role}` \| (.*) \|$", OPERATING.read_text(encoding="utf-8"), re.MULTILINE)
    return set(re.findall(r"`((?:sync|log)\.\w+)`", row))


def test_the_documents_name_the_functions_that_each_role_may_call_beyond_looking(
    fresh: psycopg.Connection[Any],
) -> None:
    functions = fresh.execute(FUNCTIONS.encode()).fetchall()
    may = {role: {name for name, *_, writes, roles in functions if writes and role in roles}
           for role in ("reader", "steward", "daemon")}  # fmt: skip
    assert told_of("replicator_reader") == may["reader"] == set()
    assert told_of("replicator_steward") == may["steward"] == {f"sync.{name}" for name in DECISIONS}
    assert told_of("replicator_daemon") == may["daemon"] - may["steward"]


TABLE_RIGHTS = """
select n.nspname, array_agg(distinct p order by p) from pg_class c join pg_namespace n on n.oid = c.relnamespace,
       unnest(array['insert', 'update', 'delete']) p
where c.relkind in ('r', 'p') and has_table_privilege(%s, c.oid, p) and n.nspname not like 'pg\\_%%'
  and n.nspname <> 'information_schema'
group by n.nspname
"""


def test_the_documents_name_the_schemas_that_each_role_writes(fresh: psycopg.Connection[Any]) -> None:
    writes = {role: {name for name, _ in fresh.execute(TABLE_RIGHTS, [role]).fetchall()} for role in EVERYBODY}
    assert writes == {
        "replicator_reader": set(),
        "replicator_steward": {"common"},
        "replicator_daemon": {"common", "sync", "sales", "ops"},
    }


def test_nobody_but_the_replicator_writes_past_the_log_by_calling_it_a_digest(
    attacker: Attacker, connection: sa.Connection
) -> None:
    """A login that was allowed to write into a mirror."""
    with connection.begin():
        connection.execute(
            sa.text("insert into sales.pricelevels (pricelevelid, name) values (gen_random_uuid(), 'A')")
        )
        connection.execute(sa.text("grant select, update on sales.pricelevels to replicator_steward"))
    session = attacker("replicator_steward")
    session.execute("set sync.origin = 'digest'")
    session.execute("update sales.pricelevels set name = 'B'")
    logged = "select origin from log.change where operation = 'U'"
    with connection.begin():
        assert list(connection.execute(sa.text(logged)).scalars()) == [session.info.user]
