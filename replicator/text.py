"""Words for people: numbers in sentences, and texts from elsewhere in which nothing stays unseen."""

from __future__ import annotations

import unicodedata

_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode: controls (ESC, CR, C1), formats (writing direction, no width), half characters, line ends."""


def many(count: int, noun: str) -> str:
    """So many of something: '1 record', '2 records'."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def visible(text: str, *, keep: str = "") -> str:
    """A text with what a terminal would obey or hide written out, as ``\\x1b`` or ``\\u202e``; ``keep`` stays."""
    if text.isprintable():
        return text
    return "".join(
        each if each in keep or unicodedata.category(each) not in _UNSEEN else each.encode("unicode_escape").decode()
        for each in text
    )
