"""Days that a system stores as an instant: midnight where the person sits who typed them."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

UTC = datetime.UTC
_west, _east = datetime.time(10), datetime.time(12)
"""Midnight is between 10:00 the day before (14 hours east of Greenwich) and 12:00 (12 hours west of it) in UTC. So an
instant outside of these two times is midnight of one day only."""
_half = datetime.timedelta(hours=12) - datetime.timedelta(microseconds=1)


def midnight(day: datetime.date, zone: datetime.tzinfo) -> datetime.datetime:
    """The instant at which ``day`` begins in ``zone``, in UTC; where clocks skip midnight, the first after it."""
    return datetime.datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def day_of(instant: datetime.datetime, zone: datetime.tzinfo) -> datetime.date:
    """The day that an instant stands for, typed by people of ``zone`` or elsewhere.

    Midnight in ``zone`` is that day, midnight anywhere else the one that begins there. Where two days are possible
    (Hawaii or Kiribati), it is the one that begins nearer to midnight in ``zone``. What is nobody's midnight is the
    day that it is in ``zone``.
    """
    local = instant.astimezone(zone)
    if midnight(local.date(), zone) == instant or not _on_the_quarter(instant):
        return local.date()
    there = instant.astimezone(UTC)
    if there.time() < _west:
        return there.date()
    if there.time() > _east:
        return there.date() + datetime.timedelta(days=1)
    return (local.replace(tzinfo=None) + _half).date()


def _on_the_quarter(instant: datetime.datetime) -> bool:
    """Whether it can be midnight somewhere: all zones of today are quarters of an hour apart."""
    return instant.minute % 15 == 0 and not instant.second and not instant.microsecond


def is_time_zone(name: str) -> str:
    """The name, if ``time_zone`` knows it."""
    time_zone(name)
    return name


def time_zone(name: str) -> datetime.tzinfo:
    """The time zone with an IANA name. Raises ValueError where this machine knows none of that name."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError) as problem:
        raise ValueError(f"'{name}' is no time zone of this machine, as Europe/Berlin or UTC") from problem
