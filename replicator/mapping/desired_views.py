"""The desired view of each map: one row per linked or candidate record, with a verdict, its reason and the values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by, array

from replicator.mapping.field_values import Value, Values, join_text
from replicator.mapping.generations import Lineage
from replicator.mapping.history import history_of
from replicator.mapping.join_paths import Paths, PointedTable, Step
from replicator.mapping.key_comparison import said
from replicator.mapping.language import CommonField, Condition, FieldMap, NotNull, SetFields, TodayPlusDays, Write
from replicator.mapping.literals import equals
from replicator.mapping.missing_parts import unfinished_parts
from replicator.mapping.schema import EntitySet, Map, Schema, column_name
from replicator.mapping.tables import Tables, common_column

_NO_TEXT = sa.cast(sa.null(), sa.Text)
RESERVED = ("source_id", "target_id", "root_id", "record", "eligible", "verdict", "reason", "waits_for", "later")
_OF_THE_DIFF = ("record_id", "action", "changed", "drifted", "holder")
"""Columns that the diff has beside those of the view."""


@dataclass(frozen=True)
class TargetColumn:
    """A column a map fills: the field it stands for, and when it is written."""

    name: str
    field: str
    write: Write
    is_key: bool
    type: sa.types.TypeEngine[Any]
    withheld: bool = False
    """A create does not take it: it follows in a second write."""
    either: tuple[str, ...] = ()
    """The common fields behind it that either side may change: inbound itself, outbound those that it is made from."""
    tells_apart: bool = False
    """A record of the target that holds another value here is another record, whatever its key."""


@dataclass(frozen=True)
class ReferenceColumn:
    """A column by which the target's records point at others, by itself or with more, and the tables of those."""

    column: str
    points_at: tuple[PointedTable, ...]
    later: bool
    """Filled in when what it points at has landed."""


@dataclass(frozen=True, eq=False)
class DesiredView:
    """A map, compiled: its view, the paths to all that it reads, and the columns it fills."""

    mapping: Map
    source: sa.Table
    target: sa.Table
    link: sa.Table
    columns: tuple[TargetColumn, ...]
    definition: sa.CompoundSelect[Any]
    paths: Paths
    children: tuple[tuple[Paths, Step], ...] = field(default=())
    """For conditions on parts: the paths of the part, and the step from the record to it."""
    root_column: str | None = None
    """For a part: the column of the source that points at its whole."""
    target_links: tuple[sa.Table, ...] = ()
    """The crosswalks that can pair a target record with one of this system: its own, inbound its siblings' too."""
    references: tuple[ReferenceColumn, ...] = ()
    lineages: tuple[Lineage, ...] = ()
    """Inbound: the entity sets with generations that its records belong to."""
    opposite: Map | None = None
    """The map of the other direction between the same two, where fields that either side may change go both ways."""

    @property
    def view(self) -> sa.TableClause:
        """The view, to select from."""
        types: dict[str, sa.types.TypeEngine[Any]] = {
            "eligible": sa.Boolean(), "verdict": sa.Text(), "reason": sa.Text(), "waits_for": sa.ARRAY(sa.Text),
            "record": sa.Text(), "later": sa.ARRAY(sa.Text),
        }  # fmt: skip
        fixed = [sa.column(name, types.get(name, sa.BigInteger())) for name in RESERVED]
        values = [sa.column(column.name, column.type) for column in self.columns]
        return sa.table(self.mapping.view_name, *fixed, *values, schema="desired")

    @property
    def either(self) -> dict[str, str]:
        """The common fields behind its columns that either side may change, and who decides a conflict."""
        fields = sorted({field for column in self.columns for field in column.either})
        return {field: self.mapping.entity.fields[field].either or "" for field in fields}


def match_columns(mapping: Map) -> list[str]:
    """The target's columns by which a record that is already there is recognised."""
    if mapping.direction == "in":
        return [common_column(mapping.entity, name) for name in mapping.entity.key]
    return [column_name(name) for name in mapping.entity_set.business_key]


def build_view(schema: Schema, tables: Tables, mapping: Map) -> DesiredView:
    """Compile one map; whatever the map names and does not exist is a SchemaError."""
    return _Builder(schema, tables, mapping).build()


class _Builder:
    def __init__(self, schema: Schema, tables: Tables, mapping: Map) -> None:
        inbound = mapping.direction == "in"
        self.schema, self.tables, self.mapping, self.inbound = schema, tables, mapping, inbound
        self.paths = Paths(schema, tables, mapping, mapping.entity_set if inbound else mapping.entity, "s")
        common, mirror = tables.common[mapping.entity.entity], tables.mirror(mapping.entity_set)
        self.source, self.target = (mirror, common) if inbound else (common, mirror)
        self.link = tables.link_of(mapping)
        self.source_side, self.target_side = ("mirror_id", "common_id") if inbound else ("common_id", "mirror_id")
        self.crosswalk = self.link.alias("l")
        self.kept = Step(self.target.alias("t"), self.target, sa.true())
        self.children: list[tuple[Paths, Step]] = []
        parent = schema.parent_field(mapping.entity)
        self.root_column = f"{parent[0]}_id" if parent and schema.root_map(mapping) else None
        self.opposite = schema.opposite(mapping)
        self.history = history_of(schema, tables, self.paths, mapping)

    def build(self) -> DesiredView:
        values = Values(self.paths, self.mapping, self.kept)
        made = {name: values.make(name, spec) for name, spec in self.mapping.spec.fields.items()}
        columns = tuple(self._columns())
        conditions = [self._condition(place, condition) for place, condition in enumerate(self.mapping.spec.when)]
        self._check_set_fields()
        live = self._live(columns, made, conditions)
        definition = sa.union_all(live, self._gone(columns))
        return DesiredView(
            self.mapping, self.source, self.target, self.link, columns, definition, self.paths,
            tuple(self.children), self.root_column, tuple(self._target_links()), tuple(self._references(columns, made)),
            self.history.lineages,
            self.opposite if any(column.either for column in columns) else None,
        )  # fmt: skip

    def _references(self, columns: tuple[TargetColumn, ...], made: dict[str, Value]) -> Iterator[ReferenceColumn]:
        for column in columns:
            value = made[column.field]
            if value.points_at:
                yield ReferenceColumn(column.name, value.points_at, value.later is not None)

    def _target_links(self) -> Iterator[sa.Table]:
        for (system, _, entity), table in self.tables.links.items():
            sibling = self.inbound and (system, entity) == (self.mapping.system, self.mapping.entity.entity)
            if table is self.link or sibling:
                yield table

    def _columns(self) -> Iterator[TargetColumn]:
        spec = self.mapping.entity if self.inbound else self.mapping.entity_set.spec
        self._check_key()
        for name, field_map in self.mapping.spec.fields.items():
            if self.inbound and field_map.write == "never":
                raise self.mapping.problem("'write: never' belongs to outbound maps", "fields", name)
            column = common_column(self.mapping.entity, name) if self.inbound else column_name(name)
            if column in (*RESERVED, *_OF_THE_DIFF):
                raise self.mapping.problem(f"a field cannot be called '{name}'", "fields", name)
            either = tuple(sorted(self._either(name, field_map)))
            kind = self.target.c[column].type
            key, withheld = name in spec.key, self._withheld(name)
            yield TargetColumn(column, name, field_map.write, key, kind, withheld, either, field_map.tells_apart)

    def _withheld(self, name: str) -> bool:
        spec = self.mapping.entity_set.spec
        if self.inbound or spec.fields[name].writable == "always":
            return False
        if spec.fields[name].required or name in (*spec.key, *spec.business_key):
            raise self.mapping.problem(f"a record cannot be created without '{name}'", "fields", name)
        if self.root_column and self.mapping.spec.fields[name].write == "on create":
            words = f"'{name}' of a part follows its create, so it is written always or never"
            raise self.mapping.problem(words, "fields", name)
        return True

    def _check_key(self) -> None:
        """All parts of the target's key are mapped, but for those that it assigns, and a single GUID, which is made."""
        mapped = self.mapping.spec.fields
        target = self.mapping.entity_set.spec
        assigned = () if self.inbound else target.assigned
        key = self.mapping.entity.key if self.inbound else target.key
        missing = [name for name in key if name not in (*mapped, *assigned)]
        made = not self.inbound and len(target.key) == 1 and target.fields[target.key[0]].type == "uuid"
        if missing and not made:
            raise self.mapping.problem(f"the key field '{missing[0]}' is not mapped", "fields")
        for name in assigned:
            if name in mapped:
                raise self.mapping.problem(f"'{name}' is assigned by the system, and cannot be mapped", "fields", name)
        for name in target.business_key if assigned else ():
            if name not in mapped:
                words = f"'{name}' is not mapped, and a record whose key is assigned is found by its business key"
                raise self.mapping.problem(words, "fields")

    def _either(self, name: str, field_map: FieldMap) -> set[str]:
        """The common fields behind a target field that the maps of this pair bring in and send out."""
        inbound = self.mapping if self.inbound else self.opposite
        if inbound is None:
            return set()
        written = {field for field, spec in inbound.spec.fields.items() if spec.write == "always"}
        open_to_both = {field for field in written if self.mapping.entity.fields[field].either}
        return open_to_both & ({name} if self.inbound else field_map.reads)

    def _live(
        self,
        columns: tuple[TargetColumn, ...],
        made: dict[str, Value],
        conditions: list[tuple[sa.ColumnElement[bool], sa.ColumnElement[str] | None]],
    ) -> sa.Select[Any]:
        """The records that are there."""
        row = self.paths.row
        eligible = sa.and_(sa.true(), *(condition for condition, _ in conditions))
        if self.mapping.spec.when_no_longer_eligible == "update":
            eligible = sa.or_(eligible, self.crosswalk.c[self.target_side].is_not(None))
        eligible = sa.and_(sa.not_(self.history.holds), eligible)
        not_eligible = [(sa.not_(condition), text if text is not None else sa.null()) for condition, text in conditions]
        if self.history.lineages:
            not_eligible.insert(0, (self.history.holds, self.history.words))
        problems = [value.problem for value in made.values() if value.problem is not None]
        missing = list(dict.fromkeys(value.missing for value in made.values() if value.missing is not None))
        missing += [] if self.inbound else list(unfinished_parts(self.schema, self.tables, self.paths))
        later = list(dict.fromkeys(value.later for value in made.values() if value.later is not None))
        checked = sa.select(
            row.alias.c.id.label("source_id"),
            self.crosswalk.c[self.target_side].label("target_id"),
            (row.alias.c[self.root_column] if self.root_column else sa.cast(sa.null(), sa.BigInteger)).label("root_id"),
            self._record().label("record"),
            self._record_in_trouble().label("named"),
            self.history.holds.label("history"),
            self.history.passed.label("passed"),
            eligible.label("eligible"),
            (sa.case(*not_eligible) if not_eligible else _NO_TEXT).label("left_out"),
            self._any(problems).label("misfits"),
            (sa.func.nullif(sa.func.concat_ws("; ", *problems), "") if problems else _NO_TEXT).label("problem"),
            self._any(missing).label("waits"),
            self._list(missing).label("waits_for"),
            self._list(later).label("later"),
            *(sa.cast(made[column.field].expression, column.type).label(column.name) for column in columns),
        ).select_from(self._joined())  # fmt: skip
        d = checked.subquery("d")
        verdict = sa.case(
            *self._verdicts_of_history(d),
            (sa.not_(d.c.eligible), "not eligible"),
            (d.c.misfits, "invalid"),
            (d.c.waits, "blocked"),
            else_="present",
        )
        # Words, and who has a namesake, are looked for where something is wrong; of most records nothing is.
        reason = sa.case((sa.not_(d.c.eligible), d.c.left_out), (d.c.misfits, d.c.problem))
        record = sa.case((sa.or_(d.c.misfits, d.c.waits), d.c.named), else_=d.c.record)
        fixed = {
            "source_id": d.c.source_id, "target_id": d.c.target_id, "root_id": d.c.root_id, "record": record,
            "eligible": d.c.eligible, "verdict": verdict, "reason": reason, "waits_for": d.c.waits_for,
            "later": d.c.later,
        }  # fmt: skip
        return sa.select(*(fixed[name].label(name) for name in RESERVED), *(d.c[column.name] for column in columns))

    def _verdicts_of_history(self, d: sa.FromClause) -> Iterator[tuple[sa.ColumnElement[bool], str]]:
        """What a record of history is paired with still, when the one that counts has a pair of its own, goes."""
        if self.history.lineages:
            yield sa.and_(d.c.passed, d.c.target_id.is_not(None)), "absent"
            yield d.c.history, "history"

    def _record(self) -> sa.ColumnElement[str]:
        """What people call the record."""
        kind = self.paths.kind
        if isinstance(kind, EntitySet) and kind.spec.label:
            self.paths.where = ("label",)
            key = self.paths.key_of(self.paths.row.alias, kind)
            return sa.func.concat_ws(" ", *(self._called(path, key) for path in kind.spec.label))
        return self.paths.label(self.paths.row.alias, kind)

    def _record_in_trouble(self) -> sa.ColumnElement[str]:
        """What the record is called where something is wrong with it: by what tells it from all others."""
        kind = self.paths.kind
        if not isinstance(kind, EntitySet):
            return self._record()
        above = [self.paths.end(path)[:2] for path in kind.spec.label if "." in path]
        shared = [
            each for step, of in above if isinstance(of, EntitySet) for each in self.paths.has_namesake(step.clause, of)
        ]
        return self.paths.told_apart(self.paths.row.alias, kind, self._record(), *shared)

    def _called(self, path: str, key: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
        """A part of the name; where the record has no such name of its own, its key."""
        name = said(self.paths.column(path))
        return name if "." in path else sa.func.coalesce(name, key)

    def _joined(self) -> sa.FromClause:
        row, crosswalk = self.paths.row.alias, self.crosswalk
        on = sa.and_(crosswalk.c[self.source_side] == row.c.id, crosswalk.c.ended_at.is_(None))
        if self.root_column:  # a part that was written with another whole is not paired in this one
            on = sa.and_(on, crosswalk.c.root_id == row.c[self.root_column])
        start: sa.FromClause = row.outerjoin(crosswalk, on)
        if any(isinstance(spec.default, TodayPlusDays) for spec in self.mapping.spec.fields.values()):
            start = start.outerjoin(self.kept.alias, self.kept.alias.c.id == crosswalk.c[self.target_side])
        return self.paths.join(start)

    @staticmethod
    def _any(texts: list[sa.ColumnElement[str]]) -> sa.ColumnElement[bool]:
        return sa.func.coalesce(*texts).is_not(None) if texts else sa.false()

    @classmethod
    def _list(cls, texts: list[sa.ColumnElement[str]]) -> sa.ColumnElement[Any]:
        if not texts:
            return sa.cast(sa.null(), sa.ARRAY(sa.Text))
        return sa.case((cls._any(texts), sa.func.array_remove(sa.cast(array(texts), sa.ARRAY(sa.Text)), sa.null())))

    def _gone(self, columns: tuple[TargetColumn, ...]) -> sa.Select[Any]:
        """The pairs whose source is gone; for a part, also those whose record belongs to another whole now."""
        link, source, target = self.link.alias("l"), self.source.alias("s"), self.target.alias("t")
        same = [source.c.id == link.c[self.source_side]]
        same += [source.c[self.root_column] == link.c.root_id] if self.root_column else []
        there = sa.exists().select_from(source).where(*same)
        kind = self.mapping.entity if self.inbound else self.mapping.entity_set
        fixed: dict[str, sa.ColumnElement[Any]] = {
            "source_id": link.c[self.source_side], "target_id": link.c[self.target_side],
            "root_id": sa.cast(link.c.root_id if self.root_column else sa.null(), sa.BigInteger),
            "record": self.paths.label(target, kind), "eligible": sa.false(), "verdict": sa.literal("absent"),
        }  # fmt: skip
        fixed["waits_for"] = fixed["later"] = sa.cast(sa.null(), sa.ARRAY(sa.Text))
        return (
            sa.select(
                *(fixed.get(name, _NO_TEXT).label(name) for name in RESERVED),
                *(sa.cast(sa.null(), column.type).label(column.name) for column in columns),
            )
            .select_from(link.outerjoin(target, target.c.id == link.c[self.target_side]))
            .where(link.c.ended_at.is_(None), sa.not_(there))
        )

    def _check_set_fields(self) -> None:
        """What a delete sets has to be fields of the target, and values that fit them."""
        policy = self.mapping.spec.on_delete
        self.paths.where = ("on_delete", "set")
        for name, value in policy.set.items() if isinstance(policy, SetFields) else ():
            self.paths.check(value, self.mapping.entity if self.inbound else self.mapping.entity_set, name, name)

    def _condition(
        self, place: int, condition: Condition
    ) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[str] | None]:
        """Whether it holds, and the words for a record for which it does not (None: not this map's business)."""
        self.paths.where = ("when", place)
        if condition.every:
            return self._every(condition)
        return self._holds(self.paths, condition), self._words(self.paths, condition.otherwise)

    def _holds(self, paths: Paths, condition: Condition) -> sa.ColumnElement[bool]:
        if condition.sql:
            return sa.func.coalesce(paths.plain_sql(condition.sql, sa.Boolean()), sa.false())
        return sa.and_(sa.true(), *(self._compare(paths, path, wanted) for path, wanted in condition.that.items()))

    @staticmethod
    def _compare(paths: Paths, path: str, wanted: object) -> sa.ColumnElement[bool]:
        value = paths.column(path)
        there = said(value) if isinstance(value.type, sa.Text) else value
        if isinstance(wanted, NotNull):
            return there.is_not(None)
        choices = wanted if isinstance(wanted, tuple) else (wanted,)
        _, kind, field = paths.end(path)
        for choice in choices:
            if choice is not None:
                paths.check(choice, kind, field, "that", path)
        declared = paths.fields_of(kind).get(field)
        exact = isinstance(declared, CommonField) and bool(declared.values)  # nothing else is ever stored there
        tests = (value == choice if exact else equals(value, choice) for choice in choices if choice is not None)
        return sa.func.coalesce(sa.or_(*tests, *([there.is_(None)] if None in choices else [])), sa.false())

    def _words(self, paths: Paths, text: str | None) -> sa.ColumnElement[str] | None:
        """A text with fields in braces."""
        if text is None:
            return None
        paths.where = (*paths.where, "otherwise")
        parts = re.split(r"\{([\w.]+)\}", text)
        return join_text(*(paths.column(part) if index % 2 else part for index, part in enumerate(parts) if part))

    def _every(self, condition: Condition) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[str] | None]:
        """The condition holds for each part."""
        part = self.schema.entities.get(condition.every or "")
        parent = self.schema.parent_field(part) if part else None
        if self.inbound or part is None or parent is None or parent[1].reference != self.mapping.entity.entity:
            raise self.paths.problem(f"'{condition.every}' is no part of {self.mapping.entity.entity}")
        child = Paths(self.schema, self.tables, self.mapping, part, f"c{len(self.children)}")
        child.where, child.expressions = self.paths.where, self.paths.expressions
        child.row.on = child.row[f"{parent[0]}_id"] == self.paths.row.alias.c.id
        holds = self._holds(child, condition)
        words = self._words(child, condition.otherwise)
        joined = child.join(child.row.alias)
        failing = sa.and_(child.row.on, sa.not_(holds))
        self.children.append((child, child.row))
        separator = aggregate_order_by(
            sa.literal("; "), child.row.alias.c[common_column(part, part.key[-1])], child.row.alias.c.id
        )
        listed = None if words is None else (
            sa.select(sa.func.string_agg(words, separator))
            .select_from(joined).where(failing).correlate(self.paths.row.alias).scalar_subquery()
        )  # fmt: skip
        exists = sa.exists().select_from(joined).where(failing).correlate(self.paths.row.alias)
        return sa.not_(exists), listed
