"""Which record is meant, by names and by ids; and by which names a record is found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from replicator.console.page_context import PageContext
from replicator.hub.statements import statements
from replicator.mapping.language import CommonEntity
from replicator.mapping.schema import EntitySet, column_name, label_field
from replicator.mapping.tables import common_column

_sql = statements(__name__, "record_page")
_NAMED_AT_MOST = 4


@dataclass(frozen=True)
class FoundRecord:
    """A common record with its counterparts; or a record of a system that is paired with none."""

    entity: str | None
    common_id: int | None
    mirrors: Sequence[tuple[EntitySet, int]]


def find(look: PageContext, kind: str, key: str) -> list[FoundRecord]:
    """The records that a kind (an entity, or system.EntitySet) and a key mean, common ones first."""
    found: dict[object, FoundRecord] = {}
    for row in look.rows(_sql["find"], kind=kind, key=key):
        if row["mirror_id"] is None:
            each = [of_common(look, row["entity"], row["common_id"])]
        else:
            each = of_mirror(look, look.compiled.schema.entity_sets[row["system"], row["entity_set"]], row["mirror_id"])
        for one in each:
            found.setdefault((one.entity, one.common_id or str(one.mirrors)), one)
    return sorted(found.values(), key=lambda one: one.common_id is None)


def at(look: PageContext, table: str, number: int) -> list[FoundRecord]:
    """The record of a table with this id."""
    schema, _, name = table.partition(".")
    if schema == "common" and name in look.compiled.schema.entities:
        return [of_common(look, name, number)]
    for entity_set in look.compiled.schema.entity_sets.values():
        if entity_set.system == schema and entity_set.table_name == name:
            return of_mirror(look, entity_set, number)
    return []


def of_common(look: PageContext, entity: str, number: int) -> FoundRecord:
    """A common record with its counterparts."""
    pairs = look.rows(_sql["pairs"], entity=entity, common_id=number)
    sets = look.compiled.schema.entity_sets
    return FoundRecord(
        entity, number, [(sets[pair["system"], pair["entity_set"]], pair["mirror_id"]) for pair in pairs]
    )


def of_mirror(look: PageContext, entity_set: EntitySet, number: int) -> list[FoundRecord]:
    """The common records that a record of a system is paired with, or itself alone."""
    values = {"system": entity_set.system, "entity_set": entity_set.name, "mirror_id": number}
    common = [of_common(look, row["entity"], row["common_id"]) for row in look.rows(_sql["common_of"], **values)]
    return common or [FoundRecord(None, None, [(entity_set, number)])]


def name_of(look: PageContext, found: FoundRecord) -> tuple[str, str] | None:
    """A kind and a key by which the record is found again; None where it is not there any more."""
    if found.entity is not None and found.common_id is not None:
        key = _common_key(look, look.compiled.schema.entities[found.entity], found.common_id)
        if key is not None:
            return found.entity, key
    for entity_set, number in found.mirrors:
        key = mirror_key(look, entity_set, number)
        if key is not None:
            return str(entity_set), key
    return None


def mirror_key(look: PageContext, entity_set: EntitySet, number: int) -> str | None:
    """The system's own key of a record."""
    table = look.compiled.tables.mirror(entity_set)
    columns = [table.c[column_name(name)] for name in entity_set.spec.key]
    row = look.connection.execute(sa.select(*columns).where(table.c.id == number)).first()
    return None if row is None else ",".join(str(value) for value in row)


def _common_key(look: PageContext, entity: CommonEntity, number: int, depth: int = 0) -> str | None:
    """The plain fields of the business key, those of the root before those of the part."""
    table = look.compiled.tables.common[entity.entity]
    columns = [table.c[common_column(entity, name)] for name in entity.key]
    row = look.connection.execute(sa.select(*columns).where(table.c.id == number)).first()
    if row is None or depth > _NAMED_AT_MOST:
        return None
    whole = look.compiled.schema.parent_field(entity)
    parts: list[str] = []
    for name, value in zip(entity.key, row, strict=True):
        reference = entity.fields[name].reference
        if reference is None:
            parts.append(str(value))
        elif whole is not None and name == whole[0]:
            parts.append(_common_key(look, look.compiled.schema.entities[reference], value, depth + 1) or "")
    return ",".join(parts)


def label_of(look: PageContext, entity: CommonEntity, number: int) -> str | None:
    """What people call a common record; where that is a path over references, its last field is not followed."""
    table = look.compiled.tables.common[entity.entity]
    column = table.c[common_column(entity, label_field(entity))]
    value = look.connection.execute(sa.select(column).where(table.c.id == number)).scalar_one_or_none()
    return None if value is None else str(value)
