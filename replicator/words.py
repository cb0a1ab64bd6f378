"""Numbers in sentences for people."""

from __future__ import annotations


def many(count: int, noun: str) -> str:
    """So many of something: '1 record', '2 records'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
