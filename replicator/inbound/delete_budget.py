"""How many deletes go ahead unasked."""

from __future__ import annotations

from typing import Literal

from replicator.config import Budget

ALWAYS_ALLOWED = 5
"""Deletes that are never held for their share alone: in a small set one record is a large share."""


def over_budget(
    absent: int, recent: int, size: int, rows: int, kind: Literal["whole", "changed", "swept"], budget: Budget
) -> str | None:
    """Why these deletes are held, or None. ``recent`` went ahead within the last day; ``size`` is the mirror's."""
    total = absent + recent
    if kind != "changed" and rows == 0:
        return f"the system showed nothing at all, and {size} records are known"
    if total > budget.count:
        return f"{total} deletes within a day, and at most {budget.count} go ahead unasked"
    if total > max(ALWAYS_ALLOWED, budget.share * (size + recent)):
        return f"{total} deletes within a day are more than {budget.share:.0%} of {size + recent} records"
    return None
