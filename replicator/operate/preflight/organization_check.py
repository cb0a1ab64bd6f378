"""The organizations that the configuration names, against those that a system has."""

from __future__ import annotations

from collections.abc import Iterator

from replicator.config import Configuration
from replicator.connectors.protocol import Connector
from replicator.mapping.compiled import Compiled
from replicator.mapping.schema import Map
from replicator.operate.preflight.findings import Report


def check(configuration: Configuration, compiled: Compiled, connector: Connector, notes: Report) -> None:
    """Look whether each organization for which maps write records of this system is there."""
    with notes.looking(connector.name):
        known = connector.organizations()
        if known is None:
            return
        for field, value, entity in dict.fromkeys(_named(configuration, compiled, connector.name)):
            if value.lower() not in known:
                what = (
                    f"it has no {field} '{value}', which records: {entity} names; there are {', '.join(sorted(known))}"
                )
                notes.found(connector.name, what, f"see 'records: {entity}:' in the configuration")


def _named(configuration: Configuration, compiled: Compiled, system: str) -> Iterator[tuple[str, str, str]]:
    """Field, value and entity of the parts of keys that are taken from records of the configuration."""
    for mapping in compiled.schema.maps:
        if mapping.system != system or mapping.direction != "out":
            continue
        for field in mapping.entity_set.spec.key:
            spec = mapping.spec.fields.get(field)
            if spec is None or not isinstance(spec.copy_, str):
                continue
            entity, source = _end(compiled, mapping, spec.copy_)
            values = (record.get(source) for record in configuration.records.get(entity, ()))
            yield from ((field, str(value), entity) for value in values if value is not None)


def _end(compiled: Compiled, mapping: Map, path: str) -> tuple[str, str]:
    """The entity and the field at which a path over references ends."""
    *steps, field = path.split(".")
    entity = mapping.entity
    for step in steps:
        entity = compiled.schema.entities[entity.fields[step].reference or ""]
    return entity.entity, field
