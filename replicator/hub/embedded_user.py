"""As whom the embedded server runs: what may run programs in the database must not be root, not even in effect.

Started by root it becomes another user, for good. Where this user cannot enter the folders it needs (the home of root,
say), it gets a view of the files of its own, in which of the closed folder only those are left.
"""

from __future__ import annotations

import ctypes
import functools
import os
import pwd
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replicator.errors import Terminal

WAY_OUT = "set HUB_URL to a PostgreSQL server of your own, or run as a normal user"

_NEW_MOUNTS, _BIND, _RECURSIVE, _PRIVATE = 0x20000, 0x1000, 0x4000, 0x40000  # sched.h and sys/mount.h of Linux
_DEATH_SIGNAL, _NO_NEW_PRIVILEGES = 1, 38  # sys/prctl.h


def give(path: Path, owner: int) -> None:
    """Make it this user's; what a link points to stays whose it is."""
    if path.lstat().st_uid != owner:
        os.chown(path, owner, _group(owner), follow_symlinks=False)


@dataclass(frozen=True)
class Privileges:
    """As whom the server runs, and of which folders it sees nothing but those that are to be ``shown``."""

    owner: int
    closed: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()

    @classmethod
    def choose(cls, home: Path, programs: Path) -> Privileges:
        """The caller, or for root whoever owns the cluster, ``nobody`` for one that is yet to be made."""
        if os.geteuid():
            return cls(os.geteuid())
        data = home / "data"
        owner = data.stat().st_uid if data.exists() else _unprivileged()
        if not owner:
            raise Terminal(
                f"{data} is root's, and PostgreSQL does not run as root",
                hint=f"chown -R {pwd.getpwuid(_unprivileged()).pw_name} {data}",
            )
        home.chmod(home.stat().st_mode | 0o011)  # it is entered, not listed; what is private in it says so itself
        closed = {path: folder for path in (home, _root_of(programs)) if (folder := _closed(path, owner))}
        found = cls(owner, tuple(sorted(set(closed.values()))), tuple(closed))
        found._prove(programs / "postgres")
        return found

    def options(self, *, die_with_parent: bool) -> dict[str, Any]:
        """Return how ``subprocess`` has to start a program. It needs none of the secrets that the environment holds."""
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TZ") or name.startswith("LD_")}
        options: dict[str, Any] = {"cwd": "/", "env": {**kept, "LC_ALL": "C"}, "start_new_session": True}
        die = die_with_parent and sys.platform == "linux"
        if die or self.owner != os.geteuid():
            options["preexec_fn"] = functools.partial(_prepare, _libc(), self, os.getpid() if die else None)
        return options

    def _prove(self, program: Path) -> None:
        try:
            command = [str(program), "--version"]
            subprocess.run(command, check=True, capture_output=True, **self.options(die_with_parent=False))
        except (OSError, subprocess.SubprocessError) as problem:
            where = f", who cannot enter {', '.join(map(str, self.closed))}" if self.closed else ""
            name = pwd.getpwuid(self.owner).pw_name
            raise Terminal(
                f"the server has to run as the user {name}{where}, and {program} does not run so",
                hint=f"{WAY_OUT}, or keep the program and the hub's folder where {name} can read",
            ) from problem


def _prepare(libc: ctypes.CDLL, privileges: Privileges, parent: int | None) -> None:
    """Run in the new process before its program: the death signal last, since a change of user ends it."""
    if privileges.owner != os.geteuid():
        if privileges.closed:
            _show_only(libc, privileges)
        group = _group(privileges.owner)
        os.setgroups([])
        os.setresgid(group, group, group)
        os.setresuid(privileges.owner, privileges.owner, privileges.owner)
        if sys.platform == "linux":
            libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)  # no program that it starts, such as sudo, brings them back
    if parent is not None:
        libc.prctl(_DEATH_SIGNAL, signal.SIGINT)  # a fast shutdown
        if os.getppid() != parent:  # it died before the call
            os._exit(1)


def _show_only(libc: ctypes.CDLL, privileges: Privileges) -> None:
    """For this process and its children, cover the closed folders; in the cover the shown ones keep their paths."""

    def mount(source: bytes, place: Path | str, kind: bytes | None, flags: int, settings: bytes | None = None) -> None:
        if libc.mount(source, os.fsencode(place), kind, ctypes.c_ulong(flags), settings):
            raise OSError(ctypes.get_errno(), f"mount {place!s}")

    if libc.unshare(_NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare")
    mount(b"none", "/", None, _RECURSIVE | _PRIVATE)  # nobody else sees what is mounted from here on
    shown = [(path, os.open(path, os.O_RDONLY | os.O_DIRECTORY)) for path in privileges.shown]
    os.umask(0o022)
    for folder in privileges.closed:
        mount(b"none", folder, b"tmpfs", 0, b"mode=755")
    for path, folder_before in shown:
        path.mkdir(parents=True, exist_ok=True)
        mount(f"/proc/self/fd/{folder_before}".encode(), path, None, _BIND | _RECURSIVE)
        os.close(folder_before)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _unprivileged() -> int:
    """Return a user other than root; initdb wants one that has a name."""
    known = {user.pw_name: user.pw_uid for user in pwd.getpwall() if user.pw_uid}
    if not known:
        raise Terminal("the server cannot run as root, and there is no other user", hint=WAY_OUT)
    return known.get("nobody", min(known.values()))


def _group(user: int) -> int:
    try:
        return pwd.getpwuid(user).pw_gid
    except KeyError:
        return user


def _root_of(programs: Path) -> Path:
    """The folder that holds all that the programs need: the packaged ones have libraries beside their package."""
    installation = Path(sys.prefix).resolve()
    return installation if programs.is_relative_to(installation) else programs.parent


def _closed(path: Path, user: int) -> Path | None:
    """The outermost folder on the way to this one that the user cannot enter."""
    for folder in reversed(path.parents):
        found = folder.stat()
        if not found.st_mode & (0o100 if found.st_uid == user else 0o001):
            return folder
    return None
