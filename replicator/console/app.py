"""The console as a WSGI application: routes, who may in, and every answer with the headers that keep it to itself."""

from __future__ import annotations

import datetime
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoSessionFree
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, MethodNotAllowed, NotFound
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule
from werkzeug.wrappers import Request, Response

from replicator import __version__
from replicator.config import ConsoleSettings
from replicator.console import blocked, lists, overview, record_page
from replicator.console.access import FROM_PROXY, Access, Session
from replicator.console.decisions import actions, decide, way_back
from replicator.console.guesses import Guesses
from replicator.console.page_context import MOST_DIGITS, ConsolePage, PageContext
from replicator.console.render import FOLDER, make_environment
from replicator.errors import Terminal
from replicator.mapping.compiled import Compiled

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
_LARGEST_FORM = 1 << 20
_MOST_FIELDS = 1000


class Number(BaseConverter):
    """An id: digits, and not more than every column for ids holds."""

    regex = f"[0-9]{{1,{MOST_DIGITS}}}"

    def to_python(self, value: str) -> int:
        return int(value)


_pages: dict[str, Callable[..., ConsolePage]] = {
    "/": overview.overview, "/causes": lists.causes, "/causes/<name>": lists.cause, "/records": lists.records,
    "/blocked": blocked.blocked, "/record": record_page.search, "/record/<kind>/<path:key>": record_page.record,
    "/at/<table>/<number:number>": record_page.placed,
    "/held": lists.held, "/held/<system>/<entity_set>": lists.held_deletes, "/conflicts": lists.conflicts,
    "/runs": lists.runs, "/plans": lists.plans, "/plans/<number:number>": lists.plan, "/decisions": lists.decisions,
}  # fmt: skip
_forms = ("/decide/<action>", "/login", "/logout")
_routes = Map(
    [Rule(rule, endpoint=rule, methods=["GET"]) for rule in (*_pages, "/login", "/static/console.css")]
    + [Rule(rule, endpoint=rule, methods=["POST"]) for rule in _forms],
    merge_slashes=False,
    converters={"number": Number},
)


class Console:
    """The application; the hub behind ``engine`` is made from ``schema``. While unknown, records have no page."""

    def __init__(
        self,
        engine: sa.Engine,
        schema: Compiled | Terminal,
        settings: ConsoleSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        settings.check()
        self._engine, self._schema = engine, schema
        self._access, self._guesses = Access(settings, clock), Guesses(clock)
        self._templates = make_environment(lambda: datetime.datetime.fromtimestamp(clock(), datetime.UTC))
        self._templates.globals |= {"version": __version__, "kinds": _kinds(schema)}
        self._style = (FOLDER / "static" / "console.css").read_text(encoding="utf-8")
        self._log = structlog.get_logger("replicator")
        self._behind_proxy = ProxyFix(self._respond, x_for=1, x_proto=1)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._access.is_proxy(environ.get("REMOTE_ADDR")):
            return self._behind_proxy(environ, start_response)
        return self._respond(environ, start_response)

    def _respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = request.max_form_memory_size = _LARGEST_FORM
        request.max_form_parts = _MOST_FIELDS
        response = self._answer(request)
        response.headers.extend(SECURITY)
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        """The answer, whatever happens on the way to it."""
        session: Session | None = None
        rule = ""
        try:
            self._access.check_host(request)
            rule, values = _routes.bind_to_environ(request.environ).match()
            _check_texts(request, values)
            if rule == "/static/console.css":
                return Response(self._style, mimetype="text/css")
            session = self._access.session(request)
            if session.person and rule not in ("/login", "/logout"):
                response = self._inside(request, rule, values, session)
            else:
                response = self._door(request, rule, session)
        except RequestRedirect as problem:
            return _go(problem.new_url)
        except HTTPException as problem:
            response = self._refused(request, session, problem)
        except Terminal as problem:
            response = self._problem(request, session, 409, problem.message, problem.hint)
        except (DBAPIError, psycopg.Error, NoSessionFree) as problem:
            response = self._problem(request, session, 503, *self._hub_words(problem))
        except Exception:
            # The rule, not the path: that is whatever somebody typed or pasted there.
            told = self._access.without_token(traceback.format_exc())
            self._log.error("console", page=rule, exception=told)
            response = self._problem(
                request, session, 500, "Something went wrong inside the console.", "Its log says what."
            )
        if session is not None and session.is_new:
            self._access.keep(response, session, request)
        return response

    def _door(self, request: Request, rule: str, session: Session) -> Response:
        """For those who are not in yet, or want out."""
        if rule == "/logout" and session.person:
            self._access.check_form(request, session)
            response = _go("/login" if self._access.asks_for_token else "/")
            self._access.forget(response, request)
            return response
        if session.person:
            return _go("/")
        if request.method == "POST" and rule == "/login":
            return self._log_in(request, session)
        return self._render(
            request, session, ConsolePage("login.html", {"problem": ""}, 200 if rule == "/login" else 401)
        )

    def _log_in(self, request: Request, session: Session) -> Response:
        """Whoever guesses waits, and is told for how long; no thread waits with him."""
        self._access.check_form(request, session)
        address = request.remote_addr or ""
        wait = self._guesses.wait(address)
        if wait:
            told = f"Too many tokens from here were wrong. Try again in {wait} s."
            response = self._render(request, session, ConsolePage("login.html", {"problem": told}, 429))
            response.headers["Retry-After"] = str(wait)
            return response
        known = self._access.log_in(request)
        if known is None:
            self._log_refusal(request, "wrong token, or no name")
            told = "That was not the token, or no name was given."
            return self._render(request, session, ConsolePage("login.html", {"problem": told}, 401))
        self._guesses.forget(address)
        self._log.info("login", outcome="in", by=known.person, address=address)
        response = _go("/")
        self._access.keep(response, known, request)
        return response

    def _refused(self, request: Request, session: Session | None, problem: HTTPException) -> Response:
        if isinstance(problem, Forbidden):
            self._log_refusal(request, problem.description or "")
        return self._problem(request, session, problem.code or 500, *_words(problem))

    def _log_refusal(self, request: Request, why: str) -> None:
        """Who was not let in: by the connection's address, or by the header in which a proxy says whose it is."""
        header = "X-Forwarded-For" if FROM_PROXY in request.environ else None
        self._log.warning("login", outcome="refused", why=why, address=request.remote_addr, address_from=header)

    def _inside(self, request: Request, rule: str, values: object, session: Session) -> Response:
        """For those who are in: a decision, or a page."""
        known = dict(values) if isinstance(values, dict) else {}
        if rule == "/decide/<action>":
            action = known["action"]
            if action not in actions:
                raise NotFound("There is no such decision.")
            self._access.check_form(request, session)
            concerned = decide(self._engine, action, request.form, session.person)
            self._log.info("decide", action=action, by=session.person, records=concerned)
            return _go(way_back(request.form, action, concerned))
        with self._engine.connect().execution_options(postgresql_readonly=True) as connection, connection.begin():
            connection.execute(sa.select(sa.func.set_config("statement_timeout", _LONGEST_QUERY, True)))
            page = _pages[rule](PageContext(connection, self._schema, request.args.to_dict()), **known)
        return self._render(request, session, page) if page.location is None else _go(page.location)

    def _render(self, request: Request, session: Session | None, page: ConsolePage) -> Response:
        text = self._templates.get_template(page.template).render(
            {
                "session": session if session and session.person else None,
                "form_token": self._access.form_token(session) if session else "",
                "asks_for_token": self._access.asks_for_token,
                "arguments": request.args.to_dict(),
                "here": request.full_path.rstrip("?"),
                "at": request.path,
                **page.known,
            }
        )
        return Response(text, status=page.status, mimetype="text/html")

    def _problem(self, request: Request, session: Session | None, status: int, what: str, hint: str) -> Response:
        known = {"what": what, "hint": hint, "code": status}
        return self._render(request, session, ConsolePage("problem.html", known, status))

    def _hub_words(self, problem: DBAPIError | psycopg.Error | NoSessionFree) -> tuple[str, str]:
        """What to say of a failure of the hub: to the person what to do, to the log what it was."""
        origin = problem.orig if isinstance(problem, DBAPIError) else problem
        told = self._access.without_token(str(origin).strip().split("\n", maxsplit=1)[0])
        self._log.warning("problem", where="console", message=told)
        if isinstance(origin, psycopg.errors.QueryCanceled | NoSessionFree):
            return "The hub took too long to answer.", "Ask for less, or look at what keeps it busy."
        if isinstance(origin, psycopg.errors.InsufficientPrivilege):
            return (
                "The console's login may not do that in the hub.",
                "Run the console as a member of replicator_daemon, or of replicator_steward.",
            )
        return (
            "The hub cannot be reached, or does not answer as it should.",
            "Look at its server, and at the log.",
        )


def _kinds(compiled: Compiled | Terminal) -> list[str]:
    """By what kinds a record can be asked for."""
    if isinstance(compiled, Terminal):
        return []
    return [*compiled.schema.entities, *(str(entity_set) for entity_set in compiled.schema.entity_sets.values())]


def _check_texts(request: Request, values: Mapping[str, object]) -> None:
    """Refuse what is no text to the hub: in addresses nothing has such a name, in forms it is a mistake."""
    if not all(map(_is_text, (*values.values(), *request.args.values()))):
        raise NotFound
    if not all(_is_text(each) for name in request.form for each in request.form.getlist(name)):
        raise BadRequest("The form holds characters that no text has.")


def _is_text(value: object) -> bool:
    return not isinstance(value, str) or "\0" not in value


def _go(location: str) -> Response:
    """On to another page, by GET whatever the request was."""
    return Response(status=303, headers={"Location": location})


def _words(problem: HTTPException) -> tuple[str, str]:
    if isinstance(problem, MethodNotAllowed):
        return "This address takes no such request.", ""
    if isinstance(problem, NotFound) and problem.description == NotFound.description:
        return "There is no such page.", "The address may be mistyped, or what it showed is gone."
    return problem.description or problem.name, ""
