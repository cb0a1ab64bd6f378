"""The records in a file of an exported package, CSV or XML, as rows that the connector's decoder takes.

What is wrong with one record stays in its row, and the decoder then refuses that row alone. What is wrong with the file
ends the read: nothing of it may be used where a column is missing, the quotes are broken, or nobody can say which
record a row is.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import IO

from replicator.connectors.finops_package_values import Form, form_of
from replicator.connectors.protocol import FieldProblem, Row
from replicator.connectors.xml_streams import Elements, tell
from replicator.errors import ExportEnded, Terminal
from replicator.mapping.language import EntitySetSpec

_company = "DATAAREAID"
"""The column that says to which company a record belongs. Columns are in upper case."""
_delimiters = ",;\t|"
_longest_line = 2**24
"""Characters: a line is held in memory."""
_chunk = 2**16
_RECORD, _VALUE = 2, 3
"""How deep they lie in an XML file."""


class PackageUnusable(ExportEnded, Terminal):
    """What was exported is not whole, or not what ``schema/`` declares: a person has to mend the export project."""


@dataclass(frozen=True)
class Wanted:
    """What a package is to hold: the records of an entity set in one company.

    ``entity`` is what packages call the data entity, ``what`` names the export in errors, ``largest``
    is the most bytes that its file may unpack to, ``read_key`` decodes the key of a row, or raises FieldProblem.
    """

    entity_set: EntitySetSpec
    entity: str
    legal_entity: str
    what: str
    largest: int
    read_key: Callable[[Row], object]

    @property
    def company(self) -> dict[str, object]:
        """The field of the company with its value, as far as the records belong to one."""
        return {name: self.legal_entity.lower() for name in self.entity_set.fields if name.upper() == _company}

    def unusable(self, why: str, hint: str = "") -> PackageUnusable:
        """The error for a package of which nothing can be used."""
        usual = "nothing of it is used; mend the export project in Data management, and it is exported anew"
        return PackageUnusable(f"{self.what}: {why}", hint=hint or usual)


ReadRows = Callable[[IO[bytes], Wanted], Iterator[Row]]


def csv_rows(file: IO[bytes], wanted: Wanted) -> Iterator[Row]:
    """The lines of a CSV file as rows; the first holds the names of its columns. Raises PackageUnusable."""
    lines = _lines(file, wanted)
    head = next(lines, "")
    delimiter = delimiter_of(head, wanted.entity_set)
    columns = _Columns(_names(head, delimiter), wanted)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for values in reader:
            if values:  # else it is the empty line at the end
                yield columns.row(values, reader.line_num + 1)
    except csv.Error as problem:
        raise wanted.unusable(f"the quotes of line {reader.line_num + 1} are broken ({problem})") from problem


def _lines(file: IO[bytes], wanted: Wanted) -> Iterator[str]:
    """The lines of a text; bytes that are no character come as half characters, which the decoder refuses."""
    encoding, errors = encoding_of(file.read(4))
    file.seek(0)
    text = io.TextIOWrapper(file, encoding, errors, newline="")
    try:
        while line := text.readline(_longest_line):
            if len(line) == _longest_line:
                raise wanted.unusable(f"a line of the file has {_longest_line} characters or more")
            yield line
    except UnicodeError as problem:
        raise wanted.unusable(f"the file is not written in {encoding} throughout") from problem


def encoding_of(start: bytes) -> tuple[str, str]:
    """The encoding of a text that begins so, with a mark of its own or a Latin letter; and what becomes of errors."""
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16", "surrogatepass"
    if b"\x00" in start[:2]:
        return ("utf-16-be" if start[:1] == b"\x00" else "utf-16-le"), "surrogatepass"
    return "utf-8-sig", "surrogateescape"


def delimiter_of(head: str, entity_set: EntitySetSpec) -> str:
    """What parts the columns of a file with this head: that by which most of the declared fields are found."""
    declared = {name.upper() for name in entity_set.fields}
    return max(_delimiters, key=lambda each: len(declared.intersection(_names(head, each))))


def _names(head: str, delimiter: str) -> list[str]:
    try:
        found = next(csv.reader([head], delimiter=delimiter, strict=True), [])
    except csv.Error:
        return []
    return [name.strip().upper() for name in found]


def places_of(names: Sequence[str], wanted: Wanted) -> dict[str, int]:
    """The place of each declared field among columns. Only the company may have none: it is that of the export."""
    fields = wanted.entity_set.fields
    missing = [name for name in fields if name.upper() not in names and name not in wanted.company]
    if missing:
        hint = "nothing of it is used; map these fields in the export project, or take them out of schema/"
        raise wanted.unusable(f"the file has no column for {', '.join(missing)}", hint)
    doubled = [name for name in fields if names.count(name.upper()) > 1]
    if doubled:
        raise wanted.unusable(f"the file has several columns for {', '.join(doubled)}")
    return {name: names.index(name.upper()) for name in fields if name.upper() in names}


def _form(name: str, wanted: Wanted) -> Form:
    """OData has companies in lower case, packages as they were typed."""
    return str.lower if name in wanted.company else form_of(wanted.entity_set.fields[name])


class _Columns:
    """The columns of a CSV file, and how a line under them becomes a row."""

    def __init__(self, names: Sequence[str], wanted: Wanted) -> None:
        self._count, self._wanted, self._company = len(names), wanted, wanted.company
        self._places = places_of(names, wanted)
        self._plan = [(name, place, _form(name, wanted)) for name, place in self._places.items()]

    def row(self, values: Sequence[str], line: int) -> Row:
        """A line as a row; one that is too short or too long as one that no decoder takes, under its key."""
        if len(values) != self._count:
            return self._broken(values, line)
        row = self._company | {name: form(values[place]) for name, place, form in self._plan}
        return _with_key(row, self._wanted, f"line {line}")

    def _broken(self, values: Sequence[str], line: int) -> Row:
        told = f"line {line} has {len(values)} values, and the file {self._count} columns"
        sure = self._sure(values)
        known = self._company | {name: form(values[place]) for name, place, form in self._plan if place < sure}
        entity_set = self._wanted.entity_set
        key = {name: known.get(name) for name in entity_set.key}
        if any(value in (None, "") for value in key.values()):
            raise self._wanted.unusable(f"{told}; which record it is cannot be read")
        refused: dict[str, object] = {name: [told] for name in (*entity_set.fields, "@odata.etag")}
        return refused | _with_key(key, self._wanted, f"line {line}")

    def _sure(self, values: Sequence[str]) -> int:
        """How many values of a broken line are where they belong: those of the key, where that begins the line.

        What breaks a line is a text without its quotes, which keys are not; and the last value may be cut.
        """
        keys = {self._places.get(name) for name in (*self._wanted.entity_set.key, *self._company)}
        first_other = next((place for place in range(self._count) if place not in keys), self._count)
        return min(first_other, len(values) - 1)


def _with_key(row: dict[str, object], wanted: Wanted, where: str) -> dict[str, object]:
    """The row, where it is known which record it is: else that record would seem to be gone."""
    try:
        wanted.read_key(row)
    except FieldProblem as problem:
        raise wanted.unusable(f"{where}: which record it is cannot be read: {problem}") from problem
    return row


def xml_rows(file: IO[bytes], wanted: Wanted) -> Iterator[Row]:
    """The elements below the root of an XML file as rows; values are attributes, or elements within.

    The first record stands for the columns of all. Raises PackageUnusable.
    """
    records = _Records()
    forms = [(name, name.upper(), _form(name, wanted)) for name in wanted.entity_set.fields]
    number = 0
    for _ in tell(iter(partial(file.read, _chunk), b""), records, lambda why: wanted.unusable(f"the file: {why}")):
        for record in records.take():
            number += 1
            if number == 1:
                places_of(list(record), wanted)
            row = {name: form(record[column]) for name, column, form in forms if column in record}
            yield _with_key(wanted.company | row, wanted, f"record {number}")


class _Records(Elements):
    """The records of an XML file, as texts by column."""

    hears_text = True

    def __init__(self) -> None:
        self._whole: list[dict[str, str]] = []
        self._record: dict[str, str] = {}
        self._column = ""
        self._depth = 0

    def take(self) -> list[dict[str, str]]:
        """The records that ended since it was asked last."""
        whole, self._whole = self._whole, []
        return whole

    def start(self, tag: str, values: Mapping[str, str]) -> None:
        self._depth += 1
        if self._depth == _RECORD:
            self._record = {name.rpartition(" ")[2].upper(): value for name, value in values.items()}
        elif self._depth == _VALUE:
            self._column = tag.upper()
            self._record[self._column] = ""

    def text(self, text: str) -> None:
        if self._depth == _VALUE:
            self._record[self._column] += text

    def end(self, tag: str) -> None:
        if self._depth == _RECORD:
            self._whole.append(self._record)
        self._depth -= 1


READERS: Mapping[str, ReadRows] = {".csv": csv_rows, ".txt": csv_rows, ".xml": xml_rows}
"""How a file is read, by the end of its name."""
