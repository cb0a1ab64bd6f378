"""The connector to Dynamics 365 Finance and Operations (OData data entities): composite keys, companies, symbols."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, cast
from uuid import uuid4

from replicator.connectors import exact_json, finops_metadata, finops_package, wire_values
from replicator.connectors.json_rows import JsonRow
from replicator.connectors.odata.addresses import filtered, from_on, literal, query, record_path, symbol_literal
from replicator.connectors.odata.answers import Complaint, complaint, is_unknown_set
from replicator.connectors.odata.batch import ChangeSet, Part
from replicator.connectors.odata.batch_outcomes import named_field, rejection, with_message
from replicator.connectors.odata.connector import (
    Decode,
    ODataConnector,
    Prepared,
    common_headers,
    safe_etag,
)
from replicator.connectors.odata.key_characters import NotReached, unreachable, unusual, ways
from replicator.connectors.odata.odata_settings import FinOpsSettings
from replicator.connectors.odata.paging import sheets
from replicator.connectors.odata.part_answers import PartAnswer
from replicator.connectors.protocol import (
    Applied,
    Capabilities,
    Description,
    FieldProblem,
    Key,
    Moment,
    Outcome,
    Page,
    Reference,
    Rejected,
    Row,
    Stale,
    Unit,
    Write,
    keys_only,
    named,
    not_done,
)
from replicator.errors import ReplicatorError
from replicator.mapping.key_comparison import comparable
from replicator.mapping.language import EntitySetSpec, SystemField
from replicator.mapping.local_days import time_zone

every_company = "cross-company=true"
"""Without it only the default company of the user is seen."""
namespace = "Microsoft.Dynamics.DataEntities"
"""Of the types of all entities and enumerations."""
yes_and_no = "NoYes"
"""The enumeration that stands for true and false."""
companies, company_key = "LegalEntities", "LegalEntityId"
"""The set of all companies, and what names one."""
no_date = datetime.date(1900, 1, 1)
"""What the system holds instead of no date."""
noon = datetime.time(12, tzinfo=datetime.UTC)
"""Days travel at noon UTC, so that no time zone makes another day of them."""
keys_per_read = 10_000
"""The most records that the system puts on a page."""
write_exception = "AxODataWriteException"
duplicate_exception = "DuplicateKeyException"
address_refused = re.compile(r"query syntax|\bURI\b|Request\.Path", re.IGNORECASE)
exists = re.compile(r"already exists", re.IGNORECASE)
converters: Mapping[str, wire_values.MakeConverter] = {
    "text": wire_values.to_text,
    "integer": wire_values.to_integer,
    "decimal": wire_values.to_decimal,
    "boolean": wire_values.to_symbol,
    "date": wire_values.to_date,
    "timestamp": wire_values.to_timestamp,
    "uuid": wire_values.to_uuid,
}


class FinOps(ODataConnector):
    """A Finance and Operations environment. It has no change tokens: every read is whole."""

    service = "/data"
    saves_what_it_refuses = True
    capabilities = Capabilities(conditional_writes=True, atomic_units=True)

    def __init__(self, name: str, settings: FinOpsSettings, **options: Any) -> None:
        super().__init__(name, settings, **options)
        self._zone = time_zone(settings.time_zone)
        self._twice = ways[0]
        self._packages = settings.packages
        self.limits = replace(self.limits, keys_per_read=keys_per_read)

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Pages of the whole set, of all companies; ``token`` is not used."""
        return self._pages(entity_set, self.limits.records_per_read)

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        """Pages of keys and etags, of as many as the system gives at once."""
        return self._pages(keys_only(entity_set), self.limits.keys_per_read)

    def new_export(self, entity_set: EntitySetSpec) -> str | None:
        """An execution id for each company that is exported."""
        asked = self._packages.get(entity_set.entity_set)
        return None if asked is None else " ".join(str(uuid4()) for _ in asked.companies)

    def read_export(self, entity_set: EntitySetSpec, export: str, wait: finops_package.Wait) -> Iterator[Page]:
        """Pages of the packages of all companies that are exported, one after the other."""
        asked = self._packages[entity_set.entity_set]
        executions = dict(zip(asked.companies, export.split(), strict=False))
        project = finops_package.PackageExport(asked.project, asked.entity, tuple(executions))
        return finops_package.export_pages(self, entity_set, project, executions, wait)

    def count(self, entity_set: EntitySetSpec) -> int | None:
        """How many records there are, of all companies."""
        url = self.http.url(f"{entity_set.entity_set}/$count?{every_company}")
        told = self.http.send("GET", url, f"{entity_set.entity_set}, count").body.decode("utf-8-sig").strip()
        return int(told) if told.isascii() and told.isdecimal() else None

    def read_since(self, entity_set: EntitySetSpec, field: str, since: Moment) -> Iterator[Page]:
        """Pages of the latest records. Days are stored as moments, so they are asked for as such."""
        moment = datetime.datetime.combine(since, datetime.time()) if type(since) is datetime.date else since
        return self._pages(entity_set, self.limits.records_per_read, from_on(field, literal(field, moment)))

    def _pages(self, entity_set: EntitySetSpec, size: int, *asked: str) -> Iterator[Page]:
        url = self.http.url(entity_set.entity_set + query(list(entity_set.fields), every_company, *asked))
        headers = {**common_headers, "Prefer": f"odata.maxpagesize={size}"}
        for sheet in sheets(self.http, url, headers, entity_set.entity_set):
            yield Page(sheet.entries, last=sheet.next_link is None)

    def decoder(self, entity_set: EntitySetSpec) -> Decode:
        """A function from a row to its typed values in the order of the declared fields, then the etag."""
        return wire_values.row_decoder(
            [
                wire_values.column(name, name, field, converter(name, field, self._zone), symbols=True)
                for name, field in entity_set.fields.items()
            ]
        )

    def reading(self, entity_set: EntitySetSpec) -> str:
        """What becomes of a row depends on the zone too."""
        return f"{super().reading(entity_set)} {self._zone}"

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """What $metadata says of each set: one document for all."""
        return finops_metadata.describe(self.http, [each.entity_set for each in entity_sets])

    def organizations(self) -> frozenset[str]:
        """The legal entities; every record belongs to one."""
        url = self.http.url(f"{companies}?$select={company_key}")
        found = (
            row.get(company_key) for sheet in sheets(self.http, url, common_headers, companies) for row in sheet.entries
        )
        return frozenset(str(name).lower() for name in found)

    def record_url(self, entity_set: EntitySetSpec, key: Mapping[str, object], *, select: bool = True) -> str:
        """The address of one record; the system wants all fields of the key."""
        literals = {name: _key_literal(entity_set, name, value, self._twice) for name, value in key.items()}
        path = record_path(entity_set.entity_set, literals)
        return self.http.url(path + (query(list(entity_set.fields), every_company) if select else f"?{every_company}"))

    def filter_url(self, entity_set: EntitySetSpec, given: Mapping[str, object]) -> str:
        """The address of the records that hold these values, of all companies."""
        asked = filtered({name: _key_literal(entity_set, name, value, "") for name, value in given.items()})
        return self.http.url(entity_set.entity_set + query(list(entity_set.fields), every_company, asked))

    def prepare(self, unit: Unit) -> Prepared:
        """A change set, then a read of each written record: an update is answered without what was stored.

        A create that stands alone is answered with its record, and is not read again.
        """
        write = ChangeSet(tuple(self._part(write) for write in unit))
        read = _read_back(unit)
        gets = tuple(self._get(unit[place].entity_set, unit[place].key) for place in read)
        return Prepared(unit, (write, *gets), read)

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """As for every OData system; what an address did not reach is looked at, and tried by another address."""
        found = super().apply(units)
        for way in ways:
            there = self._there_all_the_same(units, found) if way != self._twice else []
            if there:
                other = copy(self)
                other._twice = way
                again = ODataConnector.apply(other, [units[number] for number in there])
                found = [again[there.index(number)] if number in there else one for number, one in enumerate(found)]
                if any(isinstance(outcome, Applied) for outcomes in again for outcome in outcomes):
                    self._twice = way
        for number, place in _not_reached(found):
            reason = unreachable(units[number][place].named_key)
            found[number] = not_done(units[number], place, Rejected(reason))
        return found

    def _there_all_the_same(self, units: Sequence[Unit], found: list[list[Outcome]]) -> list[int]:
        """The units with a write that reached no record though it is there; what is gone gets its outcome."""
        there = []
        for number, place in _not_reached(found):
            unit = units[number]
            write = unit[place]
            outcome: Outcome = Stale("the record is gone")
            try:
                (row,) = self.fetch(write.entity_set, [write.key])
            except ReplicatorError as error:
                row, outcome = None, Stale(str(error))  # still in doubt: the caller looks it up
            else:
                if row is None and write.operation == "delete" and len(unit) == 1:
                    outcome = Applied(None, None)
            if row is None:
                found[number] = not_done(unit, place, outcome)
            else:
                there.append(number)
        return there

    def found(self, body: Row, entity_set: EntitySetSpec, key: Key) -> Row | None:
        """The record of this key in an answer; a filter gives a list, and takes some characters for wildcards."""
        if isinstance(body, JsonRow) and b'"value"' not in body.raw:
            return body  # most need not be decoded to know
        rows = body.get("value")
        if not isinstance(rows, list):
            return body
        decode = self._decode(entity_set)
        places = [list(entity_set.fields).index(name) for name in entity_set.key]
        for row in rows:
            values = decode(row)
            if comparable(tuple(values[place] for place in places)) == comparable(key):
                return cast("Row", row)
        return None

    def size(self, unit: Unit) -> int:
        """How many requests a unit is: writes, and the reads of what they stored."""
        return len(unit) + len(_read_back(unit))

    def is_outage(self, status: int, words: Complaint) -> bool:
        """Whether an answer speaks of the system's own trouble: business rejections may come as 500 here."""
        return super().is_outage(status, words) and write_exception not in words.types

    def _get(self, entity_set: EntitySetSpec, key: Key) -> Part:
        """A record whose key has unusual characters is asked for by a filter, which takes them all."""
        given = named(entity_set, key)
        if not unusual(given):
            return super()._get(entity_set, key)
        return Part("GET", self.filter_url(entity_set, given), {"Accept": "application/json"})

    def _judge(self, write: Write, part: PartAnswer) -> Outcome:
        if write.operation != "create" and unusual(write.named_key) and part.status in (400, 404):
            words = complaint(part.body, self.http.hide)
            if part.status == 404 or address_refused.search(words.message):
                return NotReached(words.message or "the record is gone")
        return super()._judge(write, part)

    def refusal(self, write: Write, status: int, words: Complaint) -> Outcome:
        """412 and 404 on an update are a record that is not as it was known, and so is a create of what is there."""
        if status in (412, 428):  # 428: it wants to be told which version is meant
            return with_message(Stale("the record was changed"), words)
        if write.operation == "update" and status == 404 and not is_unknown_set(words):
            return with_message(Stale("the record is gone"), words)
        if write.operation == "create" and (duplicate_exception in words.types or exists.search(words.message)):
            return with_message(Stale(words.message), words)
        sent = [*write.entity_set.key, *write.values]
        return rejection(status, words, named_field(words.message, write.entity_set, sent))

    def _part(self, write: Write) -> Part:
        condition = {} if write.etag is None else {"If-Match": safe_etag(write.etag)}
        if write.operation == "delete":
            return Part("DELETE", self.record_url(write.entity_set, write.named_key, select=False), condition)
        headers = {"Accept": "application/json", **condition}
        if write.operation == "create":
            url = self.http.url(f"{write.entity_set.entity_set}?{every_company}")
            return Part("POST", url, headers, self._body(write.entity_set, {**write.named_key, **write.values}))
        url = self.record_url(write.entity_set, write.named_key, select=False)
        return Part("PATCH", url, headers, self._body(write.entity_set, write.values))

    def _body(self, entity_set: EntitySetSpec, given: Mapping[str, object]) -> bytes:
        return exact_json.dumps(encoded(entity_set, given, self._zone))


def _not_reached(found: Sequence[Sequence[Outcome]]) -> list[tuple[int, int]]:
    """The number of each unit with a write that reached no record, and the place of the write in it."""
    return [
        (number, place)
        for number, outcomes in enumerate(found)
        for place, outcome in enumerate(outcomes)
        if isinstance(outcome, NotReached)
    ]


def _read_back(unit: Unit) -> tuple[int, ...]:
    """The places of a unit whose records are read after they were written."""
    if len(unit) == 1 and unit[0].operation == "create":
        return ()
    return tuple(place for place, write in enumerate(unit) if write.operation != "delete")


def converter(name: str, field: SystemField, zone: datetime.tzinfo = datetime.UTC) -> wire_values.Convert:
    """From a field's JSON value to its typed value; the day that stands for no date is no value."""
    convert = wire_values.converter(converters, name, field, zone)
    if field.holds in ("date", "timestamp"):
        convert = _without_no_date(convert)
    if field.empty is None:
        return convert
    return wire_values.without_empty(convert, wire_values.empty_value(name, field, converters[field.holds](name)))


def _without_no_date(convert: wire_values.Convert) -> wire_values.Convert:
    begins = no_date.isoformat()

    def converted(value: object) -> object:
        if type(value) is str and value.startswith(begins):
            convert(value)
            return None
        return convert(value)

    return converted


def encoded(
    entity_set: EntitySetSpec, given: Mapping[str, object], zone: datetime.tzinfo = datetime.UTC
) -> dict[str, object]:
    """The JSON object of the values to write. Raises FieldProblem for a value that does not fit its field."""
    body: dict[str, object] = {}
    for name, value in given.items():
        field = entity_set.fields.get(name)
        if field is None:
            raise FieldProblem(name, None, f"is not a declared field of {entity_set.entity_set}")
        body[name] = _json(name, field, value, zone)
    return body


def _json(name: str, field: SystemField, value: object, zone: datetime.tzinfo) -> object:
    if isinstance(value, Reference):
        (value,) = value.key
    if value is None:
        value = _nothing(name, field)
    value = wire_values.plain_json(name, field, value)
    if field.stored_as and isinstance(value, datetime.date) and value != no_date:
        value = wire_values.local_midnight(name, field, value, zone)
    write = writers.get(type(value))
    return value if write is None else write(value)


def _nothing(name: str, field: SystemField) -> object:
    """What is written for no value."""
    if field.empty is not None:
        return wire_values.empty_value(name, field, converters[field.holds](name))
    if field.holds == "date":
        return no_date
    return datetime.datetime.combine(no_date, noon) if field.holds == "timestamp" else None


def _symbol(value: object) -> str:
    return "Yes" if value else "No"


def _day(value: object) -> str:
    assert isinstance(value, datetime.date)
    return wire_values.utc_text(datetime.datetime.combine(value, noon))


def _time(value: object) -> str:
    assert isinstance(value, datetime.datetime)
    return wire_values.utc_text(value)


writers: Mapping[type, Callable[[object], object]] = {bool: _symbol, datetime.date: _day, datetime.datetime: _time}


def _key_literal(entity_set: EntitySetSpec, name: str, value: object, twice: str) -> str:
    """A key value in an address: texts quoted, an empty one too, symbols with their type, days at noon."""
    field = entity_set.fields.get(name)
    if isinstance(value, bool):
        return symbol_literal(name, f"{namespace}.{yes_and_no}", _symbol(value))
    if isinstance(value, str) and field is not None and field.enum is not None:
        return symbol_literal(name, f"{namespace}.{field.enum}", value)
    if type(value) is datetime.date:
        return literal(name, datetime.datetime.combine(value, noon))
    return literal(name, "" if value is None else value, twice=twice)
