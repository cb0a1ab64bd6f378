"""The oldest PostgreSQL that a hub works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replicator.errors import HubMismatch

if TYPE_CHECKING:
    pass

OLDEST = 15
"""The oldest PostgreSQL that a hub works on, here or on a server of one's own."""


def check_server(version: int) -> None:
    """Raise HubMismatch when the server (170002: 17.2) is too old."""
    if version // 10_000 < OLDEST:
        raise HubMismatch(
            f"the hub's server is PostgreSQL {version // 10_000}, and at least {OLDEST} is needed",
            hint="set HUB_URL or hub.url to a newer server, or to none: then the replicator runs one of its own",
        )
