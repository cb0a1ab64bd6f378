"""The connector to a folder of JSONL files: an entity set is a file, a record is a line. The worked example of one.

A field that a line lacks has no value. What changed is not told, only whether anything did. The etag is a digest of
the line; what ``schema/`` does not declare stays in its line as it is.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256

from replicator.connectors import exact_json, wire_values
from replicator.connectors.jsonl_folder import Folder
from replicator.connectors.jsonl_records import ETAG, JsonlRecords, converters, etag_of, row_decoder
from replicator.connectors.jsonl_settings import JsonlSettings
from replicator.connectors.protocol import (
    Capabilities,
    Connector,
    Description,
    FieldProblem,
    Key,
    Limits,
    Outcome,
    Page,
    Postponed,
    Property,
    Rejected,
    Row,
    Stale,
    Unit,
    Unknown,
    Usage,
    not_done,
)
from replicator.errors import NotSent, RequestRefused, SystemUnavailable, TokenExpired
from replicator.mapping.language import EntitySetSpec, FieldType
from replicator.mapping.local_days import time_zone


class Jsonl(Connector):
    """One folder."""

    capabilities = Capabilities(
        changes="whole", conditional_writes=True, atomic_units=True, assigns_keys=True, pushes=True
    )

    def __init__(self, name: str, settings: JsonlSettings) -> None:
        self.name = name
        self.folder = Folder(name, settings.folder, settings.lock_seconds)
        self.limits = Limits(
            records_per_read=settings.records_per_read,
            writes_per_request=settings.writes_per_request,
            parallel_requests=settings.parallel_requests,
        )
        self._zone = time_zone(settings.time_zone)
        self._requests = 0

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """The whole file in pages, all of one moment; or an empty page if it is still the one of ``token``."""
        self._requests += 1
        content = self.folder.read(entity_set.entity_set)
        here = f"{_mark(entity_set, self._zone)} {sha256(content).hexdigest()}"
        if token is not None:
            if token != here:
                raise TokenExpired(f"{self.name}: {entity_set.entity_set}: the file is another one now")
            yield Page((), token=here, last=True)
            return
        rows = list(self._rows(entity_set.entity_set, content))
        size = self.limits.records_per_read
        for start in range(0, max(len(rows), 1), size):
            last = start + size >= len(rows)
            yield Page(rows[start : start + size], token=here if last else None, last=last)

    def _rows(self, entity_set: str, content: bytes) -> Iterator[Row]:
        """The records, each with the etag of its line. Raises UnexpectedAnswer for a line that is none."""
        for number, line in enumerate(content.splitlines(), 1):
            if line.strip():
                what = f"{self.name}: {self.folder.file(entity_set)}, line {number}"
                yield {**exact_json.loads(line, what), ETAG: etag_of(line)}

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        """A function from a row to its typed values in the order of the declared fields, then the etag."""
        return row_decoder(entity_set, self._zone)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """The records with these keys, in the same order; None where there is none."""
        self._requests += 1
        records = self._records(entity_set)
        return [None if (line := records.get(key)) is None else records.row(line) for key in keys]

    def _records(self, entity_set: EntitySetSpec) -> JsonlRecords:
        return JsonlRecords(entity_set, self._rows, self.folder.read(entity_set.entity_set), self._zone)

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """What the files hold: a field is of every type that all its values fit, and of any where there are none."""
        return [self._describe(each) for each in entity_sets]

    def _describe(self, entity_set: EntitySetSpec) -> Description | None:
        try:
            rows = list(self._rows(entity_set.entity_set, self.folder.read(entity_set.entity_set)))
        except RequestRefused:
            return None
        names = dict.fromkeys([*entity_set.fields, *(name for row in rows for name in row if name != ETAG)])
        return Description({name: _property(name, rows) for name in names}, entity_set.key)

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Write the files once for all units; a unit of which one write is refused leaves them as they are."""
        self._requests += 1
        try:
            with self.folder.locked():
                return self._apply(units)
        except (NotSent, SystemUnavailable) as problem:
            return [[Postponed(str(problem)) for _ in unit] for unit in units]
        except OSError as problem:
            words = f"{self.name}: {self.folder.path}: {problem.strerror}"
            return [[Unknown(words) for _ in unit] for unit in units]

    def _apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        files: dict[str, JsonlRecords] = {}
        for write in (write for unit in units for write in unit):
            name = write.entity_set.entity_set
            if name not in files:
                files[name] = self._records(write.entity_set)
        outcomes = [self._apply_unit(unit, files) for unit in units]
        changed = {name: records.content() for name, records in files.items() if records.changed}
        if changed:
            self.folder.replace(changed)
        return outcomes

    def _apply_unit(self, unit: Unit, files: Mapping[str, JsonlRecords]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for place, write in enumerate(unit):
            records = files[write.entity_set.entity_set]
            try:
                outcome: Outcome = records.write(write)
            except FieldProblem as problem:
                outcome = Rejected(str(problem), field=problem.field)
            if isinstance(outcome, Rejected | Stale):
                for each in unit:
                    files[each.entity_set.entity_set].undo()
                return not_done(unit, place, outcome)
            outcomes.append(outcome)
        for write in unit:
            files[write.entity_set.entity_set].keep()
        return outcomes

    def wait_for_change(self, seconds: float) -> bool:
        """Whether a file became another one."""
        return self.folder.wait_for_change(seconds)

    def usage(self) -> Usage:
        """How often the folder was used."""
        return Usage(self._requests)


def _mark(entity_set: EntitySetSpec, zone: datetime.tzinfo) -> str:
    """Of the declared fields: with others, what was read before is not enough."""
    declared = [f"{name} {field.holds} {field.empty}" for name, field in entity_set.fields.items()]
    declared += wire_values.zones_of(entity_set, zone)
    return sha256(",".join(declared).encode()).hexdigest()[:12]


def _property(name: str, rows: Sequence[Row]) -> Property:
    values = [row[name] for row in rows if row.get(name) is not None]
    fitting = [kind for kind, converter in converters.items() if _fits(converter(name), values)]
    types: tuple[FieldType, ...] = (*fitting, "reference")
    return Property("JSON", types)


def _fits(convert: wire_values.Convert, values: Sequence[object]) -> bool:
    try:
        return all(convert(value) is not None or value == "" for value in values)
    except FieldProblem:
        return False
