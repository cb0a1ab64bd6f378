"""What a process does when it is asked to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_TERMINATED = 128 + signal.SIGTERM
"""The exit code of what this signal ended."""


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call ``stop`` at SIGTERM and SIGINT: an exception out of nowhere could be lost in whatever is under way."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)


@contextmanager
def cleaning_up() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, where nobody listens to it: what the block holds is given back.

    The exit code is that of the signal.
    """

    def end(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(_TERMINATED)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
