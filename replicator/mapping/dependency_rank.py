"""In which order entities go: parents before children, by what each requires."""

from __future__ import annotations

import graphlib

from replicator.errors import ReplicatorError
from replicator.mapping.schema import Schema


def parents_of_entities(schema: Schema) -> dict[str, frozenset[str]]:
    """For each entity those that it requires, and all that these require; raises SchemaError when they form a ring."""
    required = {name: _required_by(schema, name) for name in schema.entities}
    try:
        order = list(graphlib.TopologicalSorter(required).static_order())
    except graphlib.CycleError as cycle:
        raise _ring(schema, list(reversed(cycle.args[1])), required) from None
    parents: dict[str, frozenset[str]] = {}
    for name in order:
        parents[name] = frozenset(required[name]).union(*(parents[other] for other in required[name]))
    return parents


def _ring(schema: Schema, ring: list[str], required: dict[str, dict[str, str]]) -> ReplicatorError:
    """The error about a ring, at the first of its references."""
    first, second, *_ = ring
    words = f"required references form a ring: {' > '.join(ring)}; make one of them 'need: later'"
    return schema.documents[f"common.{first}"].problem(words, ("fields", required[first][second]))


def rank_entities(parents: dict[str, frozenset[str]]) -> dict[str, int]:
    """The dependency rank of each entity: one more than the highest of those it requires."""
    ranks: dict[str, int] = {}
    for name in sorted(parents, key=lambda name: len(parents[name])):  # fewer parents than any that requires it
        ranks[name] = 1 + max((ranks[other] for other in parents[name]), default=-1)
    return ranks


def _required_by(schema: Schema, entity: str) -> dict[str, str]:
    """The other entities that an entity requires, and the field by which it points at each."""
    fields = schema.entities[entity].fields
    later = {
        name
        for mapping in schema.maps
        if mapping.entity.entity == entity and mapping.direction == "in"
        for name, spec in mapping.spec.fields.items()
        if spec.need == "later"
    }
    pointing = {name: field.reference for name, field in fields.items() if name not in later}
    return {other: name for name, other in pointing.items() if other and other != entity}
