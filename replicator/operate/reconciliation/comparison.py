"""The comparison: every difference of some maps in a temporary table, sorted by kind, set by set.

Nothing of it is held by this process, so that a hub of any size is compared in the same memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import psycopg
import sqlalchemy as sa
from psycopg import sql
from sqlalchemy.dialects.postgresql import JSONB

from replicator.core.diff import is_counterpart, same_key
from replicator.hub.planner import prefer_whole_joins
from replicator.hub.statements import statements
from replicator.hub.sync_tables import delivery, map_
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.desired_views import match_columns
from replicator.mapping.key_comparison import mirror_key
from replicator.mapping.literals import constant
from replicator.mapping.tables import ETAG
from replicator.solution.difference_views import rows_of

_sql = statements(__name__)
_ids = sa.ARRAY(sa.BigInteger)
_KINDS = {
    "create": "missing", "recreate": "missing", "delete": "extra", "set": "extra", "unlink": "extra",
    "taken": "duplicate",
}  # fmt: skip
"""What the actions of a diff are called here."""
_TELLING = {
    "not eligible": "not eligible", "left behind": "reported", "blocked": "blocked", "invalid": "rejected",
    "incomplete": "blocked",
}  # fmt: skip
"""Actions that say themselves why nothing is done, and how a delivery would show it."""
_texts = ("kind", "flow", "map", "record", "action", "state", "reason", "system_key")
_numbers = ("id", "map_id", "record_id", "source_id", "target_id")
_difference = sa.table(
    "difference",
    *(sa.column(name, sa.Text()) for name in _texts),
    *(sa.column(name, sa.BigInteger()) for name in _numbers),
    sa.column("explained", sa.Boolean()), sa.column("fields", JSONB()), sa.column("version", JSONB()),
    sa.column("waits_for", sa.ARRAY(sa.Text)), sa.column("others", _ids),
)  # fmt: skip
_asked = sa.table(
    "asked", sa.column("map_id", sa.BigInteger()), sa.column("record_id", sa.BigInteger()),
    sa.column("differs", sa.Boolean()),
)  # fmt: skip
_known = sa.table(
    "known_version", sa.column("entity_set", sa.Text()), sa.column("id", sa.BigInteger()), sa.column("etag", sa.Text())
)
Rows = list[dict[str, Any]]


class Comparison:
    """Compares the records of some maps, on one connection."""

    def __init__(self, connection: sa.Connection, compiled: Compiled, maps: Sequence[CompiledMap]) -> None:
        self.connection, self.compiled, self.maps = connection, compiled, maps
        self.outbound = [flow for flow in maps if flow.mapping.direction == "out"]
        self.sets = sorted({str(flow.mapping.entity_set) for flow in self.outbound})

    def prepare(self) -> None:
        """Note the versions of the targets' records as the hub knows them, before anything is read afresh."""
        with self.connection.begin():
            self.connection.execute(_sql["make"])
            for name in self.sets:
                mirror = self._mirror(name)
                known = sa.select(sa.literal(name), mirror.c.id, mirror.c[ETAG])
                self.connection.execute(sa.insert(_known).from_select(["entity_set", "id", "etag"], known))
            _analyze(self.connection, "known_version")

    def compare(self, comparing: Callable[[CompiledMap], None]) -> None:
        """Find all differences; ``comparing`` hears of each map before its turn."""
        with self.connection.begin():
            self.connection.execute(_sql["clear"])
        for flow in self.maps:
            comparing(flow)
            with self.connection.begin():
                prefer_whole_joins(self.connection)
                self.connection.execute(_compare(self.compiled, flow))
        with self.connection.begin():
            _analyze(self.connection, "difference")
            for flow in self.outbound:
                self.connection.execute(_named(flow))
                self.connection.execute(_moved(flow))
                if flow.root is None:
                    self.connection.execute(_rivals(flow))
                    self.connection.execute(_sort_rivals(flow))
            prefer_whole_joins(self.connection)
            self.connection.execute(_sql["duplicates"], {"sets": self.sets})
            self.connection.execute(_sql["unmatched"], {"sets": self.sets})

    def ask(self) -> int:
        """Mark all that differs, as if a person had asked for each record; how many are to be repaired."""
        with self.connection.begin():
            self.connection.execute(_sql["ask"])
            _analyze(self.connection, "asked")
            self.connection.execute(_sql["mark"])
            return int(self.connection.execute(_sql["to_repair"]).scalar_one())

    def not_repaired(self) -> int:
        """How many of the records that were to be repaired differ still."""
        with self.connection.begin():
            return int(self.connection.execute(_sql["not_repaired"]).scalar_one())

    def counts(self, *, explained: bool) -> dict[str, int]:
        """How many differences of each kind; or how many a row explains, by what it says."""
        return {row["kind"]: row["records"] for row in self._rows("counts") if row["explained"] == explained}

    def beside(self) -> dict[str, int]:
        """How many open conflicts, records that could not be taken in, and orphans there are."""
        sets = sorted({str(flow.mapping.entity_set) for flow in self.maps})
        rows = self._rows("beside", maps=[flow.name for flow in self.maps], sets=sets)
        return {row["kind"]: int(row["records"]) for row in rows}

    def paused(self) -> list[str]:
        """By what name these maps are paused."""
        return [row["scope"] for row in self._rows("paused", maps=[flow.name for flow in self.maps])]

    def records(self, limit: int) -> Rows:
        """The first differences that nothing explains."""
        return self._rows("list", limit=limit)

    def unmatched(self) -> Rows:
        """How many records of each target are paired with nothing."""
        return self._rows("unmatched_counts")

    def some_unmatched(self, limit: int) -> Rows:
        """The first of them."""
        return self._rows("unmatched_list", limit=limit)

    def absent(self, state: Literal["held", "rejected"]) -> dict[str, int]:
        """Records that stay although their system shows them no more, by entity set: what was decided about them."""
        return {row["entity_set"]: row["records"] for row in self._rows("absent", state=state)}

    def _rows(self, name: str, **values: object) -> Rows:
        with self.connection.begin():
            return [dict(row) for row in self.connection.execute(_sql[name], values).mappings()]

    def _mirror(self, name: str) -> sa.Table:
        return next(flow.view.target for flow in self.outbound if str(flow.mapping.entity_set) == name)


def _analyze(connection: sa.Connection, table: str) -> None:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)
    driver.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))


def references(flow: CompiledMap) -> Iterator[str]:
    """The fields of the target by which its records point at others."""
    for name, spec in flow.mapping.spec.fields.items():
        if spec.reference is not None or spec.lookup is not None:
            yield name


def _compare(compiled: Compiled, flow: CompiledMap) -> sa.Insert:
    """The records of one map that are not in step; what is under way, or has a row that says why, is told apart.

    A record that was to be repaired is a difference for as long as it is one, whatever a row says. Straight from the
    view of the map: a query on that of all maps plans all of them.
    """
    d, x, a = rows_of(flow).alias("d"), delivery.alias("x"), _asked.alias("a")
    shown_under = compiled.marked(flow).name
    map_id = sa.select(map_.c.id).where(map_.c.name == shown_under).scalar_subquery()
    state = sa.cast(x.c.state, sa.Text)
    by_itself = d.c.action.in_([constant(each) for each in _TELLING])
    has_reason = sa.or_(sa.func.coalesce(state, constant("pending")) != constant("pending"), by_itself)
    wanted = sa.exists().where(a.c.map_id == map_id, a.c.record_id == d.c.record_id, a.c.differs)
    explained = sa.and_(has_reason, sa.not_(wanted))
    standing = sa.case(
        (state.in_([constant("in_flight"), constant("unknown")]), constant("in flight")),
        (state != constant("pending"), sa.func.replace(state, constant("_"), constant(" "))),
        *((d.c.action == constant(action), constant(word)) for action, word in _TELLING.items()),
    )
    kind = sa.case(
        (explained, standing),
        *((d.c.action == constant(action), constant(word)) for action, word in {**_KINDS, **_TELLING}.items()),
        (d.c.fields.has_any(sa.literal(list(references(flow)), sa.ARRAY(sa.Text))), constant("wrong parent")),
        else_=constant("different"),
    )
    columns: dict[str, sa.ColumnElement[Any]] = {
        "kind": kind, "explained": explained, "flow": sa.literal(shown_under), "map": sa.literal(flow.name),
        "map_id": map_id, "record_id": d.c.record_id, "record": d.c.record, "action": d.c.action,
        "source_id": d.c.source_id, "target_id": d.c.target_id, "fields": sa.case((sa.not_(explained), d.c.fields)),
        "state": state, "reason": sa.func.coalesce(x.c.reason, d.c.reason),
        "waits_for": sa.func.coalesce(x.c.waits_for, d.c.waits_for),
    }  # fmt: skip
    joined = d.outerjoin(x, sa.and_(x.c.map_id == map_id, x.c.record_id == d.c.record_id))
    return sa.insert(_difference).from_select(list(columns), sa.select(*columns.values()).select_from(joined))


def _named(flow: CompiledMap) -> sa.Update:
    """What the system itself calls the target's record."""
    t, d = flow.view.target.alias("t"), _difference
    keys = (sa.cast(t.c[name], sa.Text) for name in mirror_key(flow.mapping.entity_set))
    here = sa.and_(d.c.map == flow.name, d.c.target_id == t.c.id, sa.not_(d.c.explained))
    return sa.update(d).values(system_key=sa.func.concat_ws(",", *keys)).where(here)


def _moved(flow: CompiledMap) -> sa.Update:
    """The version of the target's record moved: a change there that the hub had not seen until now."""
    t, d = flow.view.target.alias("t"), _difference
    here = sa.and_(d.c.map == flow.name, d.c.target_id == t.c.id, sa.not_(d.c.explained))
    known = sa.and_(_known.c.entity_set == str(flow.mapping.entity_set), _known.c.id == t.c.id)
    versions = sa.func.jsonb_build_array(_known.c.etag, t.c[ETAG], type_=JSONB)
    kind = sa.case((d.c.kind == "different", "stale"), else_=d.c.kind)
    moved = _known.c.etag.is_distinct_from(t.c[ETAG])
    return sa.update(d).values(version=versions, kind=kind).where(here, known, moved)


def _rivals(flow: CompiledMap) -> sa.Update:
    """Other records of the target that bear the key which a record wants, where it has another one or none."""
    view, d = flow.view, _difference
    rows = view.view.alias("rows")
    v = sa.select(rows).where(rows.c.source_id == d.c.source_id).offset(sa.literal_column("0")).lateral("v")
    other = view.target.alias("other")
    strange = sa.func.coalesce(d.c.target_id, 0) != other.c.id
    keys = sa.literal(_key_fields(flow), sa.ARRAY(sa.Text))
    wanted = sa.and_(
        d.c.map == flow.name, sa.not_(d.c.explained),
        sa.or_(d.c.action == "taken", sa.and_(d.c.target_id.is_not(None), d.c.fields.has_any(keys))),
    )  # fmt: skip
    found_ids = (
        sa.select(d.c.id, sa.cast(sa.func.array_agg(other.c.id), _ids).label("others"))
        .select_from(d.join(v, sa.true()).join(other, sa.and_(same_key(view, other, v), strange)))
        .where(wanted)
        .group_by(d.c.id)
        .subquery("found")
    )
    return sa.update(d).values(others=found_ids.c.others, kind="duplicate").where(d.c.id == found_ids.c.id)


def _key_fields(flow: CompiledMap) -> list[str]:
    columns = match_columns(flow.mapping)
    return [column.field for column in flow.view.columns if column.name in columns]


def _sort_rivals(flow: CompiledMap) -> sa.Update:
    """One free record that bears the key is no rival: the two are paired before anything is sent."""
    view, d = flow.view, _difference
    first = d.c.others[1]
    paired = [
        sa.exists().where(link.c.mirror_id == first, link.c.ended_at.is_(None)) for link in flow.view.target_links
    ]
    v, other = view.view.alias("v"), view.target.alias("other")
    same = sa.exists().where(v.c.source_id == d.c.source_id, other.c.id == first, is_counterpart(view, other, v))
    free = sa.and_(sa.func.cardinality(d.c.others) == 1, same, *(sa.not_(each) for each in paired))
    return sa.update(d).values(kind="unpaired").where(d.c.map == flow.name, d.c.action == "taken", free)
