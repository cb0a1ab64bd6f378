"""The connector to Dataverse (Web API 9.2): change tracking, GUID keys, lookups, ``$batch``."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any
from uuid import UUID

from replicator.connectors import dataverse_metadata, exact_json, wire_values
from replicator.connectors.json_rows import JsonRow, JsonRows
from replicator.connectors.odata.addresses import filtered, from_on, literal, query, record_path
from replicator.connectors.odata.answers import Complaint, is_unknown_set
from replicator.connectors.odata.batch import ChangeSet, Part
from replicator.connectors.odata.batch_outcomes import named_field, rejection, with_message
from replicator.connectors.odata.connector import (
    Decode,
    ODataConnector,
    Prepared,
    common_headers,
    safe_etag,
)
from replicator.connectors.odata.odata_settings import DataverseSettings
from replicator.connectors.odata.paging import Sheet, sheets
from replicator.connectors.protocol import (
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
)
from replicator.errors import RequestRefused, TokenExpired, UnexpectedAnswer
from replicator.mapping.language import EntitySetSpec, SystemField
from replicator.mapping.local_days import time_zone

converters: Mapping[str, wire_values.MakeConverter] = {
    "text": wire_values.to_text,
    "integer": wire_values.to_integer,
    "decimal": wire_values.to_decimal,
    "boolean": wire_values.to_boolean,
    "date": wire_values.to_date,
    "timestamp": wire_values.to_timestamp,
    "uuid": wire_values.to_uuid,
}
guid = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
duplicate_codes = frozenset({"0x80040237", "0x80060892", "0x80040333", "0x80073002"})
"""A key that another record has (or the record to create has itself), an alternate key that another has, a rule for
duplicates, a unique index: DuplicateRecord, DuplicateRecordEntityKey, DuplicateRecordsFound and
CrmSQLUniqueIndexOrConstraintViolation of the vendor's list of error codes. They come as 412, 409, 400 or 500."""
business_codes = duplicate_codes | {"0x80040265"}
"""Those, and a rejection by business logic inside the system: the answer may be a 500 all the same."""
changed_code = "0x80060882"
"""The record has another version than the one that was named (ConcurrencyVersionMismatch)."""
passing_codes = frozenset(
    {"0x80044151", "0x80040255", "0x80040251", "0x80072321", "0x80072322", "0x80072326", "0x8005f101"}
)
"""SQL timeout, a transaction that a deadlock rolled back, no active transaction, the three limits of service
protection, an access token that has expired: the moment is to blame, whatever status they come with."""
requests_per_window = 6000
"""For each user and web server (service protection API limits)."""
token_refused = re.compile(r": 410\b|version ?stamp|full sync|delta ?token|expired", re.IGNORECASE)


class Dataverse(ODataConnector):
    """A Dataverse environment. Tokens are the path of a delta link, so they outlive a change of the host."""

    service = "/api/data/v9.2"
    most_operations = 1000  # "Execute batch operations using the Web API"
    capabilities = Capabilities(changes="delta", conditional_writes=True, atomic_units=True)

    def __init__(self, name: str, settings: DataverseSettings, **options: Any) -> None:
        super().__init__(name, settings, **options)
        self._track_changes = settings.track_changes
        self._zone = time_zone(settings.time_zone)
        self._selects_in_writes = True
        self.limits = replace(self.limits, requests_per_window=requests_per_window)

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Pages of the whole set, or of what changed since ``token``; a set without change tracking gives no token."""
        if token is not None:
            return self._read_changes(entity_set, token)
        return self._read_whole(entity_set, tracked=self._track_changes)

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        """Pages of keys and etags; no token is wanted for them."""
        return self._read_whole(keys_only(entity_set), tracked=False)

    def read_since(self, entity_set: EntitySetSpec, field: str, since: Moment) -> Iterator[Page]:
        """Pages of the latest records."""
        spec = entity_set.fields[field]
        value = wire_values.local_midnight(field, spec, since, self._zone) if _is_local_day(spec, since) else since
        asked = from_on(wire_name(field, spec), literal(field, value))
        url = self.http.url(entity_set.entity_set + query(selected(entity_set), asked))
        for sheet in self._sheets(url, entity_set, tracked=False):
            yield self._page(sheet, entity_set)

    def decoder(self, entity_set: EntitySetSpec) -> Decode:
        """A function from a row to its typed values in the order of the declared fields, then the etag."""
        return wire_values.row_decoder(
            [
                wire_values.column(name, wire_name(name, field), field, converter(name, field, self._zone))
                for name, field in entity_set.fields.items()
            ]
        )

    def reading(self, entity_set: EntitySetSpec) -> str:
        """What becomes of a row depends on the zone too."""
        return f"{super().reading(entity_set)} {self._zone}"

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """What EntityDefinitions says of each set."""
        return [dataverse_metadata.describe(self.http, each.entity_set) for each in entity_sets]

    def record_url(self, entity_set: EntitySetSpec, key: Mapping[str, object], *, select: bool = True) -> str:
        """The address of one record by its GUID or by an alternate key."""
        literals = {_key_name(entity_set, name): literal(name, value) for name, value in key.items()}
        path = record_path(entity_set.entity_set, literals)
        return self.http.url(path + query(selected(entity_set)) if select else path)

    def filter_url(self, entity_set: EntitySetSpec, given: Mapping[str, object]) -> str:
        """The address of the records that hold these values."""
        fields = entity_set.fields
        asked = filtered({wire_name(name, fields[name]): literal(name, value) for name, value in given.items()})
        return self.http.url(entity_set.entity_set + query(selected(entity_set), asked))

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """As for every OData system; a service that takes no ``$select`` in a write is asked without, from then on."""
        found = super().apply(units)
        asked = [number for number, outcomes in enumerate(found) if any(map(_minds_select, outcomes))]
        if asked and self._selects_in_writes:
            self._selects_in_writes = False
            again = super().apply([units[number] for number in asked])
            return [again[asked.index(number)] if number in asked else one for number, one in enumerate(found)]
        return found

    def prepare(self, unit: Unit) -> Prepared:
        """A single write is a plain part, several are a change set."""
        parts = tuple(self._part(write) for write in unit)
        return Prepared(unit, (parts[0] if len(parts) == 1 else ChangeSet(parts),))

    def is_outage(self, status: int, words: Complaint) -> bool:
        """Whether an answer speaks of the system's own trouble: a 5xx that is no business logic, or a code of such."""
        code = words.code.lower()
        return code in passing_codes or (super().is_outage(status, words) and code not in business_codes)

    def refusal(self, write: Write, status: int, words: Complaint) -> Outcome:
        """412 is a record that is not as it was known; 404 on an update too, unless it is about another record.

        A key that is taken rejects an update; a create may have been done before, so that it is looked up.
        """
        taken = words.code.lower() in duplicate_codes
        if (write.operation == "create") if taken else (status in (412, 428) or words.code.lower() == changed_code):
            return with_message(Stale("the record was changed, or is there already"), words)
        if write.operation == "update" and status == 404 and not _is_about_another(write, words):
            return with_message(Stale("the record is gone"), words)
        return rejection(status, words, named_field(words.message, write.entity_set, list(write.values)))

    def _part(self, write: Write) -> Part:
        known = "*" if write.etag is None else safe_etag(write.etag)
        if write.operation == "delete":
            headers = {} if write.etag is None else {"If-Match": known}
            return Part("DELETE", self.record_url(write.entity_set, write.named_key, select=False), headers)
        # The GUID is ours and the record must not be there yet: a create that is sent twice happens once.
        condition = {"If-None-Match": "*"} if write.operation == "create" else {"If-Match": known}
        headers = {"Accept": "application/json", "Prefer": "return=representation", **condition}
        body = exact_json.dumps(encoded(write.entity_set, write.values, self._zone))
        url = self.record_url(write.entity_set, write.named_key, select=self._selects_in_writes)
        return Part("PATCH", url, headers, body)

    def _read_whole(self, entity_set: EntitySetSpec, *, tracked: bool) -> Iterator[Page]:
        url = self.http.url(entity_set.entity_set + query(selected(entity_set)))
        found = self._sheets(url, entity_set, tracked=tracked)
        try:
            first = next(found)
        except RequestRefused:
            if not tracked:
                raise
            # Without change tracking some versions refuse the wish instead of ignoring it.
            yield from self._read_whole(entity_set, tracked=False)
            return
        yield self._page(first, entity_set)
        for sheet in found:
            yield self._page(sheet, entity_set)

    def _read_changes(self, entity_set: EntitySetSpec, token: str) -> Iterator[Page]:
        fields, _, place = token.partition(" ")
        if fields != self._mark(entity_set) or not place.startswith("/"):
            raise TokenExpired(f"{self.name}: {entity_set.entity_set}: the token was made for other fields")
        found = self._sheets(self.http.same_origin(place), entity_set, tracked=False)
        try:
            first = next(found)
        except RequestRefused as error:
            if token_refused.search(error.message):
                raise TokenExpired(error.message) from error
            raise
        yield self._page(first, entity_set)
        for sheet in found:
            yield self._page(sheet, entity_set)

    def _sheets(self, url: str, entity_set: EntitySetSpec, *, tracked: bool) -> Iterator[Sheet]:
        size = f"odata.maxpagesize={self.limits.records_per_read}"
        headers = {**common_headers, "Prefer": f"odata.track-changes,{size}" if tracked else size}
        return sheets(self.http, url, headers, entity_set.entity_set)

    def _page(self, sheet: Sheet, entity_set: EntitySetSpec) -> Page:
        rows, gone = _parted(sheet.entries)
        last = sheet.next_link is None
        token = None
        if last and sheet.delta_link is not None:
            token = f"{self._mark(entity_set)} {self.http.place(sheet.delta_link)}"
        return Page(rows, [self._deleted_key(entry, entity_set) for entry in gone], token, last)

    def _mark(self, entity_set: EntitySetSpec) -> str:
        """A mark of what is made of the declared fields: a token goes on giving what it was made with, so others need a
        new one, and so does another zone."""
        made = [*selected(entity_set), *wire_values.zones_of(entity_set, self._zone)]
        return sha256(",".join(made).encode()).hexdigest()[:12]

    def _deleted_key(self, entry: Mapping[str, object], entity_set: EntitySetSpec) -> Key:
        found = guid.search(text) if isinstance(text := entry.get("id", entry.get("@odata.id")), str) else None
        if found is None:
            raise UnexpectedAnswer(f"{self.name}: {entity_set.entity_set}: a deleted record without its GUID")
        return (UUID(found[0]),)


def wire_name(name: str, field: SystemField) -> str:
    """The name under which a field is read."""
    return f"_{name}_value" if field.type == "reference" else name


def selected(entity_set: EntitySetSpec) -> list[str]:
    """The names of the declared fields, as they are read."""
    return [wire_name(name, field) for name, field in entity_set.fields.items()]


def converter(name: str, field: SystemField, zone: datetime.tzinfo = datetime.UTC) -> wire_values.Convert:
    """From a field's JSON value to its typed value."""
    convert = wire_values.converter(converters, name, field, zone)
    if field.empty is None:
        return convert
    return wire_values.without_empty(convert, wire_values.empty_value(name, field, convert))


def encoded(
    entity_set: EntitySetSpec, given: Mapping[str, object], zone: datetime.tzinfo = datetime.UTC
) -> dict[str, object]:
    """The JSON object of the values to write. Raises FieldProblem for a value that does not fit its field."""
    body: dict[str, object] = {}
    for name, value in given.items():
        field = entity_set.fields.get(name)
        if field is None:
            raise FieldProblem(name, None, f"is not a declared field of {entity_set.entity_set}")
        if field.type == "reference":
            body |= _bound(name, field, value)
        else:
            body[name] = _json(name, field, value, zone)
    return body


def _bound(name: str, field: SystemField, value: object) -> dict[str, object]:
    """A reference is written through the navigation property of its target; clearing any of them clears it."""
    target = value.entity_set if isinstance(value, Reference) else field.targets[0]
    if target not in field.targets:
        raise FieldProblem(name, target, "is no entity set this reference may point at")
    key = value.key[0] if isinstance(value, Reference) else value
    wire_values.check_type(name, field, key)
    if isinstance(value, UUID) and len(field.targets) > 1:
        raise FieldProblem(name, value, "may point at several entity sets: say which")
    return {f"{field.navigation_property(name, target)}@odata.bind": None if key is None else f"/{target}({key})"}


def _json(name: str, field: SystemField, value: object, zone: datetime.tzinfo) -> object:
    if value is None and field.empty is not None:
        value = wire_values.empty_value(name, field, converters[field.holds](name))
    value = wire_values.plain_json(name, field, value)
    if field.stored_as and isinstance(value, datetime.date):
        value = wire_values.local_midnight(name, field, value, zone)
    if isinstance(value, datetime.datetime):
        return wire_values.utc_text(value)
    return value.isoformat() if isinstance(value, datetime.date) else value


def _is_local_day(field: SystemField, value: datetime.date) -> bool:
    return field.stored_as is not None and type(value) is datetime.date


def _key_name(entity_set: EntitySetSpec, name: str) -> str:
    field = entity_set.fields.get(name)
    return name if field is None else wire_name(name, field)


def _minds_select(outcome: Outcome) -> bool:
    return isinstance(outcome, Rejected) and "$select" in outcome.message


def _parted(entries: Sequence[Row]) -> tuple[Sequence[Row], list[Row]]:
    """The records of a page, and what tells of deleted ones: few pages have to be decoded to know."""
    if isinstance(entries, JsonRows) and not any(map(_may_be_deleted, entries.raw)):
        return entries, []
    rows, gone = list[Row](), list[Row]()
    for entry in entries:
        (gone if _is_deleted(entry) else rows).append(entry)
    return rows, gone


def _may_be_deleted(raw: bytes) -> bool:
    return b"deletedEntity" in raw or b"removed" in raw


def _is_deleted(entry: Row) -> bool:
    if isinstance(entry, JsonRow) and not _may_be_deleted(entry.raw):
        return False
    context = entry.get("@odata.context")
    return "@removed" in entry or (isinstance(context, str) and context.endswith("/$deletedEntity"))


def _is_about_another(write: Write, words: Complaint) -> bool:
    """Whether a 404 names a record other than the one that was to be changed: a reference that points nowhere."""
    own = {str(value).lower() for value in write.key}
    named = {found.lower() for found in guid.findall(words.message)}
    return is_unknown_set(words) or bool(named - own)
