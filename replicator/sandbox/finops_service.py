"""The finance and operations system's protocol: OData data entities over the stored records."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote_from_bytes, unquote, urlencode

from replicator.sandbox.batch_server import run_batch
from replicator.sandbox.csdl import metadata
from replicator.sandbox.description import SimulatedSet, SystemDescription
from replicator.sandbox.expression import BadQueryError, UnknownPropertyError
from replicator.sandbox.finops_input import FinOpsInput, write_failed
from replicator.sandbox.finops_packages import ACTIONS, PackageService
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
from replicator.sandbox.query import compile_filter, compile_order, compile_select, first_key_part
from replicator.sandbox.rules import make_key
from replicator.sandbox.store import Doc, Row, StoredCondition, fold
from replicator.sandbox.writing import DuplicateError, Records, RestrictedError

ROOT = "data/"
_twice = re.compile(r"%(2F|5C|2B)", re.IGNORECASE)
_first_record = 68719476736
_of_record = ("$select", "$format")
_of_set = (*_of_record, "$filter", "$top", "$skip", "$orderby", "$count", "$skiptoken")


class FinOpsService:
    """Answers calls below the service root."""

    most_operations = 5000

    def __init__(
        self,
        description: SystemDescription,
        records: Records,
        packages: PackageService,
        page_size: int,
        count: Callable[[str], None],
    ) -> None:
        self._description = description
        self._records = records
        self._store = records.store
        self._packages = packages
        self._page_size = page_size
        self._count = count
        self._reader = FinOpsInput(description, records)

    def error(self, refusal: RefusalError) -> Reply:
        """A refusal in this system's shape: the reason stands in the inner error."""
        named = refusal.code and not refusal.code.startswith("0x")
        exception = refusal.code if named else "System.Web.Http.HttpResponseException"
        inner = {"message": refusal.message, "type": exception, "stacktrace": ""}
        error = {"code": "", "message": "An error has occurred.", "innererror": inner}
        return Reply(refusal.status, to_json({"error": error}), {"OData-Version": "4.0", **refusal.headers})

    def handle(self, call: Call, declared: dict[str, str] | None = None) -> Reply:
        """One request or operation."""
        if call.path == "$batch" and call.method == "POST":
            return run_batch(self, self._records, call)
        if call.path == "$metadata":
            return Reply(200, metadata(self._description), {"OData-Version": "4.0"}, "application/xml")
        if call.path == "":
            sets = [{"name": s, "kind": "EntitySet", "url": s} for s in self._description.entity_sets]
            return _json({"@odata.context": f"{call.root}$metadata", "value": sets})
        if call.path.startswith(ACTIONS):
            return self._packages.act(call)
        try:
            segments = parse_path(call.path)
        except BadAddressError:
            raise RefusalError(400, f"Bad Request - Error in query syntax in '{call.path}'.") from None
        return self._entities(call, segments)

    def stops(self, call: Call) -> bool:
        """A batch goes on after a failure."""
        return False

    def batch_status(self, failed: bool, stops: bool) -> int:
        """Always success outside; what failed stands inside."""
        return 200

    def blamed(self, ids: list[str | None], failed: int) -> str | None:
        """The error of a change set carries the id of its first operation, whichever failed."""
        return ids[0]

    def entity_path(self, answer: Reply, call: Call) -> str | None:
        """Content ids of this system are not followed."""
        return None

    def _entities(self, call: Call, segments: list[tuple[str, str | None]]) -> Reply:
        name, key = segments[0]
        entity_set = self._description.entity_sets.get(name)
        counting = len(segments) == 2 and segments[1][0] == "$count" and key is None
        if entity_set is None or (len(segments) > 1 and not counting):
            address = f"{call.root}{call.path}"
            raise RefusalError(404, f"No HTTP resource was found that matches the request URI '{address}'.")
        _refuse_unknown_options(call, _of_set if key is None else _of_record)
        if counting:
            self._count("read")
            number = self._store.count(name, self._filter(call, entity_set))
            return Reply(200, str(number), {"OData-Version": "4.0"}, "text/plain")
        if key is None:
            return self._on_set(call, entity_set)
        # The real web server decodes a path before it is taken apart: these characters come encoded twice.
        return self._on_record(call, entity_set, self._reader.key(entity_set, _twice.sub(_decoded, key)))

    def _on_set(self, call: Call, entity_set: SimulatedSet) -> Reply:
        if call.method == "GET":
            self._count("read")
            return self._read(call, entity_set)
        if call.method == "POST":
            self._count("write")
            return self._create(call, entity_set)
        raise RefusalError(405, f"The requested resource does not support http method '{call.method}'.")

    def _on_record(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Reply:
        if call.method == "GET":
            self._count("read")
            return self._get(call, entity_set, key)
        if call.method not in ("PATCH", "DELETE"):
            raise RefusalError(405, f"The requested resource does not support http method '{call.method}'.")
        self._count("write")
        return self._update(call, entity_set, key) if call.method == "PATCH" else self._delete(call, entity_set, key)

    def _company(self, call: Call, entity_set: SimulatedSet) -> StoredCondition:
        """Only the default company, unless all are asked for, or the set belongs to none."""
        field, company = self._description.company_field, self._description.default_company
        if call.query.get("cross-company", "").lower() == "true" or field not in entity_set.wire:
            return StoredCondition()
        return first_key_part(str(company))

    def _filter(self, call: Call, entity_set: SimulatedSet) -> StoredCondition:
        company = self._company(call, entity_set)
        text = call.query.get("$filter")
        if not text:
            return company
        try:
            condition = compile_filter(entity_set, text, wildcards=True)
        except UnknownPropertyError as unknown:
            raise self._reader.unknown(entity_set, unknown.name) from None
        except BadQueryError as error:
            raise RefusalError(400, f"The query specified in the URI is not valid. {error}") from None
        return StoredCondition(f"{company.sql} AND {condition.sql}", company.values + condition.values)

    def _names(self, call: Call, entity_set: SimulatedSet) -> list[str]:
        try:
            return compile_select(entity_set, call.query.get("$select"), with_key=False)
        except UnknownPropertyError as unknown:
            raise self._reader.unknown(entity_set, unknown.name) from None

    def _number(self, call: Call, name: str, default: int) -> int:
        text = call.query.get(name, "")
        if text and not text.isdigit():
            message = (
                f"The query specified in the URI is not valid. Invalid value '{text}' for {name} query option found."
            )
            raise RefusalError(400, message)
        return int(text) if text else default

    def _read(self, call: Call, entity_set: SimulatedSet) -> Reply:
        condition, names = self._filter(call, entity_set), self._names(call, entity_set)
        preferred = call.preferences.get("odata.maxpagesize", "")
        size = min(int(preferred), self._description.largest_page) if preferred.isdigit() else self._page_size
        size = max(size, 1)
        top = self._number(call, "$top", -1)
        cursor = self._number(call, "$skiptoken", 0)
        limit = size if top < 0 else min(size, top)
        skip = self._number(call, "$skip", 0)
        ordered = skip or "$orderby" in call.query
        rows = self._rows(call, entity_set, condition, cursor or skip if ordered else cursor, limit + 1, bool(ordered))
        body: dict[str, Any] = {"@odata.context": f"{call.root}$metadata#{entity_set.name}"}
        if call.query.get("$count", "").lower() == "true":
            body["@odata.count"] = self._store.count(entity_set.name, condition)
        body["value"] = [self._row(entity_set, row, names) for row in rows[:limit]]
        if len(rows) > limit and limit == size and top != limit:
            position = (cursor or skip) + limit if ordered else rows[limit - 1].id
            left = {"$top": str(top - limit)} if top > 0 else {}
            kept = {name: text for name, text in call.query.items() if name not in ("$skiptoken", "$top", "$count")}
            link = urlencode({**kept, **left, "$skiptoken": str(position)}, safe="$,")
            body["@odata.nextLink"] = f"{call.root}{entity_set.name}?{link}"
        return _json(body)

    def _rows(
        self, call: Call, entity_set: SimulatedSet, condition: StoredCondition, position: int, limit: int, ordered: bool
    ) -> list[Row]:
        if not ordered:
            return self._store.page(entity_set.name, condition, position, limit)
        try:
            order = (
                compile_order(entity_set, call.query["$orderby"]) if "$orderby" in call.query else StoredCondition("")
            )
        except UnknownPropertyError as unknown:
            raise self._reader.unknown(entity_set, unknown.name) from None
        except BadQueryError as error:
            raise RefusalError(400, f"The query specified in the URI is not valid. {error}") from None
        return self._store.sorted(entity_set.name, condition, order, position, limit)

    def _row(self, entity_set: SimulatedSet, row: Row, names: list[str]) -> dict[str, Any]:
        doc = row.doc
        shown: dict[str, Any] = {"@odata.etag": etag(row)}
        for name in names:
            shown[name] = doc.get(name)
        return shown

    def _existing(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Row:
        row = self._store.get(entity_set.name, make_key(entity_set, key))
        field = self._description.company_field or ""
        other = row is not None and fold(row.doc.get(field, self._description.default_company)) != (
            self._description.default_company
        )
        hidden = other and call.method == "GET" and call.query.get("cross-company", "").lower() != "true"
        if row is None or hidden:
            shown = ",".join(f"{name}='{value}'" for name, value in key.items())
            raise RefusalError(404, f"No resource was found for the key {entity_set.name}({shown}).")
        return row

    def _get(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Reply:
        names = self._names(call, entity_set)
        row = self._existing(call, entity_set, key)
        context = f"{call.root}$metadata#{entity_set.name}/$entity"
        return _json({"@odata.context": context, **self._row(entity_set, row, names)}, ETag=etag(row))

    def _create(self, call: Call, entity_set: SimulatedSet) -> Reply:
        values = self._reader.body(entity_set, self._body(call))
        company = self._description.company_field
        if company in entity_set.wire:
            values[company] = str(values.get(company) or self._description.default_company).lower()
        with self._store.transaction():
            self._reader.create(entity_set, values)
            try:
                row = self._records.create(entity_set, values)
            except DuplicateError:
                detail = f"Info: Cannot create a record in {entity_set.label} ({entity_set.logical_name}). "
                raise write_failed(entity_set, f"{detail}The record already exists.", create=True) from None
        context = f"{call.root}$metadata#{entity_set.name}/$entity"
        body = {"@odata.context": context, **self._row(entity_set, row, list(entity_set.wire))}
        return _json(body, 201, ETag=etag(row), Location=f"{call.root}{self._address(entity_set, row)}")

    def _address(self, entity_set: SimulatedSet, row: Row) -> str:
        parts = []
        for name in entity_set.key:
            value, spec = row.doc[name], entity_set.wire[name]
            type_ = f"{self._description.namespace}.{spec.enum}" if spec.enum else ""
            quoted = "'" + quote_from_bytes(str(value).replace("'", "''").encode(), safe="'") + "'"
            parts.append(f"{name}={value if spec.type == 'integer' else type_ + quoted}")
        return f"{entity_set.name}({','.join(parts)})"

    def _update(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Reply:
        values = self._reader.body(entity_set, self._body(call))
        with self._store.transaction():
            row = self._existing(call, entity_set, key)
            self._precondition(call, row)
            changes = self._reader.changes(entity_set, values, row)
            if changes:
                self._records.update(entity_set, row, changes)
        return Reply(204, "", {"OData-Version": "4.0"})

    def _delete(self, call: Call, entity_set: SimulatedSet, key: Doc) -> Reply:
        with self._store.transaction():
            row = self._existing(call, entity_set, key)
            self._precondition(call, row)
            try:
                self._records.remove(row)
            except RestrictedError as restricted:
                target = self._description.entity_sets[restricted.row.entity_set]
                detail = (
                    f"Warning: Cannot delete a record in {target.label} ({target.logical_name}). "
                    f"Dependent {restricted.child.label} exist."
                )
                raise write_failed(target, detail, verb="Delete") from None
        return Reply(204, "", {"OData-Version": "4.0"})

    @staticmethod
    def _precondition(call: Call, row: Row) -> None:
        wanted = call.header("if-match")
        if wanted is not None and wanted != "*" and etag(row) not in wanted:
            raise RefusalError(412, "The record was changed since it was read: the etag does not match.")

    @staticmethod
    def _body(call: Call) -> dict[str, Any]:
        try:
            return json_object(call.body)
        except BadJsonError as error:
            raise RefusalError(
                400, f"The request body could not be read: {error}", "Microsoft.OData.ODataException"
            ) from None


def _decoded(found: re.Match[str]) -> str:
    return unquote(found[0])


def _refuse_unknown_options(call: Call, known: Sequence[str]) -> None:
    for name in call.query:
        if name.startswith("$") and name not in known:
            raise RefusalError(
                400, f"The query specified in the URI is not valid. Query option '{name}' is not allowed."
            )


def etag(row: Row) -> str:
    """The version of a record: two numbers, quoted and in base 64."""
    text = f"'{row.version},{_first_record + row.id}'"
    return f'W/"{b64encode(text.encode()).decode()}"'


def _json(body: object, status: int = 200, **headers: str) -> Reply:
    return Reply(status, to_json(body), {"OData-Version": "4.0", **headers})
