"""The grammar of $filter: comparisons joined by ``and``, ``or``, ``not`` and brackets."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


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
FUNCTIONS = ("contains", "startswith", "endswith")
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


class Expression(ABC, Generic[T]):
    """Recursive descent over the tokens of one $filter; what its parts become is up to the derived class."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0

    @abstractmethod
    def joined(self, word: str, parts: list[T]) -> T:
        """Two parts or more joined by ``and`` or ``or``."""

    @abstractmethod
    def negated(self, part: T) -> T:
        """The opposite of a part."""

    @abstractmethod
    def term(self, word: str) -> T:
        """A comparison or function that begins with this word; takes the rest of it."""

    def parse(self) -> T:
        """The whole text, or BadQueryError."""
        whole = self._any(0)
        if self._at != len(self._tokens):
            raise self.error()
        return whole

    def error(self) -> BadQueryError:
        """Something else should stand here."""
        return BadQueryError(f"Syntax error at position {self._at} in '{self._text}'.")

    def take(self) -> Token:
        """The next token."""
        if self._at >= len(self._tokens):
            raise self.error()
        self._at += 1
        return self._tokens[self._at - 1]

    def expect(self, mark: str) -> None:
        """Take this mark or fail."""
        if not self._is(mark):
            raise self.error()

    def _is(self, text: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] in (Token("word", text), Token("mark", text)):
            self._at += 1
            return True
        return False

    def _any(self, depth: int) -> T:
        return self._chain("or", self._all, depth)

    def _all(self, depth: int) -> T:
        return self._chain("and", self._one, depth)

    def _chain(self, word: str, part: Callable[[int], T], depth: int) -> T:
        if depth > _deepest:
            raise BadQueryError("The expression is nested too deeply.")
        parts = [part(depth)]
        while self._is(word):
            parts.append(part(depth))
        return parts[0] if len(parts) == 1 else self.joined(word, parts)

    def _one(self, depth: int) -> T:
        if self._is("not"):
            return self.negated(self._one(depth + 1))
        if self._is("("):
            inner = self._any(depth + 1)
            self.expect(")")
            return inner
        token = self.take()
        if token.kind != "word":
            raise self.error()
        return self.term(token.text)
