"""The connector protocol: what the replicator asks of any system, and the outcomes it can get."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Protocol, TypeAlias

import simplejson

from replicator.mapping.key_comparison import comparable
from replicator.mapping.language import EntitySetSpec, FieldType

_shown_characters = 100
"""Of a value in a message."""
Operation = Literal["create", "update", "delete"]
Row: TypeAlias = Mapping[str, object]
"""A record as the system's JSON had it: the system's own names, numbers as int or Decimal. In a read it may be a
``JsonRow``, which keeps its bytes: a whole read decodes those only that it has not seen before."""
Key: TypeAlias = tuple[object, ...]
"""A record's key in its system: the typed values of its entity set's key fields, in the order of ``spec.key``."""
Moment: TypeAlias = datetime | date
"""By which later records are told from earlier ones."""
Image: TypeAlias = dict[str, object]
"""A record decoded: field name to typed value (str, int, Decimal, bool, date, datetime, UUID, None)."""


@dataclass(frozen=True)
class Page:
    """One page of a read. ``token`` stands on the last page only, where the system gives one for later changes.

    ``deleted`` are the keys of records that are gone, as a read of changes tells of them.
    """

    rows: Sequence[Row]
    deleted: Sequence[Key] = ()
    token: str | None = None
    last: bool = False


class FieldProblem(ValueError):
    """A value that does not fit its field: bad type, out of range, text that a database cannot hold.

    ``value`` is None where there is none, and the problem is about the field.
    """

    def __init__(self, name: str, value: object, why: str) -> None:
        super().__init__(f"{name}: {why}" if value is None else f"{name}: {shown(value)} {why}")
        self.field = name
        self.value = value
        self.why = why


def shown(value: object) -> str:
    """A value for people and for the hub: as in JSON, a text with what cannot be shown escaped, and cut."""
    text = repr(value) if isinstance(value, str) else _json(value)
    # The mark that closes a text stays.
    return text if len(text) <= _shown_characters else f"{text[: _shown_characters - 4]}...{text[-1]}"


def _json(value: object) -> str:
    return simplejson.dumps(value, use_decimal=True, default=str, allow_nan=True)


@dataclass(frozen=True)
class Reference:
    """A value that points at a record of another entity set by its key in the system."""

    entity_set: str
    key: Key


@dataclass(frozen=True)
class Write:
    """One write to one record. ``key`` is there for a create too; None in it is for the system to assign."""

    entity_set: EntitySetSpec
    operation: Operation
    key: Key
    values: Mapping[str, object] = field(default_factory=dict)
    etag: str | None = None

    @property
    def named_key(self) -> dict[str, object]:
        """The key by the names of its fields."""
        return named(self.entity_set, self.key)


def keys_only(entity_set: EntitySetSpec) -> EntitySetSpec:
    """The set with the fields of its key and no others."""
    return entity_set.model_copy(update={"fields": {name: entity_set.fields[name] for name in entity_set.key}})


def named(entity_set: EntitySetSpec, key: Key) -> dict[str, object]:
    """A key by the names of its fields."""
    return dict(zip(entity_set.key, key, strict=True))


Unit: TypeAlias = tuple[Write, ...]
"""Writes that happen together or not at all, in this order."""


@dataclass(frozen=True)
class Applied:
    """The system did it. ``image`` is what it stored afterwards (None for a delete), ``etag`` its version.

    ``key`` is that of a create of which the system assigned parts. Where it could not be told (an answer without the
    record), ``image`` and ``key`` are None, and the record is found by its business key.
    """

    image: Image | None
    etag: str | None
    key: Key | None = None


@dataclass(frozen=True)
class Rejected:
    """The system said no for a reason of business; ``message`` in the system's own words."""

    message: str
    code: str = ""
    field: str | None = None
    unsure: bool = False
    """A create that the system may have done all the same: under its key there is none, so under one of its own."""


@dataclass(frozen=True)
class Postponed:
    """Not done, and trying again later may help; ``retry_after`` in seconds where the system said so."""

    message: str
    retry_after: float | None = None


@dataclass(frozen=True)
class Unknown:
    """No answer: it may or may not have been done. The record has to be looked up before anything else."""

    message: str


@dataclass(frozen=True)
class Stale:
    """The record is not as it was known: changed since (412), already there on create, or gone on update (404)."""

    message: str
    code: str = ""


Outcome: TypeAlias = Applied | Rejected | Postponed | Unknown | Stale


def not_done(unit: Unit, place: int, outcome: Outcome) -> list[Outcome]:
    """The outcomes of a unit of which nothing was done, because of the write at ``place``."""
    others: Outcome = outcome
    if isinstance(outcome, Rejected):
        others = Rejected("")
    elif isinstance(outcome, Stale):
        others = Postponed("not done, because another write of the same unit was not")
    return [outcome if number == place else others for number in range(len(unit))]


@dataclass(frozen=True)
class Property:
    """A field as the system itself describes it, under the name that ``schema/`` uses."""

    kind: str
    """The system's own word for its type."""
    types: tuple[FieldType, ...]
    """What it may be called in ``schema/``; none where the replicator does not know its like."""
    length: int | None = None
    required: bool = False
    writable: bool = True
    """Whether a create takes it."""
    changeable: bool = True
    """Whether an update takes it."""
    stored_as: str | None = None
    """Of a date: as what it may be declared, ``day`` or ``local midnight``; None where the system does not tell."""
    nullable: bool = True
    """Whether no value may be written as null."""
    enum: str = ""
    """The enumeration whose symbols its values are."""
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True)
class Description:
    """An entity set as the system itself describes it."""

    fields: Mapping[str, Property]
    key: tuple[str, ...]
    other_keys: tuple[tuple[str, ...], ...] = ()
    """Further fields by which it tells records apart."""
    tracks_changes: bool | None = None
    """Whether it can say what changed; None where the system has no such thing."""
    tells_lengths: bool = True
    """Whether a text without a length has none; some systems never tell."""


Changes = Literal["delta", "log", "since", "whole"]
"""How a system tells by itself what changed. delta: it gives a token, and later what changed since, deletes too. log:
it has a log of changes that is read on. since: it tells what changed since a token, deletes only show in a whole read.
whole: it tells nothing, or only that anything changed at all."""
tells_deletes: frozenset[Changes] = frozenset({"delta", "log"})
"""Ways in which a read of changes also tells what is gone; the others need a whole read for that now and then."""


@dataclass(frozen=True)
class Capabilities:
    """What a system can do, as its connector knows it; the defaults are those of a system that can do little."""

    changes: Changes = "whole"
    conditional_writes: bool = False
    """It refuses a write with the etag of another version. Without that, who writes last wins."""
    atomic_units: bool = False
    """Several writes happen together or not at all. Without that, no record with parts can be sent to it."""
    assigns_keys: bool = False
    """A create may leave parts of its key open (None in ``Write.key``): the system fills them in."""
    pushes: bool = False
    """``wait_for_change`` returns as soon as something changed."""


@dataclass(frozen=True)
class Limits:
    """What one request may carry and how many may be under way."""

    records_per_read: int = 5000
    writes_per_request: int = 100
    parallel_requests: int = 4
    request_size: int | None = None
    """The most that the units of a request may add up to by ``Connector.size``; None: only the writes are counted."""
    keys_per_read: int = 5000
    """Records on a page of which only key and etag are wanted."""
    requests_per_window: int | None = None
    """The most requests that it bears in five minutes, where that is a fixed number."""


@dataclass(frozen=True)
class Usage:
    """How much a system was asked so far, how much it said it will still bear, and its pause, if it asked for one."""

    requests: int
    budget_left: int | None = None
    paused_until: datetime | None = None


class Connector(Protocol):
    """One system. Methods may be called from several threads at once.

    Errors that concern a whole request are raised (``replicator.errors``); what concerns one write is an outcome.
    A class that names this one as its base inherits what most systems need not say: ``sweep``, ``read_since``,
    ``reading``, ``size``, ``clock_skew``, ``wait_for_change``, ``close``.
    """

    name: str
    limits: Limits
    capabilities: Capabilities

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Pages of the whole set (``token`` None) or of what changed since ``token``; the last page says so.

        Raises TokenExpired when ``token`` is no longer good; then the set has to be read whole.
        """

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        """Pages of the whole set, of whose rows only key and etag are wanted: what changed has another etag."""
        return self.read(keys_only(entity_set), None)

    def read_since(self, entity_set: EntitySetSpec, field: str, since: Moment) -> Iterator[Page]:
        """Pages of the records that hold ``since`` or something later in ``field``.

        What is here reads the whole set; a system that can be asked for a few records overrides it.
        """
        decode = self.decoder(entity_set)
        place = list(entity_set.fields).index(field)

        def is_later(row: Row) -> bool:
            try:
                value = decode(row)[place]
            except FieldProblem:
                return True
            return value is not None and value >= since  # type: ignore[operator]

        for page in self.read(entity_set, None):
            yield Page([row for row in page.rows if is_later(row)], last=page.last)

    def new_export(self, entity_set: EntitySetSpec) -> str | None:
        """What an export of the whole set is to be called, so that it can be found again whatever happens; nothing is
        sent for it. None where the set is read page by page: that is the way of most systems.
        """
        return None

    def read_export(self, entity_set: EntitySetSpec, export: str, wait: Callable[[float], bool]) -> Iterator[Page]:
        """Pages of the whole set as they were at some moment since ``new_export``, by one that is begun here unless it
        was before. Rows need no etag. ``wait`` lets so many seconds pass; False: nobody waits.

        Raises ExportUnderWay where it has not ended yet, and ExportEnded where nothing good comes of it any more.
        What is here is for systems without exports.
        """
        return self.read(entity_set, None)

    def count(self, entity_set: EntitySetSpec) -> int | None:
        """How many records the set has, where the system tells that for little; else None."""
        return None

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        """A function from a row to its typed values in the order of ``entity_set.fields``, then the etag.

        Raises FieldProblem for the first value that does not fit.
        """

    def reading(self, entity_set: EntitySetSpec) -> str:
        """What the decoder makes of a row, as far as it depends on other things than the row: with another text, rows
        that are known by their bytes (``JsonRow``) are decoded again.
        """
        described = {"fields": {"__all__": {"description"}}}
        return entity_set.model_dump_json(include={"key": True, "fields": True}, exclude=described)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """The records with these keys, in the same order; None where there is none."""

    def find(self, entity_set: EntitySetSpec, by: Sequence[str], values: Sequence[Key]) -> list[list[Row]]:
        """For each of ``values`` the records that have them in the fields ``by``, compared as the system compares keys.

        By this a create whose key the system assigns is found when its answer was lost: asked only where it does. What
        is here reads the whole set; a system that can be asked for a few records overrides it.
        """
        decode = self.decoder(entity_set)
        places = [list(entity_set.fields).index(name) for name in by]
        found: dict[Key, list[Row]] = {comparable(each): [] for each in values}
        for page in self.read(entity_set, None):
            for row in page.rows:
                with suppress(FieldProblem):
                    image = decode(row)
                    found.get(comparable(tuple(image[place] for place in places)), []).append(row)
        return [found[comparable(each)] for each in values]

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """The system's own description of these sets, in the same order; None where it knows no such set."""

    def organizations(self) -> frozenset[str] | None:
        """The organizations of the system by name, in lower case; None where its records belong to none."""
        return None

    def clock_skew(self) -> float | None:
        """Seconds by which the system's clock was ahead of ours in its last answer; None where none told the time."""
        return None

    def size(self, unit: Unit) -> int:
        """How much of ``limits.request_size`` a unit takes, in what the system counts: bytes, rows, operations."""
        return len(unit)

    def wait_for_change(self, seconds: float) -> bool:
        """Wait at most so long for the system to say that something changed; whether it did.

        It says *read now* and nothing else. For systems with ``capabilities.pushes``, from a thread of its own.
        """
        return False

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Send units in one request; for each unit the outcomes of its writes, in order.

        A unit either has only Applied outcomes or none. In a unit that was rejected, the write to blame carries the
        message and the others carry Rejected with an empty message. A request that was answered but not
        understood, or not answered, gives Unknown for each write it contained.
        """

    def usage(self) -> Usage:
        """Requests sent since it was made, and what the system said about further ones."""

    def close(self) -> None:
        """Release connections."""
        return
