"""Who of several readers of a system reads which entity sets: nobody reads what another one reads, or has just read."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from replicator.mapping.schema import EntitySet, Schema

Turn = Callable[[str], AbstractContextManager[bool]]
"""Whether an entity set, by the name of its root, is ours to read now, for as long as it is open."""


class ReadingTurns:
    """Of one system. ``clock`` gives seconds that only grow."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._begun: dict[str, float] = {}

    @contextmanager
    def turn(self, root: str, since: float) -> Iterator[bool]:
        """Whether it is our turn to read a set and its parts: nobody reads it, or began to after ``since``."""
        with self._lock:
            ours = root not in self._under_way and self._begun.get(root, -math.inf) < since
            if ours:
                self._under_way.add(root)
                self._begun[root] = self.clock()
        try:
            yield ours
        finally:
            if ours:
                with self._lock:
                    self._under_way.discard(root)


class Reader:
    """What one of a system's readers is to do, as others say it to him."""

    def __init__(self, system: str, turns: ReadingTurns, *, is_first: bool) -> None:
        self.system, self.is_first = system, is_first
        self.name = f"read {system}" if is_first else f"help to read {system}"
        self.to_look = threading.Event()
        """Whether the system said of some of its entity sets that they changed; or everything of it is to be read."""
        self._turns = turns
        self._lock = threading.Lock()
        self._wish: float | None = None

    @property
    def is_all_wanted(self) -> bool:
        """Whether everything is to be read without waiting for the next poll, or for what is read rarely."""
        return self._wish is not None

    def read_all(self, since: float | None = None) -> None:
        """Have everything read that nobody began to read since (by default: since now)."""
        with self._lock:
            self._wish = self._turns.clock() if since is None else since
        self.to_look.set()

    def take_wish(self) -> float | None:
        """Since when everything is wanted, if it is; from here on it is no longer."""
        with self._lock:
            wish, self._wish = self._wish, None
        return wish

    def since_poll(self, seconds: float) -> float:
        """What was begun since is not read again in this poll. Who helps leaves more to the first one."""
        return self._turns.clock() - (0.4 if self.is_first else 0.9) * seconds

    def turn(self, since: float) -> Turn:
        """Whether a set is ours to read."""
        return lambda root: self._turns.turn(root, since)


def in_groups(schema: Schema, wanted: Sequence[EntitySet]) -> dict[str, list[EntitySet]]:
    """Entity sets with those of their parts, by the name of the root: one reader takes these together, in order."""
    whole_of = {str(part.entity_set): str(part.whole) for part in schema.part_sets}
    groups: dict[str, list[EntitySet]] = {}
    for entity_set in wanted:
        root = str(entity_set)
        while root in whole_of:
            root = whole_of[root]
        groups.setdefault(root, []).append(entity_set)
    return groups
