"""The flows as the hub knows them: their modes, and when records last arrived by them."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from replicator.config import FlowSettings
from replicator.errors import ConfigurationError
from replicator.hub.lease import leading
from replicator.hub.sync_tables import delivery, map_
from replicator.mapping.compiled import Compiled


def check_flows(compiled: Compiled, flows: Mapping[str, FlowSettings]) -> None:
    """Every flow of the configuration has to be one that delivers, if it is to be observed."""
    known = {flow.name: flow for flow in compiled.maps if flow.root is None}
    for name, settings in flows.items():
        if name not in known:
            raise ConfigurationError(f"flows: there is no flow '{name}'", hint=f"there are: {'; '.join(known)}")
        if settings.mode == "observe" and known[name].mapping.direction == "in":
            raise ConfigurationError(
                f"flows: '{name}' goes into the hub, and only flows out of it can be observed",
                hint="pause it instead: replicator pause FLOW",
            )


def set_modes(connection: sa.Connection, compiled: Compiled, flows: Mapping[str, FlowSettings]) -> None:
    """Note which flows are only observed; what was observed of one that is to write again is marked."""
    check_flows(compiled, flows)
    observed = [name for name, settings in flows.items() if settings.mode == "observe"]
    modes = sa.case((map_.c.name.in_(observed), "observe"), else_="apply") if observed else sa.literal("apply")
    with leading(connection):
        connection.execute(map_.update().where(map_.c.mode != modes).values(mode=modes))
        applied = sa.select(map_.c.id).where(map_.c.mode == sa.literal("apply"))
        connection.execute(
            delivery.update()
            .where(delivery.c.state == sa.literal_column("'observed'"), delivery.c.map_id.in_(applied))
            .values(state=sa.literal_column("'pending'::sync.delivery_state"), marked=delivery.c.marked + 1)
        )


def note_success(connection: sa.Connection, map_id: int) -> None:
    """Records have just arrived by this map."""
    connection.execute(map_.update().where(map_.c.id == map_id).values(last_success_at=sa.func.sync.now()))
