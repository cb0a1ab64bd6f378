"""The metadata service of the finance and operations system, beside ``/data``: entities, fields, enumerations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from replicator.sandbox.csdl import property_type, type_name
from replicator.sandbox.description import FieldSpec, SimulatedSet, SystemDescription
from replicator.sandbox.expression import BadQueryError
from replicator.sandbox.odata_http import BadAddressError, Call, RefusalError, Reply, parse_key, parse_path, to_json
from replicator.sandbox.row_filter import RowFilter

ROOT = "metadata/"
_options = ("$filter", "$top", "$skip", "$count")
_kinds = {"text": "String", "integer": "Int32", "decimal": "Real", "money": "Real", "datetime": "DateTime"}
_not_valid = "The query specified in the URI is not valid."
Row = dict[str, Any]


class MetadataService:
    """Answers what is asked below ``/metadata``; ``path`` of a call starts there."""

    def __init__(self, description: SystemDescription) -> None:
        self._description = description
        self._lists: Mapping[str, Callable[[], list[Row]]] = {
            "dataentities": lambda: [_data_entity(each) for each in description.entity_sets.values()],
            "publicentities": lambda: [_public_entity(description, each) for each in description.entity_sets.values()],
            "publicenumerations": lambda: [_enumeration(*each) for each in description.symbols.items()],
        }

    def handle(self, call: Call) -> Reply:
        """One request. Raises RefusalError."""
        try:
            ((name, key),) = parse_path(call.path)
        except (BadAddressError, ValueError):
            name, key = "", None
        rows = self._lists.get(name.lower())
        if rows is None:
            raise RefusalError(404, f"No HTTP resource was found at '{call.path}'.")
        if call.method != "GET":
            raise RefusalError(405, f"The requested resource does not support http method '{call.method}'.")
        found = rows()
        body = _one(found, key) if key is not None else _some(found, call.query)
        return Reply(200, to_json(body), {"OData-Version": "4.0"})


def _one(rows: list[Row], key: str) -> Row:
    try:
        ((_, wanted),) = parse_key(key)
    except ValueError:
        wanted = ""
    for row in rows:
        if row["Name"] == wanted:
            return row
    raise RefusalError(404, f"No resource was found for the key '{key}'.")


def _some(rows: list[Row], query: Mapping[str, str]) -> Row:
    if unknown := next((name for name in query if name not in _options), None):
        raise RefusalError(400, f"{_not_valid} Query option '{unknown}' is not allowed.")
    if text := query.get("$filter"):
        plain = frozenset(name for name, value in rows[0].items() if not isinstance(value, list))
        try:
            fulfils = RowFilter(text, plain, functions=True).parse()
        except BadQueryError as error:
            raise RefusalError(400, f"{_not_valid} {error}") from None
        rows = [row for row in rows if fulfils(row)]
    first, most = (int(query[name]) if query.get(name, "").isdigit() else None for name in ("$skip", "$top"))
    shown = rows[first or 0 :][:most]
    return {"@odata.count": len(rows), "value": shown} if query.get("$count") == "true" else {"value": shown}


def _data_entity(entity_set: SimulatedSet) -> Row:
    return {
        "Name": entity_set.logical_name,
        "PublicEntityName": type_name(entity_set),
        "PublicCollectionName": entity_set.name,
        "LabelId": None,
        "DataServiceEnabled": True,
        "DataManagementEnabled": True,
        "EntityCategory": "Master",
        "IsReadOnly": False,
    }


def _public_entity(description: SystemDescription, entity_set: SimulatedSet) -> Row:
    return {
        "Name": type_name(entity_set),
        "EntitySetName": entity_set.name,
        "LabelId": None,
        "IsReadOnly": False,
        "ConfigurationEnabled": True,
        "Properties": [_property(description, entity_set, *each) for each in entity_set.wire.items()],
        "NavigationProperties": [],
        "PropertyGroups": [],
        "Actions": [],
    }


def _property(description: SystemDescription, entity_set: SimulatedSet, name: str, spec: FieldSpec) -> Row:
    return {
        "Name": name,
        "TypeName": property_type(description, spec),
        "DataType": "Enum" if spec.enum else _kinds.get(spec.type, "String"),
        "LabelId": None,
        "IsKey": name in entity_set.key,
        "IsMandatory": spec.required,
        "ConfigurationEnabled": True,
        "AllowEdit": spec.write in ("always", "update") and name not in entity_set.key,
        "AllowEditOnCreate": spec.write in ("always", "create"),
        "IsDimension": False,
        "DimensionRelation": None,
        "IsDynamicDimension": False,
        "DimensionLegalEntityProperty": None,
        "DimensionTypeProperty": None,
    }


def _enumeration(name: str, symbols: Mapping[str, int]) -> Row:
    members = [
        {"Name": symbol, "Value": number, "LabelId": None, "ConfigurationEnabled": True}
        for symbol, number in symbols.items()
    ]
    return {"Name": name, "LabelId": None, "Members": members}
