"""Who may see the console and decide in it: names of hosts, sessions, tokens of forms.

Nothing is kept on the server. A session is a signed cookie: who, since when, and a random text that every form of the
session carries. Somebody who has not logged in yet has a session without a person, for the form of the login.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Any

from flask import Flask, g, request, session
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from pydantic import IPvAnyNetwork
from werkzeug.exceptions import BadRequest, Forbidden

from replicator.config import ConsoleSettings, split_address

COOKIE = "replicator_session"
SECURE_COOKIE = f"__Host-{COOKIE}"
"""Where the browser came by TLS: with this name it takes it from nobody else, and gives it to nobody else."""
NOBODY_SAID = "console"
"""Who decides where the console asks nobody for a name: on loopback."""
FROM_PROXY = "werkzeug.proxy_fix.orig"
"""Where a request holds what it was before a proxy's words were believed."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_PORTS = {"https": ":443", "http": ":80"}
_PORT = re.compile(r":[0-9]*$")
_LONGEST_NAME = 100


class _Signer(TimestampSigner):
    """Signs with the time of a given clock."""

    def __init__(self, *args: Any, clock: Callable[[], float], **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())


class Access(SecureCookieSessionInterface):
    """Decides who is there, and keeps it in the browser. ``clock`` gives seconds."""

    def __init__(self, settings: ConsoleSettings, clock: Callable[[], float]) -> None:
        self.settings = settings
        self.token = settings.token.get_secret_value() if settings.token else None
        self._signing = {"clock": clock, "digest_method": hashlib.sha256, "key_derivation": "hmac"}
        # Derived from the token: sessions outlive a restart, and end when the token is changed.
        self._people = self.token.encode() if self.token else secrets.token_bytes(32)
        # Not derived from it: nobody is given anything to try guesses against at home.
        self._strangers = secrets.token_bytes(32)
        own = split_address(settings.listen)[0]
        self._hosts = set() if settings.is_everywhere else {f"[{own}]" if ":" in own else own}
        if settings.is_private:
            self._hosts |= _LOOPBACK

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer:
        """With both keys; it signs with the last."""
        keys = (self._strangers, self._people) if g.get("person") else (self._people, self._strangers)
        return URLSafeTimedSerializer(keys, signer=_Signer, signer_kwargs=self._signing)

    def get_cookie_name(self, app: Flask) -> str:
        """The safe name, where it can be had."""
        return SECURE_COOKIE if self._by_tls() else COOKIE

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the cookie goes by TLS only."""
        return self._by_tls()

    def without_token(self, text: str) -> str:
        """A text for the log, which never has the token."""
        return text.replace(self.token, "(the token)") if self.token else text

    def is_proxy(self, address: object) -> bool:
        """Whether a proxy has this address that is believed what it says of those behind it."""
        return _is_in(address, self.settings.proxies)

    def check_host(self) -> None:
        """Refuse names that are not the console's: a page elsewhere may have made its own name point here."""
        if _PORT.sub("", _host()) not in self._hosts and not {_own("http"), _own("https")} & {*self.settings.urls}:
            raise BadRequest("This is not the console's name. Its configuration says by which names it is reached.")

    def recognize(self) -> None:
        """Say in ``g`` who is there; nobody, who has not logged in. Raises Forbidden where a proxy should say who."""
        person: str = session.get("person", "")
        if self.token is None:
            person = self._from_proxy(self.settings.identity_header) if self.settings.identity_header else NOBODY_SAID
        if session.get("person") != person:
            self.begin(person)
        g.person = person

    def begin(self, person: str) -> None:
        """Begin a session, with forms of its own."""
        session.clear()
        session.update(person=person, form_token=secrets.token_urlsafe(16))
        session.permanent = True
        g.person = person

    def log_in(self) -> bool:
        """Begin the session of somebody who knows the token and says a name, which is not the token by mistake."""
        given, person = request.form.get("token", "").encode(), _as_name(request.form.get("name", ""))
        if self.token is None or not hmac.compare_digest(given, self._people) or not person or self.token in person:
            return False
        self.begin(person)
        return True

    def check_form(self) -> None:
        """Refuse a form that did not come from a page of this session."""
        origin, own = request.headers.get("Origin"), _own("https" if self._by_tls() else "http")
        is_own = origin is None or origin in (own, *self.settings.urls)  # another port is another site
        if not is_own or request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise BadRequest("This form was sent by a page of another site. Nothing was done.")
        if not hmac.compare_digest(request.form.get("form_token", "").encode(), session["form_token"].encode()):
            raise BadRequest("This form is out of date. Go back, load the page again, and repeat what you did.")

    def _by_tls(self) -> bool:
        """Whether the browser came by TLS: a proxy says so, or it came by a name that is reached by TLS only."""
        return request.scheme == "https" or _own("https") in self.settings.urls

    def _from_proxy(self, header: str) -> str:
        """Whom the proxy named."""
        address = request.environ.get(FROM_PROXY, request.environ).get("REMOTE_ADDR")
        if not _is_in(address, self.settings.believed):
            raise Forbidden("This console is reached through its proxy only.")
        person = _as_name(request.headers.get(header, ""))
        if not person:
            raise Forbidden("The proxy in front of the console did not say who you are.")
        return person


def _host() -> str:
    return request.headers.get("Host", "").lower()


def _own(scheme: str) -> str:
    """The address by which the browser came, if it came so; as browsers write it."""
    return f"{scheme}://{_host().removesuffix(_PORTS[scheme])}"


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
