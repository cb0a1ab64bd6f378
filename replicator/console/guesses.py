"""Guesses at the console's token: whoever was wrong waits, longer each time."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

_FREE = 3
_LONGEST_SECONDS = 60
_FORGOTTEN_SECONDS = 900
_MOST_PLACES = 10_000


@dataclass
class _Place:
    times: int
    last: float


class Guesses:
    """How often each place on the net was wrong. Nobody is let wait here: who asks is told for how long he should.

    A place is an IPv4 address, or the half of an IPv6 address that one subscriber has. ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._lock = threading.Lock()

    def wait(self, address: str) -> int:
        """Seconds that this address has to wait; 0: it may guess, and that is counted until ``forget`` is called.

        Counted before it is known whether the guess is right, so that many at once are no way round.
        """
        name, now = _place(address), self._clock()
        with self._lock:
            place = self._places.get(name)
            # A clock that was set back is not held against anybody.
            if place is None or not 0 <= now - place.last <= _FORGOTTEN_SECONDS:
                place = _Place(0, now)
            left = place.last + pause(place.times) - now
            if left > 0:
                return math.ceil(left)
            self._places[name] = _Place(place.times + 1, now)
            self._places.move_to_end(name)
            while len(self._places) > _MOST_PLACES:
                self._places.popitem(last=False)
            return 0

    def forget(self, address: str) -> None:
        """This address knows the token."""
        with self._lock:
            self._places.pop(_place(address), None)


def pause(times: int) -> int:
    """Seconds to wait after so many wrong guesses: a few are free, then it doubles."""
    return 0 if times < _FREE else min(2 ** (times - _FREE), _LONGEST_SECONDS)


def _place(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return "elsewhere"
    return found.exploded[:19] if isinstance(found, IPv6Address) else str(found)
