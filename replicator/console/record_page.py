"""The page of one record: every side of it field by field, what is to do about it, why, and what happened to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa
from flask import redirect, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from replicator.console.page_context import PageContext, Row
from replicator.console.record_search import FoundRecord, at, find, label_of, mirror_key, name_of
from replicator.console.render import record_path
from replicator.hub.statements import statements
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.language import CommonEntity, FieldMap
from replicator.mapping.schema import EntitySet, column_name, label_field
from replicator.mapping.tables import common_column
from replicator.solution.difference_views import view_name

_sql = statements(__name__)
_PARTS_SHOWN = 50
_ACTIONS = {
    "create": "is going to be created", "recreate": "is gone and going to be created again",
    "update": "is going to be updated", "delete": "is going to be deleted", "set": "is going to be set as deleted",
    "blocked": "waits", "invalid": "does not fit", "not eligible": "is left out", "drift": "was changed there",
    "taken": "has its key taken by another record", "rekey": "has another key there", "unlink": "is going to be parted",
    "incomplete": "is there without a reference that comes later",
}  # fmt: skip


@dataclass
class Cell:
    """A field on one side."""

    name: str
    value: object
    wanted: list[tuple[str, object]] = field(default_factory=list)
    """What it should hold, and according to whom, where that is something else."""
    sent: object = None
    """What was sent, where the system made something else of it."""
    is_amended: bool = False
    link: str | None = None


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
    """One system's record of it, or the place where it should be."""

    entity_set: EntitySet
    record_id: int | None
    key: str | None
    image: Row
    told: list[tuple[str, str, str | None]] = field(default_factory=list)
    """By map: what is to be done there, and why."""


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


def _page(
    look: PageContext, found: FoundRecord, kind: str, key: str, others: Sequence[FoundRecord]
) -> ResponseReturnValue:
    maps = [each for each in look.compiled.maps if each.mapping.entity.entity == _entity(look, found)]
    common = _image(look, look.compiled.tables.common[found.entity], found.common_id) if found.entity else {}
    sides = list(_sides(look, found, maps))
    rows = _field_rows(look, found, common, sides, maps)
    _mark(look, found, sides, rows, maps)
    conflicts = look.rows(_sql["conflicts"], entity=found.entity, common_id=found.common_id) if found.entity else []
    for row in rows:
        row.in_conflict = row.name in {conflict["field"] for conflict in conflicts}
    known = {
        "kind": kind, "key": key, "found": found, "title": _title(look, found, common, sides) or key,
        "is_there": bool(common), "sides": sides, "rows": rows, "deliveries": list(_deliveries(look, found)),
        "conflicts": conflicts,
        "held": [row for place in found.mirrors for row in look.rows(_sql["held"], **_place(*place))],
        "quarantined": [row for side in sides if side.key for row in look.rows(
            _sql["quarantined"], system=side.entity_set.system, entity_set=side.entity_set.name, key=side.key)],
        "parts_of": list(_parts(look, found)),
        "others": [name for name in (name_of(look, each) for each in others) if name],
        "explained": look.rows(_sql["explain"], kind=kind, key=key),
        "history": look.paged(_sql["history"], kind=kind, key=key),
    }  # fmt: skip
    return render_template("record.html", **known)


def _entity(look: PageContext, found: FoundRecord) -> str | None:
    """The entity of the record; of one that is not merged, that which it would become."""
    if found.entity is not None:
        return found.entity
    ends = (m.mapping for m in look.compiled.inbound() if m.mapping.entity_set == found.mirrors[0][0])
    return next((mapping.entity.entity for mapping in ends), None)


def _place(entity_set: EntitySet, number: int) -> dict[str, object]:
    return {"system": entity_set.system, "entity_set": entity_set.name, "mirror_id": number}


def _image(look: PageContext, table: sa.Table, number: int | None) -> Row:
    return look.row(sa.select(table).where(table.c.id == number)) or {}


def _title(look: PageContext, found: FoundRecord, common: Row, sides: Sequence[Side]) -> str | None:
    """What people call the record."""
    if found.entity is not None and common:
        entity = look.compiled.schema.entities[found.entity]
        return str(common[common_column(entity, label_field(entity))])
    shown = [side for side in sides if side.image]
    return str(shown[0].image[column_name(shown[0].entity_set.business_key[-1])]) if shown else None


def _sides(look: PageContext, found: FoundRecord, maps: Sequence[CompiledMap]) -> Iterator[Side]:
    """Its records in the systems; and for a system that has none, the set where one would be."""
    for entity_set, number in found.mirrors:
        image = _image(look, look.compiled.tables.mirror(entity_set), number)
        yield Side(entity_set, number, mirror_key(look, entity_set, number), image)
    there = {entity_set.system for entity_set, _ in found.mirrors}
    for each in maps:
        mapping = each.mapping
        if mapping.direction == "out" and mapping.system not in there and found.common_id is not None:
            there.add(mapping.system)
            yield Side(mapping.entity_set, None, None, {})


def _field_rows(
    look: PageContext, found: FoundRecord, common: Row, sides: Sequence[Side], maps: Sequence[CompiledMap]
) -> list[FieldRow]:
    """The fields of the common model in order, then those of the systems that belong to none of them."""
    name = _entity(look, found)
    entity = look.compiled.schema.entities[name] if name else None
    rows = {each: FieldRow(each, _master(entity, each, maps), _common_cell(look, entity, each, common))
            for each in (entity.fields if entity else ())}  # fmt: skip
    for side in sides:
        belongs = {
            field: own for each in maps if each.mapping.entity_set == side.entity_set for field, own in _mapped(each)
        }
        for each in side.entity_set.spec.fields:
            row = rows.setdefault(belongs.get(each, ""), FieldRow("", "", None))
            row.sides.setdefault(str(side.entity_set), []).append(Cell(each, side.image.get(column_name(each))))
    return [row for row in rows.values() if row.common or row.sides]


def _mapped(flow: CompiledMap) -> Iterator[tuple[str, str]]:
    """Each field of the system that a map reads or writes, with the field of the common model it belongs to."""
    for target, spec in flow.mapping.spec.fields.items():
        first = _first_source(spec)
        if first is not None:
            yield (first, target) if flow.mapping.direction == "in" else (target, first)


def _first_source(spec: FieldMap) -> str | None:
    """The source field that a value comes from; of several the first."""
    copied = spec.copy_[0] if isinstance(spec.copy_, tuple) else spec.copy_
    named = copied or spec.not_ or spec.value_map or spec.reference or next(iter(spec.match.values()), None)
    return named.partition(".")[0] if named else next(iter(sorted(spec.reads)), None)


def _master(entity: CommonEntity | None, name: str, maps: Sequence[CompiledMap]) -> str:
    """Who may change a field of the common model."""
    if entity is not None and entity.fields[name].either:
        return "either"
    writers = {
        each.mapping.system
        for each in maps
        if each.mapping.direction == "in" and name in each.mapping.spec.fields
        and each.mapping.spec.fields[name].write == "always"
    }  # fmt: skip
    return ", ".join(sorted(writers)) or "hub"


def _common_cell(look: PageContext, entity: CommonEntity | None, name: str, common: Row) -> Cell | None:
    if entity is None:
        return None
    value = common.get(common_column(entity, name))
    reference = entity.fields[name].reference
    if reference is None or value is None:
        return Cell(name, value)
    label = label_of(look, look.compiled.schema.entities[reference], value)
    return Cell(name, label or value, link=f"/at/common.{reference}/{value}")


def _mark(
    look: PageContext, found: FoundRecord, sides: Sequence[Side], rows: Sequence[FieldRow], maps: Sequence[CompiledMap]
) -> None:
    """Write beside each field what it should hold, by what ``desired`` says; and what became of what was sent."""
    own = {cell.name: cell for row in rows for cell in ([row.common] if row.common else [])}
    for side in sides:
        cells = {cell.name: cell for row in rows for cell in row.sides.get(str(side.entity_set), ())}
        for each in maps:
            if each.mapping.entity_set != side.entity_set:
                continue
            inbound = each.mapping.direction == "in"
            number = side.record_id if inbound else found.common_id
            if number is None:
                continue
            for row in look.rows(_difference(each), number=number):
                side.told.append((each.name, _ACTIONS.get(row["action"]) or str(row["action"]), row["reason"]))
                fields = {name: pair[1] for name, pair in row["fields"].items()}
                if inbound:
                    _wanted(own, side.entity_set.system, dict(_by_label(look, each.mapping.entity, fields)))
                else:
                    _wanted(cells, "the hub", fields)
    for row in look.rows(_sql["amended"], table=f"common.{found.entity}", id=found.common_id) if found.entity else ():
        _amend(look.compiled.map(row["flow"]), row, rows)


def _difference(flow: CompiledMap) -> sa.Select[tuple[object, ...]]:
    """What is not in step about one record of a map."""
    view = sa.table(view_name(flow), *map(sa.column, ("source_id", "action", "reason", "fields")), schema="desired")
    return sa.select(view).where(view.c.source_id == sa.bindparam("number", type_=sa.BigInteger))


def _by_label(look: PageContext, entity: CommonEntity, fields: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Values of the common model, references by what people call the records."""
    for name, value in fields.items():
        reference = entity.fields[name].reference
        if reference is not None and isinstance(value, int):
            yield name, label_of(look, look.compiled.schema.entities[reference], value) or value
        else:
            yield name, value


def _wanted(cells: Mapping[str, Cell], who: str, fields: Mapping[str, object]) -> None:
    for name, wanted in fields.items():
        if name in cells:
            cells[name].wanted.append((who, wanted))


def _amend(flow: CompiledMap, row: Row, rows: Sequence[FieldRow]) -> None:
    for cell in (cell for each in rows for cell in each.sides.get(str(flow.mapping.entity_set), ())):
        if column_name(cell.name) == row["field"]:
            cell.sent, cell.is_amended = row["sent"], True


def _deliveries(look: PageContext, found: FoundRecord) -> Iterator[Row]:
    """What is to do or wrong, on every way of the record."""
    if found.entity is not None:
        yield from look.rows(_sql["deliveries"], table=f"common.{found.entity}", id=found.common_id)
    for entity_set, number in found.mirrors:
        table = look.compiled.tables.mirror(entity_set).fullname
        yield from look.rows(_sql["deliveries"], table=table, id=number)


def _parts(look: PageContext, found: FoundRecord) -> Iterator[tuple[str, list[Row]]]:
    """The records that are part of this one."""
    for entity in look.compiled.schema.entities.values():
        whole = look.compiled.schema.parent_field(entity)
        if whole is None or whole[1].reference != found.entity or found.common_id is None:
            continue
        table = look.compiled.tables.common[entity.entity]
        label = table.c[common_column(entity, label_field(entity))]
        some = sa.select(table.c.id, label.label("record")).where(table.c[f"{whole[0]}_id"] == found.common_id)
        yield entity.entity, look.rows(some.order_by(label).limit(_PARTS_SHOWN))
