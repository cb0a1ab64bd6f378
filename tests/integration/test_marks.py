"""Marks: whatever changes the row that a map desires, marks its record; what a map does not read, marks nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from replicator.core.mark import mark_window
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.tables import ETAG
from tests.fixtures.load import Filling

QUOTES = "quote > ops.CDSSalesQuotationHeaders"
Mark = tuple[str, int]
Rows = dict[tuple[str, int], set[tuple[int | None, str]]]
"""By map and record: the whole it belongs to, and everything its view says of it."""


def marked(filling: Filling) -> set[Mark]:
    """Read the window; the records it marked, by map. The marks are forgotten."""
    mark_window(filling.hub)
    names = {number: name for name, number in filling.hub.ids.items()}
    with filling.connection.begin():
        rows = filling.connection.execute(sa.text("select map_id, record_id from sync.delivery"))
        found = {(names[row.map_id], row.record_id) for row in rows}
    filling.settle()
    return found


def edit(filling: Filling, *statements: str) -> set[Mark]:
    """A person changes something by SQL; what that marks."""
    with filling.connection.begin():
        for statement in statements:
            filling.connection.execute(sa.text(statement))
    return marked(filling)


def quote_ids(filling: Filling, where: str) -> set[Mark]:
    with filling.connection.begin():
        query = "select distinct q.id from common.quote q join common.quote_line l on l.quote_id = q.id"
        found = filling.connection.execute(sa.text(f"{query} where {where}")).scalars()
        return {(QUOTES, record) for record in found}


def of(name: str, marks: set[Mark]) -> set[Mark]:
    return {mark for mark in marks if mark[0] == name}


# The paths that matter most, by name


def test_a_new_price_marks_no_quote(filled: Filling) -> None:
    found = edit(filled, "update common.product set price = price + 1")
    assert of(QUOTES, found) == set()
    assert len(of("product > sales.products", found)) == 10


def test_a_product_that_is_maintained_no_more_marks_its_quotes(filled: Filling) -> None:
    expected = quote_ids(filled, "l.product_id = (select id from common.product where number = 'P-3')")
    assert expected
    assert of(QUOTES, edit(filled, "update common.product set maintained = false where number = 'P-3'")) == expected


def test_an_account_s_new_number_marks_its_quotes(filled: Filling) -> None:
    """The quotation's header names its customer by what ops calls it, which is known once ops has it."""
    expected = quote_ids(filled, "q.account_id = (select id from common.account where number = 'A-2')")
    assert expected
    found = edit(filled, "update ops.customers_v3 set customer_account = 'A-2000' where customer_account = 'A-2'")
    assert of(QUOTES, found) == expected


def test_an_account_s_new_name_marks_its_quotes(filled: Filling) -> None:
    expected = quote_ids(filled, "q.account_id = (select id from common.account where number = 'A-2')")
    assert of(QUOTES, edit(filled, "update common.account set name = 'New' where number = 'A-2'")) == expected


def test_an_account_s_new_phone_marks_the_account_alone(filled: Filling) -> None:
    found = edit(filled, "update common.account set phone = '1' where number = 'A-2'")
    assert {name for name, _ in found} == {"account > ops.CustomersV3", "sales.accounts > account"}


def test_a_line_that_moves_marks_the_quote_it_left_and_the_one_it_joined(filled: Filling) -> None:
    expected = quote_ids(filled, "q.number in ('Q-4', 'Q-5')")
    moved = """
        update common.quote_line set sequence = 9, quote_id = (select id from common.quote where number = 'Q-5')
        where sequence = 0 and quote_id = (select id from common.quote where number = 'Q-4')
    """
    assert of(QUOTES, edit(filled, moved)) == expected


def test_a_deleted_line_marks_its_quote(filled: Filling) -> None:
    expected = quote_ids(filled, "q.number = 'Q-4'")
    gone = "delete from common.quote_line where quote_id = (select id from common.quote where number = 'Q-4')"
    assert of(QUOTES, edit(filled, gone)) == expected


def test_a_new_line_marks_its_quote(filled: Filling) -> None:
    expected = quote_ids(filled, "q.number = 'Q-4'")
    added = """
        insert into common.quote_line (quote_id, sequence, quantity)
        select id, 7, 1 from common.quote where number = 'Q-4'
    """
    assert of(QUOTES, edit(filled, added)) == expected


def test_a_price_list_marks_the_products_of_its_currency(filled: Filling) -> None:
    with filled.connection.begin():
        query = "select p.id from common.product p join common.currency c on c.id = p.currency_id where c.code = 'EUR'"
        expected = {("product > sales.products", n) for n in filled.connection.execute(sa.text(query)).scalars()}
    assert len(expected) == 5
    assert edit(filled, "update sales.pricelevels set statecode = 1 where name = 'Standard EUR'") == expected


def test_a_price_list_that_changes_currency_marks_the_products_of_both(filled: Filling) -> None:
    found = edit(
        filled,
        "update sales.pricelevels set transactioncurrencyid = md5('currency USD')::uuid where name = 'Standard EUR'",
    )
    assert len(of("product > sales.products", found)) == 10


def test_a_column_that_no_map_reads_marks_its_own_record_at_most(filled: Filling) -> None:
    assert edit(filled, "update sales.quotes set freightamount = 5") == set()
    assert edit(filled, "update sales.uoms set etag = 'new'") == set()


def test_a_change_and_its_opposite_in_two_windows_mark_twice(filled: Filling) -> None:
    """Nothing is weighed against what was: each window is looked at by itself."""
    assert edit(filled, "update common.unit set code = 'box' where code = 'ea'")
    assert edit(filled, "update common.unit set code = 'ea' where code = 'box'")


def test_a_record_that_came_and_went_in_one_window_marks_no_other(filled: Filling) -> None:
    found = edit(
        filled,
        "insert into common.unit (code) values ('box')",
        "delete from common.unit where code = 'box'",
    )
    assert found == set()


def test_a_mark_under_way_is_counted(filled: Filling) -> None:
    for name in ("One", "Two"):
        with filled.connection.begin():
            filled.connection.execute(sa.text(f"update common.account set name = '{name}' where number = 'A-2'"))
        mark_window(filled.hub)
    with filled.connection.begin():
        query = sa.text("select marked, state::text from sync.delivery where map_id = :map")
        values = {"map": filled.hub.ids["account > ops.CustomersV3"]}
        assert filled.connection.execute(query, values).all() == [(2, "pending")]


# Rule 6 as a property


def desired(filling: Filling) -> Rows:
    """Everything that all desired views say now of what systems and common should hold."""
    found: Rows = {}
    with filling.connection.begin():
        for compiled in filling.compiled.maps:
            for row in filling.connection.execute(_whole(compiled)):
                found.setdefault((compiled.name, row.source_id), set()).add((row.root_id, row.contents))
    return found


def _whole(flow: CompiledMap) -> sa.TextClause:
    """What waits is tested again in every cycle, marked or not, so present and blocked are one here.

    Nor is a record looked at again because another one has its name now, so the key that tells them apart is left out.
    """
    contents = r"""cast(to_jsonb(v) - 'waits_for' - 'later' || jsonb_build_object(
        'verdict', case v.verdict when 'blocked' then 'present' else v.verdict end,
        'record', regexp_replace(v.record, ' \([^()]*\)$', '')) as text)"""
    name = flow.mapping.view_name
    return sa.text(f'select v.source_id, v.root_id, {contents} as contents from desired."{name}" v')


def to_be_marked(filling: Filling, before: Rows, after: Rows) -> set[Mark]:
    """The records whose desired row changed; a part counts for its whole, before and after."""
    expected = set()
    for key in before.keys() | after.keys():
        name, record = key
        differing = before.get(key, set()) ^ after.get(key, set())
        root = filling.compiled.map(name).root
        if root is None:
            expected |= {(name, record)} if differing else set()
        else:
            expected |= {(root, whole) for whole, _ in differing if whole is not None}
    return expected


class Editor:
    """Somebody who changes anything anywhere; what the hub's constraints refuse is taken back."""

    def __init__(self, filling: Filling, seed: int) -> None:
        self.connection, self.tables = filling.connection, list(filling.compiled.tables.captured)
        self.random = Random(seed)
        self.done: list[str] = []

    def edit(self) -> None:
        """A few edits in one transaction."""
        self.done = []
        with self.connection.begin():
            self.connection.execute(sa.text("set constraints all immediate"))
            for _ in range(self.random.randint(1, 3)):
                self._try(self._statement(self.random.choice(self.tables)))

    def _try(self, statement: sa.Executable) -> None:
        try:
            with self.connection.begin_nested():
                self.connection.execute(statement)
        except sa.exc.IntegrityError:
            return
        self.done.append(str(statement.compile(compile_kwargs={"literal_binds": True})))  # type: ignore[attr-defined]

    def _statement(self, table: sa.Table) -> sa.Executable:
        ids = list(self.connection.execute(sa.select(table.c.id).order_by(table.c.id)).scalars())
        if not ids:
            return sa.select(sa.null())
        row = table.c.id == self.random.choice(ids)
        kind = self.random.random()
        if kind < 0.1:
            return sa.delete(table).where(row)
        if kind < 0.25:
            return self._copy(table, row)
        return self._update(table, row, ids)

    def _copy(self, table: sa.Table, row: sa.ColumnElement[bool]) -> sa.Insert:
        """A record like another, with a key of its own."""
        columns = [column for column in table.columns if column.name != "id"]
        keys = {c.name for index in table.indexes if index.unique for c in index.columns}
        values = [self._fresh(column) if column.name in keys else column for column in columns]
        return sa.insert(table).from_select([c.name for c in columns], sa.select(*values).where(row))

    def _fresh(self, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        if isinstance(column.type, sa.Uuid):
            return sa.literal(uuid.UUID(int=self.random.getrandbits(128)))
        if isinstance(column.type, sa.Text) and column.name != "data_area_id":
            return sa.literal(f"X-{self.random.randrange(1000)}")
        return column + self.random.randrange(100) if isinstance(column.type, sa.BigInteger) else column

    def _update(self, table: sa.Table, row: sa.ColumnElement[bool], ids: list[int]) -> sa.Update:
        column = self.random.choice([c for c in table.columns if c.name not in ("id", ETAG)])
        other = table.alias("other")
        borrowed = sa.select(other.c[column.name]).where(other.c.id == self.random.choice(ids)).scalar_subquery()
        value = self.random.choice([borrowed, borrowed, sa.null(), *self._values(column)])
        where = row if self.random.random() < 0.8 else table.c.id.in_(ids[:3])
        return sa.update(table).values({column.name: value}).where(where)

    def _values(self, column: sa.Column[Any]) -> Iterator[sa.ColumnElement[Any]]:
        number = self.random.randrange(4)
        if column.foreign_keys or isinstance(column.type, sa.Uuid):
            return
        if isinstance(column.type, sa.Text):
            yield sa.literal(self.random.choice(["Active", "A-3", "P-4", "EUR", "ea", "Default unit", "New"]))
        elif isinstance(column.type, sa.Boolean):
            yield sa.not_(sa.func.coalesce(column, False))
        elif isinstance(column.type, sa.BigInteger | sa.Numeric):
            yield sa.literal(number)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_changes_a_desired_row_marks_its_record(filled: Filling, seed: int) -> None:
    editor = Editor(filled, seed)
    before = desired(filled)
    for _ in range(40):
        editor.edit()
        found = marked(filled)
        after = desired(filled)
        assert to_be_marked(filled, before, after) <= found, (seed, editor.done)
        before = after
