"""What is known of earlier tries of a record: whether a person asked for it, and the writes that were sent."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from replicator.connectors.protocol import Reference, Write
from replicator.core.desired_row import DesiredRow
from replicator.mapping.compiled import CompiledMap

CREATED_AT_MOST = 2
"""So often a record is created for one desired row, if the target says that it did it and shows no such record."""
KeyFor = Callable[[CompiledMap, DesiredRow], uuid.UUID]
"""The key of a record that is to be created: the one sent or planned before, or a fresh one."""


@dataclass(frozen=True)
class History:
    """The tries of one record and its parts, as they were noted with its delivery."""

    asked: bool = False
    """Records that the target lost are created again then."""
    identity: Sequence[Mapping[str, Any]] = ()

    def keys(self, new_key: KeyFor) -> KeyFor:
        """A create that is repeated bears the key of its first request: should that one arrive late, it is the same."""
        sent = {
            (each["map"], each["record_id"]): next(iter(each["key"].values()))
            for each in self.identity
            if each["operation"] == "create" and len(each["key"]) == 1
        }

        def key(flow: CompiledMap, row: DesiredRow) -> uuid.UUID:
            known = sent.get((flow.name, row.source_id))
            return new_key(flow, row) if known is None else uuid.UUID(known)

        return key

    def created(self, flow: str, record_id: int, write: Write) -> int:
        """How often the target said that it created a record with the values of this write."""
        if not self.identity:
            return 0
        wanted = (flow, record_id, fingerprint(write))
        tries = (
            each["created"] for each in self.identity if (each["map"], each["record_id"], each.get("values")) == wanted
        )
        return max(tries, default=0)


def in_text(key: Mapping[str, object]) -> dict[str, str | None]:
    """A key as it is stored; a part that the target is to assign is None."""
    plain = {name: value.key[0] if isinstance(value, Reference) else value for name, value in key.items()}
    return {name: None if value is None else str(value) for name, value in plain.items()}


def fingerprint(write: Write) -> str:
    """The same for the same values."""
    return sha256(repr(sorted(in_text(write.values).items())).encode()).hexdigest()[:16]
