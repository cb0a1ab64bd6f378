"""What the hub was made from: whoever began on one hub writes nothing to another, which a migration has made of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import sqlalchemy as sa

from replicator.errors import HubMigrated
from replicator.hub.statements import statements

_sql = statements(__name__)


def made_from(connection: sa.Connection) -> str:
    """What the hub was made from, to be compared later; empty where there is none."""
    with suppress(HubMigrated), connection.begin(), hub_must_stand():
        return read_made_from(connection)
    return ""


def check_made_from(connection: sa.Connection, known: str | None) -> None:
    """Raise HubMigrated unless the hub is still the one that was made from this; None: it may be any."""
    check_same(made_from(connection), known)


@contextmanager
def holding_off(connection: sa.Connection, known: str | None) -> Iterator[None]:
    """A transaction of somebody who does not lead, which holds off a migration. Raises HubMigrated after one."""
    with connection.begin():
        hold_off(connection)
        with hub_must_stand():
            check_same(read_made_from(connection), known)
        yield


def hold_off(connection: sa.Connection) -> None:
    """Hold off a takeover and a migration until the transaction ends."""
    connection.execute(_sql["hold_off"])


def check_same(found: str, known: str | None) -> None:
    """Raise HubMigrated unless the two are one; ``known`` None: it may be any."""
    if known is not None and found != known:
        raise HubMigrated("the hub was migrated meanwhile")


def read_made_from(connection: sa.Connection) -> str:
    """What the hub was made from; empty where it is only half made. Raises where there is none."""
    return str(connection.execute(_sql["made_from"]).scalar() or "")


@contextmanager
def hub_must_stand() -> Iterator[None]:
    """Raise HubMigrated where the tables of a hub are not there any more, for it was taken down."""
    try:
        yield
    except sa.exc.ProgrammingError as problem:
        if not isinstance(problem.orig, psycopg.errors.UndefinedTable):
            raise
        raise HubMigrated("the hub was taken down meanwhile") from problem
