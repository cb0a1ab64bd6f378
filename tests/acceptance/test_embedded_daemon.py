"""A daemon on the embedded hub starts its server again, however that ended, and goes on without help."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replicator.hub import embedded
from tests.fixtures.commands import Process, Systems, Workplace, until
from tests.fixtures.hub import link_solution
from tests.fixtures.postgres import fast_folder


@pytest.fixture
def home() -> Iterator[Path]:
    """Where the server of the hub is: not in pytest's own folder, which root's server could not enter."""
    folder = Path(tempfile.mkdtemp(dir=fast_folder()))
    folder.chmod(0o711)
    yield folder / "hub"
    embedded.stop(folder / "hub", mode="immediate")
    shutil.rmtree(folder)


@pytest.fixture
def place(home: Path, tmp_path: Path) -> Iterator[Workplace]:
    """A folder to run commands in, which are over before the server is gone."""
    link_solution(tmp_path)
    found = Workplace(tmp_path, None)
    yield found
    found.close()


@pytest.fixture
def systems(place: Workplace, home: Path) -> Systems:
    """Both systems, and a configuration whose hub is embedded, and migrated."""
    systems = place.sandbox()
    place.configure(systems.urls, hub=f"hub: {{folder: {home}}}")
    migrated = place.run("migrate")
    assert migrated.code == 0, migrated.told
    return systems


def postmaster(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0])


def kill(home: Path) -> None:
    os.kill(postmaster(home), signal.SIGKILL)


def crash(home: Path) -> None:
    embedded.stop(home, mode="immediate")


def stop(home: Path) -> None:
    embedded.stop(home)


def arrives(systems: Systems, number: str) -> None:
    """A new account of sales becomes a customer of ops."""
    values = {"accountnumber": number, "name": f"Shop {number}", "address1_country": "Germany"}
    systems.create("sales", "accounts", values)
    until(lambda: number in customers(systems), what=f"customer {number}")


def customers(systems: Systems) -> set[str]:
    return {row["CustomerAccount"] for row in systems.records("ops", "CustomersV3")}


def alive(daemon: Process) -> bool:
    return daemon.popen.poll() is None and not [line for line in daemon.err if '"defect"' in line]


@pytest.mark.parametrize("end", [kill, crash, stop])
def test_a_daemon_starts_its_embedded_server_again_however_that_ended(
    place: Workplace, home: Path, systems: Systems, end: Callable[[Path], None]
) -> None:
    daemon = place.start("run")
    arrives(systems, "A-1")
    for number in ("A-2", "A-3"):  # again and again
        before = postmaster(home)
        end(home)
        arrives(systems, number)
        assert postmaster(home) != before
    assert alive(daemon)
    until(lambda: place.tell("status").code == 0, what="everything in step")
    assert daemon.end() == 0


def test_a_daemon_that_waits_for_the_lead_starts_the_embedded_server_too(
    place: Workplace, home: Path, systems: Systems
) -> None:
    """Also where the one that led is gone with the server."""
    first = place.start("run")
    arrives(systems, "A-1")
    second = place.start("run")
    second.logged("wait")
    first.end(signal.SIGKILL)
    kill(home)
    arrives(systems, "A-2")
    assert alive(second)
    assert second.end() == 0
