"""Messages of the sales system: CreateMultiple and its like, BulkDelete, and what clients ask about messages.

Several records in one message happen together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol
from uuid import NAMESPACE_URL, uuid5

from replicator.sandbox.dataverse_input import BAD_PAYLOAD, DataverseInput
from replicator.sandbox.dataverse_refusals import BAD_QUERY, does_not_exist, refuse_unknown_options
from replicator.sandbox.description import SimulatedSet, SystemDescription
from replicator.sandbox.expression import BadQueryError
from replicator.sandbox.odata_http import BadAddressError, BadJsonError, Call, RefusalError, json_object, parse_path
from replicator.sandbox.row_filter import RowFilter
from replicator.sandbox.store import Doc, Row, Store, StoredCondition
from replicator.sandbox.writing import Records

NAMESPACE = "Microsoft.Dynamics.CRM."
_multiple = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")
MESSAGES = ("Create", "Update", "Delete", *_multiple)
"""Those that the tables are said to have; the rest of the real list is left out."""
_operators = ("Equal", "In")
Json = dict[str, Any]


class Writer(Protocol):
    """What the messages need of the service they belong to."""

    def create(self, entity_set: SimulatedSet, values: Doc, key: Doc) -> Row:
        """Make a record, or raise RefusalError."""

    def update(self, entity_set: SimulatedSet, row: Row, values: Doc, key: Doc) -> Row:
        """Change a record, or raise RefusalError."""

    def remove(self, row: Row) -> None:
        """Delete a record, or raise RefusalError."""


class Messages:
    """Carries out messages; the caller holds the lock."""

    def __init__(
        self, description: SystemDescription, records: Records, reader: DataverseInput, writer: Writer
    ) -> None:
        self._description = description
        self._records = records
        self._store: Store = records.store
        self._reader, self._writer = reader, writer
        self._unbound: Mapping[str, Callable[[Call], Json]] = {
            "BulkDelete": self._bulk_delete,
            "RetrieveAvailableLanguages": self._languages,
            "sdkmessagefilters": self._filters,
            "GlobalOptionSetDefinitions": self._no_option_sets,
        }

    def unbound(self, call: Call, name: str) -> Json | None:
        """The answer to a message that belongs to no entity set; None where there is none of that name."""
        act = self._unbound.get(name)
        return None if act is None else act(call)

    def bound(self, call: Call, entity_set: SimulatedSet, name: str) -> Json | None:
        """The answer to a message of an entity set; None where it has none. Raises RefusalError."""
        message = name.removeprefix(NAMESPACE)
        if message not in _multiple:
            raise RefusalError(404, f"Resource not found for the segment '{name}'.", "0x8006088a")
        _only(call, "POST")
        refuse_unknown_options(call.query, ("tag",))
        with self._store.transaction():
            rows = [self._one(message, entity_set, target) for target in self._targets(call, entity_set)]
        if message != "CreateMultiple":
            return None
        return {
            "@odata.context": f"{call.root}$metadata#{NAMESPACE}{message}Response",
            "Ids": [row.key for row in rows],
        }

    def _targets(self, call: Call, entity_set: SimulatedSet) -> list[Json]:
        targets = _body(call).get("Targets")
        if not isinstance(targets, list) or not targets or not all(isinstance(each, dict) for each in targets):
            raise RefusalError(400, "The parameter 'Targets' must be a list of records that is not empty.", BAD_PAYLOAD)
        wanted = f"{NAMESPACE}{entity_set.logical_name}"
        for target in targets:
            if str(target.get("@odata.type", "")).lstrip("#") != wanted:
                message = f"Each record in 'Targets' must say its type: '@odata.type' has to be '{wanted}'."
                raise RefusalError(400, message, BAD_PAYLOAD)
        return targets

    def _one(self, message: str, entity_set: SimulatedSet, target: Json) -> Row:
        values = self._reader.body(entity_set, target, {})
        if message == "CreateMultiple":
            return self._writer.create(entity_set, values, {})
        key = self._target_key(entity_set, target, values)
        row = self._reader.find(entity_set, key)
        if row is not None:
            return self._writer.update(entity_set, row, values, key)
        if message == "UpdateMultiple":
            raise does_not_exist(entity_set, key)
        return self._writer.create(entity_set, values, key)

    def _target_key(self, entity_set: SimulatedSet, target: Json, values: Doc) -> Doc:
        """The key of a record in a message: an address in ``@odata.id``, or the field of the key."""
        primary = entity_set.key[0]
        if "@odata.id" not in target:
            return {primary: values.get(primary) or self._records.unused_guid(entity_set)}
        try:
            ((name, key),) = parse_path(str(target["@odata.id"]).split("/")[-1])
        except (BadAddressError, ValueError):
            name, key = "", None
        if name != entity_set.name or key is None:
            raise RefusalError(400, f"Invalid URI '{target['@odata.id']}' in a reference.", BAD_PAYLOAD)
        return self._reader.key(entity_set, key)

    def _bulk_delete(self, call: Call) -> Json:
        """Delete what the queries find, one by one; the real system does so in a job later on."""
        _only(call, "POST")
        queries = _body(call).get("QuerySet")
        if not isinstance(queries, list) or not queries:
            raise RefusalError(400, "The parameter 'QuerySet' must be a list of queries.", BAD_PAYLOAD)
        for query in queries:
            for row in list(self._found(query)):
                if (current := self._store.get(row.entity_set, row.key)) is not None:
                    self._writer.remove(current)
        context = f"{call.root}$metadata#{NAMESPACE}BulkDeleteResponse"
        return {"@odata.context": context, "JobId": str(self._records.new_guid())}

    def _found(self, query: Json) -> Iterator[Row]:
        entity_set = self._description.by_logical_name.get(str(query.get("EntityName")))
        if entity_set is None:
            raise RefusalError(400, f"The entity '{query.get('EntityName')}' was not found.", "0x80041102")
        conditions = [_condition(entity_set, each) for each in (query.get("Criteria") or {}).get("Conditions") or []]
        after = -1
        while rows := self._store.page(entity_set.name, StoredCondition(), after, 500):
            after = rows[-1].id
            yield from (row for row in rows if all(test(row.doc) for test in conditions))

    def _languages(self, call: Call) -> Json:
        _only(call, "GET")
        context = f"{call.root}$metadata#{NAMESPACE}RetrieveAvailableLanguagesResponse"
        return {"@odata.context": context, "LocaleIds": [1033]}

    def _no_option_sets(self, call: Call) -> Json:
        """The sandbox has choices of columns alone."""
        _only(call, "GET")
        return {"@odata.context": f"{call.root}$metadata#GlobalOptionSetDefinitions", "value": []}

    def _filters(self, call: Call) -> Json:
        """Which messages each table has."""
        _only(call, "GET")
        refuse_unknown_options(call.query, ("$select", "$expand", "$filter"))
        rows = [
            {
                "sdkmessagefilterid": filter_id(logical_name, message),
                "primaryobjecttypecode": logical_name,
                "sdkmessageid/name": message,
            }
            for logical_name in self._description.by_logical_name
            for message in MESSAGES
        ]
        if text := call.query.get("$filter"):
            try:
                fulfils = RowFilter(text, frozenset(rows[0])).parse()
            except BadQueryError as error:
                raise RefusalError(400, str(error), BAD_QUERY) from None
            rows = [row for row in rows if fulfils(row)]
        names = [row.pop("sdkmessageid/name") for row in rows]
        told = [{"sdkmessageid": message_id(name), "name": name} for name in names]
        shown = [{"sdkmessageid": message, **row} for message, row in zip(told, rows, strict=True)]
        return {"@odata.context": f"{call.root}$metadata#sdkmessagefilters", "value": shown}


def filter_id(logical_name: str, message: str) -> str:
    """The id of what says that a table has a message."""
    return str(uuid5(NAMESPACE_URL, f"sdkmessagefilters/{logical_name}/{message}"))


def message_id(message: str) -> str:
    """The id of a message."""
    return str(uuid5(NAMESPACE_URL, f"sdkmessages/{message}"))


def _condition(entity_set: SimulatedSet, condition: Json) -> Callable[[Doc], bool]:
    name, operator = str(condition.get("AttributeName")), str(condition.get("Operator"))
    wanted = [each.get("Value") if isinstance(each, dict) else each for each in condition.get("Values") or []]
    if name not in entity_set.wire or operator not in _operators or not wanted:
        message = (
            f"The condition on '{name}' with '{operator}' is not supported by the sandbox, unlike by the real service"
        )
        raise RefusalError(400, message, BAD_QUERY)
    return lambda doc: doc.get(name) in (wanted[:1] if operator == "Equal" else wanted)


def _only(call: Call, method: str) -> None:
    if call.method != method:
        raise RefusalError(405, "The requested resource does not support this http method.", BAD_QUERY)


def _body(call: Call) -> Json:
    try:
        return json_object(call.body)
    except BadJsonError as error:
        raise RefusalError(400, f"Error identified in Payload provided by the user: {error}", BAD_PAYLOAD) from None
