"""What clients of the sales system send: keys in addresses and bodies, checked against the description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from replicator.sandbox.dataverse_refusals import BAD_QUERY, does_not_exist
from replicator.sandbox.description import FieldSpec, Operation, SimulatedSet, SystemDescription, kind_name
from replicator.sandbox.odata_http import BadAddressError, RefusalError, parse_key, parse_path
from replicator.sandbox.store import Doc, Row
from replicator.sandbox.stored_values import BadValueError, check, convert, edm, has_wire_form
from replicator.sandbox.system_options import Options
from replicator.sandbox.writing import Records

BAD_PAYLOAD = "0x80048d19"
RECORD_OPTIONS = ("$select", "$expand")
WRITE_OPTIONS = (*RECORD_OPTIONS, "tag")


class DataverseInput:
    """Turns addresses and bodies into stored values."""

    def __init__(self, description: SystemDescription, records: Records, options: Options) -> None:
        self._description = description
        self._lenient = options.lenient
        self._active_at_once = options.active_at_once
        self._store = records.store

    def key(self, entity_set: SimulatedSet, text: str) -> Doc:
        """The key of an address as field values."""
        try:
            parts = parse_key(text)
            if len(parts) == 1 and parts[0][0] is None:
                name = entity_set.key[0]
                return {name: convert(name, entity_set.wire[name], parts[0][1])}
            names = [name or "" for name, _ in parts]
            keys = [entity_set.key, *entity_set.alternate_keys.values()]
            if not any(set(names) == set(key) for key in keys):
                raise BadAddressError(text)
            return {
                name: self._key_value(name, entity_set.wire[name], value)
                for name, (_, value) in zip(names, parts, strict=True)
            }
        except (BadAddressError, BadValueError):
            message = f"The key in the request URI is not valid for resource '{self._type(entity_set)}'."
            raise RefusalError(400, message, BAD_QUERY) from None

    @staticmethod
    def _key_value(name: str, spec: FieldSpec, text: str) -> object:
        return convert(name, spec, int(text) if spec.type in ("integer", "choice") and text.isdigit() else text)

    def _type(self, entity_set: SimulatedSet) -> str:
        return f"{self._description.namespace}.{entity_set.logical_name}"

    def find(self, entity_set: SimulatedSet, key: Doc) -> Row | None:
        """The record with a key, primary or alternate."""
        if tuple(key) == entity_set.key:
            return self._store.get(entity_set.name, str(key[entity_set.key[0]]))
        for fields in entity_set.alternate_keys.values():
            if set(fields) == set(key):
                rows = self._store.find(entity_set.name, fields, (key[part] for part in fields))
                return rows[0] if rows else None
        return None

    def body(self, entity_set: SimulatedSet, body: Mapping[str, Any], declared: Mapping[str, str]) -> Doc:
        """The stored values a body asks for."""
        values: Doc = {}
        for name, value in body.items():
            if name.endswith("@odata.bind"):
                values |= self._bound(entity_set, name.removesuffix("@odata.bind"), value, declared)
            elif name in entity_set.navigation:
                values |= self._navigation(entity_set, name, value)
            elif "@" not in name:
                values |= self._plain(entity_set, name, value)
        return values

    def _plain(self, entity_set: SimulatedSet, name: str, value: object) -> Doc:
        spec = entity_set.wire.get(name)
        if spec is None:
            message = (
                f"The property '{name}' does not exist on type '{self._type(entity_set)}'. "
                "Make sure to only use property names that are defined by the type."
            )
            raise self._bad_payload(entity_set, message)
        if spec.type == "lookup":
            message = (
                "CRM do not support direct update of Entity Reference properties, Use Navigation properties instead."
            )
            raise RefusalError(400, message, BAD_PAYLOAD)
        if value is None or (value == "" and spec.is_text):
            return {name: None}  # an empty text is kept as no text
        try:
            if not has_wire_form(spec, value):
                raise BadValueError("type", name, spec, value, "it is not written as one")
            return {name: check(name, spec, value)}
        except BadValueError as bad:
            raise self._bad_value(entity_set, bad) from None

    @staticmethod
    def _bad_payload(entity_set: SimulatedSet, message: str) -> RefusalError:
        prefix = f"Error identified in Payload provided by the user for Entity :'{entity_set.name}', InnerException : "
        return RefusalError(400, prefix + message, BAD_PAYLOAD)

    def _bad_value(self, entity_set: SimulatedSet, bad: BadValueError) -> RefusalError:
        if bad.kind == "length":
            message = (
                f"A validation error occurred. The length of the '{bad.name}' attribute of the "
                f"'{entity_set.logical_name}' entity exceeded the maximum allowed length of '{bad.spec.length}'."
            )
            return RefusalError(400, message, "0x80044331")
        where = f"'{bad.name}' on record of type '{entity_set.logical_name}' is outside the valid range."
        if bad.kind == "choice":
            accepted = ",".join(str(choice) for choice in bad.spec.choices)
            message = f"A validation error occurred. The value {bad.value} of {where} Accepted Values: {accepted}"
            return RefusalError(400, message, "0x8004431a")
        if bad.kind == "range":
            return RefusalError(400, f"A validation error occurred. The value of {where}", "0x80044330")
        message = (
            f"Cannot convert a value to target type '{edm(bad.spec)}' because of the value of '{bad.name}': {bad.why}."
        )
        return self._bad_payload(entity_set, message)

    def _navigation(self, entity_set: SimulatedSet, name: str, value: object) -> Doc:
        if value is not None:
            message = f"Deep insert and nested changes through '{name}' are not supported."
            raise self._bad_payload(entity_set, message)
        wire = entity_set.navigation[name][0]
        return {wire: None, kind_name(wire): None}

    def _bound(self, entity_set: SimulatedSet, name: str, value: object, declared: Mapping[str, str]) -> Doc:
        if name not in entity_set.navigation:
            message = (
                f"An undeclared property '{name}' which only has property annotations in the payload but no property "
                "value was found in the payload. In OData, only declared navigation properties and declared named "
                "streams can be represented as properties without values."
            )
            raise self._bad_payload(entity_set, message)
        wire, wanted = entity_set.navigation[name]
        if value is None:
            return {wire: None, kind_name(wire): None}
        target, row = self.address(str(value), declared)
        if target.name != wanted:
            message = f"A '{target.logical_name}' record cannot be set through the navigation property '{name}'."
            raise self._bad_payload(entity_set, message)
        return {wire: row.key, kind_name(wire): target.logical_name}

    def address(self, text: str, declared: Mapping[str, str]) -> tuple[SimulatedSet, Row]:
        """The set and record that an address in a body means: relative, rooted, absolute or a content id."""
        if text.startswith("$"):
            if text[1:] not in declared:
                message = f"Content-ID Reference: '{text}' does not exist in the batch context."
                raise RefusalError(400, message, BAD_PAYLOAD)
            text = declared[text[1:]]
        try:
            path = unquote(urlsplit(text).path if "://" in text else text)
            if path.startswith("/") and "/api/data/" in path:
                path = path.split("/api/data/", 1)[1].split("/", 1)[-1]
            ((name, key),) = parse_path(path.strip("/"))
        except (BadAddressError, ValueError):
            raise RefusalError(400, f"Invalid URI '{text}' in a reference.", BAD_PAYLOAD) from None
        entity_set = self._description.entity_sets.get(name)
        if entity_set is None or key is None:
            raise RefusalError(404, f"Resource not found for the segment '{name}'.", "0x8006088a")
        values = self.key(entity_set, key)
        row = self.find(entity_set, values)
        if row is None:
            raise does_not_exist(entity_set, values)
        return entity_set, row

    def sendable(self, entity_set: SimulatedSet, values: Doc, operation: Operation) -> Doc:
        """Refuse fields that a create, or an update, does not take.

        Sources tell which these are; whether the real system refuses or ignores them is not told, so it is refused.
        """
        refused = [name for name in values if "@" not in name and not entity_set.wire[name].may_be_sent(operation)]
        if refused and not self._lenient:
            message = f"The attribute '{refused[0]}' of '{entity_set.logical_name}' is not valid for {operation}."
            raise self._bad_payload(entity_set, message)
        return {name: value for name, value in values.items() if name.partition("@")[0] not in refused}

    def required(self, entity_set: SimulatedSet, values: Doc, *, partial: bool = False) -> None:
        """Refuse what leaves a required field empty; one that the system numbers by itself may be."""
        levels = ("system",) if self._lenient else ("system", "application")
        for name, spec in entity_set.wire.items():
            empty = name in values and values[name] in (None, "")
            absent = name not in values and not partial and spec.default is None
            asked_for = (
                spec.required in levels and not spec.auto and spec.may_be_sent("update" if partial else "create")
            )
            if asked_for and (empty or absent):
                message = f"Required field '{name}' is missing for entity '{entity_set.logical_name}'."
                raise RefusalError(400, message, "0x80040203")

    def states(self, entity_set: SimulatedSet, values: Doc, old: Doc) -> None:
        """Complete and check state and status, which belong together."""
        if entity_set.state_fields is None:
            return
        state_field, status_field = entity_set.state_fields
        if not old and entity_set.draft_state is not None:
            if not self._active_at_once:
                values.pop(status_field, None)
            values[state_field] = values.get(state_field, 0) if self._active_at_once else entity_set.draft_state
        if state_field not in values and status_field not in values:
            return
        state = values.get(state_field, old.get(state_field, entity_set.wire[state_field].default))
        if status_field not in values:
            if state == old.get(state_field):
                return
            values[status_field] = entity_set.states[int(state or 0)][0]
        if values[status_field] not in entity_set.states.get(int(state or 0), ()):
            message = (
                f"{values[status_field]} is not a valid status code for state code {state} "
                f"on {entity_set.logical_name}."
            )
            raise RefusalError(400, message, "0x80048408")
