"""What an HTTP answer means: pure functions that sort answers into the errors of the program."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from replicator.errors import (
    AccessDenied,
    CredentialsRefused,
    ReplicatorError,
    RequestRefused,
    SystemUnavailable,
    Throttled,
    UnexpectedAnswer,
)
from replicator.systems import exact_json

default_pause_seconds = 30.0
"""The pause where a system asks for one without saying how long (as the vendor's own samples wait)."""
longest_message = 2000
"""More characters of a system's message are not kept: some append a stack trace."""


@dataclass(frozen=True)
class Answer:
    """An answer read to its end. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Complaint:
    """The error object of an OData answer: the code and the words, and the class of the inner error."""

    code: str = ""
    message: str = ""
    inner_type: str = ""


def complaint(body: bytes) -> Complaint:
    """The error object in ``body``, with the inner message where there is one; empty where there is none."""
    try:
        error = exact_json.loads(body, "").get("error")
    except UnexpectedAnswer:
        return Complaint()
    if not isinstance(error, dict):
        return Complaint()
    inner = error.get("innererror")
    inner = inner if isinstance(inner, dict) else {}
    return Complaint(
        code=_text(error.get("code")),
        message=_words(inner.get("message")) or _words(error.get("message")),
        inner_type=_text(inner.get("type")),
    )


def _words(value: object) -> str:
    # OData 3 and some gateways wrap the message: {"lang": ..., "value": ...}.
    return _text(value.get("value")) if isinstance(value, dict) else _text(value)


def _text(value: object) -> str:
    """A text for people and for the hub: NUL and lone surrogates, which a database cannot hold, are replaced."""
    if not isinstance(value, str):
        return ""
    text = value.strip()[:longest_message].replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class Pause:
    """How long to wait, in seconds; ``asked`` is what the system wanted where that was cut."""

    seconds: float
    asked: float | None = None

    def __str__(self) -> str:
        if self.asked is None:
            return f"asks for a pause of {self.seconds:.0f} s"
        return f"asks for a pause of {self.asked:.0f} s, which is cut to {self.seconds:.0f} s"


def pause(retry_after: str | None, now: datetime, longest: float) -> Pause:
    """The pause of a ``Retry-After`` header: seconds or an HTTP date relative to ``now``, never above ``longest``.

    Absent or not understood counts as 30 seconds, a date that has passed as none.
    """
    seconds = _seconds(retry_after or "", now)
    if seconds is None:
        return Pause(min(default_pause_seconds, longest))
    if seconds > longest:
        return Pause(longest, asked=seconds)
    return Pause(max(seconds, 0.0))


def _seconds(text: str, now: datetime) -> float | None:
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, IndexError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return (when - now).total_seconds()


def error_of(answer: Answer, what: str, now: datetime, longest_pause: float) -> ReplicatorError | None:
    """The error an answer stands for, None where it is a good one. ``what`` is the system and the request."""
    status = answer.status
    if 200 <= status < 300:
        return None
    said = f"{what}: {status}{_words_of(answer)}"
    if status == 429:
        wait = pause(answer.headers.get("retry-after"), now, longest_pause)
        return Throttled(f"{what}: the system is throttling and {wait}", retry_after=wait.seconds)
    if status in (401, 403):
        refusal = CredentialsRefused if status == 401 else AccessDenied
        return refusal(said, hint="check the credentials and the rights of this user in the system")
    if status >= 500 or status == 408:
        return SystemUnavailable(said)
    if 400 <= status < 500:
        return _refused(answer, said)
    return UnexpectedAnswer(said)


def _words_of(answer: Answer) -> str:
    if _is_of_another(answer):
        return f": {_instead_of_json(answer)}"
    words = complaint(answer.body)
    return (f" {words.code}" if words.code else "") + (f": {words.message}" if words.message else "")


def _instead_of_json(answer: Answer) -> str:
    return f"{answer.media_type or 'an answer without a content type'} instead of JSON"


def _is_of_another(answer: Answer) -> bool:
    """Whether a refusal is no word of the system, but a page of a proxy: nothing may be concluded from it."""
    return bool(answer.body) and answer.media_type != "application/json" and complaint(answer.body) == Complaint()


def _refused(answer: Answer, said: str) -> ReplicatorError:
    # A single record that is not there is no error, so that a 404 is about the whole entity set.
    if answer.status == 404:
        hint = "check the system's url and kind, and whether it has this entity set: replicator check"
    else:
        hint = "check the names of the entity set and its fields in schema/: replicator check"
    return UnexpectedAnswer(said, hint=hint) if _is_of_another(answer) else RequestRefused(said, hint=hint)


def json_object(answer: Answer, what: str) -> dict[str, object]:
    """The JSON object of a good answer. Raises UnexpectedAnswer for another content type or broken JSON."""
    if answer.media_type != "application/json":
        raise UnexpectedAnswer(f"{what}: {_instead_of_json(answer)}")
    return exact_json.loads(answer.body, what)
