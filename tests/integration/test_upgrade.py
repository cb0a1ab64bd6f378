"""A hub that a release left becomes this program's: the same as one made today, with every record as it stood."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
import sqlalchemy as sa

from replicator.hub.connection import connect
from replicator.mapping.compiled import Compiled
from replicator.solution.hub_fits import check_hub
from replicator.solution.migrate import MigrationTarget, migrate
from tests.fixtures.agreement import disagreements, some_records
from tests.fixtures.catalogue import SCHEMAS, catalogue
from tests.fixtures.hub import SOLUTION
from tests.fixtures.postgres import database, name_of
from tests.fixtures.release import IN_STEP, RELEASES, refill, restore
from tests.fixtures.world import Systems, two_systems

pytestmark = pytest.mark.thorough

TABLES = sa.text("""
    select oid::regclass::text from pg_class
    where relnamespace::regnamespace::text = any(:schemas) and relkind in ('r', 'p') and not relispartition
    and oid <> 'sync.alembic_version'::regclass
""")
STANDS = sa.text("""
    select m.name, d.record_id, d.record, d.state::text, d.reason, d.waits_for
    from sync.delivery d join sync.map m on m.id = d.map_id
""")


@dataclass(frozen=True)
class Known:
    """What a hub knows: how many rows each table has, and how each record stands that is not in step."""

    rows: dict[str, int]
    stands: set[str]


@dataclass(frozen=True)
class Upgraded:
    """The hub of a release after its upgrade, and what it knew before."""

    url: str
    release: Path
    before: Known


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """A connection that leaves no session behind, which would be in the way of a copy."""
    engine = connect(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def known(url: str) -> Known:
    with connected(url) as connection:
        tables = connection.execute(TABLES, {"schemas": list(SCHEMAS)}).scalars().all()
        counts = {name: sa.select(sa.func.count()).select_from(sa.text(name)) for name in tables}
        rows = {name: connection.execute(count).scalar_one() for name, count in counts.items()}
        return Known(rows, {str(row) for row in connection.execute(STANDS)})


def upgrade(url: str, compiled: Compiled) -> None:
    engine = connect(url)
    target = MigrationTarget(engine, compiled, SOLUTION)
    migrate(target)
    check_hub(target)
    engine.dispose()


@pytest.fixture(scope="module", params=sorted(RELEASES.iterdir()), ids=lambda folder: folder.name)
def upgraded(request: pytest.FixtureRequest, server_url: str, template: str, compiled: Compiled) -> Iterator[Upgraded]:
    """The hub of each release. The template's migration has made the roles, which a dump has not."""
    with database(server_url) as url:
        restore(request.param, url)
        before = known(url)
        upgrade(url, compiled)
        yield Upgraded(url, request.param, before)


def test_the_hub_of_a_release_becomes_the_same_as_a_new_one(upgraded: Upgraded, server_url: str, template: str) -> None:
    new = urlunsplit(urlsplit(server_url)._replace(path=f"/{template}"))
    with connected(new) as made_new, connected(upgraded.url) as made_before:
        assert catalogue(made_before) == catalogue(made_new)


def test_an_upgrade_loses_no_row_and_leaves_every_record_as_it_stood(upgraded: Upgraded) -> None:
    before, after = upgraded.before, known(upgraded.url)
    assert all(before.rows[f"sync.{name}"] for name in ("quarantine", "proposed_delete", "conflict", "delivery"))
    assert {table: after.rows[table] for table in before.rows} == before.rows
    assert after.stands == before.stands


def written(systems: Systems) -> list[str]:
    """All writes so far."""
    return [f"{sent.address} {sent.body}" for wire in systems.wire.values() for sent in wire.sent]


def test_after_an_upgrade_nothing_is_written_again_and_new_records_go_on(
    upgraded: Upgraded, server_url: str, compiled: Compiled
) -> None:
    with (
        database(server_url, template=name_of(upgraded.url)) as url,
        connected(url) as connection,
        two_systems(connection, connection.engine, compiled, {}) as systems,
    ):
        refill(upgraded.release, systems)
        systems.once()
        assert [sent for sent in written(systems) if IN_STEP in sent] == []
        assert list(disagreements(connection, some_records(connection))) == []
        (customer,) = systems.held("sales", "accounts", accountnumber=IN_STEP)
        (unit,) = systems.sales.records("uoms")
        systems.ids |= {"ea": unit["uomid"], "USD": customer["_transactioncurrencyid_value"]}
        systems.quote("S-2", customer, [IN_STEP])
        systems.once()
        assert len(systems.held("ops", "CDSSalesQuotationHeaders", SalesQuotationNumber="S-2")) == 1


CHANGES = [
    "alter table sync.delivery add column more text",
    "alter table sync.delivery alter column reason set not null",
    "alter table sync.delivery alter column attempts set default 1",
    "alter table sync.pause alter column reason type varchar(100)",
    "alter table sync.pause add constraint more check (reason <> '')",
    "alter table common.account rename constraint pk_account to account_pkey",
    "drop index sync.ix_delivery_pending",
    "create index more on sync.delivery (record)",
    "alter sequence log.change_seq cache 20",
    "alter type sync.delivery_state add value 'lost'",
    "drop view sync.alarms",
    "comment on column sync.delivery.reason is 'Why'",
    "comment on view sync.status is 'More'",
    "alter table common.account disable trigger capture_insert",
    "alter function sync.now() volatile",
    "alter table sync.pause owner to current_user",
    "grant select (name) on common.account to public",
    "grant execute on function sync.pause to replicator_reader",
    "revoke select on sync.status from replicator_reader",
    "alter default privileges for role replicator_owner grant execute on functions to replicator_reader",
    "alter table common.account enable row level security",
]


def test_no_difference_between_two_hubs_is_overlooked(upgraded: Upgraded) -> None:
    def overlooked(change: str) -> bool:
        with connection.begin_nested() as attempt:
            connection.execute(sa.text(change))
            same = catalogue(connection) == before
            attempt.rollback()
        return same

    with connected(upgraded.url) as connection, connection.begin() as transaction:
        before = catalogue(connection)
        connection.execute(sa.text("truncate sync.delivery"))  # its rows may be in the way of a change
        assert [change for change in CHANGES if overlooked(change)] == []
        transaction.rollback()
