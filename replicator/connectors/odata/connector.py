"""What the connectors of OData systems share: reading by key and applying units through ``$batch``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

import httpx2

from replicator.connectors import exact_json
from replicator.connectors.odata import batch, batch_outcomes
from replicator.connectors.odata.answers import Answer, Complaint, complaint, error_of, longest_message
from replicator.connectors.odata.auth import Clock
from replicator.connectors.odata.batch import Item, ItemAnswer, Part, PartAnswer
from replicator.connectors.odata.http import Http, utc_now
from replicator.connectors.odata.odata_settings import ODataSettings
from replicator.connectors.protocol import (
    Applied,
    Connector,
    Description,
    FieldProblem,
    Image,
    Key,
    Outcome,
    Page,
    Postponed,
    Rejected,
    Row,
    Unit,
    Unknown,
    Usage,
    Write,
    named,
    not_done,
)
from replicator.errors import NotSent, ReplicatorError, SystemUnavailable, UnexpectedAnswer
from replicator.mapping.key_comparison import comparable
from replicator.mapping.language import EntitySetSpec
from replicator.text import visible

common_headers = {"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"}
Decode = Callable[[Row], list[object]]


@dataclass(frozen=True)
class Prepared:
    """A unit as it is sent: ``items[0]`` writes, the others read back the writes at the places ``read``."""

    unit: Unit
    items: tuple[Item, ...]
    read: tuple[int, ...] = ()


class ODataConnector(Connector):
    """Base of the OData connectors (see ``replicator.connectors.protocol.Connector`` for what each method promises)."""

    service: ClassVar[str]
    """The path of the service under the system's address."""

    def __init__(
        self,
        name: str,
        settings: ODataSettings,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.name = name
        self.limits = settings.limits
        self.http = Http(name, settings, self.service, transport=transport, clock=clock)

    @abstractmethod
    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Pages of the whole set, or of what changed since ``token``."""

    @abstractmethod
    def decoder(self, entity_set: EntitySetSpec) -> Decode:
        """A function from a row to its typed values, then the etag."""

    @abstractmethod
    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """The system's own description of these sets; None where it knows no such set."""

    def clock_skew(self) -> float | None:
        """Seconds by which the system's clock was ahead of ours in its last answer."""
        return self.http.skew

    @abstractmethod
    def record_url(self, entity_set: EntitySetSpec, key: Mapping[str, object], *, select: bool = True) -> str:
        """The address of one record, with the declared fields selected. Raises FieldProblem for an impossible key."""

    @abstractmethod
    def prepare(self, unit: Unit) -> Prepared:
        """The requests of a unit. Raises FieldProblem for a value that the system cannot be sent."""

    @abstractmethod
    def refusal(self, write: Write, status: int, words: Complaint) -> Outcome:
        """What a refusal of a write means; throttling and outages are sorted out before."""

    def is_outage(self, status: int, words: Complaint) -> bool:
        """Whether an answer speaks of the system's own trouble rather than of the write."""
        return status >= 500 or status == 408

    def usage(self) -> Usage:
        """Requests sent since it was made, and what the system said about further ones."""
        return Usage(self.http.requests, self.http.budget, self.http.paused_until())

    def close(self) -> None:
        """Release connections."""
        self.http.close()

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """The records with these keys, in the same order; None where there is none.

        Raises what ``Http.send`` raises, also for the first part that was refused.
        """
        rows: list[Row | None] = []
        size = self.limits.writes_per_request
        for start in range(0, len(keys), size):
            parts = [self._get(entity_set, key) for key in keys[start : start + size]]
            what = f"{self.name}: {entity_set.entity_set} by key"
            rows.extend(self._row(answer, what) for answer in self._batch(parts))
        return rows

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Send units in one request; for each unit the outcomes of its writes, in order.

        ``Applied.image`` is None after a delete, and where the system did not say what it stored: then the caller
        reads the record by its key. Raises Throttled, AccessDenied and RequestRefused: then nothing was done.
        """
        prepared = [self._prepared(unit) for unit in units]
        done = iter(self._send([one for one in prepared if isinstance(one, Prepared)]))
        found = [next(done) if isinstance(one, Prepared) else one for one in prepared]
        return self._settled(units, found)

    def _prepared(self, unit: Unit) -> Prepared | list[Outcome]:
        if not unit:
            return []
        try:
            return self.prepare(unit)
        except FieldProblem as problem:
            place = next((number for number, write in enumerate(unit) if problem.field in write.values), 0)
            return not_done(unit, place, Rejected(str(problem)[:longest_message], field=problem.field))

    def _send(self, prepared: Sequence[Prepared]) -> list[list[Outcome]]:
        if not prepared:
            return []
        items = [item for one in prepared for item in one.items]
        try:
            answers = self._batch(items, writes=True)
        except NotSent as error:
            return [batch_outcomes.same(one.unit, Postponed(str(error))) for one in prepared]
        except (SystemUnavailable, UnexpectedAnswer) as error:
            return [batch_outcomes.same(one.unit, Unknown(str(error))) for one in prepared]
        pairs = iter(zip(answers, batch.content_ids(items), strict=True))
        return [self._outcomes(one, list(islice(pairs, len(one.items)))) for one in prepared]

    def _outcomes(self, one: Prepared, pairs: Sequence[tuple[ItemAnswer | None, tuple[str, ...]]]) -> list[Outcome]:
        (answer, ids), *reads = pairs
        read_back = dict(zip(one.read, (read for read, _ in reads), strict=True))

        def success(place: int, part: PartAnswer) -> Applied:
            write = one.unit[place]
            if write.operation == "delete":
                return Applied(None, None)
            if place not in read_back:
                return self._applied(write.entity_set, part)
            read = self._applied(write.entity_set, read_back[place])
            return self._under_its_own_key(write, part) or read if read.image is None else read

        return batch_outcomes.unit_outcomes(one.unit, ids, answer, success, self._judge)

    def _under_its_own_key(self, write: Write, part: PartAnswer) -> Applied | None:
        """What the answer to a create tells, where the system stored it under another key: no read-back finds it."""
        told = self._applied(write.entity_set, part)
        if write.operation != "create" or told.image is None:
            return None
        key = tuple(told.image[name] for name in write.entity_set.key)
        return None if comparable(key) == comparable(write.key) else told

    def _applied(self, entity_set: EntitySetSpec, part: ItemAnswer | None) -> Applied:
        """What the system stored, according to an answer with the record in it; an empty Applied where it has none."""
        if not isinstance(part, PartAnswer) or part.status not in (200, 201):
            return Applied(None, None)
        try:
            *values, etag = self.decoder(entity_set)(exact_json.loads(part.body, self.name))
        except (FieldProblem, UnexpectedAnswer):
            return Applied(None, None)
        image: Image = dict(zip(entity_set.fields, values, strict=True))
        return Applied(image, etag if isinstance(etag, str) else part.headers.get("etag"))

    def _judge(self, write: Write, part: PartAnswer) -> Outcome:
        words = complaint(part.body, self.http.hide)
        what = f"{self.name}: {write.entity_set.entity_set}"
        wait = self.http.note_pause(part.status, part.headers, what, writes=True)
        seconds = None if wait is None else wait.seconds
        if part.status == 429:
            return Postponed(f"the system is throttling and {wait}", seconds)
        if self.is_outage(part.status, words):
            return Postponed(words.message or f"the system answered {part.status}", seconds)
        if part.status < 400:
            return Unknown(f"the system answered {part.status}")
        if write.operation == "delete" and part.status == 404 and not is_unknown_set(words):
            return Applied(None, None)
        return self.refusal(write, part.status, words)

    def _settled(self, units: Sequence[Unit], found: list[list[Outcome]]) -> list[list[Outcome]]:
        """The outcomes, with refused creates looked up: is the record there, or is another one in its way?"""
        doubtful: dict[str, list[tuple[int, int]]] = {}
        for number, (unit, result) in enumerate(zip(units, found, strict=True)):
            for place, (write, outcome) in enumerate(zip(unit, result, strict=True)):
                if batch_outcomes.is_doubtful(write, outcome):
                    doubtful.setdefault(write.entity_set.entity_set, []).append((number, place))
        missing: dict[int, list[int]] = {}
        for places in doubtful.values():
            for number, place in self._missing(units, places):
                missing.setdefault(number, []).append(place)
        return [
            batch_outcomes.duplicates(unit, result, missing.get(number, ()))
            for number, (unit, result) in enumerate(zip(units, found, strict=True))
        ]

    def _missing(self, units: Sequence[Unit], places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Those of ``places`` (unit, write; all of one entity set) whose record is not there."""
        writes = [units[number][place] for number, place in places]
        try:
            rows = self.fetch(writes[0].entity_set, [write.key for write in writes])
        except ReplicatorError:
            return []  # still in doubt, so still Stale: the caller looks each one up
        return [where for where, row in zip(places, rows, strict=True) if row is None]

    def _get(self, entity_set: EntitySetSpec, key: Key) -> Part:
        return Part("GET", self.record_url(entity_set, named(entity_set, key)), {"Accept": "application/json"})

    def _row(self, answer: ItemAnswer | None, what: str) -> Row | None:
        if not isinstance(answer, PartAnswer):
            raise UnexpectedAnswer(f"{what}: the answer to the batch lacks a record")
        words = complaint(answer.body, self.http.hide)
        if answer.status == 404 and words.message and not is_unknown_set(words):
            return None
        whole = Answer(answer.status, answer.headers, answer.body)
        longest = self.http.settings.longest_pause_seconds
        error = error_of(whole, what, self.http.clock(), longest, self.http.hide)
        self.http.note_pause(answer.status, answer.headers, what, writes=False)
        if error is not None:
            raise error
        return exact_json.loads(answer.body, what)

    def _batch(self, items: Sequence[Item], *, writes: bool = False) -> list[ItemAnswer | None]:
        """The answers to a batch, one for each item; None where the system gave up before it."""
        content_type, body = batch.build(items)
        headers = {**common_headers, "Content-Type": content_type, "Prefer": "odata.continue-on-error"}
        what = f"batch of {len(items)}"
        answer = self.http.send("POST", self.http.url("$batch"), what, headers=headers, content=body, writes=writes)
        if answer.media_type != "multipart/mixed":
            raise UnexpectedAnswer(
                f"{self.name}: {what}: {answer.media_type or 'no content type'}, not multipart/mixed"
            )
        try:
            found = batch.parse(answer.headers["content-type"], answer.body)
        except UnexpectedAnswer as error:
            raise UnexpectedAnswer(f"{self.name}: {what}: {visible(self.http.hide(error.message))}") from error
        if len(found) > len(items):
            raise UnexpectedAnswer(f"{self.name}: {what}: {len(found)} answers came")
        return [*found, *[None] * (len(items) - len(found))]


def is_unknown_set(words: Complaint) -> bool:
    """Whether a 404 is about the entity set, not about the record: then nothing follows for the record."""
    said = words.message.lower()
    return "not found for the segment" in said or "no http resource" in said


def safe_etag(etag: str) -> str:
    """An etag that can stand in a header line of a batch part. Raises FieldProblem for one that would leave it."""
    if not etag.isascii() or not etag.isprintable():
        raise FieldProblem("@odata.etag", etag, "holds characters that do not belong into an etag")
    return etag
