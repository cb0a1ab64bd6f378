"""Snapshot: reads an entity set, whole or changed only, and brings its mirror to what was read.

Absence counts only in a whole read that came to its end, and only as a proposal: over the budget it is held, and
before anything is deleted the record is looked up once more by its key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from replicator.config import Budget
from replicator.connectors.protocol import Connector, Key, Page, tells_deletes
from replicator.core.fetch import Refusal
from replicator.core.mirror import known, remove, set_origin, take_turns
from replicator.core.quarantine import KEY_SEPARATOR, Quarantine, key_of
from replicator.errors import ReplicatorError, RequestRefused, Stopping, TokenExpired
from replicator.hub.lease import leading
from replicator.hub.planner import MANY, analyze, prefer_whole_joins
from replicator.hub.statements import statements
from replicator.hub.sync_tables import proposed_delete, snapshot
from replicator.inbound import resync_requests, stage
from replicator.inbound.delete_budget import over_budget
from replicator.inbound.duplicate_keys import duplicate_keys
from replicator.inbound.point_reads import ByKey
from replicator.mapping.compiled import Compiled
from replicator.mapping.key_comparison import fold, key_expressions, mirror_key
from replicator.mapping.schema import EntitySet, column_name
from replicator.mapping.tables import ETAG, Tables

_sql = statements(__name__)
_FETCHED_AT_ONCE = 100


@dataclass(frozen=True)
class SnapshotResult:
    """What a snapshot found. Counts of records."""

    kind: Literal["whole", "changed"]
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    held: int = 0
    quarantined: int = 0

    @property
    def anything(self) -> bool:
        """Whether the mirror, or what is shown of it, changed."""
        return bool(self.inserted or self.updated or self.deleted or self.held or self.quarantined)


class Snapshots:
    """Takes the snapshots of one system's entity sets, one after the other, on one connection."""

    def __init__(
        self,
        connection: sa.Connection,
        tables: Tables,
        connector: Connector,
        compiled: Compiled | None = None,
        ids: Mapping[str, int] | None = None,
    ) -> None:
        """With ``compiled`` and the ids of its maps, roots are marked whose parts were quarantined."""
        self.connection = connection
        self.tables = tables
        self.connector = connector
        self.compiled, self.ids = compiled, ids

    def _quarantine(self, entity_set: EntitySet) -> Quarantine:
        return Quarantine(self.connection, entity_set, self.connector, self.compiled, self.ids)

    def take(self, entity_set: EntitySet, budget: Budget, *, whole: bool = False) -> SnapshotResult:
        """Read the set (only what changed, where that is told; whole once a day where it tells no deletes)."""
        names = {"system": entity_set.system, "entity_set": entity_set.name}
        with leading(self.connection):
            position = self.connection.execute(_sql["position"], names).one_or_none()
            wanted = resync_requests.asked(self.connection, names)
        blind = self.connector.capabilities.changes not in (*tells_deletes, "whole")
        whole = whole or wanted.whole or (blind and position is not None and position.whole_is_old)
        token = position.token if position is not None and not whole else None
        try:
            try:
                taken = self._take(entity_set, token, budget, wanted.records)
            except TokenExpired:
                taken = self._take(entity_set, None, budget, wanted.records)
        except (DBAPIError, psycopg.Error, Stopping):
            raise
        except Exception as problem:
            self.not_read(entity_set, problem)
            raise
        with leading(self.connection):
            resync_requests.answered(self.connection, names, wanted)
        return taken

    def not_read(self, entity_set: EntitySet, problem: Exception) -> None:
        """The set was not read, and why, for people; what was read before stays as it is."""
        told = problem if isinstance(problem, ReplicatorError) else f"a defect: {type(problem).__name__}"
        values = {"system": entity_set.system, "entity_set": entity_set.name, "problem": str(told)}
        with leading(self.connection):
            self.connection.execute(_sql["keep_problem"], values)

    def _take(self, entity_set: EntitySet, token: str | None, budget: Budget, wanted: Sequence[int]) -> SnapshotResult:
        mirror = self.tables.mirror(entity_set)
        with leading(self.connection):
            moment = self.connection.execute(_sql["moment"]).scalar_one()
            started = self.connection.execute(sa.select(sa.func.sync.now())).scalar_one()
        quarantine = self._quarantine(entity_set)
        read = _Reading(self.connection, entity_set, mirror, self.connector, quarantine, started)
        for page in self.connector.read(entity_set.spec, token):
            read.add(page)
        kind: Literal["whole", "changed"] = "changed" if token else "whole"
        load = _Loading(self.connection, entity_set, mirror, kind, moment, quarantine)
        with leading(self.connection):
            taken = load.load(read, budget, started, token)
        if load.touched and self._read_again(entity_set, mirror, load.touched):
            with leading(self.connection):
                load.keep_position(read.token)
        gone, _ = self._fetch(entity_set, mirror, wanted)
        if gone:
            with leading(self.connection):
                load.propose(gone, budget)
        return self._confirm(entity_set, mirror, taken)

    def _read_again(self, entity_set: EntitySet, mirror: sa.Table, ids: Sequence[int]) -> bool:
        """Records that we wrote while the set was read: what the read had of them may be older. Whether all are there.

        Only then may the token move on: until they are stored, nothing but the old one would show them once more.
        """
        gone, unsure = self._fetch(entity_set, mirror, ids)
        return not (gone or unsure)

    def _fetch(self, entity_set: EntitySet, mirror: sa.Table, ids: Sequence[int]) -> tuple[list[int], bool]:
        """Read records by key into their mirror; those that are not there, and whether nothing is known of any."""
        gone: list[int] = []
        unsure = False
        by_key = ByKey(self.connection, entity_set, mirror, self.connector, self._quarantine(entity_set))
        for part in _slices(ids):
            found = by_key.fetch(part)
            with leading(self.connection):
                still = by_key.store(found)
            gone += [record for record, row in found.rows.items() if row is None and record in still]
            unsure = unsure or len(still) < len(found.versions)
        return gone, unsure

    def _confirm(self, entity_set: EntitySet, mirror: sa.Table, taken: SnapshotResult) -> SnapshotResult:
        """Look up every record that is to be deleted; delete those that are gone indeed."""
        names = {"system": entity_set.system, "entity_set": entity_set.name}
        with leading(self.connection):
            decided = {row.record_id: row.id for row in self.connection.execute(_sql["decided"], names)}
        gone = 0
        by_key = ByKey(self.connection, entity_set, mirror, self.connector, self._quarantine(entity_set))
        refused: dict[int, Refusal] = {}
        for part in _slices(list(decided)):
            found = by_key.fetch(part)
            refused |= found.refused
            with leading(self.connection):
                still = by_key.store(found)
                there = [record for record in still if found.rows[record] is not None]
                unknown = set(part).difference(found.versions)
                missing = [*still.difference(there), *unknown]
                remove(self.connection, mirror, missing)
                self._settle([decided[record] for record in missing], "done", None)
                self._settle([decided[record] for record in there], "withdrawn", "the record was found by its key")
            gone += len(missing)
        if refused:
            first = next(iter(refused.values()))
            raise RequestRefused(f"{len(refused)} deletes wait, because their records cannot be looked up: {first}")
        return SnapshotResult(**{**vars(taken), "deleted": gone})

    def _settle(self, ids: list[int], state: str, reason: str | None) -> None:
        if ids:
            self.connection.execute(_sql["settle"], {"ids": ids, "state": state, "reason": reason})


class _Reading:
    """Pages on their way into the stage; each page is a transaction of its own."""

    def __init__(
        self,
        connection: sa.Connection,
        entity_set: EntitySet,
        mirror: sa.Table,
        connector: Connector,
        quarantine: Quarantine,
        started: object,
    ) -> None:
        self.connection, self.entity_set, self.started = connection, entity_set, started
        self.decode = connector.decoder(entity_set.spec)
        self.rows = self.quarantined = 0
        self.deleted: list[Key] = []
        self.bad_keys: list[str] = []
        self.token: str | None = None
        self.mirror, self.quarantine = mirror, quarantine
        self.staged = False

    def add(self, page: Page) -> None:
        self.rows += len(page.rows)
        self.deleted.extend(page.deleted)
        if page.last:
            self.token = page.token
        if not page.rows:
            return
        # Only the session's own temporary table is written; and a COPY that freezes would hold off the next leader.
        with self.connection.begin():
            self.stage()
            bad = stage.copy_rows(self.connection, self.entity_set, self.mirror, self.decode, page.rows)
        if bad:
            with leading(self.connection):
                self.quarantine.put(bad, self.started)
        self.quarantined += len(bad)
        self.bad_keys += [key_of(self.entity_set, found.row) for found in bad]

    def stage(self) -> None:
        """Make the stage when it is first needed: a read that brings nothing costs nothing."""
        if not self.staged:
            stage.make_stage(self.connection, self.mirror)
            self.staged = True


class _Loading:
    """From the stage into the mirror, in one transaction."""

    def __init__(
        self, connection: sa.Connection, entity_set: EntitySet, mirror: sa.Table,
        kind: Literal["whole", "changed"], moment: str, quarantine: Quarantine,
    ) -> None:  # fmt: skip
        self.connection, self.entity_set, self.mirror = connection, entity_set, mirror
        self.kind, self.moment, self.quarantine = kind, moment, quarantine
        self.stage = stage.stage_table(mirror)
        self.names = {"system": entity_set.system, "entity_set": entity_set.name}
        self.touched: list[int] = []

    def keep_position(self, token: str | None) -> None:
        """How far the set has been read."""
        position = {"token": token, "whole": self.kind == "whole"}
        self.connection.execute(_sql["keep_position"], self.names | position)

    def load(self, read: _Reading, budget: Budget, started: object, before: str | None) -> SnapshotResult:
        """Everything that one read brings about, and the position it was read to; ``before`` if it left records out."""
        if self.kind == "changed" and not read.rows and not read.deleted:
            self.keep_position(read.token)
            return SnapshotResult(self.kind)
        taken = self._load(read, budget)
        self.keep_position(before if self.touched else read.token)
        self.quarantine.forget(started, None if self.kind == "whole" else self._read_keys(read))
        if read.rows >= MANY:
            stage.drop_stage(self.connection, self.mirror)
        if taken.anything:
            self._note(taken, started)
        return taken

    def _load(self, read: _Reading, budget: Budget) -> SnapshotResult:
        take_turns(self.connection, [self.mirror])
        set_origin(self.connection, f"snapshot:{self.entity_set.system}")
        if self.kind == "whole" and read.rows >= MANY:
            prefer_whole_joins(self.connection)
        read.stage()
        stage.analyze_stage(self.connection, self.entity_set, self.mirror)
        same_keys = self._keep_one_per_key()
        self.touched = list(
            self.connection.execute(_sql["touched"], {"mirror": self.mirror.fullname, "moment": self.moment}).scalars()
        )
        self._leave_out_touched()
        updated = self.connection.execute(self._update()).rowcount if read.rows else 0
        inserted = self.connection.execute(self._insert()).rowcount if read.rows else 0
        self._withdraw()
        analyze(self.connection, inserted, self.mirror)
        held, proposed = self._propose(self._absent(read), read.rows, budget)
        return SnapshotResult(self.kind, read.rows, inserted, updated, proposed, held, read.quarantined + same_keys)

    def propose(self, absent: list[int], budget: Budget) -> None:
        """Propose to delete records that were asked for by key and are not there."""
        self._propose(absent, len(absent), budget)

    def _same(self, left: sa.FromClause, right: sa.FromClause) -> sa.ColumnElement[bool]:
        keys = mirror_key(self.entity_set)
        pairs = zip(key_expressions(left, keys), key_expressions(right, keys), strict=True)
        return sa.and_(*(one == other for one, other in pairs))

    def _keep_one_per_key(self) -> int:
        """One row for each key; how many records were quarantined, because others have their key in another writing."""
        keys = key_expressions(self.stage, mirror_key(self.entity_set))
        repeated = sa.select(sa.literal(1)).select_from(self.stage).group_by(*keys).having(sa.func.count() > 1).limit(1)
        if self.connection.execute(repeated).first() is None:
            return 0
        other = self.stage.alias("other")
        written = sa.and_(*(other.c[name] == self.stage.c[name] for name in mirror_key(self.entity_set)))
        # A record read twice (a page moved under the read): the later image counts.
        later = sa.exists().where(self._same(other, self.stage), written, other.c.ctid > self.stage.c.ctid)
        self.connection.execute(sa.delete(self.stage).where(later))
        duplicates = duplicate_keys(self.connection, self.entity_set, self.stage, self.mirror)
        self.connection.execute(sa.delete(self.stage).where(sa.cast(self.stage.c.ctid, sa.Text).in_(list(duplicates))))
        self.quarantine.put(list(duplicates.values()))
        return len(duplicates)

    def _leave_out_touched(self) -> None:
        if self.touched:
            ours = self.mirror.alias("ours")
            match = sa.exists().where(ours.c.id.in_(self.touched), self._same(ours, self.stage))
            self.connection.execute(sa.delete(self.stage).where(match))

    def _columns(self) -> list[str]:
        return [*(column_name(name) for name in self.entity_set.spec.fields), ETAG]

    def _update(self) -> sa.Update:
        """Rows whose image or version changed."""
        columns = self._columns()
        differs = sa.or_(*(self.mirror.c[name].is_distinct_from(self.stage.c[name]) for name in columns))
        values = {name: self.stage.c[name] for name in columns}
        return sa.update(self.mirror).values(values).where(self._same(self.mirror, self.stage), differs)

    def _insert(self) -> sa.Insert:
        columns = self._columns()
        known = sa.exists().where(self._same(self.mirror, self.stage))
        return sa.insert(self.mirror).from_select(
            columns, sa.select(*(self.stage.c[name] for name in columns)).where(sa.not_(known))
        )

    def _withdraw(self) -> None:
        """Proposed deletes of records that are shown again need no decision any more."""
        undecided = list(self.connection.execute(_sql["undecided"], self.names).scalars())
        if undecided:
            shown = sa.exists().where(self._same(self.mirror, self.stage))
            wanted = sa.select(self.mirror.c.id).where(self.mirror.c.id.in_(undecided), shown)
            again = list(self.connection.execute(wanted).scalars())
            self.connection.execute(_sql["withdraw"], self.names | {"ids": again})

    def _absent(self, read: _Reading) -> list[int]:
        """Mirror rows that the system does not show any more."""
        if self.kind == "changed":
            gone = known(self.connection, self.mirror, self.entity_set, read.deleted)
            found: Iterable[int] = dict.fromkeys(row.id for row in gone if row is not None)
        else:
            count = self.connection.execute(sa.select(sa.func.count()).select_from(self.mirror)).scalar_one()
            staged = self.connection.execute(sa.select(sa.func.count()).select_from(self.stage)).scalar_one()
            if count == staged:
                return []
            shown = sa.exists().where(self._same(self.mirror, self.stage))
            unread = sa.not_(self._quarantined(read.bad_keys))
            found = self.connection.execute(sa.select(self.mirror.c.id).where(sa.not_(shown), unread)).scalars()
        return [record for record in found if record not in set(self.touched)]

    def _quarantined(self, bad_keys: list[str]) -> sa.ColumnElement[bool]:
        """Rows that were shown but could not be taken in: they are there, whatever is wrong with them."""
        texts = sa.func.unnest(sa.literal(bad_keys, sa.ARRAY(sa.Text))).column_valued("bad_key")
        keys = [sa.cast(self.mirror.c[name], sa.Text) for name in mirror_key(self.entity_set)]
        joined = sa.func.concat_ws(KEY_SEPARATOR, *keys, type_=sa.Text)
        return sa.exists().where(fold(sa.type_coerce(texts, sa.Text)) == fold(joined)) if bad_keys else sa.false()

    def _propose(self, absent: list[int], rows: int, budget: Budget) -> tuple[int, int]:
        """Store proposed deletes: (held, going ahead). Quarantined rows are there, so they are not absent."""
        if not absent:
            return 0, 0
        size = self.connection.execute(sa.select(sa.func.count()).select_from(self.mirror)).scalar_one()
        recent = self.connection.execute(_sql["recent_deletes"], self.names).scalar_one()
        reason = over_budget(len(absent), recent, size, rows, self.kind, budget)
        held = self._held_already(absent)
        fresh = [record for record in absent if record not in held]
        state = "held" if reason else "proposed"
        label = sa.cast(self.mirror.c[column_name(self.entity_set.business_key[-1])], sa.Text)
        values = sa.select(
            *(sa.literal(value) for value in (self.entity_set.system, self.entity_set.name, state, reason)),
            self.mirror.c.id, label, sa.func.sync.now(),
        ).where(self.mirror.c.id == sa.any_(sa.literal(fresh, sa.ARRAY(sa.BigInteger))))  # fmt: skip
        if fresh:
            names = ["system", "entity_set", "state", "reason", "record_id", "record", "proposed_at"]
            self.connection.execute(proposed_delete.insert().from_select(names, values))
        return (len(fresh), 0) if reason else (0, len(fresh))

    def _held_already(self, absent: list[int]) -> set[int]:
        """Records that wait for a decision, or that a person decided to keep."""
        p = proposed_delete
        same = sa.and_(p.c.system == self.entity_set.system, p.c.entity_set == self.entity_set.name)
        rows = self.connection.execute(
            sa.select(p.c.record_id).where(
                same, p.c.state.in_(["held", "approved", "proposed", "rejected"]),
                p.c.record_id == sa.any_(sa.literal(absent, sa.ARRAY(sa.BigInteger))),
            )
        )  # fmt: skip
        return set(rows.scalars())

    def _read_keys(self, read: _Reading) -> list[str]:
        """The keys of all that a read of changes told of: taken in, quarantined, or deleted."""
        keys = [sa.cast(self.stage.c[name], sa.Text) for name in mirror_key(self.entity_set)]
        good = self.connection.execute(sa.select(sa.func.concat_ws(KEY_SEPARATOR, *keys))).scalars()
        return [*good, *read.bad_keys, *(KEY_SEPARATOR.join(map(str, key)) for key in read.deleted)]

    def _note(self, taken: SnapshotResult, started: object) -> None:
        values = {**vars(taken), **self.names, "started_at": started, "finished_at": sa.func.sync.now()}
        self.connection.execute(snapshot.insert().values(values))


def _slices(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _FETCHED_AT_ONCE] for start in range(0, len(ids), _FETCHED_AT_ONCE)]
