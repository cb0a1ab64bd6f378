"""The private PostgreSQL server: its life, and what has to hold when processes are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest

from replicator.errors import ConfigurationError, HubMismatch, Terminal
from replicator.hub import embedded
from tests.fixtures.postgres import create_database, drop_database, keep_server

pytestmark = pytest.mark.thorough

QUICK = {"fsync": "off", "shared_buffers": "16MB"}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Path]:
    """The folder of a stopped server."""
    folder = Path(tempfile.mkdtemp(prefix="hub-test-"))
    folder.chmod(0o711)
    embedded.start(folder / "cluster", settings=QUICK)
    embedded.stop(folder / "cluster")
    yield folder / "cluster"
    shutil.rmtree(folder)


@pytest.fixture
def home(cluster: Path) -> Iterator[Path]:
    """The same folder for all tests, as a copy takes longer than most of them; each leaves it fit to be started."""
    yield cluster
    embedded.stop(cluster)


def ask(server: embedded.EmbeddedServer, query: str) -> object:
    with psycopg.connect(server.url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def server_host(server: embedded.EmbeddedServer) -> str:
    return dict(parse_qsl(urlsplit(server.url).query))["host"]


def postmaster(home: Path) -> int:
    return int((home / "data" / "postmaster.pid").read_text().split()[0])


def processes(home: Path) -> list[int]:
    return embedded._processes(home.resolve())


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def kill_postmaster(home: Path) -> None:
    pid = postmaster(home)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pid not in processes(home))  # a signal takes its time


def python(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import sys, time, pathlib\nfrom replicator.hub import embedded\n{code}"]
    return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_start_attach_and_stop(home: Path) -> None:
    server = embedded.start(home, settings=QUICK)
    pid = postmaster(home)
    assert embedded.start(home) == server
    assert postmaster(home) == pid
    assert ask(server, "SELECT current_database()") == "hub"
    assert ask(server, "SHOW listen_addresses") == ""
    assert ask(server, "SHOW shared_buffers") == "16MB"
    embedded.stop(home)
    assert not processes(home)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)
    embedded.stop(home)  # nothing to do is no error


def test_letters_beyond_ascii_fold_case(home: Path) -> None:
    assert ask(embedded.start(home, settings=QUICK), "SELECT lower('ÉÀŁ') || upper('ñ')") == "éàłÑ"


def test_files_and_socket_are_private(home: Path) -> None:
    server = embedded.start(home, settings=QUICK)
    sockets = Path(server_host(server))
    assert [path.stat().st_mode & 0o077 for path in (home / "data", sockets, home / "log")] == [0, 0, 0]


def test_a_socket_folder_that_others_may_enter_is_refused(home: Path) -> None:
    sockets = home / "socket"
    sockets.mkdir()
    sockets.chmod(0o777)
    with pytest.raises(Terminal, match="not a private folder"):
        embedded.start(home)
    sockets.rmdir()


def test_the_name_of_its_folder_is_no_command(cluster: Path) -> None:
    strange = cluster.parent / '$(touch x) "`touch x`'
    strange.mkdir(mode=0o711)
    try:
        assert ask(embedded.start(strange / "home", settings=QUICK), "select 1") == 1
    finally:
        embedded.stop(strange / "home")


def test_committed_data_survives_a_killed_postmaster(home: Path) -> None:
    server = embedded.start(home, settings=QUICK)
    with psycopg.connect(server.url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 42 AS answer")
    with closing(psycopg.connect(server.url)):  # its process outlives the postmaster for a moment
        kill_postmaster(home)
        server = embedded.start(home, settings=QUICK)
    assert ask(server, "SELECT answer FROM kept") == 42


def test_a_busy_query_does_not_keep_a_killed_server_from_starting(home: Path) -> None:
    server = embedded.start(home, settings=QUICK)
    with closing(psycopg.connect(server.url)) as connection:
        busy = "DO $$ BEGIN LOOP PERFORM 1; END LOOP; END $$"
        connection.pgconn.send_query(busy.encode())
        kill_postmaster(home)
        assert ask(embedded.start(home, settings=QUICK), "SELECT 1") == 1


def test_a_pid_file_naming_another_process_is_stale(home: Path) -> None:
    embedded.start(home, settings=QUICK)
    left = (home / "data" / "postmaster.pid").read_text().splitlines()
    embedded.stop(home)
    left[0] = str(os.getpid())
    (home / "data" / "postmaster.pid").write_text("\n".join(left))
    embedded.stop(home)  # must not signal the other process
    (home / "data" / "postmaster.pid").write_text("\n".join(left))
    assert ask(embedded.start(home, settings=QUICK), "SELECT 1") == 1


def test_a_server_whose_folder_was_deleted_makes_room(home: Path) -> None:
    saved = home.with_name("saved")
    subprocess.run(["cp", "-a", home / "data", saved], check=True)  # with its owner
    embedded.start(home, settings=QUICK)
    old = postmaster(home)
    shutil.rmtree(home / "data")
    saved.rename(home / "data")
    assert ask(embedded.start(home, settings=QUICK), "SELECT 1") == 1
    assert postmaster(home) != old


def test_of_four_processes_one_makes_the_cluster_and_starts_it(cluster: Path) -> None:
    fresh = cluster.parent / "fresh"
    code = f"print(embedded.start(pathlib.Path(sys.argv[1]), settings={QUICK}).url)"
    racers = [python(code, fresh) for _ in range(4)]
    answers = {racer.communicate()[0] for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0, 0]
    assert answers == {f"{embedded.start(fresh).url}\n"}
    embedded.stop(fresh)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_server_that_dies_with_its_parent_leaves_nothing_running(home: Path) -> None:
    code = f"embedded.start(pathlib.Path(sys.argv[1]), die_with_parent=True, settings={QUICK}); print(); time.sleep(60)"
    with python(code, home) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert processes(home)
        parent.kill()
    eventually(lambda: not processes(home))
    assert not (home / "data" / "postmaster.pid").exists()  # it shut down in order


def test_an_orderly_exit_stops_the_child_server(home: Path) -> None:
    with python(f"embedded.start(pathlib.Path(sys.argv[1]), die_with_parent=True, settings={QUICK})", home) as parent:
        assert parent.wait() == 0
    assert not processes(home)


def test_data_of_another_major_version_is_refused(home: Path) -> None:
    version = home / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("14\n")
    with pytest.raises(HubMismatch, match=rf"made by PostgreSQL 14, .* PostgreSQL {right.strip()} .*REPLICATOR_PG_BIN"):
        embedded.start(home)
    version.write_text(right)


def test_a_wrong_setting_is_named(home: Path) -> None:
    for die in (False, True):
        with pytest.raises(Terminal, match=r"(?s)does not start.*work_mem"):
            embedded.start(home, settings={"work_mem": "lots"}, die_with_parent=die)


def test_a_named_folder_without_programs_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPLICATOR_PG_BIN", str(tmp_path))
    with pytest.raises(ConfigurationError, match="holds no PostgreSQL"):
        embedded.binaries()


def test_the_test_runs_server_goes_with_its_controller() -> None:
    folder = Path("/tmp", f"hub-tests-{uuid.uuid4().hex}")
    with subprocess.Popen(["sleep", "60"]) as controller:
        server = keep_server(folder, controller.pid)
        assert keep_server(folder, controller.pid) == server
        controller.kill()
    eventually(lambda: not folder.exists())
    assert not processes(server.home)


def test_databases_are_made_from_a_template_and_dropped(server_url: str) -> None:
    name, copy = f"embedded {os.getpid()}", f"embedded copy {os.getpid()}"
    with psycopg.connect(create_database(server_url, name)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    with closing(psycopg.connect(create_database(server_url, copy, template=name))) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
        drop_database(server_url, copy)  # in spite of the connection
    drop_database(server_url, name)
    drop_database(server_url, name)
