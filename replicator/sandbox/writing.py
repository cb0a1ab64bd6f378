"""Writing records: defaults, numbers, stamps, calculations, uniqueness, and what a deletion takes with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from replicator.sandbox.description import FieldSpec, Relation, SimulatedSet, SystemDescription, kind_name
from replicator.sandbox.rules import Rules, make_key
from replicator.sandbox.store import Doc, Row, Store, fold
from replicator.sandbox.stored_values import stamp

_letters = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"


class DuplicateError(Exception):
    """A record with these key values is there already."""

    def __init__(self, entity_set: SimulatedSet, fields: tuple[str, ...]) -> None:
        super().__init__(", ".join(fields))
        self.entity_set = entity_set
        self.fields = fields


class RestrictedError(Exception):
    """A record cannot go because another one points at it."""

    def __init__(self, row: Row, child: SimulatedSet, relation: Relation) -> None:
        super().__init__(child.name)
        self.row = row
        self.child = child
        self.relation = relation


class Records:
    """The records of one system and the ways to change them. The caller holds the transaction."""

    def __init__(
        self, description: SystemDescription, store: Store, rules: Rules, clock: Callable[[], datetime], random: Random
    ) -> None:
        self.description = description
        self.store = store
        self.rules = rules
        self.clock = clock
        self._random = random

    def new_guid(self) -> str:
        """A GUID from the injected randomness."""
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def unused_guid(self, entity_set: SimulatedSet) -> str:
        """A GUID no record of the set has; the same seed may have been used before on kept state."""
        while self.store.get(entity_set.name, guid := self.new_guid()) is not None:
            pass
        return guid

    def create(self, entity_set: SimulatedSet, values: Doc, *, direct: bool = False) -> Row:
        """Write a new record; ``values`` are converted already. Set directly, no rule is looked at."""
        doc = self._complete(entity_set, values)
        self.rules.compute(entity_set, doc, values if direct else {}, direct=direct)
        if not direct:
            self.rules.check("create", entity_set, None, doc)
        key = make_key(entity_set, doc)
        if self.store.get(entity_set.name, key) is not None:
            raise DuplicateError(entity_set, entity_set.key)
        return self._write(entity_set, key, doc, recount=not direct)

    def update(self, entity_set: SimulatedSet, row: Row, values: Doc, kept: Mapping[str, Any] | None = None) -> Row:
        """Write changed values of a record; ``values`` are converted already. ``kept`` means it is set directly."""
        direct = kept is not None
        doc = row.doc | values
        doc |= self._stamped(entity_set, "modified")
        self.rules.compute(entity_set, doc, kept or {}, direct=direct)
        if not direct:
            self.rules.check("update", entity_set, row.doc, doc)
        return self._write(entity_set, row.key, doc, recount=not direct)

    def remove(self, row: Row, *, direct: bool = False) -> None:
        """Delete a record with what belongs to it. Raises RestrictedError where something else points at it."""
        entity_set = self.description.entity_sets[row.entity_set]
        if not direct:
            self.rules.check("delete", entity_set, row.doc, None)
        self.store.remove(row)
        for child, relation, found in self._referrers(row):
            if relation.on_delete == "restrict":
                raise RestrictedError(row, child, relation)
            current = self.store.get(found.entity_set, found.key)  # it may have been changed or deleted on the way
            if current is not None and relation.on_delete == "cascade":
                self.remove(current, direct=direct)
            elif current is not None:
                self.store.put(child, current.key, current.doc | dict.fromkeys(self._cleared(relation)))
        if not direct:
            self._recount(entity_set, row.doc)

    @staticmethod
    def _cleared(relation: Relation) -> Iterator[str]:
        for name in relation.fields:
            yield name
            yield kind_name(name)

    def _referrers(self, row: Row) -> Iterator[tuple[SimulatedSet, Relation, Row]]:
        for child, relation in self.description.referrers[row.entity_set]:
            values = [row.doc.get(part) if part else row.key for part in relation.fields.values()]
            for found in self.store.find(child.name, tuple(relation.fields), values):
                same = found.entity_set == row.entity_set and found.key == row.key
                if not same and all(found.doc.get(name) == value for name, value in relation.when.items()):
                    yield child, relation, found

    def _complete(self, entity_set: SimulatedSet, values: Doc) -> Doc:
        doc: Doc = {name: values.get(name) for name in entity_set.wire}
        doc.update(values)
        for name, spec in entity_set.wire.items():
            if name in values and not (spec.auto and values[name] in (None, "")):
                continue
            if spec.auto:
                doc[name] = self._auto(entity_set, name, spec)
            else:
                doc[name] = self.default(entity_set, doc, spec)
        for kind in ("created", "modified"):
            stamps = self._stamped(entity_set, kind)
            doc |= {name: value for name, value in stamps.items() if not values.get(name)}
        return doc

    def default(self, entity_set: SimulatedSet, doc: Doc, spec: FieldSpec) -> object:
        """What an absent field gets: from a related record, declared, or the empty value of its system."""
        for source in spec.default_from:
            relation = next(link for link in entity_set.relations if link.name == source.relation)
            row = self.related(relation, doc)
            if row is not None and row.doc.get(source.field) not in (None, "", EMPTY_TIME):
                return row.doc[source.field]
        if spec.default is not None:
            return spec.default
        return self.empty(spec)

    def empty(self, spec: FieldSpec) -> object:
        """The empty value: null in one system, and one for each type in the other."""
        return _empty.get(spec.type) if self.description.system == "ops" else None

    def related(self, relation: Relation, doc: Doc) -> Row | None:
        """The record a relation points at."""
        target = self.description.entity_sets[relation.set]
        values = {theirs: doc.get(ours) for ours, theirs in relation.fields.items()}
        return self.store.get(relation.set, make_key(target, values))

    def _auto(self, entity_set: SimulatedSet, name: str, spec: FieldSpec) -> str:
        assert spec.auto is not None
        number = self.store.next_number(f"{entity_set.name}.{name}", spec.auto.start)
        suffix = "".join(self._random.choice(_letters) for _ in range(spec.auto.suffix))
        return f"{spec.auto.prefix}-{number:0{spec.auto.digits}}-{suffix}"

    def _stamped(self, entity_set: SimulatedSet, kind: str) -> Doc:
        return {name: stamp(self.clock()) for name, spec in entity_set.wire.items() if spec.stamp == kind}

    def _write(self, entity_set: SimulatedSet, key: str, doc: Doc, *, recount: bool) -> Row:
        for fields in entity_set.kept_unique:
            others = self.store.find(entity_set.name, fields, (doc.get(part) for part in fields))
            if any(other.key != key for other in others):
                raise DuplicateError(entity_set, fields)
        row = self.store.put(entity_set, key, doc)
        if recount:
            self._recount(entity_set, doc)
        return row

    def _recount(self, entity_set: SimulatedSet, doc: Doc) -> None:
        for name, key in self.rules.dependants(entity_set, doc):
            parent = self.description.entity_sets[name]
            row = self.store.get(parent.name, key)
            if row is not None:
                fresh = dict(row.doc)
                self.rules.compute(parent, fresh, {})
                if fresh != row.doc:
                    self.store.put(parent, key, fresh)


EMPTY_TIME = "1900-01-01T12:00:00Z"
_empty: dict[str, object] = {"text": "", "integer": 0, "decimal": 0, "money": 0, "datetime": EMPTY_TIME}


def same(left: object, right: object) -> bool:
    """Whether two stored values are the same value; true and 1 are not."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


def matches(left: object, right: object) -> bool:
    """Whether two key values are the same as the system collates."""
    return bool(fold(left) == fold(right))
