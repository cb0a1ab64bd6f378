"""Credentials: the Authorization header of a request, and renewing the token behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Protocol

import httpx2
from pydantic import SecretStr

from replicator import exchange_limits, proxies_and_tls
from replicator.connectors.odata.answers import Answer, error_of, hidden, longest_looked_at, longest_message
from replicator.connectors.odata.odata_settings import Bearer, ClientCredentials, ODataSettings
from replicator.connectors.odata.retry_after import pause
from replicator.errors import AccessDenied, CredentialsRefused, NotSent, ReplicatorError, Throttled
from replicator.text import visible

Clock = Callable[[], datetime]
"""The time now, aware, in UTC."""
renew_before = timedelta(seconds=120)
"""A token is renewed this long before it ends, so that it does not end on the way."""
largest_answer = 2**20
"""Bytes of an issuer's answer, which holds a token and little else."""
check_issuer = "check token_url; 'replicator run' tries it again by itself"
"""What to do next where the answer is not that of a token issuer."""


class Credentials(Protocol):
    """Where the Authorization header comes from."""

    def header(self) -> str | None:
        """The header's value, None for none. Raises CredentialsRefused, Throttled or NotSent."""

    def renew(self, refused: str | None) -> bool:
        """Whether there is another header than the ``refused`` one to try; fetches a token if need be."""

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown or kept, should it come back."""


class GivenToken:
    """A token that somebody else sees to; without one there is no header."""

    def __init__(self, token: SecretStr | None) -> None:
        self._token = token

    def header(self) -> str | None:
        """The header of the token as it is given now."""
        return None if self._token is None else f"Bearer {self._token.get_secret_value()}"

    def renew(self, refused: str | None) -> bool:
        """Whether another one was given meanwhile."""
        return self.header() != refused

    def secrets(self) -> tuple[str, ...]:
        """The token."""
        return () if self._token is None else (self._token.get_secret_value(),)


class ClientCredentialsToken:
    """A token fetched with a client's own secret; one thread fetches, the others wait for it, and share its failure."""

    def __init__(
        self, settings: ODataSettings, auth: ClientCredentials, transport: httpx2.BaseTransport | None, clock: Clock
    ) -> None:
        from authlib.integrations.httpx_client import OAuth2Client  # slow to import, and not every system needs it

        self._auth = auth
        self._clock = clock
        self._longest_pause = settings.longest_pause_seconds
        self._seconds = settings.timeout_seconds
        self._lock = Lock()
        self._tokens: deque[str] = deque(maxlen=3)
        self._failures = 0
        self._failed: ReplicatorError | None = None
        self._header = ""
        self._until: datetime | None = None
        ways = proxies_and_tls.ways_to(auth.token_url, transport)
        self._client = OAuth2Client(
            client_id=auth.client_id,
            client_secret=auth.client_secret.get_secret_value(),
            scope=auth.scope,
            token_endpoint_auth_method="client_secret_post",  # noqa: S106 (the name of a method)
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [_refuse_packed]},
            transport=ways.transport,
            mounts=ways.mounts,
            timeout=settings.timeout_seconds,
        )

    def header(self) -> str | None:
        """The header of a token that is good for a while yet."""
        with self._alone():
            if self._until is None or self._clock() >= self._until:
                self._fetch()
            return self._header

    def renew(self, refused: str | None) -> bool:
        """Fetch a new token, unless another thread has done so since ``refused`` was used."""
        with self._alone():
            if self._header == refused:
                self._fetch()
            return self._header != refused

    def secrets(self) -> tuple[str, ...]:
        """The client's secret, and the latest tokens."""
        return (self._auth.client_secret.get_secret_value(), *tuple(self._tokens))

    def close(self) -> None:
        """Release the connection to the token's issuer."""
        self._client.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One thread at a time. Who waited while another one fetched in vain does not wait as long once more."""
        failures = self._failures
        with self._lock:
            if self._failed is not None and self._failures != failures:
                raise self._failed
            self._failed = None
            try:
                yield
            except ReplicatorError as error:
                self._failures += 1
                self._failed = error
                raise

    def _fetch(self) -> None:
        now = self._clock()
        token = self._ask()
        text, seconds = token.get("access_token"), token.get("expires_in", 3600)
        if not isinstance(text, str) or not text.isascii() or not text.isprintable():
            raise NotSent(f"{self._auth.token_url}: the answer holds no token", hint=check_issuer)
        self._tokens.append(text)
        self._header = f"Bearer {text}"
        self._until = now + max(timedelta(seconds=_lifetime(seconds)) - renew_before, timedelta(seconds=1))

    def _ask(self) -> dict[str, Any]:
        """The issuer's answer. Every failure here is one before the real request: nothing was sent to the system."""
        from authlib.integrations.base_client import OAuthError

        where = self._auth.token_url
        try:
            with exchange_limits.exchange(self._seconds, largest_answer) as bounds:
                self._client.client_secret = self._auth.client_secret.get_secret_value()  # it may be another one by now
                token: dict[str, Any] = self._client.fetch_token(where, grant_type="client_credentials")
        except OAuthError as error:
            raise CredentialsRefused(
                f"{where}: the client {self._auth.client_id} gets no token: {self._shown(str(error))}",
                hint="check client_id, client_secret and scope",
            ) from None
        except httpx2.HTTPStatusError as error:
            raise self._refusal(error.response) from None
        except httpx2.HTTPError as error:
            raise NotSent(f"{where}: no answer ({bounds.excess or type(error).__name__})") from None
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise NotSent(f"{where}: the answer is not that of a token issuer", hint=check_issuer) from None
        return token

    def _refusal(self, response: httpx2.Response) -> Exception:
        where = self._auth.token_url
        if response.status_code == 429:
            wait = pause(response.headers.get("retry-after"), self._clock(), self._longest_pause)
            return Throttled(f"{where}: throttling and {wait}", retry_after=wait.seconds)
        answer = Answer(response.status_code, {}, b"")
        error = error_of(answer, where, self._clock(), self._longest_pause, self._shown)
        if isinstance(error, AccessDenied):
            return CredentialsRefused(error.message, hint=error.hint)
        return NotSent(f"{where}: {response.status_code}", hint=check_issuer)

    def _shown(self, text: str) -> str:
        return visible(hidden(text[:longest_looked_at], self.secrets()))[:longest_message]


def _refuse_packed(response: httpx2.Response) -> None:
    """Packed answers were not asked for, and could unpack to any size."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise httpx2.DecodingError("packed")


def _lifetime(seconds: object) -> float:
    """Seconds a token lives: some issuers send a text. What is not understood counts as an hour."""
    try:
        value = float(seconds)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return 3600.0
    return min(max(value, 0.0), 86400.0)


def credentials(settings: ODataSettings, transport: httpx2.BaseTransport | None, clock: Clock) -> Credentials:
    """The credentials that the settings describe."""
    auth = settings.auth
    if isinstance(auth, ClientCredentials):
        return ClientCredentialsToken(settings, auth, transport, clock)
    return GivenToken(auth.token if isinstance(auth, Bearer) else None)
