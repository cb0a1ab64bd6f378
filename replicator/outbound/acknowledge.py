"""Acknowledge: what became of each write, with mirror, crosswalk and delivery in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

import simplejson

from replicator.connectors.protocol import Applied, Image, Key, Operation, Outcome, Postponed, Rejected, Stale, Unknown
from replicator.core.crosswalk import link, paired_with_others, part_links
from replicator.core.diff import reports_drift
from replicator.core.flows import note_success
from replicator.core.hub_handle import Handle
from replicator.core.merge_base import agree
from replicator.core.mirror import Known, Seen, known, remove, set_origin, store, take_turns
from replicator.core.why_not_written import STORED_ELSEWHERE
from replicator.hub.statements import statements
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import TargetColumn
from replicator.mapping.key_comparison import comparable
from replicator.outbound.accepted_values import Stored, note_stored
from replicator.outbound.decide import Delivery, Planned, named_part
from replicator.outbound.renumbered_parts import is_doubtful, may_be_renumbered

_sql = statements(__name__)
_WEIGHTS: Mapping[type, int] = {Unknown: 0, Stale: 1, Postponed: 2, Rejected: 3, Applied: 4}
Written: TypeAlias = tuple[Planned, Applied]
Pause = Callable[[int], float]
"""Seconds to wait after so many attempts."""


@dataclass(frozen=True)
class WriteOutcome:
    """What became of one write: ids and codes, so that a log can say it, and nothing of what the record holds."""

    flow: str
    record: int
    """Its id in common."""
    operation: Operation
    key: str
    """In the target, as it was sent, written as in the crosswalk."""
    outcome: str
    code: str | None = None


@dataclass
class Acknowledged:
    """Counts of records by what became of them, and that of each write."""

    applied: int = 0
    deleted: int = 0
    amended: int = 0
    rejected: int = 0
    postponed: int = 0
    unknown: int = 0
    unconfirmed: int = 0
    stale: list[Delivery] = field(default_factory=list)
    writes: list[WriteOutcome] = field(default_factory=list)


@dataclass
class Unsettled:
    """Writes that were done and leave something to do, each with the record of its root."""

    unconfirmed: list[Planned] = field(default_factory=list)
    """What the system stored has still to be read."""
    elsewhere: list[tuple[Planned, str]] = field(default_factory=list)
    """Creates that the system stored in the record of somebody else, and the words for it."""

    @property
    def others(self) -> set[int]:
        return {planned.record_id for planned, _ in self.elsewhere}


class Acknowledgement:
    """Writes the outcomes of one request's deliveries of one map."""

    def __init__(self, hub: Handle, flow: CompiledMap, pause: Pause) -> None:
        self.hub, self.flow, self.pause = hub, flow, pause
        self.result = Acknowledged()

    def write(self, deliveries: Sequence[Delivery], outcomes: Sequence[Sequence[Outcome]]) -> Acknowledged:
        """All of it in the transaction that is open."""
        take_turns(self.hub.connection, {planned.flow.view.target for each in deliveries for planned in each.writes})
        set_origin(self.hub.connection, f"deliver:{self.flow.mapping.system}")
        done = [(delivery, each) for delivery, each in zip(deliveries, outcomes, strict=True) if _all_applied(each)]
        failed = [
            (delivery, each) for delivery, each in zip(deliveries, outcomes, strict=True) if not _all_applied(each)
        ]
        self._applied(done)
        self._not_applied(failed)
        return self.result

    def _applied(self, done: Sequence[tuple[Delivery, Sequence[Outcome]]]) -> None:
        if not done:
            return
        by_map: dict[str, list[Written]] = defaultdict(list)
        for delivery, outcomes in done:
            self.result.writes += _became(_with_assigned_keys(delivery, outcomes), "applied")
            for planned, outcome in zip(delivery.writes, outcomes, strict=True):
                assert isinstance(outcome, Applied)
                by_map[planned.flow.name].append((planned, outcome))
        unconfirmed: dict[int, list[Planned]] = defaultdict(list)
        elsewhere: dict[int, list[tuple[Planned, str]]] = defaultdict(list)
        for name, written in by_map.items():
            left = self._record(self.hub.compiled.map(name), written)
            for planned in left.unconfirmed:
                unconfirmed[planned.root_id or planned.record_id].append(planned)
            for planned, words in left.elsewhere:
                elsewhere[planned.root_id or planned.record_id].append((planned, words))
        self.result.applied += len(done)
        self.result.deleted += sum(any(each.operation == "delete" for each in delivery.unit) for delivery, _ in done)
        unsettled = unconfirmed.keys() | elsewhere.keys()
        self._finish([delivery for delivery, _ in done if delivery.record_id not in unsettled])
        self._read_back({record: some for record, some in unconfirmed.items() if record not in elsewhere})
        self._show_elsewhere(elsewhere)

    def _finish(self, done: Sequence[Delivery]) -> None:
        map_id = self.hub.id_of(self.flow)
        ids = [delivery.record_id for delivery in done]
        incomplete = [delivery.record_id for delivery in done if delivery.incomplete]
        self.hub.execute(_sql["applied"], {"map_id": map_id, "ids": ids, "incomplete": incomplete})
        self.hub.execute(_sql["applied_in_part"], {"map_id": map_id, "ids": ids})
        note_success(self.hub.connection, map_id)

    def _read_back(self, unconfirmed: Mapping[int, Sequence[Planned]]) -> None:
        """What a system did without saying what it holds now is looked up, as after a request without an answer."""
        rows = [
            {"record_id": record, "identity": [planned.identity(applied=True) for planned in some]}
            for record, some in unconfirmed.items()
        ]
        if rows:
            values = {"map_id": self.hub.id_of(self.flow), "deliveries": simplejson.dumps(rows)}
            self.hub.execute(_sql["read_back"], values)
            self.result.unconfirmed += len(rows)

    def _show_elsewhere(self, elsewhere: Mapping[int, Sequence[tuple[Planned, str]]]) -> None:
        """A create that the system answered with the record of another: for a person to look at, not to be repeated."""
        rows = [
            {
                "record_id": record, "state": "rejected", "code": STORED_ELSEWHERE, "reason": some[0][1],
                "identity": [planned.identity(applied=True) for planned, _ in some],
            }
            for record, some in elsewhere.items()
        ]  # fmt: skip
        if rows:
            values = {"map_id": self.hub.id_of(self.flow), "outcomes": simplejson.dumps(rows)}
            self.hub.execute(_sql["not_applied"], values)
            self.hub.execute(_sql["keep_identity"], values)
            self.result.rejected += len(rows)

    def _record(self, flow: CompiledMap, written: Sequence[Written]) -> Unsettled:
        """Mirror, crosswalk and accepted values of one map's writes, under the keys that the system tells."""
        part_links(self.hub.connection, flow, [p.target_id for p, _ in written if p.ends and p.target_id])
        deleted = [planned for planned, _ in written if planned.write.operation == "delete"]
        left = Unsettled(self._remove(flow, deleted))
        confirmed: list[tuple[Planned, Image, str | None]] = []
        keys: list[tuple[Planned, Image]] = []
        kept = [
            (_under(planned, _key_as_stored(planned, outcome)), outcome)
            for planned, outcome in _without_doubtful(flow, written)
            if planned.write.operation != "delete"
        ]
        rows = self._known(flow, [planned for planned, _ in kept])
        there = [(planned, row.id) for (planned, _), row in zip(kept, rows, strict=True) if row is not None]
        elsewhere = list(self._elsewhere(flow, there))
        under_its_number = _under_their_numbers(flow, written) if elsewhere else set()
        for planned, words in elsewhere:
            if planned.record_id in under_its_number:  # whoever bears that number: the target says nothing of this one
                left.unconfirmed.append(planned)
            else:
                left.elsewhere.append((planned, words))
        others = left.others | {planned.record_id for planned in left.unconfirmed}
        for (planned, outcome), row in zip(kept, rows, strict=True):
            if planned.record_id in others:
                continue
            if outcome.image is None or _is_older(planned, outcome, row):
                left.unconfirmed.append(planned)
                if planned.write.operation == "create" and _key_as_stored(planned, outcome) is not None:
                    keys.append((planned, planned.write.named_key))
            else:
                confirmed.append((planned, outcome.image, outcome.etag))
        seen: list[Seen] = [(image, etag) for _, image, etag in confirmed]
        ids = store(self.hub.connection, flow.view.target, flow.mapping.entity_set, seen)
        created = [
            (planned, target)
            for (planned, _, _), target in zip(confirmed, ids, strict=True)
            if planned.write.operation == "create"
        ]
        link(self.hub, flow, [(planned.record_id, target, planned.root_id) for planned, target in created])
        left.elsewhere += self._elsewhere(flow, created)
        stored = [(planned, image) for planned, image, _ in confirmed if planned.record_id not in left.others]
        self._accept(flow, [*stored, *keys])
        agreed = [(planned.record_id, planned.agreed) for planned, _, _ in confirmed]
        agree(self.hub.connection, flow.view, agreed, certain=True)
        return left

    def _elsewhere(self, flow: CompiledMap, stored: Sequence[tuple[Planned, int]]) -> Iterator[tuple[Planned, str]]:
        """Creates that are stored in the mirror row of another record."""
        creates = {
            planned.record_id: (planned, target) for planned, target in stored if planned.write.operation == "create"
        }
        pairs = [(record, target, None) for record, (_, target) in creates.items()]
        for record, other in paired_with_others(self.hub.connection, flow, pairs).items():
            planned, _ = creates[record]
            key = ",".join(map(str, planned.write.key))
            words = (
                f"{flow.mapping.system} answered its create with the record {key}, which is {other} already; "
                "look at both there, and correct what the system takes for the same, then 'replicator retry'"
            )
            yield planned, words if flow.root is None else named_part(flow, planned.record, words)

    def _remove(self, flow: CompiledMap, deleted: Sequence[Planned]) -> list[Planned]:
        """Forget what was deleted; back come the records of which a read has shown something new meanwhile."""
        held = self._known(flow, deleted)
        both = [(planned, row) for planned, row in zip(deleted, held, strict=True) if row is not None]
        remove(
            self.hub.connection, flow.view.target, [row.id for planned, row in both if row.version == planned.version]
        )
        return [planned for planned, row in both if row.version != planned.version]

    def _known(self, flow: CompiledMap, written: Sequence[Planned]) -> list[Known | None]:
        return known(
            self.hub.connection, flow.view.target, flow.mapping.entity_set, [planned.write.key for planned in written]
        )

    def _accept(self, flow: CompiledMap, written: Sequence[tuple[Planned, Image]]) -> None:
        """Note where the target stored something else than was sent."""
        noted: list[Stored] = []
        amended: set[int] = set()
        fields = {column.name: column for column in flow.view.columns}
        for planned, image in written:
            for name, sent in planned.sent.items():
                stored = image.get(fields[name].field)
                if fields[name].field in image and _is_noted(flow, fields[name], sent, stored):
                    amended |= {planned.record_id} if sent != stored else set()
                    noted.append((planned.record_id, fields[name], sent, stored))
        self._forget(flow, written)
        note_stored(self.hub, flow, noted)
        self.result.amended += len(amended)

    def _forget(self, flow: CompiledMap, written: Sequence[tuple[Planned, Image]]) -> None:
        """What the target made of earlier values of the fields that each of these was sent with."""
        alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for planned, _ in written:
            if planned.sent:
                alike[tuple(sorted(planned.sent))].append(planned.record_id)
        if alike:
            sent = simplejson.dumps([{"ids": ids, "fields": fields} for fields, ids in alike.items()])
            self.hub.execute(_sql["forget_accepted"], {"map_id": self.hub.id_of(flow), "sent": sent})

    def _not_applied(self, failed: Sequence[tuple[Delivery, Sequence[Outcome]]]) -> None:
        if not failed:
            return
        map_id = self.hub.id_of(self.flow)
        ids = [delivery.record_id for delivery, _ in failed]
        tried = self.hub.execute(_sql["attempts"], {"map_id": map_id, "ids": ids})
        attempts = {row.record_id: row.attempts for row in tried}
        rows = [self._row(delivery, outcomes, attempts.get(delivery.record_id, 0)) for delivery, outcomes in failed]
        for (delivery, _), row in zip(failed, rows, strict=True):
            self.result.writes += _became(delivery, str(row["state"]), row.get("code"))
        self.hub.execute(_sql["not_applied"], {"map_id": map_id, "outcomes": simplejson.dumps(rows)})

    def _keep(self, delivery: Delivery, **noted: Mapping[str, object]) -> None:
        """With what is looked up: the refusal that counts where nothing is found."""
        first, *others = delivery.identity
        row = {"record_id": delivery.record_id, "identity": [first | noted, *others]}
        values = {"map_id": self.hub.id_of(self.flow), "outcomes": simplejson.dumps([row])}
        self.hub.execute(_sql["keep_identity"], values)

    def _row(self, delivery: Delivery, outcomes: Sequence[Outcome], attempts: int) -> dict[str, object]:
        worst = worst_of(outcomes)
        planned = delivery.writes[outcomes.index(worst)]
        words = worst.message
        if planned.flow.root is not None and words:
            words = named_part(planned.flow, planned.record, words)
        row: dict[str, object] = {"record_id": delivery.record_id, "reason": words}
        if isinstance(worst, Rejected):
            refusal = {"reason": words, "code": worst.code, "field": worst.field}
            if worst.unsure and any(map(_may_be_renumbered, delivery.writes)):
                self.result.unknown += 1
                self._keep(delivery, refused=refusal)
                return row | {"state": "unknown", "pause": 0}
            self.result.rejected += 1
            return row | refusal | {"state": "rejected"}
        if isinstance(worst, Postponed):
            self.result.postponed += 1
            return row | {"state": "failed", "pause": worst.retry_after or self.pause(attempts)}
        if isinstance(worst, Unknown):
            self.result.unknown += 1
            return row | {"state": "unknown", "pause": self.pause(attempts)}
        if isinstance(worst, Stale):
            self.result.stale.append(delivery)
            if any(map(_may_be_renumbered, delivery.writes)):
                self._keep(delivery, in_the_way={"reason": words, "code": worst.code})
            return row | {"state": "unknown", "pause": 0 if attempts < 3 else self.pause(attempts)}
        assert_never(worst)


def _may_be_renumbered(planned: Planned) -> bool:
    return may_be_renumbered(planned.flow, planned.write)


def _under_their_numbers(flow: CompiledMap, written: Sequence[Written]) -> set[int]:
    """New parts of which all that is known is what bears the numbers that they were sent with; of others none."""
    stored = ((planned, _key_as_stored(planned, outcome)) for planned, outcome in written)
    return {
        planned.record_id
        for planned, key in stored
        if may_be_renumbered(flow, planned.write) and (key is None or comparable(key) == comparable(planned.write.key))
    }


def _without_doubtful(flow: CompiledMap, written: Sequence[Written]) -> Sequence[Written]:
    """A unit is done as a whole: where one new part is not under its number, the numbers of others say nothing."""
    unseen = [planned for planned, outcome in written if outcome.image is None]
    lost = {planned.root_id for planned in unseen if may_be_renumbered(flow, planned.write)}
    if not lost:
        return written

    def says_nothing(planned: Planned, outcome: Applied) -> bool:
        doubtful = may_be_renumbered(flow, planned.write) and is_doubtful(planned.write, outcome.image, outcome.key)
        return planned.root_id in lost and doubtful

    return [(planned, Applied(None, None) if says_nothing(planned, each) else each) for planned, each in written]


def _key_as_stored(planned: Planned, outcome: Applied) -> Key | None:
    """The key under which the system says that it holds what was created; None where it is that of the write."""
    if planned.write.operation != "create" or outcome.image is None:
        return outcome.key
    return tuple(outcome.image[name] for name in planned.write.entity_set.key)


def _is_noted(flow: CompiledMap, column: TargetColumn, sent: object, stored: object) -> bool:
    """Whether what a system made of a value is kept: where it is another one. Keys are compared as systems do."""
    if column.is_key:
        return comparable((sent,)) != comparable((stored,))
    return sent != stored or reports_drift(flow.view)


def _with_assigned_keys(delivery: Delivery, outcomes: Sequence[Outcome]) -> Delivery:
    """The delivery, its creates under the keys that the system gave them."""
    keys = [each.key if isinstance(each, Applied) else None for each in outcomes]
    if not any(keys):
        return delivery
    return replace(delivery, writes=[_under(planned, key) for planned, key in zip(delivery.writes, keys, strict=True)])


def _under(planned: Planned, key: Key | None) -> Planned:
    if key is None or key == planned.write.key:
        return planned
    return replace(planned, write=replace(planned.write, key=key))


def _became(delivery: Delivery, outcome: str, code: object = None) -> Iterator[WriteOutcome]:
    for planned in delivery.writes:
        write = planned.write
        key = ",".join(map(str, write.key))
        yield WriteOutcome(
            planned.flow.name, planned.record_id, write.operation, key, outcome, None if code is None else str(code)
        )


def worst_of(outcomes: Sequence[Outcome]) -> Rejected | Postponed | Unknown | Stale:
    """The outcome that decides a unit: not knowing counts most, then a rejection with words."""

    def weight(outcome: Outcome) -> int:
        place = _WEIGHTS[type(outcome)]
        return place if outcome_message(outcome) else place + len(_WEIGHTS)

    worst = min(outcomes, key=weight)
    assert not isinstance(worst, Applied)
    return worst


def outcome_message(outcome: Outcome) -> str:
    """The words of an outcome; none for an applied one."""
    return "" if isinstance(outcome, Applied) else outcome.message


def _is_older(planned: Planned, outcome: Applied, held: Known | None) -> bool:
    """Whether the answer may be older than what the mirror holds: a read has stored something since the decision."""
    if held is None:
        return planned.version is not None
    same = held.etag is not None and held.etag == outcome.etag
    return held.version != planned.version and not same


def _all_applied(outcomes: Sequence[Outcome]) -> bool:
    return all(isinstance(outcome, Applied) for outcome in outcomes)
