"""Serves the console: by itself, or beside the daemon."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
import structlog

from replicator.config import ConsoleSettings, split_address
from replicator.console.app import Console
from replicator.web_server import WebServer


@contextmanager
def serving(engine: sa.Engine, settings: ConsoleSettings) -> Iterator[str]:
    """The console at its address, which is given; raises ConfigurationError where it may not be served."""
    console = Console(engine, settings)
    host, port = split_address(settings.listen)
    with WebServer(console, "console", host, port) as server:
        url = server.url.replace(host, f"[{host}]") if ":" in host else server.url
        structlog.get_logger("replicator").info("console", url=url)
        yield url
