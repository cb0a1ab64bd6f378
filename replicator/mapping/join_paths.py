"""From a record to what its map reads: the joins over references, crosswalks and look-ups, kept as steps.

A desired view joins the steps forward; the marks walk them backward (``dependency_paths.py``). A step that is read
remembers which of its columns were, so that a change of any other column marks nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.selectable import NamedFromClause

from replicator.errors import ReplicatorError
from replicator.mapping.generations import order_of, precedes
from replicator.mapping.key_comparison import in_one_text, mirror_key, said, same_values
from replicator.mapping.language import CommonEntity, CommonField, SystemField
from replicator.mapping.literals import misfit
from replicator.mapping.plain_sql import PlainSql, plain_sql, reads_tables
from replicator.mapping.schema import EntitySet, Map, PointedSet, Schema, column_name, label_field
from replicator.mapping.suggestions import hint
from replicator.mapping.tables import Tables, common_column

Kind = CommonEntity | EntitySet
"""What a row is: a record of a common entity, or of an entity set's mirror."""


@dataclass(frozen=True)
class PointedTable:
    """A table whose rows the rows of a target may point at, and by which columns."""

    table: sa.Table
    columns: tuple[tuple[str, str], ...]
    """Own column, and the column of the table whose value it holds."""


@dataclass(eq=False)
class Step:
    """One join: ``alias`` of ``table`` on ``on``. A look-up joins only the first match, in ``lateral``."""

    alias: NamedFromClause
    table: sa.Table
    on: sa.ColumnElement[bool]
    lateral: sa.FromClause | None = None
    columns: set[str] = field(default_factory=set)
    """The columns the map reads here; none for a crosswalk, whose writes are marked by who writes them."""

    @property
    def clause(self) -> sa.FromClause:
        return self.alias if self.lateral is None else self.lateral

    def __getitem__(self, column: str) -> sa.ColumnElement[Any]:
        """The column, remembered as read."""
        self.columns.add(column)
        return self.clause.c[column]


class Paths:
    """The steps from the rows of one kind outward. A child of the row has Paths of its own, with ``parent`` set."""

    def __init__(self, schema: Schema, tables: Tables, mapping: Map, kind: Kind, name: str) -> None:
        self.schema = schema
        self.tables = tables
        self.mapping = mapping
        self.kind = kind
        self.row = Step(self.table_of(kind).alias(name), self.table_of(kind), sa.true())
        self.where: tuple[str | int, ...] = ()
        """The place in the map's file that is being compiled, for errors."""
        self._steps: dict[object, Step] = {}
        self.soft_links: set[sa.Table] = set()
        """Crosswalks read by what does not wait: a reference that is only used if known, or one of several targets."""

        self.expressions: list[tuple[tuple[str | int, ...], PlainSql]] = []
        """The plain SQL, and where it stands in the map."""

        self.value_maps: set[str] = set()
        """The named value maps that are asked."""

    def problem(self, message: str, *at: str | int) -> ReplicatorError:
        """An error that names file, line and field; ``at`` is a place within what is being compiled."""
        return self.mapping.problem(message, *self.where, *at)

    def check(self, value: object, kind: Kind, name: str, *at: str | int) -> None:
        """A value from the file, which stands at ``at``, has to fit the field it is for or compared with."""
        column = self.field(kind, name)
        words = misfit(value, name, self.fields_of(kind)[name], self.table_of(kind).c[column].type)
        if words:
            raise self.problem(words, *at)

    @staticmethod
    def fields_of(kind: Kind) -> Mapping[str, CommonField | SystemField]:
        """The fields of one kind, by name, as their file describes them."""
        return kind.spec.fields if isinstance(kind, EntitySet) else kind.fields

    def table_of(self, kind: Kind) -> sa.Table:
        return self.tables.mirror(kind) if isinstance(kind, EntitySet) else self.tables.common[kind.entity]

    @property
    def steps(self) -> Iterator[Step]:
        """All steps, each after those it builds on."""
        yield from self._steps.values()

    def join(self, start: sa.FromClause) -> sa.FromClause:
        """``start`` with every step left joined."""
        for step in self._steps.values():
            start = start.outerjoin(step.clause, sa.true() if step.lateral is not None else step.on)
        return start

    def needed(self, step: Step) -> list[Step]:
        """The steps, in order, that ``step`` needs to be joined to the row; without ``step`` itself."""
        found: set[Step] = set()
        self._collect(step, found)
        return [other for other in self._steps.values() if other in found]

    def _collect(self, step: Step, found: set[Step]) -> None:
        tables = {part.table for part in visitors.iterate(step.on) if isinstance(part, sa.ColumnClause)}
        for other in self._steps.values():
            if other is not step and other.clause in tables and other not in found:
                found.add(other)
                self._collect(other, found)

    def step(self, key: object, table: sa.Table, on: Callable[[sa.FromClause], sa.ColumnElement[bool]]) -> Step:
        """The step of this key, made when first asked for."""
        if key not in self._steps:
            alias = table.alias(f"{self.row.alias.name}{len(self._steps) + 1}")
            self._steps[key] = Step(alias, table, on(alias))
        return self._steps[key]

    def field(self, kind: Kind, name: str) -> str:
        """The column of a field; an unknown field is an error of the map."""
        self._known(kind, name, self.fields_of(kind))
        return column_name(name) if isinstance(kind, EntitySet) else common_column(kind, name)

    def _known(self, kind: Kind, name: str, known: Collection[str]) -> None:
        if name not in known:
            owner = str(kind) if isinstance(kind, EntitySet) else kind.entity
            more = hint(name, known) or f" (it has {', '.join(known)})"
            raise self.problem(f"{owner} has no field '{name}'{more}")

    def column(self, path: str) -> sa.ColumnElement[Any]:
        """The value at the end of a dotted path over references."""
        step, kind, last = self.end(path)
        return step[self.field(kind, last)]

    def plain_sql(self, text: str, kind: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
        """A plain SQL expression of type ``kind``; what it read in other tables could change and mark nothing."""
        if reads_tables(text):
            words = "no sub-selects: a plain SQL expression sees its own record and what the paths in braces lead to"
            raise self.problem(words, "sql")
        expression = plain_sql(text, self.column, kind)
        self.expressions.append(((*self.where, "sql"), expression))
        return expression

    def end(self, path: str) -> tuple[Step, Kind, str]:
        """The row at the end of a dotted path: its step, its kind, and the field named last."""
        step, kind = self.row, self.kind
        *references, last = path.split(".")
        for index, reference in enumerate(references):
            following = references[index + 1] if index + 1 < len(references) else last
            step, kind = self.follow(step, kind, reference, following)
        return step, kind, last

    def entity_pointed_at(self, kind: Kind, reference: str) -> str:
        """The common entity that a reference of a common record points at."""
        self.field(kind, reference)
        entity = None if isinstance(kind, EntitySet) else kind.fields[reference].reference
        if entity is None:
            raise self.problem(f"'{reference}' is not a reference of the common model")
        return entity

    def follow(self, step: Step, kind: Kind, reference: str, following: str) -> tuple[Step, Kind]:
        """The step to what ``reference`` points at; of several sets, the one that has the field ``following``."""
        if isinstance(kind, EntitySet):
            pointed = self._pointed_at(kind, reference, following)
            return self._met(step, self.table_of(pointed.entity_set), pointed.columns), pointed.entity_set
        target = self.schema.entities[self.entity_pointed_at(kind, reference)]
        return self._met(step, self.table_of(target), ((self.field(kind, reference), "id"),)), target

    def _met(self, step: Step, table: sa.Table, columns: tuple[tuple[str, str], ...]) -> Step:
        """The step to the row of ``table`` that the row of ``step`` points at by these columns."""
        step.columns.update(own for own, _ in columns)
        met = self.step((step, columns, table), table, lambda alias: same_values(step.clause, alias, columns))
        met.columns.update({other for _, other in columns} - {"id"})
        return met

    def _pointed_at(self, kind: EntitySet, reference: str, following: str) -> PointedSet:
        for pointed in self.pointed(kind, reference):
            fields = pointed.entity_set.spec
            if following in (*fields.fields, *fields.references):
                return pointed
        raise self.problem(f"nothing that '{reference}' of {kind} points at has a field '{following}'")

    def pointed(self, kind: EntitySet, reference: str) -> list[PointedSet]:
        """The entity sets a reference may point at, in order, and the fields by which it does."""
        self._known(kind, reference, [*kind.spec.references, *kind.spec.fields])
        found = self.schema.pointed(kind, reference)
        if not found:
            raise self.problem(f"'{reference}' of {kind} is not a reference")
        return found

    def entity_set(self, system: str, name: str) -> EntitySet:
        try:
            return self.schema.entity_sets[system, name]
        except KeyError:
            known = [entity_set.name for entity_set in self.schema.sets_of(system)]
            raise self.problem(f"{system} has no entity set '{name}'{hint(name, known)}") from None

    def to_common(self, step: Step, pointed: PointedSet, entity: str) -> tuple[Step, Step] | None:
        """Mirror row to common record: the steps over the mirror row that it points at, and its crosswalk."""
        link = self.tables.link(pointed.entity_set, entity)
        if link is None:
            return None
        met = self.whole(step, pointed)
        counting = self.counting(met, pointed.entity_set)
        pointed_at = met["id"] if counting is None else sa.func.coalesce(counting["id"], met["id"])
        return met, self._link(link, "mirror_id", pointed_at, (met, link))

    def linked(self, step: Step, link: sa.Table) -> Step:
        """The step from a mirror row to its pair in a crosswalk."""
        return self._link(link, "mirror_id", step["id"], (step, link))

    def whole(self, step: Step, pointed: PointedSet) -> Step:
        """The step to the mirror row that the row of ``step`` points at."""
        return self._met(step, self.tables.mirror(pointed.entity_set), pointed.columns)

    def counting(self, step: Step, entity_set: EntitySet) -> Step | None:
        """The step to the record that counts in the place of the row of ``step``, which is its history then."""
        if not entity_set.spec.generations:
            return None
        return self.first(
            self.tables.mirror(entity_set),
            lambda alias: precedes(alias.c.__getitem__, step.__getitem__, entity_set),
            order_of(entity_set),
            (step, "generations"),
        )

    def to_mirror(self, source: sa.ColumnElement[Any], target: EntitySet, entity: str) -> Step | None:
        """Common record to mirror row in the target system: the step over crosswalk and mirror."""
        link = self.tables.link(target, entity)
        if link is None:
            return None
        crosswalk = self._link(link, "common_id", source, (str(source), link))
        mirror = self.tables.mirror(target)
        return self.step((crosswalk, mirror), mirror, lambda alias: alias.c.id == crosswalk.clause.c.mirror_id)

    def _link(self, link: sa.Table, side: str, source: sa.ColumnElement[Any], key: object) -> Step:
        return self.step(
            key, link, lambda alias: sa.and_(alias.c[side] == source, alias.c.ended_at.is_(None))
        )  # fmt: skip

    def first(
        self,
        table: sa.Table,
        on: Callable[[sa.FromClause], sa.ColumnElement[bool]],
        order_by: Sequence[tuple[str, bool]],
        key: object,
    ) -> Step:
        """A look-up: the first row of ``table`` that satisfies ``on``, by these columns (and whether downward)."""
        step = self.step(key, table, on)
        if step.lateral is None:
            columns = [(step.alias.c[name], downward) for name, downward in order_by]
            order = [column.desc().nulls_last() if downward else column for column, downward in columns]
            step.columns.update(name for name, _ in order_by)
            chosen = sa.select(step.alias).where(step.on).order_by(*order, step.alias.c.id).limit(1)
            step.lateral = chosen.lateral(f"{step.alias.name}_first")
            step.columns.update(
                part.name
                for part in visitors.iterate(step.on)
                if isinstance(part, sa.ColumnClause) and part.table is step.alias
            )
        return step

    def label(self, source: sa.FromClause, kind: Kind) -> sa.ColumnElement[str]:
        """What people call the record of this row; only for messages, so it is not remembered as read."""
        if isinstance(kind, EntitySet):
            own = [path for path in kind.spec.label if "." not in path]
            columns = [column_name(name) for name in (*own, *kind.business_key[-1:])]
            names = (said(source.c[column]) for column in dict.fromkeys(columns))
            return sa.func.coalesce(*names, self.key_of(source, kind))
        name = label_field(kind)
        return sa.cast(source.c["id" if kind.fields[name].reference else name], sa.Text)

    def named(self, source: sa.FromClause, kind: EntitySet) -> sa.ColumnElement[str]:
        """What a message about another record calls the record of this row: by what tells it from all others."""
        return self.told_apart(source, kind, self.label(source, kind))

    def told_apart(
        self, source: sa.FromClause, kind: EntitySet, label: sa.ColumnElement[str], *above: sa.ColumnElement[bool]
    ) -> sa.ColumnElement[str]:
        """``label`` with the system's own key behind it, where another row bears the same name.

        ``above``: whether the name of something that it is part of is borne by another one.
        """
        shared, key = sa.or_(sa.false(), *above, *self.has_namesake(source, kind)), self.key_of(source, kind)
        return sa.case((sa.and_(label != key, shared), sa.func.concat(label, " (", key, ")")), else_=label)

    def has_namesake(self, source: sa.FromClause, kind: EntitySet) -> Iterator[sa.ColumnElement[bool]]:
        """Whether another row of the set, or of the same whole, has what people know this one by."""
        other = self.tables.mirror(kind).alias()
        for same in self.namesakes(source, other, kind):
            yield sa.exists().where(same).correlate_except(other)

    def namesakes(
        self, source: sa.FromClause, other: sa.FromClause, kind: EntitySet
    ) -> Iterator[sa.ColumnElement[bool]]:
        """That ``other`` is another row with the name of ``source``; nothing where names are the system's keys.

        Names are the business key and, of parts, the label: they are looked for by an index.
        """
        wholes = [own for part in self.schema.part_sets if part.entity_set == kind for own, _ in part.pointed.columns]
        named = [field for path in kind.spec.label for field in kind.spec.behind(path.partition(".")[0])]
        names = kind.spec.business_key or (named if wholes else ())
        if names:
            columns = dict.fromkeys([*wholes, *map(column_name, names)])
            yield sa.and_(same_values(source, other, [(each, each) for each in columns]), other.c.id != source.c.id)

    @staticmethod
    def key_of(source: sa.FromClause, kind: EntitySet) -> sa.ColumnElement[str]:
        """The system's own key, which tells apart what people call alike, or by no name. Null without a row."""
        return sa.func.nullif(in_one_text([source.c[name] for name in mirror_key(kind)], ","), "", type_=sa.Text)

    def label_of(self, entity: str, record_id: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
        """What people call the common record with this id, looked up only where a message needs it."""
        kind = self.schema.entities[entity]
        table = self.table_of(kind).alias("named")
        return sa.select(self.label(table, kind)).where(table.c.id == record_id).scalar_subquery()
