"""Puts the pieces together: from a configuration to a World, with every error before any work."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx2
import sqlalchemy as sa
import structlog

from replicator.config import Configuration
from replicator.cycle import Watcher, World
from replicator.engine.lease import Lease, acquire, holder
from replicator.engine.maps import check_flows
from replicator.errors import ConfigurationError, LeaseLost
from replicator.hub.open import open_hub
from replicator.model.compiled import Compiled, compile_folder
from replicator.objects.migrate import MigrationTarget, check_hub
from replicator.systems import connect


@contextmanager
def hub_of(configuration: Configuration) -> Iterator[MigrationTarget]:
    """The hub of a configuration, opened and not yet checked."""
    compiled = compile_folder(configuration.schema_folder)
    engine = open_hub(configuration.hub.url, configuration.hub.folder)
    try:
        yield MigrationTarget(engine, compiled, configuration.schema_folder)
    finally:
        engine.dispose()


@contextmanager
def world_of(
    configuration: Configuration,
    watcher: Watcher,
    transports: Mapping[str, httpx2.BaseTransport] | None = None,
) -> Iterator[World]:
    """Everything that the replicator needs to work; raises when the hub or the configuration does not fit."""
    with hub_of(configuration) as hub:
        check_hub(hub)
        check_systems(configuration, hub.compiled)
        check_flows(hub.compiled, configuration.flows)
        connectors = {
            name: connect(name, settings, transport=(transports or {}).get(name))
            for name, settings in configuration.systems.items()
        }
        parallel = sum(settings.parallel_requests for settings in configuration.systems.values())
        workers = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="request")
        try:
            yield World(configuration, hub.compiled, hub.engine, connectors, workers, watcher)
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
            for connector in connectors.values():
                connector.close()


@contextmanager
def leading(connection: sa.Connection, configuration: Configuration) -> Iterator[Lease]:
    """Hold the lead while a command works; a daemon that leads has to be stopped first."""
    lease = acquire(connection, this_process(), configuration.daemon.lease_seconds)
    if lease is None:
        raise LeaseLost(
            f"another replicator works on this hub: {holder(connection)}", hint="stop it, or let it do the work"
        )
    renewing = threading.Event()

    def renew() -> None:
        while not renewing.wait(lease.seconds / 3):
            with connection.engine.connect() as own:
                lease.renew(own)

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        renewing.set()
        thread.join()
        lease.release(connection)


def log_as_json() -> None:
    """Write the log as JSON lines on standard error."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def this_process() -> str:
    """Who this is, for people: host and process."""
    return f"{platform.node()}:{os.getpid()}"


def check_systems(configuration: Configuration, compiled: Compiled) -> None:
    """Every system of the schema has to be configured, and no other."""
    missing = set(compiled.schema.systems) - set(configuration.systems)
    unknown = set(configuration.systems) - set(compiled.schema.systems)
    if missing or unknown:
        name = sorted(missing or unknown)[0]
        what = "is not configured" if missing else "is configured, but schema/ has no folder of that name"
        raise ConfigurationError(f"the system '{name}' {what}", hint="see 'systems:' in the configuration")
