"""The pause that a system asks for: the ``Retry-After`` header of an answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

default_pause_seconds = 30.0
"""The pause where a system asks for one without saying how long (as the vendor's own samples wait)."""


@dataclass(frozen=True)
class Pause:
    """How long to wait, in seconds; ``asked`` is what the system wanted where that was cut."""

    seconds: float
    asked: float | None = None

    def __str__(self) -> str:
        if self.asked is None:
            return f"asks for a pause of {self.seconds:.0f} s"
        return f"asks for a pause of {self.asked:.0f} s, which is cut to {self.seconds:.0f} s"


def pause(retry_after: str | None, now: datetime, longest: float) -> Pause:
    """The pause of a ``Retry-After`` header: seconds or an HTTP date relative to ``now``, never above ``longest``.

    Absent or not understood counts as 30 seconds, a date that has passed as none.
    """
    seconds = _seconds(retry_after or "", now)
    if seconds is None:
        return Pause(min(default_pause_seconds, longest))
    if seconds > longest:
        return Pause(longest, asked=seconds)
    return Pause(max(seconds, 0.0))


def _seconds(text: str, now: datetime) -> float | None:
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - now).total_seconds()
