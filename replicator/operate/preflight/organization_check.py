"""The organizations that the configuration names, against those that a system has."""

from __future__ import annotations

from collections.abc import Iterator

from replicator.config import Configuration
from replicator.connectors.protocol import Connector, Organizations
from replicator.mapping.compiled import Compiled
from replicator.mapping.schema import Map
from replicator.operate.preflight.findings import Report


def check(configuration: Configuration, compiled: Compiled, connector: Connector, notes: Report) -> None:
    """Look whether each organization that maps to this system write, or read, is there."""
    with notes.looking(connector.name):
        known = connector.organizations()
        if known is None:
            return
        for value, where in dict.fromkeys(_named(configuration, compiled, connector.name, known)):
            if str(value).lower() not in known.names:
                what = (
                    f"it has no {known.field} '{value}', which {where} names; it has {', '.join(sorted(known.names))}"
                )
                notes.found(connector.name, what, f"see '{where}' in the configuration")


def _named(
    configuration: Configuration, compiled: Compiled, system: str, known: Organizations
) -> Iterator[tuple[object, str]]:
    """The values that the maps will write into the organization's field, and where each is configured."""
    for mapping in compiled.schema.maps:
        if mapping.system != system or mapping.direction != "out":
            continue
        spec = mapping.spec.fields.get(known.field)
        if spec is None:
            continue
        if spec.constant is not None:
            yield spec.constant, mapping.name
        elif isinstance(spec.copy_, str):
            entity, field = _end(compiled, mapping, spec.copy_)
            for record in configuration.records.get(entity, ()):
                if record.get(field) is not None:
                    yield record[field], f"records: {entity}"


def _end(compiled: Compiled, mapping: Map, path: str) -> tuple[str, str]:
    """The entity and the field at which a path over references ends."""
    *steps, field = path.split(".")
    entity = mapping.entity
    for step in steps:
        entity = compiled.schema.entities[entity.fields[step].reference or ""]
    return entity.entity, field
