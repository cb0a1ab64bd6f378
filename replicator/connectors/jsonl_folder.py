"""A folder of JSONL files: each is read at one moment, and several are replaced together or not at all.

What is to be replaced is written beside first. A list of it, ``.commit``, is what decides: once it is there, every file
in it will be replaced, by whoever comes next if need be; until then nothing has happened.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from replicator.connectors.meter import count
from replicator.errors import NotSent, RequestRefused, SystemUnavailable

_COMMIT = ".commit"
_LOCK = ".lock"
_LOOKS_PER_SECOND = 50


class Folder:
    """The files of one system. ``name`` is that of the system, for messages."""

    def __init__(self, name: str, path: Path, lock_seconds: float) -> None:
        self.name, self.path, self.lock_seconds = name, path, lock_seconds
        self._turn = threading.Lock()
        self._seen: frozenset[tuple[str, int, int]] = frozenset()
        self._seen = self._seen_now()

    def file(self, entity_set: str) -> Path:
        """Where an entity set's records are."""
        return self.path / f"{entity_set}.jsonl"

    def wait_for_change(self, seconds: float) -> bool:
        """Wait at most so long until a file is another one than when this was last asked; whether one is."""
        until = time.monotonic() + seconds
        while (now := self._seen_now()) == self._seen:
            if time.monotonic() >= until:
                return False
            time.sleep(min(1 / _LOOKS_PER_SECOND, max(0.0, until - time.monotonic())))
        self._seen = now
        return True

    def _seen_now(self) -> frozenset[tuple[str, int, int]]:
        """Name, time and size of each file; of none while the folder cannot be looked at."""
        try:
            looks = [(path.name, path.stat()) for path in self.path.glob("*.jsonl")]
        except OSError:
            return self._seen
        return frozenset((name, look.st_mtime_ns, look.st_size) for name, look in looks)

    def read(self, entity_set: str) -> bytes:
        """All of a file. Raises RequestRefused where it is missing, SystemUnavailable where it changed meanwhile."""
        if (self.path / _COMMIT).exists():
            with self.locked():
                pass  # what was left half done is finished
        path = self.file(entity_set)
        try:
            with path.open("rb") as file:
                before = os.fstat(file.fileno())
                content = file.read()
                after = os.fstat(file.fileno())
        except FileNotFoundError:
            hint = "an entity set without records is an empty file"
            raise RequestRefused(f"{self.name}: there is no file {path}", hint=hint) from None
        except OSError as error:
            raise SystemUnavailable(f"{self.name}: {path}: {error.strerror}") from None
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
            raise SystemUnavailable(f"{self.name}: {path} is being written to: move a finished file to its place")
        count(requests=1, received=len(content))
        return content

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The folder to oneself, with what a killed writer left half done finished. Raises NotSent."""
        with self._turn:
            try:
                lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise NotSent(f"{self.name}: {self.path}: {error.strerror}") from None
            try:
                self._wait_for(lock)
                self._finish()
                yield
            finally:
                os.close(lock)  # and with it the lock is gone

    def _wait_for(self, lock: int) -> None:
        until = time.monotonic() + self.lock_seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    words = f"{self.name}: another program has had {self.path} locked for {self.lock_seconds:g} s"
                    raise NotSent(words) from None
                time.sleep(1 / _LOOKS_PER_SECOND)
            else:
                return

    def replace(self, contents: Mapping[str, bytes]) -> None:
        """Give these entity sets these contents, all or none; the caller has the lock."""
        names = {_beside(entity_set): self.file(entity_set).name for entity_set in contents}
        for entity_set, content in contents.items():
            self._write(_beside(entity_set), content)
        self._write(f"{_COMMIT}.new", json.dumps(names).encode())
        os.replace(self.path / f"{_COMMIT}.new", self.path / _COMMIT)
        self._sync()
        self._finish()

    def _finish(self) -> None:
        commit = self.path / _COMMIT
        if not commit.exists():
            return
        for beside, name in json.loads(commit.read_bytes()).items():
            if (self.path / beside).exists():
                os.replace(self.path / beside, self.path / name)
        self._sync()
        commit.unlink()
        self._sync()

    def _write(self, name: str, content: bytes) -> None:
        with (self.path / name).open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def _sync(self) -> None:
        """Have the folder itself on the disk: what is called how."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _beside(entity_set: str) -> str:
    return f".{entity_set}.jsonl.new"
