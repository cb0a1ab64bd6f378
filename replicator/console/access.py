"""Who may see the console and decide in it: names of hosts, sessions, tokens of forms.

Nothing is kept on the server. A session is a signed cookie: who, since when, and a random number that the tokens of
the forms are bound to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from werkzeug.exceptions import BadRequest, Forbidden
from werkzeug.wrappers import Request, Response

from replicator.config import ConsoleSettings, split_address

COOKIE = "replicator_session"
NOBODY_SAID = "console"
"""Who decides where the console asks nobody for a name: on loopback."""
_LASTS_SECONDS = 12 * 3600
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Session:
    """One browser at work: the person's name, and what the forms of this session are signed with."""

    person: str
    number: str
    is_new: bool = False


class Access:
    """Decides who is there. ``clock`` gives seconds."""

    def __init__(self, settings: ConsoleSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self._clock = clock
        token = settings.token.get_secret_value() if settings.token else None
        # Derived from the token: sessions outlive a restart, and end when the token is changed.
        self._key = _sign(token.encode(), "key of sessions") if token else secrets.token_bytes(32)
        self._token = token
        own = split_address(settings.listen)[0]
        self._hosts = {name.lower() for name in settings.hosts} | ({own} if not settings.is_everywhere else set())
        if settings.is_private:
            self._hosts |= _LOOPBACK

    @property
    def asks_for_token(self) -> bool:
        """Whether people log in here."""
        return self._token is not None

    def check_host(self, request: Request) -> None:
        """Refuse names that are not the console's: a page elsewhere may have made its own name point here."""
        if _host_name(request.headers.get("Host", "")) not in self._hosts:
            raise BadRequest("This is not the console's name. Its configuration says by which names it is reached.")

    def session(self, request: Request) -> Session | None:
        """Who is there; None: somebody who has to log in. Raises Forbidden where a proxy should have said who."""
        kept = self._read(request.cookies.get(COOKIE, ""))
        if self._token is not None:
            return kept
        person = NOBODY_SAID
        if self.settings.identity_header is not None:
            person = _as_name(request.headers.get(self.settings.identity_header, ""))
            if not person:
                raise Forbidden("The proxy in front of the console did not say who you are.")
        if kept is not None and kept.person == person:
            return kept
        return Session(person, secrets.token_urlsafe(16), is_new=True)

    def log_in(self, request: Request) -> Session | None:
        """The session of somebody who knows the token and says a name."""
        given = request.form.get("token", "").encode()
        person = _as_name(request.form.get("name", ""))
        if self._token is None or not hmac.compare_digest(given, self._token.encode()) or not person:
            return None
        return Session(person, secrets.token_urlsafe(16), is_new=True)

    def keep(self, response: Response, session: Session, request: Request) -> None:
        """Give the session to the browser."""
        fields = [session.person, str(int(self._clock())), session.number]
        packed = base64.urlsafe_b64encode("\0".join(fields).encode()).decode()
        value = f"{packed}.{_text(_sign(self._key, packed))}"
        # A page that was reached by https says so in the origin of its forms; the proxy speaks plain HTTP to us.
        secure = request.headers.get("Origin", "").startswith("https:")
        response.set_cookie(COOKIE, value, max_age=_LASTS_SECONDS, httponly=True, samesite="Strict", secure=secure)

    def forget(self, response: Response) -> None:
        """End the session in the browser."""
        response.delete_cookie(COOKIE, httponly=True, samesite="Strict")

    def form_token(self, session: Session) -> str:
        """What every form of the session carries."""
        return _text(_sign(self._key, f"form {session.number} {session.person}"))

    def check_form(self, request: Request, session: Session) -> None:
        """Refuse a form that did not come from a page of this session."""
        self.check_origin(request)
        if not hmac.compare_digest(request.form.get("form_token", "").encode(), self.form_token(session).encode()):
            raise BadRequest("This form is out of date. Go back, load the page again, and repeat what you did.")

    def check_origin(self, request: Request) -> None:
        """Refuse a form that another site's page sent."""
        origin = request.headers.get("Origin")
        if origin is not None and _host_name(urlsplit(origin).netloc) not in self._hosts:
            raise BadRequest("This form was sent by a page of another site. Nothing was done.")
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise BadRequest("This form was sent by a page of another site. Nothing was done.")

    def _read(self, cookie: str) -> Session | None:
        packed, _, signature = cookie.partition(".")
        if not hmac.compare_digest(_text(_sign(self._key, packed)).encode(), signature.encode()):
            return None
        person, since, number = base64.urlsafe_b64decode(packed).decode().split("\0")
        if self._clock() - int(since) > _LASTS_SECONDS:
            return None
        return Session(person, number)


def _sign(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _text(signature: bytes) -> str:
    return base64.urlsafe_b64encode(signature).decode()


def _host_name(text: str) -> str:
    """The name in a Host header or an origin, without the port; empty where it is none."""
    try:
        return (urlsplit(f"//{text}").hostname or "").lower()
    except ValueError:
        return ""


def _as_name(text: str) -> str:
    """A name as it is kept with decisions: printable, one line, not endless."""
    return "".join(each for each in text.strip() if each.isprintable())[:_LONGEST_NAME]
