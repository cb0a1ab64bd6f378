"""Rows of one read that bear the same key: on one page with other values, or in another writing of the key."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa

from replicator.connectors.protocol import FieldProblem, Row
from replicator.core.quarantine import Bad
from replicator.inbound.temporary_tables import PAGE, SEEN
from replicator.mapping.key_comparison import key_expressions, mirror_key, same_values
from replicator.mapping.schema import EntitySet, column_name
from replicator.mapping.tables import DIGEST, ETAG

_CONTRADICTION = (
    "stands more than once on one page, with other values: correct it in its system; none of them is taken in"
)


class Decoded(NamedTuple):
    """A row, its values in the order of the declared fields and then its etag, and the digest of its bytes."""

    row: Row
    values: Sequence[object]
    digest: bytes | None


def without_contradictions(entity_set: EntitySet, decoded: list[Decoded], bad: list[Bad]) -> list[Decoded]:
    """Without the rows of a page that bear one key with other values: nobody can say which of them is the record.

    (Of two pages the later one counts: the record was changed, or moved, while they were read.)
    """
    names = list(entity_set.spec.fields)
    key_of = itemgetter(*(names.index(name) for name in entity_set.spec.key))
    first: dict[object, Sequence[object]] = {}
    doubled = {key_of(each.values) for each in decoded
               if first.setdefault(key_of(each.values), each.values) != each.values}  # fmt: skip
    if not doubled:
        return decoded
    bad += [contradiction(entity_set, each.row) for each in decoded if key_of(each.values) in doubled]
    return [each for each in decoded if key_of(each.values) not in doubled]


def contradiction(entity_set: EntitySet, row: Row) -> Bad:
    """A row that is not taken in, because another one on its page has its key."""
    field = entity_set.spec.key[-1]
    return Bad(row, FieldProblem(field, row.get(field), _CONTRADICTION))


def contradicting_seen_rows(
    connection: sa.Connection, entity_set: EntitySet, stage: sa.TableClause, mirror: sa.Table
) -> list[Bad]:
    """Settle which row counts where staged rows have the key of one that the read shows unchanged too.

    As among decoded rows the later page counts, and on one page it is a contradiction: these rows come back, the
    unchanged ones too. In another writing of the key it is another record: the unchanged one is staged beside it.
    """
    columns = [*(column_name(name) for name in entity_set.spec.fields), ETAG]
    written = sa.and_(*(mirror.c[name] == stage.c[name] for name in mirror_key(entity_set)))
    differs = sa.or_(*(mirror.c[name].is_distinct_from(stage.c[name]) for name in columns))
    later = (stage.c[PAGE] - SEEN.c.page).label("later")
    place = sa.cast(stage.c.ctid, sa.Text).label("place")
    met = connection.execute(
        sa.select(place, mirror.c.id, written.label("same"), later, differs.label("differs"))
        .join_from(stage, mirror, same_values(mirror, stage, [(name, name) for name in mirror_key(entity_set)]))
        .join(SEEN, SEEN.c.record_id == mirror.c.id)
    ).all()
    if not met:
        return []
    bad = [row for row in met if row.same and row.later == 0 and row.differs]
    outdated = [row.place for row in met if row.same and row.later <= 0]
    at = sa.cast(stage.c.ctid, sa.Text)
    rows = [
        *connection.execute(sa.select(stage).where(at.in_([row.place for row in bad]))),
        *connection.execute(sa.select(mirror).where(mirror.c.id.in_([row.id for row in bad]))),
    ]
    connection.execute(sa.delete(stage).where(at.in_(outdated)))
    others = mirror.c.id.in_([row.id for row in met if not row.same])
    image = [*columns, DIGEST]
    beside = sa.select(*(mirror.c[name] for name in image)).where(others)
    connection.execute(sa.insert(stage).from_select(image, beside))
    return [contradiction(entity_set, _as_row(entity_set, row)) for row in rows]


def duplicate_rows(
    connection: sa.Connection, entity_set: EntitySet, stage: sa.TableClause, mirror: sa.Table
) -> dict[str, Bad]:
    """The staged records to be quarantined, by their place in the stage; each says which records bear the key.

    The record stays that the mirror knows in this writing, else the one that was read first: a read changes no owner.
    """
    names = mirror_key(entity_set)
    group = sa.func.concat_ws("\x1f", *(sa.cast(key, sa.Text) for key in key_expressions(stage, names)))
    many = sa.func.count().over(partition_by=group)
    known = sa.exists().where(*(mirror.c[name] == stage.c[name] for name in names))
    columns = [stage.c[column_name(name)] for name in entity_set.spec.fields]
    place = sa.cast(stage.c.ctid, sa.Text).label("place")
    marks = (stage.c.ctid.label("read"), place, group.label("key_group"), many.label("many"), known.label("known"))
    counted = sa.select(*columns, *marks).subquery("counted")
    rows = connection.execute(
        sa.select(*(column for column in counted.c if column.name != "read"))
        .where(counted.c.many > 1)
        .order_by(counted.c.key_group, counted.c.known.desc(), counted.c.read)
    ).all()
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(row.key_group, []).append(row)
    return {row.place: _as_bad(entity_set, row, same) for same in groups.values() for row in same[1:]}


def _as_bad(entity_set: EntitySet, row: Any, same: list[Any]) -> Bad:
    (*_, differing) = [name for name in entity_set.spec.key if len({getattr(r, column_name(name)) for r in same}) > 1]
    written = ", ".join(ascii(getattr(each, column_name(differing))) for each in same)
    why = f"is one key with that of other records, but for blanks, case or form: {written}; the first is taken in"
    problem = FieldProblem(differing, getattr(row, column_name(differing)), why)
    return Bad(_as_row(entity_set, row), problem)


def _as_row(entity_set: EntitySet, staged: Any) -> Row:
    """A row of the stage by the names of the fields."""
    return {name: getattr(staged, column_name(name)) for name in entity_set.spec.fields}
