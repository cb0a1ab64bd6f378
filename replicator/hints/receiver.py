"""The receiver of hints: a WSGI application that believes whoever knows the key, and keeps of a request no more than
which entity sets it means.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import structlog

from replicator.config import HintsSettings
from replicator.hints.named_sets import TABLE, meant
from replicator.hints.request_rate import RequestRate
from replicator.mapping.schema import EntitySet

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGEST = (256 + 64) << 10
"""Bytes: of an event that is larger than 256 KiB the systems send the names alone, with something around them."""
_REFUSALS_SECONDS = 60.0
"""So often at most the log says that somebody was refused."""
_PATH = "/hints/"
Answer = tuple[HTTPStatus, Mapping[str, str]]


class Receiver:
    """Answers ``POST /hints/<system>``. ``add`` gets the system and the sets that are due; ``clock`` only grows.

    Who does not know the key has a rate of his own, so that he takes nothing from those who do.
    """

    def __init__(
        self, sets: Mapping[str, Sequence[EntitySet]], settings: HintsSettings,
        add: Callable[[str, Collection[str]], None], *, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._sets, self._settings, self._add = sets, settings, add
        self._rates = {known: RequestRate(settings.per_second, clock) for known in (True, False)}
        self._told = RequestRate(1 / _REFUSALS_SECONDS, clock)
        self._log = structlog.get_logger("replicator")

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, headers = self._answer(environ)
        lines = [("Content-Length", "0"), ("Cache-Control", "no-store"), *headers.items()]
        start_response(f"{status.value} {status.phrase}", lines)
        return []

    def _answer(self, environ: Mapping[str, Any]) -> Answer:
        if environ["REQUEST_METHOD"] != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": "POST"}
        is_known = self._knows_key(environ)
        if wait := self._rates[is_known].wait():
            return HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(math.ceil(wait))}
        if not is_known:
            self._log_refusal(environ)
            return HTTPStatus.UNAUTHORIZED, {}
        path = str(environ.get("PATH_INFO", ""))
        system = path.removeprefix(_PATH)
        if not path.startswith(_PATH) or system not in self._sets:
            return HTTPStatus.NOT_FOUND, {}
        length = _length(environ)
        if length > LARGEST:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {}
        table = str(environ.get(TABLE, "")).strip()
        self._add(system, meant(self._sets[system], table, lambda: environ["wsgi.input"].read(length)))
        return HTTPStatus.ACCEPTED, {}

    def _knows_key(self, environ: Mapping[str, Any]) -> bool:
        """Compared as digests, so that the time tells nothing, nor how long the key is."""
        own = sha256(self._settings.key.get_secret_value().encode()).digest()
        return any(hmac.compare_digest(sha256(each).digest(), own) for each in _keys(environ))

    def _log_refusal(self, environ: Mapping[str, Any]) -> None:
        if not self._told.wait():
            address = environ.get("REMOTE_ADDR")
            self._log.warning("hint", outcome="refused", why="wrong key", address=address)


def _keys(environ: Mapping[str, Any]) -> list[bytes]:
    """What a request shows as the key: one in the header, or one in the address."""
    shown = [str(environ.get("HTTP_X_REPLICATOR_KEY", "")).encode("latin-1", "replace")]
    query = str(environ.get("QUERY_STRING", "")).encode("latin-1", "replace")
    try:
        asked = parse_qs(query, max_num_fields=20)
    except ValueError:
        asked = {}
    return [*shown, *asked.get(b"code", [])[:1]]


def _length(environ: Mapping[str, Any]) -> int:
    told = str(environ.get("CONTENT_LENGTH") or "0")
    return int(told) if told.isascii() and told.isdecimal() and len(told) < 10 else LARGEST + 1
