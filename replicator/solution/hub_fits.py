"""Refuses to work on a hub that was not made from exactly this schema by this program."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.errors import HubMismatch
from replicator.hub import sync_tables
from replicator.solution.generate import schema_hash
from replicator.solution.migrate import MigrationTarget, scripts


def check_hub(target: MigrationTarget) -> None:
    """Raise HubMismatch unless the hub was made from exactly this schema by this program."""
    with target.engine.connect() as connection:
        if connection.execute(sa.text("select to_regclass('sync.hub')")).scalar_one() is None:
            raise HubMismatch("the hub's database is empty", hint="run 'replicator migrate'")
        found = connection.execute(sa.select(sync_tables.hub.c.schema_hash)).scalar_one_or_none()
        revisions = set(connection.execute(sa.text("select version_num from sync.alembic_version")).scalars())
    found_scripts = scripts(target.solution)
    known = {script.revision for script in found_scripts.walk_revisions()}
    if not revisions <= known:
        raise HubMismatch("the hub was made by a newer program", hint="install that version, or a newer one")
    if revisions != set(found_scripts.get_heads()):
        raise HubMismatch("the hub was made by an older program", hint="run 'replicator migrate'")
    if found != schema_hash(target.compiled):
        from replicator.solution.table_comparison import check_tables

        with target.engine.connect() as connection:
            check_tables(connection, target.compiled)
        raise HubMismatch("the hub was made from another schema than this program's", hint="run 'replicator migrate'")
