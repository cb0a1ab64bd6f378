"""Snapshot: reads an entity set, whole or changed only, and brings its mirror to what was read.

A read begins with one statement and ends in the transaction that stores what it brought. One that brought nothing needs
none of its own: how far the set was read is noted where the read of the next one begins, or at the end of the poll.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import psycopg
from sqlalchemy.exc import DBAPIError

from replicator.config import Budget
from replicator.connectors.meter import Meter, metered
from replicator.connectors.protocol import Connector, FieldProblem, Key, Page
from replicator.core.fetch import fetch_each
from replicator.core.hub_handle import Handle
from replicator.errors import ReplicatorError, Stopping, TokenExpired
from replicator.hub.statements import statements
from replicator.inbound.exports import FirstRead
from replicator.inbound.load import MirrorLoad, SnapshotResult
from replicator.inbound.pages import Pages
from replicator.inbound.point_reads import PointReads
from replicator.inbound.proposed_deletes import ProposedDeletes
from replicator.inbound.read_costs import ReadCost, note_costs
from replicator.inbound.reading_position import Position, looked_at_every, position_of
from replicator.inbound.resync_requests import ResyncRequests, answered
from replicator.inbound.seen_rows import mark_of
from replicator.inbound.sweep import LastSweep, Sweep
from replicator.mapping.schema import EntitySet
from replicator.mapping.told_changes import ByTime

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

    position: Position
    """By which way it is read, and from where on."""
    kept: str | None
    """The position as the hub has it, where the read goes on from it."""
    mark: str
    """Of what rows are made into."""
    moment: str
    """What was visible: writes of ours that are not in it may be newer than what is read."""
    started: Any
    wanted: ResyncRequests
    deletes: bool
    """Whether proposed deletes may go ahead."""
    is_first: bool = False
    """Whether it was never read whole."""
    export: str | None = None
    """The export of the system by which that is done."""


@dataclass
class Snapshots:
    """Takes the snapshots of one system's entity sets, one after the other."""

    hub: Handle
    connector: Connector
    wait: Callable[[float], bool] = lambda seconds: False
    """Lets so many seconds pass for an export that is under way; False: nobody waits for it."""
    idle: list[IdleRead] = field(default_factory=list)
    costs: list[ReadCost] = field(default_factory=list)

    def take(self, entity_set: EntitySet, budget: Budget, *, whole: bool = False) -> SnapshotResult:
        """Read the set in the way that its file says; whole where it is the first time, asked for, or long ago."""
        begin = self._begin(entity_set, whole=whole)
        taken: SnapshotResult | None = None
        try:
            with metered() as meter:
                try:
                    taken = self._take(entity_set, begin, budget)
                except TokenExpired:
                    taken = self._take(entity_set, self._begin(entity_set, whole=True), budget)
                finally:
                    self._count(entity_set, meter, taken)
                return taken
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
            self.note_reads()  # before the problem: what such a read notes is that there is none
            self.hub.execute(_sql["keep_problem"], values)

    def _count(self, entity_set: EntitySet, meter: Meter, taken: SnapshotResult | None) -> None:
        found = taken or SnapshotResult("changed")
        changed = found.inserted + found.updated + found.deleted
        self.costs.append(ReadCost(entity_set.name, meter.requests, found.rows, meter.received, changed))

    def note_reads(self) -> None:
        """Note the reads since the last call that brought nothing, and what all cost, in the open transaction."""
        note_costs(self.hub.connection, self.connector.name, self.costs)
        if self.idle:
            names, tokens, times, whole = (list(each) for each in zip(*self.idle, strict=True))
            values = {"system": self.connector.name, "names": names, "tokens": tokens, "times": times, "whole": whole}
            self.hub.execute(_sql["keep_idle"], values)
            self.idle.clear()

    def _begin(self, entity_set: EntitySet, *, whole: bool) -> Beginning:
        every = looked_at_every(entity_set, self.connector.capabilities)
        values = {"system": entity_set.system, "entity_set": entity_set.name, "whole_every": every}
        with self.hub.leading():
            self.note_reads()  # a root waits until the read of its parts is noted
            row = self.hub.execute(_sql["begin"], values).one()
        wanted = ResyncRequests(list(zip(row.asked, row.asked_at, strict=True)))
        mark = mark_of(self.connector, entity_set).hex()
        position = position_of(entity_set.spec, row.token, mark)
        if whole or wanted.whole:
            position = Position("whole")
        elif row.whole_is_old:
            position = Position("sweep" if position.way == "since" else "whole")
        kept = None if position.way == "whole" else row.token
        return Beginning(position, kept, mark, row.moment, row.started, wanted, row.deletes, row.is_first, row.export)

    def _take(self, entity_set: EntitySet, begin: Beginning, budget: Budget) -> SnapshotResult:
        taken = (self._sweep if begin.position.way == "sweep" else self._read)(entity_set, begin, budget)
        self._read_by_key(entity_set, begin.wanted, budget)
        if begin.deletes or taken.deleted or begin.wanted.records:
            taken = replace(taken, deleted=ProposedDeletes(self.hub, entity_set).confirm(self.connector))
        return taken

    def _read(self, entity_set: EntitySet, begin: Beginning, budget: Budget) -> SnapshotResult:
        """Records page by page: all of them, or those that the system tells of."""
        way = begin.position.way
        pages = Pages(self.hub, entity_set, self.connector, begin.started, afresh=way == "told" or begin.wanted.whole)
        first = FirstRead(self.hub, entity_set, self.connector) if begin.is_first and way == "whole" else None
        exported = first and first.pages(begin.export, self.wait, again=begin.wanted.whole)
        for page in exported or self._pages(entity_set, begin.position):
            pages.add(page)
        load = MirrorLoad(
            pages, "whole" if way == "whole" else "changed", begin.moment, exported=first if exported else None
        )
        if load.is_as_before() or (way != "whole" and not (pages.staged or pages.deleted)):
            return self._idle(begin, load)
        return self._load(begin, load, budget)

    def _pages(self, entity_set: EntitySet, position: Position) -> Iterator[Page]:
        told = entity_set.spec.changes
        if position.way == "since" and isinstance(told, ByTime):
            return self.connector.read_since(entity_set.spec, told.field, told.from_on(position.place))
        return self.connector.read(entity_set.spec, position.place or None)

    def _sweep(self, entity_set: EntitySet, begin: Beginning, budget: Budget) -> SnapshotResult:
        """Keys and etags of all records, then those records that have changed; all of them where that is sooner."""
        pages = Pages(self.hub, entity_set, self.connector, begin.started, afresh=True)
        sweep = Sweep(self.hub, entity_set, self.connector)
        load = MirrorLoad(pages, "swept", begin.moment, sweep)
        try:
            load.agrees = sweep.read(LastSweep.of(begin.position.place))
            if load.agrees:
                return self._idle(begin, load)
            with self.hub.leading():
                keys = sweep.changed()
                is_quiet = not keys and load.note_agreement()
        except FieldProblem:
            keys = None
        if keys is None or not self._fetch(keys, pages):
            return self._read(entity_set, replace(begin, position=Position("whole"), kept=None), budget)
        return self._idle(begin, load) if is_quiet else self._load(begin, load, budget)

    def _fetch(self, keys: Sequence[Key], pages: Pages) -> bool:
        """Add the records with these keys; whether the system took all of the keys."""
        size = self.connector.limits.records_per_read
        for start in range(0, len(keys), size):
            rows = fetch_each(self.connector, pages.entity_set.spec, keys[start : start + size])
            if any(isinstance(row, Exception) for row in rows):
                return False
            pages.add(Page([row for row in rows if isinstance(row, Mapping)]))
        return True

    def _idle(self, begin: Beginning, load: MirrorLoad) -> SnapshotResult:
        """A read that brought nothing is noted with the next ones."""
        position = _position_after(begin, load)
        self.idle.append(IdleRead(load.entity_set.name, position, begin.started, load.is_of_all))
        return SnapshotResult(load.kind, load.rows)

    def _load(self, begin: Beginning, load: MirrorLoad, budget: Budget) -> SnapshotResult:
        load.read.note_seen()
        with self.hub.leading():
            taken = load.load(budget)
            position = _position_after(begin, load)
            load.keep_position(begin.kept if load.touched else position)
        if load.touched and self._read_again(load.entity_set, load.touched):
            with self.hub.leading():
                load.keep_position(position)
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


def _position_after(begin: Beginning, load: MirrorLoad) -> str | None:
    """From where on the next read goes on."""
    way = load.entity_set.spec.way
    if way in ("told", "whole"):
        return load.read.token
    if way == "sweep":
        place = f"{begin.moment} {load.sweep.pages}" if load.sweep and load.agrees else ""
    elif load.kind == "swept":
        return begin.kept
    else:
        known = begin.position.place if begin.position.way == "since" else ""
        place = max(known, load.latest or known)
        if not place:
            return None
    return Position(way, place).text(begin.mark)
