"""A hub in trouble under a daemon at work: it says what and what to do, loses nothing and recovers by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import simplejson
from psycopg import sql

from replicator.hub.connection import DAEMON
from tests.fixtures.commands import Process, Systems, Workplace, until, work_at

TABLES = "select schemaname, tablename from pg_tables where schemaname in ('sales', 'ops', 'common', 'sync')"
CURSORS = """
select system || '.' || entity_set, token from sync.entity_set
union all select name, snapshot::text from sync.consumer order by 1
"""
FULL = """
create table public.full_tables (name text);
create function public.no_room() returns trigger language plpgsql security definer as $$
begin
    if exists (select from public.full_tables where name = tg_table_schema || '.' || tg_table_name) then
        raise exception 'could not extend file: No space left on device' using errcode = '53100';
    end if;
    return null;
end $$
"""
"""Which tables have no room is told by rows: no trigger comes or goes under a daemon at work, whose locks it meets."""


@dataclass
class Story:
    """A daemon that logs in under a name of its own, and a person who owns the database.

    Trouble comes and goes, and the daemon goes on: ``expected`` are the customers that have to arrive by and by.
    """

    place: Workplace
    systems: Systems
    owner: psycopg.Connection[Any]
    login: str
    daemon: Process
    expected: set[str] = field(default_factory=set)

    def sql(self, statement: str, **names: str) -> list[Any]:
        """The owner at work: ``{login}`` and ``{database}`` are names."""
        known = {"login": self.login, "database": self.owner.info.dbname} | names
        composed = sql.SQL(statement).format(**{name: sql.Identifier(*n.split(".")) for name, n in known.items()})
        found = self.owner.execute(composed)
        return found.fetchall() if found.description else []

    def end_sessions(self) -> None:
        """Those of the daemon: what is set for a database or a login holds for new sessions only."""
        self.owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", (self.login,))

    def account(self) -> str:
        """A new account in sales, and its number."""
        number = f"A-{len(self.expected) + 1}"
        self.expected.add(number)
        values = {"accountnumber": number, "name": f"Shop {number}", "address1_country": "Germany"}
        self.systems.create("sales", "accounts", values)
        return number

    @property
    def customers(self) -> set[str]:
        return {row["CustomerAccount"] for row in self.systems.records("ops", "CustomersV3")}

    def told(self, words: str, since: int) -> list[dict[str, Any]]:
        """Lines about a problem of the hub, in these words, from this line on."""
        lines = [simplejson.loads(line) for line in list(self.daemon.err)[since:]]
        return [line for line in lines if line["event"] == "problem" and words in line["message"]]

    def lasts(self, words: str, remedy: str, *, thread: str, stands_still: bool = True) -> None:
        """A change is made, and waits: the daemon lives and says in these words why; where all stands still, no
        cursor moves."""
        since, cursors = len(self.daemon.err), self.sql(CURSORS)
        number = self.account()
        until(lambda: [x for x in self.told(words, since) if x["where"] == thread], what=f"a line: {words}")
        assert all(line["kind"] == "transient" and remedy in line["hint"] for line in self.told(words, since))
        assert number not in self.customers
        assert self.daemon.popen.poll() is None
        assert not stands_still or self.sql(CURSORS) == cursors

    def is_over(self) -> None:
        """The change arrives without help, nothing was quarantined for the trouble, and nothing is left to do."""
        until(lambda: self.customers == self.expected, what="the change made during the trouble")
        until(lambda: self.place.tell("status").code == 0, what="everything in step")
        assert self.daemon.popen.poll() is None
        assert not [line for line in self.daemon.err if '"defect"' in line]

    def heal(self) -> None:
        """Whatever the trouble was, it is over."""
        self.sql("delete from public.full_tables")
        self.sql("alter database {database} reset default_transaction_read_only")
        self.sql("alter role {login} connection limit -1")
        self.sql("alter role {login} reset statement_timeout")
        self.end_sessions()


@pytest.fixture(scope="module")
def begun(server_url: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A first account has arrived; in the end the daemon stops as always."""
    with work_at(tmp_path_factory.mktemp("trouble"), server_url, template) as place:
        systems = place.sandbox()
        place.configure(systems.urls)
        url, login = place.environment["HUB_URL"], f"test_{uuid.uuid4().hex[:12]}"
        parts = urlsplit(url)
        own = urlunsplit(parts._replace(netloc=f"{login}:paper@{parts.netloc.rpartition('@')[2]}"))
        with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as owner:
            owner.execute(sql.SQL("create role {} login password 'paper'").format(sql.Identifier(login)))
            owner.execute(sql.SQL("grant {} to {}").format(sql.Identifier(DAEMON), sql.Identifier(login)))
            make_fillable(owner)
            found = Story(place, systems, owner, login, place.start("run", HUB_URL=own))
            found.account()
            until(lambda: found.customers == found.expected, what="the first account")
            yield found
            assert found.daemon.end() == 0
            found.sql("drop role {login}")


def make_fillable(owner: psycopg.Connection[Any]) -> None:
    """Give every table the trigger that finds no room, as long as the table is said to be full."""
    owner.execute(FULL)
    trigger = sql.SQL("create trigger no_room before insert or update on {} execute function public.no_room()")
    for table in owner.execute(TABLES).fetchall():
        owner.execute(trigger.format(sql.Identifier(*table)))


@pytest.fixture
def story(begun: Story) -> Iterator[Story]:
    """A daemon that has nothing to do; whatever a test leaves behind, the next one finds it so."""
    yield begun
    begun.heal()


@pytest.mark.parametrize(
    ("trouble", "over", "words", "remedy"),
    [
        pytest.param(
            "alter database {database} set default_transaction_read_only = on",
            "alter database {database} reset default_transaction_read_only",
            "read-only transaction", "writable again", id="read-only",
        ),
        pytest.param(
            "alter role {login} connection limit 0", "alter role {login} connection limit -1",
            "too many connections", "limits of connections", id="connections exhausted",
        ),
    ],
)  # fmt: skip
def test_a_database_that_takes_no_writes_or_no_connections_for_a_while(
    story: Story, trouble: str, over: str, words: str, remedy: str
) -> None:
    story.sql(trouble)
    story.end_sessions()
    story.lasts(words, remedy, thread="read sales")
    until(lambda: "leads: nobody" in story.place.tell("status").out, what="a status that says that nobody works")
    assert story.place.tell("status").code == 3
    story.sql(over)
    story.is_over()


def test_a_statement_timeout_that_is_too_short_for_a_while(story: Story) -> None:
    story.sql("alter role {login} set statement_timeout = '1ms'")
    story.end_sessions()
    story.lasts("statement timeout", "longer statement_timeout", thread="read sales", stands_still=False)
    story.sql("alter role {login} reset statement_timeout")
    story.is_over()


def test_a_disk_that_is_full_for_a_while(story: Story) -> None:
    story.sql(f"insert into public.full_tables select schemaname || '.' || tablename from ({TABLES}) every")
    story.lasts("No space left", "make room", thread="read sales")
    story.sql("delete from public.full_tables")
    story.is_over()


@pytest.mark.parametrize(
    ("table", "thread"),
    [("sales.accounts", "read sales"), ("common.account", "merge"), ("sync.delivery", "merge")],
)
def test_a_table_that_cannot_grow_for_a_while_quarantines_no_record(story: Story, table: str, thread: str) -> None:
    story.owner.execute("insert into public.full_tables values (%s)", [table])
    story.lasts("No space left", "make room", thread=thread, stands_still=False)
    story.sql("delete from public.full_tables")
    story.is_over()


def test_a_long_transaction_is_shown_with_its_process_and_its_change_arrives_when_it_ends(story: Story) -> None:
    with psycopg.connect(story.place.environment["HUB_URL"], application_name="a long import") as session:
        session.execute(
            "insert into common.account (organization_id, number, kind, name, status)"
            " select id, 'L-1', 'Organization', 'Slow Shop', 'Active' from common.organization"
        )
        [shown] = until(lambda: story.place.tell("status", "--json").json["window_holder"], what="the transaction")
        assert (shown["pid"], shown["application_name"]) == (session.info.backend_pid, "a long import")
        assert f"open transaction: process {session.info.backend_pid}" in story.place.tell("status").out
        story.account()
        until(lambda: story.customers == story.expected, what="what others change meanwhile")
    story.expected.add("L-1")
    until(lambda: story.customers == story.expected, what="what the transaction changed")
