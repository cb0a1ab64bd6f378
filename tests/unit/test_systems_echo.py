"""Systems and issuers that repeat our credentials, or send what a terminal would obey: none of it is shown or kept."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest

from replicator.connectors.dataverse import Dataverse
from replicator.connectors.odata.answers import hidden
from replicator.connectors.odata.odata_settings import DataverseSettings
from replicator.connectors.protocol import Outcome, Rejected, Write
from replicator.errors import CredentialsRefused, ReplicatorError
from replicator.mapping.language import EntitySetSpec, SystemField
from tests.fixtures.peers import Talk, peer, requests

TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.abc+d/e-" + "Zz9_" * 300
SECRET = "s3cr3t/of+this=test~" + "QqWw" * 5
Echo = Callable[[dict[str, str]], tuple[bytes, bytes]]
"""From the headers of a request to the headers and the body of the answer."""
THINGS = EntitySetSpec(
    entity_set="things", description="", key=("id",), fields={"id": SystemField(type="uuid"), "colour": SystemField()}
)


def refusing(status: int, echo: Echo) -> Talk:
    def talk(connection: socket.socket) -> None:
        for headers, _ in requests(connection):
            more, body = echo(headers)
            head = b"HTTP/1.1 %d Words\r\n%bContent-Length: %d\r\n\r\n" % (status, more, len(body))
            connection.sendall(head + body)

    return talk


def told(message: str) -> bytes:
    """A refusal of OData, every character beyond letters and digits escaped as some writers of JSON do."""
    escaped = "".join(each if each.isalnum() and each.isascii() else f"\\u{ord(each):04x}" for each in message)
    return b'{"error": {"code": "0x1", "message": "%b"}}' % escaped.encode()


JSON = b"Content-Type: application/json\r\n"
ECHOES: dict[str, Echo] = {
    "the header": lambda headers: (JSON, told(f"bad request: Authorization: {headers['authorization']}")),
    "the token alone": lambda headers: (JSON, told(f"bad token '{headers['authorization'][7:]}'")),
    "the token where a long message is cut": lambda headers: (JSON, told("word " * 380 + headers["authorization"][7:])),
    "half of the token": lambda headers: (JSON, told(f"bad token {headers['authorization'][7:300]}...")),
    "the type of the content": lambda headers: (
        b"Content-Type: " + headers["authorization"][7:].encode() + b"/x\r\n",
        b"no",
    ),
}


def of(port: int, auth: dict[str, Any]) -> Dataverse:
    url = f"http://127.0.0.1:{port}"
    return Dataverse("sales", DataverseSettings.model_validate({"kind": "dataverse", "url": url, "auth": auth}))


def is_clean(text: str) -> bool:
    """Nothing of a secret, not even some characters of it in a row."""
    return not any(secret[at : at + 12] in text for secret in (TOKEN, SECRET) for at in range(len(secret) - 12))


@pytest.mark.parametrize("status", [400, 401, 403, 500])
@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_a_token_that_a_refusal_repeats_is_not_told(echo: Echo, status: int) -> None:
    with peer(refusing(status, echo)) as system:
        connector = of(system.port, {"kind": "bearer", "token": TOKEN})
        with pytest.raises(ReplicatorError) as caught:
            list(connector.read(THINGS, None))
        connector.close()
    assert is_clean(str(caught.value))
    assert "***" in str(caught.value)


def outcome(echo: Echo, colour: str = "red") -> Outcome:
    """What becomes of a write that a part of a batch refuses."""

    def in_a_batch(headers: dict[str, str]) -> tuple[bytes, bytes]:
        more, body = echo(headers)
        part = b"Content-Type: application/http\r\n\r\nHTTP/1.1 400 No\r\n" + more + b"\r\n" + body
        return b"Content-Type: multipart/mixed; boundary=b\r\n", b"--b\r\n" + part + b"\r\n--b--\r\n"

    with peer(refusing(200, in_a_batch)) as system:
        connector = of(system.port, {"kind": "bearer", "token": TOKEN})
        ((found,),) = connector.apply([(Write(THINGS, "update", (UUID(int=1),), {"colour": colour}),)])
        connector.close()
    return found


@pytest.mark.parametrize("echo", [echo for name, echo in ECHOES.items() if "type" not in name])
def test_a_token_that_a_part_of_a_batch_repeats_is_not_kept(echo: Echo) -> None:
    found = outcome(echo)
    assert isinstance(found, Rejected)
    assert "***" in found.message
    assert is_clean(found.message)


@pytest.mark.parametrize("as_sent", [True, False])
def test_a_secret_that_an_issuer_repeats_is_not_told(as_sent: bool) -> None:
    """As the form had it, percent-encoded, or as it is."""

    def talk(connection: socket.socket) -> None:
        for _, body in requests(connection):
            form = body.decode()
            words = form if as_sent else parse_qs(form)["client_secret"][0]
            answer = json.dumps({"error": "invalid_client", "error_description": f"bad request: {words}"}).encode()
            head = b"HTTP/1.1 401 No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
            connection.sendall(head + answer)

    with peer(talk) as issuer:
        auth = {
            "kind": "client_credentials", "client_id": "me", "client_secret": SECRET, "scope": "all",
            "token_url": f"http://127.0.0.1:{issuer.port}/token",
        }  # fmt: skip
        connector = of(issuer.port, auth)
        with pytest.raises(CredentialsRefused, match=r"bad request: .*\*\*\*") as caught:
            list(connector.read(THINGS, None))
        connector.close()
    assert is_clean(str(caught.value))
    assert "s3cr3t" not in str(caught.value)


def test_words_that_are_no_secret_stay() -> None:
    words = 'Bearer authorization_uri="https://login.example.com" is missing; basic data of the customer'
    assert hidden(words, ["a-secret-of-nobody"]) == words


OBEYED = "\x1b[2J\r\n\x9b31m \u202eesrever\u2066 \u200b\ufeff\u2028 \x00 \ud800 Ünïcødé 値"
WRITTEN_OUT = r"\x1b[2J\r\n\x9b31m \u202eesrever\u2066 \u200b\ufeff\u2028 \x00 \ud800 Ünïcødé 値"


def test_what_a_terminal_would_obey_is_written_out_where_a_refusal_is_told_or_kept() -> None:
    def echo(headers: dict[str, str]) -> tuple[bytes, bytes]:
        return JSON, told(OBEYED)

    found = outcome(echo)
    assert isinstance(found, Rejected)
    assert found.message == WRITTEN_OUT
    with peer(refusing(400, echo)) as system:
        connector = of(system.port, {"kind": "none"})
        with pytest.raises(ReplicatorError) as caught:
            list(connector.read(THINGS, None))
        connector.close()
    assert WRITTEN_OUT in caught.value.message
