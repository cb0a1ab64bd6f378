"""The records of one JSONL file, by key: decoded, found, and changed line by line, so that a change can be undone."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import simplejson

from replicator.connectors import exact_json, wire_values
from replicator.connectors.protocol import Applied, FieldProblem, Key, Reference, Rejected, Row, Stale, Write, named
from replicator.mapping.language import EntitySetSpec, FieldType, SystemField

ETAG = "@etag"
"""Under this name a row has the etag of its line."""
converters: Mapping[FieldType, wire_values.MakeConverter] = {
    "text": wire_values.to_text,
    "integer": wire_values.to_integer,
    "decimal": wire_values.to_decimal,
    "boolean": wire_values.to_boolean,
    "date": wire_values.to_date,
    "timestamp": wire_values.to_timestamp,
    "uuid": wire_values.to_uuid,
}
ReadRows = Callable[[str, bytes], Iterator[Row]]


def etag_of(line: bytes) -> str:
    """The version of a record: a digest of its line."""
    return sha256(line.strip()).hexdigest()[:32]


def row_decoder(entity_set: EntitySetSpec, zone: datetime.tzinfo = datetime.UTC) -> Callable[[Row], list[object]]:
    """A function from a row to its typed values, then the etag; a field that is not there has no value."""
    columns = [
        wire_values.column(name, name, each, _converter(name, each, zone)) for name, each in entity_set.fields.items()
    ]
    decode = wire_values.row_decoder(columns, etag=ETAG)
    nothing = dict.fromkeys(entity_set.fields)
    places = [(name, list(entity_set.fields).index(name)) for name in entity_set.key]

    def decoded(row: Row) -> list[object]:
        values = decode({**nothing, **row})
        for name, place in places:
            if values[place] is None:
                raise FieldProblem(name, None, "is part of the key, and has no value")
        return values

    return decoded


def _converter(name: str, declared: SystemField, zone: datetime.tzinfo) -> wire_values.Convert:
    convert = wire_values.converter(converters, name, declared, zone)
    if declared.empty is None:
        return convert
    return wire_values.without_empty(convert, wire_values.empty_value(name, declared, convert))


@dataclass
class JsonlRecords:
    """One file's lines. What is written can be undone until it is kept."""

    entity_set: EntitySetSpec
    rows: ReadRows
    given: bytes
    zone: datetime.tzinfo = datetime.UTC
    """Where the people sit whose days are stored as instants."""
    changed: bool = False
    _lines: dict[object, bytes] = field(default_factory=dict)
    """By key; a line whose key cannot be read, or that has the key of another, by a thing of its own."""
    _doubled: set[Key] = field(default_factory=set)
    _undo: list[Callable[[], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        key_of = self._key_reader()
        lines = [line for line in self.given.splitlines() if line.strip()]
        for line, row in zip(lines, self.rows(self.entity_set.entity_set, self.given), strict=True):
            key = key_of(row)
            if key is not None and key in self._lines:
                self._doubled.add(key)
                key = None
            self._lines[object() if key is None else key] = line

    def _key_reader(self) -> Callable[[Row], Key | None]:
        fields = {name: self.entity_set.fields[name] for name in self.entity_set.key}
        decode = row_decoder(self.entity_set.model_copy(update={"fields": fields}), self.zone)

        def key_of(row: Row) -> Key | None:
            try:
                return tuple(decode(row)[:-1])
            except FieldProblem:
                return None

        return key_of

    def get(self, key: Key) -> bytes | None:
        """The line of a record."""
        return self._lines.get(key)

    def row(self, line: bytes) -> Row:
        """A line as a row."""
        return next(self.rows(self.entity_set.entity_set, line))

    def content(self) -> bytes:
        """The whole file."""
        return b"".join(line + b"\n" for line in self._lines.values())

    def keep(self) -> None:
        """What was written stays."""
        self.changed = self.changed or bool(self._undo)
        self._undo.clear()

    def undo(self) -> None:
        """Take back what was written since something was kept; a record that was deleted comes last in the file."""
        while self._undo:
            self._undo.pop()()

    def write(self, write: Write) -> Applied | Rejected | Stale:
        """Do it, or say why not. Raises FieldProblem for a value that does not fit."""
        line = self._lines.get(write.key)
        if write.key in self._doubled:
            return Rejected(f"{shown_key(write.key)} stands more than once in the file: leave one of the lines")
        if line is not None and write.etag is not None and write.etag != etag_of(line):
            return Stale("the record was changed")
        if write.operation == "delete":
            if line is not None:
                self._put(write.key, None)
            return Applied(None, None)
        if (line is None) != (write.operation == "create"):
            return Stale("the record is gone" if line is None else "the record is there already")
        return self._store(write, line)

    def _store(self, write: Write, line: bytes | None) -> Applied | Rejected:
        key = self._assigned(write.key)
        before = {} if line is None else dict(exact_json.loads(line, "the record"))
        given = {**named(self.entity_set, key), **write.values}
        record = {**before, **{name: self._encoded(name, value) for name, value in given.items()}}
        for name, declared in self.entity_set.fields.items():
            if declared.required and record.get(name) is None:
                return Rejected(f"{name} is required, and has no value", field=name)
        new = _line(record)
        *values, etag = row_decoder(write.entity_set, self.zone)({**record, ETAG: etag_of(new)})
        self._put(key, new)
        return Applied(dict(zip(write.entity_set.fields, values, strict=True)), str(etag), key)

    def _put(self, key: Key, line: bytes | None) -> None:
        lines, held = self._lines, self._lines.get(key)
        if held is None:
            self._undo.append(lambda: lines.pop(key))
        else:
            self._undo.append(lambda: lines.update({key: held}))
        if line is None:
            del lines[key]
        else:
            lines[key] = line

    def _assigned(self, key: Key) -> Key:
        """The key of a new record, with what it leaves open: a fresh GUID, or the number after the highest."""
        return tuple(
            self._fresh(place, name) if part is None else part
            for place, (name, part) in enumerate(zip(self.entity_set.key, key, strict=True))
        )

    def _fresh(self, place: int, name: str) -> object:
        kind = self.entity_set.fields[name].holds
        if kind == "uuid":
            return uuid.uuid4()
        if kind == "integer":
            taken = [key[place] for key in self._lines if isinstance(key, tuple)]
            return 1 + max((number for number in taken if isinstance(number, int)), default=0)
        raise FieldProblem(name, None, f"is part of the key, and no {kind} is made up")

    def _encoded(self, name: str, value: object) -> object:
        declared = self.entity_set.fields.get(name)
        if declared is None:
            raise FieldProblem(name, None, f"is not a declared field of {self.entity_set.entity_set}")
        if isinstance(value, Reference):
            (value,) = value.key
        if value is None and declared.empty is not None:
            value = wire_values.empty_value(name, declared, converters[declared.holds](name))
        value = wire_values.plain_json(name, declared, value)
        if isinstance(value, str) and declared.length and len(value) > declared.length:
            raise FieldProblem(name, value, f"is too long: at most {declared.length} characters fit")
        if declared.stored_as and isinstance(value, datetime.date):
            value = wire_values.local_midnight(name, declared, value, self.zone)
        if isinstance(value, datetime.datetime):
            return wire_values.utc_text(value)
        return value.isoformat() if isinstance(value, datetime.date) else value


def _line(record: Mapping[str, object]) -> bytes:
    """A record as it is written: readable where it can be."""
    try:
        return simplejson.dumps(record, use_decimal=True, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a character in a field that is not declared
        return simplejson.dumps(record, use_decimal=True).encode()


def shown_key(key: Key) -> str:
    """A key for people."""
    return ", ".join(map(str, key))
