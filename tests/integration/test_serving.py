"""Clients that are slow on purpose, over real sockets: they keep nobody else out."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx2
import pytest

from replicator.web_server import ConnectionLimits, WebServer
from tests.fixtures.commands import until

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MANY = 250
"""More connections than a server takes at once."""
LONG = b"x" * (200 << 10)


def page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """A long answer."""
    start_response("200 OK", [("Content-Length", str(len(LONG)))])
    return [LONG]


class Clients:
    """Connections that are opened and then do little."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.sockets: list[socket.socket] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(self, number: int, first: bytes = b"") -> None:
        """Open so many; each says something first."""
        for _ in range(number):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(10)
            client.connect(("127.0.0.1", self._port))
            client.sendall(first)
            self.sockets.append(client)

    def drip(self) -> None:
        """Say one more letter of the request from time to time, on every connection."""

        def more() -> None:
            while not self._stop.wait(0.1):
                for client in self.sockets:
                    with contextlib.suppress(OSError):
                        client.sendall(b"x")

        self._thread = threading.Thread(target=more, daemon=True)
        self._thread.start()

    def ended(self) -> int:
        """How many of them the server has closed."""
        return sum(map(is_closed, self.sockets))

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        for client in self.sockets:
            client.close()


def is_closed(client: socket.socket) -> bool:
    """Whether the other side has closed it; what it has sent is left where it is."""
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def clients(port: int) -> Iterator[Clients]:
    found = Clients(port)
    try:
        yield found
    finally:
        found.close()


def answered(url: str) -> bool:
    """Whether somebody with an ordinary request is answered soon."""
    return httpx2.get(url, trust_env=False, timeout=5).content == LONG


def test_hundreds_of_idle_connections_keep_nobody_out() -> None:
    with WebServer(page, "door", "127.0.0.1", 0) as server, clients(server.port) as idle:
        idle.connect(MANY)
        assert answered(server.url)


def test_hundreds_of_requests_that_drip_keep_nobody_out() -> None:
    with WebServer(page, "door", "127.0.0.1", 0) as server, clients(server.port) as dripping:
        dripping.connect(MANY, b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
        dripping.drip()
        for _ in range(5):
            assert answered(server.url)


def test_forms_that_never_end_keep_nobody_out() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    with WebServer(page, "door", "127.0.0.1", 0) as server, clients(server.port) as posting:
        posting.connect(MANY, head)
        posting.drip()
        assert answered(server.url)


def test_clients_that_never_read_their_answers_keep_nobody_out() -> None:
    with WebServer(page, "door", "127.0.0.1", 0) as server, clients(server.port) as deaf:
        deaf.connect(MANY, b"GET / HTTP/1.1\r\n\r\n")
        for _ in range(5):
            assert answered(server.url)


def test_clients_that_ask_hundreds_of_times_and_read_no_answer_hold_no_thread() -> None:
    """Unread answers beyond some megabytes would be waited for by the threads that give them."""

    def long_page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] != "/long":
            return page(environ, start_response)
        start_response("200 OK", [("Content-Length", str(25 * len(LONG)))])
        return [LONG] * 25

    with WebServer(long_page, "door", "127.0.0.1", 0) as server, clients(server.port) as deaf:
        deaf.connect(8, b"GET /long HTTP/1.1\r\n\r\n" * 300)
        for _ in range(10):
            assert answered(server.url)


@pytest.mark.parametrize(
    "first", [b"", b"GET / HTTP/1.1\r\nX-Long: ", b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n",
              b"GET / HTTP/1.1\r\n\r\n"],
    ids=["idle", "head", "body", "answer"],
)  # fmt: skip
def test_a_connection_ends_when_its_time_is_over_however_busy_it_looks(first: bytes) -> None:
    limits = ConnectionLimits(seconds=0.5)
    with WebServer(page, "door", "127.0.0.1", 0, limits=limits) as server, clients(server.port) as slow:
        slow.connect(3, first)
        if not first.endswith(b"GET / HTTP/1.1\r\n\r\n"):
            slow.drip()
            until(lambda: slow.ended() == 3, patience=10, what="the end of all connections")
        else:
            until(lambda: not server._server.active_channels, patience=10, what="the end of all connections")


def test_who_is_being_answered_is_not_sent_away_for_others() -> None:
    asked, go_on = threading.Event(), threading.Event()

    def slow_page(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked.set()
        assert go_on.wait(20)
        return page(environ, start_response)

    with WebServer(slow_page, "door", "127.0.0.1", 0, limits=ConnectionLimits(connections=5)) as server:
        found: list[bool] = []
        patient = threading.Thread(
            target=lambda: found.append(httpx2.get(server.url, trust_env=False, timeout=30).content == LONG)
        )
        patient.start()
        assert asked.wait(10)
        with clients(server.port) as idle:
            idle.connect(20)
            until(lambda: idle.ended() == 16, patience=10, what="the end of those too many")
            go_on.set()
            patient.join()
        assert found == [True]


def test_a_connection_is_for_one_request() -> None:
    with WebServer(page, "door", "127.0.0.1", 0) as server, clients(server.port) as one:
        since = time.monotonic()
        one.connect(1, b"GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        with one.sockets[0].makefile("rb") as stream:
            told = stream.read()
        assert told.count(b"HTTP/1.1 200 OK") == 1
        assert b"Connection: close" in told
        assert time.monotonic() - since < 5
