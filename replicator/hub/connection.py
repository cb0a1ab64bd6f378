"""Connections to the hub: one way to make an engine, and to say what is wrong with an unreachable hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.util import LRUCache

from replicator.errors import ConfigurationError
from replicator.hub.address import libpq_parameters
from replicator.hub.database_errors import OF_THE_SESSION
from replicator.hub.poolers import check_sessions_are_kept
from replicator.hub.server_version import check_server as check_version
from replicator.hub.session import (
    OPTIONS,
    WORK,
    Session,
    Sessions,
    driver,
    exact_dumps,
    exact_loads,
    settle,
    unreachable,
)


class _SharedCache(LRUCache[Any, Any]):
    """Compiled statements, without the dialect in their key: every engine made here speaks to its hub the same way.

    Compiling the large statements of all maps takes longer than running them.
    """

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(key[1:], default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key[1:], value)


_compiled = _SharedCache(1000)


EXACT_JSON: dict[str, Any] = {
    "json_serializer": exact_dumps,
    "json_deserializer": exact_loads,
}
"""For engines: every digit of a number in JSON is kept."""
DAEMON = "replicator_daemon"
"""The role that the work is done in, where the login belongs to it: it may do no more than the work needs."""
# Since PostgreSQL 16 a login that made a role is a member of it who may give it to others, and not take it itself.
_TAKE_ROLE = """
select set_config('role', rolname, false) from pg_catalog.pg_roles
where rolname = %s and pg_has_role(session_user, oid,
    case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)
"""


def connect(url: str, *, role: str | None = None, now: str | None = None, sessions: Sessions = WORK) -> sa.Engine:
    """An engine for the hub at ``url`` (a libpq URL). ``now`` fixes the hub's clock, for tests.

    Its sessions take on ``role``, where the hub's server has it and the login belongs to it.
    """
    libpq_parameters(url)
    try:
        parsed = sa.make_url(url.replace("postgres://", "postgresql://", 1))
    except (sa.exc.ArgumentError, ValueError) as problem:
        raise ConfigurationError(
            "the hub's URL is not a database URL", hint="postgresql://user@host/database"
        ) from problem
    options = OPTIONS + (f" -c sync.now={now}" if now else "")
    engine = sa.create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        connect_args={
            "options": options,
            "application_name": sessions.name,
            "prepare_threshold": None,
            "connect_timeout": sessions.wait_seconds,
        },
        pool_pre_ping=True,
        pool_size=sessions.kept,
        max_overflow=sessions.added,
        pool_timeout=sessions.wait_seconds,
        execution_options={"preserve_rowcount": True, "compiled_cache": _compiled},
        hide_parameters=True,  # records and secrets are none of an error's business
        **EXACT_JSON,
    )
    sa.event.listen(engine, "connect", _settle, insert=True)  # before SQLAlchemy asks for the first time
    sa.event.listen(engine, "handle_error", _renew_session)
    if role is not None:
        sa.event.listen(engine, "connect", _taking(role))
    return engine


def _settle(connection: DBAPIConnection, _: object) -> None:
    settle(cast(Session, connection))
    connection.commit()


def _renew_session(failure: sa.ExceptionContext) -> None:
    """A session begins with what is set for the database and the login, and keeps it: a new one has what is set now."""
    origin = failure.original_exception
    if isinstance(origin, psycopg.Error) and origin.sqlstate in OF_THE_SESSION:
        failure.is_disconnect = True


def _taking(role: str) -> Callable[[DBAPIConnection, object], None]:
    def take(connection: DBAPIConnection, _: object) -> None:
        cursor = connection.cursor()
        cursor.execute(_TAKE_ROLE, (role,))
        cursor.close()
        connection.commit()

    return take


def shown_url(engine: sa.Engine) -> str:
    """The hub's URL as people write it, without passwords."""
    url = engine.url.set(drivername="postgresql").difference_update_query(("password", "sslpassword"))
    return url.render_as_string(hide_password=True)


@contextmanager
def _another(engine: sa.Engine) -> Iterator[Session]:
    with engine.connect() as connection:
        yield driver(connection)


def check_server(engine: sa.Engine) -> None:
    """Raise HubUnavailable with the driver's words when the hub cannot be reached, HubMismatch when it is too old,
    or there are no sessions on the way to it.
    """
    try:
        with engine.connect() as connection:
            version = connection.execute(sa.text("show server_version_num")).scalar_one()
            connection.rollback()
            check_sessions_are_kept(driver(connection), partial(_another, engine))
    except OperationalError as problem:
        raise unreachable(shown_url(engine), problem.orig) from problem
    check_version(int(version))
