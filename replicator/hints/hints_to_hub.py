"""Brings hints to the hub: many of them in one statement, a few times a second at most."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from replicator.hub.database_errors import hub_trouble
from replicator.watcher import Watcher

EVERY_SECONDS = 0.2
AGAIN_SECONDS = 1.0
"""After a failure. What came meanwhile waits: it is a set of names, and grows no larger than the schema."""
Bring = Callable[[Mapping[str, Collection[str]]], None]
"""Gets the entity sets by system."""


class HintsToHub:
    """Collects hints, and brings them in a thread of its own until closed.

    ``pause`` lets so many seconds pass, and says whether to stop; by default it ends when closed.
    """

    def __init__(self, bring: Bring, watcher: Watcher, pause: Callable[[float], bool] | None = None) -> None:
        self._bring, self._watcher = bring, watcher
        self._stopped, self._there, self._lock = threading.Event(), threading.Event(), threading.Lock()
        self._pause = pause or self._stopped.wait
        self._waiting: dict[str, set[str]] = {}
        self._failures = 0

    def add(self, system: str, entity_sets: Collection[str]) -> None:
        """Something changed in these sets of a system."""
        if entity_sets:
            with self._lock:
                self._waiting.setdefault(system, set()).update(entity_sets)
            self._there.set()

    def run(self) -> None:
        """Bring what comes, until closed."""
        stops = False
        while not stops:
            self._there.wait()
            self._there.clear()
            stops = self._stopped.is_set() or self._pause(self._go())

    def close(self) -> None:
        """Stop. What was not brought is found by the next poll."""
        self._stopped.set()
        self._there.set()

    def _go(self) -> float:
        """Bring what there is; the seconds until the next time."""
        with self._lock:
            taken, self._waiting = self._waiting, {}
        try:
            self._bring(taken)
        except (DBAPIError, psycopg.Error) as problem:
            self._failures += 1
            if self._failures == 2:  # once may be a lock that the work held
                self._watcher.problem("hints", hub_trouble(problem))
            for system, names in taken.items():
                self.add(system, names)
            return AGAIN_SECONDS
        except Exception as problem:
            self._watcher.defect("hints", problem)
            return AGAIN_SECONDS
        self._failures = 0
        return EVERY_SECONDS


def to_hub(engine: sa.Engine) -> Bring:
    """Marks entity sets as due in the hub behind ``engine``."""

    def bring(hints: Mapping[str, Collection[str]]) -> None:
        try:
            with engine.begin() as connection:
                for system, names in sorted(hints.items()):
                    connection.execute(sa.select(sa.func.sync.hint(system, sa.cast(sorted(names), sa.ARRAY(sa.Text)))))
        except DBAPIError:
            engine.dispose()  # the hub may come back as another one
            raise

    return bring
