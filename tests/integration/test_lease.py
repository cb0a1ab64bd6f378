"""The lease: one leads, a takeover waits for its transactions, and under an old lease nothing is written any more."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
import sqlalchemy as sa

from replicator.config import Configuration
from replicator.cycle import Cycle
from replicator.errors import LeaseLost
from replicator.hub.lease import Lease, acquire, lead_on, leading
from replicator.opening import leading as holding
from tests.fixtures.world import Systems

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


@pytest.mark.parametrize("step", STEPS)
def test_under_an_old_lease_nothing_is_written(systems: Systems, hub: sa.Engine, step: str) -> None:
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
        expire(other)
        assert acquire(other, "two", SECONDS) is not None
        before, writes = systems.rows(HELD), systems.writes()
        with pytest.raises(LeaseLost):
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
