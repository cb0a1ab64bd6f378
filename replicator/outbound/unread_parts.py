"""Roots wait while their parts are yet to be read: what was seen of a root alone is not sent without its parts."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.hub.statements import statements
from replicator.mapping.compiled import Compiled, CompiledMap

_sql = statements(__name__)


def parts_to_be_read(connection: sa.Connection, compiled: Compiled, flow: CompiledMap) -> bool:
    """Whether roots of a map were read later than their parts, or one of the two is being loaded at this moment.

    If not, it stays so until this transaction ends: what is decided in it has seen the parts of every root it sees.
    """
    for part in compiled.schema.parts_of(flow.mapping.entity):
        values = {"system": part.whole.system, "root": part.whole.name, "part": part.entity_set.name}
        state = connection.execute(_sql["read"], values).one()
        if state.root_read and not connection.execute(_sql["hold_still"], values).one().in_order:
            return True
    return False
