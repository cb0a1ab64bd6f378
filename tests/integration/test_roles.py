"""Database roles: each may do what it is for, and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from replicator.cycle import Cycle
from replicator.hub.connection import DAEMON, connect
from tests.fixtures.roles import Logins
from tests.fixtures.world import Systems

Login = Callable[[str], sa.Connection]


@pytest.fixture
def login(logins: Logins, hub_url: str) -> Iterator[Login]:
    """Logs in as a member of a role of the hub, and of nothing else."""
    engines: list[sa.Engine] = []

    def as_member_of(role: str) -> sa.Connection:
        engines.append(connect(logins.member_of(role, hub_url), role=DAEMON))
        return engines[-1].connect()

    yield as_member_of
    for engine in engines:
        engine.dispose()


def refused(connection: sa.Connection, statement: str) -> bool:
    """Whether the database says that this login may not do that."""
    try:
        with connection.begin():
            connection.execute(sa.text(statement))
    except ProgrammingError as problem:
        return isinstance(problem.orig, psycopg.errors.InsufficientPrivilege)
    return False


READS = ["select * from sync.status", "select * from common.account", "select * from log.change",
         "select * from sales.accounts", "select * from desired.ops_customers_v3__account",
         "select * from sync.explain('account', 'A-1')", "select * from sync.history('account', 'A-1')"]  # fmt: skip
EDIT = "update common.account set name = 'edited'"
MIRROR = "update sales.accounts set name = 'edited'"
STATE = "delete from sync.delivery"
LOG = "insert into log.change (relation, record_id, operation, origin) values ('common.account', 1, 'U', 'me')"
DECIDE = "select sync.pause('out', 'a test')"
SHAPE = "alter table common.account add column mine text"
DECISIONS = "delete from sync.decision"
HINT = "select sync.hint('sales', array['accounts'])"


@pytest.mark.parametrize(
    ("role", "allowed", "denied"),
    [
        ("replicator_reader", READS, [EDIT, MIRROR, STATE, LOG, DECIDE, SHAPE, DECISIONS, HINT]),
        ("replicator_steward", [*READS, EDIT, DECIDE], [MIRROR, STATE, LOG, SHAPE, DECISIONS, HINT]),
        ("replicator_daemon", [*READS, EDIT, MIRROR, STATE, DECIDE, HINT], [LOG, SHAPE, DECISIONS]),
        ("replicator_owner", [*READS, EDIT, MIRROR, STATE, LOG, DECIDE, SHAPE, DECISIONS, HINT], []),
    ],
)
def test_each_role_may_do_what_it_is_for_and_no_more(
    login: Login, systems: Systems, role: str, allowed: list[str], denied: list[str]
) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.once()
    with login(role) as connection:
        assert [statement for statement in allowed if refused(connection, statement)] == []
        assert [statement for statement in denied if not refused(connection, statement)] == []


def test_a_login_that_made_the_role_of_the_daemon_and_may_not_take_it_works_as_itself(
    logins: Logins, hub_url: str
) -> None:
    """As PostgreSQL leaves it since 16 to a login with CREATEROLE: it may grant what it made, to itself too."""
    name, url = logins.new(hub_url)
    with psycopg.connect(hub_url) as owner:
        if owner.info.server_version < 160000:
            pytest.skip("before PostgreSQL 16 nobody is such a member")
        grant = psycopg.sql.SQL("grant replicator_daemon to {} with admin true, inherit false, set false")
        owner.execute(grant.format(psycopg.sql.Identifier(name)))
    engine = connect(url, role=DAEMON)
    with engine.connect() as connection:
        assert connection.execute(sa.text("select current_user")).scalar_one() == name
    engine.dispose()


def test_what_a_steward_edits_and_decides_bears_the_steward_s_name(login: Login, systems: Systems) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.once()
    with login("replicator_steward") as connection, connection.begin():
        name = connection.execute(sa.text("select session_user")).scalar_one()
        connection.execute(sa.text("select set_config('sync.origin', 'merge:sales', true)"))
        connection.execute(sa.text("select set_config('sync.actor', 'somebody else', true)"))
        connection.execute(sa.text(EDIT))
        connection.execute(sa.text(DECIDE))
    assert {row["origin"] for row in systems.rows("select origin from log.change where operation = 'U'")} >= {name}
    assert systems.rows("select by from sync.decision") == [{"by": name}]


def test_the_daemon_needs_no_more_than_its_role(login: Login, systems: Systems, hub_url: str) -> None:
    """A whole life with a login that is nothing but a daemon."""
    with login(DAEMON) as connection:
        world = replace(systems.cycle.world, engine=connection.engine)
        cycle = Cycle(world, connection)
        systems.reference_data()
        systems.product("P-1")
        account = systems.account("A-1")
        cycle.once()
        systems.quote("Q-1", account, ["P-1"])
        cycle.once()
        assert len(systems.held("ops", "CDSSalesQuotationHeaders")) == 1
        systems.sales.delete("accounts", systems.account("A-2")["accountid"])
        cycle.once(whole=True)
        origins = {row["origin"] for row in systems.rows("select distinct origin from log.change")}
        assert {"snapshot:sales", "merge:sales", "deliver:ops"} <= origins
        assert systems.problems.found == []


def test_the_owner_is_nobody_s_login_and_owns_everything(systems: Systems) -> None:
    owned = systems.rows("""
        select distinct pg_get_userbyid(relowner) as owner from pg_class
        where relnamespace::regnamespace::text in ('common', 'log', 'sync', 'desired', 'sales', 'ops')
          and relkind in ('r', 'p', 'v')
    """)
    assert owned == [{"owner": "replicator_owner"}]
    assert (
        systems.rows("select rolcanlogin from pg_roles where rolname like 'replicator\\_%'")
        == [{"rolcanlogin": False}] * 4
    )
