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
    """Those of one mirror, during one read."""

    def __init__(self, connection: sa.Connection, mirror: sql.Identifier) -> None:
        self._connection = connection
        names = {"mirror": mirror, "digest": sql.Identifier(DIGEST), "size": sql.Literal(SIZE)}
        self._next = _NEXT.format(none=sql.Literal(_NONE), **names)
        self._digests = self._ids = b""
        self._at = 0
        """The place, in both of them, of the row that is expected next."""
        self._after = 0
        """The id of their last row."""
        self.passed = 0
        """The id of the last row that was met."""
        self.has_skipped = False
        """Whether a row before it was not met."""

    def meet(self, found: Sequence[bytes]) -> tuple[list[int], list[Ids]]:
        """Go on behind the rows of a page that are met; the places of those that are not, and what the others are."""
        self._look_ahead(len(found) + _AHEAD)
        expected = self._at
        if self._digests.startswith(b"".join(found), expected * SIZE):
            self._at += len(found)
            self.passed = self._id(self._at - 1)
            return [], [Ids(self._id(expected), self.passed)]
        others, met = list[int](), list[int]()
        for place, digest in enumerate(found):
            if (at := self._digests.find(digest, self._at * SIZE, (self._at + _AHEAD) * SIZE)) % SIZE:  # -1 too
                others.append(place)
            else:
                met.append(at // SIZE)
                self._at = met[-1] + 1
        if met:
            self.has_skipped |= met != list(range(expected, self._at))
            self.passed = self._id(met[-1])
        return others, [Ids(self._id(first), self._id(last)) for first, last in _runs(met)]

    def go_on_behind(self, record_id: int) -> None:
        """Where the order was lost it begins anew behind this row; never back, or a row could be met twice."""
        if record_id > self.passed:
            self.has_skipped = True
            self._digests = self._ids = b""
            self._at, self._after = 0, record_id

    def _look_ahead(self, count: int) -> None:
        """Have so many rows at hand, where there are so many."""
        missing = count - (len(self._ids) // _ID_SIZE - self._at)
        if missing <= 0:
            return
        values = {"after": self._after, "count": missing}
        row = driver(self._connection).execute(self._next, values, binary=True).fetchone()
        assert isinstance(row, tuple)
        self._digests = self._digests[self._at * SIZE :] + row[0]
        self._ids = self._ids[self._at * _ID_SIZE :] + row[1]
        self._at = 0
        if row[1]:
            self._after = self._id(len(self._ids) // _ID_SIZE - 1)

    def _id(self, place: int) -> int:
        return int.from_bytes(self._ids[place * _ID_SIZE : (place + 1) * _ID_SIZE], signed=True)


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
