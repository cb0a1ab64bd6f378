"""A server with a certificate, over real sockets: what comes by TLS, and who comes without and keeps nobody out."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from replicator.errors import ConfigurationError
from replicator.web_server import ConnectionLimits, ServerCertificate, WebServer
from tests.fixtures.certificates import certify
from tests.fixtures.commands import until
from tests.integration.test_serving import MANY, clients

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """What was sent, twice."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Length", str(2 * len(body)))])
    return [body, body]


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return certify(tmp_path / "server.pem")


@pytest.fixture
def server(pem: Path) -> Iterator[WebServer]:
    limits = ConnectionLimits(seconds=5)
    certificate = ServerCertificate(pem, pem)
    with WebServer(echo, "door", "127.0.0.1", 0, limits=limits, certificate=certificate) as server:
        yield server


def echoed(server: WebServer, trusted: Path, body: bytes) -> bool:
    """Whether somebody who trusts this certificate gets his answer."""
    trust = ssl.create_default_context(cafile=str(trusted))
    with httpx2.Client(verify=trust, trust_env=False, timeout=5) as client:
        return client.post(server.url, content=body).content == body * 2


@pytest.mark.parametrize("size", [0, 1, 16 << 10, 700 << 10])
def test_what_is_sent_over_tls_comes_whole_and_so_does_the_answer(server: WebServer, pem: Path, size: int) -> None:
    assert server.url.startswith("https://")
    assert echoed(server, pem, bytes(range(256)) * (size // 256) + b"x" * (size % 256))


def test_who_greets_in_the_clear_or_not_at_all_keeps_nobody_out(server: WebServer, pem: Path) -> None:
    with clients(server.port) as idle:
        idle.connect(MANY)
        assert echoed(server, pem, b"hello")
    with clients(server.port) as plain:
        plain.connect(3, b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: plain.ended() == 3, patience=10, what="the end of those without TLS")
        assert echoed(server, pem, b"hello")
    with clients(server.port) as half:
        half.connect(3, b"\x16\x03\x01\x02\x00\x01")
        until(lambda: half.ended() == 3, patience=10, what="the end of greetings that do not end")
        assert echoed(server, pem, b"hello")


def test_who_has_gone_before_he_is_let_in_does_no_harm(server: WebServer, pem: Path) -> None:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"something")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset at its end
    assert echoed(server, pem, b"hello")


def test_a_renewed_certificate_is_taken_and_half_of_one_is_waited_for(
    server: WebServer, pem: Path, tmp_path: Path
) -> None:
    old = Path(shutil.copy(pem, tmp_path / "old.pem"))
    pem.write_text("half of it", encoding="utf-8")
    assert echoed(server, old, b"hello")
    certify(pem)
    assert echoed(server, pem, b"hello")
    with pytest.raises(httpx2.ConnectError):
        echoed(server, old, b"hello")


def test_files_that_are_no_certificate_are_refused_in_words(pem: Path, tmp_path: Path) -> None:
    other = certify(tmp_path / "other.pem")
    none = tmp_path / "none.pem"
    for key in (other, none, Path(__file__)):
        with pytest.raises(ConfigurationError, match=f"the certificate {pem} with the key {key} cannot be used"):
            ServerCertificate(pem, key)
