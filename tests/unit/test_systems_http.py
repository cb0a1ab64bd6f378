"""The shared HTTP side against hand-made answers: errors, tokens, counting, page links."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from replicator.connectors.odata.http import Http, LostAnswer, budget_header
from replicator.connectors.odata.odata_settings import DataverseSettings
from replicator.connectors.odata.paging import sheets
from replicator.connectors.odata.request_slots import Slots
from replicator.errors import AccessDenied, NotSent, SystemUnavailable, Throttled, UnexpectedAnswer

Handler = Callable[[httpx2.Request], httpx2.Response]
SECRET = "s3cr3t-of-this-test"
OAUTH = {
    "kind": "client_credentials",
    "token_url": "https://login.test/token",
    "client_id": "me",
    "client_secret": SECRET,
    "scope": "all",
}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2024, 5, 6, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def http(handler: Handler, clock: Clock | None = None, **more: Any) -> Http:
    settings = DataverseSettings.model_validate({"kind": "dataverse", "url": "https://sales.test", **more})
    return Http("sales", settings, "/api", transport=httpx2.MockTransport(handler), clock=clock or Clock())


def fails(error: type[Exception]) -> Handler:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise error("Connection trouble")

    return handler


@pytest.mark.parametrize("error", [httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout])
def test_what_was_never_sent(error: type[Exception]) -> None:
    with pytest.raises(NotSent):
        http(fails(error)).send("GET", "https://sales.test/api/x", "x")


@pytest.mark.parametrize(
    "error", [httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError]
)
def test_what_may_have_been_done(error: type[Exception]) -> None:
    with pytest.raises(LostAnswer):
        http(fails(error)).send("POST", "https://sales.test/api/x", "x")


class Dripping(httpx2.SyncByteStream):
    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return self.pieces


def test_a_cut_body_is_a_lost_answer() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"{"
        raise httpx2.ReadError("cut")

    with pytest.raises(LostAnswer):
        http(lambda _: httpx2.Response(200, stream=Dripping(pieces()))).send("GET", "https://sales.test/api", "x")


def test_a_body_that_drips_for_ever_ends() -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b" "

    drip = http(lambda _: httpx2.Response(200, stream=Dripping(pieces())), answer_seconds=0.05)
    with pytest.raises(LostAnswer, match="did not end"):
        drip.send("GET", "https://sales.test/api", "x")


def test_a_body_without_end_is_refused() -> None:
    with pytest.raises(UnexpectedAnswer, match="larger than 10 bytes"):
        http(lambda _: httpx2.Response(200, content=b"x" * 11), answer_bytes=10).send("GET", "https://sales.test/", "x")


def test_a_body_that_cannot_be_unpacked() -> None:
    answer = httpx2.Response(200, headers={"Content-Encoding": "gzip"}, stream=Dripping(iter([b"no gzip"])))
    with pytest.raises(UnexpectedAnswer, match="unpacked"):
        http(lambda _: answer).send("GET", "https://sales.test/", "x")


def test_redirects_are_not_followed() -> None:
    with pytest.raises(UnexpectedAnswer):
        http(lambda _: httpx2.Response(302, headers={"Location": "https://evil.test/"})).send("GET", "https://s/", "x")


def test_requests_are_counted_and_the_budget_remembered() -> None:
    headers = {"x-ms-ratelimit-burst-remaining-xrm-requests": "5999"}
    client = http(lambda _: httpx2.Response(200, headers=headers))
    assert (client.requests, client.budget) == (0, None)
    client.send("GET", "https://sales.test/api/x", "x")
    assert (client.requests, client.budget) == (1, 5999)


class Issuer:
    """A token issuer and a system that knows only its newest token."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seen: list[str] = []
        self.answer: Callable[[], httpx2.Response] = self.good
        self.accept: Callable[[str], bool] = lambda header: header == f"Bearer token-{self.tokens}"

    def good(self) -> httpx2.Response:
        self.tokens += 1
        return httpx2.Response(200, json={"access_token": f"token-{self.tokens}", "expires_in": 3600})

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "login.test":
            assert SECRET in request.content.decode()
            return self.answer()
        self.seen.append(request.headers["authorization"])
        return httpx2.Response(200 if self.accept(self.seen[-1]) else 401)


def test_a_token_is_used_until_shortly_before_its_end() -> None:
    issuer, clock = Issuer(), Clock()
    client = http(issuer, clock, auth=OAUTH)
    for seconds in (0, 1000, 2000, 500):
        clock.now += timedelta(seconds=seconds)
        client.send("GET", "https://sales.test/api/x", "x")
    assert issuer.seen == ["Bearer token-1"] * 3 + ["Bearer token-2"]
    assert client.requests == 4


def test_a_token_that_is_refused_is_renewed_once() -> None:
    issuer = Issuer()
    client = http(issuer, auth=OAUTH)
    client.send("GET", "https://sales.test/api/x", "x")
    issuer.tokens += 1  # the system forgets it
    client.send("GET", "https://sales.test/api/x", "x")
    assert issuer.seen[1:] == ["Bearer token-1", "Bearer token-3"]
    issuer.accept = lambda _: False
    with pytest.raises(AccessDenied):
        client.send("GET", "https://sales.test/api/x", "x")
    assert len(issuer.seen) == 5


def test_threads_share_one_token() -> None:
    issuer = Issuer()
    client = http(issuer, auth=OAUTH)
    threads = [threading.Thread(target=client.send, args=("GET", "https://sales.test/api/x", "x")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert issuer.tokens == 1
    assert len(issuer.seen) == 8


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx2.Response(401, json={"error": "invalid_client", "error_description": f"bad {SECRET}"}), AccessDenied),
        (httpx2.Response(403, text="no"), AccessDenied),
        (httpx2.Response(500, text="oops"), NotSent),
        (httpx2.Response(200, text="<html>"), NotSent),
        (httpx2.Response(200, json={"token": "x"}), NotSent),
        (httpx2.Response(200, json={"access_token": "a\nb"}), NotSent),
        (httpx2.Response(200, json=["x"]), NotSent),
        (httpx2.Response(429, headers={"Retry-After": "5"}), Throttled),
    ],
)
def test_a_token_that_is_not_given(answer: httpx2.Response, kind: type[Exception]) -> None:
    issuer = Issuer()
    issuer.answer = lambda: answer
    with pytest.raises(kind) as caught:
        http(issuer, auth=OAUTH).send("GET", "https://sales.test/api/x", "x")
    assert SECRET not in str(caught.value)
    assert issuer.seen == []


def test_an_issuer_that_cannot_be_reached() -> None:
    with pytest.raises(NotSent, match=r"login\.test"):
        http(fails(httpx2.ReadTimeout), auth=OAUTH).send("GET", "https://sales.test/api/x", "x")


def test_the_token_never_travels_to_another_host() -> None:
    client = http(lambda _: httpx2.Response(200), auth={"kind": "bearer", "token": SECRET})
    for link in (
        "https://evil.test/api/x",
        "//evil.test/x",
        "http://sales.test/api",
        "https://sales.test:444/",
        "x://[",
    ):
        with pytest.raises(UnexpectedAnswer) as caught:
            client.same_origin(link)
        assert SECRET not in str(caught.value)
    assert client.same_origin("things?$skiptoken=a%20b") == "https://sales.test/api/things?$skiptoken=a%20b"
    assert client.place("https://SALES.test:443/api/things?$deltatoken=1%2108") == "/api/things?$deltatoken=1%2108"


def pages_of(*links: str | None) -> Handler:
    """A system whose nth page carries the nth link."""
    answers = iter(links)

    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"value": [], "@odata.nextLink": next(answers)})

    return handler


def read_all(client: Http) -> int:
    return len(list(sheets(client, "https://sales.test/api/things", {}, "things")))


def test_pages_are_read_to_the_end() -> None:
    assert read_all(http(pages_of("?p=2", "https://sales.test/api/things?p=3", None))) == 3


@pytest.mark.parametrize(
    "links", [("things",), ("?p=2", "?p=3", "?p=2"), ("?p=2", "https://sales.test/api/things?p=2")]
)
def test_a_page_link_that_loops_names_set_and_page(links: tuple[str, ...]) -> None:
    with pytest.raises(UnexpectedAnswer, match=rf"things, page {len(links) + 1}: .* circle"):
        read_all(http(pages_of(*links)))


def test_pages_without_end() -> None:
    with pytest.raises(UnexpectedAnswer, match="things, page 4: more pages"):
        read_all(http(pages_of(*(f"?p={number}" for number in range(9))), pages_per_read=3))


@pytest.mark.parametrize(
    "body",
    [{}, {"value": 5}, {"value": [5]}, {"value": [], "@odata.nextLink": 5}, {"value": [], "@odata.nextLink": ""}],
)
def test_a_page_that_is_none(body: dict[str, object]) -> None:
    with pytest.raises(UnexpectedAnswer, match="things, page 1"):
        read_all(http(lambda _: httpx2.Response(200, json=body)))


def test_a_read_that_breaks_off_raises() -> None:
    with pytest.raises(SystemUnavailable):
        read_all(http(fails(httpx2.ReadTimeout)))


def served(answer: bytes) -> Iterator[str]:
    """The address of a real server that takes one request, answers this and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
        b"this is not HTTP\r\n\r\n",
    ],
)
def test_a_connection_that_is_cut(answer: bytes) -> None:
    for url in served(answer):
        client = Http("sales", DataverseSettings(kind="dataverse", url=url), "/api")
        with pytest.raises(LostAnswer):
            client.send("GET", client.url("x"), "x")
        client.close()


def test_a_system_that_does_not_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    client = Http("sales", DataverseSettings(kind="dataverse", url=url), "/api")
    with pytest.raises(NotSent):
        client.send("GET", client.url("x"), "x")
    client.close()


def test_a_system_that_keeps_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        client = Http("sales", DataverseSettings(kind="dataverse", url=url, timeout_seconds=0.1), "/api")
        with pytest.raises(LostAnswer):
            client.send("GET", client.url("x"), "x")
        client.close()


def test_while_a_pause_lasts_nothing_is_sent_and_reading_and_writing_pause_apart() -> None:
    clock, asked = Clock(), []

    def handler(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.method)
        first = asked.count("POST") == 1 and request.method == "POST"
        return httpx2.Response(429, headers={"Retry-After": "20"}) if first else httpx2.Response(204)

    system = http(handler, clock)
    for passed in (0, 0, 15):
        clock.now += timedelta(seconds=passed)
        with pytest.raises(Throttled, match="asks for a pause of 20 s") as caught:
            system.send("POST", "https://sales.test/api/x", "x", writes=True)
        assert caught.value.retry_after == 20 - passed
    system.send("GET", "https://sales.test/api/x", "x")
    assert asked == ["POST", "GET"]
    clock.now += timedelta(seconds=5)
    system.send("POST", "https://sales.test/api/x", "x", writes=True)
    assert asked == ["POST", "GET", "POST"]


@pytest.mark.parametrize(
    ("left", "allowed"), [(None, 4), (6000, 4), (40, 4), (39, 3), (20, 2), (19, 1), (1, 1), (0, 1)]
)
def test_the_fewer_requests_are_left_the_fewer_go_out_at_once(left: int | None, allowed: int) -> None:
    slots = Slots(4)
    if left is not None:
        slots.note(left)
    assert slots.allowed == allowed


def test_when_few_requests_are_left_they_go_out_one_by_one_until_more_are() -> None:
    now, most, budget = 0, 0, 5
    lock = threading.Lock()

    def handler(request: httpx2.Request) -> httpx2.Response:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        together.wait(0.05)
        with lock:
            now -= 1
        return httpx2.Response(200, headers={budget_header: str(budget)})

    together = threading.Event()
    client = http(handler, parallel_requests=4)

    def send_many() -> int:
        nonlocal most
        most = 0
        threads = [
            threading.Thread(target=client.send, args=("GET", "https://sales.test/api/x", "x")) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return most

    client.send("GET", "https://sales.test/api/x", "x")
    assert client.budget == 5
    assert send_many() == 1
    budget = 1000
    client.send("GET", "https://sales.test/api/x", "x")
    assert 1 < send_many() <= 4


@pytest.mark.parametrize(("headers", "paused"), [({"Retry-After": "60"}, True), ({}, False)])
def test_a_pause_that_comes_with_a_503_is_kept(headers: dict[str, str], paused: bool) -> None:
    """The request itself counts as not answered: with a 503 nobody knows."""
    clock = Clock()
    client = http(lambda _: httpx2.Response(503, headers=headers), clock)

    def send() -> None:
        client.send("POST", "https://sales.test/api/x", "x", writes=True)

    with pytest.raises(SystemUnavailable):
        send()
    with pytest.raises(Throttled if paused else SystemUnavailable):
        send()
    assert client.requests == (1 if paused else 2)
    clock.now += timedelta(seconds=61)
    with pytest.raises(SystemUnavailable):
        send()
