"""Both simulated systems on their ports, as the command line serves them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

import simplejson
from pydantic import ValidationError

from replicator.errors import ConfigurationError, Terminal
from replicator.sandbox.system import LoadError, Options, Sandbox
from replicator.signals import stop_on_signals
from replicator.web_server import WebServer

SystemName = Literal["sales", "ops"]
LOOPBACK = "127.0.0.1"
_LARGEST_REQUEST = 1 << 28


class Host:
    """Serves both systems until closed. ``ports`` of 0 mean any free port."""

    def __init__(self, ports: Mapping[str, int], *, state: Path | None = None, options: Sequence[str] = ()) -> None:
        if state is not None:
            state.mkdir(parents=True, exist_ok=True)
        chosen = parse_options(options)
        self.sandboxes = {
            name: Sandbox(name, state=state / f"{name}.sqlite" if state else None, options=chosen)
            for name in get_args(SystemName)
        }
        self._servers: dict[str, WebServer] = {}
        try:
            for name, sandbox in self.sandboxes.items():
                self._servers[name] = serve(sandbox, ports[name])
        except ConfigurationError:
            self.close()
            raise

    @property
    def urls(self) -> dict[str, str]:
        """Where each system is."""
        return {name: server.url for name, server in self._servers.items()}

    def load(self, folder: Path) -> dict[str, dict[str, int]]:
        """Load ``ops/*.jsonl`` and ``sales/*.jsonl`` of a folder; counts by system and entity set.

        What cannot be loaded keeps nothing else from it, in either system; it is raised at the end.
        """
        found = {name: folder / name for name in ("ops", "sales") if (folder / name).is_dir()}
        if not found:
            raise ConfigurationError(f"{folder} has neither a folder 'sales' nor 'ops'")
        counts: dict[str, dict[str, int]] = {}
        failed: list[LoadError] = []
        for name, path in found.items():
            try:
                counts[name] = self.sandboxes[name].load(path)
            except LoadError as problem:
                failed.append(problem)
        if failed:
            hint = "; ".join(dict.fromkeys(each.hint for each in failed))
            raise Terminal("; ".join(each.message for each in failed), hint=hint)
        return counts

    @staticmethod
    def wait(again: Callable[[], None]) -> None:
        """Until SIGTERM or Ctrl-C; ``again`` is called after each SIGHUP, outside of the signal's handler."""
        stop, hung_up = threading.Event(), threading.Event()
        stop_on_signals(stop.set)
        signal.signal(signal.SIGHUP, lambda *_: hung_up.set())
        while not stop.wait(0.2):
            if hung_up.is_set():
                hung_up.clear()
                again()

    def close(self) -> None:
        """Stop serving; the state stays where it is kept."""
        for server in self._servers.values():
            server.close()
        for sandbox in self.sandboxes.values():
            sandbox.close()


def serve(sandbox: Sandbox, port: int = 0) -> WebServer:
    """Serve a simulated system on loopback; closing the server leaves the sandbox and its state."""
    return WebServer(sandbox.wsgi, sandbox.system, LOOPBACK, port, largest=_LARGEST_REQUEST, limits=None)


def parse_options(texts: Sequence[str]) -> Options:
    """Options from texts like ``recalculate=true``; values are JSON, or plain text."""
    values: dict[str, object] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise ConfigurationError(f"'{text}' is not NAME=VALUE")
        try:
            values[name] = simplejson.loads(value)
        except ValueError:
            values[name] = value
    try:
        return Options.model_validate(values)
    except ValidationError as problem:
        first = problem.errors(include_url=False)[0]
        raise ConfigurationError(f"option {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
