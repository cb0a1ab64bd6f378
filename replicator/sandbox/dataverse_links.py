"""References between records of the sales system as addresses of their own: ``record/navigation/$ref``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from replicator.sandbox.dataverse_input import BAD_PAYLOAD, DataverseInput
from replicator.sandbox.dataverse_refusals import BAD_QUERY
from replicator.sandbox.dataverse_relationships import relationships
from replicator.sandbox.description import SimulatedSet, SystemDescription
from replicator.sandbox.odata_http import BadJsonError, Call, RefusalError, json_object
from replicator.sandbox.store import Doc, Row


class Updater(Protocol):
    """What a link needs of the service it belongs to."""

    def update(self, entity_set: SimulatedSet, row: Row, values: Doc, key: Doc) -> Row:
        """Change a record, or raise RefusalError."""


class Links:
    """Sets and clears references; the caller holds the lock."""

    def __init__(self, description: SystemDescription, reader: DataverseInput, service: Updater) -> None:
        self._sets = description.by_logical_name
        self._reader, self._service = reader, service
        self._collections = {row["ReferencedEntityNavigationPropertyName"]: row for row in relationships(self._sets)}

    def change(self, call: Call, entity_set: SimulatedSet, row: Row, name: str, declared: Mapping[str, str]) -> None:
        """Carry out a call at ``$ref`` below the navigation property of a record. Raises RefusalError."""
        ways: Mapping[str, Callable[[], None]] = {
            "PUT": lambda: self._set(entity_set, row, name, _address(call), declared),
            "DELETE": lambda: self._set(entity_set, row, name, None, declared),
            "POST": lambda: self._add(entity_set, row, name, _address(call), declared),
        }
        if call.method not in ways:
            raise RefusalError(405, "The requested resource does not support this http method.", BAD_QUERY)
        ways[call.method]()

    def _set(
        self, entity_set: SimulatedSet, row: Row, name: str, address: str | None, declared: Mapping[str, str]
    ) -> None:
        if name not in entity_set.navigation:
            raise RefusalError(404, f"Resource not found for the segment '{name}'.", "0x8006088a")
        values = self._reader.body(entity_set, {f"{name}@odata.bind": address}, declared)
        self._service.update(entity_set, row, values, {})

    def _add(self, entity_set: SimulatedSet, row: Row, name: str, address: str, declared: Mapping[str, str]) -> None:
        """The other record gets a reference to this one."""
        found = self._collections.get(name)
        if found is None or found["ReferencedEntity"] != entity_set.logical_name:
            raise RefusalError(404, f"Resource not found for the segment '{name}'.", "0x8006088a")
        child, child_row = self._reader.address(address, declared)
        if child.logical_name != found["ReferencingEntity"]:
            raise RefusalError(400, f"'{address}' cannot be added to '{name}'.", BAD_PAYLOAD)
        navigation = found["ReferencingEntityNavigationPropertyName"]
        self._set(child, child_row, navigation, f"{entity_set.name}({row.key})", declared)


def _address(call: Call) -> str:
    try:
        body: dict[str, Any] = json_object(call.body)
    except BadJsonError as error:
        raise RefusalError(400, f"Error identified in Payload provided by the user: {error}", BAD_PAYLOAD) from None
    address = body.get("@odata.id")
    if not isinstance(address, str):
        raise RefusalError(400, "The body must say '@odata.id', the address of a record.", BAD_PAYLOAD)
    return address
