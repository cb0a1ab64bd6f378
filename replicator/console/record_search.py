"""Which record is meant, by names and by ids; and by which names a record is found again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from replicator.console.page_context import PageContext, Row
from replicator.hub.statements import statements

_sql = statements(__name__, "record_page")
Mirrored = tuple[Row, int]
"""A row of ``sync.captured``, and an id in its table."""


@dataclass(frozen=True)
class FoundRecord:
    """A common record with its counterparts; or a record of a system that is paired with none."""

    entity: str | None
    common_id: int | None
    mirrors: Sequence[Mirrored]


def find(look: PageContext, kind: str, key: str) -> list[FoundRecord]:
    """The records that a kind (an entity, or system.EntitySet) and a key mean, common ones first."""
    found: dict[object, FoundRecord] = {}
    for row in look.rows(_sql["find"], kind=kind, key=key):
        if row["mirror_id"] is None:
            each = [of_common(look, row["entity"], row["common_id"])]
        else:
            each = of_mirror(look, look.captured[f"{row['system']}.{row['entity_set']}"], row["mirror_id"])
        for one in each:
            found.setdefault((one.entity, one.common_id or str(one.mirrors)), one)
    return sorted(found.values(), key=lambda one: one.common_id is None)


def at(look: PageContext, table: str, number: int) -> list[FoundRecord]:
    """The record of a table with this id."""
    place = next((each for each in look.captured.values() if each["relation"] == table), None)
    if place is None:
        return []
    return [of_common(look, place["entity"], number)] if place["entity"] else of_mirror(look, place, number)


def of_common(look: PageContext, entity: str, number: int) -> FoundRecord:
    """A common record with its counterparts."""
    pairs = look.rows(_sql["pairs"], entity=entity, common_id=number)
    return FoundRecord(entity, number, [(look.captured[pair["place"]], pair["mirror_id"]) for pair in pairs])


def of_mirror(look: PageContext, place: Row, number: int) -> list[FoundRecord]:
    """The common records that a record of a system is paired with, or itself alone."""
    values = {"system": place["system"], "entity_set": place["entity_set"], "mirror_id": number}
    common = [of_common(look, row["entity"], row["common_id"]) for row in look.rows(_sql["common_of"], **values)]
    return common or [FoundRecord(None, None, [(place, number)])]


def name_of(look: PageContext, found: FoundRecord) -> tuple[str, str] | None:
    """A kind and a key by which the record is found again; None where it is not there any more."""
    places = [(place["place"], place["relation"], number) for place, number in found.mirrors]
    if found.entity is not None and found.common_id is not None:
        places.insert(0, (found.entity, f"common.{found.entity}", found.common_id))
    named = ((kind, key_of(look, relation, number)) for kind, relation, number in places)
    return next(((kind, key) for kind, key in named if key is not None), None)


def key_of(look: PageContext, relation: str, number: int | None) -> str | None:
    """The key by which a record is found again; None where it is not there any more."""
    key: str | None = look.value(_sql["key_of"], relation=relation, number=number)
    return key


def label_of(look: PageContext, relation: str, number: int) -> str | None:
    """What people call a record; None where it is not there any more."""
    label: str | None = look.value(_sql["label_of"], relation=relation, number=number)
    return label
