"""As whom the embedded server runs: PostgreSQL refuses root, who gets a user namespace or another user."""

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


def give(path: Path, owner: int) -> None:
    if path.lstat().st_uid != owner:
        os.chown(path, owner, _group(owner))


@dataclass(frozen=True)
class Privileges:
    """As whom the server runs: the owner of its files, seen as another user in a namespace when that is root."""

    owner: int
    seen_as: int | None = None

    @classmethod
    def choose(cls, home: Path, programs: Path) -> Privileges:
        if os.geteuid():
            return cls(os.geteuid())
        owner = (home / "data" if (home / "data").exists() else home).stat().st_uid
        if not owner and _namespaces_work():
            return cls(0, _unprivileged())
        if not owner and (home / "data").exists():
            raise Terminal(f"{home / 'data'} is root's and user namespaces are not available here", hint=WAY_OUT)
        owner = owner or _unprivileged()
        _check_reach(owner, home, programs / "postgres")
        give(home, owner)
        return cls(owner)

    def options(self, *, die_with_parent: bool) -> dict[str, Any]:
        """Return how ``subprocess`` has to start a program."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        options: dict[str, Any] = {"cwd": "/", "env": {**environment, "LC_ALL": "C"}, "start_new_session": True}
        if self.owner != os.geteuid():
            options |= {"user": self.owner, "group": _group(self.owner), "extra_groups": []}
        die = die_with_parent and sys.platform == "linux"
        if die or self.seen_as is not None:
            options["preexec_fn"] = functools.partial(_prepare, _libc(), self.seen_as, os.getpid() if die else None)
        return options


def _prepare(libc: ctypes.CDLL, seen_as: int | None, parent: int | None) -> None:
    """Run in the new process before its program: first the namespace, since a change of user ends the death signal."""
    if seen_as is not None:
        if libc.unshare(0x10000000):  # CLONE_NEWUSER
            raise OSError(ctypes.get_errno(), "unshare")
        for name, text in (("setgroups", "deny"), ("uid_map", f"{seen_as} 0 1"), ("gid_map", f"{seen_as} 0 1")):
            Path("/proc/self", name).write_text(text)
    if parent is not None:
        libc.prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG: a fast shutdown
        if os.getppid() != parent:  # it died before the call
            os._exit(1)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


@functools.cache
def _namespaces_work() -> bool:
    """Tell whether root may make a user namespace: containers and hardened kernels often forbid it."""
    if sys.platform != "linux":
        return False
    try:
        subprocess.run(
            ["/bin/sh", "-c", ":"], check=True, **Privileges(0, _unprivileged()).options(die_with_parent=False)
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


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


def _check_reach(user: int, *paths: Path) -> None:
    for folder in (folder for path in paths for folder in path.parents):
        found = folder.stat()
        if not found.st_mode & (0o100 if found.st_uid == user else 0o001):
            raise Terminal(
                f"without user namespaces the server has to run as user {user}, who cannot enter {folder}",
                hint=WAY_OUT,
            )
