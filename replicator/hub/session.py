"""One session on the hub for a command: it needs a hub that this program made, and nothing of ``schema/``.

A command that is needed when things are broken starts in a fraction of a second, so SQLAlchemy stays out of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
import simplejson
from psycopg.types.json import set_json_dumps, set_json_loads

from replicator import __version__
from replicator.errors import HubMismatch, HubUnavailable
from replicator.hub import embedded_hub
from replicator.hub.address import libpq_parameters
from replicator.hub.poolers import check_sessions_are_kept, sessions_are_not_kept, speaks_of_pooling
from replicator.hub.product_sql import product_hash
from replicator.hub.server_version import check_server

if TYPE_CHECKING:
    import sqlalchemy as sa

    from replicator.hub.address import HubAddress
    from replicator.hub.embedded_hub import Wanted

Session = psycopg.Connection[Any]
# Index driven where few rows are wanted of many: the hub's hot pages are in memory, whatever the disk is like.
OPTIONS = "-c random_page_cost=1.1 -c jit=off -c temp_buffers=64MB"
_RELIED_ON = {
    "client_encoding": "UTF8", "datestyle": "ISO, MDY", "intervalstyle": "postgres", "timezone": "UTC",
    "standard_conforming_strings": "on", "bytea_output": "hex", "extra_float_digits": "1", "search_path": "public",
    "transform_null_equals": "off", "default_transaction_isolation": "read committed", "array_nulls": "on",
    "quote_all_identifiers": "off", "lock_timeout": "0", "idle_session_timeout": "0", "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
}  # fmt: skip
"""What texts and statements mean by, and that nobody ends a session: set by each for itself, whatever server, database,
login or environment say. What is somebody's wish (``statement_timeout``, read-only) stays as it is.
"""
exact_dumps = partial(simplejson.dumps, use_decimal=True)
exact_loads = partial(simplejson.loads, use_decimal=True)
"""JSON in which every digit of a number is kept."""


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
HINTS = Sessions("replicator hints", 1, 0, 5)
"""Apart from those of the work: whatever people ask for, the work goes on."""


def driver(connection: Session | sa.Connection) -> Session:
    """The driver's own connection."""
    if isinstance(connection, psycopg.Connection):
        return connection
    found = connection.connection.driver_connection
    assert isinstance(found, psycopg.Connection)
    return found


def parameters(address: HubAddress, wanted: Wanted = "started") -> dict[str, Any]:
    """What libpq needs to connect; for the embedded server see ``embedded_hub``."""
    return libpq_parameters(address.url or embedded_hub.url_of(address.folder, wanted))


def shown(parameters: Mapping[str, Any]) -> str:
    """Where the hub is, as a URL without passwords."""
    kept = {name: str(value) for name, value in parameters.items() if not name.endswith("password")}
    user, host, port = (kept.pop(name, "") for name in ("user", "host", "port"))
    database = kept.pop("dbname", "")
    if "/" in host:
        kept |= {"host": host} | ({"port": port} if port else {})
        host = port = ""
    host = f"[{host}]" if ":" in host else host
    place = f"{user}@{host}" if user else host
    query = f"?{urlencode(kept, safe='/')}" if kept else ""
    return f"postgresql://{place}{':' + port if port else ''}/{database}{query}"


def settle(session: Session) -> None:
    """Set what the program relies on; after the start of the session, for then the environment has had its say."""
    query = (
        "select set_config(name, value, false) from unnest(%s::text[], %s::text[]) as s(name, value) "
        "where current_setting(name, true) is not null"  # not every server knows all of them
    )
    session.execute(query, (list(_RELIED_ON), list(_RELIED_ON.values())))


@contextmanager
def reach(address: HubAddress, wanted: Wanted = "started") -> Iterator[Session]:
    """A session on whatever database is there. Raises HubUnavailable, or HubMismatch where the server is too old."""
    found = parameters(address, wanted)
    # Ours win over those of the URL, as in the daemon's sessions.
    own = {"options": OPTIONS, "application_name": WORK.name, "connect_timeout": WORK.wait_seconds}
    connect = partial(psycopg.connect, **{**found, **own}, autocommit=True, prepare_threshold=None)
    try:
        connection = connect()
    except psycopg.OperationalError as problem:
        raise unreachable(shown(found), problem) from problem
    with connection:
        settle(connection)
        set_json_loads(exact_loads, connection)
        set_json_dumps(exact_dumps, connection)
        check_server(connection.info.server_version)
        check_sessions_are_kept(connection, connect)
        yield connection


@contextmanager
def open_hub(address: HubAddress, wanted: Wanted = "started") -> Iterator[Session]:
    """A session on a hub that this program made."""
    with reach(address, wanted) as connection:
        check_product(connection)
        yield connection


def check_product(connection: Session) -> None:
    """Raise HubMismatch unless views and functions of schema ``sync`` are those that this program asks."""
    row = connection.execute("select to_regclass('sync.hub') is not null").fetchone()
    if row is None or not row[0]:
        raise HubMismatch("the hub's database is empty", hint="run 'replicator migrate'")
    row = connection.execute("select version, product_hash from sync.hub").fetchone()
    if row is None:
        raise HubMismatch("the hub's database is only half made", hint="run 'replicator migrate'")
    if row[1] != product_hash():
        raise HubMismatch(
            f"the hub was made by version {row[0]} of this program, or another build of it; this is {__version__}",
            hint=f"run version {row[0]}; or, if this one is newer, 'replicator migrate'",
        )


def unreachable(where: str, problem: BaseException | None) -> HubUnavailable | HubMismatch:
    """The driver's own words about a hub that cannot be reached; or that a pooler before it is none for this."""
    if speaks_of_pooling(problem):
        return sessions_are_not_kept()
    return HubUnavailable(
        f"the hub at {where} cannot be reached: {str(problem).strip()}",
        hint="check HUB_URL or hub.url, and that the server is up",
    )
