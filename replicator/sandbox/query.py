"""The query options $filter and $orderby, compiled to conditions on stored records."""

from __future__ import annotations

import re
from decimal import Decimal

from replicator.sandbox.description import FieldSpec, SimulatedSet
from replicator.sandbox.expression import FUNCTIONS, BadQueryError, Expression, Token, UnknownPropertyError
from replicator.sandbox.store import StoredCondition, fold, storable, term_value
from replicator.sandbox.stored_values import BadValueError, convert

_compare = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class _Filter(Expression[StoredCondition]):
    """A $filter as a condition in SQL."""

    def __init__(self, entity_set: SimulatedSet, text: str, wildcards: bool) -> None:
        super().__init__(text)
        self._set = entity_set
        self._wildcards = wildcards

    def joined(self, word: str, parts: list[StoredCondition]) -> StoredCondition:
        return _joined(parts, f" {word.upper()} ")

    def negated(self, part: StoredCondition) -> StoredCondition:
        return StoredCondition(f"NOT coalesce({part.sql}, 0)", part.values)

    def term(self, word: str) -> StoredCondition:
        return self._function(word) if word in FUNCTIONS else self._comparison(word)

    def _function(self, name: str) -> StoredCondition:
        self.expect("(")
        path = self._path(self.take().text)[0]
        self.expect(",")
        token = self.take()
        self.expect(")")
        if token.kind != "text":
            raise self.error()
        text = str(token.text).lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        pattern = {"contains": f"%{text}%", "startswith": f"{text}%", "endswith": f"%{text}"}[name]
        return StoredCondition("fold(json_extract(doc, ?)) LIKE ? ESCAPE '!'", (path, pattern))

    def _path(self, name: str) -> tuple[str, FieldSpec]:
        spec = self._set.shown.get(name)
        if spec is None:
            raise UnknownPropertyError(name)
        return f'$."{name}"', spec

    def _comparison(self, name: str) -> StoredCondition:
        path, spec = self._path(name)
        operator = _compare.get(self.take().text)
        if operator is None:
            raise self.error()
        token = self.take()
        if token == Token("word", "null"):
            return _null(path, operator)
        value = self._value(name, spec, token)
        if isinstance(value, str) and self._wildcards and "*" in value and operator == "=":
            pattern = value.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_").replace("*", "%")
            return StoredCondition("fold(json_extract(doc, ?)) LIKE ? ESCAPE '!'", (path, pattern))
        return self._compared(name, spec, operator, value)

    def _compared(self, name: str, spec: FieldSpec, operator: str, value: object) -> StoredCondition:
        if spec.stamp == "version":
            return StoredCondition(f"version {operator} ?", (value,))
        if operator == "=" and (name,) == self._set.key and spec.type == "guid":
            return StoredCondition("key = ?", (value,))
        if operator == "=" and name == self._set.key[0] and len(self._set.key) > 1:
            return first_key_part(str(value))
        if operator == "=" and (name,) in self._set.terms and (term := term_value([value])) is not None:
            sql = "id IN (SELECT id FROM term WHERE entity_set = ? AND field = ? AND value = ?)"
            return StoredCondition(sql, (self._set.name, name, term))
        if operator == "<>":
            return StoredCondition("fold(json_extract(doc, ?)) IS NOT ?", (f'$."{name}"', fold(value)))
        return StoredCondition(f"fold(json_extract(doc, ?)) {operator} ?", (f'$."{name}"', fold(value)))

    def _value(self, name: str, spec: FieldSpec, token: Token) -> object:
        raw: object = token.text
        if token.kind == "number":
            raw = Decimal(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        elif token == Token("word", "true"):
            raw = True
        elif token == Token("word", "false"):
            raw = False
        elif token.kind in ("word", "mark"):
            raise self.error()
        try:
            value = convert(name, spec, raw)
        except BadValueError as error:
            raise BadQueryError(
                f"A binary operator with incompatible types was detected at '{name}': {error.why}."
            ) from error
        return float(value) if isinstance(value, Decimal) else value


def first_key_part(value: str) -> StoredCondition:
    """Records whose composite key starts with this value; the stored key tells without reading the record."""
    prefix = storable(str(fold(value))) + "\x1f"
    return StoredCondition("substr(key, 1, ?) = ?", (len(prefix), prefix))


def _null(path: str, operator: str) -> StoredCondition:
    if operator not in ("=", "<>"):
        return StoredCondition("0")
    test = "IS NULL" if operator == "=" else "IS NOT NULL"
    return StoredCondition(f"json_extract(doc, ?) {test}", (path,))


def _joined(parts: list[StoredCondition], sql: str) -> StoredCondition:
    """Conditions joined as a balanced tree, so that a long list stays shallow."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(parts[:half], sql), _joined(parts[half:], sql)
    return StoredCondition(f"({left.sql}{sql}{right.sql})", left.values + right.values)


def compile_filter(entity_set: SimulatedSet, text: str, wildcards: bool = False) -> StoredCondition:
    """A $filter as a condition; ``wildcards`` lets ``*`` in an equal comparison stand for anything."""
    return _Filter(entity_set, text, wildcards).parse()


def compile_order(entity_set: SimulatedSet, text: str) -> StoredCondition:
    """An $orderby as the part of ORDER BY that comes before the record's own number."""
    parts = []
    values: list[object] = []
    for item in text.split(","):
        words = item.split()
        if len(words) not in (1, 2) or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
            raise BadQueryError(f"Syntax error in '{text}'.")
        if words[0] not in entity_set.shown:
            raise UnknownPropertyError(words[0])
        parts.append(f"fold(json_extract(doc, ?)) {words[1].upper() if len(words) == 2 else 'ASC'},")
        values.append(f'$."{words[0]}"')
    return StoredCondition(" ".join(parts), tuple(values))


def compile_select(entity_set: SimulatedSet, text: str | None, *, with_key: bool = True) -> list[str]:
    """The wire names a $select asks for, with the key among them or not."""
    if not text or text.strip() == "*":
        return list(entity_set.shown)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in entity_set.shown:
            raise UnknownPropertyError(name)
    return list(dict.fromkeys([*names, *(entity_set.key if with_key else ())]))
