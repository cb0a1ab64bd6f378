"""A system that takes every write and answers at once: a Dataverse's ``$batch`` without rules, in a process of its own.

Whoever reads it is shown nothing.
It prints the port that it listens on, and ends with its parent.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

_etags = itertools.count(1)
_records: dict[bytes, dict[str, object]] = {}

_PART = re.compile(
    rb"Content-ID: (\d+)\r\n\r\n\w+ \S+?/\w+\(([0-9a-f-]+)\)\?\$select=(\S+) HTTP/1\.1\r\n.*?\r\n\r\n"
    rb"(\{[^\r]*\})?",
    re.DOTALL,
)
_POINTS_AT = re.compile(r"(\w+)@odata\.bind")
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NOTHING = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{"value":[]}'
_PART_HEAD = b"--%b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: %b\r\n\r\n"


class Sink(asyncio.Protocol):
    """One connection: requests in, answers out."""

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self.buffer += data
        assert self.transport is not None
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.buffer, 0, end)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < whole:
                return
            request, body, self.buffer = self.buffer[:4], self.buffer[end + 4 : whole], self.buffer[whole:]
            self.transport.write(_NOTHING if request == b"GET " else _answer(body))


def _answer(body: bytes) -> bytes:
    """Every write is done; those of a change set come back as one."""
    pieces: list[bytes] = []
    for number, item in enumerate(_items(body)):
        answers = [_done(part) for part in _PART.finditer(item)]
        if b"boundary=" in item[:200]:
            inner = b"set%d" % number
            pieces.append(b'--b\r\nContent-Type: multipart/mixed; boundary="%b"\r\n\r\n' % inner)
            pieces += [_PART_HEAD % (inner, content_id) + answer for content_id, answer in answers]
            pieces.append(b"--%b--\r\n" % inner)
        else:
            pieces += [_PART_HEAD % (b"b", content_id) + answer for content_id, answer in answers]
    content = b"".join(pieces) + b"--b--\r\n"
    head = b'HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary="b"\r\nContent-Length: %d\r\n\r\n'
    return head % len(content) + content


def _items(body: bytes) -> list[bytes]:
    boundary = body[: body.find(b"\r\n")]
    return body.split(boundary)[1:-1]


def _done(part: re.Match[bytes]) -> tuple[bytes, bytes]:
    """What the record is now."""
    content_id, key, select, sent = part.groups()
    names = select.decode().split(",")
    record = _records.setdefault(key, dict.fromkeys(names) | {names[0]: key.decode()})
    for name, value in msgspec.json.decode(sent or b"{}").items():
        points_at = _POINTS_AT.fullmatch(name)
        record[f"_{points_at[1]}_value" if points_at else name] = value.split("(")[1][:-1] if points_at else value
    shown = msgspec.json.encode({"@odata.etag": f'W/"{next(_etags)}"', **record})
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return content_id, head % len(shown) + shown + b"\r\n"


@contextmanager
def sink() -> Iterator[str]:
    """The address of a sink, for a while."""
    command = [sys.executable, "-m", __name__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Sink, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
