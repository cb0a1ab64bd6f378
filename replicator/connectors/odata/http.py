"""The HTTP side that connectors share: one client, its credentials, and answers read to their end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from threading import Lock
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import httpx2

from replicator import proxies_and_tls
from replicator.connectors.meter import count
from replicator.connectors.odata.answers import Answer, error_of, hidden
from replicator.connectors.odata.auth import ClientCredentialsToken, Clock, credentials
from replicator.connectors.odata.odata_settings import ODataSettings
from replicator.connectors.odata.request_slots import Slots
from replicator.connectors.odata.retry_after import Pause, pause
from replicator.connectors.protocol import shown
from replicator.errors import NotSent, SystemUnavailable, Throttled, Transient, UnexpectedAnswer
from replicator.exchange_limits import Exchange, exchange
from replicator.text import visible

Take = Callable[[httpx2.Response, Exchange], bytes]
"""Takes the body of an answer as it comes, and returns what is kept of it in memory. Raises OSError out of bounds."""
budget_header = "x-ms-ratelimit-burst-remaining-xrm-requests"
before_sending = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)


class LostAnswer(SystemUnavailable):
    """The request went out and no whole answer came: a write in it may or may not have been done."""


def utc_now() -> datetime:
    """The time now, aware."""
    return datetime.now(UTC)


class Http:
    """One system's HTTP side; safe for several threads.

    ``service`` is the path of the service under the system's address ("/data"). ``requests`` counts what was sent,
    tokens apart; ``budget`` is the last number of requests that the system said are left (None: it never did), and
    with few of them fewer go out at once;
    ``skew`` are the seconds by which its clock was ahead in the last answer.
    """

    def __init__(
        self,
        name: str,
        settings: ODataSettings,
        service: str,
        *,
        transport: httpx2.BaseTransport | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.root = settings.url if settings.url.endswith(service) else settings.url + service
        self.requests = 0
        self.skew: float | None = None
        self._lock = Lock()
        self._pauses: dict[bool, tuple[datetime, Throttled]] = {}
        # A pool's own limit would let waiting requests run into a timeout; this one lets them wait.
        self._slots = Slots(settings.parallel_requests)
        self._concealed: set[str] = set()
        self._credentials = credentials(settings, transport, clock)
        ways = proxies_and_tls.ways_to(self.root, transport)
        self._client = httpx2.Client(
            transport=ways.transport,
            mounts=ways.mounts,
            timeout=httpx2.Timeout(settings.timeout_seconds, connect=min(settings.timeout_seconds, 10.0)),
            follow_redirects=False,
        )

    @property
    def budget(self) -> int | None:
        """The last number of requests that the system said are left."""
        return self._slots.left

    def close(self) -> None:
        """Release connections."""
        self._client.close()
        if isinstance(self._credentials, ClientCredentialsToken):
            self._credentials.close()

    def url(self, path: str) -> str:
        """The address of ``path``, which is relative to the service."""
        return f"{self.root}/{path}"

    def hide(self, text: str) -> str:
        """A text of the system without our credentials, and what else is concealed: it may repeat them."""
        return hidden(text, (*self._credentials.secrets(), *self._concealed))

    def conceal(self, secret: str) -> None:
        """Show this nowhere, though it is about to be sent."""
        self._concealed.add(secret)

    def place(self, url: str) -> str:
        """Path and query of an address, without its host. Raises UnexpectedAnswer for another origin."""
        parts = urlsplit(self.same_origin(url))
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def same_origin(self, link: str, base: str | None = None) -> str:
        """A link of the system as an address; a relative one starts at ``base`` (default: the service).

        Raises UnexpectedAnswer where it leads to another origin.

        Following it there would hand the credentials to whoever wrote the link.
        """
        try:
            url = urljoin(base or self.root + "/", link)
            origin = _origin(url)
        except ValueError:
            raise UnexpectedAnswer(f"{self.name}: the answer holds a link that is no address") from None
        if origin != _origin(self.root):
            scheme, host, port = origin
            there = shown(self.hide(f"{scheme}://{host}:{port}"))
            raise UnexpectedAnswer(
                f"{self.name}: the answer holds a link to another host, {there}, which is not followed",
                hint="where the system really has that address, write it as its url in the configuration",
            )
        return url

    def send(
        self,
        method: str,
        url: str,
        what: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        writes: bool = False,
    ) -> Answer:
        """Send one request and return its good answer (2xx), read to its end. ``what`` names it in errors.

        Nothing is sent while a pause that the system asked for lasts: it would only be refused. Reading and writing
        (``writes``) pause apart, so that a storm of writes holds up no reading.

        Raises NotSent, LostAnswer, SystemUnavailable, Throttled, AccessDenied, RequestRefused, UnexpectedAnswer.
        """
        what = f"{self.name}: {what}"
        self._keep_pause(writes)
        authorization = self._credentials.header()
        answer = self._exchange(method, url, what, headers or {}, content, authorization)
        # 401 means that nothing was done, so that sending again is safe, also for writes.
        if answer.status == 401 and self._credentials.renew(authorization):
            answer = self._exchange(method, url, what, headers or {}, content, self._credentials.header())
        error = error_of(answer, what, self.clock(), self.settings.longest_pause_seconds, self.hide)
        self.note_pause(answer.status, answer.headers, what, writes=writes)
        if error is not None:
            raise error
        return answer

    def download(self, url: str, what: str, file: BinaryIO) -> Answer:
        """Copy what lies under an address of another host into ``file``; the answer itself has no body.

        The address is a secret that opens it for whoever has it: our own credentials do not go there, it stands in no
        error, and an answer that is not good is the caller's to judge. Only a 200 is copied.

        Raises SystemUnavailable, UnexpectedAnswer, and Transient where the file cannot be written.
        """
        what = f"{self.name}: {what}"
        if not self._is_safe(url):
            raise UnexpectedAnswer(f"{what}: the address that the system gave for it is not one of https")
        try:
            return self._exchange("GET", url, what, {}, None, None, partial(_into, file, what))
        except NotSent as error:  # which would be said of the system itself, and that may be well
            hint = "it lies on a host of its own, which this machine has to reach, too"
            raise SystemUnavailable(error.message, hint=hint) from None
        except (LostAnswer, UnexpectedAnswer) as error:
            hint = "it is asked for again; what is so large needs more answer_bytes and answer_seconds for this system"
            raise type(error)(error.message, hint=hint) from None

    def _is_safe(self, url: str) -> bool:
        """Whether an address can be kept secret on the way: https, or plain where our own credentials go so, too."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        plain = self.settings.allow_plain_http or proxies_and_tls.is_loopback(parts.hostname or "")
        return parts.scheme in (("https", "http") if plain else ("https",)) and parts.username is None

    def note_pause(self, status: int, headers: Mapping[str, str], what: str, *, writes: bool) -> Pause | None:
        """Keep the pause that an answer, or a part of one, asks for: a 429 always does, a 503 where it says how long.

        Returns the pause.
        """
        asked = headers.get("retry-after")
        if status != 429 and not (status == 503 and asked):
            return None
        wait = pause(asked, self.clock(), self.settings.longest_pause_seconds)
        problem = Throttled(f"{what}: the system is throttling and {wait}", retry_after=wait.seconds)
        self._pauses[writes] = self.clock() + timedelta(seconds=wait.seconds), problem
        return wait

    def _keep_pause(self, writes: bool) -> None:
        until, asked = self._pauses.get(writes, (None, None))
        if until is None or asked is None:
            return
        left = (until - self.clock()).total_seconds()
        if 0 < left <= asked.retry_after:  # more is left where the clock was set back
            raise Throttled(asked.message, retry_after=left)

    def paused_until(self) -> datetime | None:
        """When the longer of the pauses ends that the system asked for; None when it asked for none."""
        ends = [until for until, _ in list(self._pauses.values()) if until > self.clock()]
        return max(ends, default=None)

    def _exchange(
        self,
        method: str,
        url: str,
        what: str,
        headers: Mapping[str, str],
        content: bytes | None,
        auth: str | None,
        take: Take | None = None,
    ) -> Answer:
        sent = dict(headers) if auth is None else {**headers, "Authorization": auth}
        with self._lock:
            self.requests += 1
        count(requests=1)
        with (
            self._slots.one(),
            exchange(self.settings.answer_seconds, self.settings.answer_bytes) as bounds,
        ):
            stream = partial(self._client.stream, method, url, headers=sent, content=content)
            return self._whole(stream, url, what, bounds, take)

    def _whole(
        self,
        stream: Callable[[], AbstractContextManager[httpx2.Response]],
        url: str,
        what: str,
        bounds: Exchange,
        take: Take | None,
    ) -> Answer:
        try:
            with stream() as response:
                if take is None:  # what other hosts say is not about the system
                    self._note_budget(response.headers.get(budget_header, ""))
                    self._note_clock(response.headers.get("date", ""))
                found = {name.lower(): visible(self.hide(value)) for name, value in response.headers.items()}
                try:
                    return Answer(response.status_code, found, (take or _body)(response, bounds))
                finally:
                    count(received=response.num_bytes_downloaded)
        except before_sending as error:
            host = urlsplit(url).netloc
            raise NotSent(
                f"{what}: {host} cannot be reached ({type(error).__name__})",
                hint="check the system's url, and that it is up",
            ) from error
        except httpx2.InvalidURL as error:
            raise UnexpectedAnswer(f"{what}: the address is not one") from error
        except httpx2.DecodingError as error:
            raise UnexpectedAnswer(f"{what}: the answer cannot be unpacked") from error
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            raise self._broken_off(what, bounds, error) from error

    def _broken_off(self, what: str, bounds: Exchange, error: Exception) -> SystemUnavailable | UnexpectedAnswer:
        """The error for an answer that did not come whole."""
        if bounds.is_large:
            return UnexpectedAnswer(
                f"{what}: the answer is larger than {bounds.size} bytes",
                hint="ask for fewer records_per_read, or allow more answer_bytes for this system",
            )
        if bounds.is_late:
            return LostAnswer(
                f"{what}: the answer did not end in {bounds.seconds:g} s",
                hint="ask for fewer records_per_read, or allow more answer_seconds for this system",
            )
        return LostAnswer(f"{what}: no whole answer ({type(error).__name__})")

    def _note_budget(self, left: str) -> None:
        if left.isascii() and left.isdecimal():
            self._slots.note(int(left[:18]))

    def _note_clock(self, told: str) -> None:
        with suppress(ValueError, TypeError):
            self.skew = (parsedate_to_datetime(told) - self.clock()).total_seconds()


def _body(response: httpx2.Response, bounds: Exchange) -> bytes:
    """The body, unpacked piece by piece: also then it keeps within the bounds. Raises OSError where it does not."""
    pieces = []
    for piece in response.iter_bytes():
        pieces.append(piece)
        bounds.count_unpacked(len(piece))
    return b"".join(pieces)


def _into(file: BinaryIO, what: str, response: httpx2.Response, bounds: Exchange) -> bytes:
    """Write the body of a good answer into a file, within the same bounds; nothing of it stays in memory."""
    if response.status_code == 200:
        for piece in response.iter_bytes():
            bounds.count_unpacked(len(piece))
            try:
                file.write(piece)
            except OSError as error:  # of our disk, not of the line
                hint = "make room where temporary files lie (TMPDIR); it is asked for again"
                raise Transient(f"{what}: cannot be kept on this machine: {error.strerror}", hint=hint) from error
    return b""


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    ports = {"http": 80, "https": 443}
    return parts.scheme, (parts.hostname or "").lower(), parts.port or ports.get(parts.scheme)
