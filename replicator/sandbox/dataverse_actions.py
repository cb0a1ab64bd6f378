"""Actions of the sales system: what changes a record by a message of its own, and not by writing its fields.

The description names them and says what they do; here stands how: a record gets another state, is followed by a copy of
itself with its parts, or is merged into another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from replicator.sandbox.dataverse_input import BAD_PAYLOAD, DataverseInput
from replicator.sandbox.dataverse_refusals import does_not_exist
from replicator.sandbox.description import Action, Merging, SimulatedSet, SystemDescription, kind_name
from replicator.sandbox.odata_http import RefusalError
from replicator.sandbox.store import Doc, Row
from replicator.sandbox.writing import Records

MERGE = "Merge"
_TYPE = "@odata.type"


class Actions:
    """Carries out the unbound actions of a description."""

    def __init__(self, description: SystemDescription, records: Records, reader: DataverseInput) -> None:
        self._description = description
        self._records = records
        self._store = records.store
        self._reader = reader

    def __contains__(self, name: str) -> bool:
        return name in self._description.actions or (name == MERGE and bool(self._description.merges))

    def run(self, name: str, body: Mapping[str, Any]) -> tuple[SimulatedSet, Row] | None:
        """What the action answers with: the record that it made, or nothing. Raises RefusalError."""
        with self._store.transaction():
            if name == MERGE:
                self._merge(body)
                return None
            return self._act(name, self._description.actions[name], body)

    def _act(self, name: str, action: Action, body: Mapping[str, Any]) -> tuple[SimulatedSet, Row] | None:
        entity_set = self._description.entity_sets[action.set]
        row = self._named(entity_set, name, action, body)
        if not self._records.rules.holds(action.when, row.doc):
            raise RefusalError(400, action.message, action.code)
        values = dict(action.values)
        if action.status is not None:
            values |= self._status(entity_set, action, body)
        closed = self._records.update(entity_set, row, values, kept=row.doc)
        if action.copies is None:
            return None
        copied = self._copy(entity_set, closed, dict(action.copies.values), action.copies.counted)
        for part, through in action.copies.parts.items():
            self._copy_parts(self._description.entity_sets[part], f"_{through}_value", row.key, copied.key)
        return entity_set, copied

    def _named(self, entity_set: SimulatedSet, name: str, action: Action, body: Mapping[str, Any]) -> Row:
        """The record that the body names, by its id or by an address in what stands for the closing."""
        value: Any = body
        *above, last = action.record
        for step in above:
            value = value.get(step) if isinstance(value, Mapping) else None
        held = value if isinstance(value, Mapping) else {}
        bound = held.get(f"{last}@odata.bind")
        if bound is not None:
            return self._reader.address(str(bound), {})[1]
        return self._row(entity_set, held.get(last), f"{name}: {'.'.join(action.record)}")

    def _row(self, entity_set: SimulatedSet, value: object, what: str) -> Row:
        try:
            key = str(UUID(str(value)))
        except ValueError:
            raise RefusalError(400, f"{what} has to be the id of a record.", BAD_PAYLOAD) from None
        row = self._store.get(entity_set.name, key)
        if row is None:
            raise does_not_exist(entity_set, {entity_set.key[0]: key})
        return row

    @staticmethod
    def _status(entity_set: SimulatedSet, action: Action, body: Mapping[str, Any]) -> Doc:
        """The status that the body asks for; -1 is the default of the state."""
        assert entity_set.state_fields is not None
        state_field, status_field = entity_set.state_fields
        allowed = entity_set.states[int(action.values[state_field])]
        wanted = body.get(action.status or "")
        status = allowed[0] if wanted == -1 else wanted
        if status not in allowed:
            state = action.values[state_field]
            message = f"{status} is not a valid status code for state code {state} on {entity_set.logical_name}."
            raise RefusalError(400, message, "0x80048408")
        return {status_field: status}

    def _copy(self, entity_set: SimulatedSet, row: Row, values: Doc, counted: tuple[str, ...] = ()) -> Row:
        """A new record with what the row holds but its key and stamps, these values, and these numbers one higher."""
        left_out = {*entity_set.key, *(name for name, spec in entity_set.wire.items() if spec.stamp)}
        doc = {name: value for name, value in row.doc.items() if name not in left_out} | values
        doc |= {name: int(row.doc.get(name) or 0) + 1 for name in counted}
        doc[entity_set.key[0]] = self._records.unused_guid(entity_set)
        return self._records.create(entity_set, doc, direct=True)

    def _copy_parts(self, entity_set: SimulatedSet, through: str, of: str, to: str) -> None:
        for part in self._store.find(entity_set.name, (through,), [of]):
            self._copy(entity_set, part, {through: to})

    def _merge(self, body: Mapping[str, Any]) -> None:
        """The subordinate record is closed for good, and what pointed at it points at the other one."""
        kind = str(_of(body, "Target").get(_TYPE, "")).rpartition(".")[2]
        entity_set = self._description.by_logical_name.get(kind)
        merging = self._description.merges.get(entity_set.name) if entity_set is not None else None
        if entity_set is None or merging is None:
            raise RefusalError(
                400, f"The merge action is not supported for '{kind or 'a record without a type'}'.", BAD_PAYLOAD
            )
        target, subordinate = (
            self._row(entity_set, _of(body, name).get(entity_set.key[0]), f"Merge: {name}")
            for name in ("Target", "Subordinate")
        )
        if target.key == subordinate.key:
            raise RefusalError(400, "A record cannot be merged into itself.", "0x80045500")
        content = {name: value for name, value in _of(body, "UpdateContent").items() if name != entity_set.key[0]}
        changes = self._reader.body(entity_set, content, {})
        if changes:
            self._records.update(entity_set, target, changes)
        self._point_at(entity_set, merging, target, subordinate)

    def _point_at(self, entity_set: SimulatedSet, merging: Merging, target: Row, subordinate: Row) -> None:
        for child, relation in self._description.referrers[entity_set.name]:
            (wire,) = relation.fields
            for row in self._store.find(child.name, (wire,), [subordinate.key]):
                self._records.update(child, row, {wire: target.key}, kept=row.doc)
        wire = f"_{merging.master}_value"
        values = {**merging.values, wire: target.key, kind_name(wire): entity_set.logical_name}
        current = self._store.get(entity_set.name, subordinate.key)
        assert current is not None
        self._records.update(entity_set, current, values, kept=current.doc)


def _of(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = body.get(name)
    return value if isinstance(value, Mapping) else {}
