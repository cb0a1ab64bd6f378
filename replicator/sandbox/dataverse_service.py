"""The sales system's protocol: a Dataverse Web API over the stored records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from replicator.sandbox.batch_server import run_batch
from replicator.sandbox.csdl import metadata
from replicator.sandbox.dataverse_actions import Actions
from replicator.sandbox.dataverse_definitions import Definitions
from replicator.sandbox.dataverse_input import RECORD_OPTIONS, WRITE_OPTIONS, DataverseInput
from replicator.sandbox.dataverse_links import Links
from replicator.sandbox.dataverse_messages import NAMESPACE, Messages
from replicator.sandbox.dataverse_read import SetReader
from replicator.sandbox.dataverse_refusals import does_not_exist, duplicate, refuse_unknown_options
from replicator.sandbox.dataverse_rows import Renderer
from replicator.sandbox.description import SimulatedSet, SystemDescription
from replicator.sandbox.odata_http import (
    BadAddressError,
    BadJsonError,
    Call,
    RefusalError,
    Reply,
    json_object,
    parse_path,
    to_json,
)
from replicator.sandbox.store import Doc, Row
from replicator.sandbox.system_options import Options
from replicator.sandbox.writing import DuplicateError, Records, RestrictedError

ROOT = "api/data/v9.2/"


class DataverseService:
    """Answers calls below the service root."""

    most_operations = 1000

    def __init__(
        self, description: SystemDescription, records: Records, options: Options, count: Callable[[str], None]
    ):
        self._description = description
        self._records = records
        self._store = records.store
        self._count = count
        self._sets = SetReader(description, records, options.token_days)
        self._definitions = Definitions(description)
        self._reader = DataverseInput(description, records, options)
        self._actions = Actions(description, records, self._reader)
        self._links = Links(description, self._reader, self)
        self._messages = Messages(description, records, self._reader, self)

    def error(self, refusal: RefusalError) -> Reply:
        """A refusal in this system's shape."""
        body = {"error": {"code": refusal.code, "message": refusal.message}}
        return Reply(refusal.status, to_json(body), {"OData-Version": "4.0", **refusal.headers})

    def handle(self, call: Call, declared: dict[str, str] | None = None) -> Reply:
        """One request or operation; ``declared`` holds the addresses that content ids of a change set stand for."""
        declared = {} if declared is None else declared
        if call.path == "$batch":
            return self._batch(call)
        try:
            segments = parse_path(self._resolved(call.path, declared))
        except BadAddressError:
            raise RefusalError(400, f"Bad Request - Error in query syntax in '{call.path}'.", "0x80060888") from None
        special = self._special(call, segments)
        if special is not None:
            return special
        return self._entities(call, segments, declared)

    @staticmethod
    def _resolved(path: str, declared: dict[str, str]) -> str:
        if not path.startswith("$") or path.startswith("$metadata"):
            return path
        name = path.split("/", 1)[0][1:]
        if name not in declared:
            message = f"Content-ID Reference: '${name}' does not exist in the batch context."
            raise RefusalError(400, message, "0x80048d19")
        return path.replace(f"${name}", declared[name], 1)

    def _batch(self, call: Call) -> Reply:
        if call.method != "POST":
            raise RefusalError(405, "The requested resource does not support this http method.", "0x80060888")
        return run_batch(self, self._records, call)

    def stops(self, call: Call) -> bool:
        """Whether a batch ends with its first failure."""
        return "odata.continue-on-error" not in call.preferences

    def batch_status(self, failed: bool, stops: bool) -> int:
        """The outer status of a batch."""
        return 400 if failed and stops else 200

    def blamed(self, ids: list[str | None], failed: int) -> str | None:
        """The content id that the error of a change set carries."""
        return ids[failed]

    def _special(self, call: Call, segments: list[tuple[str, str | None]]) -> Reply | None:
        name = segments[0][0] if segments else ""
        if name == "":
            sets = [{"name": s, "kind": "EntitySet", "url": s} for s in self._description.entity_sets]
            return self._json({"@odata.context": f"{call.root}$metadata", "value": sets})
        if name == "$metadata":
            text = metadata(self._description)
            return Reply(200, text, {"OData-Version": "4.0"}, "application/xml")
        if name == "WhoAmI":
            context = f"{call.root}$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse"
            return self._json({"@odata.context": context, **self._description.organization})
        if name == "EntityDefinitions":
            return self._json(self._definitions.read(call, segments))
        if name in self._actions:
            return self._action(call, name)
        if name == "RelationshipDefinitions":
            return self._json(self._definitions.relationships(call, segments))
        answer = self._messages.unbound(call, name) if len(segments) == 1 else None
        return None if answer is None else self._json(answer)

    def _action(self, call: Call, name: str) -> Reply:
        if call.method != "POST":
            raise RefusalError(405, "The requested resource does not support this http method.", "0x80060888")
        self._count("write")
        made = self._actions.run(name, self._body(name, call))
        if made is None:
            return Reply(204, "", {"OData-Version": "4.0"})
        entity_set, row = made
        body = {"@odata.context": f"{call.root}$metadata#{entity_set.name}/$entity"}
        return self._json({**body, **Renderer(self._description, self._store, entity_set, call).row(row)})

    @staticmethod
    def _json(body: object, status: int = 200, **headers: str) -> Reply:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Reply(status, to_json(body), {"OData-Version": "4.0", **named})

    def _entities(self, call: Call, segments: list[tuple[str, str | None]], declared: dict[str, str]) -> Reply:
        name, key = segments[0]
        entity_set = self._description.entity_sets.get(name)
        if entity_set is not None and key is not None and [each for each, _ in segments[2:]] == ["$ref"]:
            self._count("write")
            with self._store.transaction():
                row = self._existing(entity_set, self._key(entity_set, key))
                self._links.change(call, entity_set, row, segments[1][0], declared)
            return Reply(204, "", {"OData-Version": "4.0"})
        if entity_set is None or len(segments) > 2:
            raise RefusalError(
                404, f"Resource not found for the segment '{segments[-1 if entity_set else 0][0]}'.", "0x8006088a"
            )
        if len(segments) == 2:
            return self._below(call, entity_set, key, segments[1][0])
        if key is None:
            return self._on_set(call, entity_set, declared)
        return self._on_record(call, entity_set, self._key(entity_set, key), declared)

    def _below(self, call: Call, entity_set: SimulatedSet, key: str | None, name: str) -> Reply:
        if name == "$count" and key is None and call.method == "GET":
            self._count("read")
            return self._sets.count(call, entity_set)
        if key is None and name.startswith(NAMESPACE):
            self._count("write")
            answer = self._messages.bound(call, entity_set, name)
            return Reply(204, "", {"OData-Version": "4.0"}) if answer is None else self._json(answer)
        if key is not None and name in entity_set.shown:
            return self._property(call, entity_set, self._key(entity_set, key), name)
        raise RefusalError(404, f"Resource not found for the segment '{name}'.", "0x8006088a")

    def _property(self, call: Call, entity_set: SimulatedSet, key: Doc, name: str) -> Reply:
        """One value of a record: read, set, or emptied."""
        refuse_unknown_options(call.query, ())
        row = self._existing(entity_set, key)
        if call.method == "GET":
            context = f"{call.root}$metadata#{entity_set.name}({row.key})/{name}"
            return self._json({"@odata.context": context, "value": row.doc.get(name)})
        if call.method not in ("PUT", "DELETE"):
            raise RefusalError(405, "The requested resource does not support this http method.", "0x80060888")
        self._count("write")
        value = self._body(entity_set, call).get("value") if call.method == "PUT" else None
        with self._store.transaction():
            self._conditions(call, entity_set, key, row)
            self.update(entity_set, row, self._reader.body(entity_set, {name: value}, {}), key)
        return Reply(204, "", {"OData-Version": "4.0"})

    def _on_set(self, call: Call, entity_set: SimulatedSet, declared: dict[str, str]) -> Reply:
        if call.method == "GET":
            self._count("read")
            return self._sets.read(call, entity_set)
        if call.method == "POST":
            refuse_unknown_options(call.query, WRITE_OPTIONS)
            self._count("write")
            return self._post(call, entity_set, declared)
        raise RefusalError(405, "The requested resource does not support this http method.", "0x80060888")

    def _on_record(self, call: Call, entity_set: SimulatedSet, key: Doc, declared: dict[str, str]) -> Reply:
        refuse_unknown_options(call.query, RECORD_OPTIONS if call.method == "GET" else WRITE_OPTIONS)
        if call.method == "GET":
            self._count("read")
            return self._get(call, entity_set, key)
        if call.method not in ("PATCH", "DELETE"):
            raise RefusalError(405, "The requested resource does not support this http method.", "0x80060888")
        self._count("write")
        if call.method == "PATCH":
            return self._patch(call, entity_set, key, declared)
        return self._delete(call, entity_set, key)

    def _key(self, entity_set: SimulatedSet, text: str) -> Doc:
        """The key of an address as field values; A refusal where it is no key of the set."""
        return self._reader.key(entity_set, text)

    def _find(self, entity_set: SimulatedSet, key: Doc) -> Row | None:
        return self._reader.find(entity_set, key)

    def _existing(self, entity_set: SimulatedSet, key: Doc) -> Row:
        row = self._find(entity_set, key)
        if row is None:
            raise does_not_exist(entity_set, key)
        return row

    def _get(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Reply:
        row = self._existing(entity_set, key)
        etag = f'W/"{row.version}"'
        if call.header("if-none-match") == etag:
            return Reply(304, "", {"OData-Version": "4.0", "ETag": etag})
        renderer = Renderer(self._description, self._store, entity_set, call)
        context = f"{call.root}$metadata#{entity_set.name}{renderer.projection}/$entity"
        body = {"@odata.context": context, **renderer.row(row)}
        answer = self._json(body, ETag=etag)
        answer.headers.update(renderer.applied)
        return answer

    def _post(self, call: Call, entity_set: SimulatedSet, declared: dict[str, str]) -> Reply:
        values = self._reader.body(entity_set, self._body(entity_set, call), declared)
        with self._store.transaction():
            row = self.create(entity_set, values, {})
        return self._written(call, entity_set, row, created=True)

    def create(self, entity_set: SimulatedSet, values: Doc, key: Doc) -> Row:
        """Make a record with these values and this key, which may be an alternate one. Raises RefusalError."""
        values = self._reader.sendable(entity_set, {**key, **values}, "create")
        primary = entity_set.key[0]
        values[primary] = values.get(primary) or self._records.unused_guid(entity_set)
        self._reader.required(entity_set, values)
        self._reader.states(entity_set, values, {})
        try:
            return self._records.create(entity_set, values)
        except DuplicateError as taken:
            raise duplicate(entity_set, taken.fields) from None

    def _patch(self, call: Call, entity_set: SimulatedSet, key: Doc, declared: dict[str, str]) -> Reply:
        values = self._reader.body(entity_set, self._body(entity_set, call), declared)
        with self._store.transaction():
            row = self._find(entity_set, key)
            self._conditions(call, entity_set, key, row)
            if row is None:
                return self._written(call, entity_set, self.create(entity_set, values, key), created=True)
            row = self.update(entity_set, row, values, key)
        return self._written(call, entity_set, row, created=False)

    def update(self, entity_set: SimulatedSet, row: Row, values: Doc, key: Doc) -> Row:
        """Change a record that was found by this key; the values of the key stay. Raises RefusalError."""
        changes = {name: value for name, value in values.items() if name not in key}
        changes.pop(entity_set.key[0], None)
        changes = self._reader.sendable(entity_set, changes, "update")
        self._reader.required(entity_set, changes, partial=True)
        self._reader.states(entity_set, changes, row.doc)
        try:
            return self._records.update(entity_set, row, changes)
        except DuplicateError as taken:
            raise duplicate(entity_set, taken.fields) from None

    @staticmethod
    def _conditions(call: Call, entity_set: SimulatedSet, key: Doc, row: Row | None) -> None:
        wanted = call.header("if-match")
        if wanted is not None:
            if row is None:
                raise does_not_exist(entity_set, key)
            if wanted != "*" and f'W/"{row.version}"' not in wanted:
                message = "The version of the existing record doesn't match the RowVersion property provided."
                raise RefusalError(412, message, "0x80060882")
        if call.header("if-none-match") == "*" and row is not None:
            raise duplicate(entity_set)

    def _written(self, call: Call, entity_set: SimulatedSet, row: Row, *, created: bool) -> Reply:
        address = f"{call.root}{entity_set.name}({row.key})"
        headers = {"OData-Version": "4.0", "OData-EntityId": address}
        if call.preferences.get("return") != "representation":
            return Reply(204, "", headers)
        renderer = Renderer(self._description, self._store, entity_set, call)
        context = f"{call.root}$metadata#{entity_set.name}{renderer.projection}/$entity"
        headers |= {"Preference-Applied": "return=representation", "ETag": f'W/"{row.version}"'}
        if created:
            headers["Location"] = address
        body = {"@odata.context": context, **renderer.row(row)}
        return Reply(201 if created else 200, to_json(body), headers)

    def _delete(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Reply:
        with self._store.transaction():
            row = self._existing(entity_set, key)
            self._conditions(call, entity_set, key, row)
            self.remove(row)
        return Reply(204, "", {"OData-Version": "4.0"})

    def remove(self, row: Row) -> None:
        """Delete a record. Raises RefusalError where others keep it."""
        try:
            self._records.remove(row)
        except RestrictedError:
            message = "The object you tried to delete is associated with another object and cannot be deleted"
            raise RefusalError(405, message, "0x80040227") from None

    @staticmethod
    def _body(entity_set: SimulatedSet | str, call: Call) -> dict[str, Any]:
        name = entity_set if isinstance(entity_set, str) else entity_set.name
        try:
            return json_object(call.body)
        except BadJsonError as error:
            message = f"Error identified in Payload provided by the user for Entity :'{name}': {error}"
            raise RefusalError(400, message, "0x80048d19") from None

    def entity_path(self, answer: Reply, call: Call) -> str | None:
        """What a content id stands for after an operation: the address of the record it wrote."""
        address = answer.headers.get("OData-EntityId")
        return address.removeprefix(call.root) if address else None
