"""What Dataverse says about its own entity sets: EntityDefinitions, their attributes and alternate keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from replicator.connectors.odata.addresses import literal
from replicator.connectors.odata.answers import json_object
from replicator.connectors.odata.http import Http
from replicator.connectors.protocol import Description, Property
from replicator.errors import UnexpectedAnswer
from replicator.mapping.language import FieldType

_TYPES: Mapping[str, tuple[FieldType, ...]] = {
    "String": ("text",), "Memo": ("text",), "EntityName": ("text",), "Integer": ("integer",), "BigInt": ("integer",),
    "Picklist": ("integer",), "State": ("integer",), "Status": ("integer",), "Decimal": ("decimal",),
    "Double": ("decimal",), "Money": ("decimal",), "Boolean": ("boolean",), "DateTime": ("date", "timestamp"),
    "Uniqueidentifier": ("uuid",), "Lookup": ("reference",), "Customer": ("reference",), "Owner": ("reference",),
}  # fmt: skip
_LEFT_TO_CALLERS = {"String", "Memo", "Lookup", "Customer"}
"""Of attributes that the system requires it fills in by itself those of other kinds: keys, states, owners, choices."""
_KIND = "Microsoft.Dynamics.CRM."
_HEADERS = {"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"}
_ATTRIBUTES = "LogicalName,AttributeType,RequiredLevel,IsValidForCreate,IsValidForUpdate,AttributeOf"
Json = Mapping[str, object]


def describe(http: Http, entity_set: str) -> Description | None:
    """The description of one set; None where there is none of that name."""
    names = "LogicalName,EntitySetName,PrimaryIdAttribute,ChangeTrackingEnabled"
    wanted = literal("EntitySetName", entity_set)
    found = list(_rows(http, f"EntityDefinitions?$filter=EntitySetName eq {wanted}&$select={names}", entity_set))
    if not found:
        return None
    (definition, *_) = found
    one = f"EntityDefinitions(LogicalName={literal('LogicalName', _text(definition, 'LogicalName'))})"
    attributes = list(_rows(http, f"{one}/Attributes?$select={_ATTRIBUTES}", entity_set))
    lengths: dict[str, object] = {}
    for kind in ("String", "Memo"):
        path = f"{one}/Attributes/{_KIND}{kind}AttributeMetadata?$select=LogicalName,MaxLength"
        lengths |= {_text(row, "LogicalName"): row.get("MaxLength") for row in _rows(http, path, entity_set)}
    path = f"{one}/Attributes/{_KIND}DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior,Format"
    dates = {_text(row, "LogicalName"): row for row in _rows(http, path, entity_set)}
    keys = _rows(http, f"{one}/Keys?$select=LogicalName,KeyAttributes", entity_set)
    tracked = definition.get("ChangeTrackingEnabled")
    return Description(
        {name: _property(row, lengths, dates.get(name)) for row in attributes if (name := _text(row, "LogicalName"))},
        (_text(definition, "PrimaryIdAttribute"),),
        tuple(tuple(str(name) for name in cast("list[object]", key.get("KeyAttributes") or [])) for key in keys),
        tracked if isinstance(tracked, bool) else None,
    )


def _property(row: Json, lengths: Mapping[str, object], date: Json | None) -> Property:
    kind = _text(row, "AttributeType")
    length = lengths.get(_text(row, "LogicalName"))
    level = row.get("RequiredLevel")
    told = level.get("Value") if isinstance(level, dict) else None
    required = told == "ApplicationRequired" or (told == "SystemRequired" and kind in _LEFT_TO_CALLERS)
    writable = bool(row.get("IsValidForCreate")) and not row.get("AttributeOf")
    longest = length if isinstance(length, int) else None
    changeable = row.get("IsValidForUpdate") is not False
    found = Property(kind, _TYPES.get(kind, ()), longest, required, writable, changeable)
    return found if date is None else _date(found, date)


def _date(found: Property, date: Json) -> Property:
    """What kind of date or time it is: a day, an instant, or an instant that stands for a person's day.

    Only *DateOnly* is a day by itself. The others are instants; the format says whether people see a day.
    """
    told = date.get("DateTimeBehavior")
    behavior = _text(told, "Value") if isinstance(told, dict) else ""
    if not behavior:
        return found
    form = _text(date, "Format")
    if behavior == "DateOnly":
        types: tuple[FieldType, ...] = ("date",)
    else:
        types = ("date", "timestamp") if form == "DateOnly" else ("timestamp",)
    kind = f"{found.kind} (behaviour {behavior}, format {form or 'unknown'})"
    return replace(found, kind=kind, types=types, stored_as="day" if behavior == "DateOnly" else "local midnight")


def _rows(http: Http, path: str, entity_set: str) -> Iterator[Json]:
    what = f"description of {entity_set}"
    body = json_object(http.send("GET", http.url(path), what, headers=_HEADERS), f"{http.name}: {what}")
    rows = body.get("value")
    if not isinstance(rows, list):
        raise UnexpectedAnswer(f"{http.name}: {what}: the answer has no list")
    return (row for row in rows if isinstance(row, dict))


def _text(row: Json, name: str) -> str:
    return str(row.get(name) or "")
