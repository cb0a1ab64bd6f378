"""Exchanges with other machines that end: one deadline, and one bound of size, for everything of one exchange.

A timeout of the usual kind begins anew with every byte, so that a peer that drips never meets it. Here every call of a
socket gets what is left of the whole: for connecting, TLS, sending, the head of an answer and its body alike, and what
comes is counted as it comes, before it is unpacked. The bound belongs to the exchange, not to the connection, which may
serve the next one. Only the look-up of a name is left to the operating system, and ends by the resolver's own timeout.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_under_way: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class Exchange:
    """The bounds of one exchange, and how much of them is left. Times in seconds, sizes in bytes."""

    def __init__(self, seconds: float, size: int) -> None:
        self.seconds, self.size = seconds, size
        self._until = time.monotonic() + seconds
        self._received = self._unpacked = 0

    @property
    def is_late(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() >= self._until

    @property
    def is_large(self) -> bool:
        """Whether more came than it may hold."""
        return max(self._received, self._unpacked) > self.size

    @property
    def excess(self) -> str:
        """Which bound it met, in words; empty where it met none."""
        if self.is_large:
            return f"larger than {self.size} bytes"
        return f"not over in {self.seconds:g} s" if self.is_late else ""

    def left(self) -> float:
        """What is left of its time. Raises TimeoutError where nothing is."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(self.excess)
        return left

    def count(self, received: int) -> None:
        """Count what came. Raises OSError, as a broken connection does, where it is too much."""
        self._received += received
        if self.is_large:
            raise OSError(self.excess)

    def count_unpacked(self, size: int) -> None:
        """Count what it was unpacked to. Raises OSError where that is too much, TimeoutError where it took too long."""
        self._unpacked += size
        if self.is_large:
            raise OSError(self.excess)
        self.left()


@contextmanager
def exchange(seconds: float, size: int) -> Iterator[Exchange]:
    """Bound what this thread sends and receives in the block, over sockets that ``connect`` has made."""
    bounds = Exchange(seconds, size)
    before = _under_way.set(bounds)
    try:
        yield bounds
    finally:
        _under_way.reset(before)


class Socket(socket.socket):
    """A socket whose every call ends with the exchange under way; its own timeout still holds where it is shorter."""

    def connect(self, address: Any) -> None:
        self._hurry()
        super().connect(address)

    def send(self, data: Any, flags: int = 0) -> int:
        self._hurry()
        return super().send(data, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        self._hurry()
        super().sendall(data, flags)

    def recv(self, bufsize: int = 1024, flags: int = 0) -> bytes:
        self._hurry()
        data = super().recv(bufsize, flags)
        self._count(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self._hurry()
        size = super().recv_into(buffer, nbytes or 0, flags)
        self._count(size)
        return size

    def _hurry(self) -> None:
        bounds, own = _under_way.get(), self.gettimeout()
        if bounds is not None:
            self.settimeout(bounds.left() if own is None else min(own, bounds.left()))

    def _count(self, received: int) -> None:
        bounds = _under_way.get()
        if bounds is not None:
            bounds.count(received)


class TlsSocket(Socket, ssl.SSLSocket):
    """The same over TLS; what comes is counted decrypted."""

    def do_handshake(self, block: bool = False) -> None:
        self._hurry()
        super().do_handshake(block)


def connect(host: str, port: int, timeout: float | None, source: tuple[str, int] | None = None) -> Socket:
    """A connection to the first address of ``host`` that takes one. ``timeout`` is for each. Raises OSError."""
    problem = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        made = Socket(family, kind, protocol)
        try:
            made.settimeout(timeout)
            if source is not None:
                made.bind(source)
            made.connect(address)
        except OSError as error:
            made.close()
            problem = error
        else:
            return made
    raise problem
