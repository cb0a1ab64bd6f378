"""Refuses a way to the server on which a session is not one: a pooler that gives each transaction another process.

Temporary tables, roles and settings last for a session here. Such a pooler would lose them in the midst of the work.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import psycopg

from replicator.errors import HubMismatch

Session = psycopg.Connection
_PID = "select pg_backend_pid()"


def check_sessions_are_kept(session: Session, another: Callable[[], AbstractContextManager[Session]]) -> None:
    """Raise HubMismatch where ``session`` is served by one server process now and by another one later.

    A pooler names itself by the process it gives as the server's. Only then ``another`` session is opened, and has
    the first one's server, if it may be had.
    """
    try:
        begun = _served_by(session)
        if begun == session.info.backend_pid:
            return
        with another() as second, second.transaction():
            if _served_by(second) == begun or _served_by(session) != begun:
                raise sessions_are_not_kept()
    except psycopg.Error as problem:
        if speaks_of_pooling(problem):
            raise sessions_are_not_kept() from problem
        raise


def speaks_of_pooling(problem: BaseException | None) -> bool:
    """Whether a pooler refuses what takes more than one statement."""
    return "statement pooling" in str(problem)


def sessions_are_not_kept() -> HubMismatch:
    """What is wrong with the way to the server."""
    return HubMismatch(
        "the hub is reached through a pooler that gives each transaction another session (pool_mode = "
        "transaction, or statement), and the replicator keeps things in its sessions",
        hint="name the server itself in HUB_URL or hub.url, or a pool whose pool_mode is session",
    )


def _served_by(session: Session) -> int:
    with session.transaction():
        row = session.execute(_PID).fetchone()
    return int(row[0]) if row else 0
