"""What is done to a system without its protocol: loading records, edits by a person, reading everything."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import tzinfo
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from replicator.sandbox.description import SimulatedSet, SystemDescription, kind_name
from replicator.sandbox.odata_http import from_json, to_json
from replicator.sandbox.rules import make_key
from replicator.sandbox.store import Doc, Row, StoredCondition, term_value
from replicator.sandbox.stored_values import BadValueError, convert, typed_day
from replicator.sandbox.writing import DuplicateError, Records, same


class UnresolvedError(ValueError):
    """A record that cannot be set: no key, an unknown field, or a reference to a record that is not there."""


class MissingReferenceError(UnresolvedError):
    """A record that refers to another one that is not there."""


class Direct:
    """Sets state directly. No length, range or reference is checked; the caller holds the transaction."""

    def __init__(self, description: SystemDescription, records: Records, zone: tzinfo) -> None:
        self._zone = zone
        self._description = description
        self._records = records
        self._store = records.store

    def _set(self, name: str) -> SimulatedSet:
        entity_set = self._description.entity_sets.get(name)
        if entity_set is None:
            raise KeyError(f"no entity set '{name}' in {self._description.system}")
        return entity_set

    def begin(self) -> None:
        """Make the records that every system of this kind has, where a new one is empty."""
        for name, entity_set in self._description.entity_sets.items():
            if entity_set.from_known and self._store.count(name, StoredCondition()) == 0:
                for value in self._description.known[entity_set.from_known]:
                    self.put(name, {entity_set.key[0]: value})

    def records(self, name: str) -> list[Doc]:
        """All records of a set in the order they were made."""
        entity_set = self._set(name)
        return [self._shown(entity_set, row) for row in self._store.page(name, StoredCondition(), 0, -1)]

    @staticmethod
    def _shown(entity_set: SimulatedSet, row: Row) -> Doc:
        versions = {field: row.version for field, spec in entity_set.wire.items() if spec.stamp == "version"}
        return row.doc | versions

    def put(self, name: str, record: Mapping[str, Any], *, recompute: bool = False) -> Doc:
        """Merge a record into the one with its key, or make it; unchanged records keep their version."""
        try:
            return self._put(self._set(name), record, recompute)
        except DuplicateError as duplicate:
            raise UnresolvedError(f"another record has the same {duplicate}") from duplicate

    def _put(self, entity_set: SimulatedSet, record: Mapping[str, Any], recompute: bool) -> Doc:
        record = from_json(to_json(record))
        values = self._values(entity_set, record)
        row = self._existing(entity_set, values)
        if row is None:
            values = self._keyed(entity_set, values)
            return self._shown(entity_set, self._records.create(entity_set, values, direct=True))
        changes = {field: value for field, value in values.items() if not same(value, row.doc.get(field))}
        for part in entity_set.key:
            changes.pop(part, None)
        if not changes:
            return self._shown(entity_set, row)
        kept = values if recompute else row.doc
        return self._shown(entity_set, self._records.update(entity_set, row, changes, kept))

    def _values(self, entity_set: SimulatedSet, record: Mapping[str, Any]) -> Doc:
        values: Doc = {}
        for name, value in record.items():
            if name in entity_set.wire:
                values |= self._value(entity_set, name, value, record)
            elif "." in name and "@" not in name:
                values |= self._looked_up(entity_set, name, value)
            elif "@" not in name:
                raise UnresolvedError(f"unknown field '{name}'")
        return values

    def _value(self, entity_set: SimulatedSet, name: str, value: Any, record: Mapping[str, Any]) -> Doc:
        spec = entity_set.wire[name]
        if spec.stamp == "version":
            return {}
        if value is None:
            empty = self._records.empty(spec)
            return {name: empty, kind_name(name): None} if spec.to else {name: empty}
        if spec.day:
            value = typed_day(value, self._zone)
        with suppress(BadValueError):  # kept as it is then: a restored backup may hold anything
            value = convert(name, spec, value)
        if not spec.to:
            return {name: value}
        kinds = {self._description.entity_sets[target].logical_name for target in spec.to}
        kind = record.get(kind_name(name))
        return {name: value, kind_name(name): kind if kind in kinds else self._kind_of(list(spec.to), str(value))}

    def _kind_of(self, targets: list[str], key: str) -> str:
        found = [target for target in targets if self._store.get(target, key)]
        return self._description.entity_sets[(found or targets)[0]].logical_name

    def _looked_up(self, entity_set: SimulatedSet, name: str, value: object) -> Doc:
        """``lookup.field``: the record of the lookup's targets that has this value as its key."""
        lookup, field = name.split(".", 1)
        spec = entity_set.fields.get(lookup)
        if spec is None or not spec.to:
            raise UnresolvedError(f"unknown field '{name}'")
        wire = f"_{lookup}_value"
        if value is None:
            return {wire: None, kind_name(wire): None}
        for target in (self._description.entity_sets[target] for target in spec.to):
            if field in target.wire:
                for row in self._by_value(target, field, value):
                    return {wire: row.key, kind_name(wire): target.logical_name}
        raise MissingReferenceError(f"{name} '{value}' is not there")

    def _by_value(self, target: SimulatedSet, field: str, value: object) -> list[Row]:
        if (field,) in target.terms:
            return self._store.find(target.name, (field,), [value])
        condition = StoredCondition("fold(json_extract(doc, ?)) = fold(?)", (f'$."{field}"', value))
        return self._store.page(target.name, condition, 0, 1)

    def _existing(self, entity_set: SimulatedSet, values: Doc) -> Row | None:
        if entity_set.wire[entity_set.key[0]].type == "guid":
            if values.get(entity_set.key[0]):
                return self._store.get(entity_set.name, str(values[entity_set.key[0]]))
            fields = entity_set.business_key
            found = self._store.find(entity_set.name, fields, (values.get(part) for part in fields))
            return found[0] if found else None
        return self._store.get(entity_set.name, make_key(entity_set, self._keyed(entity_set, values)))

    def _keyed(self, entity_set: SimulatedSet, values: Doc) -> Doc:
        """The values with a complete key: a GUID from the business key, the default company, or UnresolvedError."""
        first = entity_set.key[0]
        if entity_set.wire[first].type == "guid":
            if values.get(first):
                return values
            business = term_value(values.get(part) for part in entity_set.business_key)
            if business is None:
                raise UnresolvedError(f"neither {first} nor {', '.join(entity_set.business_key)} given")
            return {first: str(uuid5(NAMESPACE_URL, f"{entity_set.name}/{business}")), **values}
        keyed = dict(values)
        for part in entity_set.key:
            if keyed.get(part) in (None, ""):
                keyed[part] = self._key_default(entity_set, part)
        return {**{part: keyed[part] for part in entity_set.key}, **keyed}

    def _key_default(self, entity_set: SimulatedSet, part: str) -> object:
        if part == self._description.company_field:
            return self._description.default_company
        default = entity_set.wire[part].default
        if default is None:
            raise UnresolvedError(f"key field '{part}' is missing")
        return default

    def delete(self, name: str, key: tuple[object, ...]) -> None:
        """Delete the record with this key: all its parts, or without the company, or the business key."""
        entity_set = self._set(name)
        row = self._store.get(name, self._given_key(entity_set, key))
        if row is None and entity_set.business_key:
            found = self._store.find(name, entity_set.business_key, key)
            row = found[0] if found else None
        if row is None:
            raise KeyError(f"{name}: no record {key}")
        self._records.remove(row, direct=True)

    def _given_key(self, entity_set: SimulatedSet, key: tuple[object, ...]) -> str:
        if entity_set.wire[entity_set.key[0]].type == "guid":
            return str(key[0]).lower() if isinstance(key[0], str | UUID) else ""
        missing = len(entity_set.key) - len(key)
        values = (self._description.default_company, *key) if missing == 1 else key
        return make_key(entity_set, dict(zip(entity_set.key, values, strict=False)))
