"""Pages on their way into the stage; each page is a transaction of its own."""

from __future__ import annotations

from typing import Any

from replicator.connectors.protocol import Connector, Key, Page
from replicator.core.hub_handle import Handle
from replicator.core.quarantine import Quarantine, key_of
from replicator.inbound import stage
from replicator.mapping.schema import EntitySet


class Pages:
    """What one read of an entity set brought, as far as it has come."""

    def __init__(self, hub: Handle, entity_set: EntitySet, connector: Connector, started: Any) -> None:
        self.hub, self.entity_set, self.started = hub, entity_set, started
        self.mirror = hub.compiled.tables.mirror(entity_set)
        self.quarantine = Quarantine(hub, entity_set, connector)
        self.decode = connector.decoder(entity_set.spec)
        self.rows = self.quarantined = 0
        self.deleted: list[Key] = []
        self.bad_keys: list[str] = []
        self.token: str | None = None
        self._staged = False

    def add(self, page: Page) -> None:
        self.rows += len(page.rows)
        self.deleted.extend(page.deleted)
        if page.last:
            self.token = page.token
        if not page.rows:
            return
        # Only the session's own temporary table is written; and a COPY that freezes would hold off the next leader.
        with self.hub.connection.begin():
            self.stage()
            bad = stage.copy_rows(self.hub.connection, self.entity_set, self.mirror, self.decode, page.rows)
        if bad:
            with self.hub.leading():
                self.quarantine.put(bad, self.started)
        self.quarantined += len(bad)
        self.bad_keys += [key_of(self.entity_set, each.row) for each in bad]

    def stage(self) -> None:
        """Make the stage when it is first needed: a read that brings nothing costs nothing."""
        if not self._staged:
            stage.make_stage(self.hub.connection, self.mirror)
            self._staged = True
