"""What the connectors of OData systems share: reading by key and applying units through ``$batch``."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import ClassVar

import httpx2

from replicator.connectors import exact_json
from replicator.connectors.json_rows import JsonRow
from replicator.connectors.odata import batch, batch_outcomes
from replicator.connectors.odata.answers import Answer, Complaint, complaint, error_of, is_unknown_set, longest_message
from replicator.connectors.odata.auth import Clock
from replicator.connectors.odata.batch import ChangeSet, Item, Part
from replicator.connectors.odata.batch_sizes import BatchSizes, operations
from replicator.connectors.odata.http import Http, utc_now
from replicator.connectors.odata.odata_settings import ODataSettings
from replicator.connectors.odata.paging import sheets
from replicator.connectors.odata.part_answers import ChangeSetAnswer, ItemAnswer, PartAnswer
from replicator.connectors.odata.passing_refusals import is_passing
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
from replicator.errors import NotSent, ReplicatorError, RequestRefused, SystemUnavailable, Throttled, UnexpectedAnswer
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
    most_operations: ClassVar[int | None] = None
    """The most requests in a batch, where the vendor says; else a refusal tells."""
    saves_what_it_refuses: ClassVar[bool] = False
    """Whether a create may have been saved though its answer says that it was refused."""

    def __init__(
        self,
        name: str,
        settings: ODataSettings,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.name = name
        self.sizes = BatchSizes(self.most_operations)
        self._decoders: dict[str, tuple[EntitySetSpec, Decode]] = {}
        self.limits = replace(settings.limits, request_size=self.most_operations)
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
    def filter_url(self, entity_set: EntitySetSpec, given: Mapping[str, object]) -> str:
        """The address of the records that hold these values. Raises FieldProblem for one that cannot stand in it."""

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
            some = keys[start : start + size]
            what = f"{self.name}: {entity_set.entity_set} by key"
            answers = self._batch([self._get(entity_set, key) for key in some])
            rows.extend(self._row(answer, what, entity_set, key) for answer, key in zip(answers, some, strict=True))
        return rows

    def find(self, entity_set: EntitySetSpec, by: Sequence[str], values: Sequence[Key]) -> list[list[Row]]:
        """One filter for each of the values. What it finds is compared here: some characters are wildcards in one."""
        return [list(self._found(entity_set, by, each)) for each in values]

    def _found(self, entity_set: EntitySetSpec, by: Sequence[str], value: Key) -> Iterator[Row]:
        decode = self._decode(entity_set)
        places = [list(entity_set.fields).index(name) for name in by]
        url = self.filter_url(entity_set, dict(zip(by, value, strict=True)))
        headers = {**common_headers, "Prefer": f"odata.maxpagesize={self.limits.records_per_read}"}
        for sheet in sheets(self.http, url, headers, entity_set.entity_set):
            for row in sheet.entries:
                with suppress(FieldProblem):
                    image = decode(row)
                    if comparable(tuple(image[place] for place in places)) == comparable(value):
                        yield row

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
        """The outcomes of units that go in one request, or in several where the system takes no more at once."""
        items = [item for one in prepared for item in one.items]
        if not items:
            return []
        if not self.sizes.fits(items):
            return self._in_halves(prepared) if len(prepared) > 1 else [self._alone(prepared[0])]
        try:
            answers = self._request(items, writes=True)
        except RequestRefused as refused:
            self._learn(refused, items)
            return self._send(prepared)
        except NotSent as error:
            return [batch_outcomes.same(one.unit, Postponed(str(error))) for one in prepared]
        except (SystemUnavailable, UnexpectedAnswer) as error:
            with suppress(type(error)):
                self._learn(error, items)
            return [batch_outcomes.same(one.unit, Unknown(str(error))) for one in prepared]
        pairs = iter(zip(answers, batch.content_ids(items), strict=True))
        return [self._outcomes(one, list(islice(pairs, len(one.items)))) for one in prepared]

    def _in_halves(self, prepared: Sequence[Prepared]) -> list[list[Outcome]]:
        """The units in two requests or more; what stops the second half leaves the first one done."""
        middle = len(prepared) // 2
        first = self._send(prepared[:middle])
        try:
            return first + self._send(prepared[middle:])
        except ReplicatorError as error:
            pause = error.retry_after if isinstance(error, Throttled) else None
            return first + [batch_outcomes.same(one.unit, Postponed(str(error), pause)) for one in prepared[middle:]]

    def _alone(self, one: Prepared) -> list[Outcome]:
        """A unit larger than a request may be: its reads apart, and its writes in pieces where they are too many too.

        Pieces are no whole: where one fails after others were done, nobody knows but by looking.
        """
        write, *reads = one.items
        pieces: Sequence[Item] = self.sizes.pieces(write) if isinstance(write, ChangeSet) else [write]
        done: list[PartAnswer] = []
        for piece in pieces:
            try:
                (answer,) = self._request([piece], writes=True)
            except RequestRefused as refused:
                if done:
                    return batch_outcomes.same(one.unit, Unknown(f"sent in pieces, and not all: {refused}"))
                self._learn(refused, [piece])
                return self._alone(one)
            except (SystemUnavailable, UnexpectedAnswer, Throttled) as error:
                if not done and isinstance(error, Throttled):
                    raise
                with suppress(type(error)):
                    self._learn(error, [piece])
                is_undone = isinstance(error, NotSent) and not done
                return batch_outcomes.same(one.unit, Postponed(str(error)) if is_undone else Unknown(str(error)))
            (ids,) = batch.content_ids([piece])
            parts = batch_outcomes.good_parts(answer, ids)
            if parts is None:
                if done:
                    return batch_outcomes.same(one.unit, Unknown("sent in pieces, of which a later one was refused"))
                return self._outcomes(one, [(answer, ids)])
            done += parts
        answers = [ChangeSetAnswer(tuple(done)), *self._read_back(reads)]
        return self._outcomes(one, [(answer, ()) for answer in answers])

    def _read_back(self, reads: Sequence[Item]) -> Sequence[ItemAnswer | None]:
        try:
            return self._batch(reads)
        except ReplicatorError:
            return [None] * len(reads)  # the writes are done, and what they stored is read later

    def _learn(self, refused: ReplicatorError, items: Sequence[Item]) -> None:
        """Send less from now on, where a refusal is about the number of these items. Raises it where it is not."""
        is_learnt = self.sizes.learn(refused, items)
        self.limits = replace(self.limits, request_size=self.sizes.most)
        if not is_learnt:
            raise refused

    def _outcomes(self, one: Prepared, pairs: Sequence[tuple[ItemAnswer | None, tuple[str, ...]]]) -> list[Outcome]:
        (answer, ids), *reads = pairs
        read_back = dict(zip(one.read, (read for read, _ in reads), strict=False))

        def success(place: int, part: PartAnswer) -> Applied:
            write = one.unit[place]
            if write.operation == "delete":
                return Applied(None, None)
            if place not in read_back:
                return self._applied(write, part)
            return self._under_its_own_key(write, part) or self._applied(write, read_back[place])

        return batch_outcomes.unit_outcomes(one.unit, ids, answer, success, self._judge)

    def _under_its_own_key(self, write: Write, part: PartAnswer) -> Applied | None:
        """What the answer to a create tells, where the system stored it under another key: no read-back finds it."""
        told = self._applied(write, part)
        if write.operation != "create" or told.image is None:
            return None
        key = tuple(told.image[name] for name in write.entity_set.key)
        return None if comparable(key) == comparable(write.key) else told

    def _applied(self, write: Write, part: ItemAnswer | None) -> Applied:
        """What the system stored, according to an answer with the record in it; an empty Applied where it has none."""
        if not isinstance(part, PartAnswer) or part.status not in (200, 201):
            return Applied(None, None)
        try:
            row = self.found(JsonRow(part.body, self.name), write.entity_set, write.key)
            if row is None:
                return Applied(None, None)
            *values, etag = self._decode(write.entity_set)(row)
        except (FieldProblem, UnexpectedAnswer):
            return Applied(None, None)
        image: Image = dict(zip(write.entity_set.fields, values, strict=True))
        return Applied(image, etag if isinstance(etag, str) else part.headers.get("etag"))

    def _decode(self, entity_set: EntitySetSpec) -> Decode:
        """The decoder of an entity set, made for its first answer."""
        made_for, decode = self._decoders.get(entity_set.entity_set, (None, None))
        if decode is None or made_for is not entity_set:
            decode = self.decoder(entity_set)
            self._decoders[entity_set.entity_set] = entity_set, decode
        return decode

    def _judge(self, write: Write, part: PartAnswer) -> Outcome:
        words = complaint(part.body, self.http.hide)
        what = f"{self.name}: {write.entity_set.entity_set}"
        wait = self.http.note_pause(part.status, part.headers, what, writes=True)
        seconds = None if wait is None else wait.seconds
        if part.status == 429:
            return Postponed(f"the system is throttling and {wait}", seconds)
        if part.status == 401 or self.is_outage(part.status, words) or (part.status != 412 and is_passing(words)):
            return Postponed(words.message or f"the system answered {part.status}", seconds)
        if part.status < 400:
            return Unknown(f"the system answered {part.status}")
        if write.operation == "delete" and part.status == 404 and not is_unknown_set(words):
            return Applied(None, None)
        return self.refusal(write, part.status, words)

    def _settled(self, units: Sequence[Unit], found: list[list[Outcome]]) -> list[list[Outcome]]:
        """The outcomes, with refused creates looked up: is the record there, or is another one in its way?"""
        places: dict[str, list[tuple[int, int]]] = {}
        for number, (unit, result) in enumerate(zip(units, found, strict=True)):
            for place in batch_outcomes.doubtful(unit, result, saves_what_it_refuses=self.saves_what_it_refuses):
                places.setdefault(unit[place].entity_set.entity_set, []).append((number, place))
        there: dict[int, dict[int, bool]] = {}
        for each in places.values():
            for (number, place), is_there in self._there(units, each).items():
                there.setdefault(number, {})[place] = is_there
        return [
            batch_outcomes.looked_up(unit, result, there.get(number, {}))
            for number, (unit, result) in enumerate(zip(units, found, strict=True))
        ]

    def _there(self, units: Sequence[Unit], places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bool]:
        """Whether the records of ``places`` (unit, write; all of one set) are there; empty where none can be read."""
        writes = [units[number][place] for number, place in places]
        try:
            rows = self.fetch(writes[0].entity_set, [write.key for write in writes])
        except ReplicatorError:
            return {}  # still in doubt, so still Stale: the caller looks each one up
        return {where: row is not None for where, row in zip(places, rows, strict=True)}

    def _get(self, entity_set: EntitySetSpec, key: Key) -> Part:
        return Part("GET", self.record_url(entity_set, named(entity_set, key)), {"Accept": "application/json"})

    def _row(self, answer: ItemAnswer | None, what: str, entity_set: EntitySetSpec, key: Key) -> Row | None:
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
        return self.found(exact_json.loads(answer.body, what), entity_set, key)

    def found(self, body: Row, entity_set: EntitySetSpec, key: Key) -> Row | None:
        """The record of this key in the answer to ``_get``; None where it is not there."""
        return body

    def _batch(self, items: Sequence[Item]) -> list[ItemAnswer | None]:
        """The answers to items that only read, in as many requests as it takes."""
        found: list[ItemAnswer | None] = []
        waiting = deque(self.sizes.requests(items))
        while waiting:
            group = waiting.popleft()
            try:
                found += self._request(group)
            except (RequestRefused, SystemUnavailable) as refused:
                self._learn(refused, group)
                waiting.extendleft(reversed([*self.sizes.requests(group)]))
        return found

    def _request(self, items: Sequence[Item], *, writes: bool = False) -> list[ItemAnswer | None]:
        """The answers to one batch, one for each item; None where the system gave up before it."""
        content_type, body = batch.build(items)
        accepted = {"Accept": "multipart/mixed", "Content-Type": content_type, "Prefer": "odata.continue-on-error"}
        what = f"batch of {operations(items)}"
        answer = self.http.send(
            "POST", self.http.url("$batch"), what, headers={**common_headers, **accepted}, content=body, writes=writes
        )
        try:
            found = batch.parse(answer.headers.get("content-type", ""), answer.body, items)
        except UnexpectedAnswer as error:
            raise UnexpectedAnswer(f"{self.name}: {what}: {visible(self.http.hide(error.message))}") from error
        if len(found) > len(items):
            raise UnexpectedAnswer(f"{self.name}: {what}: {len(found)} answers came")
        return [*found, *[None] * (len(items) - len(found))]


def safe_etag(etag: str) -> str:
    """An etag that can stand in a header line of a batch part. Raises FieldProblem for one that would leave it."""
    if not etag.isascii() or not etag.isprintable():
        raise FieldProblem("@odata.etag", etag, "holds characters that do not belong into an etag")
    return etag
