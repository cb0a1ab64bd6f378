"""Views made of one arm for each map or entity set, of which a schema may have none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa


def union_all(arms: Sequence[sa.Select[Any]], types: dict[str, Any]) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """All rows of the arms; where there are no arms, no row of these columns."""
    if arms:
        return sa.union_all(*arms)
    columns: list[sa.ColumnElement[Any]] = [sa.cast(sa.null(), kind).label(name) for name, kind in types.items()]
    return sa.select(*columns).where(sa.false())
