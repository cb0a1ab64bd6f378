"""Puts the pieces together: from a configuration to a World, with every error before any work."""

from __future__ import annotations

import os
import platform
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError

from replicator.config import Configuration
from replicator.connectors import connect
from replicator.core.configured_records import records_problems
from replicator.core.flows import check_flows
from replicator.cycle import Watcher, World
from replicator.errors import ConfigurationError, LeaseLost, Terminal
from replicator.hub.connection import DAEMON
from replicator.hub.lease import Lease, acquire, holder
from replicator.hub.made_from import made_from
from replicator.hub.server import open_engine
from replicator.hub.session import WORK, Sessions
from replicator.mapping.compiled import Compiled, compile_folder
from replicator.mapping.yaml_source import Location
from replicator.solution.hub_fits import check_hub
from replicator.solution.migrate import MigrationTarget


@contextmanager
def engine_of(
    configuration: Configuration, *, role: str | None = None, sessions: Sessions = WORK
) -> Iterator[sa.Engine]:
    """An engine for the hub of a configuration, whose sessions take on this role."""
    engine = open_engine(configuration.hub.url, configuration.hub.folder, role=role, sessions=sessions)
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def hub_of(
    configuration: Configuration, *, role: str | None = None, sessions: Sessions = WORK
) -> Iterator[MigrationTarget]:
    """The hub of a configuration, opened in this role and not yet checked."""
    compiled = compile_folder(configuration.schema_folder)
    with engine_of(configuration, role=role, sessions=sessions) as engine:
        yield MigrationTarget(engine, compiled, configuration.solution)


def schema_of(folder: Path, engine: sa.Engine) -> Compiled | Terminal:
    """What ``schema/`` at this place says, where the hub was made from it; else what keeps it from being known."""
    try:
        compiled = compile_folder(folder)
        check_hub(MigrationTarget(engine, compiled, folder.parent))
    except Terminal as problem:
        return problem
    return compiled


@contextmanager
def open_world(
    configuration: Configuration,
    watcher: Watcher,
    transports: Mapping[str, httpx2.BaseTransport] | None = None,
) -> Iterator[World]:
    """Everything that the replicator needs to work; raises when the hub or the configuration does not fit."""
    with hub_of(configuration, role=DAEMON) as hub:
        with hub.engine.connect() as connection:
            known = made_from(connection)  # first: a migration between the two is noticed
        check_hub(hub)
        check_systems(configuration, hub.compiled)
        check_names_and_records(configuration, hub.compiled)
        check_flows(hub.compiled, configuration.flows)
        connectors = {
            name: connect(name, settings, transport=(transports or {}).get(name))
            for name, settings in configuration.systems.items()
        }
        parallel = sum(settings.parallel_requests for settings in configuration.systems.values())
        workers = ThreadPoolExecutor(max(1, parallel), thread_name_prefix="request")
        try:
            yield World(configuration, hub.compiled, hub.engine, connectors, workers, watcher, made_from=known)
        finally:
            workers.shutdown(wait=False, cancel_futures=True)
            for connector in connectors.values():
                connector.close()


@dataclass(frozen=True)
class Lead:
    """The lead that a command holds, and whether another replicator has taken it over."""

    lease: Lease
    lost: threading.Event = field(default_factory=threading.Event)

    def wait(self, seconds: float) -> bool:
        """Let the time pass, as long as the lead is held; whether it still is."""
        return not self.lost.wait(seconds)


@contextmanager
def leading(connection: sa.Connection, configuration: Configuration, known: str | None = None) -> Iterator[Lead]:
    """Hold the lead while a command works; a daemon that leads has to be stopped first.

    ``known``: what the hub was made from when the command began.
    """
    lease = acquire(connection, this_process(), configuration.daemon.lease_seconds, known)
    if lease is None:
        raise LeaseLost(f"somebody else works on this hub: {holder(connection)}", hint="stop it, or let it do the work")
    lead, renewing = Lead(lease), threading.Event()

    def renew() -> None:
        while not renewing.wait(lease.seconds / 3) and not lead.lost.is_set():
            # While the hub is down nothing can be written, so it is only tried.
            with suppress(DBAPIError), connection.engine.connect() as own:
                if not lease.renew(own):
                    lead.lost.set()

    thread = threading.Thread(target=renew, name="lease", daemon=True)
    thread.start()
    try:
        yield lead
        if lead.lost.is_set():
            with connection.begin():
                lease.check(connection)
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
        told = [configuration.problem(message, at).message for at, message in problems]
        raise ConfigurationError("\n".join(told), hint="correct the configuration; docs/configuration.md says how")


def check_systems(configuration: Configuration, compiled: Compiled) -> None:
    """Every system of the schema has to be configured, and no other."""
    missing = set(compiled.schema.systems) - set(configuration.systems)
    unknown = set(configuration.systems) - set(compiled.schema.systems)
    if missing or unknown:
        name = sorted(missing or unknown)[0]
        what = "is not configured" if missing else "is configured, but schema/ has no folder of that name"
        raise ConfigurationError(f"the system '{name}' {what}", hint="see 'systems:' in the configuration")
