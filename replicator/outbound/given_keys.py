"""Keys that a target gave of its own accord: what belongs to such a record repeats the key that it has there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from replicator.connectors.protocol import Write
from replicator.core.desired_row import DesiredRow
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.key_comparison import comparable

GivenKey: TypeAlias = Mapping[str, tuple[object, object]]
"""By field of a key: the value that was to be stored, and the one that the target holds instead."""


def given_key(flow: CompiledMap, root: DesiredRow) -> GivenKey:
    """What the target made of the key of a root; nothing where it is as it should be."""
    if root.target_id is None or root.action in ("recreate", "rekey"):
        return {}
    columns = [column for column in flow.view.columns if column.is_key]
    both = {column.field: (root.wanted[column.name], root.held[column.name]) for column in columns}
    return {name: two for name, two in both.items() if comparable(two[:1]) != comparable(two[1:])}


def under_root(write: Write, given: GivenKey) -> Write:
    """The create of a part, with the key of its root as the target holds it."""

    def as_held(name: str, value: object) -> object:
        wanted, held = given.get(name, (None, None))
        return held if wanted is not None and value == wanted else value

    if not given:
        return write
    key = tuple(as_held(name, value) for name, value in write.named_key.items())
    return replace(write, key=key, values={name: as_held(name, value) for name, value in write.values.items()})
