"""The embedded hub for those who work on it: whether it may be made or started, and how it is found again.

It is a server of our own, so libpq's environment, which belongs to the servers of others, means nothing to it.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from replicator.errors import ConfigurationError, HubUnavailable, Terminal
from replicator.hub import embedded

if TYPE_CHECKING:
    import sqlalchemy as sa

Wanted = Literal["made", "started", "running"]
"""What is done for who asks for the server: it is made and started if need be, started if it was made, or neither."""


def url_of(home: Path, wanted: Wanted, environment: MutableMapping[str, str] = os.environ) -> str:
    """Where the server is. Raises Terminal where there is none, HubUnavailable where it is down, unless so wanted."""
    forget_libpq(environment)
    is_there = (home / "data").exists()
    if wanted == "made" and not is_there and environment.get("HUB_URL") is not None:
        raise ConfigurationError(
            f"HUB_URL is set and empty, and there is no hub in {home} yet",
            hint="say in HUB_URL where the hub is; or unset it, and an empty one is made there",
        )
    if wanted == "made":
        return embedded.start(home).url
    if not is_there:
        raise Terminal(
            f"there is no hub in {home}",
            hint="'replicator migrate' makes one; or say where the hub is: --config, REPLICATOR_CONFIG, HUB_URL",
        )
    found = embedded.start(home) if wanted == "started" else embedded.running(home)
    if found is None:
        raise HubUnavailable(
            f"the hub's server in {home} is down",
            hint="'replicator hub up' starts it, and so does whatever writes: 'run', 'once'",
        )
    return found.url


def forget_libpq(environment: MutableMapping[str, str]) -> None:
    """Remove PGSERVICE, PGHOSTADDR, PGOPTIONS and so on, for this process and what it starts.

    Not all of them give way to what is said at a connection.
    """
    for name in [name for name in environment if name.startswith("PG")]:
        del environment[name]


def follow(engine: sa.Engine, home: Path) -> None:
    """Let an engine find the server where it is now: after another start its socket may be at another place."""
    import sqlalchemy as sa  # not every command that needs the hub needs it

    @sa.event.listens_for(engine, "do_connect")
    def _(dialect: object, record: object, arguments: object, parameters: dict[str, Any]) -> None:
        parameters["host"] = str(embedded.socket_folder(home.resolve()))
