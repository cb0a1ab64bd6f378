"""$filter on rows that no table holds: definitions and messages of the sales system."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from replicator.sandbox.expression import FUNCTIONS, BadQueryError, Expression, Token, UnknownPropertyError

Row = dict[str, Any]


class RowFilter(Expression[Callable[[Row], bool]]):
    """A $filter on such rows: their own properties, equal or not."""

    def __init__(self, text: str, properties: frozenset[str], *, functions: bool = False) -> None:
        super().__init__(text)
        self._functions = functions
        self._properties = properties

    def joined(self, word: str, parts: list[Callable[[Row], bool]]) -> Callable[[Row], bool]:
        together = all if word == "and" else any
        return lambda row: together(part(row) for part in parts)

    def negated(self, part: Callable[[Row], bool]) -> Callable[[Row], bool]:
        return lambda row: not part(row)

    def term(self, word: str) -> Callable[[Row], bool]:
        if word in FUNCTIONS and self._functions:
            return self._function(word)
        if word in FUNCTIONS:
            raise BadQueryError(f"The function '{word}' is not supported in a filter on definitions.")
        if word not in self._properties:
            raise UnknownPropertyError(word)
        operator = self.take().text
        if operator not in ("eq", "ne"):
            raise BadQueryError(f"The operator '{operator}' is not supported in a filter on definitions.")
        value = self._literal(self.take())
        return lambda row: (row[word] == value) == (operator == "eq")

    def _function(self, name: str) -> Callable[[Row], bool]:
        self.expect("(")
        word = self.take().text
        if word not in self._properties:
            raise UnknownPropertyError(word)
        self.expect(",")
        text = self.take().text.lower()
        self.expect(")")
        tests = {"contains": str.__contains__, "startswith": str.startswith, "endswith": str.endswith}
        return lambda row: tests[name](str(row[word] or "").lower(), text)

    def _literal(self, token: Token) -> object:
        words = {"true": True, "false": False, "null": None}
        if token.kind == "word" and token.text in words:
            return words[token.text]
        if token.kind in ("word", "mark"):
            raise self.error()
        if token.kind == "number":
            return Decimal(token.text)
        return token.text.lower() if token.kind == "guid" else token.text
