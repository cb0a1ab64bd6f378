"""The ``psql`` for the hub, and what tells it where the hub is."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from psycopg.pq import Conninfo

from replicator.errors import ConfigurationError
from replicator.hub import embedded


def program(url: str | None) -> Path:
    """The one that belongs to the embedded server; for a server at ``url`` the one on PATH, where there is one."""
    if url and (found := shutil.which("psql")):
        return Path(found)
    packaged = embedded.binaries() / "psql"
    if not packaged.exists():
        raise ConfigurationError(
            f"there is no psql in {packaged.parent}", hint="install the client programs of PostgreSQL"
        )
    return packaged


def environment(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The variables by which libpq connects with these; on a command line everybody could read a password."""
    variables = {each.keyword.decode(): each.envvar.decode() for each in Conninfo.get_defaults() if each.envvar}
    return {variables[name]: str(value) for name, value in parameters.items() if name in variables}
