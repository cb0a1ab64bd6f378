"""Reads records by their keys; a key that the system refuses stands alone with its refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

from replicator.connectors.protocol import Connector, FieldProblem, Key, Row
from replicator.errors import AccessDenied, CredentialsRefused, RequestRefused
from replicator.mapping.language import EntitySetSpec

Refusal: TypeAlias = AccessDenied | RequestRefused | FieldProblem
Found: TypeAlias = Row | Refusal | None
Keys: TypeAlias = Sequence[Key]
T = TypeVar("T")
_REFUSALS = 3
"""After so many keys that are refused one by one it is not the key: the others are not asked for."""


def fetch_each(connector: Connector, entity_set: EntitySetSpec, keys: Keys) -> list[Found]:
    """The records with these keys, in the same order: None where there is none, or why the system refuses to say.

    What is refused as a whole is halved until the bad key stands alone. Raises what is Transient, and
    CredentialsRefused.
    """
    return _each(lambda some: connector.fetch(entity_set, some), keys)


def find_each(
    connector: Connector, entity_set: EntitySetSpec, by: Sequence[str], values: Keys
) -> list[list[Row] | Refusal]:
    """For each of these values of the fields ``by`` the records that hold them, or why the system refuses to say.

    Refusals and errors are as in ``fetch_each``.
    """
    return _each(lambda some: connector.find(entity_set, by, some), values)


def _each(ask: Callable[[Keys], Sequence[T]], keys: Keys) -> list[T | Refusal]:
    refused: list[Refusal] = []

    def of(some: Keys) -> list[T | Refusal]:
        if len(refused) >= _REFUSALS:
            return [refused[-1] for _ in some]
        try:
            return list(ask(some))
        except CredentialsRefused:
            raise  # it is no key's fault
        except (AccessDenied, RequestRefused, FieldProblem) as problem:
            if len(some) == 1:
                refused.append(problem)
                return [problem]
        half = len(some) // 2
        return of(some[:half]) + of(some[half:])

    return of(keys) if keys else []
