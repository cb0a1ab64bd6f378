"""Where the console may listen, and what it says of an address that it does not take."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from replicator.config import ConsoleSettings, split_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:8080", "127.0.0.1", 8080), ("[::1]:0", "::1", 0), ("localhost:80", "127.0.0.1", 80)],
)
def test_an_address_is_taken_apart(text: str, host: str, port: int) -> None:
    assert split_address(text) == (host, port)
    assert ConsoleSettings(listen=text).is_private


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "127.0.0.1", "::1:80", "127.0.0.1:99999", "hub.example.com:80", "[::1"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ConsoleSettings(listen=text)


@pytest.mark.parametrize(("text", "everywhere"), [("0.0.0.0:80", True), ("[::]:80", True), ("10.0.0.1:80", False)])
def test_an_address_that_others_reach_is_not_private(text: str, everywhere: bool) -> None:
    settings = ConsoleSettings(listen=text)
    assert (settings.is_private, settings.is_everywhere) == (False, everywhere)


def test_there_is_one_way_in() -> None:
    with pytest.raises(ValidationError, match="not both"):
        ConsoleSettings.model_validate({"token": "x" * 16, "identity_header": "X-User"})


@pytest.mark.parametrize(
    ("text", "origin"),
    [("https://hub.example.com", "https://hub.example.com"), ("HTTPS://Hub.Example.com:443/", "https://hub.example.com"),
     ("http://hub.example.com:8080", "http://hub.example.com:8080"), ("https://[2001:db8::1]", "https://[2001:db8::1]")],
)  # fmt: skip
def test_a_url_of_the_console_is_kept_as_browsers_write_it(text: str, origin: str) -> None:
    assert ConsoleSettings(urls=(text,)).urls == (origin,)


@pytest.mark.parametrize(
    "text", ["hub.example.com", "ftp://hub.example.com", "https://hub.example.com/console", "https://a:b@hub.example.com",
             "https://hub.example.com?x=1", "https://", ""]
)  # fmt: skip
def test_what_is_no_url_of_the_console_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="not https://NAME"):
        ConsoleSettings(urls=(text,))


@pytest.mark.parametrize("text", ["proxy.example.com", "10.0.0.5/8", "10.0.0", ""])
def test_what_is_no_address_of_a_proxy_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        ConsoleSettings.model_validate({"proxies": [text]})
