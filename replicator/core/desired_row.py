"""One row of the diff, typed: what a record should be, what its counterpart is, and what follows from the two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from replicator.mapping.desired_views import DesiredView


@dataclass(frozen=True)
class DesiredRow:
    """``action`` is what is to be done, in the diff's words. Columns are those of the target's table."""

    record_id: int
    """The record that was marked and claimed: for a part its root."""
    action: str
    record: str | None = None
    """What people call it."""
    reason: str | None = None
    waits_for: Sequence[str] | None = None
    later: Sequence[str] | None = None
    """What it is written without, for now."""
    holder: str | None = None
    """Who bears its business key in the target."""
    source_id: int = 0
    target_id: int | None = None
    root_id: int | None = None
    changed: Sequence[str] = ()
    """Columns to be written."""
    drifted: Sequence[str] = ()
    """Columns that somebody changed in the target."""
    version: str | None = None
    """Of the target's row in the mirror."""
    wanted: Mapping[str, Any] = field(default_factory=dict)
    held: Mapping[str, Any] = field(default_factory=dict)
    common: Mapping[str, str | None] = field(default_factory=dict)
    """What the common record holds in fields that either side may change, as text."""


_FIELDS = [each.name for each in fields(DesiredRow)]
_NAMED = _FIELDS[: _FIELDS.index("version")]
"""Those that the diff has columns of the same names for."""


def typed_rows(view: DesiredView, rows: sa.Result[Any]) -> Iterator[DesiredRow]:
    """The rows of an outbound diff of this view."""
    names = list(rows.keys())
    wanted = [column.name for column in view.columns]
    held = [column.name for column in view.target.columns]
    places = [names.index(name) for name in _NAMED]
    of_wanted = [names.index(name) for name in wanted]
    of_held = [names.index(f"now_{name}") for name in held]
    either = [name for name in view.either if f"common_{name}" in names]
    of_common = [names.index(f"common_{name}") for name in either]
    version = names.index("version now")
    for row in rows:
        values: list[Any] = [row[place] for place in (*places, version)]
        for some, of_some in ((wanted, of_wanted), (held, of_held), (either, of_common)):
            values.append(dict(zip(some, (row[place] for place in of_some), strict=True)))
        yield DesiredRow(*values)
