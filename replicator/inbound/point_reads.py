"""Records of one entity set read by their keys, into the mirror."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from replicator.connectors.protocol import Connector, FieldProblem, Key, Row
from replicator.core.fetch import Refusal, fetch_each
from replicator.core.hub_handle import Handle
from replicator.core.mirror import Seen, set_origin, store, take_turns, version_of
from replicator.core.quarantine import Bad, Quarantine
from replicator.mapping.key_comparison import mirror_key
from replicator.mapping.schema import EntitySet

_FETCHED_AT_ONCE = 100


@dataclass(frozen=True)
class Fetched:
    """Records looked up by key, by their ids in the mirror: None where there is none; and those that were refused."""

    rows: dict[int, Row | None] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)
    versions: Mapping[int, str] = field(default_factory=dict)
    """Of their mirror rows when they were asked for."""


class PointReads:
    """Looks records of one entity set up that the mirror holds."""

    def __init__(
        self,
        hub: Handle,
        entity_set: EntitySet,
        connector: Connector,
    ) -> None:
        self.hub, self.entity_set, self.connector = hub, entity_set, connector
        self.mirror = hub.compiled.tables.mirror(entity_set)
        self.quarantine = Quarantine(hub, entity_set, connector)

    def fetch(self, ids: Sequence[int]) -> Fetched:
        """What the system holds of these mirror rows."""
        with self.hub.leading():
            known = self._mirror_rows(ids, *(self.mirror.c[name] for name in mirror_key(self.entity_set)))
        keys: list[Key] = [tuple(row[2:]) for row in known]
        fetched = Fetched(versions={row.id: row.version for row in known})
        for row, answer in zip(known, fetch_each(self.connector, self.entity_set.spec, keys), strict=True):
            if isinstance(answer, Exception):
                fetched.refused[row.id] = answer
            else:
                fetched.rows[row.id] = answer
        return fetched

    def take_in(self, ids: Sequence[int]) -> tuple[list[int], bool]:
        """Read records by key into the mirror; those that are not there, and whether nothing is known of any."""
        gone: list[int] = []
        unsure = False
        for part in slices(ids):
            fetched = self.fetch(part)
            with self.hub.leading():
                still = self.store(fetched)
            gone += [record for record, row in fetched.rows.items() if row is None and record in still]
            unsure = unsure or len(still) < len(fetched.versions)
        return gone, unsure

    def _mirror_rows(self, ids: Iterable[int], *more: sa.ColumnElement[Any]) -> Sequence[sa.Row[Any]]:
        version = version_of(self.mirror, sa.column("xmin")).label("version")
        wanted = sa.select(self.mirror.c.id, version, *more).where(self.mirror.c.id.in_(list(ids)))
        return self.hub.execute(wanted).all()

    def store(self, fetched: Fetched) -> set[int]:
        """Bring the mirror up to what was found, in the transaction that is open; rows that do not fit are quarantined.

        The ids of the records that this was about: others have been written since they were asked for, by an
        acknowledgement for example, and nobody knows whether what was found is newer.
        """
        take_turns(self.hub.connection, [self.mirror])
        set_origin(self.hub.connection, f"snapshot:{self.entity_set.system}")
        now = self._mirror_rows(fetched.rows)
        still = {row.id for row in now if row.version == fetched.versions[row.id]}
        seen, bad = self._decoded(row for record, row in fetched.rows.items() if row is not None and record in still)
        store(self.hub.connection, self.mirror, self.entity_set, seen)
        self.quarantine.put(bad)
        return still

    def _decoded(self, rows: Iterable[Row]) -> tuple[list[Seen], list[Bad]]:
        decode = self.connector.decoder(self.entity_set.spec)
        seen: list[Seen] = []
        bad: list[Bad] = []
        for row in rows:
            try:
                *values, etag = decode(row)
            except FieldProblem as problem:
                bad.append(Bad(row, problem))
                continue
            image = dict(zip(self.entity_set.spec.fields, values, strict=True))
            seen.append((image, None if etag is None else str(etag)))
        return seen, bad


def slices(ids: Sequence[int]) -> list[Sequence[int]]:
    """So many at once as are looked up together."""
    return [ids[start : start + _FETCHED_AT_ONCE] for start in range(0, len(ids), _FETCHED_AT_ONCE)]
