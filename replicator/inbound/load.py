"""Load: from the stage into the mirror, in one transaction. A whole read may find that there is nothing to load.

Absence counts only in a whole read that came to its end, and only as a proposal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from replicator.config import Budget
from replicator.core.mirror import known, set_origin, take_turns
from replicator.core.quarantine import Bad
from replicator.hub.planner import MANY, analyze, enough_memory, prefer_whole_joins
from replicator.hub.statements import statements
from replicator.hub.sync_tables import entity_set, proposed_delete, quarantine, snapshot
from replicator.inbound import stage
from replicator.inbound.duplicate_rows import contradicting_seen_rows, duplicate_rows
from replicator.inbound.exports import FirstRead
from replicator.inbound.pages import Pages
from replicator.inbound.proposed_deletes import ProposedDeletes
from replicator.inbound.sweep import Sweep
from replicator.inbound.temporary_tables import SEEN, stage_table
from replicator.mapping.key_comparison import KEY_SEPARATOR, fold, key_expressions, mirror_key, same_values
from replicator.mapping.schema import column_name
from replicator.mapping.tables import DIGEST, ETAG
from replicator.mapping.told_changes import ByTime

_sql = statements(__name__)
Kind = Literal["whole", "changed", "swept"]
"""swept: of all records it was seen that they are there, and read were those that had changed."""


@dataclass(frozen=True)
class SnapshotResult:
    """What a snapshot found. Counts of records."""

    kind: Kind
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


class MirrorLoad:
    """One read of an entity set on its way into the mirror."""

    def __init__(
        self, read: Pages, kind: Kind, moment: str, sweep: Sweep | None = None, *, exported: FirstRead | None = None
    ) -> None:
        self.read, self.kind, self.moment, self.sweep, self.exported = read, kind, moment, sweep, exported
        self.hub, self.entity_set, self.mirror = read.hub, read.entity_set, read.mirror
        self.stage = stage_table(self.mirror)
        self.names = {"system": self.entity_set.system, "entity_set": self.entity_set.name}
        self.proposed = ProposedDeletes(self.hub, self.entity_set)
        self.touched: list[int] = []
        self.latest: str | None = None
        """When the latest record that was read changed, where changes are told by a field."""
        self.moved = True
        """Whether it brought anything."""
        self.agrees = False
        """Whether the mirror is what a sweep showed, so that the next one has to be compared with this one only."""

    @property
    def rows(self) -> int:
        """How many records it showed."""
        return self.read.rows if self.sweep is None else self.sweep.rows

    def keep_position(self, position: str | None) -> None:
        """How far the set has been read."""
        values = {
            "token": position, "whole": self.is_of_all, "started": self.read.started, "mirror": self.mirror.fullname,
            "moved": self.moved,
        }  # fmt: skip
        self.hub.execute(_sql["keep_position"], self.names | values)

    @property
    def is_of_all(self) -> bool:
        """Whether all records were looked at in a set whose changes are told otherwise."""
        return self.kind == "whole" or (self.kind == "swept" and self.entity_set.spec.way != "sweep")

    def is_as_before(self) -> bool:
        """Whether a whole read showed each row of the mirror unchanged, and nothing waits for what it shows."""
        read = self.read
        if self.kind != "whole" or read.staged or not read.seen.any:
            return False
        last = read.seen.all_up_to
        if last is None:
            read.note_seen()
        with self.hub.leading():
            if last is None:
                self._make_room()
            unseen = (
                sa.exists()
                .select_from(self.mirror)
                .where(sa.not_(self._seen()) if last is None else self.mirror.c.id > last)
            )
            self._note_latest()
            return not self.hub.execute(sa.select(sa.or_(unseen, self._is_waited_for()))).scalar_one()

    def _is_waited_for(self) -> sa.ColumnElement[bool]:
        mine = [
            sa.and_(each.c.system == self.entity_set.system, each.c.entity_set == self.entity_set.name)
            for each in (quarantine, proposed_delete, entity_set)
        ]
        undecided = proposed_delete.c.state.in_(["held", "approved", "rejected"])
        # A set that was out of use is forgotten, though its mirror is there: that it is read again has to be noted.
        forgotten = sa.not_(sa.exists().where(mine[2]))
        return sa.or_(sa.exists().where(mine[0]), sa.exists().where(mine[1], undecided), forgotten)

    def _note_latest(self) -> None:
        told = self.entity_set.spec.changes
        if isinstance(told, ByTime):
            column = (self.mirror if self.kind == "whole" else self.stage).c[column_name(told.field)]
            now = sa.cast(sa.func.sync.now(), column.type)  # a time to come would hide what changes until then
            latest = self.hub.execute(sa.select(sa.func.max(sa.func.least(column, now)))).scalar_one()
            self.latest = latest and str(latest.isoformat())

    def note_agreement(self) -> bool:
        """Whether the sweep shows all that the mirror has and nothing waits for it, in the transaction that is open."""
        assert self.sweep is not None
        is_settled = self.sweep.shows_all() and not self.hub.execute(sa.select(self._is_waited_for())).scalar_one()
        self.agrees = is_settled and self.sweep.is_trusted()
        return is_settled

    def _make_room(self) -> None:
        """A read of many rows is compared whole, however few of them are new."""
        if self.read.rows >= MANY:
            enough_memory(self.hub.connection)
            if self.read.seen.any:
                self.hub.execute(sa.text("analyze seen"))

    def load(self, budget: Budget) -> SnapshotResult:
        """Everything that one read brings about, in the transaction that is open, but for the position."""
        taken = self._load(budget)
        self.moved = taken.anything
        if self.sweep is not None:
            self.note_agreement()
        self.read.quarantine.forget(self.read.started, self._read_keys() if self.kind == "changed" else None)
        if self.read.staged >= MANY:
            stage.drop_stage(self.hub.connection, self.mirror)
        if taken.anything:
            self._note(taken)
        return taken

    def _load(self, budget: Budget) -> SnapshotResult:
        read = self.read
        take_turns(self.hub.connection, [self.mirror])
        set_origin(self.hub.connection, f"snapshot:{self.entity_set.system}")
        self._make_room()
        if self.kind == "whole" and read.staged >= MANY:
            prefer_whole_joins(self.hub.connection)
        read.stage()
        stage.analyze_stage(self.hub.connection, self.entity_set, self.mirror)
        if self.exported is not None:
            self.exported.give_etags(self.stage)
            self.exported.forget()
        same_keys = self._keep_one_per_key()
        self.touched = list(
            self.hub.execute(_sql["touched"], {"mirror": self.mirror.fullname, "moment": self.moment}).scalars()
        )
        self._leave_out_touched()
        updated = self.hub.execute(self._update()).rowcount if read.staged else 0
        inserted = self.hub.execute(self._insert()).rowcount if read.staged else 0
        if self.kind == "whole" and read.staged:
            self._keep_digests()
        self.proposed.withdraw(sa.or_(self._staged(), self._seen(), self._swept()))
        self._note_latest()
        analyze(self.hub.connection, inserted, self.mirror)
        held, proposed = self.proposed.propose(self._absent(), self.rows, self.kind, budget)
        return SnapshotResult(self.kind, self.rows, inserted, updated, proposed, held, read.quarantined + same_keys)

    def _same(self, left: sa.FromClause, right: sa.FromClause) -> sa.ColumnElement[bool]:
        return same_values(left, right, [(name, name) for name in mirror_key(self.entity_set)])

    def _staged(self) -> sa.ColumnElement[bool]:
        return sa.exists().where(self._same(self.mirror, self.stage))

    def _seen(self) -> sa.ColumnElement[bool]:
        return sa.exists().where(SEEN.c.record_id == self.mirror.c.id) if self.read.seen.any else sa.false()

    def _swept(self) -> sa.ColumnElement[bool]:
        return sa.false() if self.sweep is None else self.sweep.shows()

    def _keep_one_per_key(self) -> int:
        """One row for each key; how many records were quarantined, because others have their key."""
        bad = self._doubled() if not self.read.seen.any else [
            *contradicting_seen_rows(self.hub.connection, self.entity_set, self.stage, self.mirror), *self._doubled()
        ]  # fmt: skip
        self.read.quarantine.put(bad)
        return len(bad)

    def _doubled(self) -> list[Bad]:
        """Leave the later one of what was read twice, and take out what has the key of another in another writing."""
        keys = key_expressions(self.stage, mirror_key(self.entity_set))
        repeated = sa.select(sa.literal(1)).select_from(self.stage).group_by(*keys).having(sa.func.count() > 1).limit(1)
        if self.hub.execute(repeated).first() is None:
            return []
        other = self.stage.alias("other")
        written = sa.and_(*(other.c[name] == self.stage.c[name] for name in mirror_key(self.entity_set)))
        # A record read twice (a page moved under the read): the later image counts.
        later = sa.exists().where(self._same(other, self.stage), written, other.c.ctid > self.stage.c.ctid)
        self.hub.execute(sa.delete(self.stage).where(later))
        duplicates = duplicate_rows(self.hub.connection, self.entity_set, self.stage, self.mirror)
        self.hub.execute(sa.delete(self.stage).where(sa.cast(self.stage.c.ctid, sa.Text).in_(list(duplicates))))
        return list(duplicates.values())

    def _leave_out_touched(self) -> None:
        if self.touched:
            ours = self.mirror.alias("ours")
            match = sa.exists().where(ours.c.id.in_(self.touched), self._same(ours, self.stage))
            self.hub.execute(sa.delete(self.stage).where(match))

    def _columns(self) -> list[str]:
        return [*(column_name(name) for name in self.entity_set.spec.fields), ETAG]

    def _update(self) -> sa.Update:
        """Rows whose image or version changed."""
        columns = self._columns()
        differs = sa.or_(*(self.mirror.c[name].is_distinct_from(self.stage.c[name]) for name in columns))
        values = {name: self.stage.c[name] for name in [*columns, DIGEST]}
        return sa.update(self.mirror).values(values).where(self._same(self.mirror, self.stage), differs)

    def _keep_digests(self) -> None:
        """Of rows that are as the mirror has them, in other bytes: no change of a record, so nothing for the log.

        After the update, which empties the digest of a row whose image differed though its bytes did not.
        """
        set_origin(self.hub.connection, "digest")
        other = self.mirror.c[DIGEST].is_distinct_from(self.stage.c[DIGEST])
        values = {DIGEST: self.stage.c[DIGEST]}
        self.hub.execute(sa.update(self.mirror).values(values).where(self._same(self.mirror, self.stage), other))
        set_origin(self.hub.connection, f"snapshot:{self.entity_set.system}")

    def _insert(self) -> sa.Insert:
        columns = [*self._columns(), DIGEST]
        known = sa.exists().where(self._same(self.mirror, self.stage))
        return sa.insert(self.mirror).from_select(
            columns, sa.select(*(self.stage.c[name] for name in columns)).where(sa.not_(known))
        )

    def _absent(self) -> list[int]:
        """Mirror rows that the system does not show any more."""
        if self.kind == "changed":
            gone = known(self.hub.connection, self.mirror, self.entity_set, self.read.deleted)
            found: Iterable[int] = dict.fromkeys(row.id for row in gone if row is not None)
        elif self.kind == "swept":
            found = self.hub.execute(sa.select(self.mirror.c.id).where(sa.not_(self._swept()))).scalars()
        else:
            if not self.read.seen.any and self._count(self.mirror) == self._count(self.stage):
                return []
            # Two questions, so that each is one join: as one they would be asked row by row.
            absent = sa.and_(sa.not_(self._staged()), sa.not_(self._seen()))
            unread = sa.not_(self._quarantined(self.read.bad_keys))
            found = self.hub.execute(sa.select(self.mirror.c.id).where(absent, unread)).scalars()
        touched = set(self.touched)
        return [record for record in found if record not in touched]

    def _count(self, table: sa.FromClause) -> int:
        return int(self.hub.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())

    def _quarantined(self, bad_keys: list[str]) -> sa.ColumnElement[bool]:
        """Rows that were shown but could not be taken in: they are there, whatever is wrong with them."""
        texts = sa.func.unnest(sa.literal(bad_keys, sa.ARRAY(sa.Text))).column_valued("bad_key")
        keys = [sa.cast(self.mirror.c[name], sa.Text) for name in mirror_key(self.entity_set)]
        joined = sa.func.concat_ws(KEY_SEPARATOR, *keys, type_=sa.Text)
        return sa.exists().where(fold(sa.type_coerce(texts, sa.Text)) == fold(joined)) if bad_keys else sa.false()

    def _read_keys(self) -> list[str]:
        """The keys of all that a read of changes told of: taken in, quarantined, or deleted."""
        keys = [sa.cast(self.stage.c[name], sa.Text) for name in mirror_key(self.entity_set)]
        good = self.hub.execute(sa.select(sa.func.concat_ws(KEY_SEPARATOR, *keys))).scalars()
        return [*good, *self.read.bad_keys, *(KEY_SEPARATOR.join(map(str, key)) for key in self.read.deleted)]

    def _note(self, taken: SnapshotResult) -> None:
        values = {**vars(taken), **self.names, "started_at": self.read.started, "finished_at": sa.func.sync.now()}
        self.hub.execute(snapshot.insert().values(values))
