"""Serving a WSGI application on a socket, in a thread of its own."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import TcpWSGIServer

from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_LOOK_SECONDS = 1.0
"""How often the time of connections is looked at, where nothing else happens."""


@dataclass(frozen=True)
class ConnectionLimits:
    """What strangers may take of a server. Each connection is for one request.

    ``seconds`` from being connected to having read the answer, however busy the client looks; ``connections`` at once,
    of which the oldest that is not being answered makes room for the next; ``threads`` that answer.
    """

    seconds: float = 60
    connections: int = 100
    threads: int = 8


STRANGERS = ConnectionLimits()


class _OneRequest(HTTPRequestParser):
    """A request after which the connection ends, so that a limit of connections is one of requests."""

    def parse_header(self, header_plus: bytes) -> None:
        try:
            super().parse_header(header_plus)
        except ValueError as problem:  # of the standard library, about an address
            raise ParsingError("Bad URI") from problem
        self.headers = {**self.headers, "CONNECTION": "close"}


class _OneAnswer(HTTPChannel):
    parser_class = _OneRequest


class _ForStrangers(TcpWSGIServer):
    channel_class = _OneAnswer


class WebServer:
    """A running server. Port 0 takes a free one; ``name`` is for its thread, its answers and its errors.

    Without ``limits`` its clients are trusted: they keep their connections, and as long as they like.
    """

    def __init__(
        self,
        app: WSGIApplication,
        name: str,
        host: str,
        port: int,
        *,
        largest: int = 1 << 20,
        limits: ConnectionLimits | None = STRANGERS,
    ) -> None:
        self._map: dict[int, Any] = {}
        self._limits = limits
        try:
            server: Any = self._listen(app, name, host, port, largest)
        except OSError as problem:
            wasyncore.close_all(self._map)
            raise ConfigurationError(
                f"port {port} for {name} cannot be used: {problem.strerror}", hint="choose another, or 0"
            ) from problem
        self._server = server
        self.port = int(server.effective_port)
        self.url = f"http://{host}:{self.port}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _listen(self, app: WSGIApplication, name: str, host: str, port: int, largest: int) -> object:
        kind = TcpWSGIServer if self._limits is None else _ForStrangers
        limits = self._limits or STRANGERS
        return kind(
            app,
            host=host,
            port=port,
            map=self._map,
            threads=limits.threads,
            ident=name,
            max_request_body_size=largest,
            # Room is made below; what waitress does at its own limit is to let nobody in.
            connection_limit=limits.connections + 10,
            # The application knows whom it believes.
            clear_untrusted_proxy_headers=False,
        )

    def _run(self) -> None:
        try:
            while self._map:
                wasyncore.loop(timeout=_LOOK_SECONDS, use_poll=True, map=self._map, count=1)
                if self._limits is not None:
                    self._make_room(self._limits)
        except OSError:
            if self._map:  # closed under a waiting poll is the way out, anything else is not
                raise

    def _make_room(self, limits: ConnectionLimits) -> None:
        """End connections whose time is over; and the oldest of those too many, but for those being answered.

        They are closed here and at once: waitress closes a connection when it can write to it, which one whose client
        reads nothing never becomes.
        """
        there = list(self._server.active_channels.values())  # the oldest first
        over = [each for each in there if time.time() - each.creation_time > limits.seconds]
        waiting = [each for each in there if not each.requests and each not in over]
        too_many = max(len(there) - len(over) - limits.connections, 0)
        for channel in (*over, *waiting[:too_many]):
            channel.handle_close()

    def close(self) -> None:
        """Stop listening and end the thread."""
        try:
            self._server.trigger.pull_trigger(self._shut)
        except OSError:
            if self._map:  # the thread may have been awake already, and have shut down before it was woken
                raise
        self._thread.join(timeout=10)

    def _shut(self) -> None:
        for channel in list(self._server.active_channels.values()):
            channel.handle_close()  # with what it has not sent
        for channel in list(self._map.values()):
            channel.close()
        self._map.clear()
        self._server.task_dispatcher.shutdown(timeout=2)

    def __enter__(self) -> WebServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
