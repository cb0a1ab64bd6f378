"""Who may see the console and decide in it: names of hosts, sessions, tokens of forms.

Nothing is kept on the server. A session is a signed cookie: who, since when, and a random number that the tokens of
the forms are bound to. Somebody who has not logged in yet has a session without a person, for the form of the login.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from itsdangerous import BadData, TimestampSigner, URLSafeTimedSerializer
from pydantic import IPvAnyNetwork
from werkzeug.exceptions import BadRequest, Forbidden
from werkzeug.wrappers import Request, Response

from replicator.config import ConsoleSettings, split_address

COOKIE = "replicator_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Where the browser came by TLS: with this name it takes it from nobody else, and gives it to nobody else."""
NOBODY_SAID = "console"
"""Who decides where the console asks nobody for a name: on loopback."""
FROM_PROXY = "werkzeug.proxy_fix.orig"
"""Where a request holds what it was before a proxy's words were believed."""
_LASTS_SECONDS = 12 * 3600
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS = {"https": 443, "http": 80}
_LONGEST_NAME = 100
_COOKIES, _FORMS = b"session", b"form"
"""What is signed for the one does not count as the other."""


@dataclass(frozen=True)
class Session:
    """One browser at work: the person's name, and what the forms of this session are signed with."""

    person: str
    """Empty: somebody who has to log in."""
    number: str
    is_new: bool = False


class _Signer(TimestampSigner):
    """Signs with the time of a given clock."""

    def __init__(self, *args: Any, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class Access:
    """Decides who is there. ``clock`` gives seconds."""

    def __init__(self, settings: ConsoleSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._token = settings.token.get_secret_value() if settings.token else None
        options = {"clock": clock, "digest_method": hashlib.sha256, "key_derivation": "hmac"}
        # Derived from the token: sessions outlive a restart, and end when the token is changed.
        key = self._token.encode() if self._token else secrets.token_bytes(32)
        self._people = URLSafeTimedSerializer(key, signer=_Signer, signer_kwargs=options)
        # Not derived from it: nobody is given anything to try guesses against at home.
        self._strangers = URLSafeTimedSerializer(secrets.token_bytes(32), signer=_Signer, signer_kwargs=options)
        own = split_address(settings.listen)[0]
        self._hosts = {own} if not settings.is_everywhere else set()
        if settings.is_private:
            self._hosts |= _LOOPBACK
        self._public = {_place(url) for url in settings.urls}

    @property
    def asks_for_token(self) -> bool:
        """Whether people log in here."""
        return self._token is not None

    def without_token(self, text: str) -> str:
        """A text for the log, which never has the token."""
        return text.replace(self._token, "(the token)") if self._token else text

    def is_proxy(self, address: object) -> bool:
        """Whether a proxy has this address that is believed what it says of those behind it."""
        return _is_in(address, self.settings.proxies)

    def check_host(self, request: Request) -> None:
        """Refuse names that are not the console's: a page elsewhere may have made its own name point here."""
        name, port = _host(request)
        known = name in self._hosts or any((scheme, name, port or _PORTS[scheme]) in self._public for scheme in _PORTS)
        if not known:
            raise BadRequest("This is not the console's name. Its configuration says by which names it is reached.")

    def session(self, request: Request) -> Session:
        """Who is there. Raises Forbidden where a proxy should have said who, and did not."""
        kept = self._read(request)
        if self._token is not None:
            return kept or Session("", secrets.token_urlsafe(16), is_new=True)
        person = NOBODY_SAID
        if self.settings.identity_header is not None:
            person = self._told(request, self.settings.identity_header)
        if kept is not None and kept.person == person:
            return kept
        return Session(person, secrets.token_urlsafe(16), is_new=True)

    def log_in(self, request: Request) -> Session | None:
        """The session of somebody who knows the token and says a name, which is not the token by mistake."""
        given = request.form.get("token", "").encode()
        person = _as_name(request.form.get("name", ""))
        if self._token is None or not hmac.compare_digest(given, self._token.encode()):
            return None
        if not person or self._token in person:
            return None
        return Session(person, secrets.token_urlsafe(16), is_new=True)

    def keep(self, response: Response, session: Session, request: Request) -> None:
        """Give the session to the browser."""
        value = self._signed(session, _COOKIES)
        response.set_cookie(
            _cookie(self._by_tls(request)), value, max_age=_LASTS_SECONDS, httponly=True, samesite="Strict",
            secure=self._by_tls(request),
        )  # fmt: skip

    def forget(self, response: Response, request: Request) -> None:
        """End the session in the browser."""
        by_tls = self._by_tls(request)
        response.delete_cookie(_cookie(by_tls), httponly=True, samesite="Strict", secure=by_tls)

    def form_token(self, session: Session) -> str:
        """What every form of the session carries."""
        return self._signed(session, _FORMS)

    def check_form(self, request: Request, session: Session) -> None:
        """Refuse a form that did not come from a page of this session."""
        self._check_origin(request)
        told = _verified(self._key_of(session.person), request.form.get("form_token", ""), _FORMS)
        if told != [session.person, session.number]:
            raise BadRequest("This form is out of date. Go back, load the page again, and repeat what you did.")

    def _check_origin(self, request: Request) -> None:
        """Refuse a form that another site's page sent; another port is another site."""
        origin = request.headers.get("Origin")
        own = ("https" if self._by_tls(request) else "http", *_host(request))
        is_own = origin is None or _place(origin) in {_filled(*own), *self._public}
        if not is_own or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise BadRequest("This form was sent by a page of another site. Nothing was done.")

    def _by_tls(self, request: Request) -> bool:
        """Whether the browser came by TLS: a proxy says so, or it came by a name that is reached by TLS only."""
        return request.scheme == "https" or _filled("https", *_host(request)) in self._public

    def _told(self, request: Request, header: str) -> str:
        """Whom the proxy named."""
        address = request.environ.get(FROM_PROXY, request.environ).get("REMOTE_ADDR")
        if not _is_in(address, self.settings.believed):
            raise Forbidden("This console is reached through its proxy only.")
        person = _as_name(request.headers.get(header, ""))
        if not person:
            raise Forbidden("The proxy in front of the console did not say who you are.")
        return person

    def _read(self, request: Request) -> Session | None:
        cookie = request.cookies.get(_cookie(self._by_tls(request)), "")
        kept = _verified(self._people, cookie, _COOKIES) or _verified(self._strangers, cookie, _COOKIES)
        return Session(person=kept[0], number=kept[1]) if kept else None

    def _key_of(self, person: str) -> URLSafeTimedSerializer:
        return self._people if person else self._strangers

    def _signed(self, session: Session, use: bytes) -> str:
        return str(self._key_of(session.person).dumps([session.person, session.number], salt=use))


def _verified(key: URLSafeTimedSerializer, text: str, use: bytes) -> list[str] | None:
    """What was signed for this use, and not too long ago."""
    try:
        found: list[str] = key.loads(text, max_age=_LASTS_SECONDS, salt=use)
    except BadData:
        return None
    return found


def _cookie(by_tls: bool) -> str:
    return SECURE_COOKIE if by_tls else COOKIE


def _host(request: Request) -> tuple[str, int | None]:
    """The name and the port of the Host header."""
    return _name_and_port(request.headers.get("Host", ""))


def _name_and_port(text: str) -> tuple[str, int | None]:
    """``name:port`` apart; an empty name where it is none."""
    try:
        parts = urlsplit(f"//{text}")
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None


def _place(origin: str) -> tuple[str, str, int]:
    """Scheme, name and port of ``scheme://name:port``, as headers and the configuration have it."""
    scheme, _, rest = origin.partition("://")
    return _filled(scheme, *_name_and_port(rest))


def _filled(scheme: str, name: str, port: int | None) -> tuple[str, str, int]:
    return scheme, name, port or _PORTS.get(scheme, 0)


def _is_in(address: object, networks: Iterable[IPvAnyNetwork]) -> bool:
    """Whether an address, as the server has it of the connection, belongs to one of these networks."""
    try:
        found = ip_address(str(address))
    except ValueError:
        return False
    return any(found in network for network in networks)


def _as_name(text: str) -> str:
    """A name as it is kept with decisions: printable, one line, not endless."""
    return "".join(each for each in text.strip() if each.isprintable())[:_LONGEST_NAME]
