"""The console as a Flask application: routes, who may in, and every answer with the headers that keep it to itself."""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy as sa
import structlog
from flask import Flask, Response, g, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoSessionFree
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, MethodNotAllowed, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter

from replicator import __version__
from replicator.config import ConsoleSettings
from replicator.console import blocked, lists, overview, record_page
from replicator.console.access import FROM_PROXY, Access
from replicator.console.decisions import actions, decide, way_back
from replicator.console.guesses import Guesses
from replicator.console.page_context import MOST_DIGITS, PageContext
from replicator.console.render import TEMPLATE_OPTIONS, prepare
from replicator.errors import Terminal

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECURITY = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not 'no-referrer': with that, browsers hide the origin of our own forms from us.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_LONGEST_QUERY = "10s"


class Number(BaseConverter):
    """An id: digits, and not more than every column for ids holds."""

    regex = f"[0-9]{{1,{MOST_DIGITS}}}"

    def to_python(self, value: str) -> int:
        return int(value)


_pages: dict[str, Callable[..., ResponseReturnValue]] = {
    "/": overview.overview, "/causes": lists.causes, "/causes/<name>": lists.cause, "/records": lists.records,
    "/blocked": blocked.blocked, "/record": record_page.search, "/record/<kind>/<path:key>": record_page.record,
    "/at/<table>/<number:number>": record_page.placed,
    "/held": lists.held, "/held/<system>/<entity_set>": lists.held_deletes, "/conflicts": lists.conflicts,
    "/runs": lists.runs, "/plans": lists.plans, "/plans/<number:number>": lists.plan, "/decisions": lists.decisions,
}  # fmt: skip


class Console(Flask):
    """The application, of the hub behind ``engine``."""

    jinja_options = TEMPLATE_OPTIONS

    def __init__(self, engine: sa.Engine, settings: ConsoleSettings, *, clock: Callable[[], float] = time.time) -> None:
        settings.check()
        super().__init__("replicator.console")
        self.config |= {
            "MAX_CONTENT_LENGTH": 1 << 20, "SESSION_COOKIE_SAMESITE": "Strict",
            "PERMANENT_SESSION_LIFETIME": datetime.timedelta(hours=12), "SESSION_REFRESH_EACH_REQUEST": False,
        }  # fmt: skip
        self._engine = engine
        self._guesses, self._log = Guesses(clock), structlog.get_logger("replicator")
        self.session_interface = self._access = Access(settings, clock)
        self._behind_proxy = ProxyFix(super().wsgi_app, x_for=1, x_proto=1)
        prepare(self.jinja_env, lambda: datetime.datetime.fromtimestamp(clock(), datetime.UTC))
        self.jinja_env.globals |= {"version": __version__, "asks_for_token": settings.token is not None}
        self.url_map.merge_slashes = False
        self.url_map.converters["number"] = Number
        for rule, page in _pages.items():
            self.add_url_rule(rule, rule, partial(self._show, page))
        self.add_url_rule("/login", "door", self._log_in, methods=["GET", "POST"])
        self.add_url_rule("/logout", view_func=self._log_out, methods=["POST"])
        self.add_url_rule("/decide/<action>", view_func=self._decide, methods=["POST"])
        self.before_request(self._enter)
        self.register_error_handler(HTTPException, self._refused)
        self.register_error_handler(Terminal, lambda problem: _problem(409, problem.message, problem.hint))
        for kind in (DBAPIError, psycopg.Error, NoSessionFree):
            self.register_error_handler(kind, self._hub_trouble)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The answer; what a proxy says of those behind it is believed of a proxy only."""
        believed = self._access.is_proxy(environ.get("REMOTE_ADDR"))
        return (self._behind_proxy if believed else super().wsgi_app)(environ, start_response)

    def process_response(self, response: Response) -> Response:
        """With what keeps it to itself."""
        response.headers.update(SECURITY)
        return super().process_response(response)

    def _enter(self) -> ResponseReturnValue | None:
        """Nobody sees more than the door before it is known who he is; and a form counts only from a page of his."""
        g.person, g.kinds = "", []
        self._access.check_host()
        _check_texts()
        if request.endpoint == "static":
            return None
        self._access.recognize()
        if not g.person and request.endpoint != "door":
            return _door(401)
        if request.method == "POST":
            self._access.check_form()
        return None

    def _show(self, page: Callable[..., ResponseReturnValue], **values: object) -> ResponseReturnValue:
        with self._engine.connect().execution_options(postgresql_readonly=True) as connection, connection.begin():
            connection.execute(sa.select(sa.func.set_config("statement_timeout", _LONGEST_QUERY, True)))
            look = PageContext(connection, request.args.to_dict())
            g.kinds = [each["entity"] or each["place"] for each in look.captured.values()]
            return page(look, **values)

    def _decide(self, action: str) -> ResponseReturnValue:
        if action not in actions:
            raise NotFound("There is no such decision.")
        concerned = decide(self._engine, action, request.form, g.person)
        self._log.info("decide", action=action, by=g.person, records=concerned)
        return redirect(way_back(request.form, action, concerned), 303)

    def _log_out(self) -> ResponseReturnValue:
        session.clear()
        return redirect("/login", 303)

    def _log_in(self) -> ResponseReturnValue:
        """Whoever guesses waits, and is told for how long; no thread waits with him."""
        if g.person:
            return redirect("/", 303)
        if request.method == "GET":
            return _door(200)
        address = request.remote_addr or ""
        wait = self._guesses.wait(address)
        if wait:
            told = f"Too many tokens from here were wrong. Try again in {wait} s."
            return *_door(429, told), {"Retry-After": str(wait)}
        if not self._access.log_in():
            self._log_refusal("wrong token, or no name")
            return _door(401, "That was not the token, or no name was given.")
        self._guesses.forget(address)
        self._log.info("login", outcome="in", by=g.person, address=address)
        return redirect("/", 303)

    def _refused(self, problem: HTTPException) -> ResponseReturnValue:
        if isinstance(problem, Forbidden):
            self._log_refusal(problem.description or "")
        return _problem(problem.code or 500, *_words(problem))

    def _log_refusal(self, why: str) -> None:
        """Who was not let in: by the connection's address, or by the header in which a proxy says whose it is."""
        header = "X-Forwarded-For" if FROM_PROXY in request.environ else None
        self._log.warning("login", outcome="refused", why=why, address=request.remote_addr, address_from=header)

    def log_exception(self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]) -> None:
        """By the rule, not by the path: that is whatever somebody typed or pasted there."""
        told = self._access.without_token("".join(traceback.format_exception(exc_info[1])))
        self._log.error("console", page=str(request.url_rule or ""), exception=told)

    def _hub_trouble(self, problem: DBAPIError | psycopg.Error | NoSessionFree) -> ResponseReturnValue:
        """A failure of the hub: to the person what to do, to the log what it was."""
        origin = problem.orig if isinstance(problem, DBAPIError) else problem
        told = self._access.without_token(str(origin).strip().split("\n", maxsplit=1)[0])
        self._log.warning("problem", where="console", message=told)
        if isinstance(origin, psycopg.errors.QueryCanceled | NoSessionFree):
            return _problem(503, "The hub took too long to answer.", "Ask for less, or look at what keeps it busy.")
        if isinstance(origin, psycopg.errors.InsufficientPrivilege):
            hint = "Run the console as a member of replicator_daemon, or of replicator_steward."
            return _problem(503, "The console's login may not do that in the hub.", hint)
        what = "The hub cannot be reached, or does not answer as it should."
        return _problem(503, what, "Look at its server, and at the log.")


def _door(status: int, problem: str = "") -> tuple[str, int]:
    return render_template("login.html", problem=problem), status


def _problem(status: int, what: str, hint: str = "") -> tuple[str, int]:
    return render_template("problem.html", what=what, hint=hint, code=status), status


def _check_texts() -> None:
    """Refuse what is no text to the hub: in addresses nothing has such a name, in forms it is a mistake."""
    if any("\0" in str(each) for each in (*(request.view_args or {}).values(), *request.args.values())):
        raise NotFound
    if any("\0" in each for name in request.form for each in request.form.getlist(name)):
        raise BadRequest("The form holds characters that no text has.")


def _words(problem: HTTPException) -> tuple[str, str]:
    if problem.code == 500:
        return "Something went wrong inside the console.", "Its log says what."
    if isinstance(problem, MethodNotAllowed):
        return "This address takes no such request.", ""
    if isinstance(problem, NotFound) and problem.description == NotFound.description:
        return "There is no such page.", "The address may be mistyped, or what it showed is gone."
    return problem.description or problem.name, ""
