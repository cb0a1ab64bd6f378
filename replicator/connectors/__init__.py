"""The connectors: one protocol (``connector``), one class for each kind of system, and ``connect`` to choose."""

from __future__ import annotations

import httpx2

from replicator.connectors.dataverse import Dataverse
from replicator.connectors.finops import FinOps
from replicator.connectors.odata.auth import Clock
from replicator.connectors.odata.connector import ODataConnector
from replicator.connectors.odata.http import utc_now
from replicator.connectors.protocol import Connector
from replicator.connectors.settings import Kind, SystemSettings

kinds: dict[Kind, type[ODataConnector]] = {"dataverse": Dataverse, "finops": FinOps}


def connect(
    name: str, settings: SystemSettings, *, transport: httpx2.BaseTransport | None = None, clock: Clock = utc_now
) -> Connector:
    """The connector for a system. ``transport`` replaces the network in tests; ``clock`` gives the time in UTC.

    Nothing is sent until a method is called.
    """
    return kinds[settings.kind](name, settings, transport=transport, clock=clock)


__all__ = ["connect", "kinds"]
