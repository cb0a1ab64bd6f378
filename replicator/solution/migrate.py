"""Brings a hub's database to this program's schema, and refuses to work on one that is not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psycopg
import sqlalchemy as sa

from replicator.errors import HubMismatch, HubUnavailable
from replicator.hub import operating_tables, replication_tables
from replicator.mapping.compiled import Compiled
from replicator.solution.generate import create_objects, drop_objects, schema_hash

# Alembic takes a tenth of a second to import, so that each function does it that needs it: help and 'init' do not.
if TYPE_CHECKING:
    from alembic.autogenerate.api import AutogenContext
    from alembic.config import Config
    from alembic.script import ScriptDirectory

ROOT = Path(__file__).resolve().parent.parent.parent
OWNER = "replicator_owner"
"""The role that owns the hub; nobody logs in as it."""
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


@dataclass(frozen=True)
class MigrationTarget:
    """What is migrated: the hub behind ``engine``, to what ``compiled`` says."""

    engine: sa.Engine
    compiled: Compiled
    schema_folder: Path

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
            connection.execute(replication_tables.hub.delete())
            return
        try:
            create_objects(connection, self.compiled, self.schema_folder)
        except (psycopg.errors.UndefinedColumn, psycopg.errors.UndefinedTable) as problem:
            raise HubMismatch(
                f"schema/ describes what no migration has made: {str(problem).splitlines()[0]}",
                hint="alembic revision --autogenerate -m '...', look at the file, then migrate",
            ) from problem

    @staticmethod
    def _at_head(connection: sa.Connection) -> bool:
        """Whether the tables are this program's; after a downgrade they are older, and the objects do not fit them."""
        from alembic.migration import MigrationContext

        context = MigrationContext.configure(connection, opts={"version_table_schema": "sync"})
        return set(context.get_current_heads()) == set(scripts().get_heads())


def scripts() -> ScriptDirectory:
    """The revisions of this program."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_configured())


def _configured() -> Config:
    from alembic.config import Config

    return Config(str(ROOT / "alembic.ini"))


def alembic_config(target: MigrationTarget) -> Config:
    """Alembic's configuration, with the target handed over directly."""
    config = _configured()
    config.attributes |= {"target": target, "writes": True}
    return config


def migrate(target: MigrationTarget, revision: str = "head") -> None:
    """Upgrade the hub to ``revision`` and make the generated objects, in one transaction."""
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(target), revision)
    except CommandError as problem:
        raise HubMismatch(
            f"the hub was made by a newer program: {problem}", hint="install that version, or a newer one"
        ) from problem
    except (sa.exc.OperationalError, psycopg.errors.LockNotAvailable) as problem:
        if not isinstance(getattr(problem, "orig", problem), psycopg.errors.LockNotAvailable):
            raise
        raise HubUnavailable(
            f"the hub is in use: {in_the_way(target.engine)}",
            hint="stop the daemon, end these sessions, and migrate again; nothing has changed",
        ) from problem


def in_the_way(engine: sa.Engine) -> str:
    """The sessions that hold locks in the hub, in words."""
    with engine.connect() as connection:
        rows = connection.execute(_IN_THE_WAY).all()
    told = (f"process {row.pid} of {row.usename} ({row.application_name or 'no name'}, {row.state})" for row in rows)
    return "; ".join(told) or "a session that has ended by now"


def owner_of(engine: sa.Engine) -> str:
    """The role that owns the hub: ``OWNER``, or the login where it could not set up the roles."""
    owner = sa.text("select nspowner::regrole::text from pg_namespace where nspname = 'sync'")
    with engine.connect() as connection:
        return str(connection.execute(owner).scalar_one())


def check_hub(target: MigrationTarget) -> None:
    """Raise HubMismatch unless the hub was made from exactly this schema by this program."""
    with target.engine.connect() as connection:
        if connection.execute(sa.text("select to_regclass('sync.hub')")).scalar_one() is None:
            raise HubMismatch("the hub's database is empty", hint="run 'replicator migrate'")
        found = connection.execute(sa.select(replication_tables.hub.c.schema_hash)).scalar_one_or_none()
        revisions = set(connection.execute(sa.text("select version_num from sync.alembic_version")).scalars())
    known = {script.revision for script in scripts().walk_revisions()}
    if not revisions <= known:
        raise HubMismatch("the hub was made by a newer program", hint="install that version, or a newer one")
    if revisions != set(scripts().get_heads()):
        raise HubMismatch("the hub was made by an older program", hint="run 'replicator migrate'")
    if found != schema_hash(target.compiled, target.schema_folder):
        raise HubMismatch("the hub was made from another schema than this program's", hint="run 'replicator migrate'")


def target_metadata(compiled: Compiled) -> list[sa.MetaData]:
    """Every table of the hub, for ``alembic check`` and ``alembic revision --autogenerate``."""
    return [operating_tables.metadata, compiled.tables.metadata]


def include_object(
    item: object,
    name: str | None,
    kind: str,
    reflected: bool,
    compare_to: object,
) -> bool:
    """Leave partitions and Alembic's own table out of the comparison."""
    if kind == "table" and reflected and name is not None:
        return name != "alembic_version" and not name.endswith(("_default",)) and not name[-8:].isdigit()
    return True


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write PostgreSQL's own types, which SQLAlchemy does not know, as they are."""
    if kind == "type" and isinstance(item, sa.types.UserDefinedType):
        return f"PostgresType({item.get_col_spec()!r})"
    return False
