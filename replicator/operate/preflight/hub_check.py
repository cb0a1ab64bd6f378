"""The hub: whether it is there, whether it is the right one, whether this role may work on it."""

from __future__ import annotations

import datetime
from collections.abc import Callable

import sqlalchemy as sa

from replicator.errors import HubMismatch
from replicator.hub.connection import DAEMON
from replicator.hub.server_version import OLDEST
from replicator.hub.statements import statements
from replicator.operate.preflight.findings import Report
from replicator.solution.hub_fits import check_hub
from replicator.solution.migrate import MigrationTarget

_sql = statements(__name__)


def check(hub: MigrationTarget, notes: Report, clock: Callable[[], datetime.datetime]) -> bool:
    """Look at the hub; whether its contents can be looked at as well."""
    fits: list[bool] = []
    with notes.looking("hub"):
        fits.append(_look(hub, notes, clock))
    return any(fits)


def _look(hub: MigrationTarget, notes: Report, clock: Callable[[], datetime.datetime]) -> bool:
    from replicator.solution.table_comparison import check_tables  # which takes a tenth of a second

    with hub.engine.connect() as connection:
        connection.execute(sa.text("select 1"))
    try:
        check_hub(hub)
        with hub.engine.connect() as connection:
            check_tables(connection, hub.compiled)
    except HubMismatch as problem:
        notes.found("hub", problem.message, problem.hint)
        return False
    with hub.engine.connect() as connection, connection.begin():
        _server(connection, notes)
        _rights(connection, hub, notes)
        ahead = (connection.execute(_sql["skew"]).scalar_one() - clock()).total_seconds()
        notes.tell("hub", f"its clock is {ahead:+.1f} s from this machine's")
    return True


def _server(connection: sa.Connection, notes: Report) -> None:
    row = connection.execute(_sql["server"]).one()
    if row.version < OLDEST * 10_000:
        notes.found("hub", f"PostgreSQL {row.version // 10_000}", f"{OLDEST} or newer is needed")
    if row.read_only:
        what = f"nothing can be written to the database {row.database}"
        notes.found("hub", what, "take default_transaction_read_only back; a standby is no hub")
    if row.encoding != "UTF8":
        notes.found("hub", f"the database is in {row.encoding}", "create it in UTF-8")
    if not row.folds:
        notes.found("hub", "the database does not know upper and lower case beyond ASCII", "create it with C.UTF-8")
    if not row.names_causes:
        notes.found("hub", f"the role {row.role} is no member of {DAEMON}", "changes would be logged under its name")
    if row.role != DAEMON:
        notes.found(
            "hub",
            f"the work would be done with all rights of {row.role}, not in the role {DAEMON}",
            f"grant {DAEMON} to the login; where there is no such role, migrate as one that may create roles",
        )
    if row.is_open:
        notes.found(
            "hub",
            f"every login of the server may connect to the database {row.database}, and hold its locks",
            "migrate as its owner, or: revoke connect, temporary on database ... from public",
        )
    notes.tell("hub", f"PostgreSQL {row.version // 10_000}, role {row.role}")


def _rights(connection: sa.Connection, hub: MigrationTarget, notes: Report) -> None:
    schemas = ["sync", "common", *hub.compiled.schema.systems]
    names = connection.execute(_sql["forbidden"], {"schemas": schemas}).scalars().all()
    if names:
        more = f" and {len(names) - 1} tables more" if len(names) > 1 else ""
        notes.found("hub", f"this role cannot read and write {names[0]}{more}", f"grant {DAEMON} to the login")
