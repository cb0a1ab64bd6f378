"""Snapshot: reads an entity set, whole or changed only, and brings its mirror to what was read.

A read begins with one statement and ends in the transaction that stores what it brought. One that brought nothing needs
none of its own: how far the set was read is noted where the read of the next one begins, or at the end of the poll.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError

from replicator.config import Budget
from replicator.connectors.protocol import Connector, tells_deletes
from replicator.core.hub_handle import Handle
from replicator.errors import ReplicatorError, Stopping, TokenExpired
from replicator.hub.statements import statements
from replicator.inbound.load import MirrorLoad, SnapshotResult
from replicator.inbound.pace import WHOLE_EVERY
from replicator.inbound.pages import Pages
from replicator.inbound.point_reads import PointReads
from replicator.inbound.proposed_deletes import ProposedDeletes
from replicator.inbound.resync_requests import ResyncRequests, answered
from replicator.mapping.schema import EntitySet

_sql = statements(__name__)


class IdleRead(NamedTuple):
    """Of an entity set of which nothing new was read: how far it was read, when that began, and whether all was."""

    entity_set: str
    token: str | None
    started: Any
    whole: bool


@dataclass(frozen=True)
class Beginning:
    """What is known before a read's first request."""

    token: str | None
    """From where on changes are told; None: everything is read."""
    moment: str
    """What was visible: writes of ours that are not in it may be newer than what is read."""
    started: Any
    wanted: ResyncRequests
    deletes: bool
    """Whether proposed deletes may go ahead."""


@dataclass
class Snapshots:
    """Takes the snapshots of one system's entity sets, one after the other."""

    hub: Handle
    connector: Connector
    idle: list[IdleRead] = field(default_factory=list)

    def take(self, entity_set: EntitySet, budget: Budget, *, whole: bool = False) -> SnapshotResult:
        """Read the set (only what changed, where that is told; whole once a day where it tells no deletes)."""
        begin = self._begin(entity_set, whole=whole)
        try:
            try:
                return self._take(entity_set, begin, budget)
            except TokenExpired:
                return self._take(entity_set, self._begin(entity_set, whole=True), budget)
        except (DBAPIError, psycopg.Error, Stopping):
            raise
        except Exception as problem:
            self.not_read(entity_set, problem)
            raise

    def not_read(self, entity_set: EntitySet, problem: Exception) -> None:
        """The set was not read, and why, for people; what was read before stays as it is."""
        words = problem if isinstance(problem, ReplicatorError) else f"a defect: {type(problem).__name__}"
        values = {"system": entity_set.system, "entity_set": entity_set.name, "problem": str(words)}
        with self.hub.leading():
            self.note_idle()  # before the problem: what such a read notes is that there is none
            self.hub.execute(_sql["keep_problem"], values)

    def note_idle(self) -> None:
        """Note the reads since the last call that brought nothing, in the transaction that is open."""
        if self.idle:
            names, tokens, times, whole = (list(each) for each in zip(*self.idle, strict=True))
            values = {"system": self.connector.name, "names": names, "tokens": tokens, "times": times, "whole": whole}
            self.hub.execute(_sql["keep_idle"], values)
            self.idle.clear()

    def _begin(self, entity_set: EntitySet, *, whole: bool) -> Beginning:
        values = {"system": entity_set.system, "entity_set": entity_set.name, "whole_every": WHOLE_EVERY}
        with self.hub.leading():
            self.note_idle()  # a root waits until the read of its parts is noted
            row = self.hub.execute(_sql["begin"], values).one()
        wanted = ResyncRequests(list(zip(row.asked, row.asked_at, strict=True)))
        blind = self.connector.capabilities.changes not in (*tells_deletes, "whole")
        whole = whole or wanted.whole or (blind and bool(row.whole_is_old))
        return Beginning(None if whole else row.token, row.moment, row.started, wanted, row.deletes)

    def _take(self, entity_set: EntitySet, begin: Beginning, budget: Budget) -> SnapshotResult:
        pages = Pages(
            self.hub, entity_set, self.connector, begin.started, afresh=bool(begin.token) or begin.wanted.whole
        )
        for page in self.connector.read(entity_set.spec, begin.token):
            pages.add(page)
        load = MirrorLoad(pages, "changed" if begin.token else "whole", begin.moment)
        if (bool(begin.token) and not (pages.rows or pages.deleted)) or load.is_as_before():
            self.idle.append(IdleRead(entity_set.name, pages.token, begin.started, load.kind == "whole"))
            taken = SnapshotResult(load.kind, pages.rows)
        else:
            taken = self._load(entity_set, begin, load, budget)
        self._read_by_key(entity_set, begin.wanted, budget)
        if begin.deletes or taken.deleted or begin.wanted.records:
            taken = replace(taken, deleted=ProposedDeletes(self.hub, entity_set).confirm(self.connector))
        return taken

    def _load(self, entity_set: EntitySet, begin: Beginning, load: MirrorLoad, budget: Budget) -> SnapshotResult:
        load.read.note_seen()
        with self.hub.leading():
            taken = load.load(budget, begin.token)
        if load.touched and self._read_again(entity_set, load.touched):
            with self.hub.leading():
                load.keep_position(load.read.token)
        return taken

    def _read_again(self, entity_set: EntitySet, ids: Sequence[int]) -> bool:
        """Records that we wrote while the set was read: what the read had of them may be older. Whether all are there.

        Only then may the token move on: until they are stored, nothing but the old one would show them once more.
        """
        gone, unsure = PointReads(self.hub, entity_set, self.connector).take_in(ids)
        return not (gone or unsure)

    def _read_by_key(self, entity_set: EntitySet, wanted: ResyncRequests, budget: Budget) -> None:
        """What people asked to be read again."""
        if not wanted.rows:
            return
        gone, _ = PointReads(self.hub, entity_set, self.connector).take_in(wanted.records)
        with self.hub.leading():
            ProposedDeletes(self.hub, entity_set).propose(gone, len(gone), "whole", budget)
            answered(self.hub, entity_set, wanted)
