"""The changefeed: every committed change is read exactly once, whatever commits late, rolls back or stays open."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from random import Random
from typing import Any, Protocol

import psycopg
import pytest
import sqlalchemy as sa

from replicator.core.hub_handle import Handle
from replicator.core.mark import mark_window
from replicator.hub.changefeed import open_window
from replicator.mapping.compiled import Compiled
from tests.fixtures.load import Filling

INSERT = "insert into common.unit (code) values (%s)"


class Reader(Protocol):
    """Reads the log; ``seen`` are the sequence numbers read so far."""

    seen: list[int]

    def read(self) -> None: ...


class WindowReader:
    """Reads as the product does."""

    def __init__(self, connection: sa.Connection, name: str = "test") -> None:
        self.connection, self.name = connection, name
        self.seen: list[int] = []

    def read(self) -> None:
        with self.connection.begin():
            if open_window(self.connection, self.name) is not None:
                self.seen += self.connection.execute(sa.text("select seq from changed")).scalars().all()


class HighestReader:
    """Reads what lies above the highest number read so far: the usual mistake."""

    def __init__(self, connection: sa.Connection) -> None:
        self.connection = connection
        self.seen: list[int] = []

    def read(self) -> None:
        last = max(self.seen, default=0)
        with self.connection.begin():
            query = sa.text("select seq from log.change where seq > :last")
            self.seen += self.connection.execute(query, {"last": last}).scalars().all()


MakeReader = Callable[[sa.Connection], Reader]
READERS: list[MakeReader] = [WindowReader, HighestReader]


@pytest.fixture
def writer(hub_url: str) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Makes sessions that write."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(psycopg.connect(hub_url))


def committed(connection: sa.Connection) -> list[int]:
    """What the log holds in the end."""
    with connection.begin():
        return list(connection.execute(sa.text("select seq from log.change order by seq")).scalars())


class Writers:
    """Sessions at work all at once. Each holds one transaction open until the reader has come by in between."""

    def __init__(self, url: str, count: int, rounds: int) -> None:
        self.url, self.count, self.rounds = url, count, rounds
        self.read = threading.Condition()
        self.reads = 0

    def reader_came_by(self) -> None:
        with self.read:
            self.reads += 1
            self.read.notify_all()

    def _wait_for_reader(self) -> None:
        with self.read:
            reads = self.reads
            assert self.read.wait_for(lambda: self.reads >= reads + 2, timeout=60)

    def write(self, number: int) -> None:
        random = Random(number)
        with psycopg.connect(self.url) as session:
            for turn in range(self.rounds):
                self._transaction(session, random, f"{number}-{turn}", held=turn % 8 == number % 8)

    def _transaction(self, session: psycopg.Connection[Any], random: Random, code: str, *, held: bool) -> None:
        session.execute(INSERT, [code])
        with session.transaction(force_rollback=random.random() < 0.4):
            session.execute(INSERT, [f"{code}-inner"])
            with session.transaction(force_rollback=random.random() < 0.4):
                session.execute("update common.unit set code = code || '!' where code = %s", [code])
        if random.random() < 0.2:
            session.execute("delete from common.unit where code like %s", [f"{code}%"])
        if held:
            self._wait_for_reader()
        if random.random() < 0.25:
            session.rollback()
        else:
            session.commit()


def read_while_they_write(reader: Reader, writers: Writers) -> None:
    """Read all the while, and once more in the end."""
    with ThreadPoolExecutor(writers.count) as pool:
        work = [pool.submit(writers.write, number) for number in range(writers.count)]
        while not all(done.done() for done in work):
            reader.read()
            writers.reader_came_by()
        for done in work:
            done.result()
    reader.read()


def test_every_committed_change_is_read_exactly_once(connection: sa.Connection, hub_url: str) -> None:
    reader = WindowReader(connection)
    read_while_they_write(reader, Writers(hub_url, count=6, rounds=40))
    assert len(reader.seen) > 200
    assert sorted(reader.seen) == committed(connection)


def test_reading_by_the_highest_number_loses_changes(connection: sa.Connection, hub_url: str) -> None:
    """The harness above bites: with the usual mistake it fails."""
    reader = HighestReader(connection)
    read_while_they_write(reader, Writers(hub_url, count=6, rounds=40))
    assert Counter(committed(connection)) - Counter(reader.seen)


@pytest.mark.parametrize("make", READERS)
def test_a_late_commit_after_a_read(
    connection: sa.Connection, writer: Callable[[], psycopg.Connection[Any]], make: MakeReader
) -> None:
    """The same schedule for both, step by step: only the window finds the transaction that commits late."""
    reader, late, soon = make(connection), writer(), writer()
    late.execute(INSERT, ["late"])
    soon.execute(INSERT, ["soon"])
    soon.commit()
    reader.read()
    assert len(reader.seen) == 1
    late.commit()
    reader.read()
    lost = Counter(committed(connection)) - Counter(reader.seen)
    assert sum(lost.values()) == (0 if isinstance(reader, WindowReader) else 1)


def test_a_transaction_held_open_over_many_windows_is_read_when_it_commits(
    connection: sa.Connection, writer: Callable[[], psycopg.Connection[Any]]
) -> None:
    reader, late, soon = WindowReader(connection), writer(), writer()
    late.execute(INSERT, ["before"])
    for number in range(5):
        soon.execute(INSERT, [str(number)])
        soon.commit()
        reader.read()
        late.execute(INSERT, [f"late {number}"])
        assert len(reader.seen) == number + 1
    late.commit()
    reader.read()
    assert sorted(reader.seen) == committed(connection)


def test_a_rolled_back_savepoint_is_never_read(
    connection: sa.Connection, writer: Callable[[], psycopg.Connection[Any]]
) -> None:
    reader, session = WindowReader(connection), writer()
    session.execute(INSERT, ["outer"])
    with session.transaction(force_rollback=True):
        session.execute(INSERT, ["inner"])
        reader.read()
    session.commit()
    reader.read()
    assert len(reader.seen) == 1
    assert sorted(reader.seen) == committed(connection)


def test_changes_in_a_savepoint_are_read_with_their_transaction(
    connection: sa.Connection, writer: Callable[[], psycopg.Connection[Any]]
) -> None:
    reader, session = WindowReader(connection), writer()
    for number in range(100):  # more than the server keeps apart in a snapshot
        with session.transaction():
            session.execute(INSERT, [str(number)])
    reader.read()
    session.execute(INSERT, ["last"])
    session.commit()
    reader.read()
    assert len(reader.seen) == 101
    assert sorted(reader.seen) == committed(connection)


def test_a_reader_that_dies_reads_its_window_again(connection: sa.Connection) -> None:
    with connection.begin():
        connection.execute(sa.text("insert into common.unit (code) values ('ea')"))
    with connection.begin() as transaction:
        assert open_window(connection, "test") is not None
        transaction.rollback()
    reader = WindowReader(connection)
    reader.read()
    reader.read()
    assert sorted(reader.seen) == committed(connection)


def test_two_readers_of_one_consumer_share_the_changes(
    connection: sa.Connection, hub: sa.Engine, writer: Callable[[], psycopg.Connection[Any]]
) -> None:
    """Two daemons by mistake: each change is read by one of them."""
    stop = threading.Event()

    def read() -> list[int]:
        with hub.connect() as mine:
            reader = WindowReader(mine)
            while not stop.is_set():
                reader.read()
            reader.read()
            return reader.seen

    with ThreadPoolExecutor(2) as pool:
        work = [pool.submit(read) for _ in range(2)]
        session = writer()
        for number in range(100):
            session.execute(INSERT, [str(number)])
            session.commit()
        stop.set()
        seen = [seq for done in work for seq in done.result()]
    assert sorted(seen) == committed(connection)


def test_each_consumer_reads_everything(connection: sa.Connection) -> None:
    with connection.begin():
        connection.execute(sa.text("insert into common.unit (code) values ('ea'), ('pcs')"))
    one, other = WindowReader(connection, "one"), WindowReader(connection, "other")
    one.read()
    other.read()
    assert one.seen == other.seen == committed(connection)


def test_a_quiet_hub_opens_no_window(connection: sa.Connection) -> None:
    state = sa.text("select snapshot::text, at from sync.consumer where name = 'test'")
    with connection.begin():
        connection.execute(sa.text("insert into common.unit (code) values ('ea')"))
    with connection.begin():
        assert open_window(connection, "test") is not None
    with connection.begin():
        before = connection.execute(state).one()
    for _ in range(3):
        with connection.begin():
            assert open_window(connection, "test") is None
    with connection.begin():
        assert connection.execute(state).one() == before


def test_writes_that_nobody_captures_open_no_window(connection: sa.Connection, compiled: Compiled) -> None:
    hub = Handle.on(connection, compiled)
    mark_window(hub)
    with connection.begin():
        connection.execute(sa.text("insert into sync.lease values ('x', 'me', 1, now())"))
    assert mark_window(hub) is None


def test_a_window_counts_changes_and_records(connection: sa.Connection) -> None:
    with connection.begin():
        connection.execute(sa.text("insert into common.unit (code) values ('ea'), ('pcs')"))
        connection.execute(sa.text("update common.unit set code = 'box' where code = 'ea'"))
        connection.execute(sa.text("insert into common.currency (code) values ('USD')"))
    with connection.begin():
        window = open_window(connection, "test")
        assert window is not None
        assert window.changes == {"common.unit": 3, "common.currency": 1}
        assert window.records == {"common.unit": 2, "common.currency": 1}


def test_in_another_cluster_everything_is_marked(filled: Filling) -> None:
    """A hub restored elsewhere: the kept snapshot speaks of another server's transactions."""
    connection, compiled, ids = filled.connection, filled.compiled, filled.hub.ids
    with connection.begin():
        connection.execute(sa.text("update sync.consumer set cluster = 'another'"))
    marked = mark_window(filled.hub)
    assert marked is not None
    for flow in compiled.maps:
        if flow.root is None:
            with connection.begin():
                query = "select record_id from sync.delivery where map_id = :map and state = 'pending'"
                pending = set(connection.execute(sa.text(query), {"map": ids[flow.name]}).scalars())
                records = set(connection.execute(sa.select(flow.view.source.c.id)).scalars())
            assert pending == records, flow.name
    assert mark_window(filled.hub) is None


def test_a_restored_hub_reads_on_from_where_it_was_restored(filled: Filling) -> None:
    connection = filled.connection
    with connection.begin():
        connection.execute(sa.text("update sync.consumer set cluster = 'another'"))
    mark_window(filled.hub)
    filled.settle()
    with connection.begin():
        connection.execute(sa.text("update common.product set name = 'new' where number = 'P-1'"))
    marked = mark_window(filled.hub)
    assert marked is not None
    assert (marked.changes, marked.records) == (1, 1)
