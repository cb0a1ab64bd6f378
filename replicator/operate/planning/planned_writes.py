"""A write as a plan tells it: where, in which order, which record, and by field what is there and what is wanted."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import simplejson

from replicator.connectors.protocol import Operation, Reference
from replicator.core.diff import follows_create
from replicator.mapping.compiled import CompiledMap
from replicator.outbound.decide import Delivery, Planned

Fields = dict[str, list[object]]
"""By field: what the target holds now, and what is written."""


@dataclass(frozen=True)
class PlannedWrite:
    """One write. The writes of one ``request`` go together; those of one ``unit`` happen together or not at all."""

    system: str
    flow: str
    """The map that writes the record; for a part, not that of its root."""
    root: str
    operation: Operation
    record: str | None
    """What people call the record; a part by the name of its root, then its own."""
    key: Mapping[str, str]
    fields: Fields
    fingerprint: str = ""
    """Of the whole unit, so that a record is written as it was planned with all its parts, or not at all."""
    place: int = 0
    request: int = 0


ASSIGNED = "(assigned)"
"""In the place of a key that the system gives a new record."""


def describe(delivery: Delivery) -> list[PlannedWrite]:
    """The writes of a delivery, each with its fingerprint."""
    root = _root(delivery.writes)
    writes = [_describe(planned, root, delivery.record) for planned in delivery.writes]
    certain = [_certain(*both) for both in zip(delivery.writes, writes, strict=True)]
    text = _canonical(
        [[each.flow, each.operation, each.key, fields] for each, fields in zip(writes, certain, strict=True)]
    )
    return [replace(each, fingerprint=_digest(f"{number} {text}")) for number, each in enumerate(writes)]


def _certain(planned: Planned, write: PlannedWrite) -> Fields:
    """What a write says for certain: not what follows a create, which the system may have set by itself by then."""
    open_ = {column.field for column in planned.flow.view.columns if follows_create(column)}
    return {name: values for name, values in write.fields.items() if name not in open_}


def _root(writes: Sequence[Planned]) -> str:
    flow: CompiledMap = writes[0].flow
    return flow.root or flow.name


def _describe(planned: Planned, flow: str, of_root: str | None) -> PlannedWrite:
    write, mapping = planned.write, planned.flow.mapping
    record = of_root if planned.flow.root is None else f"{of_root or ''} {planned.record or ''}".strip()
    key = {name: ASSIGNED if value is None else str(value) for name, value in write.named_key.items()}
    return PlannedWrite(mapping.system, planned.flow.name, flow, write.operation, record, key, _fields(planned))


def _fields(planned: Planned) -> Fields:
    before = planned.before
    if planned.write.operation == "delete":
        return {name: [plain(value), None] for name, value in before.items() if value is not None}
    return {name: [plain(before.get(name)), plain(value)] for name, value in planned.write.values.items()}


def plain(value: object) -> object:
    """A value as JSON has it; one number is always the same number, however many zeros it was written with."""
    match value:
        case Reference():
            return ",".join(map(str, value.key))
        case Decimal():
            return int(value) if value == value.to_integral_value() else value.normalize()
        case datetime.datetime() | datetime.date():
            return value.isoformat()
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def known_by(flow: str, values: Mapping[str, object]) -> str:
    """What tells a record of a flow: its key, or its business key before it has one."""
    return _canonical([flow, values])


def _canonical(value: object) -> str:
    return simplejson.dumps(value, use_decimal=True, sort_keys=True, separators=(",", ":"))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
