"""Webhooks of the sales system: the tables in which they are registered, and what happens at a change of a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random

from replicator.sandbox.dataverse_messages import MESSAGES, filter_id, message_id
from replicator.sandbox.dataverse_service import DataverseService
from replicator.sandbox.description import SimulatedSet, SystemDescription, describe_file, wire_name
from replicator.sandbox.odata_http import Call, RefusalError, Reply, parse_path
from replicator.sandbox.rules import Rules
from replicator.sandbox.store import RecordChange, Row, Store, StoredCondition
from replicator.sandbox.system_options import Options
from replicator.sandbox.webhook_sender import Webhook, WebhookSender
from replicator.sandbox.writing import Records

_READ_ONLY = ("sdkmessages",)
_TABLES = (*_READ_ONLY, "serviceendpoints", "sdkmessageprocessingsteps")
"""Those served here; what clients ask about filters is answered with the other messages."""


@dataclass(frozen=True)
class WebhookStep:
    """A webhook that is called after one kind of change in one table."""

    url: str
    key: str
    heard: frozenset[str]
    """The fields whose change by an update it wants to hear of; none are all."""


class Webhooks:
    """The tables, and the calls; the caller holds the lock."""

    def __init__(
        self, description: SystemDescription, store: Store, options: Options, clock: Callable[[], datetime],
        random: Random, count: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._description, self._store, self._count = description, store, count
        self._own = describe_file("sales_webhooks.yaml")
        self._rules = Rules(store, recalculate=False, enforce=True)
        self._records = Records(self._own, store, self._rules, clock, random)
        self._service = DataverseService(self._own, self._records, options, count)
        self._sender = WebhookSender(count)
        self._steps: dict[tuple[str, str], list[WebhookStep]] = {}
        self._listen()

    def serves(self, call: Call) -> bool:
        """Whether a call is for one of these tables."""
        return call.path.partition("(")[0].partition("/")[0] in _TABLES

    def handle(self, call: Call) -> Reply:
        """One request."""
        if call.method != "GET" and parse_path(call.path)[0][0] in _READ_ONLY:
            raise RefusalError(405, "The requested resource does not support this http method.", "0x80060888")
        self._begin()
        answer = self._service.handle(call)
        if call.method != "GET":
            self._listen()
        return answer

    def close(self) -> None:
        """Send nothing more."""
        self._store.on_changes = None
        self._sender.close()
        self._rules.close()

    def _begin(self) -> None:
        """Every system has the messages, and each table some of them."""
        sets = self._own.entity_sets
        if self._store.count("sdkmessages", StoredCondition()):
            return
        with self._store.transaction():
            for message in MESSAGES:
                own = message_id(message)
                self._store.put(sets["sdkmessages"], own, {"sdkmessageid": own, "name": message})
                for table in self._description.by_logical_name:
                    key = filter_id(table, message)
                    doc = {"sdkmessagefilterid": key, "primaryobjecttypecode": table, "_sdkmessageid_value": own}
                    self._store.put(sets["sdkmessagefilters"], key, doc)

    def _listen(self) -> None:
        """Hear of changes for as long as there are enabled steps; what they want to hear stands in their rows."""
        self._steps = {}
        for row in self._store.page("sdkmessageprocessingsteps", StoredCondition(), -1, -1):
            endpoint = self._store.get("serviceendpoints", row.doc["_eventhandler_value"])
            if row.doc["statecode"] == 0 and endpoint is not None:
                heard = (row.doc["filteringattributes"] or "").split(",")
                step = WebhookStep(endpoint.doc["url"], endpoint.doc["authvalue"], frozenset(filter(None, heard)))
                for place in self._places(row):
                    self._steps.setdefault(place, []).append(step)
        self._store.on_changes = self._tell if self._steps else None

    def _places(self, step: Row) -> Iterator[tuple[str, str]]:
        """The tables and the message of a step; without a filter it is for all tables."""
        message = self._store.get("sdkmessages", step.doc["_sdkmessageid_value"])
        key = step.doc["_sdkmessagefilterid_value"]
        one = self._store.get("sdkmessagefilters", key) if key else None
        tables = self._description.by_logical_name if one is None else [one.doc["primaryobjecttypecode"]]
        yield from ((table, message.doc["name"]) for table in tables if message is not None)

    def _tell(self, changes: Iterable[RecordChange]) -> None:
        for change in changes:
            entity_set = self._description.entity_sets.get(change.entity_set)
            if entity_set is None:
                continue
            for step in self._steps.get((entity_set.logical_name, change.message), ()):
                if change.message != "Update" or not step.heard or step.heard & _changed(entity_set, change):
                    self._sender.send(self._webhook(step, entity_set, change))

    def _webhook(self, step: WebhookStep, entity_set: SimulatedSet, change: RecordChange) -> Webhook:
        organization = self._description.organization["OrganizationId"]
        named: Mapping[str, str] = {"organization": organization, "entity-name": entity_set.logical_name,
                                    "request-name": change.message}  # fmt: skip
        body = {
            "MessageName": change.message, "PrimaryEntityName": entity_set.logical_name, "Stage": 40, "Mode": 1,
            "PrimaryEntityId": change.key, "OrganizationId": organization, "Depth": 1,
        }  # fmt: skip
        headers = {f"x-ms-dynamics-{name}": value for name, value in named.items()}
        return Webhook(step.url, step.key, headers, body, self._records.new_guid())


def _changed(entity_set: SimulatedSet, change: RecordChange) -> frozenset[str]:
    """The fields that hold something else; the real system goes by what an update names."""
    before, after = change.before or {}, change.after or {}
    return frozenset(
        name for name, spec in entity_set.fields.items()
        if before.get(wire_name(name, spec)) != after.get(wire_name(name, spec))
    )  # fmt: skip
