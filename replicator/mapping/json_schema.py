"""JSON Schemas of the files of ``schema/``, so that editors complete and check them while one types."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from replicator.mapping.language import CommonEntity, EntitySetSpec, ValueMapSpec


def json_schemas() -> dict[str, Any]:
    """By kind of file: common entities, entity sets and value maps."""
    kinds: dict[str, type[BaseModel]] = {"common": CommonEntity, "entity_set": EntitySetSpec, "value_map": ValueMapSpec}
    return {name: kind.model_json_schema() for name, kind in kinds.items()}
