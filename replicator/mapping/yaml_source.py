"""Reads YAML with the line of every value; turns pydantic's complaints into errors that name file, line and field."""

from __future__ import annotations

import re
from collections.abc import Hashable
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from replicator.bounded_yaml import BoundedLoader
from replicator.errors import ReplicatorError
from replicator.mapping.validation_messages import Location as Location
from replicator.mapping.validation_messages import in_plain_words
from replicator.text import visible

Model = TypeVar("Model", bound=BaseModel)


class _Loader(BoundedLoader):
    """YAML 1.2 booleans (``NO`` is Norway, ``Yes`` a symbol), numbers with a point as Decimal, no repeated keys."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    try:
        value = Decimal(node.value)
    except ArithmeticError:
        value = Decimal("nan")
    if not value.is_finite():
        raise yaml.constructor.ConstructorError(None, None, f"{node.value} is not a number here", node.start_mark)
    return value


_Loader.add_constructor("tag:yaml.org,2002:float", _decimal)


class Document:
    """One YAML file: its data as plain Python values, and where in the file each of them stands."""

    def __init__(self, path: Path, text: str, error: type[ReplicatorError]) -> None:
        self.path = path
        self.error = error
        self._lines: dict[Location, int] = {}
        try:
            loader = _Loader(text)
            node = loader.get_single_node()
            self.data: object = {} if node is None else self._value(loader, node, ())
        except yaml.MarkedYAMLError as problem:
            line = problem.problem_mark.line + 1 if problem.problem_mark else 1
            raise error(f"{path}:{line}: not valid YAML: {problem.problem or problem}") from problem
        except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as problem:
            raise error(f"{path}: not valid YAML: {problem}") from problem

    def _value(self, loader: BoundedLoader, node: yaml.Node, at: Location) -> object:
        self._lines[at] = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, item, (*at, index)) for index, item in enumerate(node.value)]
        return loader.construct_object(node, deep=True)

    def _mapping(self, loader: BoundedLoader, node: yaml.MappingNode, at: Location) -> dict[Hashable, object]:
        result: dict[Hashable, object] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in result:
                raise self.problem(f"'{key}' stands here twice", line=key_node.start_mark.line + 1)
            here = (*at, key if isinstance(key, int | str) else str(key))
            result[key] = self._value(loader, value_node, here)
            self._lines[here] = key_node.start_mark.line + 1
        return result

    def line(self, at: Location) -> int:
        """The line of the value at ``at``, or of the nearest value around it."""
        while at not in self._lines and at:
            at = at[:-1]
        return self._lines.get(at, 1)

    def problem(self, message: str, at: Location = (), *, line: int | None = None) -> ReplicatorError:
        """An error about the value at ``at``."""
        return self.error(self.complaint(message, at, line=line))

    def complaint(self, message: str, at: Location = (), *, line: int | None = None) -> str:
        """What is wrong with the value at ``at``, as one line that names file, line and field."""
        where = ".".join(str(part) for part in at)
        return visible(f"{self.path}:{line or self.line(at)}: {where + ': ' if where else ''}{message}")

    def parse(self, model: type[Model]) -> Model:
        """The data as ``model``; all complaints in one error. Validators find the file's folder as ``base``."""
        try:
            return model.model_validate(self.data, context={"base": self.path.resolve().parent})
        except ValidationError as invalid:
            complaints = in_plain_words(invalid, model, self._known)
            raise self.error("\n".join(self.complaint(words, at) for at, words in complaints.items())) from None

    def _known(self, at: Location) -> Location:
        """``at`` without the branches of unions that pydantic adds; an unknown last part (a missing key) stays."""
        known: Location = ()
        for index, part in enumerate(at):
            if (*known, part) in self._lines:
                known = (*known, part)
            elif index == len(at) - 1 and isinstance(part, str) and part.isidentifier() and part not in _BRANCHES:
                return (*known, part)
        return known


_BRANCHES = {
    "bool",
    "int",
    "decimal",
    "datetime",
    "date",
    "str",
    "SetFields",
    "TodayPlusDays",
    "NotNull",
    "dict",
    "tuple",
}


def read(path: Path, error: type[ReplicatorError]) -> Document:
    """The YAML file at ``path``; unreadable files raise ``error``."""
    try:
        return Document(path, path.read_text(encoding="utf-8"), error)
    except (OSError, UnicodeDecodeError) as problem:
        raise error(f"{path}: cannot be read: {problem}") from problem
