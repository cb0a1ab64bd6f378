"""Connections to the hub: one way to make an engine, and to say what is wrong with an unreachable hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import simplejson
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.util import LRUCache

from replicator.errors import ConfigurationError, HubMismatch, HubUnavailable

OLDEST = 15
"""The oldest PostgreSQL that the hub works on."""


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
    "json_serializer": partial(simplejson.dumps, use_decimal=True),
    "json_deserializer": partial(simplejson.loads, use_decimal=True),
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


@dataclass(frozen=True)
class Sessions:
    """The sessions of one engine: what they call themselves, how many are kept and how many may be added to them, and
    how many seconds somebody waits for one, or for the server to let one in.
    """

    name: str
    kept: int
    added: int
    wait_seconds: int


WORK = Sessions("replicator", 8, 8, 30)
CONSOLE = Sessions("replicator console", 2, 4, 5)
METRICS = Sessions("replicator metrics", 1, 1, 2)
"""Apart from those of the work: whatever people ask for, the work goes on."""


def connect(url: str, *, role: str | None = None, now: str | None = None, sessions: Sessions = WORK) -> sa.Engine:
    """An engine for the hub at ``url`` (a libpq URL). ``now`` fixes the hub's clock, for tests.

    Its sessions take on ``role``, where the hub's server has it and the login belongs to it.
    """
    try:
        parsed = sa.make_url(url.replace("postgres://", "postgresql://", 1))
    except (sa.exc.ArgumentError, ValueError) as problem:
        raise ConfigurationError(
            "the hub's URL is not a database URL", hint="postgresql://user@host/database"
        ) from problem
    if parsed.get_backend_name() != "postgresql":
        raise ConfigurationError(
            f"the hub has to be PostgreSQL, not {parsed.get_backend_name()}", hint="postgresql://user@host/database"
        )
    # Index driven where few rows are wanted of many: the hub's hot pages are in memory, whatever the disk is like.
    options = "-c timezone=UTC -c random_page_cost=1.1 -c jit=off -c temp_buffers=64MB" + (
        f" -c sync.now={now}" if now else ""
    )
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
    if role is not None:
        sa.event.listen(engine, "connect", _taking(role))
    return engine


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


def check_server(engine: sa.Engine) -> None:
    """Raise HubUnavailable with the driver's words when the hub cannot be reached, HubMismatch when it is too old."""
    try:
        with engine.connect() as connection:
            version = connection.execute(sa.text("show server_version_num")).scalar_one()
    except OperationalError as problem:
        raise HubUnavailable(
            f"the hub at {shown_url(engine)} cannot be reached: {str(problem.orig).strip()}",
            hint="check HUB_URL or hub.url, and that the server is up",
        ) from problem
    if int(version) // 10_000 < OLDEST:
        raise HubMismatch(
            f"the hub's server is PostgreSQL {int(version) // 10_000}, and at least {OLDEST} is needed",
            hint="set HUB_URL or hub.url to a newer server, or to none: then the replicator runs one of its own",
        )
