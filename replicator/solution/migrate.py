"""Brings a hub's database to this program's schema."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy as sa

from replicator.errors import ConfigurationError, HubMismatch, HubUnavailable, Terminal
from replicator.hub import sync_tables
from replicator.hub.database_errors import words_of
from replicator.mapping.compiled import Compiled
from replicator.solution.generate import create_objects, drop_objects

# Alembic takes a tenth of a second to import, so that each function does it that needs it: help and 'init' do not.
if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

OWNER = "replicator_owner"
"""The role that owns the hub; nobody logs in as it."""
SOLUTION_BRANCH = "solution"
"""The branch of a solution's revisions."""
_PATIENCE = "60s"
"""For how long a migration waits for those who are at work in the hub."""
_IN_THE_WAY = sa.text("""
select distinct a.pid, a.usename, a.application_name, a.state
from pg_locks l join pg_stat_activity a using (pid)
where l.granted and a.datname = current_database() and a.pid <> pg_backend_pid()
  and (l.locktype = 'advisory' or l.relation in (
      select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname not in ('pg_catalog', 'information_schema')))
order by a.pid
""")
_CHANGED_ROWS = sa.text("""
select exists (select from pg_stat_xact_user_tables t
               where t.schemaname || '.' || t.relname = any(:tables) and t.n_tup_ins + t.n_tup_upd + t.n_tup_del > 0)
""")


@dataclass(frozen=True)
class MigrationTarget:
    """What is migrated: the hub behind ``engine``, to what ``compiled`` says, by the revisions of a solution."""

    engine: sa.Engine
    compiled: Compiled
    solution: Path

    def before(self, connection: sa.Connection) -> None:
        """Make room: the version table's schema, and no generated object in the way of a table's change."""
        connection.execute(sa.text("create schema if not exists sync"))
        folds = connection.execute(sa.text("select lower(U&'\\00C9') = U&'\\00E9'")).scalar_one()
        if not folds:
            raise HubMismatch(
                "the hub's database does not know upper and lower case beyond ASCII",
                hint="create it with a UTF-8 locale, for example C.UTF-8",
            )
        connection.execute(sa.text("select set_config('lock_timeout', :seconds, true)"), {"seconds": _PATIENCE})
        connection.execute(sa.text("select pg_advisory_xact_lock('sync'::regnamespace::oid::bigint)"))
        # Shared by the transactions of whoever leads; those that come later find what is made here.
        connection.execute(sa.text("select pg_advisory_xact_lock(to_regclass('sync.lease')::oid::bigint)"))
        drop_objects(connection)

    def after(self, connection: sa.Connection) -> None:
        """Make the generated objects again, unless the hub was taken back to nothing."""
        if connection.execute(sa.text("select to_regclass('sync.hub')")).scalar_one() is None:
            return
        if not self._at_head(connection):
            connection.execute(sync_tables.hub.delete())
            return
        from replicator.solution.table_comparison import check_tables

        check_tables(connection, self.compiled)
        self._look_at_changed_rows(connection)
        create_objects(connection, self.compiled)

    def _look_at_changed_rows(self, connection: sa.Connection) -> None:
        """No capture sees what a revision does to rows, so where one did, all records of all maps are looked at."""
        captured = [table.fullname for table in self.compiled.tables.captured]
        if connection.execute(_CHANGED_ROWS, {"tables": captured}).scalar_one():
            connection.execute(sync_tables.map_.update().values(marked_hash=None))

    def _at_head(self, connection: sa.Connection) -> bool:
        """Whether the tables are this program's; after a downgrade they are older, and the objects do not fit them."""
        from alembic.migration import MigrationContext

        context = MigrationContext.configure(connection, opts={"version_table_schema": "sync"})
        return set(context.get_current_heads()) == set(scripts(self.solution).get_heads())


def scripts(solution: Path) -> ScriptDirectory:
    """The revisions of the program and of a solution."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_configured(solution))


def _configured(solution: Path) -> Config:
    from alembic.config import Config

    file = solution / "alembic.ini"
    if not file.exists():
        raise ConfigurationError(
            f"there is no {file}, which says where the hub's revisions are",
            hint="a solution has it beside schema/; 'replicator init FOLDER' writes one",
        )
    return Config(str(file))


def alembic_config(target: MigrationTarget) -> Config:
    """Alembic's configuration, with the target handed over directly."""
    config = _configured(target.solution)
    config.attributes |= {"target": target, "writes": True}
    return config


def migrate(target: MigrationTarget, revision: str = "heads") -> None:
    """Upgrade the hub to ``revision`` and make the generated objects, in one transaction."""
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(target), revision)
    except CommandError as problem:
        raise HubMismatch(
            f"the hub was made by a newer program, or another solution: {problem}",
            hint="install that version, or a newer one; or work in the folder of that solution",
        ) from problem
    except (sa.exc.OperationalError, psycopg.errors.LockNotAvailable) as problem:
        if not isinstance(getattr(problem, "orig", problem), psycopg.errors.LockNotAvailable):
            raise
        raise HubUnavailable(
            f"the hub is in use: {in_the_way(target.engine)}",
            hint="stop the daemon, end these sessions, and migrate again; nothing has changed",
        ) from problem
    except (sa.exc.DataError, sa.exc.ProgrammingError, sa.exc.IntegrityError) as problem:
        if isinstance(problem.orig, psycopg.errors.InsufficientPrivilege):
            raise
        statement = " ".join(str(problem.statement).split())
        raise Terminal(
            f"a revision does not fit what the hub holds: {words_of(problem)}, at: {statement}",
            hint="nothing has changed. Say in the revision what becomes of the values: another type needs "
            "postgresql_using='...' in op.alter_column, as 'replicator revise' writes it; rows that do not fit are "
            "changed or deleted by op.execute before",
        ) from problem


def in_the_way(engine: sa.Engine) -> str:
    """The sessions that hold locks in the hub, in words."""
    with engine.connect() as connection:
        rows = connection.execute(_IN_THE_WAY).all()
    sessions = (
        f"process {row.pid} of {row.usename} ({row.application_name or 'no name'}, {row.state})" for row in rows
    )
    return "; ".join(sessions) or "a session that has ended by now"


def owner_of(engine: sa.Engine) -> str:
    """The role that owns the hub: ``OWNER``, or the login where it could not set up the roles."""
    owner = sa.text("select nspowner::regrole::text from pg_namespace where nspname = 'sync'")
    with engine.connect() as connection:
        return str(connection.execute(owner).scalar_one())
