"""Writes images into mirrors: what a system was just seen to hold, record by record in one statement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.connectors.protocol import Image, Key
from replicator.hub.statements import built_once
from replicator.mapping.key_comparison import fold, key_expressions, mirror_key
from replicator.mapping.schema import EntitySet
from replicator.mapping.tables import DIGEST, ETAG

_PLACE = "place of the key"  # no field can be called so
_TURN = sa.text("select pg_advisory_xact_lock(cast(cast(:mirror as regclass) as bigint))")
Seen = tuple[Image, str | None]
"""An image and its etag."""


def set_origin(connection: sa.Connection, origin: str) -> None:
    """Name the cause of this transaction's writes, for the log."""
    connection.execute(sa.text("select set_config('sync.origin', :origin, true)"), {"origin": origin})


@dataclass(frozen=True)
class Known:
    """What a mirror holds of a record. ``version`` is another one after every new image of it (``version_of``)."""

    id: int
    etag: str | None
    version: str


def version_of(table: sa.FromClause, xmin: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """By which a later image of a row is told from an earlier one: its etag, or the transaction that wrote it.

    Not by that alone: a read writes the digest of what it showed as it was, and that is no new image.
    """
    etag = [table.c[ETAG]] if ETAG in table.c else []
    return sa.func.coalesce(*etag, sa.cast(xmin, sa.Text), type_=sa.Text)


def take_turns(connection: sa.Connection, mirrors: Iterable[sa.Table]) -> None:
    """Be the only one, until this transaction ends, to bring what a system showed or answered into these mirrors.

    Of two images of a record neither says which is the newer one; what the mirror holds does, if it is asked, and
    written to, by one at a time. Ask before anything else is locked, so that no two can wait for each other.
    """
    for name in sorted(mirror.fullname for mirror in mirrors):
        connection.execute(_TURN, {"mirror": name})


def known(
    connection: sa.Connection, mirror: sa.Table, entity_set: EntitySet, keys: Sequence[Key]
) -> list[Known | None]:
    """The mirror rows of the records with these keys of the system, in the same order."""
    if not keys:
        return []
    m = mirror.alias("m")
    columns = [m.c[name] for name in mirror_key(entity_set)]
    asked = given_keys(columns, keys)
    same = [fold(column) == fold(asked.c[column.name]) for column in columns]
    version = version_of(m, sa.literal_column("m.xmin"))
    rows = connection.execute(
        sa.select(asked.c[_PLACE], m.c.id, m.c[ETAG], version).join_from(asked, m, sa.and_(*same))
    )
    found = {place: Known(*row) for place, *row in rows}
    return [found.get(place) for place in range(1, len(keys) + 1)]


def given_keys(columns: Sequence[sa.ColumnElement[Any]], keys: Sequence[Key]) -> sa.TableValuedAlias:
    """The keys as rows with columns of these names and types, and one more that counts from 1."""
    by_part = zip(*keys, strict=True)
    given = [sa.literal(list(part), sa.ARRAY(column.type)) for part, column in zip(by_part, columns, strict=True)]
    names = [sa.column(column.name, column.type) for column in columns]
    return sa.func.unnest(*given).table_valued(*names, with_ordinality=_PLACE, name="asked").render_derived()


def store(connection: sa.Connection, mirror: sa.Table, entity_set: EntitySet, seen: Sequence[Seen]) -> list[int]:
    """Insert or update the mirror rows of these images; their ids, in the same order."""
    if not seen:
        return []
    names = list(entity_set.spec.fields)
    places = [names.index(name) for name in entity_set.spec.key]
    rows = [(*(image[name] for name in names), etag) for image, etag in seen]
    keys = [tuple(row[place] for place in places) for row in rows]
    columns = zip(*dict(zip(keys, rows, strict=True)).values(), strict=True)
    values = {f"column{number}": list(column) for number, column in enumerate(columns)}
    found = connection.execute(_storing(mirror, tuple(mirror_key(entity_set))), values)
    ids = {tuple(row[1:]): row[0] for row in found}
    return [ids[key] for key in keys]


@built_once
def _storing(mirror: sa.Table, keys: tuple[str, ...]) -> sa.Insert:
    """One statement of a fixed text for any number of rows: an array for each column."""
    targets = [column for column in mirror.c if column.name not in ("id", DIGEST)]  # the fields in order, and the etag
    arrays = [sa.bindparam(f"column{number}", type_=sa.ARRAY(each.type)) for number, each in enumerate(targets)]
    given = sa.func.unnest(*arrays).table_valued(
        *(sa.column(each.name, each.type) for each in targets), name="given"
    ).render_derived()  # fmt: skip
    statement = insert(mirror).from_select([each.name for each in targets], sa.select(*given.c))
    # No read has shown this image yet: the digest is that of other bytes.
    written = {each.name: statement.excluded[each.name] for each in targets} | {DIGEST: None}
    statement = statement.on_conflict_do_update(index_elements=key_expressions(mirror, keys), set_=written)
    return statement.returning(mirror.c.id, *(mirror.c[key] for key in keys))


def remove(connection: sa.Connection, mirror: sa.Table, ids: Sequence[int]) -> None:
    """Delete mirror rows: the system does not hold the records any more."""
    if ids:
        connection.execute(
            mirror.delete().where(mirror.c.id == sa.any_(sa.literal(list(ids), sa.ARRAY(sa.BigInteger))))
        )
