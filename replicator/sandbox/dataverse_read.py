"""Reading entity sets of the sales system: pages, query options, change tracking with delta links, annotations."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from replicator.sandbox.dataverse_refusals import BAD_QUERY, refuse_unknown_options, unknown_property
from replicator.sandbox.dataverse_rows import Renderer
from replicator.sandbox.description import SimulatedSet, SystemDescription
from replicator.sandbox.expression import BadQueryError, UnknownPropertyError
from replicator.sandbox.odata_http import Call, RefusalError, Reply, to_json
from replicator.sandbox.query import compile_filter, compile_order
from replicator.sandbox.store import Row, StoredCondition
from replicator.sandbox.writing import Records

EXPIRED = "Version stamp associated with the client has expired. Please perform a full sync."
_untracked = ("$filter", "$orderby", "$expand", "$top")
_known = {*_untracked, "$select", "$count", "$skiptoken", "$deltatoken"}


class SetReader:
    """Answers GET on entity sets."""

    def __init__(self, description: SystemDescription, records: Records, token_days: float) -> None:
        self._description = description
        self._store = records.store
        self._clock = records.clock
        self._token_days = token_days

    def count(self, call: Call, entity_set: SimulatedSet) -> Reply:
        """The path form of counting."""
        self._options(call)
        if "$deltatoken" in call.query:
            since, _ = self._token(call.query["$deltatoken"])
            span = (entity_set.name, since, self._store.version, -1)
            number = len(self._store.changed(*span)) + len(self._store.deleted(*span))
        else:
            number = self._store.count(entity_set.name, self._filter(call, entity_set))
        return Reply(200, str(number), {"OData-Version": "4.0"}, "text/plain")

    def read(self, call: Call, entity_set: SimulatedSet) -> Reply:
        """One page of a set, of what changed in it, or the first of either."""
        self._options(call)
        tracked = "odata.track-changes" in call.preferences
        cursor = call.query.get("$skiptoken", "")
        if "$deltatoken" in call.query or cursor.startswith("delta"):
            return self._changes(call, entity_set)
        if tracked or cursor.startswith("whole-"):
            return self._whole(call, entity_set)
        return self._query(call, entity_set)

    @staticmethod
    def _options(call: Call) -> None:
        if "$skip" in call.query:
            raise RefusalError(400, "Skip Clause is not supported in CRM", BAD_QUERY)
        refuse_unknown_options(call.query, _known)
        tracked = "odata.track-changes" in call.preferences or "$deltatoken" in call.query
        for name in _untracked:
            if tracked and name in call.query:
                message = f'The "{name[1:]}" query parameter isn\'t supported when Change Tracking is enabled.'
                raise RefusalError(400, message, BAD_QUERY)

    def _size(self, call: Call) -> int:
        largest = self._description.largest_page
        wanted = call.preferences.get("odata.maxpagesize", "")
        return min(int(wanted), largest) if wanted.isdigit() and int(wanted) > 0 else largest

    def _filter(self, call: Call, entity_set: SimulatedSet) -> StoredCondition:
        text = call.query.get("$filter")
        if not text:
            return StoredCondition()
        try:
            return compile_filter(entity_set, text)
        except UnknownPropertyError as unknown:
            raise unknown_property(self._description.namespace, entity_set, unknown.name) from None
        except BadQueryError as error:
            raise RefusalError(400, str(error), BAD_QUERY) from None

    def _order(self, call: Call, entity_set: SimulatedSet) -> StoredCondition:
        try:
            return compile_order(entity_set, call.query["$orderby"])
        except UnknownPropertyError as unknown:
            raise unknown_property(self._description.namespace, entity_set, unknown.name) from None
        except BadQueryError as error:
            raise RefusalError(400, str(error), BAD_QUERY) from None

    def _query(self, call: Call, entity_set: SimulatedSet) -> Reply:
        condition = self._filter(call, entity_set)
        size, position = self._size(call), self._position(call, "page-")
        top = call.query.get("$top", "")
        if top and not top.isdigit():
            raise RefusalError(400, f"Invalid value '{top}' for $top query option found.", BAD_QUERY)
        limit = min(int(top), self._description.largest_page) if top else size
        if "$orderby" in call.query:
            order = self._order(call, entity_set)
            rows = self._store.sorted(entity_set.name, condition, order, position, limit + 1)
            following = str(position + limit)
        else:
            rows = self._store.page(entity_set.name, condition, position, limit + 1)
            following = str(rows[limit - 1].id) if len(rows) > limit > 0 else ""
        body: dict[str, Any] = {}
        if call.query.get("$count", "").lower() == "true":
            body["@odata.count"] = self._store.count(entity_set.name, condition)
        more = len(rows) > limit and not top
        return self._page(call, entity_set, rows[:limit], body, f"page-{following}" if more else None)

    def _position(self, call: Call, prefix: str) -> int:
        cursor = call.query.get("$skiptoken", "")
        if not cursor:
            return 0
        if not cursor.startswith(prefix) or not cursor[len(prefix) :].isdigit():
            raise RefusalError(400, "Malformed XML in the Paging Cookie", "0x80040266")
        return int(cursor[len(prefix) :])

    def _page(
        self,
        call: Call,
        entity_set: SimulatedSet,
        rows: list[Row],
        body: dict[str, Any],
        cursor: str | None,
        delta: str = "",
    ) -> Reply:
        renderer = Renderer(self._description, self._store, entity_set, call)
        context = f"{call.root}$metadata#{entity_set.name}{renderer.projection}"
        headers = {"OData-Version": "4.0"}
        applied = list(renderer.applied.values())
        if "odata.track-changes" in call.preferences:
            applied.append("odata.track-changes")
        if call.preferences.get("odata.maxpagesize"):
            applied.append(f"odata.maxpagesize={call.preferences['odata.maxpagesize']}")
        if applied:
            headers["Preference-Applied"] = ",".join(applied)
        whole: dict[str, Any] = {"@odata.context": context, **body, "value": [renderer.row(row) for row in rows]}
        if cursor is not None:
            whole["@odata.nextLink"] = self._link(call, entity_set, "$skiptoken", cursor)
        elif delta:
            whole["@odata.deltaLink"] = self._link(call, entity_set, "$deltatoken", delta)
        return Reply(200, to_json(whole), headers)

    @staticmethod
    def _link(call: Call, entity_set: SimulatedSet, name: str, value: str) -> str:
        kept = {key: text for key, text in call.query.items() if key not in ("$skiptoken", "$deltatoken", "$count")}
        query = urlencode({**kept, name: value}, safe="$,")
        return f"{call.root}{entity_set.name}?{query}"

    def _whole(self, call: Call, entity_set: SimulatedSet) -> Reply:
        """A first tracked read: the token of its last page is the version at its first."""
        if not entity_set.change_tracking:
            message = f"Change tracking is not enabled for entity '{entity_set.logical_name}'."
            raise RefusalError(400, message, "0x80072491")
        _, after, token = self._cursor(call, "whole", (0, self._new_token()))
        size = self._size(call)
        rows = self._store.page(entity_set.name, StoredCondition(), after, size + 1)
        if len(rows) > size:
            return self._page(call, entity_set, rows[:size], {}, f"whole-{rows[size - 1].id}-{token}")
        return self._page(call, entity_set, rows, {}, None, token)

    def _changes(self, call: Call, entity_set: SimulatedSet) -> Reply:
        """Changed rows by version, then deleted ones; ``until`` keeps later changes for the next link."""
        start = (0, "")
        if "$deltatoken" in call.query:
            since, _ = self._token(call.query["$deltatoken"])
            start = (since, f"{since}-{self._new_token()}")
        phase, after, rest = self._cursor(call, "delta", start)
        first, _, token = rest.partition("-")
        end = token.split("!", 1)[0]
        if not (first.isdigit() and end.isdigit()):
            raise RefusalError(400, "Malformed XML in the Paging Cookie", "0x80040266")
        since, until, size = int(first), int(end), self._size(call)
        rows = self._store.changed(entity_set.name, after, until, size + 1) if phase == "delta" else []
        if len(rows) > size:
            return self._delta(call, entity_set, rows[:size], [], f"delta-{rows[size - 1].version}-{rest}")
        room = size - len(rows)
        gone = self._store.deleted(entity_set.name, since if phase == "delta" else after, until, room + 1)
        if len(gone) > room:
            position = gone[room - 1][1] if room else since
            return self._delta(call, entity_set, rows, gone[:room], f"delta.gone-{position}-{rest}")
        return self._delta(call, entity_set, rows, gone, None, token)

    def _delta(
        self,
        call: Call,
        entity_set: SimulatedSet,
        rows: list[Row],
        gone: list[tuple[str, int]],
        cursor: str | None,
        token: str = "",
    ) -> Reply:
        renderer = Renderer(self._description, self._store, entity_set, call)
        deleted = f"{call.root}$metadata#{entity_set.name}/$deletedEntity"
        value = [renderer.row(row) for row in rows]
        value += [{"@odata.context": deleted, "id": key, "reason": "deleted"} for key, _ in gone]
        whole: dict[str, Any] = {"@odata.context": f"{call.root}$metadata#{entity_set.name}/$delta", "value": value}
        if cursor is not None:
            whole["@odata.nextLink"] = self._link(call, entity_set, "$skiptoken", cursor)
        else:
            whole["@odata.deltaLink"] = self._link(call, entity_set, "$deltatoken", token)
        return Reply(200, to_json(whole), {"OData-Version": "4.0"})

    def _cursor(self, call: Call, kind: str, start: tuple[int, str]) -> tuple[str, int, str]:
        cursor = call.query.get("$skiptoken")
        if not cursor:
            return kind, *start
        parts = cursor.split("-", 2)
        if len(parts) != 3 or not parts[0].startswith(kind) or not parts[1].isdigit() or "!" not in parts[2]:
            raise RefusalError(400, "Malformed XML in the Paging Cookie", "0x80040266")
        return parts[0], int(parts[1]), parts[2]

    def _new_token(self) -> str:
        return f"{self._store.version}!{self._clock():%m/%d/%Y %H:%M:%S}"

    def _token(self, text: str) -> tuple[int, datetime]:
        try:
            version, moment = text.split("!", 1)
            made = datetime.strptime(moment, "%m/%d/%Y %H:%M:%S").replace(tzinfo=self._clock().tzinfo)
            number = int(version)
        except ValueError:
            raise RefusalError(400, f"Invalid delta token '{text}'.", BAD_QUERY) from None
        if self._clock() - made > timedelta(days=self._token_days) or number > self._store.version:
            raise RefusalError(400, EXPIRED, "0x80044352")
        return number, made
