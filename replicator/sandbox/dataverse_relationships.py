"""RelationshipDefinitions of the sales system, which follow from the lookups of its entity sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from replicator.sandbox.description import FieldSpec, SimulatedSet

Row = dict[str, Any]
KINDS: Mapping[str, str] = {
    "OneToManyRelationships": "OneToManyRelationship",
    "ManyToOneRelationships": "OneToManyRelationship",
    "ManyToManyRelationships": "ManyToManyRelationship",
}
"""What stands below a table's definition, and the type of what is listed there."""
_on_delete = {"cascade": "Cascade", "clear": "RemoveLink", "restrict": "Restrict"}


def relationships(sets: Mapping[str, SimulatedSet]) -> Iterator[Row]:
    """All of them; ``sets`` are the entity sets by their logical names. The sandbox has none of many to many."""
    logical = {entity_set.name: entity_set for entity_set in sets.values()}
    for entity_set in sets.values():
        for name, spec in entity_set.fields.items():
            for target, navigation in spec.to.items():
                yield _relationship(entity_set, name, spec, logical[target], navigation)


def relationships_of(sets: Mapping[str, SimulatedSet], entity_set: SimulatedSet, kind: str) -> Iterator[Row]:
    """Those of one table: where it is referred to, or where it refers to another."""
    end = {"OneToManyRelationships": "ReferencedEntity", "ManyToOneRelationships": "ReferencingEntity"}.get(kind)
    if end is not None:
        yield from (row for row in relationships(sets) if row[end] == entity_set.logical_name)


def _relationship(entity_set: SimulatedSet, name: str, spec: FieldSpec, target: SimulatedSet, navigation: str) -> Row:
    schema_name = f"{target.logical_name}_{entity_set.logical_name}_{name}"
    return {
        "@odata.type": "#Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata",
        "SchemaName": schema_name,
        "RelationshipType": "OneToManyRelationship",
        "ReferencedEntity": target.logical_name,
        "ReferencedAttribute": target.key[0],
        "ReferencingEntity": entity_set.logical_name,
        "ReferencingAttribute": name,
        "ReferencingEntityNavigationPropertyName": navigation,
        "ReferencedEntityNavigationPropertyName": schema_name,
        "CascadeConfiguration": {"Delete": _on_delete[spec.when_deleted(target.name)]},
        "IsCustomRelationship": False,
        "IsManaged": True,
        "MetadataId": str(uuid5(NAMESPACE_URL, f"Relationships/{schema_name}")),
    }
