"""Records of the sales system as a call wants to see them: chosen fields, annotations, records behind lookups."""

from __future__ import annotations

import re
from typing import Any

from replicator.sandbox.dataverse_refusals import BAD_QUERY, unknown_property
from replicator.sandbox.description import SimulatedSet, SystemDescription, kind_name
from replicator.sandbox.expression import UnknownPropertyError
from replicator.sandbox.odata_http import Call, RefusalError
from replicator.sandbox.query import compile_select
from replicator.sandbox.store import Row, Store

_expansion = re.compile(r"\s*(?P<name>\w+)(?:\(\$select=(?P<select>[\w, ]*)\))?")
_formatted = "OData.Community.Display.V1.FormattedValue"
_navigation = "Microsoft.Dynamics.CRM.associatednavigationproperty"
_kind = "Microsoft.Dynamics.CRM.lookuplogicalname"


class Renderer:
    """Records of a set as a call wants to see them."""

    def __init__(self, description: SystemDescription, store: Store, entity_set: SimulatedSet, call: Call) -> None:
        self._description = description
        self._store = store
        self._set = entity_set
        self._expanded = {
            name: self._selected(name, select) for name, select in _expands(call.query.get("$expand", ""))
        }
        try:
            self._names = compile_select(entity_set, call.query.get("$select"))
        except UnknownPropertyError as unknown:
            raise unknown_property(description.namespace, entity_set, unknown.name) from None
        self._version = next((name for name in self._names if entity_set.wire[name].stamp == "version"), None)
        wanted = call.preferences.get("odata.include-annotations", "")
        self._annotations = {name for name in (_formatted, _navigation, _kind) if _asks(wanted, name)}
        self._titles: dict[tuple[str, str], str | None] = {}
        self._lookups = [name for name in self._names if entity_set.wire[name].type == "lookup"]
        self._choices = [name for name in self._names if entity_set.wire[name].choices]
        self.projection = f"({','.join(self._names)})" if call.query.get("$select") else ""
        self.applied = {"Preference-Applied": f'odata.include-annotations="{wanted}"'} if wanted else {}

    def row(self, row: Row) -> dict[str, Any]:
        """One record."""
        doc = row.doc
        shown: dict[str, Any] = {"@odata.etag": f'W/"{row.version}"'}
        for name in self._names:
            shown[name] = doc.get(name)
        if self._version:
            shown[self._version] = row.version
        if self._annotations:
            self._annotate(shown, doc)
        for name, names in self._expanded.items():
            shown[name] = self._expand(name, names, doc)
        return shown

    def _selected(self, name: str, select: str) -> list[str]:
        """What is shown of the record behind a lookup."""
        if name not in self._set.navigation:
            raise unknown_property(self._description.namespace, self._set, name)
        target = self._description.entity_sets[self._set.navigation[name][1]]
        try:
            return compile_select(target, select)
        except UnknownPropertyError as unknown:
            raise unknown_property(self._description.namespace, target, unknown.name) from None

    def _expand(self, name: str, names: list[str], doc: dict[str, Any]) -> dict[str, Any] | None:
        wire, target = self._set.navigation[name]
        row = self._store.get(target, doc[wire]) if doc.get(wire) else None
        if row is None:
            return None
        stamps = {"version": row.version}
        fields = self._description.entity_sets[target].wire
        shown = {field: stamps.get(fields[field].stamp or "", row.doc.get(field)) for field in names}
        return {"@odata.etag": f'W/"{row.version}"', **shown}

    def _annotate(self, shown: dict[str, Any], doc: dict[str, Any]) -> None:
        if _formatted in self._annotations:
            for name in self._choices:
                if doc.get(name) is not None:
                    label = self._set.wire[name].choices.get(doc[name], str(doc[name]))
                    shown[f"{name}@{_formatted}"] = label
        for name in self._lookups:
            if doc.get(name) is not None:
                self._annotate_lookup(shown, name, doc)

    def _annotate_lookup(self, shown: dict[str, Any], name: str, doc: dict[str, Any]) -> None:
        kind = doc.get(kind_name(name)) or self._only_kind(name)
        target = self._description.by_logical_name[kind]
        if _formatted in self._annotations and (title := self._title(target, doc[name])) is not None:
            shown[f"{name}@{_formatted}"] = title
        if _navigation in self._annotations:
            shown[f"{name}@{_navigation}"] = self._set.wire[name].to.get(target.name)
        if _kind in self._annotations:
            shown[f"{name}@{_kind}"] = kind

    def _title(self, target: SimulatedSet, key: str) -> str | None:
        """The name of the record behind a lookup; many records of one page point at the same."""
        if (target.name, key) not in self._titles:
            row = self._store.get(target.name, key)
            self._titles[target.name, key] = row.doc.get(target.primary_name or "") if row else None
        return self._titles[target.name, key]

    def _only_kind(self, name: str) -> str:
        return self._description.entity_sets[next(iter(self._set.wire[name].to))].logical_name


def _expands(text: str) -> list[tuple[str, str]]:
    """The navigation properties of an $expand, each with its own $select or none."""
    if not re.fullmatch(r"(\s*\w+(\(\$select=[\w, ]*\))?(,|$))*", text):
        raise RefusalError(400, f"Syntax error in the query option $expand: '{text}'.", BAD_QUERY)
    return [(match["name"], match["select"] or "") for match in _expansion.finditer(text)]


def _asks(wanted: str, name: str) -> bool:
    return any(
        item in ("*", name) or (item.endswith(".*") and name.startswith(item[:-1]))
        for item in (part.strip() for part in wanted.split(","))
    )
