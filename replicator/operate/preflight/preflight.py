"""One preflight: the hub, each system, and the data at hand; what fails stops nothing else."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping

import httpx2

from replicator.config import Budget, Configuration
from replicator.configuration_check import check_systems
from replicator.connectors import connect
from replicator.hub.connection import DAEMON
from replicator.mapping.compiled import Compiled
from replicator.operate.preflight import data_check, hints_check, hub_check, organization_check, system_check
from replicator.operate.preflight.findings import Report
from replicator.solution.migrate import MigrationTarget
from replicator.startup import hub_of

_WIDE = 0.99


def check(
    configuration: Configuration,
    looking: Callable[[str], None],
    clock: Callable[[], datetime.datetime],
    transports: Mapping[str, httpx2.BaseTransport] | None = None,
) -> Report:
    """Look at everything; ``looking`` hears what is looked at next. Nothing is written anywhere."""
    notes = Report()
    with notes.looking("hub"), hub_of(configuration, role=DAEMON, wanted="running") as target:
        looking("hub")
        usable = hub_check.check(target, notes, clock)
        with notes.looking("configuration"):
            check_systems(configuration, target.compiled)
        registered = _systems(configuration, target.compiled, notes, looking, transports or {})
        if usable:
            _data(configuration, target, notes, looking)
            _hints(registered, target, notes)
        else:
            notes.leave_open("data", "whether the records fit the maps: that takes a hub that fits")
        _budgets(configuration, target.compiled, notes)
    return notes


def _systems(
    configuration: Configuration, compiled: Compiled, notes: Report, looking: Callable[[str], None],
    transports: Mapping[str, httpx2.BaseTransport],
) -> dict[str, datetime.datetime]:  # fmt: skip
    """Look at each system; since when those are registered to that give hints."""
    registered: dict[str, datetime.datetime] = {}
    for name, settings in configuration.systems.items():
        if name in compiled.schema.systems:
            looking(name)
            connector = connect(name, settings, transport=transports.get(name))
            try:
                system_check.check(compiled, connector, configuration.daemon.poll_seconds, notes)
                if all(note.where != name for note in notes.errors):  # it answers
                    organization_check.check(configuration, compiled, connector, notes)
                    if configuration.hints is not None:
                        sets = compiled.schema.sets_of(name)
                        since = hints_check.check(configuration.hints, sets, connector, notes)
                        registered |= {} if since is None else {name: since}
            finally:
                connector.close()
    return registered


def _data(configuration: Configuration, target: MigrationTarget, notes: Report, looking: Callable[[str], None]) -> None:
    looking("data")
    with notes.looking("data"), target.engine.connect() as connection:
        data_check.check(connection, target.compiled, configuration, notes)


def _hints(registered: Mapping[str, datetime.datetime], target: MigrationTarget, notes: Report) -> None:
    for name, since in registered.items():
        with notes.looking(name), target.engine.connect() as connection:
            hints_check.check_alive(connection, name, since, notes)


def _budgets(configuration: Configuration, compiled: Compiled, notes: Report) -> None:
    for entity_set in compiled.schema.entity_sets.values():
        budget = configuration.delete_budget(entity_set.system, entity_set.name)
        if budget.share > _WIDE and budget.count > Budget().count:
            words = f"{budget.count} deletes a day go ahead unasked, were they all records it has"
            notes.found(entity_set, words, "give it a smaller 'share' in delete_budgets")
    usual = configuration.deletes
    notes.tell("budgets", f"deletes a day unasked: {usual.count}, and {usual.share:.0%} of an entity set")
    first = configuration.first_updates
    notes.tell("budgets", f"updates of a first delivery: {first.count}, and {first.share:.0%} of an entity set")
