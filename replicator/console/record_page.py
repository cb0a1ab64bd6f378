"""The page of one record: every side of it field by field, what is to do about it, why, and what happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import sqlalchemy as sa
from flask import redirect, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from replicator.console.page_context import PageContext, Row
from replicator.console.record_search import FoundRecord, at, find, key_of, label_of, name_of
from replicator.console.render import record_path
from replicator.hub.statements import statements

_sql = statements(__name__)
_PARTS_SHOWN = 50
_ACTIONS = {
    "create": "is going to be created", "recreate": "is gone and going to be created again",
    "update": "is going to be updated", "delete": "is going to be deleted", "set": "is going to be set as deleted",
    "blocked": "waits", "invalid": "does not fit", "not eligible": "is left out", "drift": "was changed there",
    "taken": "has its key taken by another record", "rekey": "has another key there", "unlink": "is going to be parted",
    "incomplete": "is there without a reference that comes later", "left behind": "is left out, and has changed since",
}  # fmt: skip


@dataclass
class Cell:
    """A field on one side."""

    name: str
    column: str
    value: object
    wanted: list[tuple[str, object]] = field(default_factory=list)
    """What it should hold, and according to whom, where that is something else."""
    sent: object = None
    """What was sent, where the system made something else of it."""
    is_amended: bool = False
    link: str | None = None
    reference: str | None = None
    """The entity that it points at, in common."""


@dataclass
class FieldRow:
    """One field of the common model with the fields of the systems that it is mapped to."""

    name: str
    master: str
    common: Cell | None
    sides: dict[str, list[Cell]] = field(default_factory=dict)
    in_conflict: bool = False

    @property
    def cells(self) -> list[Cell]:
        """The field on every side."""
        return [*([self.common] if self.common else []), *(cell for cells in self.sides.values() for cell in cells)]

    @property
    def differs(self) -> bool:
        """Whether any side should hold something else."""
        return self.in_conflict or any(cell.wanted for cell in self.cells)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see on any side."""
        return not self.differs and all(cell.value is None and not cell.is_amended for cell in self.cells)


@dataclass
class Side:
    """One system's record of it, or the place where it should be: a row of ``sync.captured``."""

    place: Row
    fields: Sequence[Row]
    record_id: int | None
    key: str | None
    image: Row
    events: list[tuple[str, str, str | None]] = field(default_factory=list)
    """By map: what is to be done there, and why."""

    @property
    def name(self) -> str:
        """What people call the place."""
        return str(self.place["place"])


def record(look: PageContext, kind: str, key: str) -> ResponseReturnValue:
    """Everything about a record that a person names."""
    found = find(look, kind, key)
    if not found:
        return not_found(kind, key)
    return _page(look, found[0], kind, key, found[1:])


def search(look: PageContext) -> ResponseReturnValue:
    """On from the search box to the record's page; without a key, where to type one."""
    kind, key = look.arguments.get("kind", ""), look.arguments.get("key", "").strip()
    return redirect(record_path(kind, key), 303) if kind and key else not_found(kind, key, status=200)


def placed(look: PageContext, table: str, number: int) -> ResponseReturnValue:
    """On from a table and an id, as lists know records, to the page by name."""
    found = at(look, table, number)
    name = name_of(look, found[0]) if found else None
    if name is None:
        raise NotFound("This record is not in the hub any more.")
    return redirect(record_path(*name), 303)


def not_found(kind: str, key: str, status: int = 404) -> ResponseReturnValue:
    """No record of this name: how records are named."""
    return render_template("not_found.html", kind=kind, key=key), status


def _page(look: PageContext, found: FoundRecord, kind: str, key: str, others: Sequence[FoundRecord]) -> str:
    entity = found.entity or look.value(_sql["becomes"], relation=found.mirrors[0][0]["relation"])
    maps = look.rows(_sql["maps"], entity=entity)
    places = [*found.mirrors, *_absent(look, found, maps)]
    fields = _fields(look, entity, [place["relation"] for place, _ in places])
    model = fields.get(f"common.{entity}", [])
    common = _image(look, f"common.{entity}", model, found.common_id) if model else {}
    sides = [_side(look, place, fields[place["relation"]], number) for place, number in places]
    rows = _field_rows(look, model, common, sides)
    _mark(look, found, sides, rows, maps)
    conflicts = look.rows(_sql["conflicts"], entity=found.entity, common_id=found.common_id)
    for row in rows:
        row.in_conflict = row.name in {conflict["field"] for conflict in conflicts}
    parts = look.rows(_sql["parts"], entity=found.entity, number=found.common_id, limit=_PARTS_SHOWN)
    return render_template(
        "record.html",
        kind=kind, key=key, found=found, title=_title(look, found, common, sides) or key, is_there=bool(common),
        sides=sides, rows=rows, deliveries=list(_deliveries(look, found)), conflicts=conflicts,
        held=[row for side in sides for row in look.rows(_sql["held"], **_place(side), mirror_id=side.record_id)],
        quarantined=[row for side in sides for row in look.rows(_sql["quarantined"], **_place(side), key=side.key)],
        parts_of={name: list(some) for name, some in groupby(parts, lambda part: part["entity"])},
        others=[name for name in (name_of(look, each) for each in others) if name],
        explained=look.rows(_sql["explain"], kind=kind, key=key),
        history=look.paged(_sql["history"], kind=kind, key=key),
    )  # fmt: skip


def _place(side: Side) -> dict[str, object]:
    return {"system": side.place["system"], "entity_set": side.place["entity_set"]}


def _absent(look: PageContext, found: FoundRecord, maps: Sequence[Row]) -> list[tuple[Row, None]]:
    """For each system that has no record of it, the place where one would be."""
    there = {place["system"] for place, _ in found.mirrors}
    first: dict[str, Row] = {}
    for each in maps if found.common_id is not None else ():
        if each["direction"] == "out" and each["system"] not in there:
            first.setdefault(each["system"], look.captured[each["place"]])
    return [(place, None) for place in first.values()]


def _fields(look: PageContext, entity: str | None, relations: Sequence[str]) -> dict[str, list[Row]]:
    """The fields of common and of the systems, by table."""
    rows = look.rows(_sql["fields"], entity=entity, relations=[f"common.{entity}", *relations])
    return {relation: list(some) for relation, some in groupby(rows, lambda row: row["relation"])}


def _image(look: PageContext, relation: str, fields: Sequence[Row], number: int | None) -> Row:
    schema, _, name = relation.partition(".")
    columns: list[sa.ColumnClause[object]] = [sa.column(each["column_name"]) for each in fields]
    table = sa.table(name, sa.column("id"), *columns, schema=schema)
    return look.row(sa.select(table).where(table.c.id == number)) or {}


def _side(look: PageContext, place: Row, fields: Sequence[Row], number: int | None) -> Side:
    image = _image(look, place["relation"], fields, number)
    return Side(place, fields, number, key_of(look, place["relation"], number), image)


def _title(look: PageContext, found: FoundRecord, common: Row, sides: Sequence[Side]) -> str | None:
    """What people call the record."""
    if common:
        return label_of(look, f"common.{found.entity}", common["id"])
    shown = [side for side in sides if side.image]
    return label_of(look, shown[0].place["relation"], shown[0].image["id"]) if shown else None


def _field_rows(look: PageContext, model: Sequence[Row], common: Row, sides: Sequence[Side]) -> list[FieldRow]:
    """The fields of the common model in order, then those of the systems that belong to none of them."""
    rows = {each["name"]: FieldRow(each["name"], each["master"], _common_cell(look, each, common)) for each in model}
    for side in sides:
        for each in side.fields:
            row = rows.setdefault(each["belongs_to"] or "", FieldRow("", "", None))
            cell = Cell(each["name"], each["column_name"], side.image.get(each["column_name"]))
            row.sides.setdefault(side.name, []).append(cell)
    return list(rows.values())


def _common_cell(look: PageContext, spec: Row, common: Row) -> Cell:
    value = common.get(spec["column_name"])
    cell = Cell(spec["name"], spec["column_name"], value, reference=spec["reference"])
    if cell.reference is not None and value is not None:
        cell.value, cell.link = _called(look, cell.reference, value), f"/at/common.{cell.reference}/{value}"
    return cell


def _called(look: PageContext, entity: str, number: int) -> object:
    return label_of(look, f"common.{entity}", number) or number


def _mark(
    look: PageContext, found: FoundRecord, sides: Sequence[Side], rows: Sequence[FieldRow], maps: Sequence[Row]
) -> None:
    """Write beside each field what it should hold, by what ``desired`` says; and what became of what was sent."""
    own = [row.common for row in rows if row.common]
    amended = look.rows(_sql["amended"], table=f"common.{found.entity}", id=found.common_id)
    for side in sides:
        cells = [cell for row in rows for cell in row.sides.get(side.name, ())]
        for each in (each for each in maps if each["place"] == side.name):
            inbound = each["direction"] == "in"
            for row in look.rows(_difference(each), number=side.record_id if inbound else found.common_id):
                side.events.append((each["name"], _ACTIONS.get(row["action"]) or str(row["action"]), row["reason"]))
                wanted = {name: pair[1] for name, pair in row["fields"].items()}
                _wanted(look, own if inbound else cells, each["system"] if inbound else "the hub", wanted)
        for row in amended:
            for cell in cells:
                if (side.place["relation"], cell.column) == (row["target"], row["field"]):
                    cell.sent, cell.is_amended = row["sent"], True


def _difference(flow: Row) -> sa.Select[tuple[object, ...]]:
    """What is not in step about one record of a map."""
    names = ("source_id", "action", "reason", "fields")
    view = sa.table(f"{flow['view_name']}_diff", *map(sa.column, names), schema="desired")
    return sa.select(view).where(view.c.source_id == sa.bindparam("number", type_=sa.BigInteger))


def _wanted(look: PageContext, cells: Sequence[Cell], who: str, fields: Mapping[str, object]) -> None:
    """Note what fields should hold; of a reference, what people call the record."""
    for cell in (each for each in cells if each.name in fields):
        wanted = fields[cell.name]
        if cell.reference is not None and isinstance(wanted, int):
            wanted = _called(look, cell.reference, wanted)
        cell.wanted.append((who, wanted))


def _deliveries(look: PageContext, found: FoundRecord) -> Iterator[Row]:
    """What is to do or wrong, on every way of the record."""
    if found.entity is not None:
        yield from look.rows(_sql["deliveries"], table=f"common.{found.entity}", id=found.common_id)
    for place, number in found.mirrors:
        yield from look.rows(_sql["deliveries"], table=place["relation"], id=number)
