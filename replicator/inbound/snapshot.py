"""Snapshot: reads an entity set, whole or changed only, and brings its mirror to what was read.

Absence counts only in a whole read that came to its end, and only as a proposal: over the budget it is held, and
before anything is deleted the record is looked up once more by its key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from replicator.config import Budget
from replicator.engine.mirror import remove, set_origin, store
from replicator.errors import ReplicatorError, TokenExpired
from replicator.hub.sql import MANY, analyze, prefer_whole_joins, statements
from replicator.hub.state import proposed_delete, snapshot
from replicator.inbound import stage
from replicator.model.schema import EntitySet, column_name
from replicator.model.tables import ETAG, Tables, fold, key_expressions, mirror_key
from replicator.systems.connector import Connector, FieldProblem, Image, Page, Row

_sql = statements(__file__)
ALWAYS_ALLOWED = 5
"""Deletes that are never held for their share alone: in a small set one record is a large share."""
_FETCHED_AT_ONCE = 100


@dataclass(frozen=True)
class Taken:
    """What a snapshot found. Counts of records."""

    kind: Literal["whole", "changed"]
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    held: int = 0
    rejected: int = 0

    @property
    def anything(self) -> bool:
        """Whether the mirror, or what is shown of it, changed."""
        return bool(self.inserted or self.updated or self.deleted or self.held or self.rejected)


class Snapshots:
    """Takes the snapshots of one system's entity sets, one after the other, on one connection."""

    def __init__(self, connection: sa.Connection, tables: Tables, connector: Connector) -> None:
        self.connection = connection
        self.tables = tables
        self.connector = connector

    def take(self, entity_set: EntitySet, budget: Budget, *, whole: bool = False) -> Taken:
        """Read the set (only what changed, where its system can tell) and bring the mirror up to it."""
        names = {"system": entity_set.system, "entity_set": entity_set.name}
        with self.connection.begin():
            position = self.connection.execute(_sql["position"], names).one_or_none()
        token = position.token if position is not None and not whole else None
        try:
            try:
                taken = self._take(entity_set, token, budget)
            except TokenExpired:
                taken = self._take(entity_set, None, budget)
        except ReplicatorError as problem:
            with self.connection.begin():
                self.connection.execute(_sql["keep_problem"], names | {"problem": str(problem)})
            raise
        return taken

    def _take(self, entity_set: EntitySet, token: str | None, budget: Budget) -> Taken:
        mirror = self.tables.mirror(entity_set)
        with self.connection.begin():
            moment = self.connection.execute(_sql["moment"]).scalar_one()
            started = self.connection.execute(sa.select(sa.func.sync.now())).scalar_one()
        read = _Reading(self.connection, entity_set, mirror, self.connector)
        for page in self.connector.read(entity_set.spec, token):
            read.add(page)
        kind: Literal["whole", "changed"] = "changed" if token else "whole"
        load = _Loading(self.connection, entity_set, mirror, kind, moment)
        with self.connection.begin():
            taken = load.load(read, budget, started, token)
        if load.touched and self._read_again(entity_set, mirror, load.touched):
            with self.connection.begin():
                load.keep_position(read.token)
        return self._confirm(entity_set, mirror, taken)

    def _read_again(self, entity_set: EntitySet, mirror: sa.Table, ids: Sequence[int]) -> bool:
        """Records that we wrote while the set was read: what the read had of them may be older. Whether all are there.

        Only then may the token move on: until they are stored, nothing but the old one would show them once more.
        """
        there = True
        for part in _slices(ids):
            keys = self._keys(entity_set, mirror, part)
            rows = self.connector.fetch(entity_set.spec, list(keys.values()))
            self._store(entity_set, mirror, [row for row in rows if row is not None])
            there = there and None not in rows
        return there

    def _confirm(self, entity_set: EntitySet, mirror: sa.Table, taken: Taken) -> Taken:
        """Look up every record that is to be deleted; delete those that are gone indeed."""
        names = {"system": entity_set.system, "entity_set": entity_set.name}
        with self.connection.begin():
            decided = {row.record_id: row.id for row in self.connection.execute(_sql["decided"], names)}
        gone = 0
        for part in _slices(list(decided)):
            keys = self._keys(entity_set, mirror, part)
            rows = dict(zip(keys, self.connector.fetch(entity_set.spec, list(keys.values())), strict=True))
            there = [record for record, row in rows.items() if row is not None]
            missing = [record for record in part if record not in there]
            self._store(entity_set, mirror, [row for row in rows.values() if row is not None])
            with self.connection.begin():
                set_origin(self.connection, f"snapshot:{entity_set.system}")
                remove(self.connection, mirror, missing)
                self._settle([decided[record] for record in missing], "done", None)
                self._settle([decided[record] for record in there], "withdrawn", "the record was found by its key")
            gone += len(missing)
        return Taken(**{**vars(taken), "deleted": gone})

    def _settle(self, ids: list[int], state: str, reason: str | None) -> None:
        if ids:
            self.connection.execute(_sql["settle"], {"ids": ids, "state": state, "reason": reason})

    def _keys(self, entity_set: EntitySet, mirror: sa.Table, ids: Sequence[int]) -> dict[int, Image]:
        """The system's keys of mirror rows, by id."""
        columns = [mirror.c[column_name(name)].label(name) for name in entity_set.spec.key]
        with self.connection.begin():
            rows = self.connection.execute(sa.select(mirror.c.id, *columns).where(mirror.c.id.in_(list(ids))))
            return {row[0]: dict(zip(entity_set.spec.key, row[1:], strict=True)) for row in rows}

    def _store(self, entity_set: EntitySet, mirror: sa.Table, rows: Sequence[Row]) -> None:
        decode = self.connector.decoder(entity_set.spec)
        seen, bad = [], []
        for row in rows:
            try:
                *values, etag = decode(row)
                seen.append(
                    (dict(zip(entity_set.spec.fields, values, strict=True)), etag if etag is None else str(etag))
                )
            except FieldProblem as problem:
                bad.append(stage.Bad(row, problem))
        with self.connection.begin():
            set_origin(self.connection, f"snapshot:{entity_set.system}")
            store(self.connection, mirror, entity_set, seen)
            stage.put_aside(self.connection, entity_set, bad)


class _Reading:
    """Pages on their way into the stage; each page is a transaction of its own."""

    def __init__(
        self, connection: sa.Connection, entity_set: EntitySet, mirror: sa.Table, connector: Connector
    ) -> None:
        self.connection, self.entity_set = connection, entity_set
        self.decode = connector.decoder(entity_set.spec)
        self.rows = self.rejected = 0
        self.deleted: list[object] = []
        self.bad_keys: list[str] = []
        self.token: str | None = None
        self.mirror = mirror
        self.staged = False

    def add(self, page: Page) -> None:
        self.rows += len(page.rows)
        self.deleted.extend(page.deleted)
        if page.last:
            self.token = page.token
        if not page.rows:
            return
        with self.connection.begin():
            self.stage()
            bad = stage.copy_rows(self.connection, self.entity_set, self.mirror, self.decode, page.rows)
            stage.put_aside(self.connection, self.entity_set, bad)
        self.rejected += len(bad)
        self.bad_keys += [stage.key_of(self.entity_set, found.row) for found in bad]

    def stage(self) -> None:
        """Make the stage when it is first needed: a read that brings nothing costs nothing."""
        if not self.staged:
            stage.make_stage(self.connection, self.mirror)
            self.staged = True


class _Loading:
    """From the stage into the mirror, in one transaction."""

    def __init__(
        self, connection: sa.Connection, entity_set: EntitySet, mirror: sa.Table,
        kind: Literal["whole", "changed"], moment: str,
    ) -> None:  # fmt: skip
        self.connection, self.entity_set, self.mirror, self.kind, self.moment = (
            connection,
            entity_set,
            mirror,
            kind,
            moment,
        )
        self.stage = stage.stage_table(mirror)
        self.names = {"system": entity_set.system, "entity_set": entity_set.name}
        self.touched: list[int] = []

    def keep_position(self, token: str | None) -> None:
        """How far the set has been read."""
        position = {"token": token, "whole": self.kind == "whole"}
        self.connection.execute(_sql["keep_position"], self.names | position)

    def load(self, read: _Reading, budget: Budget, started: object, before: str | None) -> Taken:
        """Everything that one read brings about, and the position it was read to; ``before`` if it left records out."""
        if self.kind == "changed" and not read.rows and not read.deleted:
            self.keep_position(read.token)
            return Taken(self.kind)
        taken = self._load(read, budget, started)
        self.keep_position(before if self.touched else read.token)
        if taken.anything:
            self._note(taken, started)
        return taken

    def _load(self, read: _Reading, budget: Budget, started: object) -> Taken:
        set_origin(self.connection, f"snapshot:{self.entity_set.system}")
        if self.kind == "whole" and read.rows >= MANY:
            prefer_whole_joins(self.connection)
        read.stage()
        stage.analyze_stage(self.connection, self.entity_set, self.mirror)
        self._keep_last_of_twins()
        self.touched = list(
            self.connection.execute(_sql["touched"], {"mirror": self.mirror.fullname, "moment": self.moment}).scalars()
        )
        self._leave_out_touched()
        updated = self.connection.execute(self._update()).rowcount if read.rows else 0
        inserted = self.connection.execute(self._insert()).rowcount if read.rows else 0
        self._withdraw()
        analyze(self.connection, inserted, self.mirror)
        held, proposed = self._propose(self._absent(read), read.rows, budget)
        self._forget_rejected(read, started)
        if read.rows >= MANY:
            stage.drop_stage(self.connection, self.mirror)
        return Taken(self.kind, read.rows, inserted, updated, proposed, held, read.rejected)

    def _same(self, left: sa.FromClause, right: sa.FromClause) -> sa.ColumnElement[bool]:
        keys = mirror_key(self.entity_set)
        pairs = zip(key_expressions(left, keys), key_expressions(right, keys), strict=True)
        return sa.and_(*(one == other for one, other in pairs))

    def _keep_last_of_twins(self) -> None:
        """A record read twice (a page moved under the read): the later image counts."""
        other = self.stage.alias("other")
        keys = key_expressions(self.stage, mirror_key(self.entity_set))
        twins = sa.select(sa.literal(1)).select_from(self.stage).group_by(*keys).having(sa.func.count() > 1).limit(1)
        if self.connection.execute(twins).first() is not None:
            later = sa.exists().where(self._same(other, self.stage), other.c.ctid > self.stage.c.ctid)
            self.connection.execute(sa.delete(self.stage).where(later))

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
            key = self.mirror.c[mirror_key(self.entity_set)[0]]
            wanted = sa.select(self.mirror.c.id).where(key == sa.any_(sa.literal(read.deleted, sa.ARRAY(sa.Uuid))))
            found = self.connection.execute(wanted).scalars() if read.deleted else ()
        else:
            count = self.connection.execute(sa.select(sa.func.count()).select_from(self.mirror)).scalar_one()
            staged = self.connection.execute(sa.select(sa.func.count()).select_from(self.stage)).scalar_one()
            if count == staged:
                return []
            shown = sa.exists().where(self._same(self.mirror, self.stage))
            unread = sa.not_(self._put_aside(read.bad_keys))
            found = self.connection.execute(sa.select(self.mirror.c.id).where(sa.not_(shown), unread)).scalars()
        return [record for record in found if record not in set(self.touched)]

    def _put_aside(self, bad_keys: list[str]) -> sa.ColumnElement[bool]:
        """Rows that were shown but could not be taken in: they are there, whatever is wrong with them."""
        texts = sa.func.unnest(sa.literal(bad_keys, sa.ARRAY(sa.Text))).column_valued("bad_key")
        keys = [sa.cast(self.mirror.c[name], sa.Text) for name in mirror_key(self.entity_set)]
        joined = sa.func.concat_ws(stage.KEY_SEPARATOR, *keys, type_=sa.Text)
        return sa.exists().where(fold(sa.type_coerce(texts, sa.Text)) == fold(joined)) if bad_keys else sa.false()

    def _propose(self, absent: list[int], rows: int, budget: Budget) -> tuple[int, int]:
        """Store proposed deletes: (held, going ahead). Rows put aside are there, so they are not absent."""
        if not absent:
            return 0, 0
        size = self.connection.execute(sa.select(sa.func.count()).select_from(self.mirror)).scalar_one()
        recent = self.connection.execute(_sql["recent_deletes"], self.names).scalar_one()
        reason = over_budget(len(absent), recent, size, rows, self.kind, budget)
        known = self._held_already(absent)
        fresh = [record for record in absent if record not in known]
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

    def _forget_rejected(self, read: _Reading, started: object) -> None:
        if self.kind == "whole":
            self.connection.execute(_sql["forget_rejected"], self.names | {"started": started})
        elif read.rows:
            keys = [sa.cast(self.stage.c[name], sa.Text) for name in mirror_key(self.entity_set)]
            joined = sa.func.concat_ws(stage.KEY_SEPARATOR, *keys)
            good = self.connection.execute(sa.select(joined)).scalars()
            values = {"started": started, "keys": [*good, *read.bad_keys]}
            self.connection.execute(_sql["forget_taken_in"], self.names | values)

    def _note(self, taken: Taken, started: object) -> None:
        values = {**vars(taken), **self.names, "started_at": started, "finished_at": sa.func.sync.now()}
        self.connection.execute(snapshot.insert().values(values))


def over_budget(
    absent: int, recent: int, size: int, rows: int, kind: Literal["whole", "changed"], budget: Budget
) -> str | None:
    """Why these deletes are held, or None. ``recent`` went ahead within the last day; ``size`` is the mirror's."""
    total = absent + recent
    if kind == "whole" and rows == 0:
        return f"the system showed nothing at all, and {size} records are known"
    if total > budget.count:
        return f"{total} deletes within a day, and at most {budget.count} go ahead unasked"
    if total > max(ALWAYS_ALLOWED, budget.share * (size + recent)):
        return f"{total} deletes within a day are more than {budget.share:.0%} of {size + recent} records"
    return None


def _slices(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _FETCHED_AT_ONCE] for start in range(0, len(ids), _FETCHED_AT_ONCE)]
