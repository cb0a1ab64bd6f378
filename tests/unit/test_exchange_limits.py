"""Peers that drip, pour or keep silent, on real sockets: every wait ends, and every size."""

from __future__ import annotations

import datetime
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from replicator.config import EmailSettings, NotifySettings
from replicator.connectors.odata.http import Http, LostAnswer
from replicator.connectors.odata.odata_settings import DataverseSettings
from replicator.connectors.odata.paging import sheets
from replicator.errors import ConfigurationError, NotSent, ReplicatorError, SystemUnavailable, UnexpectedAnswer
from replicator.operate import receivers
from replicator.operate.receivers import Message, senders
from replicator.proxies_and_tls import tls
from tests.fixtures.certificates import certify
from tests.fixtures.peers import OK, Peer, Talk, answers, peer

SOON = 0.4
"""Seconds that are allowed here."""
PATIENCE = 20.0
"""Seconds after which a wait counts as one without end."""
pytestmark = pytest.mark.timeout(30)


def drip(connection: socket.socket, start: bytes, piece: bytes = b"x", pause: float = 0.02) -> None:
    """``start`` at once, then ``piece`` again and again, until the other side has gone."""
    connection.sendall(start)
    while True:
        connection.sendall(piece)
        time.sleep(pause)


def after_request(start: bytes, piece: bytes = b"x", pause: float = 0.02) -> Talk:
    def talk(connection: socket.socket) -> None:
        connection.recv(65536)
        drip(connection, start, piece, pause)

    return talk


EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
"""A block of deflate that unpacks to nothing."""
HANDSHAKE = b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"
"""How a long word of a TLS server begins."""
UNPACKS_TO_NOTHING = gzip.compress(b"")[:10]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


DRIPS = {
    "status line": after_request(b"HTTP/1.1 200 "),
    "header": after_request(OK + b"X-Slow: "),
    "interim answers": after_request(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "body": after_request(OK + b"Content-Length: 1000000\r\n\r\n"),
    "chunked body": after_request(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b" ")),
    "size of a chunk": after_request(OK + b"Transfer-Encoding: chunked\r\n\r\n1;"),
    "trailer": after_request(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Slow: "),
    "packed to nothing": after_request(
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(UNPACKS_TO_NOTHING),
        chunk(EMPTY_BLOCK),
    ),
}
FLOODS = {
    "interim answers": after_request(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, 0),
    "body": after_request(OK + b"\r\n", b" " * 65536, 0),
    "packed to nothing": after_request(
        OK + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(UNPACKS_TO_NOTHING),
        chunk(EMPTY_BLOCK * 10_000),
        0,
    ),
}


def http(port: int, scheme: str = "http", **more: Any) -> Http:
    url = f"{scheme}://127.0.0.1:{port}"
    return Http("sales", DataverseSettings.model_validate({"kind": "dataverse", "url": url, **more}), "/api")


@contextmanager
def in_time(seconds: float = PATIENCE) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


@pytest.mark.parametrize("talk", DRIPS.values(), ids=DRIPS)
def test_an_answer_that_drips_ends_wherever_it_drips(talk: Talk) -> None:
    with peer(talk) as system:
        client = http(system.port, answer_seconds=SOON)
        with in_time(), pytest.raises(LostAnswer, match=r"did not end in 0\.4 s") as caught:
            client.send("POST", client.url("x"), "x")
        assert "answer_seconds" in caught.value.hint
        client.close()


@pytest.mark.parametrize("talk", FLOODS.values(), ids=FLOODS)
def test_an_answer_without_end_is_refused_by_what_comes_not_only_by_what_it_unpacks_to(talk: Talk) -> None:
    with peer(talk) as system:
        client = http(system.port, answer_bytes=300_000, answer_seconds=60)
        with in_time(), pytest.raises(UnexpectedAnswer, match="larger than 300000 bytes") as caught:
            client.send("GET", client.url("x"), "x")
        assert "answer_bytes" in caught.value.hint
        client.close()


def test_a_small_answer_that_unpacks_to_a_large_one_is_refused() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    with peer(after_request(head + bomb)) as system:
        client = http(system.port, answer_bytes=1_000_000)
        with in_time(), pytest.raises(UnexpectedAnswer, match="larger than 1000000 bytes"):
            client.send("GET", client.url("x"), "x")
        client.close()


def test_a_system_that_takes_a_request_byte_by_byte_is_given_up() -> None:
    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        while connection.recv(20_000):
            time.sleep(0.02)

    with peer(talk) as system:
        client = http(system.port, answer_seconds=SOON)
        with in_time(), pytest.raises(LostAnswer, match="did not end"):
            client.send("POST", client.url("x"), "x", content=b"x" * 50_000_000)
        client.close()


def test_a_handshake_that_drips_ends_and_nothing_was_sent() -> None:
    def talk(connection: socket.socket) -> None:
        drip(connection, HANDSHAKE)

    with peer(talk) as system:
        client = http(system.port, "https", answer_seconds=SOON)
        with in_time(), pytest.raises(NotSent, match="cannot be reached"):
            client.send("POST", client.url("x"), "x")
        client.close()


@pytest.fixture
def secure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server on 127.0.0.1 speaks TLS with; clients trust it."""
    file = certify(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_certificates_that_cannot_be_read_are_named_with_their_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigurationError, match=f"SSL_CERT_FILE={tmp_path}/none"):
        tls()


def over_tls(context: ssl.SSLContext, talk: Talk) -> Talk:
    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as inside:
            talk(inside)

    return secured


@pytest.mark.parametrize("talk", [DRIPS["header"], DRIPS["chunked body"]])
def test_an_answer_that_drips_over_tls_ends(talk: Talk, secure: ssl.SSLContext) -> None:
    with peer(over_tls(secure, talk)) as system:
        client = http(system.port, "https", answer_seconds=SOON)
        with in_time(), pytest.raises(LostAnswer, match="did not end"):
            client.send("GET", client.url("x"), "x")
        client.close()


def test_an_answer_without_end_over_tls_is_refused(secure: ssl.SSLContext) -> None:
    with peer(over_tls(secure, FLOODS["interim answers"])) as system:
        client = http(system.port, "https", answer_bytes=300_000)
        with in_time(), pytest.raises(UnexpectedAnswer, match="larger than 300000 bytes"):
            client.send("GET", client.url("x"), "x")
        client.close()


def test_connections_over_tls_are_used_again(secure: ssl.SSLContext) -> None:
    with peer(over_tls(secure, answers(b"{}"))) as system:
        client = http(system.port, "https")
        for _ in range(3):
            assert client.send("POST", client.url("x"), "x", content=b"x" * 5_000_000).body == b"{}"
        assert system.connections == 1
        client.close()


def test_the_time_is_that_of_one_request_and_connections_are_used_again() -> None:
    with peer(answers(b"{}")) as system:
        client = http(system.port, answer_seconds=SOON)
        for _ in range(3):
            assert client.send("GET", client.url("x"), "x").body == b"{}"
            time.sleep(SOON)  # longer than one request may take
        assert system.connections == 1
        client.close()


SECRET = "s3cr3t-of-this-test"


def with_tokens(system: int, issuer: int, **more: Any) -> Http:
    auth = {
        "kind": "client_credentials",
        "token_url": f"http://127.0.0.1:{issuer}/token",
        "client_id": "me",
        "client_secret": SECRET,
        "scope": "all",
    }
    return http(system, auth=auth, **more)


NEVER_ASKED = answers(b"{}")
UNPACKED_TWICE = gzip.compress(gzip.compress(b" " * 300_000_000))


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        *((talk, r"not over in 0\.4 s") for talk in DRIPS.values() if talk is not DRIPS["packed to nothing"]),
        (FLOODS["interim answers"], "larger than|not over in"),
        (FLOODS["body"], "larger than|not over in"),
        (answers(UNPACKED_TWICE, b"Content-Encoding: gzip, gzip\r\n"), "DecodingError"),
    ],
)
def test_an_issuer_of_tokens_whose_answer_does_not_end_lets_everybody_go_in_time(talk: Talk, why: str) -> None:
    """All threads wait for one token, so that each of them would stand still for ever."""
    failures: list[ReplicatorError] = []

    def send() -> None:
        try:
            client.send("GET", client.url("x"), "x")
        except ReplicatorError as problem:
            failures.append(problem)

    with peer(NEVER_ASKED) as system, peer(talk) as issuer:
        client = with_tokens(system.port, issuer.port, timeout_seconds=SOON)
        threads = [threading.Thread(target=send, daemon=True) for _ in range(8)]
        with in_time():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        assert system.connections == 0
        client.close()
    assert [type(failure) for failure in failures] == [NotSent] * 8
    with pytest.raises(NotSent, match=why):
        raise failures[0]


MESSAGE = Message("appeared", "c1", "it is wrong", 3, datetime.datetime(2026, 11, 23, tzinfo=datetime.UTC), "A-1", "no")


@pytest.mark.parametrize("talk", [DRIPS["status line"], DRIPS["header"], DRIPS["interim answers"]])
def test_a_webhook_whose_answer_drips_is_given_up(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "_SECONDS", SOON, raising=False)
    with peer(talk) as hook:
        settings = NotifySettings.model_validate({"webhooks": [f"http://127.0.0.1:{hook.port}/secret"]})
        (send,) = senders(settings)
        with in_time(), pytest.raises(SystemUnavailable, match=r"not over in 0\.4 s") as caught:
            send(MESSAGE)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("talk", [DRIPS["body"], FLOODS["body"]])
def test_of_the_answer_of_a_webhook_only_the_status_is_read(talk: Talk) -> None:
    with peer(talk) as hook, in_time():
        (send,) = senders(NotifySettings.model_validate({"webhooks": [f"http://127.0.0.1:{hook.port}/"]}))
        send(MESSAGE)


def greets(word: bytes, then: Talk) -> Talk:
    """A mail server that behaves until it has been told ``word``."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"220 post\r\n")
        with connection.makefile("rb") as lines:
            while (line := lines.readline()) and line[:4].upper() != word:
                connection.sendall(b"250-post\r\n250 STARTTLS\r\n")
        then(connection)

    return talk


def answer_to_starttls(connection: socket.socket) -> None:
    connection.sendall(b"220 go on\r\n")
    connection.recv(65536)
    drip(connection, HANDSHAKE)


MAIL = {
    "greeting": lambda connection: drip(connection, b"220 "),
    "lines without end": greets(b"EHLO", lambda connection: drip(connection, b"", b"250-more\r\n" * 500, 0)),
    "a line that drips": greets(b"EHLO", lambda connection: drip(connection, b"250-")),
    "handshake": greets(b"STAR", lambda connection: answer_to_starttls(connection)),
}


@pytest.mark.parametrize("talk", MAIL.values(), ids=MAIL)
def test_a_mail_server_that_does_not_come_to_an_end_is_given_up(talk: Talk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receivers, "_SECONDS_MAIL", SOON, raising=False)
    with peer(talk) as server:
        email = EmailSettings(host="127.0.0.1", port=server.port, sender="hub@example.com", to=["it@example.com"])
        (send,) = senders(NotifySettings(email=email))
        with in_time(), pytest.raises(SystemUnavailable, match=r"did not take a message \((not over|larger)"):
            send(MESSAGE)


def proxied(monkeypatch: pytest.MonkeyPatch, proxy: Peer) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


TOKEN = b'{"access_token": "abc", "token_type": "Bearer", "expires_in": 3600}'


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_what_is_on_this_machine_is_never_asked_for_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    with peer(answers(TOKEN)) as here, peer(NEVER_ASKED) as proxy:
        proxied(monkeypatch, proxy)
        client = with_tokens(here.port, here.port, url=f"http://{host}:{here.port}")
        assert client.send("GET", client.url("x"), "x").body == TOKEN
        (send,) = senders(NotifySettings.model_validate({"webhooks": [f"http://{host}:{here.port}/"]}))
        send(MESSAGE)
        client.close()
        assert (here.connections, proxy.connections) == (3, 0)


def test_what_is_elsewhere_is_asked_for_through_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with peer(answers(TOKEN)) as proxy:
        proxied(monkeypatch, proxy)
        elsewhere: dict[str, Any] = {"allow_plain_http": True, "url": "http://sales.test"}
        auth = {"kind": "client_credentials", "token_url": "http://login.test/t", "client_id": "me", "scope": "all"}
        client = http(0, auth={**auth, "client_secret": SECRET}, **elsewhere)
        assert client.send("GET", client.url("x"), "x").body == TOKEN
        (send,) = senders(NotifySettings.model_validate({"webhooks": ["http://hooks.test/"]}))
        send(MESSAGE)
        client.close()
        assert proxy.connections == 3


def endless(connection: socket.socket) -> None:
    """A system whose every page has a link to another one."""
    page = 0
    while connection.recv(65536):
        page += 1
        body = b'{"value": [], "@odata.nextLink": "things?page=%d"}' % page
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize(
    ("bound", "words"), [({"read_seconds": SOON}, "not read in 0.4 s"), ({"pages_per_read": 20}, "more pages")]
)
def test_pages_that_never_end_are_given_up(bound: dict[str, Any], words: str) -> None:
    with peer(endless) as system:
        client = http(system.port, **bound)
        with in_time(), pytest.raises(UnexpectedAnswer, match=words) as caught:
            list(sheets(client, client.url("things"), {}, "things"))
        assert next(iter(bound)) in caught.value.hint
        client.close()
