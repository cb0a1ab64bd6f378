"""What others on the machine, and whoever has the hub's login, try against the embedded server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import psycopg
import pytest
from psycopg import sql

from replicator.errors import ConfigurationError, Terminal
from replicator.hub import embedded
from tests.fixtures.postgres import OLDEST

pytestmark = pytest.mark.thorough

QUICK = {"fsync": "off", "shared_buffers": "16MB"}
ROOT = Path(__file__).parents[2]
NOBODY = pwd.getpwnam("nobody")

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture(scope="module", params=["packaged", "oldest"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Path]:
    """One of the packaged PostgreSQL, and one of the oldest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REPLICATOR_PG_BIN", raising=False)
        if request.param == "oldest":
            patch.setenv("REPLICATOR_PG_BIN", str(OLDEST))
        yield from stopped()


def stopped() -> Iterator[Path]:
    """The folder of a server that has been made, started and stopped."""
    folder = Path(tempfile.mkdtemp(prefix="hub-test-", dir="/tmp"))
    folder.chmod(0o711)
    embedded.start(folder / "cluster", settings=QUICK)
    embedded.stop(folder / "cluster")
    yield folder / "cluster"
    shutil.rmtree(folder)


@pytest.fixture
def home(cluster: Path) -> Iterator[Path]:
    """The same folder for all tests; each leaves it fit to be started."""
    yield cluster
    embedded.stop(cluster)


@pytest.fixture
def roots(cluster: Path) -> Path:
    """A folder that only root can enter, with a file in it that everybody could read and one that only root can."""
    folder = Path(tempfile.mkdtemp(dir=cluster.parent))  # mode 0700
    (folder / "open").write_text("a secret")
    (folder / "private").write_text("a secret")
    (folder / "private").chmod(0o600)
    return folder


def socket_of(server: embedded.EmbeddedServer) -> Path:
    return Path(dict(parse_qsl(urlsplit(server.url).query))["host"])


def as_nobody(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """What a program answers another user of the machine."""
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd="/",
        user=NOBODY.pw_uid, group=NOBODY.pw_gid, extra_groups=[],
    )  # fmt: skip


# The hub's login


@pytest.mark.parametrize(
    "attempt",
    [
        "copy (select 1) to program 'cat > /dev/null'",
        "copy (select 1) to '/dev/null'",
        "do $$ begin create temp table taken (line text); copy taken from program 'id'; end $$",
        "select pg_read_file('/etc/passwd')",
        "select pg_ls_dir('/')",
        "select lo_import('/etc/passwd')",
        "create function run(text) returns int language c as '/lib/libc.so.6', 'system'",
        "create extension file_fdw",
        "grant pg_execute_server_program to hub",
        "create role another superuser login",
        "alter role hub superuser",
        "set session authorization postgres",
        "set role pg_read_server_files",
        "alter system set archive_command = 'id'",
        "set session_preload_libraries = 'x'",
    ],
)
def test_the_hub_s_login_runs_no_program_and_touches_no_file_of_the_machine(home: Path, attempt: str) -> None:
    url = embedded.start(home, settings=QUICK).url
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(attempt)


def test_nobody_logs_in_as_a_superuser(home: Path) -> None:
    url = embedded.start(home, settings=QUICK).url
    with psycopg.connect(url) as connection:
        names = [name for (name,) in connection.execute("select rolname from pg_roles where rolsuper")]
    assert names
    for name in names:
        for database in ("hub", "template1"):
            with pytest.raises(psycopg.OperationalError, match="rejects"):
                psycopg.connect(url, user=name, dbname=database)


def test_the_hub_s_login_does_what_a_hub_needs(home: Path) -> None:
    """Databases, roles and their memberships, ending sessions, seeing them, and letting others see them."""
    with psycopg.connect(embedded.start(home, settings=QUICK).url, autocommit=True) as connection:
        connection.execute("create database another")
        connection.execute("drop database another with (force)")
        if connection.info.server_version < 160000:
            return  # there it makes no roles
        connection.execute("create role anna login")
        connection.execute("grant pg_read_all_stats to anna")
        with psycopg.connect(embedded.start(home).url, user="anna") as other:
            pid = other.info.backend_pid
            ended = connection.execute("select pg_terminate_backend(%s, 5000)", [pid]).fetchone()
            assert ended == (True,)
        connection.execute("drop role anna")


def test_the_superuser_s_work_is_done_on_a_stopped_server(home: Path) -> None:
    url = embedded.start(home, settings=QUICK).url
    with pytest.raises(Terminal, match="is running"):
        embedded.administer(home, "select 1\n")
    embedded.stop(home)
    embedded.administer(home, "grant pg_checkpoint to hub\n")
    with pytest.raises(Terminal, match="nothing_like_this"):
        embedded.administer(home, "grant nothing_like_this to hub\n")
    with psycopg.connect(embedded.start(home, settings=QUICK).url, autocommit=True) as connection:
        connection.execute("checkpoint")
    assert url == embedded.start(home).url


# The machine


@as_root
@pytest.mark.parametrize("closed", [False, True])
def test_programs_that_root_s_server_runs_are_not_root_s_in_effect(roots: Path, cluster: Path, closed: bool) -> None:
    """Also not where the hub's folder lies in one that only root can enter, as /root is."""
    home = roots / "hub" if closed else cluster.parent / "open"
    drop = cluster.parent / f"drop-{closed}"
    drop.mkdir()
    drop.chmod(0o777)
    attack = f"""
        cd {drop}; id -u > uid; grep NoNewPrivs /proc/self/status > privileges
        cat {roots}/private > stolen; cat {roots}/open >> stolen; cat /proc/{os.getpid()}/environ >> stolen
        echo mine > {roots}/mine; echo mine >> {roots}/private; echo mine >> {home}/hub.conf; rm -f {home}/log
        mv {home}/data {home}/gone; kill -0 {os.getpid()} && echo mine > killed; true
    """
    try:
        embedded.administer(home, "grant pg_execute_server_program to hub\n")  # the first wall is taken down
        server = embedded.start(home, settings=QUICK)
        with psycopg.connect(server.url) as connection:
            connection.execute(sql.SQL("copy (select 1) to program {}").format(sql.Literal(attack)))
        assert (drop / "uid").read_text() == f"{(home / 'data').stat().st_uid}\n" != "0\n"
        assert (drop / "privileges").read_text().split() == ["NoNewPrivs:", "1"]
        assert (drop / "stolen").read_text() == ""
        assert not (drop / "killed").exists()
        assert not (roots / "mine").exists()
        assert (roots / "private").read_text() == "a secret"
        assert "mine" not in (home / "hub.conf").read_text()
        assert (home / "data").exists()
        assert (home / "log").exists()
        assert embedded.start(home) == server
    finally:
        embedded.stop(home)
        shutil.rmtree(home)


@as_root
def test_in_a_closed_folder_the_server_also_dies_with_its_parent(roots: Path) -> None:
    code = "import sys, pathlib; from replicator.hub import embedded; " + (
        f"embedded.start(pathlib.Path(sys.argv[1]), die_with_parent=True, settings={QUICK}); "
        "print(len(embedded._processes(pathlib.Path(sys.argv[1]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, roots / "hub"], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert int(done.stdout) > 1
    assert not embedded._processes(roots / "hub")


@as_root
@pytest.mark.skipif(not shutil.which("setpriv"), reason="takes away a right that most containers lack")
def test_where_no_view_of_the_files_can_be_made_root_is_told_the_way_out(roots: Path) -> None:
    code = f"""import sys, pathlib
from replicator.errors import Terminal
from replicator.hub import embedded
try:
    embedded.start(pathlib.Path(sys.argv[1]), die_with_parent=True, settings={QUICK})
except Terminal as problem:
    print(problem.message, problem.hint)
"""
    command: list[str | Path] = ["setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", code, roots / "hub"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert f"as the user nobody, who cannot enter {roots}" in told
    assert "HUB_URL" in told
    assert "where nobody can read" in told


@as_root
def test_root_makes_no_server_of_files_of_its_own(cluster: Path) -> None:
    folder = cluster.parent / "own"
    (folder / "data").mkdir(parents=True)
    with pytest.raises(Terminal, match=r"is root's, .*chown -R nobody"):
        embedded.start(folder)


@as_root
def test_a_link_that_the_server_s_user_leaves_leads_root_to_no_other_file(home: Path, roots: Path) -> None:
    embedded.start(home, settings=QUICK)
    embedded.stop(home)
    data, target = home / "data", roots / "private"
    for name in ("hub.conf", "log", "pg.lock", "socket"):
        for place in (home, data):  # in the hub's folder itself it must not succeed
            as_nobody("rm", "-rf", place / name)
            as_nobody("ln", "-s", target, place / name)
    embedded.start(home, settings=QUICK)
    assert target.read_text() == "a secret"
    assert (target.stat().st_uid, target.stat().st_mode & 0o777) == (0, 0o600)


@as_root
def test_root_does_nothing_in_a_folder_of_another_user(cluster: Path, roots: Path) -> None:
    folder = cluster.parent / "theirs"
    folder.mkdir()
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    for name in ("hub.conf", "log", "pg.lock", "socket"):
        assert as_nobody("ln", "-s", roots / name, folder / name).returncode == 0
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        embedded.start(folder)
    assert sorted(path.name for path in roots.iterdir()) == ["open", "private"]


@as_root
@pytest.mark.parametrize("name", ["short", "long " * 12])
def test_nobody_takes_the_socket_s_place_first(cluster: Path, name: str) -> None:
    """The place where it was last is what another user can know; a long path has its socket elsewhere."""
    home = cluster.parent / name.strip().replace(" ", ", & ")
    last = socket_of(embedded.start(home, settings=QUICK))
    embedded.stop(home)
    assert not last.exists()
    as_nobody("mkdir", "-m", "0777", last)
    as_nobody("ln", "-s", "/etc", last)
    try:
        server = embedded.start(home, settings=QUICK)
        assert embedded.start(home) == server
        with psycopg.connect(server.url) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        place = socket_of(server)
        assert place.lstat().st_mode & 0o077 == 0
    finally:
        embedded.stop(home)
    assert not place.exists()
    as_nobody("rm", "-rf", last)


@as_root
def test_nobody_else_can_keep_the_folder_s_lock(home: Path) -> None:
    """Who can read a file can lock it, and every start would wait."""
    embedded.start(home, settings=QUICK)
    assert as_nobody("ls", home / "pg.lock").returncode == 0
    assert "Permission denied" in as_nobody("cat", home / "pg.lock").stderr


def test_the_server_does_not_keep_the_secrets_of_the_program_s_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPS_SECRET", "hidden")
    embedded.start(home, settings=QUICK)
    pid = int((home / "data" / "postmaster.pid").read_text().split()[0])
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    assert b"PATH=" in environment
    assert b"hidden" not in environment
