"""The lease: one leads, a takeover and a migration wait for its transactions, and then nothing is written any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from replicator.command_lead import command_lead as holding
from replicator.config import Configuration
from replicator.cycle import Cycle
from replicator.errors import HubMigrated, HubUnavailable, LeaseLost, ReplicatorError
from replicator.hub.lease import Lease, acquire, lead_on, leading
from replicator.hub.made_from import made_from
from replicator.mapping.compiled import Compiled
from replicator.operate.planning.rehearse import make_plan
from replicator.operate.planning.saved_plans import save
from replicator.solution import migrate as migrations
from replicator.solution.migrate import MigrationTarget, migrate
from tests.fixtures.hub import SOLUTION
from tests.fixtures.world import Systems

pytestmark = pytest.mark.thorough

SECONDS = 30.0
HELD = """
select (select count(*) from log.change) as changes, (select count(*) from sync.delivery) as deliveries,
       (select array_agg(s.*::text order by s.*::text) from sync.entity_set s) as sets,
       (select array_agg(d.*::text order by d.*::text) from sync.delivery d) as states,
       (select array_agg(k.*::text order by k.*::text) from sync.consumer k) as consumers
"""


def expire(connection: sa.Connection) -> None:
    """The leader has been silent for too long."""
    with connection.begin():
        connection.execute(sa.text("update sync.lease set expires_at = now() - interval '1 second'"))


def taken(connection: sa.Connection) -> Lease:
    lease = acquire(connection, "one", SECONDS)
    assert lease is not None
    return lease


def test_a_takeover_is_held_off_while_a_transaction_of_the_leader_is_under_way(
    hub: sa.Engine, connection: sa.Connection
) -> None:
    lead_on(connection, taken(connection))
    with hub.connect() as other:
        with leading(connection):
            expire(other)
            assert acquire(other, "two", SECONDS) is None
        after = acquire(other, "two", SECONDS)
        assert after is not None
        assert after.epoch == 2
        with pytest.raises(LeaseLost), leading(connection):
            raise AssertionError("it leads no more")


def test_the_lead_is_renewed_while_transactions_of_the_leader_are_under_way(
    hub: sa.Engine, connection: sa.Connection
) -> None:
    lease = taken(connection)
    lead_on(connection, lease)
    with hub.connect() as other, leading(connection):
        with other.begin():
            other.execute(sa.text("set statement_timeout = '2s'"))
        assert lease.renew(other)
        assert acquire(other, "two", SECONDS) is None


def test_a_leader_that_freezes_within_a_transaction_loses_it_and_holds_nobody_off(
    hub: sa.Engine, connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replicator.hub.lease._SHORTEST_IDLE", 0.5)
    lead_on(connection, replace(taken(connection), seconds=0.1))
    frozen = connection.begin()
    lease = connection.get_execution_options()["lease"]
    lease.check(connection)
    with hub.connect() as other:
        expire(other)
        seen = sa.text("select count(*) from pg_locks where locktype = 'advisory'")
        while other.execute(seen).scalar_one():
            other.execute(sa.text("select pg_sleep(0.05)"))
        other.rollback()
        assert acquire(other, "two", SECONDS) is not None
    with pytest.raises(sa.exc.DBAPIError):
        connection.execute(sa.text("select 1"))
    frozen.close()
    connection.invalidate()


STEPS: dict[str, Callable[[Cycle], object]] = {
    "read": lambda cycle: cycle.read(),
    "merge": lambda cycle: cycle.merge(),
    "deliver": lambda cycle: cycle.deliver(again=True),
    "recover": lambda cycle: cycle.recover(["ops"]),
    "prepare": lambda cycle: cycle.prepare(),
    "maintain": lambda cycle: cycle.maintain(),
}


def take_over(connection: sa.Connection) -> None:
    """Another replicator takes the lead."""
    expire(connection)
    assert acquire(connection, "two", SECONDS) is not None


def make_anew(connection: sa.Connection) -> None:
    """What a migration with another ``schema/`` leaves of itself."""
    with connection.begin():
        connection.execute(sa.text("update sync.hub set schema_hash = 'another', product_hash = 'another'"))


def take_down(connection: sa.Connection) -> None:
    """What a downgrade to nothing leaves of the tables that are asked."""
    with connection.begin():
        connection.execute(sa.text("drop table sync.hub, sync.lease cascade"))


ENDS: dict[str, tuple[Callable[[sa.Connection], object], type[ReplicatorError], str]] = {
    "taken over": (take_over, LeaseLost, "taken over"),
    "migrated": (make_anew, HubMigrated, "migrated meanwhile.*start it again"),
    "taken down": (take_down, HubMigrated, "taken down meanwhile"),
}
"""How a lead ends without the leader's doing, and what it is told."""


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("step", STEPS)
def test_under_an_old_lease_nothing_is_written(systems: Systems, hub: sa.Engine, step: str, end: str) -> None:
    """In the hub, whatever there is to do: something to read, to mark, to send, and an answer that was lost."""
    systems.reference_data()
    systems.account("A-1")
    systems.once()
    systems.account("A-2")
    systems.cycle.read()
    systems.cycle.merge()
    states = {"A-2": "unknown" if step == "deliver" else "in_flight"}
    systems.run("update sync.delivery set state = cast(:state as sync.delivery_state), claimed = marked,"
                " identity = '[]'", state=states["A-2"])  # fmt: skip
    systems.account("A-3")
    systems.run("update common.account set name = 'By hand'")
    with hub.connect() as own, hub.connect() as other:
        lease = taken(own)
        stale = Cycle(replace(systems.cycle.world, lease=lease), own)
        happen, told, words = ENDS[end]
        happen(other)
        before, writes = systems.rows(HELD), systems.writes()
        with pytest.raises(told, match=words):
            STEPS[step](stale)
        assert systems.rows(HELD) == before
        assert systems.writes() == writes


def test_a_command_whose_lead_is_taken_over_stops_and_says_so(hub: sa.Engine, connection: sa.Connection) -> None:
    configuration = Configuration.model_validate({"daemon": {"lease_seconds": 0.3}})

    def work() -> None:
        with holding(connection, configuration) as lead, hub.connect() as other:
            with other.begin():
                other.execute(sa.text("update sync.lease set epoch = epoch + 1, holder = 'two'"))
            assert lead.lost.wait(20)

    with pytest.raises(LeaseLost, match="taken over"):
        work()


def test_a_command_keeps_the_lead_through_a_failure_of_the_hub(
    hub: sa.Engine, connection: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = threading.Event()
    renew = Lease.renew
    failures = iter([True, True])

    def failing(self: Lease, own: sa.Connection) -> bool:
        if next(failures, False):
            raise sa.exc.OperationalError("renew", {}, Exception("the server is gone"))
        kept = renew(self, own)
        renewed.set()
        return kept

    monkeypatch.setattr(Lease, "renew", failing)
    with holding(connection, Configuration.model_validate({"daemon": {"lease_seconds": 0.3}})) as lead:
        assert renewed.wait(20)
        assert not lead.lost.is_set()


def test_a_migration_waits_for_the_transactions_of_the_leader(
    hub: sa.Engine, connection: sa.Connection, compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has done nothing yet but to ask whether it may write."""
    monkeypatch.setattr(migrations, "_PATIENCE", "300ms")
    target = MigrationTarget(hub, compiled, SOLUTION)
    lead_on(connection, taken(connection))
    with leading(connection), pytest.raises(HubUnavailable, match=r"in use.*process"):
        migrate(target)
    migrate(target)
    with leading(connection):
        assert connection.execute(sa.text("select 1")).scalar_one() == 1, "made from the same, it goes on"


def test_the_lead_is_neither_kept_nor_taken_on_a_hub_that_was_migrated_meanwhile(
    hub: sa.Engine, connection: sa.Connection
) -> None:
    known, lease = made_from(connection), taken(connection)
    with hub.connect() as other:
        make_anew(other)
        assert not lease.renew(connection)
        with pytest.raises(HubMigrated):
            acquire(other, "two", SECONDS, known)
        expire(other)
        with pytest.raises(HubMigrated):
            acquire(other, "two", SECONDS, known)
        assert acquire(other, "two", SECONDS, made_from(other)) is not None


def test_a_daemon_does_not_wait_for_the_lead_on_a_hub_that_is_taken_down(connection: sa.Connection) -> None:
    known = made_from(connection)
    take_down(connection)
    assert made_from(connection) == ""
    with pytest.raises(HubMigrated, match="taken down"):
        acquire(connection, "one", SECONDS, known)


def test_nothing_is_planned_on_a_hub_that_was_migrated_meanwhile(systems: Systems, hub: sa.Engine) -> None:
    systems.reference_data()
    systems.account("A-1")
    systems.cycle.read()
    world = replace(systems.cycle.world, made_from=made_from(systems.connection))
    plan = make_plan(world)
    with hub.connect() as other:
        make_anew(other)
    with pytest.raises(HubMigrated):
        make_plan(world)
    with pytest.raises(HubMigrated):
        save(systems.connection, plan, None, world.made_from)
    assert systems.rows("select from sync.plan") == []


def test_a_command_that_works_when_the_hub_is_migrated_says_so(hub: sa.Engine, connection: sa.Connection) -> None:
    configuration = Configuration.model_validate({"daemon": {"lease_seconds": 0.3}})

    def work() -> None:
        with holding(connection, configuration) as lead, hub.connect() as other:
            make_anew(other)
            assert lead.lost.wait(20)

    with pytest.raises(HubMigrated):
        work()
