"""Opens the hub: the server a URL names, else the embedded one."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from replicator.errors import ReplicatorError
from replicator.hub import embedded_hub
from replicator.hub.connection import check_server, connect
from replicator.hub.session import WORK, Sessions


def open_engine(
    url: str | None,
    folder: Path,
    *,
    role: str | None = None,
    sessions: Sessions = WORK,
    wanted: embedded_hub.Wanted = "started",
) -> sa.Engine:
    """An engine for the hub at ``url``, or for the embedded server kept in ``folder``, which may have to be started."""
    engine = connect(url or embedded_hub.url_of(folder, wanted), role=role, sessions=sessions)
    if not url:
        embedded_hub.follow(engine, folder)
    try:
        check_server(engine)
    except ReplicatorError:
        engine.dispose()
        raise
    return engine
