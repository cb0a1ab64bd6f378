"""Records of one entity set read by their keys, into the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from replicator.engine.fetch import Refusal, fetch_each
from replicator.engine.lease import leading
from replicator.engine.mirror import set_origin, store
from replicator.engine.rejected import Aside, Bad
from replicator.model.schema import EntitySet, column_name
from replicator.systems.connector import Connector, FieldProblem, Image, Row


@dataclass(frozen=True)
class Fetched:
    """Records looked up by key, by their ids in the mirror: None where there is none; and those that were refused."""

    rows: dict[int, Row | None] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)


class ByKey:
    """Looks records of one entity set up that the mirror holds."""

    def __init__(
        self, connection: sa.Connection, entity_set: EntitySet, mirror: sa.Table, connector: Connector, aside: Aside
    ) -> None:
        self.connection, self.entity_set, self.mirror, self.connector = connection, entity_set, mirror, connector
        self.aside = aside

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """What the system holds of these mirror rows."""
        keys = self._keys(ids)
        answers = fetch_each(self.connector, self.entity_set.spec, list(keys.values()))
        fetched = Fetched()
        for record, answer in zip(keys, answers, strict=True):
            if isinstance(answer, Exception):
                fetched.refused[record] = answer
            else:
                fetched.rows[record] = answer
        return fetched

    def _keys(self, ids: Sequence[int]) -> dict[int, Image]:
        """The system's keys of mirror rows, by id."""
        columns = [self.mirror.c[column_name(name)].label(name) for name in self.entity_set.spec.key]
        with leading(self.connection):
            rows = self.connection.execute(sa.select(self.mirror.c.id, *columns).where(self.mirror.c.id.in_(list(ids))))
            return {row[0]: dict(zip(self.entity_set.spec.key, row[1:], strict=True)) for row in rows}

    def store(self, rows: Sequence[Row]) -> None:
        """Bring the mirror up to these rows; those that do not fit are put aside."""
        decode = self.connector.decoder(self.entity_set.spec)
        seen, bad = [], []
        for row in rows:
            try:
                *values, etag = decode(row)
                seen.append(
                    (dict(zip(self.entity_set.spec.fields, values, strict=True)), etag if etag is None else str(etag))
                )
            except FieldProblem as problem:
                bad.append(Bad(row, problem))
        with leading(self.connection):
            set_origin(self.connection, f"snapshot:{self.entity_set.system}")
            store(self.connection, self.mirror, self.entity_set, seen)
            self.aside.put(bad)
