"""The connectors: one protocol, for each kind of system its settings and its connector, and ``connect``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from replicator.connectors.protocol import Connector
    from replicator.connectors.settings import ConnectorSettings


def connect(name: str, settings: ConnectorSettings, **options: Any) -> Connector:
    """The connector for a system. ``options`` replace the network or the clock in tests, where they are not None.

    Nothing is sent until a method is called.
    """
    return settings.connect(name, **{option: value for option, value in options.items() if value is not None})


__all__ = ["connect"]
