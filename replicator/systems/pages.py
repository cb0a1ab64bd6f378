"""Reading an entity set page by page, by the links that the system gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from replicator.errors import UnexpectedAnswer
from replicator.systems.answers import json_object
from replicator.systems.http import Http


@dataclass(frozen=True)
class Sheet:
    """One page as it came: its entries, the link to the next page, and the link to later changes."""

    entries: list[dict[str, object]]
    next_link: str | None
    delta_link: str | None


def sheets(http: Http, url: str, headers: Mapping[str, str], entity_set: str) -> Iterator[Sheet]:
    """The pages from ``url`` on, to the end. Only the last one has no ``next_link``.

    Raises UnexpectedAnswer for a link that came before, a link to another host, more pages than allowed, or a page
    that is none; and what ``Http.send`` raises.
    """
    seen: set[str] = set()
    link: str | None = url
    while link is not None:
        number = len(seen) + 1
        what = f"{entity_set}, page {number}"
        if link in seen:
            raise UnexpectedAnswer(
                f"{http.name}: {what}: the link to this page was followed before: the pages run in a circle",
                hint="nothing of this read is used; it is tried again later",
            )
        if number > http.settings.pages_per_read:
            raise UnexpectedAnswer(
                f"{http.name}: {what}: more pages than pages_per_read allows",
                hint="allow more for this system, where the entity set is so large",
            )
        seen.add(link)
        body = json_object(http.send("GET", link, what, headers=headers), f"{http.name}: {what}")
        sheet = _sheet(body, http, link, what)
        yield sheet
        link = sheet.next_link


def _sheet(body: dict[str, object], http: Http, url: str, what: str) -> Sheet:
    entries = body.get("value")
    if not isinstance(entries, list) or not all(type(entry) is dict for entry in entries):
        raise UnexpectedAnswer(f"{http.name}: {what}: the answer has no list of records")
    next_link, delta_link = body.get("@odata.nextLink"), body.get("@odata.deltaLink")
    return Sheet(entries, _link(next_link, http, url, what), _link(delta_link, http, url, what))


def _link(link: object, http: Http, url: str, what: str) -> str | None:
    if link is None:
        return None
    if not isinstance(link, str) or not link:
        raise UnexpectedAnswer(f"{http.name}: {what}: the link to the next page is none")
    return http.same_origin(link, url)
