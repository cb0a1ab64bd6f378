"""Looks records up by their keys: after a request without an answer, and after a write that was not shown back.

Until that has come to its end the delivery stays *unknown*, with the keys that were written: whatever happens in
between, the next look-up goes on from there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import simplejson
import sqlalchemy as sa

from replicator.connectors.protocol import Connector, FieldProblem, Image, Key, Row
from replicator.core.crosswalk import Pair, link, paired, part_from_others
from replicator.core.fetch import Found, fetch_each, find_each
from replicator.core.hub_handle import Handle
from replicator.core.merge_base import agree
from replicator.core.mirror import Known, Seen, known, remove, set_origin, store, take_turns
from replicator.core.quarantine import Bad, Quarantine
from replicator.errors import (
    OF_THE_SYSTEM,
    CredentialsRefused,
    ReplicatorError,
    RequestRefused,
    Stopping,
    Throttled,
    Transient,
)
from replicator.hub.statements import statements
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.key_comparison import comparable
from replicator.mapping.language import EntitySetSpec
from replicator.mapping.literals import from_text
from replicator.mapping.schema import EntitySet
from replicator.outbound.accepted_values import Stored, note_stored
from replicator.outbound.renumbered_parts import is_another, key_of_root, matched

_sql = statements(__name__)
_outcomes = statements(__name__, "acknowledge")
_BATCH = 200
Pause = Callable[[int], float]


@dataclass
class Resolved:
    """One record that was written to, or not, and what the system says of it."""

    delivery: int
    identity: Mapping[str, Any]
    key: Key
    before: Known | None = None
    """What the mirror held of it before the system was asked."""
    answer: Found = None
    image: Image | None = None
    etag: str | None = None
    mirror_id: int | None = None
    gone: bool = False
    is_another: bool = False
    """What bears its key is told apart from it: somebody else's."""
    renumbered: bool = False
    """The system holds it under another key than it was sent with: ``key`` is that one."""

    @property
    def operation(self) -> str:
        return str(self.identity["operation"])

    @property
    def there(self) -> bool:
        """Whether the system holds it."""
        return self.answer is not None

    @property
    def is_lost(self) -> bool:
        """Whether it was to be created, and the system holds nothing under the key that it was sent with."""
        return self.operation == "create" and self.answer is None

    @property
    def pair(self) -> Pair:
        """The pair that a create makes."""
        assert self.mirror_id is not None
        return self.identity["record_id"], self.mirror_id, self.identity["root_id"]


@dataclass
class Looked:
    """Records of one map that were looked up, and those that were in vain, with what is said of them."""

    attempts: Mapping[int, int]
    asked: dict[str, list[Resolved]] = field(default_factory=lambda: defaultdict(list))
    troubles: dict[int, dict[str, object]] = field(default_factory=dict)

    def of(self, delivery: int) -> Iterator[Resolved]:
        return (each for some in self.asked.values() for each in some if each.delivery == delivery)


class UnknownOutcomes:
    """Brings mirrors up to what the system holds, for single records."""

    def __init__(
        self,
        hub: Handle,
        connector: Connector,
        pause: Pause,
    ) -> None:
        self.hub, self.connector = hub, connector
        self.pause = pause

    def resolve(self, flow: CompiledMap) -> int:
        """Look up the records of a map whose outcome is unknown, and make them pending again; how many there were.

        Raises what concerns the system as a whole, after the records were given a pause.
        """
        count, full = 0, True
        while full:
            looked = self._claim(flow)
            full = len(looked.attempts) == _BATCH
            if looked.attempts:
                count += self._look_up(flow, looked)
        return count

    def _claim(self, flow: CompiledMap) -> Looked:
        with self.hub.leading():
            values = {"map_id": self.hub.id_of(flow), "limit": _BATCH}
            rows = self.hub.execute(_sql["unknown"], values).all()
            looked = Looked({row.record_id: row.attempts for row in rows})
            for row in rows:
                for each in row.identity or ():
                    entity_set = self.hub.compiled.map(each["map"]).mapping.entity_set
                    looked.asked[each["map"]].append(Resolved(row.record_id, each, typed_key(entity_set, each["key"])))
            for name, some in looked.asked.items():
                for each, before in zip(some, self._known(name, some), strict=True):
                    each.before = before
        return looked

    def _known(self, name: str, some: Sequence[Resolved]) -> list[Known | None]:
        mapping = self.hub.compiled.map(name).mapping
        mirror = self.hub.compiled.tables.mirror(mapping.entity_set)
        return known(self.hub.connection, mirror, mapping.entity_set, [each.key for each in some])

    def _look_up(self, flow: CompiledMap, looked: Looked) -> int:
        of_the_system: ReplicatorError | None = None
        try:
            for name, some in looked.asked.items():
                spec = self.hub.compiled.map(name).mapping.entity_set.spec
                by_key = [each for each in some if None not in each.key]
                answers = fetch_each(self.connector, spec, [each.key for each in by_key])
                for each, answer in zip(by_key, answers, strict=True):
                    each.answer = answer
                self._find(spec, [each for each in some if None in each.key])
            for name, some in looked.asked.items():
                self._find_renumbered(name, [each for each in some if each.is_lost], looked)
        except Stopping:
            raise  # they stay as they are
        except (Transient, CredentialsRefused) as problem:
            looked.troubles |= {record: self._later(looked, record, problem) for record in looked.attempts}
            of_the_system = problem if isinstance(problem, OF_THE_SYSTEM) else None
        with self.hub.leading():
            set_origin(self.hub.connection, f"deliver:{self.connector.name}")
            if not looked.troubles:
                self._take_in(looked)
                looked.troubles.update(_refused(looked))
            self._tell(flow, looked)
        if of_the_system is not None:
            raise of_the_system
        return len(looked.attempts) - len(looked.troubles)

    def _find(self, spec: EntitySetSpec, created: Sequence[Resolved]) -> None:
        """What the system was to assign a key to is looked up by its business key."""
        keys = [typed(spec, spec.business_key, each.identity["by"]) for each in created]
        for each, rows in zip(created, find_each(self.connector, spec, spec.business_key, keys), strict=True):
            if isinstance(rows, Exception):
                each.answer = rows
                continue
            each.answer = rows[0] if rows else None
            if len(rows) > 1:
                words = ", ".join(map(str, each.identity["by"].values()))
                each.answer = RequestRefused(f"{len(rows)} records of {spec.entity_set} bear the business key {words}")

    def _find_renumbered(self, name: str, lost: Sequence[Resolved], looked: Looked) -> None:
        """Parts that the system holds under numbers of its own are looked up by those."""
        flow = self.hub.compiled.map(name)
        units: dict[int, list[Resolved]] = defaultdict(list)
        for each in lost if key_of_root(flow) else ():
            units[each.delivery].append(each)
        spec, names = flow.mapping.entity_set.spec, key_of_root(flow)
        roots = [typed(spec, names, some[0].identity["key"]) for some in units.values()]
        found: list[Resolved] = []
        for some, rows in zip(units.values(), find_each(self.connector, spec, names, roots), strict=True):
            if isinstance(rows, Exception):
                for each in some:
                    each.answer = rows
            else:
                found += self._under_other_keys(flow, rows, some, list(looked.of(some[0].delivery)))
        if not found:
            return
        with self.hub.leading():
            for each, before in zip(found, self._known(name, found), strict=True):
                each.before = before
        answers = fetch_each(self.connector, flow.mapping.entity_set.spec, [each.key for each in found])
        for each, answer in zip(found, answers, strict=True):
            each.answer = answer

    def _under_other_keys(
        self, flow: CompiledMap, rows: Sequence[Row], lost: Sequence[Resolved], unit: Sequence[Resolved]
    ) -> Iterator[Resolved]:
        """Those of one unit that are among ``rows``, all parts of its root; ``key`` is the one they got."""
        spec = flow.mapping.entity_set.spec
        shown = [each for each in unit if each.there and not isinstance(each.answer, Exception)]
        images = self._of_nobody(flow, rows, [each.key for each in shown])
        done = any(each.identity.get("applied") for each in unit) or any(each.operation == "create" for each in shown)
        places = matched([_sent(spec, each.identity) for each in lost], images, done=done)
        for each, place in zip(lost, places, strict=True):
            if place is not None:
                each.key, each.renumbered = tuple(images[place][part] for part in spec.key), True
                yield each

    def _of_nobody(self, flow: CompiledMap, rows: Sequence[Row], told: Sequence[Key]) -> list[Image]:
        """What these records hold, by key, of those that are the counterpart of no record and were not asked for."""
        entity_set = flow.mapping.entity_set
        decode, images = self.connector.decoder(entity_set.spec), list[Image]()
        for row in rows:
            with suppress(FieldProblem):  # a read puts it into quarantine
                images.append(dict(zip(entity_set.spec.fields, decode(row), strict=False)))
        keys = [tuple(image[part] for part in entity_set.spec.key) for image in images]
        with self.hub.leading():
            held = known(self.hub.connection, flow.view.target, entity_set, keys)
            taken = paired(self.hub.connection, flow, [row.id for row in held if row is not None])
        free = [
            (key, image)
            for key, image, row in zip(keys, images, held, strict=True)
            if comparable(key) not in map(comparable, told) and (row is None or row.id not in taken)
        ]
        return [image for _, image in sorted(free, key=lambda each: each[0])]

    def _later(self, looked: Looked, record: int, problem: Exception) -> dict[str, object]:
        """The record stays unknown, and is looked up after a pause."""
        asked = problem.retry_after if isinstance(problem, Throttled) else None
        said = f"not looked up yet: {problem}; it is looked up again after a pause, at once with 'replicator retry'"
        return {"record_id": record, "state": "unknown", "reason": said,
                "pause": asked or self.pause(looked.attempts[record])}  # fmt: skip

    def _tell(self, flow: CompiledMap, looked: Looked) -> None:
        values: dict[str, object] = {"map_id": self.hub.id_of(flow)}
        if looked.troubles:
            payload = simplejson.dumps(list(looked.troubles.values()))
            self.hub.execute(_outcomes["not_applied"], values | {"outcomes": payload})
        done = [record for record in looked.attempts if record not in looked.troubles]
        self.hub.execute(_sql["looked_up"], values | {"ids": done})

    def _take_in(self, looked: Looked) -> None:
        """Everything that was found goes into the mirrors; what that means for pairs is asked unit by unit."""
        take_turns(self.hub.connection, {self._mirror(name) for name in looked.asked})
        for name, some in looked.asked.items():
            self._sort_out(name, some, looked)
        for name, some in looked.asked.items():
            self._remove(name, some)
            self._store(name, [each for each in some if each.image is not None])
        whole = {record for record in looked.attempts if _was_done(list(looked.of(record)))}
        for name, some in looked.asked.items():
            flow = self.hub.compiled.map(name)
            ours = [each for each in some if each.mirror_id is not None and not each.is_another]
            created = [each for each in ours if each.operation == "create"]
            part_from_others(self.hub.connection, flow, [each.pair for each in created if each.delivery in whole])
            link(self.hub, flow, [each.pair for each in created])
            self._note_numbers(flow, [each for each in created if each.renumbered])
            for certain in (True, False):
                agreed = [
                    (each.identity["record_id"], each.identity.get("agreed", {}))
                    for each in ours
                    if each.identity.get("applied", False) == certain
                ]
                agree(self.hub.connection, flow.view, agreed, certain=certain)

    def _note_numbers(self, flow: CompiledMap, renumbered: Sequence[Resolved]) -> None:
        """What the system made of the keys that it was sent is in step as long as both stay as they are."""
        columns = {column.field: column for column in flow.view.columns if column.is_key}
        noted: list[Stored] = []
        for each in renumbered:
            sent = typed_key(flow.mapping.entity_set, each.identity["key"])
            for name, one, other in zip(flow.mapping.entity_set.spec.key, sent, each.key, strict=True):
                if name in columns and comparable((one,)) != comparable((other,)):
                    noted.append((each.identity["record_id"], columns[name], one, other))
        note_stored(self.hub, flow, noted)

    def _sort_out(self, name: str, some: Sequence[Resolved], looked: Looked) -> None:
        """Decode what was found; note what was refused, cannot be read, or is older than what a read has shown."""
        flow = self.hub.compiled.map(name)
        entity_set = flow.mapping.entity_set
        decode = self.connector.decoder(entity_set.spec)
        bad: list[Bad] = []
        for each, now in zip(some, self._known(name, some), strict=True):
            if isinstance(each.answer, Exception):
                looked.troubles[each.delivery] = self._later(looked, each.delivery, each.answer)
            elif now != each.before:
                problem = Transient("the record was read in the meantime")
                looked.troubles[each.delivery] = self._later(looked, each.delivery, problem) | {"pause": 0}
            elif each.answer is None:
                each.gone = True
            else:
                try:
                    *values, etag = decode(each.answer)
                except FieldProblem as misfit:
                    bad.append(Bad(each.answer, misfit))
                    looked.troubles[each.delivery] = _rejection(each, misfit)
                    continue
                each.image = dict(zip(entity_set.spec.fields, values, strict=True))
                each.etag = None if etag is None else str(etag)
                sent = _sent(entity_set.spec, each.identity)
                each.is_another = each.operation == "create" and is_another(flow, each.image, sent)
        Quarantine(self.hub, entity_set, self.connector).put(bad)

    def _store(self, name: str, there: Sequence[Resolved]) -> None:
        entity_set = self.hub.compiled.map(name).mapping.entity_set
        seen: list[Seen] = [(each.image, each.etag) for each in there if each.image is not None]
        ids = store(self.hub.connection, self._mirror(name), entity_set, seen)
        for each, mirror_id in zip(there, ids, strict=True):
            each.mirror_id = mirror_id

    def _remove(self, name: str, some: Sequence[Resolved]) -> None:
        gone = [each.before.id for each in some if each.before and each.gone]
        remove(self.hub.connection, self._mirror(name), gone)

    def _mirror(self, name: str) -> sa.Table:
        return self.hub.compiled.map(name).view.target


def _was_done(unit: Sequence[Resolved]) -> bool:
    """Whether the unit has happened: all that it creates is there, and nothing that it only deletes."""
    keys = {(each.identity["map"], *each.key) for each in unit if each.operation == "create"}
    created = all(each.there and not each.is_another for each in unit if each.operation == "create")
    kept = (each for each in unit if each.operation == "delete" and each.there)
    return created and all((each.identity["map"], *each.key) in keys for each in kept)


def _refused(looked: Looked) -> Iterator[tuple[int, dict[str, object]]]:
    """Units that were refused, and of which the system holds nothing under other keys either: it meant what it said."""
    for record in looked.attempts.keys() - looked.troubles.keys():
        unit = list(looked.of(record))
        refusal = next((each.identity["refused"] for each in unit if "refused" in each.identity), None)
        if refusal is not None and not any(each.renumbered for each in unit):
            yield record, {"record_id": record, "state": "rejected", **refusal}


def _rejection(each: Resolved, problem: FieldProblem) -> dict[str, object]:
    reason = f"what the system holds of it cannot be read: {problem}"
    return {"record_id": each.delivery, "state": "rejected", "reason": reason, "field": problem.field}


def _sent(spec: EntitySetSpec, identity: Mapping[str, Any]) -> dict[str, object]:
    """What is kept of the values that a create was sent with."""
    given: Mapping[str, str | None] = identity.get("sent", {})
    return dict(zip(given, typed(spec, list(given), given), strict=True))


def typed_key(entity_set: EntitySet, key: Mapping[str, str | None]) -> Key:
    """A stored key with the types of its fields."""
    return typed(entity_set.spec, entity_set.spec.key, key)


def typed(spec: EntitySetSpec, names: Sequence[str], stored: Mapping[str, str | None]) -> Key:
    """Stored values of these fields with their types."""
    values = {name: stored[name] for name in names}
    return tuple(None if text is None else from_text(spec.fields[name].holds, text) for name, text in values.items())
