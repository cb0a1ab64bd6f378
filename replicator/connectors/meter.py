"""What is asked of a system, counted for whoever asks: requests, and bytes as they came over the wire."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Meter:
    """Counts of what was asked on one thread while it was open."""

    requests: int = 0
    received: int = 0
    """Bytes, compressed where they came so."""


_open: ContextVar[Meter | None] = ContextVar("open meter", default=None)


@contextmanager
def metered() -> Iterator[Meter]:
    """Count what this thread asks of systems until it is closed."""
    meter = Meter()
    before = _open.set(meter)
    try:
        yield meter
    finally:
        _open.reset(before)


def count(*, requests: int = 0, received: int = 0) -> None:
    """Add to what is counted, if anybody counts. Connectors call it."""
    if (meter := _open.get()) is not None:
        meter.requests += requests
        meter.received += received
