"""The digests that a mirror keeps, in the order of its ids: in which a whole read mostly brings its rows.

So most rows are known by a look at what comes next, and not one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import sqlalchemy as sa
from psycopg import sql

from replicator.inbound.temporary_tables import driver
from replicator.mapping.tables import DIGEST

SIZE = 16
"""Bytes of a digest."""
_ID_SIZE = 8
_BEFORE_ALL = -(2**63)
"""An id."""
_NONE = b"\xff" * SIZE
"""Stands for a digest that the mirror does not keep: that of no row."""
_AHEAD = 64
"""Rows: so many may be gone, or shown elsewhere, before the order is lost."""
_NEXT = sql.SQL("""
select coalesce(string_agg(case octet_length({digest}) when {size} then {digest} else {none} end, '' order by id), ''),
       coalesce(string_agg(int8send(id), '' order by id), '')
from (select id, {digest} from {mirror} where id > %(after)s order by id limit %(count)s) as next_rows
""")


class Ids(NamedTuple):
    """The rows of a mirror from one id to another."""

    first: int
    last: int


class StoredDigests:
    """Those of one mirror, during one read; asked anew for each page, for meanwhile some may have gone."""

    def __init__(self, connection: sa.Connection, mirror: sql.Identifier) -> None:
        self._connection, self._mirror = connection, mirror
        self.passed = _BEFORE_ALL
        """The id of the row that the next one is expected behind."""
        self.has_skipped = False
        """Whether some row up to it was not met."""

    def meet(self, found: Sequence[bytes]) -> tuple[list[int], list[Ids]]:
        """Go on behind the rows of a page that are met; the places of those that are not, and what the others are."""
        names = {"mirror": self._mirror, "digest": sql.Identifier(DIGEST)}
        statement = _NEXT.format(size=sql.Literal(SIZE), none=sql.Literal(_NONE), **names)
        values = {"after": self.passed, "count": len(found) + _AHEAD}
        row = driver(self._connection).execute(statement, values, binary=True).fetchone()
        assert isinstance(row, tuple)
        stored, ids = row
        others, met, at = list[int](), list[int](), 0
        if stored.startswith(b"".join(found)):
            met = list(range(len(found)))
        else:
            for place, digest in enumerate(found):
                if (start := stored.find(digest, at * SIZE, (at + _AHEAD) * SIZE)) % SIZE:  # -1 too
                    others.append(place)
                else:
                    met.append(start // SIZE)
                    at = met[-1] + 1
        if met:
            self.has_skipped |= met[-1] >= len(met)
            self.passed = _id(ids, met[-1])
        return others, [Ids(_id(ids, first), _id(ids, last)) for first, last in _runs(met)]

    def go_on_behind(self, record_id: int) -> None:
        """Where the order was lost, expect what comes behind this row."""
        self.passed, self.has_skipped = record_id, True


def _id(ids: bytes, place: int) -> int:
    return int.from_bytes(ids[place * _ID_SIZE : (place + 1) * _ID_SIZE], signed=True)


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of places that follow each other."""
    if not places:
        return
    first = places[0]
    for before, place in pairwise(places):
        if place != before + 1:
            yield first, before
            first = place
    yield first, places[-1]
