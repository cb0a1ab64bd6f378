"""The daemon's own threads, as fast as they go, while people work: what no single thread can show."""

from __future__ import annotations

import datetime
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from replicator.config import DaemonSettings
from replicator.daemon import Daemon
from replicator.mapping.compiled import Compiled
from tests.fixtures.commands import until
from tests.fixtures.postgres import database
from tests.fixtures.world import Problems
from tests.simulation.checks import problems
from tests.simulation.simulation import Simulation

QUICK = DaemonSettings(poll_seconds=0.05, hub_poll_seconds=0.05, retry_seconds=0.05, retry_max_seconds=0.2)
_ACTS = 150
_UNDER_WAY = sa.text("select record from sync.delivery where state in ('pending', 'in_flight', 'failed', 'unknown')")


class Heard(Problems):
    """Remembers defects as well."""

    def __init__(self) -> None:
        super().__init__()
        self.defects: list[Exception] = []

    def defect(self, where: str, problem: Exception) -> None:
        self.defects.append(problem)


def work_beside_each_other(simulation: Simulation, heard: Heard) -> None:
    """People and a daemon at work at the same time, until the daemon has nothing left to do; it is not started anew."""
    simulation.lease.release(simulation.connection)
    configuration = simulation.world.configuration.model_copy(update={"daemon": QUICK})
    with ThreadPoolExecutor(4) as workers:
        world = replace(simulation.world, configuration=configuration, workers=workers)
        daemon = Daemon(replace(world, watcher=heard), "threads")
        thread = threading.Thread(target=daemon.run)
        thread.start()
        try:
            for _ in range(_ACTS):
                simulation.people.act()
                time.sleep(simulation.random.random() / 25)
            simulation.people.finish()
            with simulation.hub.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                until(lambda: _rests(connection), what="that nothing is under way any more")
        finally:
            daemon.stop()
            thread.join(20)


def _rests(connection: sa.Connection) -> bool:
    """Whether nothing is under way, and still is not after everything has been read again."""
    for _ in range(5):
        if connection.execute(_UNDER_WAY).first():
            return False
        time.sleep(0.2)
    return True


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_threads_that_work_beside_each_other_lose_nothing(
    server_url: str, template: str, compiled: Compiled, seed: int
) -> None:
    with database(server_url, template) as url:
        simulation = Simulation(seed, url, compiled)
        try:
            simulation.systems.reference_data()
            heard = Heard()
            work_beside_each_other(simulation, heard)
            assert heard.defects == []
            assert heard.found == []
            simulation.now = datetime.datetime.now(datetime.UTC)  # the daemon's threads went by the hub's own clock
            simulation.connection.close()
            simulation.begin()
            simulation.become_quiet()
            assert problems(simulation) == []
        finally:
            simulation.close()
