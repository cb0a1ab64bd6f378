"""What the diff's actions mean for a delivery that needs no write."""

from __future__ import annotations

from collections.abc import Sequence

from replicator.core.claim import Shown, State
from replicator.core.desired_row import DesiredRow
from replicator.core.diff import HISTORY, INCOMPLETE, LEFT_BEHIND

_STATES: dict[str, State] = {"not eligible": "not_eligible", HISTORY: "not_eligible", "blocked": "blocked"}


INVALID, KEY_CONFLICT, KEY_CHANGED = "invalid", "key conflict", "key changed"
STORED_ELSEWHERE, LEFT_OUT, ORPHANED_PARTS = "stored elsewhere", "left out", "orphaned parts"
"""Codes of what the hub itself found out."""


def shown(row: DesiredRow, key: Sequence[str] = ()) -> Shown | None:
    """How a record is shown whose action is no write; None when it is in step. ``key``: the target's business key."""
    fields = ", ".join(key) or None
    if row.action == "invalid":
        field, told, _ = (row.reason or "").partition(": ")
        return Shown(row.record_id, "rejected", row.record, row.reason, None, None, INVALID, field if told else None)
    if row.action == KEY_CONFLICT:
        return Shown(row.record_id, "blocked", row.record, None, row.waits_for, None, KEY_CONFLICT, fields)
    if row.action == LEFT_BEHIND:
        return left_behind(row)
    if row.action in _STATES:
        code = HISTORY if row.action == HISTORY else None
        return Shown(row.record_id, _STATES[row.action], row.record, row.reason, row.waits_for, code=code)
    if row.action == INCOMPLETE:
        return Shown(row.record_id, "blocked", row.record, None, row.later, "update")
    if row.action == "recreate":
        return Shown(
            row.record_id, "reported", row.record, "the target holds the record no more; retry creates it again"
        )
    if row.action == "drift":
        return Shown(
            row.record_id,
            "reported",
            row.record,
            f"changed in the target: {', '.join(row.drifted)}; retry puts it back",
        )
    if row.action == "taken":
        holder = row.holder or "more than one, or of no known record"
        words = f"a key of its own in the target: there it is that of {holder}"
        return Shown(row.record_id, "blocked", row.record, None, [words], None, KEY_CONFLICT, fields)
    if row.action == "rekey":
        return Shown(
            row.record_id,
            "blocked",
            row.record,
            None,
            ["its former key, which the target cannot change"],
            None,
            KEY_CHANGED,
            fields,
        )
    return None


def left_behind(row: DesiredRow) -> Shown:
    """A record that its map leaves out now, and that has changed since it was delivered: nobody sends that on."""
    words = f"its map leaves it out now, and what has changed since stays here: {row.reason}"
    return Shown(row.record_id, "reported", row.record, words, code=LEFT_OUT)
