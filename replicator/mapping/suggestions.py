"""Misspelt names: what may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest, where one is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def hint(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that does not exist: the one that may have been meant, or nothing."""
    found = meant(name, known)
    return f"; did you mean '{found}'?" if found else ""
