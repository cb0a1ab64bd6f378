"""Reading an entity set page by page, by the links that the system gives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from replicator.connectors.json_rows import json_page
from replicator.connectors.odata.answers import Answer, json_object
from replicator.connectors.odata.http import Http
from replicator.connectors.protocol import Row
from replicator.errors import UnexpectedAnswer


@dataclass(frozen=True)
class Sheet:
    """One page as it came: its entries, the link to the next page, and the link to later changes."""

    entries: Sequence[Row]
    next_link: str | None
    delta_link: str | None


def sheets(http: Http, url: str, headers: Mapping[str, str], entity_set: str) -> Iterator[Sheet]:
    """The pages from ``url`` on, to the end. Only the last one has no ``next_link``.

    Raises UnexpectedAnswer for a link that came before, a link to another host, more pages or seconds than allowed, or
    a page that is none; and what ``Http.send`` raises.
    """
    seen: set[bytes] = set()
    until = time.monotonic() + http.settings.read_seconds
    link: str | None = url
    while link is not None:
        what = f"{entity_set}, page {len(seen) + 1}"
        mark = sha256(link.encode("utf-8", "surrogatepass")).digest()  # links may be long, and many
        if mark in seen:
            raise UnexpectedAnswer(
                f"{http.name}: {what}: the link to this page was followed before: the pages run in a circle",
                hint="nothing of this read is used; it is tried again later",
            )
        _keep_bounds(http, what, len(seen), until)
        seen.add(mark)
        answer = http.send("GET", link, what, headers=headers)
        sheet = _sheet(answer, http, link, what)
        yield sheet
        link = sheet.next_link


def _keep_bounds(http: Http, what: str, pages: int, until: float) -> None:
    """Pages may go on for ever without a link coming twice."""
    settings = http.settings
    if pages >= settings.pages_per_read:
        told, setting = f"more pages than the {settings.pages_per_read} that a read may have", "pages_per_read"
    elif time.monotonic() >= until:
        told, setting = f"the entity set was not read in {settings.read_seconds:g} s", "read_seconds"
    else:
        return
    raise UnexpectedAnswer(
        f"{http.name}: {what}: {told}",
        hint=f"nothing of this read is used; where the entity set is so large, allow more {setting} for this system",
    )


def _sheet(answer: Answer, http: Http, url: str, what: str) -> Sheet:
    is_json = answer.media_type == "application/json"
    quick = json_page(answer.body, f"{http.name}: {what}") if is_json else None
    entries, next_link, delta_link = quick or _with_care(answer, http, what)
    return Sheet(entries, _link(next_link, http, url, what), _link(delta_link, http, url, what))


def _with_care(answer: Answer, http: Http, what: str) -> tuple[Sequence[Row], object, object]:
    """The rows and the links of a page that is read number by number, or the reason why it is none."""
    body = json_object(answer, f"{http.name}: {what}")
    entries = body.get("value")
    if not isinstance(entries, list) or not all(type(entry) is dict for entry in entries):
        raise UnexpectedAnswer(f"{http.name}: {what}: the answer has no list of records")
    return entries, body.get("@odata.nextLink"), body.get("@odata.deltaLink")


def _link(link: object, http: Http, url: str, what: str) -> str | None:
    if link is None:
        return None
    if not isinstance(link, str) or not link:
        raise UnexpectedAnswer(f"{http.name}: {what}: the link to the next page is none")
    return http.same_origin(link, url)
