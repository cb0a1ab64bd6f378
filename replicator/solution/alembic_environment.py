"""What ``migrations/env.py`` of a solution runs: tables by revision, and the generated objects made anew."""

from __future__ import annotations

import os
from pathlib import Path

from alembic import context
from sqlalchemy import Connection

from replicator.config import FILE, load
from replicator.hub.server import open_engine
from replicator.mapping.compiled import compile_folder
from replicator.solution.migrate import MigrationTarget
from replicator.solution.revise import complete
from replicator.solution.table_comparison import options


def run() -> None:
    """Upgrade, downgrade or compare in one transaction; the same by ``replicator migrate`` and plain ``alembic``."""
    if context.is_offline_mode():
        raise SystemExit("offline migrations are not supported: the generated objects need the database")
    target = context.config.attributes.get("target") or _from_configuration()
    with target.engine.begin() as connection:
        _run_on(connection, target)


def _from_configuration() -> MigrationTarget:
    """The hub of the configuration beside ``alembic.ini``, for plain ``alembic`` commands."""
    folder = Path(context.config.config_file_name or FILE).resolve().parent
    beside = (folder / FILE).exists() and not os.environ.get("REPLICATOR_CONFIG")
    configuration = load(folder / FILE if beside else None)
    compiled = compile_folder(configuration.schema_folder)
    return MigrationTarget(
        open_engine(configuration.hub.url, configuration.hub.folder, wanted="made"), compiled, folder
    )


def _writes() -> bool:
    """Whether the command changes the hub; ``revision`` and ``check`` only compare, and leave the objects alone."""
    command = getattr(context.config.cmd_opts, "cmd", None)
    named = command[0].__name__ in ("upgrade", "downgrade") if command else False
    return named or bool(context.config.attributes.get("writes"))


def _run_on(connection: Connection, target: MigrationTarget) -> None:
    """Run on this connection, inside its transaction."""
    writes = _writes()
    if writes:
        target.before(connection)
    revising = bool(context.config.attributes.get("revising"))
    context.configure(
        connection=connection,
        version_table_schema="sync",
        transaction_per_migration=False,
        process_revision_directives=complete,
        compiled=target.compiled,
        leave_out_empty=revising,
        **options(connection, target.compiled, program=not revising),
    )
    with context.begin_transaction():
        context.run_migrations()
    if writes:
        target.after(connection)
