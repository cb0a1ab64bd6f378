"""Puts the pieces together: from a configuration to a World, with every error before any work."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import httpx2
import sqlalchemy as sa

from replicator.config import Configuration
from replicator.configuration_check import check_configuration
from replicator.connectors import connect
from replicator.hub.connection import DAEMON
from replicator.hub.embedded_hub import Wanted, url_of
from replicator.hub.made_from import made_from
from replicator.hub.server import open_engine
from replicator.hub.session import WORK, Sessions
from replicator.mapping.compiled import compile_folder
from replicator.solution.hub_fits import check_hub
from replicator.solution.migrate import MigrationTarget
from replicator.watcher import Watcher
from replicator.world import World

_BETWEEN_LOOKS_FOR_GARBAGE = (20_000, 20, 50)
"""As ``gc.set_threshold`` has it. What was compiled stays as long as the process, and few objects go in rings: to look
through all of them for every few hundred rows took a fifth of the processor time of a delivery."""


@contextmanager
def engine_of(
    configuration: Configuration, *, role: str | None = None, sessions: Sessions = WORK, wanted: Wanted = "started"
) -> Iterator[sa.Engine]:
    """An engine for the hub of a configuration, whose sessions take on this role."""
    hub = configuration.hub
    engine = open_engine(hub.url, hub.folder, role=role, sessions=sessions, wanted=wanted)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def hub_of(
    configuration: Configuration, *, role: str | None = None, wanted: Wanted = "made"
) -> Iterator[MigrationTarget]:
    """The hub of a configuration, opened in this role and not yet checked."""
    compiled = compile_folder(configuration.schema_folder)
    with engine_of(configuration, role=role, wanted=wanted) as engine:
        yield MigrationTarget(engine, compiled, configuration.solution)


@contextmanager
def open_world(
    configuration: Configuration,
    watcher: Watcher,
    transports: Mapping[str, httpx2.BaseTransport] | None = None,
) -> Iterator[World]:
    """Everything that the replicator needs to work; raises when the hub or the configuration does not fit."""
    look_for_garbage_seldom()
    with hub_of(configuration, role=DAEMON, wanted="started") as hub:
        with hub.engine.connect() as connection:
            known = made_from(connection)  # first: a migration between the two is noticed
        check_hub(hub)
        check_configuration(configuration, hub.compiled)
        connectors = {
            name: connect(name, settings, transport=(transports or {}).get(name))
            for name, settings in configuration.systems.items()
        }
        parallel = sum(settings.parallel_requests for settings in configuration.systems.values())
        workers = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="request")
        try:
            world = World(configuration, hub.compiled, hub.engine, connectors, workers, watcher, made_from=known)
            yield replace(world, revive=partial(_revive, configuration))
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
            for connector in connectors.values():
                connector.close()


def look_for_garbage_seldom() -> None:
    """From now on, in this process."""
    gc.set_threshold(*_BETWEEN_LOOKS_FOR_GARBAGE)


def _revive(configuration: Configuration) -> None:
    """Start the embedded server, if it was stopped or died. A server of one's own is its owner's business."""
    if not configuration.hub.url:
        url_of(configuration.hub.folder, "started")
