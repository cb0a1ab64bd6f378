"""How many requests are taken: so many a second, and as many at once after a rest."""

from __future__ import annotations

import threading
from collections.abc import Callable


class RequestRate:
    """Counts requests; safe for several threads. ``clock`` gives seconds that only grow."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second, self._clock = per_second, clock
        self._most = max(per_second, 1.0)
        self._left, self._at = self._most, clock()
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Seconds until a request is taken; 0: this one is."""
        with self._lock:
            now = self._clock()
            self._left = min(self._most, self._left + (now - self._at) * self._per_second)
            self._at = now
            if self._left < 1:
                return (1 - self._left) / self._per_second
            self._left -= 1
            return 0.0
