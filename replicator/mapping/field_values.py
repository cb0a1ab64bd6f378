"""What a map gives a target field: the expression, what may be wrong with it, and what it may have to wait for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import sqlalchemy as sa

from replicator.mapping.join_paths import Kind, Paths, PointedTable, Step
from replicator.mapping.key_comparison import fold, in_one_text, said
from replicator.mapping.language import CommonEntity, CommonField, FieldMap, Scalar, SystemField, TodayPlusDays
from replicator.mapping.literals import beginning, equals, word
from replicator.mapping.schema import EntitySet, Map, column_name
from replicator.mapping.suggestions import hint
from replicator.mapping.value_limits import cut, misfits, rounded
from replicator.mapping.value_maps import Translations, dictionary, named_dictionary, translations

Expression = sa.ColumnElement[Any]


@dataclass(frozen=True)
class Value:
    """``problem``, ``missing`` and ``later`` are texts, null where all is well."""

    expression: Expression
    problem: sa.ColumnElement[str] | None = None
    missing: sa.ColumnElement[str] | None = None
    """What the record waits for."""
    later: sa.ColumnElement[str] | None = None
    """What the record is written without, until it lands."""
    points_at: tuple[PointedTable, ...] = ()
    """For a reference: the target's tables that it may point into."""


def join_text(*parts: object) -> sa.ColumnElement[str]:
    """The parts as one text; an empty part reads ``(empty)``."""
    texts = [
        sa.func.coalesce(sa.cast(part, sa.Text), "(empty)") if isinstance(part, sa.ColumnElement) else sa.literal(part)
        for part in parts
    ]
    result: sa.ColumnElement[str] = sa.cast(texts[0], sa.Text)
    for text in texts[1:]:
        result = result.concat(text)
    return result


def when(condition: sa.ColumnElement[bool], text: sa.ColumnElement[str]) -> sa.ColumnElement[str]:
    """``text`` where ``condition`` holds, else null."""
    return sa.case((condition, text))


class Values:
    """Makes the Value of each field of one map."""

    def __init__(self, paths: Paths, mapping: Map, target: Step) -> None:
        self.paths = paths
        self.mapping = mapping
        self.target = target
        self._missing: dict[object, sa.ColumnElement[str]] = {}
        self.filled: Kind = mapping.entity if mapping.direction == "in" else mapping.entity_set

    def target_field(self, name: str) -> CommonField | SystemField:
        self.paths.field(self.filled, name)
        return self.paths.fields_of(self.filled)[name]

    def make(self, name: str, spec: FieldMap) -> Value:
        """The value of the target field ``name``."""
        self.paths.where = ("fields", name)
        field = self.target_field(name)
        value = self._source(name, spec, field)
        expression = value.expression
        if spec.default is not None:
            expression = sa.func.coalesce(expression, *self._default(name, spec, field))
        expression = self._fitted(spec, field, expression)
        if spec.constant is None and isinstance(expression.type, sa.Text) and self._finds_records(name):
            expression = said(expression)
        if isinstance(field, SystemField):
            expression = _nothing_as_null(expression, field, self._type(name))
        problems = [
            value.problem,
            self._required(name, field, expression, value),
            *(when(wrong, join_text(f"{name}: ", *words)) for wrong, words in misfits(spec, field, expression)),
        ]
        found = [problem for problem in problems if problem is not None]
        problem = None if not found else found[0] if len(found) == 1 else sa.func.coalesce(*found)
        if spec.need == "later" and (field.required or self._is_key(name)):
            raise self.paths.problem(f"'{name}' is required, so it cannot come later")
        return replace(value, expression=expression, problem=problem)

    def _fitted(self, spec: FieldMap, field: CommonField | SystemField, expression: Expression) -> Expression:
        if spec.truncate is not None:
            if not isinstance(expression.type, sa.Text):
                raise self.paths.problem("'truncate' needs a text")
            expression = cut(expression, field, spec.truncate)
        if spec.round is not None:
            if not isinstance(expression.type, sa.Numeric):
                raise self.paths.problem("'round' needs a decimal")
            expression = rounded(expression, spec.round)
        return expression

    def _source(self, name: str, spec: FieldMap, field: CommonField | SystemField) -> Value:
        if spec.copy_ is not None:
            paths = (spec.copy_,) if isinstance(spec.copy_, str) else spec.copy_
            sources = [self.paths.column(path) for path in paths]
            for source in sources:
                self._same_type(name, field, source)
            return Value(_coalesce(sources))
        if spec.not_ is not None:
            expression = self.paths.column(spec.not_)
            if not isinstance(expression.type, sa.Boolean) or field.type != "boolean":
                raise self.paths.problem("'not' needs boolean fields on both sides")
            return Value(sa.not_(expression))
        if spec.value_map is not None:
            return self._value_map(name, spec, spec.value_map)
        if spec.reference is not None:
            return self._reference(name, spec, field)
        if spec.lookup is not None:
            return self._lookup(name, spec)
        if spec.sql is not None:
            return Value(self.paths.plain_sql(spec.sql, self._type(name)))
        self._check(name, spec, spec.constant, "constant")
        return Value(sa.cast(sa.literal(spec.constant), self._type(name)))

    def _check(self, name: str, spec: FieldMap, value: object, *at: str | int) -> None:
        """A value from the file has to fit the target field, once it is cut."""
        if isinstance(value, str) and spec.truncate is not None:
            value = beginning(value, spec.truncate, self.target_field(name))
        self.paths.check(value, self.filled, name, *at)

    def _type(self, name: str) -> sa.types.TypeEngine[Any]:
        return self.target.table.c[self._column(name)].type

    def _column(self, name: str) -> str:
        if self.mapping.direction == "out":
            return column_name(name)
        return f"{name}_id" if self.mapping.entity.fields[name].reference else name

    def _default(self, name: str, spec: FieldMap, field: CommonField | SystemField) -> list[Expression]:
        default = spec.default
        if not isinstance(default, TodayPlusDays):
            self._check(name, spec, default, "default")
            return [sa.cast(sa.literal(default), self._type(name))]
        if self.mapping.direction == "out" or field.type != "date":
            raise self.paths.problem(
                "a default relative to today belongs to a date field of an inbound map: the hub keeps it"
            )
        # Evaluated when the record is first merged; from then on the kept value wins.
        kept = self.target.clause.c[self._column(name)]
        return [kept, sa.func.sync.today(type_=sa.Date) + sa.cast(sa.literal(default.today_plus_days), sa.Integer)]

    def _same_type(self, name: str, field: CommonField | SystemField, expression: Expression) -> None:
        target = self._type(name)
        source = expression.type
        same = type(source) is type(target) or (isinstance(source, sa.BigInteger) and isinstance(target, sa.Numeric))
        if not same or (isinstance(field, CommonField) and field.reference):
            hint = "; use 'reference'" if isinstance(field, CommonField) and field.reference else ""
            raise self.paths.problem(f"the source is {word(source)}, the target {word(target)}{hint}")

    def _required(
        self, name: str, field: CommonField | SystemField, expression: Expression, value: Value
    ) -> sa.ColumnElement[str] | None:
        if not field.required and not self._is_key(name):
            return None
        empty: sa.ColumnElement[bool] = expression.is_(None)
        if value.missing is not None:
            empty = sa.and_(empty, value.missing.is_(None))
        return when(empty, join_text(f"{name}: required, and empty"))

    def _is_key(self, name: str) -> bool:
        spec = self.mapping.entity if self.mapping.direction == "in" else self.mapping.entity_set.spec
        return name in spec.key

    def _finds_records(self, name: str) -> bool:
        """Whether records of the target are found by this field, so that it is written without outer blanks."""
        return self._is_key(name) or (self.mapping.direction == "out" and name in self.mapping.entity_set.business_key)

    def _value_map(self, name: str, spec: FieldMap, path: str) -> Value:
        source = self.paths.column(path)
        values, ignore_case = self.translations(name, spec)
        self._check_translations(name, spec, path, values)
        target = self._type(name)
        text = sa.cast(source, sa.Text)
        sought = sa.func.sync.fold(text, type_=sa.Text) if ignore_case else text
        known_values = named_dictionary(spec.using, self.mapping.direction) if spec.using else dictionary(values)
        found: Expression = known_values.op("->>", return_type=sa.Text())(sought)
        known = known_values.op("?", return_type=sa.Boolean())(sought)
        there = said(source) if isinstance(source.type, sa.Text) else source
        problem = when(
            sa.and_(there.is_not(None), sa.not_(known)),
            join_text(f"{name}: no value for '", source, f"' of {path} in the value map; add it to the map"),
        )
        return Value(found if isinstance(target, sa.Text) else sa.cast(found, target), problem)

    def _check_translations(self, name: str, spec: FieldMap, path: str, values: Translations) -> None:
        _, kind, field = self.paths.end(path)
        looked_at: set[Scalar] = set()
        for source, target in values.items():
            key = source if self.mapping.direction == "in" else target
            at = ("using",) if spec.using else ("values", key if isinstance(key, int) else str(key))
            self.paths.check(source, kind, field, *at)
            if target is not None and target not in looked_at:
                self._check(name, spec, target, *at)
                looked_at.add(target)

    def translations(self, name: str, spec: FieldMap) -> tuple[Translations, bool]:
        """Source value to target value in the direction of this map, and whether case is ignored."""
        if spec.using is None:
            return translations(spec.values, self.mapping.direction), False
        named = self.paths.schema.value_maps.get(spec.using)
        if named is None:
            self.paths.where = ("fields", name, "using")
            more = hint(spec.using, self.paths.schema.value_maps)
            raise self.paths.problem(f"there is no value map '{spec.using}'{more}")
        self.paths.value_maps.add(spec.using)
        return translations(named.values, self.mapping.direction), named.ignore_case

    def _reference(self, name: str, spec: FieldMap, field: CommonField | SystemField) -> Value:
        path = cast(str, spec.reference)
        if isinstance(field, CommonField):
            return self._reference_in(name, spec, field, path)
        return self._reference_out(name, spec, path)

    def _reference_in(self, name: str, spec: FieldMap, field: CommonField, path: str) -> Value:
        kind = self.paths.kind
        assert isinstance(kind, EntitySet)
        if field.reference is None:
            raise self.paths.problem(f"'{name}' is not a reference of the common model")
        pointed = self.paths.pointed(kind, path)
        ends = [
            (each.entity_set, found)
            for each in pointed
            if (found := self.paths.to_common(self.paths.row, each, field.reference))
        ]
        if not ends:
            raise self.paths.problem(f"no map brings what '{path}' points at to {field.reference}")
        if spec.need != "required" or len(ends) > 1:
            self.paths.soft_links.update(link.table for _, (_, link) in ends)
        expression = _coalesce([link.clause.c.common_id for _, (_, link) in ends])
        sources = [self.paths.row[own] for own, _ in pointed[0].columns]
        labels = [self.paths.named(mirror.clause, target) for target, (mirror, _) in ends]
        label = join_text(f"{field.reference} ", _coalesce([*labels, in_one_text(sources, ",")]))
        missing = when(sa.and_(*(source.is_not(None) for source in sources), expression.is_(None)), label)
        points_at = PointedTable(self.paths.tables.common[field.reference], ((f"{name}_id", "id"),))
        return _waiting(spec, expression, missing, (points_at,))

    def _reference_out(self, name: str, spec: FieldMap, path: str) -> Value:
        step, kind, last = self.paths.end(path)
        entity = self.paths.entity_pointed_at(kind, last)
        source = step[f"{last}_id"]
        ends, points_at = [], []
        pointed = self.paths.schema.pointed_by_field(self.mapping.entity_set, name)
        if not pointed:
            raise self.paths.problem(f"'{name}' points at nothing: give it 'to', or name it in 'references'")
        for each in pointed:
            mirror = self.paths.to_mirror(source, each.entity_set, entity)
            if mirror is not None:
                ends.append(mirror[dict(each.columns)[column_name(name)]])
                points_at.append(PointedTable(mirror.table, each.columns))
                link = self.paths.tables.link(each.entity_set, entity)
                if link is not None and (spec.need != "required" or len(pointed) > 1):
                    self.paths.soft_links.add(link)
        if not ends:
            raise self.paths.problem(f"no map joins {entity} with what '{name}' points at")
        expression = _coalesce(ends)
        label = join_text(f"{entity} ", self.paths.label_of(entity, source), f" in {self.mapping.system}")
        missing = when(sa.and_(source.is_not(None), expression.is_(None)), label)
        if len(pointed[0].fields) > 1:  # of several fields that are filled in from one record, all say the same
            missing = self._missing.setdefault((path, frozenset(each.table for each in points_at)), missing)
        return _waiting(spec, expression, missing, tuple(points_at))

    def _lookup(self, name: str, spec: FieldMap) -> Value:
        """The first record of an entity (inbound) or entity set (outbound) that matches."""
        kind = self._searched(name, cast(str, spec.lookup))
        table = self.paths.table_of(kind)
        matches = [
            (self.paths.field(kind, field), *self._wanted(kind, field, path)) for field, path in spec.match.items()
        ]
        for field, value in spec.where.items():
            self.paths.check(value, kind, field, "where", field)
        wheres = [(self.paths.field(kind, field), value) for field, value in spec.where.items()]
        self._check_search(table, matches)

        def on(alias: sa.FromClause) -> sa.ColumnElement[bool]:
            return sa.and_(
                *(fold(alias.c[column]) == fold(wanted) for column, wanted, _ in matches),
                *(equals(alias.c[column], value) for column, value in wheres),
            )

        order_by = self.paths.field(kind, spec.order_by) if spec.order_by else None
        step = self.paths.first(table, on, [(order_by, False)] if order_by else [], (name, table))
        expression = step["id" if isinstance(kind, CommonEntity) else column_name(kind.spec.key[0])]
        described = join_text(
            f"{spec.lookup} with ",
            *(part for column, _, label in matches for part in (f"{column} '", label, "' ")),
            *(f"{column} '{value}' " for column, value in wheres),
        )
        asked = sa.and_(sa.true(), *(label.is_not(None) for _, _, label in matches))
        missing = when(sa.and_(expression.is_(None), asked), sa.func.rtrim(described))
        if order_by is None and not self._is_unique(kind, spec):
            other = table.alias(f"{step.alias.name}_other")
            several = sa.exists().where(on(other), other.c.id != step.clause.c.id).correlate_except(other)
            clash = when(several, join_text("one ", sa.func.rtrim(described), " instead of several"))
            missing = sa.func.coalesce(missing, clash)
        return _waiting(spec, expression, missing)

    @staticmethod
    def _is_unique(kind: Kind, spec: FieldMap) -> bool:
        """Whether at most one record can match: the search names the whole key of an entity."""
        return isinstance(kind, CommonEntity) and set(kind.key) <= {*spec.match, *spec.where}

    def _check_search(self, table: sa.Table, matches: list[tuple[str, Expression, Expression]]) -> None:
        for column, wanted, _ in matches:
            if type(table.c[column].type) is not type(wanted.type):
                raise self.paths.problem(f"'{column}' is {word(table.c[column].type)}, not {word(wanted.type)}")

    def _searched(self, name: str, wanted: str) -> Kind:
        if self.mapping.direction == "out":
            return self.paths.entity_set(self.mapping.system, wanted)
        if wanted != self.mapping.entity.fields[name].reference:
            raise self.paths.problem(f"'{name}' does not point at {wanted}")
        return self.paths.schema.entities[wanted]

    def _wanted(self, kind: Kind, field: str, path: str) -> tuple[Expression, Expression]:
        """The value the searched field has to have, and how a message calls it."""
        searched = kind.spec.fields.get(field) if isinstance(kind, EntitySet) else None
        if searched is None or searched.type != "reference":
            expression = self.paths.column(path)
            return expression, expression
        step, owner, last = self.paths.end(path)
        entity = self.paths.entity_pointed_at(owner, last)
        target = self.paths.entity_set(self.mapping.system, searched.targets[0])
        mirror = self.paths.to_mirror(step[f"{last}_id"], target, entity)
        if mirror is None:
            raise self.paths.problem(f"no map joins {entity} with {target}")
        return mirror[column_name(target.spec.key[0])], self.paths.label_of(entity, step[f"{last}_id"])


def _waiting(
    spec: FieldMap,
    expression: Expression,
    missing: sa.ColumnElement[str],
    points_at: tuple[PointedTable, ...] = (),
) -> Value:
    """A value that may have no counterpart yet: whether the record waits for it, or is written without it."""
    return Value(
        expression,
        missing=missing if spec.need == "required" else None,
        later=missing if spec.need == "later" else None,
        points_at=points_at,
    )


def _nothing_as_null(expression: Expression, field: SystemField, kind: sa.types.TypeEngine[Any]) -> Expression:
    """What a system holds instead of nothing is null in its mirror, so it has to be null here too."""
    empty = "" if field.type == "text" else field.empty
    return expression if empty is None else sa.func.nullif(expression, sa.cast(sa.literal(empty), kind), type_=kind)


def _coalesce(expressions: list[Expression]) -> Expression:
    if len(expressions) == 1:
        return expressions[0]
    return sa.func.coalesce(*expressions, type_=expressions[0].type)
