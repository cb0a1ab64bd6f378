"""Looks records up by their keys: after a request without an answer, and after a write that was not shown back.

Until that has come to its end the delivery stays *unknown*, with the keys that were written: whatever happens in
between, the next look-up goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import simplejson
import sqlalchemy as sa

from replicator.connectors.protocol import Connector, FieldProblem
from replicator.core.crosswalk import link, part_from_others
from replicator.core.fetch import fetch_each, find_each
from replicator.core.hub_handle import Handle
from replicator.core.merge_base import agree
from replicator.core.mirror import Seen, remove, set_origin, store, take_turns
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
from replicator.outbound.accepted_values import Stored, note_stored
from replicator.outbound.looked_up import Looked, Resolved, sent_values, typed, typed_key
from replicator.outbound.renumbered_parts import is_another
from replicator.outbound.renumbered_search import RenumberedParts, known_of

_sql = statements(__name__)
_outcomes = statements(__name__, "acknowledge")
_BATCH = 200
Pause = Callable[[int], float]


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
        self.renumbered = RenumberedParts(hub, connector)

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
                for each, before in zip(some, known_of(self.hub, self.hub.compiled.map(name), some), strict=True):
                    each.before = before
        return looked

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
                self.renumbered.find(self.hub.compiled.map(name), some, looked)
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
            self._note_numbers(flow, [each for each in created if each.renumbered or "wanted" in each.identity])
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
            sent = typed_key(flow.mapping.entity_set, each.identity.get("wanted", each.identity["key"]))
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
        for each, now in zip(some, known_of(self.hub, flow, some), strict=True):
            if each.is_elsewhere and not each.renumbered:
                continue
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
                sent = sent_values(entity_set.spec, each.identity)
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
        if any(each.is_elsewhere for each in unit):
            refusal = next((each.identity["in_the_way"] for each in unit if "in_the_way" in each.identity), refusal)
        if refusal is not None and not any(each.renumbered for each in unit):
            yield record, {"record_id": record, "state": "rejected", **refusal}


def _rejection(each: Resolved, problem: FieldProblem) -> dict[str, object]:
    reason = f"what the system holds of it cannot be read: {problem}"
    return {"record_id": each.delivery, "state": "rejected", "reason": reason, "field": problem.field}
