"""What an HTTP answer means: pure functions that sort answers into the errors of the program."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote, quote_plus

from replicator.connectors import exact_json
from replicator.connectors.odata.retry_after import pause
from replicator.errors import (
    AccessDenied,
    CredentialsRefused,
    ReplicatorError,
    RequestRefused,
    SystemUnavailable,
    Throttled,
    UnexpectedAnswer,
)
from replicator.text import visible

longest_message = 2000
"""More characters of a system's message are not kept: some append a stack trace."""
longest_looked_at = 10 * longest_message
Hide = Callable[[str], str]
"""Takes the secrets out of a text; see ``hidden``."""
_credentials = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{20,}", re.IGNORECASE)
_deepest = 10
_enough = 12
"""So many first characters of a secret give away that the rest follows, also where that is cut off."""


def hidden(text: str, secrets: Iterable[str]) -> str:
    """A text without these secrets, as they are or as a form sends them, and without what follows 'Bearer' or 'Basic'.

    Some systems, and gateways before them, repeat a request in their refusal.
    """
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), quote_plus(secret)}:
            text = re.sub(re.escape(form[:_enough]) + r"[\w.~+/=%-]*", "***", text)
    return _credentials.sub(r"\1 ***", text)


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
    """The error object of an OData answer: the code and the words, and the classes of the inner errors.

    ``everything`` holds the words of the inner errors too, which may tell what the message itself does not; as they
    came, for nobody is shown them.
    """

    code: str = ""
    message: str = ""
    types: str = ""
    everything: str = field(default="", compare=False)


def complaint(body: bytes, hide: Hide) -> Complaint:
    """The error object in ``body``, with the inner message where there is one; empty where there is none."""
    try:
        error = exact_json.loads(body, "").get("error")
    except UnexpectedAnswer:
        return Complaint()
    if not isinstance(error, dict):
        return Complaint()
    inner = list(_inner_errors(error))
    messages = [_message(each) for each in (error, *inner)]
    said = [_text(each, hide) for each in messages]
    return Complaint(
        code=_text(error.get("code"), hide),
        message=(said[1] if inner else "") or said[0],
        types=" ".join(_text(each.get("type"), hide) for each in inner),
        everything="\n".join(hide(each[:longest_looked_at]) for each in messages if isinstance(each, str)),
    )


def _inner_errors(error: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """The error within, the one within that, and so on, down to a depth that no system reaches."""
    for _ in range(_deepest):
        inner = error.get("innererror") or error.get("internalexception")
        if not isinstance(inner, dict):
            return
        yield inner
        error = inner


def _message(error: Mapping[str, object]) -> object:
    # OData 3 and some gateways wrap the message: {"lang": ..., "value": ...}.
    value = error.get("message")
    return value.get("value") if isinstance(value, dict) else value


def _text(value: object, hide: Hide) -> str:
    """A text for people and for the hub, on one line: what cannot be seen, or be held by a database, is written out."""
    if not isinstance(value, str):
        return ""
    # Cut last: half a secret would not be known as one.
    return visible(hide(value.strip()[:longest_looked_at]))[:longest_message]


def error_of(answer: Answer, what: str, now: datetime, longest_pause: float, hide: Hide) -> ReplicatorError | None:
    """The error an answer stands for, None where it is a good one. ``what`` is the system and the request."""
    status = answer.status
    # A batch that ends with its first failure is a 400 outside, and its parts tell what was done.
    if 200 <= status < 300 or (status == 400 and answer.media_type == "multipart/mixed"):
        return None
    words = complaint(answer.body, hide)
    said = visible(hide(f"{what}: {status}{_words_of(answer, words)}"))
    if status == 429:
        wait = pause(answer.headers.get("retry-after"), now, longest_pause)
        return Throttled(f"{what}: the system is throttling and {wait}", retry_after=wait.seconds)
    if status in (401, 403):
        refusal = CredentialsRefused if status == 401 else AccessDenied
        return refusal(said, hint="check the credentials and the rights of this user in the system")
    if status >= 500 or status == 408:
        return SystemUnavailable(said)
    if 400 <= status < 500:
        return _refused(answer, words, said)
    return UnexpectedAnswer(said)


def _words_of(answer: Answer, words: Complaint) -> str:
    if _is_of_another(answer, words):
        return f": {_instead_of_json(answer)}"
    return (f" {words.code}" if words.code else "") + (f": {words.message}" if words.message else "")


def _instead_of_json(answer: Answer) -> str:
    return f"{answer.media_type or 'an answer without a content type'} instead of JSON"


def _is_of_another(answer: Answer, words: Complaint) -> bool:
    """Whether a refusal is no word of the system, but a page of a proxy: nothing may be concluded from it."""
    return bool(answer.body) and answer.media_type != "application/json" and words == Complaint()


def _refused(answer: Answer, words: Complaint, said: str) -> ReplicatorError:
    # A single record that is not there is no error, so that a 404 is about the whole entity set.
    if answer.status == 404:
        hint = "check the system's url and kind, and whether it has this entity set: replicator check"
    else:
        hint = "check the names of the entity set and its fields in schema/: replicator check"
    # Whoever says 413, system or gateway: the request was too large, and nothing was done.
    is_of_another = _is_of_another(answer, words) and answer.status != 413
    return UnexpectedAnswer(said, hint=hint) if is_of_another else RequestRefused(said, hint=hint)


def json_object(answer: Answer, what: str) -> dict[str, object]:
    """The JSON object of a good answer. Raises UnexpectedAnswer for another content type or broken JSON."""
    if answer.media_type != "application/json":
        raise UnexpectedAnswer(f"{what}: {_instead_of_json(answer)}")
    return exact_json.loads(answer.body, what)


def is_unknown_set(words: Complaint) -> bool:
    """Whether a 404 is about the entity set, not about the record: then nothing follows for the record."""
    said = words.message.lower()
    return "not found for the segment" in said or "no http resource" in said
