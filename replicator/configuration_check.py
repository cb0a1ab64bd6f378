"""What the configuration names has to be there: systems, flows, entity sets, records of its own."""

from __future__ import annotations

from replicator.config import Configuration
from replicator.core.configured_records import records_problems
from replicator.core.flows import check_flows
from replicator.errors import ConfigurationError
from replicator.mapping.compiled import Compiled
from replicator.mapping.yaml_source import Location


def check_configuration(configuration: Configuration, compiled: Compiled) -> None:
    """Raise ConfigurationError for what does not fit ``schema/``."""
    check_systems(configuration, compiled)
    check_names_and_records(configuration, compiled)
    check_flows(compiled, configuration.flows)


def check_names_and_records(configuration: Configuration, compiled: Compiled) -> None:
    """What the configuration says of entities and entity sets has to fit those of the schema; every problem at once."""
    known = {str(entity_set) for entity_set in compiled.schema.entity_sets.values()}
    problems: list[tuple[Location, str]] = [
        (("delete_budgets", name), "there is no such entity set; they are called system.EntitySet")
        for name in configuration.delete_budgets
        if name not in known
    ]
    problems += records_problems(compiled, configuration.records)
    if problems:
        messages = [configuration.problem(message, at).message for at, message in problems]
        raise ConfigurationError("\n".join(messages), hint="correct the configuration; docs/configuration.md says how")


def check_systems(configuration: Configuration, compiled: Compiled) -> None:
    """Every system of the schema has to be configured, and no other."""
    missing = set(compiled.schema.systems) - set(configuration.systems)
    unknown = set(configuration.systems) - set(compiled.schema.systems)
    if missing or unknown:
        name = sorted(missing or unknown)[0]
        what = "is not configured" if missing else "is configured, but schema/ has no folder of that name"
        raise ConfigurationError(f"the system '{name}' {what}", hint="see 'systems:' in the configuration")
