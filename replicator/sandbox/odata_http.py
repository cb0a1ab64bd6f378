"""HTTP as the sandbox sees it: calls, answers, refusals, preferences, JSON and the key syntax of OData addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import simplejson


@dataclass(frozen=True)
class Call:
    """One request, or one operation of a batch. ``path`` is decoded and starts below the service root."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    root: str

    def header(self, name: str) -> str | None:
        """A header by its lower-case name."""
        return self.headers.get(name)

    @property
    def preferences(self) -> dict[str, str]:
        """The preferences of the Prefer header; a bare one has an empty value."""
        return parse_preferences(self.headers.get("prefer", ""))

    def at(self, url: str, method: str, headers: Mapping[str, str], body: bytes) -> Call:
        """An operation inside this batch, at an address that is absolute, rooted or relative to the service root."""
        parts = urlsplit(url)
        path = parts.path
        rooted = urlsplit(self.root).path
        if path.startswith(rooted):
            path = path[len(rooted) :]
        return replace(
            self,
            method=method,
            path=unquote(path).strip("/"),
            query=parse_query(parts.query),
            headers=headers,
            body=body,
        )


@dataclass(frozen=True)
class Reply:
    """What goes back: a status, headers, and text or nothing; ``data`` in its place where that is no text."""

    status: int
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json; odata.metadata=minimal"
    data: bytes = b""


class RefusalError(Exception):
    """A request or operation the system does not carry out."""

    def __init__(self, status: int, message: str, code: str = "", **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class BadJsonError(ValueError):
    """A body that is not a JSON object."""


class BadAddressError(ValueError):
    """An address that cannot be read."""


def parse_query(text: str) -> dict[str, str]:
    """Query options; ``+`` means a space."""
    return dict(parse_qsl(text, keep_blank_values=True))


_preference = re.compile(r'\s*([^=;,\s]+)\s*(?:=\s*("[^"]*"|[^;,]*))?')


def parse_preferences(text: str) -> dict[str, str]:
    """The Prefer header as names and values."""
    return {name.lower(): value.strip().strip('"') for name, value in _preference.findall(text)}


def _no_constant(name: str) -> Any:
    raise BadJsonError(f"{name} is not JSON")


def from_json(text: str | bytes) -> Any:
    """JSON with decimals kept exact."""
    try:
        return simplejson.loads(text, use_decimal=True, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BadJsonError(str(error)) from error


def to_json(value: object) -> str:
    """JSON text, decimals as they are, everything outside ASCII escaped so that any text travels."""
    return simplejson.dumps(value, use_decimal=True, separators=(",", ":"))


def json_object(body: bytes) -> dict[str, Any]:
    """The body as an object."""
    value = from_json(body or b"{}")
    if not isinstance(value, dict):
        raise BadJsonError("the body is not an object")
    return value


_segment = re.compile(r"(?P<name>[^(/]+)(?:\((?P<key>(?:[^'()]|'(?:[^']|'')*')*)\))?(?:/|$)")


def parse_path(path: str) -> list[tuple[str, str | None]]:
    """Segments of an address with what stands in their brackets; quoted text may hold anything."""
    segments: list[tuple[str, str | None]] = []
    position = 0
    while position < len(path):
        match = _segment.match(path, position)
        if match is None:
            raise BadAddressError(path)
        segments.append((match["name"], match["key"]))
        position = match.end()
    return segments


_key_part = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_][\w.]*)\s*=\s*)?(?:(?P<type>[A-Za-z_][\w.]*)?'(?P<text>(?:[^']|'')*)'|(?P<bare>[^,'\s]+))\s*(?:,|$)"
)


def parse_key(text: str) -> list[tuple[str | None, str]]:
    """The parts of a key: name (none for the bare form) and value, doubling undone, enumeration prefix dropped."""
    return [(name, value) for name, _, value in parse_typed_key(text)]


def parse_typed_key(text: str) -> list[tuple[str | None, str, str]]:
    """The parts of a key: name (none for the bare form), the enumeration before a quoted symbol or "", and value."""
    parts: list[tuple[str | None, str, str]] = []
    position = 0
    while position < len(text):
        match = _key_part.match(text, position)
        if match is None:
            raise BadAddressError(text)
        quoted = match["text"]
        value = match["bare"] if quoted is None else quoted.replace("''", "'")
        parts.append((match["name"], match["type"] or "", value))
        position = match.end()
    return parts
