"""Hints from Dataverse: a service endpoint (a webhook), and for each table that is read and each kind of change a step.

What there should be is compared with what there is; to register is to mend what differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from replicator.connectors import exact_json
from replicator.connectors.dataverse import guid
from replicator.connectors.odata.addresses import literal
from replicator.connectors.odata.connector import common_headers
from replicator.connectors.odata.http import Http
from replicator.connectors.odata.paging import sheets
from replicator.connectors.protocol import Row
from replicator.errors import Terminal, UnexpectedAnswer
from replicator.mapping.language import EntitySetSpec

MESSAGES = ("Create", "Update", "Delete")
Standing = Literal["there", "missing", "changed", "surplus"]
Json = dict[str, Any]
_FILTER = "sdkmessagefilterid@odata.bind"
_ENDPOINT, _STEP = "serviceendpoints", "sdkmessageprocessingsteps"
_WEBHOOK: Mapping[str, object] = {"contract": 8, "authtype": 4, "messageformat": 2}
"""A webhook, with its key in the address, that is sent JSON."""
_AFTERWARDS: Mapping[str, object] = {
    "stage": 40,
    "mode": 1,
    "rank": 1,
    "supporteddeployment": 0,
    "asyncautodelete": True,
}
"""After the change was committed, so that nobody waits for it; on the server; and done, its job is deleted."""
_ENABLED = {"statecode": 0, "statuscode": 1}


@dataclass(frozen=True)
class Item:
    """The endpoint, or a step: what it is for people, how it stands, and where in the system."""

    kind: Literal["endpoint", "step"]
    name: str
    stands: Standing
    id: str = field(default="", compare=False)
    body: Mapping[str, object] = field(default_factory=dict, repr=False, compare=False)
    """What it should hold; without the key."""
    since: datetime | None = field(default=None, compare=False)
    """When it was made."""


@dataclass(frozen=True)
class _Filter:
    """That a message of a table may have steps: its id, and that of the message."""

    id: str
    message_id: str


class Registration:
    """What one hub has registered in one system. ``url`` is where the system gives its hints."""

    def __init__(self, http: Http, url: str, entity_sets: Sequence[EntitySetSpec]) -> None:
        self._http, self._url = http, url
        self._sets = {_table(http.name, each): each for each in entity_sets}
        self._name = f"replicator: {http.name}"

    def look(self) -> list[Item]:
        """The endpoint, then the steps: those that should be there, and those that should not."""
        endpoint = self._endpoint()
        steps = self._held_steps(endpoint.id) if endpoint.id else []
        return [endpoint, *compared(self._wanted_steps(), steps)]

    def register(self, key: str) -> Iterator[Item]:
        """Mend what differs; each item as it stood before, once that is done.

        The key is always sent again, for the system shows it to nobody.
        """
        self._http.conceal(key)
        endpoint, *steps = self.look()
        yield (endpoint := self._put(_ENDPOINT, endpoint, {**endpoint.body, "authvalue": key}))
        bound = {"eventhandler_serviceendpoint@odata.bind": f"/{_ENDPOINT}({endpoint.id})"}
        for step in steps:
            if step.stands == "surplus":
                self._delete(_STEP, step)
            elif step.stands != "there":
                self._put(_STEP, step, {**step.body, **(bound if step.stands == "missing" else {})})
            yield step

    def remove(self) -> Iterator[Item]:
        """Take all of it back: the steps first, for an endpoint that has some cannot go."""
        endpoint = self._endpoint()
        if endpoint.id:
            for step in compared({}, self._held_steps(endpoint.id)):
                self._delete(_STEP, step)
                yield step
            self._delete(_ENDPOINT, endpoint)
            yield replace(endpoint, stands="surplus")

    def _endpoint(self) -> Item:
        wanted = {"name": self._name, "url": self._url, **_WEBHOOK}
        select = ",".join(("serviceendpointid", "createdon", *wanted))
        found = self._rows(_ENDPOINT, f"$filter=name eq {literal('name', self._name)}&$select={select}")
        for row in found:
            stands: Standing = "there" if _holds(row, wanted) else "changed"
            return Item("endpoint", self._name, stands, _id(row, "serviceendpointid"), wanted, _time(row))
        return Item("endpoint", self._name, "missing", body=wanted)

    def _held_steps(self, endpoint: str) -> list[Row]:
        names = ("name", *_AFTERWARDS, "filteringattributes", *_ENABLED, "createdon")
        select = ",".join(("sdkmessageprocessingstepid", "_sdkmessagefilterid_value", *names))
        return self._rows(_STEP, f"$filter=_eventhandler_value eq {endpoint}&$select={select}")

    def _wanted_steps(self) -> dict[str, Json]:
        """What each step should hold, by its name."""
        filters = self._filters()
        wanted = {}
        for table, spec in self._sets.items():
            for message in MESSAGES:
                found = filters.get((table, message))
                if found is None:
                    raise Terminal(
                        f"{self._http.name}: {spec.entity_set}: the system lets nobody hear of {message} of {table}",
                        hint="is its logical_name in schema/ right, and may the user read sdkmessagefilters?",
                    )
                name = f"{self._name}: {table} {message}"
                wanted[name] = step_body(name, spec, message, found.id, found.message_id)
        return wanted

    def _filters(self) -> dict[tuple[str, str], _Filter]:
        """Of each table and message."""
        messages = _any_of("sdkmessageid/name", MESSAGES)
        tables = _any_of("primaryobjecttypecode", self._sets)
        query = (
            f"$select=sdkmessagefilterid,primaryobjecttypecode&$expand=sdkmessageid($select=sdkmessageid,name)"
            f"&$filter=({messages}) and ({tables})"
        )
        found: dict[tuple[str, str], _Filter] = {}
        for row in self._rows("sdkmessagefilters", query):
            message = row.get("sdkmessageid")
            if isinstance(message, Mapping):
                place = (str(row.get("primaryobjecttypecode")), str(message.get("name")))
                found[place] = _Filter(_id(row, "sdkmessagefilterid"), _id(message, "sdkmessageid"))
        return found

    def _rows(self, entity_set: str, query: str) -> list[Row]:
        url = self._http.url(f"{entity_set}?{query.replace(' ', '%20')}")
        return [row for sheet in sheets(self._http, url, common_headers, entity_set) for row in sheet.entries]

    def _put(self, entity_set: str, item: Item, body: Mapping[str, object]) -> Item:
        """Make it, or change what is there; with its id."""
        path = f"{entity_set}({item.id})" if item.id else entity_set
        headers = {**common_headers, "Content-Type": "application/json", **({"If-Match": "*"} if item.id else {})}
        answer = self._http.send(
            "PATCH" if item.id else "POST", self._http.url(path), f"{item.kind} '{item.name}'", headers=headers,
            content=exact_json.dumps(body), writes=True,
        )  # fmt: skip
        if item.id:
            return item
        made = guid.search(answer.headers.get("odata-entityid", ""))
        if made is None:
            raise UnexpectedAnswer(f"{self._http.name}: {item.kind} '{item.name}': it does not say what it has made")
        return replace(item, id=made[0])

    def _delete(self, entity_set: str, item: Item) -> None:
        what = f"{item.kind} '{item.name}'"
        self._http.send("DELETE", self._http.url(f"{entity_set}({item.id})"), what, headers=common_headers, writes=True)


def step_body(name: str, spec: EntitySetSpec, message: str, filter_id: str, message_id: str) -> Json:
    """What a step holds: of an update only the declared fields are heard of, and of these not the key, which stays."""
    heard = ",".join(sorted(set(spec.fields) - set(spec.key))) if message == "Update" else None
    return {
        "name": name, **_AFTERWARDS, "filteringattributes": heard,
        "sdkmessageid@odata.bind": f"/sdkmessages({message_id})",
        _FILTER: _filter(filter_id),
    }  # fmt: skip


def compared(wanted: Mapping[str, Mapping[str, Any]], held: Iterable[Row]) -> list[Item]:
    """How each step stands: those wanted, in their order, then those too many."""
    found: dict[str, Row] = {}
    surplus = []
    for row in held:
        name = str(row.get("name"))
        if name not in found and wanted.get(name, {}).get(_FILTER) == _filter(row.get("_sdkmessagefilterid_value")):
            found[name] = row
        else:
            surplus.append(Item("step", name, "surplus", _id(row, "sdkmessageprocessingstepid")))
    return [*(_stands(name, body, found.get(name)) for name, body in wanted.items()), *surplus]


def _stands(name: str, body: Mapping[str, Any], row: Row | None) -> Item:
    if row is None:
        return Item("step", name, "missing", body=body)
    own = {key: value for key, value in body.items() if "@" not in key and key != "filteringattributes"} | _ENABLED
    same = _holds(row, own) and _listed(row.get("filteringattributes")) == _listed(body["filteringattributes"])
    changes = own | {"filteringattributes": body["filteringattributes"]}
    return Item(
        "step", name, "there" if same else "changed", _id(row, "sdkmessageprocessingstepid"), changes, _time(row)
    )


def _holds(row: Row, wanted: Mapping[str, object]) -> bool:
    return all(row.get(name) == value for name, value in wanted.items())


def _listed(text: object) -> set[str]:
    return {each.strip() for each in str(text or "").split(",") if each.strip()}


def _filter(key: object) -> str:
    return f"/sdkmessagefilters({str(key).lower()})"


def _id(row: Mapping[str, object], name: str) -> str:
    found = guid.fullmatch(str(row.get(name)))
    if found is None:
        raise UnexpectedAnswer(f"the answer holds a row without its {name}")
    return found[0].lower()


def _time(row: Row) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(row.get("createdon")))
    except ValueError:
        return None
    return found if found.tzinfo else None


def _any_of(name: str, values: Iterable[str]) -> str:
    return " or ".join(f"{name} eq {literal(name, each)}" for each in values)


def _table(system: str, spec: EntitySetSpec) -> str:
    if spec.logical_name is None:
        raise Terminal(
            f"{system}: {spec.entity_set} does not say which table it is, so that nobody can hear of its changes",
            hint=f"give its file in schema/{system} its logical_name",
        )
    return spec.logical_name
