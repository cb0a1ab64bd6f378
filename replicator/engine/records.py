"""Common records that the configuration itself masters, such as the list of legal entities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.engine.lease import leading
from replicator.engine.mirror import set_origin
from replicator.errors import ConfigurationError
from replicator.model.compiled import Compiled
from replicator.model.tables import common_key, key_expressions


def write_records(
    connection: sa.Connection, compiled: Compiled, records: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Insert or update these records by their business keys; unchanged ones are not written."""
    with leading(connection):
        set_origin(connection, "configuration")
        for name, rows in records.items():
            for row in rows:
                _write(connection, compiled, name, row)


def _write(connection: sa.Connection, compiled: Compiled, name: str, row: Mapping[str, Any]) -> None:
    entity = compiled.schema.entities.get(name)
    if entity is None:
        raise ConfigurationError(f"records: there is no entity '{name}'", hint="entities are files of schema/common")
    unknown = [field for field in row if field not in entity.fields or entity.fields[field].reference]
    missing = [field for field in entity.key if field not in row]
    if unknown or missing:
        raise ConfigurationError(
            f"records: {name} {'has no plain field' if unknown else 'needs the key field'} '{(unknown or missing)[0]}'"
        )
    table = compiled.tables.common[name]
    statement = insert(table).values(dict(row))
    others = {field: statement.excluded[field] for field in row if field not in entity.key}
    keys = key_expressions(table, common_key(entity))
    if not others:
        connection.execute(statement.on_conflict_do_nothing(index_elements=keys))
        return
    differs = sa.or_(*(table.c[field].is_distinct_from(value) for field, value in others.items()))
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others, where=differs))
