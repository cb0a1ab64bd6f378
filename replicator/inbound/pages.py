"""Pages on their way into the stage, each in a transaction of its own. Of a whole read only what is new gets there."""

from __future__ import annotations

from typing import Any

from replicator.connectors.protocol import Connector, Key, Page
from replicator.core.hub_handle import Handle
from replicator.core.quarantine import Quarantine, key_of
from replicator.inbound import stage
from replicator.inbound.seen_rows import SeenRows, digests, mark_of
from replicator.mapping.schema import EntitySet


class Pages:
    """What one read of an entity set brought, as far as it has come. With ``afresh`` each row is decoded."""

    def __init__(self, hub: Handle, entity_set: EntitySet, connector: Connector, started: Any, *, afresh: bool) -> None:
        self.hub, self.entity_set, self.started = hub, entity_set, started
        self.mirror = hub.compiled.tables.mirror(entity_set)
        self.quarantine = Quarantine(hub, entity_set, connector)
        self.decode = connector.decoder(entity_set.spec)
        self.rows = self.quarantined = 0
        self.deleted: list[Key] = []
        self.bad_keys: list[str] = []
        self.token: str | None = None
        self.seen = SeenRows(hub.connection, self.mirror)
        self.staged = 0
        """Rows that are not as they were, as far as they could be read."""
        self._connector, self._afresh = connector, afresh
        self._pages, self._is_made = 0, False

    def add(self, page: Page) -> None:
        self.rows += len(page.rows)
        self._pages += 1
        self.deleted.extend(page.deleted)
        if page.last:
            self.token = page.token
        if not page.rows:
            return
        found = digests(page.rows, mark_of(self._connector, self.entity_set))
        # Only the session's own temporary tables are written; and a COPY that freezes would hold off the next leader.
        with self.hub.connection.begin():
            new = range(len(found)) if self._afresh or not any(found) else self.seen.take(found, self._pages)
            if not new:
                return
            self.stage()
            rows = ((page.rows[place], found[place]) for place in new)
            bad = stage.copy_rows(self.hub.connection, self.entity_set, self.mirror, self.decode, rows, self._pages)
        self.staged += len(new)
        if bad:
            with self.hub.leading():
                self.quarantine.put(bad, self.started)
        self.quarantined += len(bad)
        self.bad_keys += [key_of(self.entity_set, each.row) for each in bad]

    def note_seen(self) -> None:
        """Note which rows are as they were, before anybody has to wait for this read."""
        if self.seen.any:
            with self.hub.connection.begin():
                self.seen.note()

    def stage(self) -> None:
        """Make the stage when it is first needed: a read that brings nothing costs nothing."""
        if not self._is_made:
            stage.make_stage(self.hub.connection, self.mirror)
            self._is_made = True
