"""What to do about a failure of the hub's database, in a sentence."""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError

from replicator.errors import Transient

_FORBIDDEN, _READ_ONLY, _TIMEOUT = "42501", "25006", "57014"
OF_THE_SESSION = frozenset({_READ_ONLY, _TIMEOUT})
"""SQLSTATEs that may be due to what held when the session began."""
_REMEDIES = {
    _FORBIDDEN: "log in as a role that may do this (replicator_reader looks, replicator_steward decides, "
    "replicator_daemon runs, replicator_owner migrates)",
    _READ_ONLY: "make the hub's database writable again (default_transaction_read_only, or it is a standby)",
    "53100": "make room on the disk of the hub's server",
    "53200": "give the hub's server more memory",
    _TIMEOUT: "give the replicator's login a longer statement_timeout, or none",
}
"""By SQLSTATE."""
_OUT_OF_REACH = "look whether the hub's server is up and lets the replicator log in: password, limits of connections"


def words_of(problem: Exception) -> str:
    """The database's own words, on one line."""
    return str(problem.__cause__ or problem).strip().split("\n", maxsplit=1)[0]


def passes(problem: Exception) -> bool:
    """Whether the same command may succeed later: not, where it lacks the right."""
    return _state(problem) != _FORBIDDEN


def remedy(problem: Exception) -> str:
    """What a person can do."""
    state = _state(problem)
    if state is None or state.startswith(("08", "28", "533", "57P")):
        return _OUT_OF_REACH
    return _REMEDIES.get(state, "look at the hub's server")


def _state(problem: Exception) -> str | None:
    origin = problem.orig if isinstance(problem, DBAPIError) else problem
    return origin.sqlstate if isinstance(origin, psycopg.Error) else None


def hub_trouble(problem: Exception) -> Transient:
    """A failure of the hub's database, in its own words, and what to do."""
    return Transient(f"the hub: {words_of(problem)}", hint=f"{remedy(problem)}; it is tried again by itself")
