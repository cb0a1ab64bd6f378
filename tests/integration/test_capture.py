"""Capture: what the triggers write into the log, for whom, and what they refuse; and the log's partitions."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from replicator.hub.changefeed import open_window
from replicator.hub.connection import connect
from replicator.mapping.compiled import Compiled


def run(connection: sa.Connection, statement: str, **values: object) -> list[dict[str, Any]]:
    """Run one statement in a transaction of its own."""
    with connection.begin():
        result = connection.execute(sa.text(statement), values)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def changes(connection: sa.Connection, table: str) -> list[tuple[str, int]]:
    """The log of one table: operations and records, in order."""
    rows = run(
        connection,
        "select operation::text, record_id from log.change where relation = cast(:table as regclass) order by seq",
        table=table,
    )
    return [(row["operation"], row["record_id"]) for row in rows]


@pytest.fixture
def currencies(connection: sa.Connection) -> list[int]:
    """Three currencies; their ids."""
    rows = run(
        connection,
        "insert into common.currency (code, name, decimals) values ('USD', 'Dollar', 2), ('EUR', 'Euro', 2), "
        "('JPY', 'Yen', 0) returning id",
    )
    return [row["id"] for row in rows]


def test_an_insert_of_many_is_logged_row_by_row(connection: sa.Connection, currencies: list[int]) -> None:
    assert sorted(changes(connection, "common.currency")) == [("I", record) for record in currencies]
    assert run(connection, "select * from log.common_currency") == []


def test_a_single_update_keeps_the_image_before_it(connection: sa.Connection, currencies: list[int]) -> None:
    run(connection, "update common.currency set name = 'US Dollar' where code = 'USD'")
    assert changes(connection, "common.currency")[3:] == [("U", currencies[0])]
    images = run(connection, "select id, code, name, decimals from log.common_currency")
    assert images == [{"id": currencies[0], "code": "USD", "name": "Dollar", "decimals": 2}]


def test_an_update_of_many_keeps_an_image_of_each(connection: sa.Connection, currencies: list[int]) -> None:
    run(connection, "update common.currency set decimals = decimals + 1")
    images = run(
        connection,
        "select i.id, i.decimals, c.record_id, c.operation::text from log.common_currency i "
        "join log.change c using (seq) order by i.id",
    )
    assert [(row["id"], row["decimals"]) for row in images] == list(zip(currencies, (2, 2, 0), strict=True))
    assert all(row["id"] == row["record_id"] and row["operation"] == "U" for row in images)


def test_a_delete_of_many_keeps_an_image_of_each(connection: sa.Connection, currencies: list[int]) -> None:
    run(connection, "delete from common.currency where code <> 'USD'")
    assert sorted(changes(connection, "common.currency")[3:]) == [("D", currencies[1]), ("D", currencies[2])]
    codes = run(connection, "select code from log.common_currency order by code")
    assert [row["code"] for row in codes] == ["EUR", "JPY"]


def test_images_have_the_types_of_their_table(connection: sa.Connection, compiled: Compiled) -> None:
    """So that history can be read and compared as the table itself."""
    for table in compiled.tables.captured:
        rows = run(
            connection,
            """select a.attname as name, format_type(a.atttypid, a.atttypmod) as own,
                      format_type(b.atttypid, b.atttypmod) as image
               from pg_attribute a left join pg_attribute b on b.attname = a.attname
                    and b.attrelid = cast(:image as regclass)
               where a.attrelid = cast(:own as regclass) and a.attnum > 0 and a.attname not in ('etag', 'digest')""",
            own=table.fullname,
            image=f"log.{table.schema}_{table.name}",
        )
        assert [row["name"] for row in rows if row["own"] != row["image"]] == []


def test_a_null_is_told_from_a_value(connection: sa.Connection, currencies: list[int]) -> None:
    run(connection, "update common.currency set decimals = null where code = 'JPY'")
    run(connection, "update common.currency set decimals = 0 where code = 'JPY'")
    assert [row["decimals"] for row in run(connection, "select decimals from log.common_currency order by seq")] == [
        0,
        None,
    ]


def test_a_statement_that_finds_no_row_logs_nothing(connection: sa.Connection, currencies: list[int]) -> None:
    run(connection, "update common.currency set name = 'X' where false")
    run(connection, "delete from common.currency where false")
    assert len(changes(connection, "common.currency")) == len(currencies)


def test_an_upsert_logs_each_row_for_what_became_of_it(connection: sa.Connection, currencies: list[int]) -> None:
    run(
        connection,
        "insert into common.currency (code, name) values ('USD', 'Greenback'), ('CHF', 'Franken') "
        "on conflict (sync.fold(code)) do update set name = excluded.name",
    )
    assert sorted(operation for operation, _ in changes(connection, "common.currency")[3:]) == ["I", "U"]


def test_a_rolled_back_change_leaves_no_trace(connection: sa.Connection, currencies: list[int]) -> None:
    with connection.begin() as transaction:
        connection.execute(sa.text("delete from common.currency"))
        transaction.rollback()
    assert len(changes(connection, "common.currency")) == len(currencies)


def test_every_captured_table_is_captured(connection: sa.Connection, compiled: Compiled) -> None:
    rows = run(
        connection,
        "select tgrelid::regclass::text as name, count(*) as triggers from pg_trigger "
        "where not tgisinternal and tgenabled = 'A' group by 1",
    )
    forgetting = {mirror.fullname for mirror in compiled.tables.mirrors.values()}  # mirrors also forget their digests
    assert {row["name"]: row["triggers"] for row in rows} == {
        t.fullname: 4 + (t.fullname in forgetting) for t in compiled.tables.captured
    }


def test_truncate_is_refused_with_a_way_out(connection: sa.Connection, currencies: list[int]) -> None:
    with pytest.raises(sa.exc.DBAPIError, match=r"TRUNCATE of common.currency is refused.*\s.*Use DELETE"):
        run(connection, "truncate common.currency cascade")
    assert len(run(connection, "select from common.currency")) == len(currencies)


def test_truncate_is_refused_to_a_replication_session_too(connection: sa.Connection) -> None:
    with connection.begin() as transaction:
        connection.execute(sa.text("set local session_replication_role = replica"))
        with pytest.raises(sa.exc.DBAPIError, match="is refused"):
            connection.execute(sa.text("truncate sales.uoms"))
        transaction.rollback()


def test_a_replication_session_is_captured_too(connection: sa.Connection) -> None:
    with connection.begin():
        connection.execute(sa.text("set local session_replication_role = replica"))
        connection.execute(sa.text("insert into common.unit (code) values ('ea'), ('pcs')"))
        connection.execute(sa.text("update common.unit set code = 'box' where code = 'pcs'"))
        connection.execute(sa.text("delete from common.unit where code = 'ea'"))
    assert [operation for operation, _ in changes(connection, "common.unit")] == ["I", "I", "U", "D"]


# Origin


@pytest.fixture
def clerk(hub_url: str, server_url: str) -> Iterator[tuple[str, str]]:
    """A role that may write common but does not own the hub: its name, and its URL of the hub."""
    name = f"clerk_{uuid.uuid4().hex[:8]}"
    role = sql.Identifier(name)
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(sql.SQL("create role {} login password 'paper'").format(role))
        server.execute(sql.SQL("grant {} to current_user").format(role))  # before PostgreSQL 16 making is not having
    with psycopg.connect(hub_url, autocommit=True) as hub:
        for statement in (
            "grant usage on schema common, sync to {}",
            "grant select, insert, update, delete on all tables in schema common to {}",
        ):
            hub.execute(sql.SQL(statement).format(role))
    yield name, hub_url
    with psycopg.connect(hub_url, autocommit=True) as hub:
        hub.execute(sql.SQL("drop owned by {}").format(role))
        hub.execute(sql.SQL("drop role {}").format(role))


def origins(connection: sa.Connection) -> list[str]:
    return [row["origin"] for row in run(connection, "select origin from log.change order by seq")]


def test_the_replicator_names_the_cause_of_a_write(connection: sa.Connection) -> None:
    with connection.begin():
        connection.execute(sa.text("select set_config('sync.origin', 'merge:sales', true)"))
        connection.execute(sa.text("insert into common.unit (code) values ('ea')"))
    assert origins(connection) == ["merge:sales"]


def test_a_write_without_a_cause_bears_the_role_s_name(connection: sa.Connection) -> None:
    with connection.begin():
        connection.execute(sa.text("select set_config('sync.origin', 'merge:sales', true)"))
    run(connection, "insert into common.unit (code) values ('ea')")
    assert origins(connection) == [run(connection, "select session_user::text as me")[0]["me"]]


def as_clerk(url: str, name: str) -> psycopg.Connection[Any]:
    """A session of the clerk: by password where the server asks for one, else by name alone."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return psycopg.connect(urlunsplit(parts._replace(netloc=f"{name}:paper@{host}")), autocommit=True)


def test_another_role_cannot_claim_to_be_the_replicator(connection: sa.Connection, clerk: tuple[str, str]) -> None:
    name, url = clerk
    with as_clerk(url, name) as session:
        session.execute("set sync.origin = 'merge:sales'")
        session.execute("insert into common.unit (code) values ('ea')")
        session.execute("update common.unit set code = 'box'")
        session.execute("delete from common.unit")
    assert origins(connection) == [name] * 3


def test_another_role_is_named_even_when_it_acts_as_a_third(
    connection: sa.Connection, clerk: tuple[str, str], server_url: str
) -> None:
    """SET ROLE changes current_user; who logged in stays who did it."""
    name, url = clerk
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(sql.SQL("set role {}").format(sql.Identifier(name)))
        session.execute("insert into common.unit (code) values ('ea')")
        owner = session.info.user
    assert origins(connection) == [owner]


def test_another_role_can_neither_write_the_log_nor_read_it(clerk: tuple[str, str]) -> None:
    name, url = clerk
    with as_clerk(url, name) as session:
        for statement in ("delete from log.change", "select * from log.change", "select log.drop_day('20200101')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement)


# Partitions


def partitions(connection: sa.Connection, parent: str = "log.change") -> list[str]:
    rows = run(
        connection,
        "select inhrelid::regclass::text as name from pg_inherits "
        "where inhparent = cast(:parent as regclass) order by 1",
        parent=parent,
    )
    return [row["name"] for row in rows]


def test_each_table_of_the_log_has_a_default_partition(connection: sa.Connection, compiled: Compiled) -> None:
    for table in ("change", *(f"{t.schema}_{t.name}" for t in compiled.tables.captured)):
        assert f"log.{table}_default" in partitions(connection, f"log.{table}")


def test_today_and_the_days_ahead_get_partitions_once(connection: sa.Connection) -> None:
    """A new hub has those of today and of tomorrow."""
    tables = len(run(connection, "select from pg_class where relnamespace = 'log'::regnamespace and relkind = 'p'"))
    assert run(connection, "select log.make_partitions(3) as made")[0]["made"] == 2 * tables
    assert run(connection, "select log.make_partitions(3) as made")[0]["made"] == 0
    day = run(connection, "select to_char(current_date + 3, 'YYYYMMDD') as day")[0]["day"]
    assert f"log.change_{day}" in partitions(connection)
    assert f"log.common_unit_{day}" in partitions(connection, "log.common_unit")


def test_a_day_s_rows_land_in_its_partition(connection: sa.Connection) -> None:
    """A day that has already rows in the default partition goes on there; the others have their own."""
    for days in (9, 1):
        run(
            connection,
            "insert into log.change (relation, record_id, operation, origin, at) "
            "values ('common.unit'::regclass, 1, 'U', 'test', current_date + cast(:days as int))",
            days=days,
        )
    run(connection, "select log.make_partitions(9)")
    rows = run(connection, "select tableoid::regclass::text as name from log.change order by at desc")
    tomorrow = run(connection, "select to_char(current_date + 1, 'YYYYMMDD') as day")[0]["day"]
    assert [row["name"] for row in rows] == ["log.change_default", f"log.change_{tomorrow}"]


def make_past(connection: sa.Connection, days: int) -> str:
    """A partition of a day in the past, with a change and its image in it; its day."""
    day = run(connection, "select current_date - cast(:days as int) as day", days=days)[0]["day"]
    assert isinstance(day, datetime.date)
    name = f"{day:%Y%m%d}"
    following = day + datetime.timedelta(days=1)
    with connection.begin():
        connection.exec_driver_sql("set local role replicator_owner")
        for table in ("change", "common_unit"):
            connection.exec_driver_sql(
                f"create table log.{table}_{name} partition of log.{table} for values from ('{day}') to ('{following}')"
            )
        connection.execute(
            sa.text(
                "insert into log.change (relation, record_id, operation, origin, at) "
                "values ('common.unit'::regclass, 1, 'U', 'test', :day)"
            ),
            {"day": day},
        )
        connection.execute(sa.text("insert into log.common_unit (seq, at, id) values (1, :day, 1)"), {"day": day})
    return name


def read_all(connection: sa.Connection, consumer: str = "reader") -> None:
    with connection.begin():
        open_window(connection, consumer)


def drop_old(connection: sa.Connection, keep: str = "30 days") -> int:
    rows = run(connection, "select log.drop_partitions(cast(:keep as interval)) as dropped", keep=keep)
    return int(rows[0]["dropped"])


def test_an_old_day_is_dropped_with_its_images_once_it_was_read(connection: sa.Connection) -> None:
    day = make_past(connection, 40)
    read_all(connection)
    assert drop_old(connection) == 1
    assert f"log.change_{day}" not in partitions(connection)
    assert f"log.common_unit_{day}" not in partitions(connection, "log.common_unit")


def test_a_day_that_a_consumer_has_not_read_is_kept(connection: sa.Connection) -> None:
    read_all(connection, "slow")
    day = make_past(connection, 40)
    read_all(connection, "quick")
    assert drop_old(connection) == 0
    assert f"log.change_{day}" in partitions(connection)
    read_all(connection, "slow")
    assert drop_old(connection) == 1


def test_without_any_consumer_nothing_is_dropped(connection: sa.Connection) -> None:
    make_past(connection, 40)
    assert drop_old(connection) == 0


def test_a_day_that_is_to_be_kept_is_kept(connection: sa.Connection) -> None:
    day = make_past(connection, 5)
    read_all(connection)
    assert drop_old(connection, "30 days") == 0
    assert f"log.change_{day}" in partitions(connection)


def test_the_default_partition_is_never_dropped(connection: sa.Connection) -> None:
    run(connection, "insert into common.unit (code) values ('ea')")
    read_all(connection)
    drop_old(connection, "0 days")
    assert "log.change_default" in partitions(connection)


def test_old_rows_of_the_default_partition_go_too(connection: sa.Connection) -> None:
    run(connection, "insert into common.unit (code) values ('ea')")
    run(connection, "delete from common.unit")
    run(connection, "update log.change set at = at - interval '40 days'")
    run(connection, "update log.common_unit set at = at - interval '40 days'")
    read_all(connection)
    drop_old(connection)
    assert run(connection, "select from log.change") == []
    assert run(connection, "select from log.common_unit") == []


def test_a_day_with_an_open_transaction_s_rows_is_kept(connection: sa.Connection, hub_url: str) -> None:
    """Its rows commit after the consumer looked: they are unread."""
    make_past(connection, 40)
    engine = connect(hub_url)
    with engine.connect() as other, other.begin():
        other.execute(
            sa.text(
                "insert into log.change (relation, record_id, operation, origin, at) "
                "values ('common.unit'::regclass, 2, 'U', 'late', current_date - 40)"
            )
        )
        read_all(connection)
        # The late rows are still invisible, and the partition is in use by their transaction.
        assert drop_old(connection) == 0
    engine.dispose()
    assert drop_old(connection) == 0
    read_all(connection)
    assert drop_old(connection) == 1
