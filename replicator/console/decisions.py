"""What people decide in the console: each form calls one function of schema ``sync`` under the person's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest

from replicator.console.page_context import MOST_DIGITS
from replicator.errors import Terminal
from replicator.hub.statements import statements
from replicator.hub.wake_up import notify

_sql = statements(__name__)
_REFUSED = (psycopg.errors.RaiseException, psycopg.DataError, psycopg.IntegrityError)
_LONGEST_REASON = 500
_LONGEST_DECISION = "60s"
Form = MultiDict[str, str]


def decide(engine: sa.Engine, action: str, form: Form, person: str) -> int:
    """Carry out what a form asks for; how many records it concerned. Raises Terminal with the hub's own words."""
    asked = actions[action](form) | {"why": (_text(form, "why") or "")[:_LONGEST_REASON] or None}
    try:
        with engine.connect() as connection:
            with connection.begin():
                connection.execute(sa.select(sa.func.set_config("statement_timeout", _LONGEST_DECISION, True)))
                connection.execute(_sql["actor"], {"person": person})
                concerned = int(connection.execute(_sql[action], asked).scalar_one())
            notify(connection)
    except DBAPIError as problem:
        if not isinstance(problem.orig, _REFUSED):
            raise
        told = problem.orig.diag
        raise Terminal(told.message_primary or str(problem.orig), hint=told.message_hint or "") from problem
    return concerned


def _selection(form: Form) -> dict[str, object]:
    """Which records: of a flow, of a cause, some by name. Never all there are for want of saying which."""
    records = [each for each in form.getlist("only") or form.getlist("record") if each]
    flow, cause = _text(form, "flow"), _text(form, "cause")
    if "selected" in form and not records:
        raise BadRequest("No record was selected. Go back and tick the records that you mean.")
    if flow is None and cause is None:
        raise BadRequest("The form does not say which records it is about.")
    one = records[0] if len(records) == 1 else None
    return {"flow": flow, "cause": cause, "record": one, "records": records if len(records) > 1 else None}


def _conflict(form: Form) -> dict[str, object]:
    """Which conflict, and whose value or which one."""
    number, take = form.get("conflict", ""), _text(form, "take")
    if not (number.isascii() and number.isdecimal() and len(number) <= MOST_DIGITS):
        raise BadRequest("The form does not say which conflict it is about.")
    return {"conflict": int(number), "take": take, "value": form.get("value", "") if take is None else None}


def _named(*names: str) -> Callable[[Form], dict[str, object]]:
    def read(form: Form) -> dict[str, object]:
        found: dict[str, object] = {name: _text(form, name) for name in names}
        if None in found.values():
            raise BadRequest("The form does not say what it is about.")
        return found

    return read


def _text(form: Form, name: str) -> str | None:
    return form.get(name, "").strip() or None


actions: Mapping[str, Callable[[Form], dict[str, object]]] = {
    "retry": _selection, "skip": _selection, "approve": _selection, "reject": _selection, "resolve": _conflict,
    "pause": _named("scope"), "resume": _named("scope"), "resync": _named("kind", "key"),
}  # fmt: skip


def way_back(form: Form, action: str, concerned: int) -> str:
    """The page the form came from, which then says what was done; never another site."""
    asked = form.get("back", "/")
    if not asked.startswith("/") or asked.startswith("//") or "\\" in asked or not asked.isprintable():
        asked = "/"
    parts = urlsplit(asked)
    kept = [(key, value) for key, value in parse_qsl(parts.query) if key not in ("did", "records")]
    return f"{parts.path}?{urlencode([*kept, ('did', action), ('records', str(concerned))])}"
