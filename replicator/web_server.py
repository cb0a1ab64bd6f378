"""Serving a WSGI application on a socket, in a thread of its own; with TLS where it has a certificate."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
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


class ServerCertificate:
    """A certificate and its key in files. Renewed ones are taken for the connections that come after.

    Raises ConfigurationError where they cannot be read, or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._files = (certificate, key)
        try:
            self._made_of, self._context = self._stamps(), self._load()
        except OSError as problem:  # SSLError is one
            raise ConfigurationError(
                f"the certificate {certificate} with the key {key} cannot be used: {problem.strerror or problem}",
                hint="both are PEM files, the key without a password, and they belong together",
            ) from None

    def context(self) -> ssl.SSLContext:
        """For the next connection; while the files cannot be read, as they were before."""
        with suppress(OSError):
            if (found := self._stamps()) != self._made_of:
                self._made_of, self._context = found, self._load()
        return self._context

    def _stamps(self) -> list[tuple[int, int]]:
        return [(found.st_mtime_ns, found.st_ino) for found in (each.stat() for each in self._files)]

    def _load(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._files, password="")  # else OpenSSL would ask for one at the terminal
        return context


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


class _Encrypted(_OneAnswer):
    """A connection with TLS. What that waits for beneath shows as nothing read, or nothing sent."""

    socket: ssl.SSLSocket
    _is_greeted = False

    def handle_read(self) -> None:
        try:
            if not self._is_greeted:
                self.socket.do_handshake()
                self._is_greeted = True
            while self.readable() and (data := self.socket.recv(self.adj.recv_bytes)):
                self.last_activity = time.time()
                self.received(data)
        except ssl.SSLWantReadError:
            return
        except OSError:  # SSLError is one
            self.handle_close()
            return
        if self.readable():
            self.handle_close()  # the other side has

    def send(self, data: bytes, do_close: bool = True) -> int:
        try:
            return int(super().send(data, do_close=do_close))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0


class _ForStrangers(TcpWSGIServer):
    channel_class = _OneAnswer


class _ByTls(TcpWSGIServer):
    channel_class = _Encrypted
    certificate: ServerCertificate

    def accept(self) -> tuple[socket.socket, Any] | None:
        """The next connection; its greeting comes with what is read of it, so that it keeps nobody waiting."""
        found = super().accept()
        if found is None:
            return None
        connected, address = found
        connected.setblocking(False)
        context = self.certificate.context()
        return context.wrap_socket(connected, server_side=True, do_handshake_on_connect=False), address


class WebServer:
    """A running server. Port 0 takes a free one; ``name`` is for its thread, its answers and its errors.

    Without ``limits`` its clients are trusted: they keep their connections, and as long as they like. With a
    ``certificate`` it speaks TLS, and to strangers.
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
        certificate: ServerCertificate | None = None,
    ) -> None:
        self._map: dict[int, Any] = {}
        self._limits = limits
        try:
            server: Any = self._listen(app, name, host, port, largest, certificate)
        except OSError as problem:
            wasyncore.close_all(self._map)
            raise ConfigurationError(
                f"port {port} for {name} cannot be used: {problem.strerror}", hint="choose another, or 0"
            ) from problem
        self._server = server
        self.port = int(server.effective_port)
        self.url = f"{'http' if certificate is None else 'https'}://{host}:{self.port}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _listen(
        self, app: WSGIApplication, name: str, host: str, port: int, largest: int, certificate: ServerCertificate | None
    ) -> object:
        plain = TcpWSGIServer if self._limits is None else _ForStrangers
        kind = plain if certificate is None else _ByTls
        limits = self._limits or STRANGERS
        server: Any = kind(
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
        server.certificate = certificate
        return server  # nobody is let in before the thread runs

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
