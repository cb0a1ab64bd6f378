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
from replicator.connectors.json_rows import JsonRow
from replicator.connectors.protocol import Connector, Row
from replicator.inbound.temporary_tables import driver
from replicator.mapping.schema import EntitySet
from replicator.mapping.tables import DIGEST

_SIZE = 16
"""Bytes of a digest."""
_UNKNOWN = bytes(_SIZE)
_MAKE = sql.SQL("create temporary table if not exists seen (record_id bigint, page int); truncate seen")
_TAKE = sql.SQL("""
with asked as materialized (
    select substring(%(digests)b::bytea from place * {size} + 1 for {size}) as digest, place
    from generate_series(0, length(%(digests)b::bytea) / {size} - 1) as place
), known as materialized (
    select a.place, m.id from asked a join {mirror} m on m.{digest} = a.digest
), noted as (
    insert into seen select id, %(page)s from known
)
select coalesce(array_agg(place order by place), '{{}}') from asked a
where not exists (select from known where known.place = a.place)
""")


def mark_of(connector: Connector, entity_set: EntitySet) -> bytes:
    """What digests depend on beside the bytes: what is made of them."""
    return blake2b(f"{__version__} {connector.reading(entity_set.spec)}".encode(), digest_size=16).digest()


def digests(rows: Sequence[Row], mark: bytes) -> list[bytes | None]:
    """A digest for each row; None for rows that did not keep their bytes."""
    return [
        blake2b(row.raw, digest_size=_SIZE, salt=mark).digest() if isinstance(row, JsonRow) else None for row in rows
    ]


class SeenRows:
    """Those of one read."""

    def __init__(self, connection: sa.Connection, mirror: sa.Table) -> None:
        self._connection = connection
        self._mirror = sql.Identifier(mirror.schema or "", mirror.name)
        self._made = False
        self.any = False

    def take(self, found: Sequence[bytes | None], page: int) -> list[int]:
        """Note the rows of a page that the mirror knows; the places of the others, from 0."""
        if not self._made:
            driver(self._connection).execute(_MAKE)
            self._made = True
        # In one piece: as an array of many it would take longer to write and read than to look for.
        values: dict[str, Any] = {"digests": b"".join(digest or _UNKNOWN for digest in found), "page": page}
        statement = _TAKE.format(mirror=self._mirror, digest=sql.Identifier(DIGEST), size=sql.Literal(_SIZE))
        row = driver(self._connection).execute(statement, values).fetchone()
        assert row is not None
        new = list(row[0])  # type: ignore[index]
        self.any = self.any or len(new) < len(found)
        return new
