"""Sends webhooks from a thread of its own, as an asynchronous service does: one after the other, each twice at most."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import httpx2

from replicator.sandbox.odata_http import to_json

_SECONDS = 60.0
"""In which a receiver has to answer."""
_AGAIN = frozenset({502, 503, 504})
"""After these it is tried once more; after anything else that is no success it has failed."""


@dataclass(frozen=True)
class Webhook:
    """One call. The key is sent in the address."""

    url: str
    key: str
    headers: Mapping[str, str]
    body: Mapping[str, object]
    correlation: str


class WebhookSender:
    """Sends what it is given; ``count`` hears ``webhook`` for each, and ``failed webhook`` for those that failed."""

    def __init__(self, count: Callable[[str], None]) -> None:
        self._count = count
        self._waiting: queue.SimpleQueue[Webhook | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def send(self, webhook: Webhook) -> None:
        """Send it soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="webhooks", daemon=True)
            self._thread.start()
        self._waiting.put(webhook)

    def close(self) -> None:
        """Send what is waiting no more."""
        if self._thread is not None:
            while not self._waiting.empty():
                self._waiting.get()
            self._waiting.put(None)
            self._thread.join(timeout=10)

    def _run(self) -> None:
        with httpx2.Client(timeout=_SECONDS, trust_env=False) as client:
            while (webhook := self._waiting.get()) is not None:
                self._count("webhook")
                if not self._is_taken(client, webhook):
                    self._count("failed webhook")

    @staticmethod
    def _is_taken(client: httpx2.Client, webhook: Webhook) -> bool:
        headers = {**webhook.headers, "x-ms-correlation-request-id": webhook.correlation,
                   "Content-Type": "application/json"}  # fmt: skip
        body = to_json({**webhook.body, "CorrelationId": webhook.correlation}).encode()
        for _ in range(2):
            try:
                answer = client.post(webhook.url, params={"code": webhook.key}, headers=headers, content=body)
            except (httpx2.HTTPError, httpx2.InvalidURL):
                return False
            if answer.status_code not in _AGAIN:
                return answer.is_success
        return False
