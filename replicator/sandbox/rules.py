"""What a system computes and forbids by itself: calculated fields, rounding of money, rules of its description.

Expressions are small SQL expressions evaluated by SQLite on a connection that can read nothing.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from replicator.sandbox.description import Calculation, Exists, Operation, Rule, SimulatedSet
from replicator.sandbox.odata_http import RefusalError
from replicator.sandbox.store import Doc, Store, fold, storable
from replicator.sandbox.stored_values import MONEY_SCALE, rounded

_parameter = re.compile(r":([A-Za-z_]\w*)")
_expression = "SELECT {}"
_harmless = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_FUNCTION)


class Evaluator:
    """Evaluates expressions over named values."""

    def __init__(self) -> None:
        self._db = sqlite3.connect(":memory:", check_same_thread=False)
        self._db.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _harmless else sqlite3.SQLITE_DENY  # noqa: RUF100
        )

    def value(self, sql: str, values: Mapping[str, object]) -> Any:
        """The expression's value; names without one are null."""
        bound = {name: _plain(values.get(name)) for name in _parameter.findall(sql)}
        statement = _expression.format(sql)
        return self._db.execute(statement, bound).fetchone()[0]

    def close(self) -> None:
        """Release the connection."""
        self._db.close()


def _number(value: float) -> Decimal:
    """A computed number without the noise of binary fractions, written plainly."""
    number = Decimal(repr(value)).quantize(Decimal("1e-10")).normalize()
    return number if number.as_tuple().exponent <= 0 else number.quantize(Decimal(1))  # type: ignore[operator]


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


class Rules:
    """Calculations and rules over the records of one store."""

    def __init__(self, store: Store, *, recalculate: bool, enforce: bool) -> None:
        self._store = store
        self._recalculate = recalculate
        self._enforce = enforce
        self._evaluator = Evaluator()

    def close(self) -> None:
        """Release the evaluator."""
        self._evaluator.close()

    def compute(self, entity_set: SimulatedSet, doc: Doc, kept: Mapping[str, object], *, direct: bool = False) -> None:
        """Fill in the calculated fields of a record but for kept ones; set directly, only those always computed."""
        recalculate = self._recalculate and not direct
        for name, spec in entity_set.wire.items():
            calculation = spec.calculated
            if calculation is not None and name not in kept and (calculation.always or recalculate):
                doc[name] = self._calculated(entity_set, calculation, doc)
        if recalculate:
            self._round(entity_set, doc)

    def _calculated(self, entity_set: SimulatedSet, calculation: Calculation, doc: Doc) -> object:
        values = dict(doc)
        for name, total in calculation.totals.items():
            rows = self._store.find(total.set, total.through, [doc.get(part) for part in entity_set.key])
            values[name] = sum((row.doc.get(total.field) or 0 for row in rows), Decimal(0)) if rows else None
        value = self._evaluator.value(calculation.sql, values)
        return _number(value) if isinstance(value, float) else value

    def _round(self, entity_set: SimulatedSet, doc: Doc) -> None:
        scales = {"organization": self._store.description.pricing_precision}
        scales["looked_up"] = self._precision(entity_set, doc)
        for name, spec in entity_set.wire.items():
            value = doc.get(name)
            if spec.type == "money" and isinstance(value, Decimal):
                doc[name] = rounded(value, scales.get(spec.precision or "", MONEY_SCALE))

    def _precision(self, entity_set: SimulatedSet, doc: Doc) -> int:
        if entity_set.precision_from is None:
            return MONEY_SCALE
        lookup, field = entity_set.precision_from
        target = next(link.set for link in entity_set.links if lookup in link.fields)
        row = self._store.get(target, doc[lookup]) if doc.get(lookup) else None
        return int(row.doc.get(field) or MONEY_SCALE) if row else MONEY_SCALE

    def dependants(self, entity_set: SimulatedSet, doc: Doc) -> list[tuple[str, str]]:
        """Records whose totals count this one: (set, key)."""
        if not self._recalculate:
            return []
        found = []
        for parent in self._store.description.entity_sets.values():
            for spec in parent.fields.values():
                for total in spec.calculated.totals.values() if spec.calculated else ():
                    if total.set == entity_set.name and all(doc.get(part) is not None for part in total.through):
                        found.append((parent.name, parent_key(parent, doc, total.through)))
        return list(dict.fromkeys(found))

    def holds(self, condition: str, doc: Doc) -> bool:
        """Whether an expression over the fields of a record holds."""
        return bool(self._evaluator.value(condition, doc))

    def check(self, operation: Operation, entity_set: SimulatedSet, old: Doc | None, new: Doc | None) -> None:
        """Refuse what a rule forbids."""
        for rule in entity_set.rules:
            in_force = (self._enforce or rule.always) and operation in rule.at
            if in_force and self._forbids(rule, entity_set, old or {}, new or {}):
                raise RefusalError(400, rule.message, rule.code)

    def _forbids(self, rule: Rule, entity_set: SimulatedSet, old: Doc, new: Doc) -> bool:
        values = {f"old_{name}": value for name, value in old.items()}
        values |= {f"new_{name}": value for name, value in new.items()}
        parents = self._parents(rule, entity_set, old, new)
        if not any(self._evaluator.value(rule.when, values | parent) for parent in parents):
            return False
        if rule.only:
            stamps = {name for name, spec in entity_set.wire.items() if spec.stamp}
            return any(old.get(name) != new.get(name) for name in set(new) - set(rule.only) - stamps)
        if rule.exists is not None:
            return not self._exists(rule.exists, new)
        return rule.every is None or not self._all_hold(rule, entity_set, new)

    def _parents(self, rule: Rule, entity_set: SimulatedSet, old: Doc, new: Doc) -> list[Doc]:
        """What a rule may say of a record's parent: of the one that it leaves, and of the one that it gets or keeps."""
        if rule.parent is None:
            return [{}]
        parents = (self._target(entity_set, rule.parent, doc) for doc in (old, new))
        return [{f"parent_{name}": value for name, value in parent.items()} for parent in parents]

    def _exists(self, wanted: Exists, doc: Doc) -> bool:
        values = [doc.get(ours) for ours in wanted.fields.values()]
        return None in values or bool(self._store.find(wanted.set, tuple(wanted.fields), values))

    def _all_hold(self, rule: Rule, entity_set: SimulatedSet, doc: Doc) -> bool:
        assert rule.every is not None
        child = self._store.description.entity_sets[rule.every.set]
        rows = self._store.find(rule.every.set, (rule.every.through,), [doc.get(entity_set.key[0])])
        followed = (self._target(child, rule.every.follow, row.doc) for row in rows)
        return all(self._evaluator.value(rule.every.holds, target) for target in followed)

    def _target(self, entity_set: SimulatedSet, lookup: str, doc: Doc) -> Doc:
        if doc.get(lookup):
            for link in entity_set.links:
                row = self._store.get(link.set, doc[lookup]) if lookup in link.fields else None
                if row is not None:
                    return row.doc
        return {}


def parent_key(parent: SimulatedSet, doc: Doc, through: tuple[str, ...]) -> str:
    """The stored key of the record that a child's fields point at."""
    return make_key(parent, {key: doc.get(part) for key, part in zip(parent.key, through, strict=True)})


def make_key(entity_set: SimulatedSet, values: Mapping[str, object]) -> str:
    """Key values as the one text a record is stored under."""
    return "\x1f".join(storable(str(fold(str(values.get(part, ""))))) for part in entity_set.key)
