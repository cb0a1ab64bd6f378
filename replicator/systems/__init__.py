"""The connectors: one protocol (``connector``), one class for each kind of system, and ``connect`` to choose."""

from __future__ import annotations

import httpx2

from replicator.systems.auth import Clock
from replicator.systems.connector import Connector
from replicator.systems.dataverse import Dataverse
from replicator.systems.finops import FinOps
from replicator.systems.http import utc_now
from replicator.systems.odata import ODataConnector
from replicator.systems.settings import Kind, SystemSettings

kinds: dict[Kind, type[ODataConnector]] = {"dataverse": Dataverse, "finops": FinOps}


def connect(
    name: str, settings: SystemSettings, *, transport: httpx2.BaseTransport | None = None, clock: Clock = utc_now
) -> Connector:
    """The connector for a system. ``transport`` replaces the network in tests; ``clock`` gives the time in UTC.

    Nothing is sent until a method is called.
    """
    return kinds[settings.kind](name, settings, transport=transport, clock=clock)


__all__ = ["connect", "kinds"]
