"""Runs the migrations: tables by revision; generated objects are dropped before and made again after."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from replicator.config import load
from replicator.hub.server import open_engine
from replicator.mapping.compiled import compile_folder
from replicator.solution.migrate import MigrationTarget, include_object, render_item, target_metadata


def from_configuration() -> MigrationTarget:
    """The hub that HUB_URL or the configuration file names, for plain ``alembic`` commands."""
    configuration = load()
    compiled = compile_folder(configuration.schema_folder)
    return MigrationTarget(
        open_engine(configuration.hub.url, configuration.hub.folder), compiled, configuration.schema_folder
    )


def run(target: MigrationTarget) -> None:
    """Upgrade or downgrade in one transaction."""
    with target.engine.begin() as connection:
        migrate(connection, target)


def writes() -> bool:
    """Whether the command changes the hub; ``revision`` and ``check`` only compare, and leave the objects alone."""
    command = getattr(context.config.cmd_opts, "cmd", None)
    named = command[0].__name__ in ("upgrade", "downgrade") if command else False
    return named or bool(context.config.attributes.get("writes"))


def migrate(connection: Connection, target: MigrationTarget) -> None:
    """Run on this connection, inside its transaction."""
    if writes():
        target.before(connection)
    context.configure(
        connection=connection,
        target_metadata=target_metadata(target.compiled),
        include_schemas=True,
        include_object=include_object,
        render_item=render_item,
        version_table_schema="sync",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
    if writes():
        target.after(connection)


if context.is_offline_mode():
    raise SystemExit("offline migrations are not supported: the generated objects need the database")
run(context.config.attributes.get("target") or from_configuration())
