"""Hints: whether a system that should say when something changed is registered to, and whether it does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from replicator.config import HintsSettings
from replicator.connectors.dataverse import Dataverse
from replicator.connectors.dataverse_hints import Item, Registration
from replicator.connectors.protocol import Connector
from replicator.hub.statements import statements
from replicator.mapping.schema import EntitySet
from replicator.operate.preflight.findings import Report

_sql = statements(__name__)
_SHOWN_MAX = 3


def check(settings: HintsSettings, sets: Sequence[EntitySet], connector: Connector, notes: Report) -> datetime | None:
    """Look at what is registered; since when all of it has been, where there is anything."""
    if not isinstance(connector, Dataverse):
        return None
    found: list[Item] = []
    with notes.looking(connector.name):
        specs = [each.spec for each in sets]
        found += Registration(connector.http, settings.url_of(connector.name), specs).look()
    register = f"replicator hints register {connector.name}"
    if found and found[0].stands == "missing":
        notes.found(connector.name, "it gives no hints: it has no endpoint for them", register)
        return None
    wrong = [each for each in found if each.stands != "there"]
    if wrong:
        some = "; ".join(f"{each.name} is {each.stands}" for each in wrong[:_SHOWN_MAX])
        more = f"; and {len(wrong) - _SHOWN_MAX} more" if len(wrong) > _SHOWN_MAX else ""
        notes.found(connector.name, f"hints are not registered as they should be: {some}{more}", register)
    return max((each.since for each in found if each.since is not None), default=None)


def check_alive(connection: sa.Connection, system: str, since: datetime, notes: Report) -> None:
    """Entity sets whose changes are read, and of which the system has not said that they changed."""
    with connection.begin():
        rows = connection.execute(_sql["silent"], {"system": system, "since": since}).all()
    for row in rows:
        last = f"the last was {row.hinted_at:%Y-%m-%d %H:%M} UTC" if row.hinted_at else "there was none"
        notes.found(
            f"{system}.{row.entity_set}",
            f"it was changed, as read {row.changed_at:%Y-%m-%d %H:%M} UTC, and no hint of that came: {last}",
            f"see the failed system jobs in {system}, and whether it reaches hints.url",
        )
