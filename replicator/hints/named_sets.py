"""Which entity sets of a system a hint means, by its headers or by what its body names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from replicator.mapping.schema import EntitySet

TABLE = "HTTP_X_MS_DYNAMICS_ENTITY_NAME"
"""The header by which Dataverse names the table, as WSGI has it."""


class _Named(msgspec.Struct):
    """The names in a body: the table of a data event, the kind of a business event."""

    table: Any = msgspec.field(name="PrimaryEntityName", default=None)
    event: Any = msgspec.field(name="BusinessEventId", default=None)


def meant(sets: Sequence[EntitySet], table: str, body: Callable[[], bytes]) -> set[str]:
    """The names of the sets that are due; the body is looked at only where no header names the table.

    A table that none of them is bears on none, as far as each says which table it is; else all may be meant.
    """
    names = [table] if table else _names(body())
    found = {each.name for each in sets if names and _is_one_of(each, names)}
    if found or (table and all(each.spec.logical_name for each in sets)):
        return found
    return {each.name for each in sets}


def _is_one_of(entity_set: EntitySet, names: Sequence[str]) -> bool:
    own = {entity_set.name.casefold(), (entity_set.spec.logical_name or entity_set.name).casefold()}
    return any(name.casefold() in own for name in names)


def _names(body: bytes) -> list[str]:
    try:
        named = msgspec.json.decode(body, type=_Named)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return []
    return [each for each in (named.table, named.event) if isinstance(each, str)]
