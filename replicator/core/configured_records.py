"""Common records that the configuration itself masters, such as the list of legal entities."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.core.mirror import set_origin
from replicator.hub.lease import leading
from replicator.mapping.compiled import Compiled
from replicator.mapping.key_comparison import key_expressions
from replicator.mapping.language import CommonEntity
from replicator.mapping.literals import misfit, types
from replicator.mapping.tables import common_key
from replicator.mapping.yaml_source import Location


def write_records(
    connection: sa.Connection, compiled: Compiled, records: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Insert or update these records, which fit, by their business keys; unchanged ones are not written."""
    with leading(connection):
        set_origin(connection, "configuration")
        for name, rows in records.items():
            for row in rows:
                _write(connection, compiled, name, row)


def _write(connection: sa.Connection, compiled: Compiled, name: str, row: Mapping[str, Any]) -> None:
    entity, table = compiled.schema.entities[name], compiled.tables.common[name]
    statement = insert(table).values(dict(row))
    others = {field: statement.excluded[field] for field in row if field not in entity.key}
    keys = key_expressions(table, common_key(entity))
    if not others:
        connection.execute(statement.on_conflict_do_nothing(index_elements=keys))
        return
    differs = sa.or_(*(table.c[field].is_distinct_from(value) for field, value in others.items()))
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others, where=differs))


def records_problems(
    compiled: Compiled, records: Mapping[str, Sequence[Mapping[str, Any]]]
) -> Iterator[tuple[Location, str]]:
    """What does not fit the common model, and where it stands in the configuration. No value is repeated."""
    for name, rows in records.items():
        entity = compiled.schema.entities.get(name)
        if entity is None:
            yield ("records", name), f"there is no entity '{name}'; entities are files of schema/common"
            continue
        seen: set[tuple[str, ...]] = set()
        for index, row in enumerate(rows):
            at = ("records", name, index)
            yield from ((at, words) for words in _missing(entity, row))
            for field, value in row.items():
                words = _misfit(entity, field, value)
                if words:
                    yield (*at, field), words
            key = tuple(str(row.get(field)).strip().lower() for field in entity.key)
            if key in seen:
                yield at, f"another {name} has the same {', '.join(entity.key)}"
            seen.add(key)


def _missing(entity: CommonEntity, row: Mapping[str, Any]) -> Iterator[str]:
    for name, field in entity.fields.items():
        if name not in row and (name in entity.key or (field.required and field.default is None)):
            hint = ", a reference, which records cannot hold" if field.reference else ""
            yield f"{entity.entity} needs '{name}'{hint}"


def _misfit(entity: CommonEntity, name: str, value: object) -> str | None:
    field = entity.fields.get(name)
    if field is None or field.reference:
        plain = ", ".join(each for each, spec in entity.fields.items() if not spec.reference)
        return f"{entity.entity} has no plain field '{name}' (it has {plain})"
    if isinstance(value, str) and field.required and not value.strip():
        return "required, and empty"
    return misfit(value, name, field, types[field.type])
