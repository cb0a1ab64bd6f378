"""Rows that a whole read brings as they were brought before, known by a digest of their bytes: not even decoded.

The mirror keeps the digest of the bytes that its image was made of, until somebody else writes the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from psycopg import sql

from replicator import __version__
from replicator.connectors.json_rows import JsonRow, JsonRows
from replicator.connectors.protocol import Connector, Row
from replicator.inbound.stored_digests import SIZE, StoredDigests
from replicator.inbound.temporary_tables import driver
from replicator.mapping.schema import EntitySet
from replicator.mapping.tables import DIGEST

_UNKNOWN = bytes(SIZE)
"""Stands for a row that did not keep its bytes."""
_MAKE = sql.SQL("create temporary table if not exists seen (record_id bigint, page int); truncate seen")
_ASK = sql.SQL("""
with asked as materialized (
    select substring(%(digests)b::bytea from place * {size} + 1 for {size}) as digest, place
    from generate_series(0, length(%(digests)b::bytea) / {size} - 1) as place
), known as materialized (
    select a.place, m.id from asked a join {mirror} m on m.{digest} = a.digest
), noted as (
    insert into seen select id, %(page)s from known
)
select (select coalesce(array_agg(place order by place), '{{}}') from asked a
        where not exists (select from known where known.place = a.place)),
       (select id from known order by place desc limit 1)
""")
_NOTE = sql.SQL("""
insert into seen select m.id, r.page
from unnest(%(first)s::bigint[], %(last)s::bigint[], %(pages)s::int[]) as r (first, last, page)
join {mirror} m on m.id between r.first and r.last
""")
_RANGES_MAX = 10_000
"""So many are kept in memory."""
_LOST_MAX = 3
"""Pages in a row: then this read has another order than the mirror, and is not compared with it any more."""


def mark_of(connector: Connector, entity_set: EntitySet) -> bytes:
    """What digests depend on beside the bytes: what is made of them."""
    return blake2b(f"{__version__} {connector.reading(entity_set.spec)}".encode(), digest_size=16).digest()


def digests(rows: Sequence[Row], mark: bytes) -> list[bytes | None]:
    """A digest for each row; None for rows that did not keep their bytes."""
    fresh = blake2b(digest_size=SIZE, salt=mark)  # copied for each row: faster than to begin with the salt anew

    def digest(raw: bytes) -> bytes:
        own = fresh.copy()
        own.update(raw)
        return own.digest()

    if isinstance(rows, JsonRows):
        return list(map(digest, rows.raw))
    return [digest(row.raw) if isinstance(row, JsonRow) else None for row in rows]


class SeenRows:
    """Those of one read."""

    def __init__(self, connection: sa.Connection, mirror: sa.Table) -> None:
        self._connection = connection
        self._mirror = sql.Identifier(mirror.schema or "", mirror.name)
        self._stored = StoredDigests(connection, self._mirror)
        self._ranges: list[tuple[int, int, int]] = []
        self._made = False
        self._lost = 0
        self._is_all_in_order = True
        self.any = False

    def take(self, found: Sequence[bytes | None], page: int) -> list[int]:
        """Note the rows of a page that the mirror knows; the places of the others, from 0."""
        wanted = [digest or _UNKNOWN for digest in found]
        others, met = self._stored.meet(wanted) if self._lost < _LOST_MAX else (list(range(len(found))), [])
        self._is_all_in_order &= not others
        self._lost = self._lost + 1 if 2 * len(others) > len(found) else 0
        self._ranges += [(*ids, page) for ids in met]
        if len(self._ranges) > _RANGES_MAX:
            self.note()
        new = self._ask([wanted[place] for place in others], page)
        self.any = self.any or len(new) < len(found)
        return [others[place] for place in new]

    def _ask(self, wanted: Sequence[bytes], page: int) -> list[int]:
        """The same by their digests alone, wherever they stand."""
        if not wanted:
            return []
        self._make()
        # In one piece: as an array of many it would take longer to write and read than to look for.
        values: dict[str, Any] = {"digests": b"".join(wanted), "page": page}
        statement = _ASK.format(mirror=self._mirror, digest=sql.Identifier(DIGEST), size=sql.Literal(SIZE))
        row = driver(self._connection).execute(statement, values).fetchone()
        assert isinstance(row, tuple)
        if self._lost and row[1] is not None:
            self._stored.go_on_behind(row[1])
        return list(row[0])

    @property
    def all_up_to(self) -> int | None:
        """The read showed all rows of the mirror up to this id, and no others; None: that is not known."""
        return self._stored.passed if self._is_all_in_order and not self._stored.has_skipped else None

    def note(self) -> None:
        """Have all that were seen in the temporary table, for statements that ask which they are."""
        self._make()
        if not self._ranges:
            return
        first, last, pages = (list(each) for each in zip(*self._ranges, strict=True))
        values = {"first": first, "last": last, "pages": pages}
        driver(self._connection).execute(_NOTE.format(mirror=self._mirror), values)
        self._ranges.clear()

    def _make(self) -> None:
        if not self._made:
            driver(self._connection).execute(_MAKE)
            self._made = True
