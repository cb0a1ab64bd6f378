"""Roots wait while their parts are yet to be read: what was seen of a root alone is not sent without its parts."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.hub.statements import statements
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.schema import PartSet

_sql = statements(__name__)


def parts_to_be_read(connection: sa.Connection, compiled: Compiled, flow: CompiledMap) -> bool:
    """Whether roots of a map were read later than their parts, or one of the two is being loaded at this moment.

    If not, it stays so until this transaction ends: what is decided in it has seen the parts of every root it sees.
    """
    return any(part_to_be_read(connection, part) for part in compiled.schema.parts_of(flow.mapping.entity))


def part_to_be_read(connection: sa.Connection, part: PartSet) -> bool:
    """The same of one entity set of parts and that of its roots."""
    values = {"system": part.whole.system, "root": part.whole.name, "part": part.entity_set.name}
    read = connection.execute(_sql["read"], values).one().root_read
    return bool(read) and not connection.execute(_sql["hold_still"], values).one().in_order
