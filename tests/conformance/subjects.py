"""The subjects of the suite that comes with the program: the two sandboxes, and a folder of JSONL files."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from decimal import Decimal
from itertools import chain, repeat
from pathlib import Path

from replicator.connectors import connect
from replicator.connectors.conformance.subject import Subject
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Connector, Key, Reference, Write
from tests.conformance.cases import Case, Fault, cases, of, spec, text


class Simulated(Subject):
    """One of the two systems in its sandbox."""

    def __init__(self, case: Case) -> None:
        self.case, self.connector = case, case.connector
        self.main, self.part = case.main, case.child
        self.text = case.limited
        self.decimal, self.amounts = case.amount, [Decimal(amount) for amount in case.amounts]
        self.refused = (case.limited, case.too_long)
        self.part_refused = ("jobtitle" if case.kind == "dataverse" else "FirstName", "x" * 101)

    def key(self, n: int) -> Key:
        return self.case.key(n)

    def values(self, n: int) -> Mapping[str, object]:
        return {**self.case.values(n), self.text: f"No {n}"}

    def stored(self) -> int:
        return len(self.case.stored())

    def connected(self, *, records_per_read: int | None = None, **limits: int) -> Connector:
        read = {} if records_per_read is None else {"records_per_read": records_per_read}
        return self.case.connected(**read, **limits)

    def create_part(self, n: int, main: int, **more: object) -> Write:
        return self.case.create_child(n, main, **more)

    def lost_answer(self) -> AbstractContextManager[None]:
        return self._fault("lost")

    def out_of_reach(self) -> AbstractContextManager[None]:
        return self._fault("unreachable")

    @contextmanager
    def _fault(self, fault: Fault) -> Iterator[None]:
        self.case.wire.faults = list(repeat(fault, 10))
        yield
        self.case.wire.faults = []


class Folder(Subject):
    """A folder of JSONL files, whose records have a key of two parts."""

    main = spec(
        "Things",
        "area",
        "number",
        area=text(),
        number=of("integer"),
        name=text(length=20),
        price=of("decimal"),
        since=of("date"),
    )
    part = spec("Pieces", "id", id=of("integer"), name=text(length=100), area=text(), number=of("integer"))
    text = "name"
    decimal, amounts = "price", (Decimal("0.1234567891"), Decimal("12345678901234567890.50"), Decimal("0.00"))
    moment = ("since", date(2026, 1, 2), date(2026, 1, 3))
    refused = ("name", "x" * 21)
    part_refused = ("name", "x" * 101)
    checks_references = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for entity_set in (self.main, self.part):
            (folder / f"{entity_set.entity_set}.jsonl").touch()
        self.connector = self.connected()

    def key(self, n: int) -> Key:
        return f"a {n % 2}", n

    def values(self, n: int) -> Mapping[str, object]:
        return {"name": f"Thing {n}", "price": Decimal(n)}

    def stored(self) -> int:
        return len((self.folder / "Things.jsonl").read_bytes().splitlines())

    def connected(self, *, records_per_read: int | None = None, **limits: int) -> Connector:
        read = {} if records_per_read is None else {"records_per_read": records_per_read}
        given = {"kind": "jsonl", "folder": self.folder, "lock_seconds": 0.1, **read, **limits}
        return connect("folder", settings_of(given))

    def create_part(self, n: int, main: int, **more: object) -> Write:
        area, number = self.key(main)
        return Write(self.part, "create", (n,), {"name": f"Piece {n}", "area": area, "number": number, **more})

    def changed_elsewhere(self) -> None:
        with (self.folder / "Things.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"area": "a", "number": 99}\n')

    @contextmanager
    def out_of_reach(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            yield


class Nested(Folder):
    """The same, whose parts point at a key of one part that is no GUID, by a reference."""

    main = spec("Things", "number", number=of("integer"), name=text(length=20), price=of("decimal"), since=of("date"))
    part = spec(
        "Pieces",
        "id",
        id=of("uuid"),
        name=text(length=100),
        thing=of("reference", to=["Things"]).pointing_at("integer"),
    )

    def key(self, n: int) -> Key:
        return (n,)

    def create_part(self, n: int, main: int, **more: object) -> Write:
        values = {"name": f"Piece {n}", "thing": Reference("Things", self.key(main)), **more}
        return Write(self.part, "create", (None,), values)


names: Sequence[str] = tuple(chain(cases, ("jsonl", "jsonl with references")))


@contextmanager
def subject_of(name: str, folder: Path) -> Iterator[Subject]:
    """The subject of this name; a folder of its own is at hand."""
    if name in cases:
        case = cases[name]()
        yield Simulated(case)
        case.close()
    else:
        yield Folder(folder) if name == "jsonl" else Nested(folder)
