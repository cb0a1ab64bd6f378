"""Rows of one read that bear the same key: on one page with other values, or in another writing of the key."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import sqlalchemy as sa

from replicator.connectors.protocol import FieldProblem, Row
from replicator.core.quarantine import Bad
from replicator.mapping.key_comparison import key_expressions, mirror_key
from replicator.mapping.schema import EntitySet, column_name


def without_contradictions(
    entity_set: EntitySet, decoded: list[tuple[Row, Sequence[object]]], bad: list[Bad]
) -> list[tuple[Row, Sequence[object]]]:
    """Without the rows of a page that bear one key with other values: nobody can say which of them is the record.

    (Of two pages the later one counts: the record was changed, or moved, while they were read.)
    """
    names = list(entity_set.spec.fields)
    key_of = itemgetter(*(names.index(name) for name in entity_set.spec.key))
    first: dict[object, Sequence[object]] = {}
    doubled = {key_of(values) for _, values in decoded if first.setdefault(key_of(values), values) != values}
    if not doubled:
        return decoded
    field = entity_set.spec.key[-1]
    why = "stands more than once on one page, with other values: correct it in its system; none of them is taken in"
    bad += [Bad(row, FieldProblem(field, row.get(field), why)) for row, values in decoded if key_of(values) in doubled]
    return [(row, values) for row, values in decoded if key_of(values) not in doubled]


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
    columns = [column for column in stage.c if column.name != "ctid"]
    place = sa.cast(stage.c.ctid, sa.Text).label("place")
    told = (stage.c.ctid.label("read"), place, group.label("key_group"), many.label("many"), known.label("known"))
    counted = sa.select(*columns, *told).subquery("counted")
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
    fields = entity_set.spec.fields
    (*_, differing) = [name for name in entity_set.spec.key if len({getattr(r, column_name(name)) for r in same}) > 1]
    written = ", ".join(ascii(getattr(each, column_name(differing))) for each in same)
    why = f"is one key with that of other records, but for blanks, case or form: {written}; the first is taken in"
    problem = FieldProblem(differing, getattr(row, column_name(differing)), why)
    return Bad({name: getattr(row, column_name(name)) for name in fields}, problem)
