"""Who hears what a cycle does, as it happens."""

from __future__ import annotations

from replicator.errors import ReplicatorError
from replicator.inbound.load import SnapshotResult
from replicator.inbound.merge import MergeResult
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.schema import EntitySet
from replicator.outbound.acknowledge import Acknowledged


class Watcher:
    """Hears what happens, as it happens. The default hears nothing."""

    def reading(self, entity_set: EntitySet) -> None:
        """An entity set is about to be read."""

    def snapshot(self, entity_set: EntitySet, taken: SnapshotResult) -> None:
        """An entity set was read."""

    def merged(self, merged: MergeResult) -> None:
        """Marked records were merged into common."""

    def sending(self, flow: CompiledMap, records: int) -> None:
        """So many records of a map are about to be sent."""

    def delivered(self, flow: CompiledMap, result: Acknowledged) -> None:
        """A request was answered and acknowledged."""

    def waiting(self, holder: str) -> None:
        """Another replicator leads; this one waits."""

    def pausing(self, seconds: float) -> None:
        """Nothing can be done for so long; then what failed is tried again."""

    def smaller_requests(self, system: str, size: int) -> None:
        """A system refused a request as too large: from now on one carries at most so much."""

    def comparing(self, flow: CompiledMap) -> None:
        """All records of a map are about to be compared."""

    def problem(self, where: str, problem: ReplicatorError) -> None:
        """A flow failed; the others go on."""

    def defect(self, where: str, problem: Exception) -> None:
        """A failure that nobody foresaw. Whoever hears it may go on; by default it ends the work."""
        raise problem
