"""The log: JSON lines about what happens, with actions and ids, never a record's content."""

from __future__ import annotations

import sys
import traceback

import structlog

from replicator.errors import ReplicatorError, Transient
from replicator.inbound.load import SnapshotResult
from replicator.inbound.merge import MergeResult
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.schema import EntitySet
from replicator.outbound.acknowledge import Acknowledged, WriteOutcome
from replicator.watcher import Watcher


def log_as_json() -> None:
    """Write the log as JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


class LogWatcher(Watcher):
    """Writes what happens as structured log lines: an action and ids, never a record's content."""

    def __init__(self) -> None:
        self.log = structlog.get_logger("replicator")

    def snapshot(self, entity_set: EntitySet, taken: SnapshotResult) -> None:
        if taken.anything:
            self.log.info("snapshot", entity_set=str(entity_set), **vars(taken))

    def merged(self, merged: MergeResult) -> None:
        if merged.progress:
            self.log.info("merge", **vars(merged))

    def delivered(self, flow: CompiledMap, result: Acknowledged) -> None:
        counts = {name: value for name, value in vars(result).items() if isinstance(value, int) and value}
        writes = [_ids(flow, each) for each in result.writes]
        self.log.info("deliver", flow=flow.name, **counts, writes=writes)

    def waiting(self, holder: str) -> None:
        self.log.info("wait", leader=holder)

    def smaller_requests(self, system: str, size: int) -> None:
        self.log.warning("smaller requests", system=system, size=size)

    def problem(self, where: str, problem: ReplicatorError) -> None:
        kind = "transient" if isinstance(problem, Transient) else "terminal"
        self.log.warning("problem", where=where, kind=kind, message=problem.message, hint=problem.hint)

    def defect(self, where: str, problem: Exception) -> None:
        # Not its message, which may hold a record's content.
        trace = [line.strip() for line in traceback.format_tb(problem.__traceback__)]
        self.log.error("defect", where=where, kind=type(problem).__name__, trace=trace)


def _ids(flow: CompiledMap, became: WriteOutcome) -> dict[str, object]:
    """What the log says of a write; the flow only where it is that of a part."""
    known = {name: value for name, value in vars(became).items() if value}
    return {name: value for name, value in known.items() if (name, value) != ("flow", flow.name)}
