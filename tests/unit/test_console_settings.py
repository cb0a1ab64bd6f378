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
