"""The hub is migrated while replicators work on it: they say so, stop, and write nothing into what they do not know."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.fixtures.commands import Process, Systems, Workplace, in_hub, until
from tests.fixtures.hub import own_schema

MIGRATED = 5
WRITTEN_SINCE = """
select c.oid::regclass::text from pg_class c
where c.relkind = 'r' and c.relnamespace::regnamespace::text in ('sales', 'ops', 'common', 'log', 'sync')
  and c.oid::regclass::text <> 'sync.lease'
  and query_to_xml(format(
      'select from %s where xmin::text::bigint > (select xmin::text::bigint from sync.hub) limit 1', c.oid::regclass
  ), false, false, '')::text like '%<row%'
"""
"""Tables with rows that were written after the migration; the lease, which is given up and taken, apart."""


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems, and a ``schema/`` of one's own."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    own_schema(workplace.folder)
    return systems


def describe_anew(folder: Path) -> None:
    """The smallest change of a schema that makes another hub: what a field is described with."""
    path = folder / "schema" / "common" / "account.yaml"
    text = path.read_text(encoding="utf-8")
    changed = text.replace("description: Of a person}", "description: In other words}", 1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


@contextmanager
def load(systems: Systems) -> Iterator[list[str]]:
    """New accounts without a pause; their numbers so far."""
    made: list[str] = []
    enough = threading.Event()

    def create() -> None:
        for number in itertools.count(1):
            if enough.is_set():
                return
            name = f"A-{number}"
            systems.create("sales", "accounts", {
                "accountnumber": name, "name": name, "address1_country": "Germany",
            })  # fmt: skip
            made.append(name)
            time.sleep(0.05)

    thread = threading.Thread(target=create)
    thread.start()
    try:
        yield made
    finally:
        enough.set()
        thread.join(20)


def customers(systems: Systems) -> set[str]:
    return {row["CustomerAccount"] for row in systems.records("ops", "CustomersV3")}


def started(workplace: Workplace) -> Process:
    process = workplace.start("run")
    process.logged("start")
    return process


def test_a_daemon_notices_a_migration_stops_with_a_code_of_its_own_and_the_next_one_goes_on(
    workplace: Workplace, systems: Systems
) -> None:
    leader = started(workplace)
    with load(systems) as made:
        until(lambda: len(customers(systems)) > 5, what="the first customers")
        second = started(workplace)
        assert second.logged("wait")["leader"]
        describe_anew(workplace.folder)
        migrated = workplace.tell("migrate")
        assert migrated.code == 0, migrated.told
        assert leader.popen.wait(10) == MIGRATED, leader.err
        assert second.popen.wait(10) == MIGRATED, second.err
        assert in_hub(workplace, WRITTEN_SINCE) == []
        for process in (leader, second):
            told = process.logged("problem")
            assert (told["where"], told["kind"]) == ("hub", "terminal")
            assert "the hub was migrated" in told["message"]
            assert "start it again" in told["hint"]
            assert process.logged("stop")["clean"]
            assert "Traceback" not in "\n".join(process.err)
        third = started(workplace)
        before = customers(systems)
        until(lambda: customers(systems) > before, what="what the new daemon sends")
    until(lambda: customers(systems) == set(made), what="all customers")
    assert in_hub(workplace, WRITTEN_SINCE) != []
    assert third.end() == 0


def test_a_migration_to_the_same_disturbs_nobody(workplace: Workplace, systems: Systems) -> None:
    leader = started(workplace)
    with load(systems) as made:
        until(lambda: len(customers(systems)) > 5, what="the first customers")
        assert workplace.tell("migrate").code == 0
        before = customers(systems)
        until(lambda: customers(systems) > before, what="what the daemon sends afterwards")
    until(lambda: customers(systems) == set(made), what="all customers")
    assert leader.end() == 0


def test_once_ends_with_the_code_of_its_own(workplace: Workplace, systems: Systems) -> None:
    """The migration waits for a transaction of its work, and comes before the next one."""
    url = workplace.environment["HUB_URL"]
    waits = "select from pg_locks where not granted and locktype = '{}'"
    with psycopg.connect(url) as holding, psycopg.connect(url) as migration, psycopg.connect(url) as looking:
        looking.autocommit = True
        holding.execute("lock table sync.entity_set in access exclusive mode")
        process = workplace.start("once")
        until(lambda: looking.execute(waits.format("relation")).fetchall(), what="that it waits in a transaction")

        def migrate() -> None:
            migration.execute("select pg_advisory_xact_lock('sync.lease'::regclass::oid::bigint)")
            migration.execute("update sync.hub set schema_hash = 'another'")
            migration.commit()

        thread = threading.Thread(target=migrate)
        thread.start()
        until(lambda: looking.execute(waits.format("advisory")).fetchall(), what="that the migration waits for it")
        holding.rollback()
        thread.join(60)
        assert process.popen.wait(60) == MIGRATED
        assert "error: the hub was migrated" in "\n".join(process.err)
