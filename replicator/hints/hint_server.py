"""Serves the receiver of hints beside the daemon, and brings to the hub what it hears."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

from replicator.config import HintsSettings, split_address
from replicator.hints.hints_to_hub import HintsToHub, to_hub
from replicator.hints.receiver import LARGEST, Receiver
from replicator.mapping.schema import Schema
from replicator.watcher import Watcher
from replicator.web_server import ServerCertificate, WebServer


@contextmanager
def hearing(engine: sa.Engine, schema: Schema, settings: HintsSettings, watcher: Watcher) -> Iterator[WebServer]:
    """The receiver at its address; raises ConfigurationError where it may not be served."""
    settings.check()
    brought = HintsToHub(to_hub(engine), watcher)
    receiver = Receiver({name: schema.sets_of(name) for name in schema.systems}, settings, brought.add)
    host, port = split_address(settings.listen)
    certificate = None
    if settings.certificate is not None and settings.certificate_key is not None:
        certificate = ServerCertificate(settings.certificate, settings.certificate_key)
    thread = threading.Thread(target=brought.run, name="hints to the hub", daemon=True)
    with WebServer(receiver, "hints", host, port, largest=LARGEST, certificate=certificate) as server:
        thread.start()
        structlog.get_logger("replicator").info("hints", url=server.url)
        try:
            yield server
        finally:
            brought.close()
            thread.join(timeout=10)
