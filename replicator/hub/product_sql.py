"""What the program itself brings into every hub: its SQL, and the revisions of its own tables."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from replicator import __version__
from replicator.hub import states

BRANCH = "replicator"
"""The branch of the program's own revisions; a solution's are on one beside it."""
_SQL = files("replicator.hub") / "sql"
_MAKERS = ("replicator.core", "replicator.hub", "replicator.mapping", "replicator.solution")
_REVISIONS = files("replicator.hub") / "migrations" / "versions"


def sql(name: str) -> str:
    """The text of ``replicator/hub/sql/<name>.sql``."""
    return (_SQL / f"{name}.sql").read_text(encoding="utf-8")


@cache
def product_hash() -> str:
    """What a hub made by exactly this program notes in ``sync.hub``; needs neither ``schema/`` nor Alembic."""
    texts = sorted((each.name, each.read_bytes()) for each in _SQL.iterdir() if each.name.endswith(".sql"))
    digest = hashlib.sha256(__version__.encode())
    said_of_states = [(name, text.as_bytes()) for name, text in sorted(states.sql_values().items())]
    for name, text in [*texts, *said_of_states, (newest_revision(), b"")]:
        digest.update(b"%d %s %s" % (len(text), name.encode(), text))
    return digest.hexdigest()[:16]


@cache
def makers_hash() -> str:
    """Of the modules and the SQL that the generated objects of a hub are made by."""
    digest = hashlib.sha256(__version__.encode())
    for package in _MAKERS:
        for each in sorted(files(package).iterdir(), key=lambda each: each.name):
            if each.name.endswith(".py"):
                digest.update(each.name.encode() + each.read_bytes())
    return digest.hexdigest() + product_hash()


def newest_revision() -> str:
    """The file name of the last of the program's revisions; their names begin with their numbers."""
    return max(each.name for each in _REVISIONS.iterdir() if each.name.endswith(".py"))
