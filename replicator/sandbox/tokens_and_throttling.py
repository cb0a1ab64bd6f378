"""Who may call and how often: fixed or issued tokens, and request budgets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Literal

from replicator.sandbox.odata_http import Call, RefusalError, Reply, parse_query, to_json
from replicator.sandbox.system_options import Options, Throttle


class Guard:
    """Checks tokens and budgets; the caller holds the lock."""

    def __init__(
        self, options: Options, system: Literal["sales", "ops"], clock: Callable[[], datetime], random: Random
    ):
        self._options = options
        self._system = system
        self._clock = clock
        self._random = random
        self._issued: dict[str, datetime] = {}
        self._recent: deque[datetime] = deque()

    def token(self, call: Call) -> Reply:
        """Answer a request for a token by client credentials."""
        client = self._options.client
        if client is None or call.method != "POST":
            raise RefusalError(404, "There is no token service here.")
        form = parse_query(call.body.decode("utf-8", "replace"))
        if form.get("grant_type") != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", "The grant type is not supported.")
        if (form.get("client_id"), form.get("client_secret")) != (client.client_id, client.client_secret):
            return _oauth_error(401, "invalid_client", "The client id or its secret is not valid.")
        value = f"{self._random.getrandbits(256):064x}"
        lifetime = client.token_lifetime_seconds
        self._issued[value] = self._clock() + timedelta(seconds=lifetime)
        body = {"token_type": "Bearer", "expires_in": max(int(lifetime), 1), "access_token": value}
        return Reply(200, to_json(body), {"Cache-Control": "no-store"}, "application/json")

    def admit(self, call: Call) -> None:
        """Refuse a call without a good token."""
        if self._options.token is None and self._options.client is None:
            return
        kind, _, value = (call.header("authorization") or "").partition(" ")
        value = value.strip()
        fixed = self._options.token is not None and value == self._options.token
        issued = value in self._issued and self._clock() < self._issued[value]
        if kind.lower() != "bearer" or not (fixed or issued):
            message = "HTTP Error 401 - Unauthorized: Access is denied"
            raise RefusalError(401, message, "0x80040220", WWW_Authenticate='Bearer error="invalid_token"')

    def spend(self) -> dict[str, str]:
        """Count a request against the budget; the headers that tell what is left."""
        throttle = self._options.throttle
        if throttle is None:
            return {}
        now = self._clock()
        span = timedelta(seconds=throttle.seconds)
        while self._recent and now - self._recent[0] >= span:
            self._recent.popleft()
        if len(self._recent) >= throttle.requests:
            wait = (self._recent[0] + span - now).total_seconds()
            raise self._exceeded(throttle, max(1, -int(-wait // 1)))
        self._recent.append(now)
        left = throttle.requests - len(self._recent)
        return {"x-ms-ratelimit-burst-remaining-xrm-requests": str(left)} if self._system == "sales" else {}

    def _exceeded(self, throttle: Throttle, wait: int) -> RefusalError:
        if self._system == "ops":
            message = (
                "This request could not be processed at this time due to system experiencing high resource utilization."
            )
            return RefusalError(429, message, Retry_After=str(wait))
        message = (
            f"Number of requests exceeded the limit of {throttle.requests} "
            f"over time window of {throttle.seconds:g} seconds."
        )
        left = {"x-ms-ratelimit-burst-remaining-xrm-requests": "0"}
        return RefusalError(429, message, "0x80072322", Retry_After=str(wait), **left)


def _oauth_error(status: int, error: str, description: str) -> Reply:
    body = {"error": error, "error_description": description}
    return Reply(status, to_json(body), {}, "application/json")
