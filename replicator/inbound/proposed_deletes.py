"""Proposed deletes: records that a system shows no more. Over the budget they are held; before anything is deleted the
record is looked up once more by its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import sqlalchemy as sa

from replicator.config import Budget
from replicator.connectors.protocol import Connector
from replicator.core.fetch import Refusal
from replicator.core.hub_handle import Handle
from replicator.core.mirror import remove
from replicator.errors import RequestRefused
from replicator.hub.statements import statements
from replicator.hub.sync_tables import proposed_delete
from replicator.inbound.delete_budget import over_budget
from replicator.inbound.point_reads import PointReads, slices
from replicator.mapping.schema import EntitySet

_sql = statements(__name__)


class ProposedDeletes:
    """Those of one entity set."""

    def __init__(self, hub: Handle, entity_set: EntitySet) -> None:
        self.hub, self.entity_set = hub, entity_set
        self.mirror = hub.compiled.tables.mirror(entity_set)
        self.names = {"system": entity_set.system, "entity_set": entity_set.name}

    def propose(
        self, absent: Sequence[int], rows: int, kind: Literal["whole", "changed", "swept"], budget: Budget
    ) -> tuple[int, int]:
        """Store what is absent from a read of so many rows, in the transaction that is open: (held, going ahead)."""
        standing = self._standing(absent)
        fresh = [record for record in absent if record not in standing]
        if not fresh:
            return 0, 0
        size = self.hub.execute(sa.select(sa.func.count()).select_from(self.mirror)).scalar_one()
        recent = self.hub.execute(_sql["recent_deletes"], self.names).scalar_one()
        undecided = sum(state == "held" for state in standing.values())
        reason = over_budget(len(fresh) + undecided, recent, size, rows, kind, budget)
        state = "held" if reason else "proposed"
        label = sa.cast(self.mirror.c[self.entity_set.label_column], sa.Text)
        values = sa.select(
            *(sa.literal(value) for value in (self.entity_set.system, self.entity_set.name, state, reason)),
            self.mirror.c.id, label, sa.func.sync.now(),
        ).where(self.mirror.c.id == sa.any_(sa.literal(fresh, sa.ARRAY(sa.BigInteger))))  # fmt: skip
        names = ["system", "entity_set", "state", "reason", "record_id", "record", "proposed_at"]
        self.hub.execute(proposed_delete.insert().from_select(names, values))
        return (len(fresh), 0) if reason else (0, len(fresh))

    def _standing(self, absent: Sequence[int]) -> Mapping[int, str]:
        """The states of those that wait for a decision, go ahead, or that a person decided to keep."""
        found = self.hub.execute(_sql["standing"], self.names | {"ids": list(absent)})
        return {row.record_id: row.state for row in found}

    def withdraw(self, shown: sa.ColumnElement[bool]) -> None:
        """Records that are shown again need no decision any more."""
        undecided = list(self.hub.execute(_sql["undecided"], self.names).scalars())
        if undecided:
            wanted = sa.select(self.mirror.c.id).where(self.mirror.c.id.in_(undecided), shown)
            again = list(self.hub.execute(wanted).scalars())
            self.hub.execute(_sql["withdraw"], self.names | {"ids": again})

    def confirm(self, connector: Connector) -> int:
        """Look up every record that is to be deleted; delete those that are gone indeed, and say how many."""
        with self.hub.leading():
            decided = {row.record_id: row.id for row in self.hub.execute(_sql["decided"], self.names)}
        gone = 0
        point_reads = PointReads(self.hub, self.entity_set, connector)
        refused: dict[int, Refusal] = {}
        for part in slices(list(decided)):
            fetched = point_reads.fetch(part)
            refused |= fetched.refused
            with self.hub.leading():
                still = point_reads.store(fetched)
                there = [record for record in still if fetched.rows[record] is not None]
                unknown = set(part).difference(fetched.versions)
                missing = [*still.difference(there), *unknown]
                remove(self.hub.connection, self.mirror, missing)
                self._settle([decided[record] for record in missing], "done", None)
                self._settle([decided[record] for record in there], "withdrawn", "the record was found by its key")
            gone += len(missing)
        if refused:
            first = next(iter(refused.values()))
            raise RequestRefused(f"{len(refused)} deletes wait, because their records cannot be looked up: {first}")
        return gone

    def _settle(self, ids: Sequence[int], state: str, reason: str | None) -> None:
        if ids:
            self.hub.execute(_sql["settle"], {"ids": list(ids), "state": state, "reason": reason})
