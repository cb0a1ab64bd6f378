"""The query options $filter and $orderby, compiled to conditions on stored records."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from replicator.sandbox.description import EntitySet, FieldSpec
from replicator.sandbox.store import Condition, fold, storable, term_value
from replicator.sandbox.values import BadValueError, convert


class BadQueryError(ValueError):
    """A query option that cannot be read."""


class UnknownPropertyError(BadQueryError):
    """A query option that names a property the set does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


_token = re.compile(
    r"""\s*(?:
    (?P<guid>[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})
    |(?P<date>\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-]\d\d:\d\d)?)?)
    |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    |(?:(?P<enum>[A-Za-z_][\w.]*)?'(?P<text>(?:[^']|'')*)')
    |(?P<word>[A-Za-z_@][\w.@/]*)
    |(?P<mark>[(),]))""",
    re.VERBOSE,
)
_compare = {"eq": "=", "ne": "<>", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_functions = ("contains", "startswith", "endswith")
_deepest = 60


@dataclass(frozen=True)
class Token:
    """A word, a mark or a literal of an expression."""

    kind: str
    text: str


def tokens(text: str) -> list[Token]:
    """The expression in pieces."""
    found: list[Token] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = _token.match(text, position)
        if match is None or match.end() == position:
            raise BadQueryError(f"Syntax error at position {position} in '{text}'.")
        kind = match.lastgroup or ""
        value = match[kind]
        found.append(Token(kind, value.replace("''", "'") if kind == "text" else value))
        position = match.end()
    return found


class _Parser:
    """Recursive descent over the tokens of one $filter."""

    def __init__(self, entity_set: EntitySet, text: str, wildcards: bool) -> None:
        self._set = entity_set
        self._text = text
        self._tokens = tokens(text)
        self._at = 0
        self._wildcards = wildcards

    def parse(self) -> Condition:
        condition = self._any(0)
        if self._at != len(self._tokens):
            raise self._error()
        return condition

    def _error(self) -> BadQueryError:
        return BadQueryError(f"Syntax error at position {self._at} in '{self._text}'.")

    def _take(self) -> Token:
        if self._at >= len(self._tokens):
            raise self._error()
        self._at += 1
        return self._tokens[self._at - 1]

    def _is(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] in (Token("word", text), Token("mark", text)):
            self._at += 1
            return True
        return False

    def _expect(self, mark: str) -> None:
        if not self._is(mark):
            raise self._error()

    def _any(self, depth: int) -> Condition:
        return self._chain("or", " OR ", self._all, depth)

    def _all(self, depth: int) -> Condition:
        return self._chain("and", " AND ", self._one, depth)

    def _chain(self, word: str, sql: str, part: Callable[[int], Condition], depth: int) -> Condition:
        if depth > _deepest:
            raise BadQueryError("The expression is nested too deeply.")
        parts = [part(depth)]
        while self._is(word):
            parts.append(part(depth))
        return _joined(parts, sql)

    def _one(self, depth: int) -> Condition:
        if self._is("not"):
            inner = self._one(depth + 1)
            return Condition(f"NOT coalesce({inner.sql}, 0)", inner.values)
        if self._is("("):
            inner = self._any(depth + 1)
            self._expect(")")
            return inner
        token = self._take()
        if token.kind != "word":
            raise self._error()
        if token.text in _functions:
            return self._function(token.text)
        return self._comparison(token.text)

    def _function(self, name: str) -> Condition:
        self._expect("(")
        path = self._path(self._take().text)[0]
        self._expect(",")
        token = self._take()
        self._expect(")")
        if token.kind != "text":
            raise self._error()
        text = str(token.text).lower().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        pattern = {"contains": f"%{text}%", "startswith": f"{text}%", "endswith": f"%{text}"}[name]
        return Condition("fold(json_extract(doc, ?)) LIKE ? ESCAPE '!'", (path, pattern))

    def _path(self, name: str) -> tuple[str, FieldSpec]:
        spec = self._set.wire.get(name)
        if spec is None:
            raise UnknownPropertyError(name)
        return f'$."{name}"', spec

    def _comparison(self, name: str) -> Condition:
        path, spec = self._path(name)
        operator = _compare.get(self._take().text)
        if operator is None:
            raise self._error()
        token = self._take()
        if token == Token("word", "null"):
            return _null(path, operator)
        value = self._value(name, spec, token)
        if isinstance(value, str) and self._wildcards and "*" in value and operator == "=":
            pattern = value.lower().replace("!", "!!").replace("%", "!%").replace("_", "!_").replace("*", "%")
            return Condition("fold(json_extract(doc, ?)) LIKE ? ESCAPE '!'", (path, pattern))
        return self._compared(name, spec, operator, value)

    def _compared(self, name: str, spec: FieldSpec, operator: str, value: object) -> Condition:
        if spec.stamp == "version":
            return Condition(f"version {operator} ?", (value,))
        if operator == "=" and (name,) == self._set.key and spec.type == "guid":
            return Condition("key = ?", (value,))
        if operator == "=" and name == self._set.key[0] and len(self._set.key) > 1:
            return first_key_part(str(value))
        if operator == "=" and (name,) in self._set.terms and (term := term_value([value])) is not None:
            sql = "id IN (SELECT id FROM term WHERE entity_set = ? AND field = ? AND value = ?)"
            return Condition(sql, (self._set.name, name, term))
        if operator == "<>":
            return Condition("fold(json_extract(doc, ?)) IS NOT ?", (f'$."{name}"', fold(value)))
        return Condition(f"fold(json_extract(doc, ?)) {operator} ?", (f'$."{name}"', fold(value)))

    def _value(self, name: str, spec: FieldSpec, token: Token) -> object:
        raw: object = token.text
        if token.kind == "number":
            raw = Decimal(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        elif token == Token("word", "true"):
            raw = True
        elif token == Token("word", "false"):
            raw = False
        elif token.kind in ("word", "mark"):
            raise self._error()
        try:
            value = convert(name, spec, raw)
        except BadValueError as error:
            raise BadQueryError(
                f"A binary operator with incompatible types was detected at '{name}': {error.why}."
            ) from error
        return float(value) if isinstance(value, Decimal) else value


def first_key_part(value: str) -> Condition:
    """Records whose composite key starts with this value; the stored key tells without reading the record."""
    prefix = storable(str(fold(value))) + "\x1f"
    return Condition("substr(key, 1, ?) = ?", (len(prefix), prefix))


def _null(path: str, operator: str) -> Condition:
    if operator not in ("=", "<>"):
        return Condition("0")
    test = "IS NULL" if operator == "=" else "IS NOT NULL"
    return Condition(f"json_extract(doc, ?) {test}", (path,))


def _joined(parts: list[Condition], sql: str) -> Condition:
    """Conditions joined as a balanced tree, so that a long list stays shallow."""
    if len(parts) == 1:
        return parts[0]
    half = len(parts) // 2
    left, right = _joined(parts[:half], sql), _joined(parts[half:], sql)
    return Condition(f"({left.sql}{sql}{right.sql})", left.values + right.values)


def compile_filter(entity_set: EntitySet, text: str, wildcards: bool = False) -> Condition:
    """A $filter as a condition; ``wildcards`` lets ``*`` in an equal comparison stand for anything."""
    return _Parser(entity_set, text, wildcards).parse()


def compile_order(entity_set: EntitySet, text: str) -> Condition:
    """An $orderby as the part of ORDER BY that comes before the record's own number."""
    parts = []
    values: list[object] = []
    for item in text.split(","):
        words = item.split()
        if len(words) not in (1, 2) or (len(words) == 2 and words[1].lower() not in ("asc", "desc")):
            raise BadQueryError(f"Syntax error in '{text}'.")
        if words[0] not in entity_set.wire:
            raise UnknownPropertyError(words[0])
        parts.append(f"fold(json_extract(doc, ?)) {words[1].upper() if len(words) == 2 else 'ASC'},")
        values.append(f'$."{words[0]}"')
    return Condition(" ".join(parts), tuple(values))


def compile_select(entity_set: EntitySet, text: str | None, *, with_key: bool = True) -> list[str]:
    """The wire names a $select asks for, with the key among them or not."""
    if not text or text.strip() == "*":
        return list(entity_set.wire)
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in entity_set.wire:
            raise UnknownPropertyError(name)
    return list(dict.fromkeys([*names, *(entity_set.key if with_key else ())]))
