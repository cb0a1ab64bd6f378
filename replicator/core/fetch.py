"""Reads records by their keys; a key that the system refuses stands alone with its refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from replicator.connectors.protocol import Connector, FieldProblem, Key, Row
from replicator.errors import AccessDenied, CredentialsRefused, RequestRefused
from replicator.mapping.language import EntitySetSpec

Refusal: TypeAlias = AccessDenied | RequestRefused | FieldProblem
REFUSALS = (AccessDenied, RequestRefused, FieldProblem)
"""What the system does not say of one record, and may say of others."""
Found: TypeAlias = Row | Refusal | None
Keys: TypeAlias = Sequence[Key]
_REFUSALS = 3
"""After so many keys that are refused one by one it is not the key: the others are not asked for."""


def fetch_each(connector: Connector, entity_set: EntitySetSpec, keys: Keys) -> list[Found]:
    """The records with these keys, in the same order: None where there is none, or why the system refuses to say.

    What is refused as a whole is halved until the bad key stands alone. Raises what is Transient, and
    CredentialsRefused.
    """
    refused: list[Refusal] = []

    def ask(some: Keys) -> list[Found]:
        if len(refused) >= _REFUSALS:
            return [refused[-1] for _ in some]
        try:
            return list(connector.fetch(entity_set, some))
        except CredentialsRefused:
            raise  # it is no key's fault
        except REFUSALS as problem:
            if len(some) == 1:
                refused.append(problem)
                return [problem]
        half = len(some) // 2
        return ask(some[:half]) + ask(some[half:])

    return ask(keys)
