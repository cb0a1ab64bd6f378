"""How many requests may be under way at a system at once: fewer when it says that few are left in its budget."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

SHARE = 10
"""At most one in so many of the requests that are left is under way at once."""


class Slots:
    """A gate for requests; who finds no place waits. ``left`` is the last budget that was told (None: none was)."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left: int | None = None
        self._busy = 0
        self._free = threading.Condition()

    @property
    def allowed(self) -> int:
        """So many at once: never more than configured, and always one, for only an answer tells a new budget."""
        return self.most if self.left is None else max(1, min(self.most, self.left // SHARE))

    def note(self, left: int) -> None:
        """The system says how many requests are left."""
        with self._free:
            self.left = left
            self._free.notify_all()

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place, as soon as there is one."""
        with self._free:
            self._free.wait_for(lambda: self._busy < self.allowed)
            self._busy += 1
        try:
            yield
        finally:
            with self._free:
                self._busy -= 1
                self._free.notify_all()
