"""What the steps of a cycle need from outside, so that tests can own it."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import sqlalchemy as sa

from replicator.config import Configuration
from replicator.connectors.protocol import Connector
from replicator.core.desired_row import DesiredRow
from replicator.core.system_usage import PauseOf, pause_of
from replicator.hub.changefeed import OpenWindow, open_window
from replicator.hub.lease import Lease
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.outbound.decide import Delivery
from replicator.watcher import Watcher


@dataclass(frozen=True)
class World:
    """The configuration, what it names opened, and clock, randomness and transport as the caller wants them."""

    configuration: Configuration
    compiled: Compiled
    engine: sa.Engine
    connectors: Mapping[str, Connector]
    workers: Executor
    watcher: Watcher = field(default_factory=Watcher)
    random: random.Random = field(default_factory=random.SystemRandom)
    clock: Callable[[], float] = time.monotonic
    """Seconds, for how long something takes."""
    stopping: Callable[[], bool] = lambda: False
    wait: Callable[[float], bool] = lambda seconds: False
    """Lets so many seconds pass until something may be tried again; False: nobody waits for it."""
    revive: Callable[[], None] = lambda: None
    """Starts the hub's server again, where it is one of ours and down."""
    lease: Lease | None = None
    """Checked in every transaction and before each request; without one nobody else may work on the hub."""
    made_from: str | None = None
    """What the hub is made from that everything here was checked with; a lead is taken on that hub only."""
    window: OpenWindow = open_window
    """How the log is read; a plan also reads what it did itself."""
    pause_of: PauseOf = pause_of
    """Whether a system is in a pause that it asked for; a plan says what comes after it."""
    admit: Callable[[Sequence[Delivery]], list[Delivery]] = list
    """Which deliveries may be sent; the others stay pending."""
    known_key: Callable[[CompiledMap, DesiredRow], uuid.UUID | None] = lambda flow, row: None
    """The key that was planned for a record that is to be created."""

    def new_key(self, flow: CompiledMap, row: DesiredRow) -> uuid.UUID:
        """The key of a record that is to be created: the one that was planned, or a fresh one."""
        return self.known_key(flow, row) or uuid.UUID(int=self.random.getrandbits(128), version=4)

    def pause(self, attempts: int) -> float:
        """Seconds before the next try: doubling, capped, with jitter so that many do not come at once."""
        settings = self.configuration.daemon
        longest: float = min(settings.retry_max_seconds, settings.retry_seconds * 2 ** min(attempts, 20))
        return longest * (0.5 + self.random.random() / 2)
