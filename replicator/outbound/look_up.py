"""Looks records up by their keys: after a request without an answer, and after a write that was not shown back."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from replicator.engine.agree import agree
from replicator.engine.mirror import remove, set_origin, store
from replicator.errors import Transient
from replicator.hub.sql import statements
from replicator.model.compiled import Compiled, CompiledMap
from replicator.model.schema import EntitySet, column_name
from replicator.model.tables import fold
from replicator.outbound.acknowledge import link
from replicator.outbound.plan import Planned
from replicator.systems.connector import Connector, Image, Row

_sql = statements(__file__.replace("look_up", "claim"))
_BATCH = 200


class LookUp:
    """Brings mirrors up to what the system holds, for single records."""

    def __init__(
        self, connection: sa.Connection, compiled: Compiled, ids: Mapping[str, int], connector: Connector
    ) -> None:
        self.connection, self.compiled, self.ids, self.connector = connection, compiled, ids, connector

    def look_up(self, found: CompiledMap) -> int:
        """Look up the records of a map whose outcome is unknown, and make them pending again; how many there were."""
        map_id = self.ids[found.name]
        with self.connection.begin():
            rows = self.connection.execute(_sql["unknown"], {"map_id": map_id, "limit": _BATCH}).all()
        if not rows:
            return 0
        asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in rows:
            for each in row.identity or ():
                asked[each["map"]].append(each)
        try:
            for name, identities in asked.items():
                self._look_up(self.compiled.map(name), identities, certain=False)
        except Transient:
            return 0
        with self.connection.begin():
            self.connection.execute(_sql["looked_up"], {"map_id": map_id, "ids": [row.record_id for row in rows]})
        return len(rows)

    def _look_up(self, found: CompiledMap, identities: Sequence[Mapping[str, Any]], *, certain: bool) -> None:
        entity_set = found.mapping.entity_set
        keys = [typed_key(entity_set, each["key"]) for each in identities]
        rows = self.connector.fetch(entity_set.spec, keys)
        with self.connection.begin():
            set_origin(self.connection, f"deliver:{self.connector.name}")
            there = [(each, row) for each, row in zip(identities, rows, strict=True) if row is not None]
            ids = self._store(entity_set, [row for _, row in there])
            created = [
                (each["record_id"], mirror_id, each["root_id"])
                for (each, _), mirror_id in zip(there, ids, strict=True)
                if each["operation"] == "create"
            ]
            link(self.connection, self.compiled, self.ids, found, created)
            agreed = [(each["record_id"], each.get("agreed", {})) for each, _ in there]
            agree(self.connection, found.view, agreed, certain=certain)
            gone = [key for key, row in zip(keys, rows, strict=True) if row is None]
            self._remove(entity_set, gone)

    def confirm(self, written: Sequence[Planned]) -> None:
        """Read what the system stored, for writes that it did not show back."""
        by_map: dict[str, list[Planned]] = defaultdict(list)
        for planned in written:
            by_map[planned.found.name].append(planned)
        for name, some in by_map.items():
            identities = [
                {"key": {key: str(value) for key, value in planned.write.key.items()}, "record_id": planned.record_id,
                 "root_id": planned.root_id, "operation": planned.write.operation, "agreed": planned.agreed}
                for planned in some
            ]  # fmt: skip
            self._look_up(self.compiled.map(name), identities, certain=True)

    def _store(self, entity_set: EntitySet, rows: Sequence[Row]) -> list[int]:
        decode = self.connector.decoder(entity_set.spec)
        seen: list[tuple[Image, str | None]] = []
        for row in rows:
            *values, etag = decode(row)
            seen.append((dict(zip(entity_set.spec.fields, values, strict=True)), None if etag is None else str(etag)))
        return store(self.connection, self.compiled.tables.mirror(entity_set), entity_set, seen)

    def _remove(self, entity_set: EntitySet, keys: Sequence[Mapping[str, object]]) -> None:
        mirror = self.compiled.tables.mirror(entity_set)
        for key in keys:
            columns = [mirror.c[column_name(name)] for name in key]
            same = [
                fold(column) == fold(sa.literal(value, column.type))
                for column, value in zip(columns, key.values(), strict=True)
            ]
            ids = list(self.connection.execute(sa.select(mirror.c.id).where(*same)).scalars())
            remove(self.connection, mirror, ids)


def typed_key(entity_set: EntitySet, key: Mapping[str, str]) -> dict[str, object]:
    """A stored key with the types of its fields."""
    kinds = {"uuid": uuid.UUID, "integer": int}
    return {name: kinds.get(entity_set.spec.fields[name].type, str)(value) for name, value in key.items()}
