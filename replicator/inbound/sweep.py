"""Sweep: the keys and etags of a whole entity set, compared with the mirror: what changed, and what is gone.

Where every page is byte for byte that of the last sweep, and since then only reads have written to the mirror, nothing
has changed, and nothing of it is even taken apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import ceil
from typing import NamedTuple

import sqlalchemy as sa
from psycopg import sql

from replicator.connectors.json_rows import JsonRows
from replicator.connectors.protocol import Connector, Key, Row, keys_only
from replicator.core.hub_handle import Handle
from replicator.hub.statements import statements
from replicator.inbound.stage import COPY_TYPES
from replicator.inbound.temporary_tables import driver
from replicator.mapping.key_comparison import key_expressions, mirror_key, same_values
from replicator.mapping.schema import EntitySet
from replicator.mapping.tables import ETAG
from replicator.spool import Spool

_sql = statements(__name__)
_DIGEST_SIZE = 8
"""Bytes."""


class LastSweep(NamedTuple):
    """What the mirror agreed with: the pages of a sweep by their digests, and the moment it began (a snapshot)."""

    moment: str = ""
    pages: str = ""

    @classmethod
    def of(cls, place: str) -> LastSweep:
        """From the text of a position; of a sweep after which something was left open nothing is kept."""
        moment, _, pages = place.partition(" ")
        return cls(moment, pages)


class Sweep:
    """One sweep, and what it shows."""

    def __init__(self, hub: Handle, entity_set: EntitySet, connector: Connector) -> None:
        self.hub, self.entity_set = hub, entity_set
        self.mirror = hub.compiled.tables.mirror(entity_set)
        self.rows = 0
        self._connector = connector
        self._decode = connector.decoder(keys_only(entity_set.spec))
        self._pages = list[str]()
        self._as_before = Spool[list[bytes]]()
        columns = [self.mirror.c[name] for name in (*mirror_key(entity_set), ETAG)]
        self._name = f"swept_{self.mirror.schema}_{self.mirror.name}"
        self.swept = sa.table(self._name, *(sa.column(each.name, each.type) for each in columns))

    @property
    def pages(self) -> str:
        """Its pages, for the next sweep to compare; empty where they are not known by their bytes."""
        return "".join(self._pages) if all(self._pages) else ""

    def read(self, last: LastSweep) -> bool:
        """Read all of it; whether it is as the last one, with which the mirror agrees.

        Raises FieldProblem where a key cannot be read: then only a whole read can tell which record that is.
        """
        is_as_before = bool(last.pages) and not self._is_mirror_written(last.moment)
        if not is_as_before:
            self._make()
        for page in self._connector.sweep(self.entity_set.spec):
            self.rows += len(page.rows)
            self._pages.append(_digest(page.rows))
            if is_as_before and last.pages.startswith(self.pages or "no bytes"):
                assert isinstance(page.rows, JsonRows)
                self._as_before.append(page.rows.raw)
                continue
            if is_as_before:
                is_as_before = False
                self._take_up()
            self._keep(page.rows)
        if is_as_before and self.pages != last.pages:  # it was longer
            is_as_before = False
            self._take_up()
        return is_as_before

    def changed(self) -> list[Key] | None:
        """The keys of the records that have another etag than the mirror, or are not there; None: read all records.

        So it is where by key that would take more requests than page by page, and where several records bear one key,
        so that by it they cannot be told apart. In the transaction that is open.
        """
        driver(self.hub.connection).execute(sql.SQL("analyze {}").format(sql.Identifier(self._name)))
        if self._has_doubled():
            return None
        mine, etag = self.swept.c, self.swept.c[ETAG]
        same = sa.exists().where(self._is_same(), self.mirror.c[ETAG] == etag)
        keys = [mine[name] for name in mirror_key(self.entity_set)]
        found = self.hub.execute(sa.select(*keys).distinct().where(sa.not_(same))).all()
        limits = self._connector.limits
        if ceil(len(found) / limits.writes_per_request) > ceil(self.rows / limits.records_per_read):
            return None
        return [tuple(row) for row in found]

    def _has_doubled(self) -> bool:
        """Whether a key is there in several writings; a record that is there twice, for a page moved, is no harm."""
        names = mirror_key(self.entity_set)
        written = [self.swept.c[name] for name in names]
        folded = key_expressions(self.swept, names)
        repeated = sa.select(sa.literal(1)).select_from(self.swept).group_by(*folded)
        if self.hub.execute(repeated.having(sa.func.count() > 1).limit(1)).first() is None:
            return False
        several = sa.func.count(sa.distinct(sa.tuple_(*written))) > 1
        return self.hub.execute(repeated.having(several).limit(1)).first() is not None

    def is_trusted(self) -> bool:
        """Whether another etag is to be expected of every record that changes, in the transaction that is open."""
        return not self.hub.execute(sa.select(sa.exists().where(self.swept.c[ETAG].is_(None)))).scalar_one()

    def shows(self) -> sa.ColumnElement[bool]:
        """That a row of the mirror is in it."""
        return sa.exists().select_from(self.swept).where(self._is_same())

    def shows_all(self) -> bool:
        """Whether every row of the mirror is in it, in the transaction that is open."""
        missing = sa.exists().select_from(self.mirror).where(sa.not_(self.shows()))
        return not self.hub.execute(sa.select(missing)).scalar_one()

    def _is_same(self) -> sa.ColumnElement[bool]:
        return same_values(self.mirror, self.swept, [(name, name) for name in mirror_key(self.entity_set)])

    def _is_mirror_written(self, moment: str) -> bool:
        """Whether anybody but a read wrote to the mirror: an answer to a write of ours, or a person."""
        values = {"mirror": self.mirror.fullname, "moment": moment}
        with self.hub.leading():
            return bool(self.hub.execute(_sql["is_written"], values).scalar_one())

    def _make(self) -> None:
        names = [sql.Identifier(column.name) for column in self.swept.c]
        make = sql.SQL("create temporary table if not exists {} as select {} from {} with no data").format(
            sql.Identifier(self._name), sql.SQL(", ").join(names),
            sql.Identifier(self.mirror.schema or "", self.mirror.name),
        )  # fmt: skip
        with self.hub.connection.begin():
            driver(self.hub.connection).execute(make)
            driver(self.hub.connection).execute(sql.SQL("truncate {}").format(sql.Identifier(self._name)))

    def _take_up(self) -> None:
        """What came so far was as before, and what follows is not: all of it is compared."""
        self._make()
        for raw in self._as_before:
            self._keep(JsonRows(raw, self._connector.name))

    def _keep(self, rows: Sequence[Row]) -> None:
        spec = self.entity_set.spec
        types = [*(COPY_TYPES[spec.fields[name].holds] for name in spec.key), "text"]
        copying = sql.SQL("copy {} from stdin (format binary)").format(sql.Identifier(self._name))
        # Only the session's own temporary table is written.
        with self.hub.connection.begin(), driver(self.hub.connection).cursor() as cursor, cursor.copy(copying) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(self._decode(row))


def _digest(rows: Sequence[Row]) -> str:
    """Of the bytes of a page; empty where it did not keep them. An empty page has some, too."""
    if not isinstance(rows, JsonRows):
        return ""
    return blake2b(b"\n".join(rows.raw), digest_size=_DIGEST_SIZE).hexdigest()
