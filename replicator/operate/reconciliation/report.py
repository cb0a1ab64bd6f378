"""A difference in the words of the report: where it is, what differs, and what will mend it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_REPAIRS: Mapping[str, str] = {
    "create": "it is created in the target",
    "recreate": "it is created again in the target",
    "delete": "it is deleted in the target",
    "set": "the target's record gets the values that stand for a delete",
    "unlink": "the two are parted, and the target's record stays",
    "update": "the target's fields are written",
    "drift": "the target's fields are put back",
    "rekey": "nothing, for the target cannot change a key; with on_key_change: recreate it comes anew",
}
_BY_KIND: Mapping[str, str] = {
    "unpaired": "it is paired with the record that bears its key, then the fields are written",
    "duplicate": "nothing: decide in the target which record stays, and delete or rename the others there",
}
MERGED = "it is merged into common"


def explain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A difference in the words of the report: where it is, what differs, and what will mend it."""
    inward = row["direction"] == "in"
    where = "common" if inward else f"{row['system']}.{row['entity_set']}" if row["system"] else row["flow"]
    repair = _BY_KIND.get(row["kind"]) or (MERGED if inward else _REPAIRS.get(row["action"], "nothing; see the reason"))
    waits = ", ".join(row["waits_for"] or ())
    return {
        "kind": row["kind"],
        "entity": row["entity"],
        "record": row["record"],
        "where": where,
        "key": row["system_key"],
        "flow": row["map"] or row["flow"],
        "action": row["action"],
        "fields": {name: {"held": pair[0], "wanted": pair[1]} for name, pair in (row["fields"] or {}).items()},
        "version": None if row["version"] is None else {"known": row["version"][0], "now": row["version"][1]},
        "repair": repair,
        "state": row["state"],
        "reason": row["reason"] or (f"waits for {waits}" if waits else None),
    }
