"""Which entity sets are to be read now: each as often as its file says, sooner where it is hinted or waited for."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.hub.lease import leading
from replicator.hub.statements import statements
from replicator.mapping.schema import EntitySet, Schema

_sql = statements(__name__)


def due(connection: sa.Connection, schema: Schema, system: str) -> set[str]:
    """The entity sets of a system (``system.EntitySet``) that a poll reads.

    The parts of what is read are read with it, for no root is sent before its parts were read.
    """
    sets = schema.sets_of(system)
    paced = [each for each in sets if each.spec.every]
    if not paced:
        return {str(each) for each in sets}
    values = {
        "system": system,
        "names": [each.name for each in paced],
        "seconds": [each.spec.every_seconds for each in paced],
        "quiet": [each.spec.quiet_seconds for each in paced],
    }
    with leading(connection):
        resting = set(connection.execute(_sql["resting"], values).scalars())
    return {str(each) for each in _with_parts(schema, [each for each in sets if each.name not in resting])}


def hinted_sets(connection: sa.Connection, schema: Schema, system: str) -> set[str]:
    """The entity sets in which, as the system said, something changed since they were read; with their parts."""
    with leading(connection):
        names = set(connection.execute(_sql["hinted"], {"system": system}).scalars())
    return {str(each) for each in _with_parts(schema, [each for each in schema.sets_of(system) if each.name in names])}


def _with_parts(schema: Schema, sets: list[EntitySet]) -> list[EntitySet]:
    roots = {str(each) for each in sets}
    return [*sets, *(part.entity_set for part in schema.part_sets if str(part.whole) in roots)]
