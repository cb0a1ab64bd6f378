"""Reading a large entity set of Finance and Operations as packages: one export for each company, then its file.

An export is an execution of a project (a *definition group*) that somebody made in Data management, and it runs in the
system whether we are there or not. Its id is ours: whoever calls makes one for each company, a text that was never used
before, and keeps it before anything is sent. Then a crash at any point loses nothing. What is asked first is always how
the execution of this id stands:

- the system does not know it, or has not run it: it is started, under the same id, which the system runs once;
- it is under way: it is waited for;
- it has succeeded: its package is fetched, as often as needed, for the system keeps it for some days.

So a read that was broken off is simply made again with the same ids. They are forgotten when the last page was taken
in, and after ``ExportEnded``, for then nothing good comes of them any more; after all other errors they are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from tempfile import TemporaryFile
from typing import BinaryIO

from replicator.connectors import exact_json
from replicator.connectors.finops_package_files import rows
from replicator.connectors.finops_package_rows import PackageUnusable, Wanted
from replicator.connectors.odata.answers import Answer, json_object
from replicator.connectors.odata.connector import ODataConnector
from replicator.connectors.odata.http import Http
from replicator.connectors.protocol import Page, Row, keys_only, shown
from replicator.errors import (
    ExportEnded,
    ExportUnderWay,
    ReplicatorError,
    RequestRefused,
    SystemUnavailable,
    Transient,
    UnexpectedAnswer,
)
from replicator.mapping.language import EntitySetSpec

Wait = Callable[[float], bool]
"""Lets so many seconds pass; False: nobody waits."""

_actions = "DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
_headers = {"Accept": "application/json", "Content-Type": "application/json"}
_unknown, _succeeded = "Unknown", "Succeeded"
_not_begun = {_unknown, "NotRun"}
_under_way = {*_not_begun, "Executing"}
_partly = "PartiallySucceeded"
_ended = {_partly, "Failed", "Canceled"}
_no_longer_good = {401, 403, 404, 410}
"""How the host of packages answers to an address whose time is over, and where there is no package any more."""
_first_pause, _longest_pause = 5.0, 60.0


class ExportFailed(ExportEnded, Transient):
    """The execution failed as a whole, was canceled, or its package is gone: another one may succeed."""


@dataclass(frozen=True)
class PackageExport:
    """How an entity set is exported.

    ``definition_group`` is the name of the export project, which holds this one entity and exports all of it;
    ``entity`` what packages call it, which is another name than that of the set; ``legal_entities`` are the companies,
    one after the other (one of them where the records belong to no company).
    """

    definition_group: str
    entity: str
    legal_entities: tuple[str, ...]


@dataclass(frozen=True)
class Execution:
    """One run of an export project, in one company, under the id that the caller keeps."""

    id: str
    definition_group: str
    legal_entity: str
    entity_set: str

    def __str__(self) -> str:
        group = shown(self.definition_group)
        return f"{self.entity_set}: export {shown(self.id)} of project {group} for {shown(self.legal_entity)}"


def export_pages(
    system: ODataConnector, entity_set: EntitySetSpec, export: PackageExport, executions: Mapping[str, str], wait: Wait
) -> Iterator[Page]:
    """Pages of the whole set, of these companies; ``executions`` are the ids that are kept, by company.

    Nothing is sent before the first page is asked for. Rows have no etag. An error after some pages means that nothing
    of them may be used, as in every read.

    Raises ExportUnderWay where it takes longer than ``read_seconds`` for one company, or nobody waits; ExportFailed
    and PackageUnusable; and what ``Http.send`` and ``Http.download`` raise.
    """
    http, read_key = system.http, system.decoder(keys_only(entity_set))
    size, last = http.settings.records_per_read, len(export.legal_entities) - 1
    for place, company in enumerate(export.legal_entities):
        one = Execution(executions[company], export.definition_group, company, entity_set.entity_set)
        what, largest = f"{http.name}: {one}", http.settings.answer_bytes
        wanted = Wanted(entity_set, export.entity, company, what, largest, read_key)
        complete(http, one, wait)
        with TemporaryFile() as file:
            download(http, one, file)
            yield from pages(rows(file, wanted), size, last=place == last)


def pages(found: Iterator[Row], size: int, *, last: bool) -> Iterator[Page]:
    """Rows by pages; with ``last`` the last of them says so, and comes where there is no row, too."""
    some = list(islice(found, size))
    while more := list(islice(found, size)):
        yield Page(some)
        some = more
    if some or last:
        yield Page(some, last=last)


def complete(http: Http, one: Execution, wait: Wait) -> None:
    """Start the execution unless it is known to be under way, and wait until it has succeeded."""
    found = status(http, one)
    if found in _not_begun:
        found = _started(http, one)
    waited = 0.0
    pause = _first_pause
    while found in _under_way:
        if waited + pause > http.settings.read_seconds or not wait(pause):
            raise ExportUnderWay(
                f"{http.name}: {one}: it has not ended yet ({found})",
                hint="the next read goes on waiting for it; where it never ends, cancel it in Data management",
            )
        waited += pause
        pause = min(2 * pause, _longest_pause)
        found = status(http, one)
    if found != _succeeded:
        raise _without_package(http, one, found)


def _started(http: Http, one: Execution) -> str:
    """Start it, and say how it stands.

    Where it was started before and waits for its turn, that is refused; where the answer is lost, it may be started. In
    both cases the system knows it, and what it does not know was not started.
    """
    try:
        start(http, one)
    except (RequestRefused, SystemUnavailable, UnexpectedAnswer):
        found = status(http, one)
        if found == _unknown:
            raise
        return found
    return "NotRun"


def _without_package(http: Http, one: Execution, found: str) -> ExportEnded:
    look = f"see the job history of {shown(one.definition_group)} in Data management"
    if found == _partly:
        hint = f"nothing of it is used; {look} for the records that failed, and mend them: it is exported anew"
        return PackageUnusable(f"{http.name}: {one}: only a part was exported ({found})", hint=hint)
    hint = f"it is exported anew, under another id; where that goes on, {look}"
    return ExportFailed(f"{http.name}: {one}: nothing was exported ({found})", hint=hint)


def start(http: Http, one: Execution) -> None:
    """Let the project run under this id. Of one project no two runs may be under way at once."""
    given = _act(
        http,
        "ExportToPackage",
        definitionGroupId=one.definition_group,
        packageName=one.id,
        executionId=one.id,
        reExecute=False,
        legalEntityId=one.legal_entity,
    )
    if given.lower() != one.id.lower():
        raise UnexpectedAnswer(f"{http.name}: {one}: it was started under another id, {shown(given)}")


def status(http: Http, one: Execution) -> str:
    """How the execution stands, in the system's word for it."""
    found = _act(http, "GetExecutionSummaryStatus", executionId=one.id)
    if found not in {*_under_way, *_ended, _succeeded}:
        raise UnexpectedAnswer(f"{http.name}: {one}: it stands at {shown(found)}, which is not known here")
    return found


def download(http: Http, one: Execution, file: BinaryIO) -> None:
    """Copy the package into a file. Its address is good for a while only: then another one is asked for, once."""
    for _ in range(2):
        url = _act(http, "GetExportedPackageUrl", executionId=one.id)
        answer = http.download(url, f"{one}: its package", file)
        if answer.status not in _no_longer_good:
            break
    error = _not_there(http, one, answer)
    if error is not None:
        raise error
    file.seek(0)


def _not_there(http: Http, one: Execution, answer: Answer) -> ReplicatorError | None:
    what = f"{http.name}: {one}: its package"
    if answer.status == 200:
        return None
    if answer.status in (404, 410):
        return ExportFailed(f"{what} is not there any more ({answer.status})", hint="it is exported anew")
    if answer.status in _no_longer_good:
        hint = "see whether the network of this machine may reach the storage of the environment"
        return UnexpectedAnswer(f"{what} is refused under its own address ({answer.status})", hint=hint)
    is_passing = answer.status >= 500 or answer.status in (408, 429)
    return (SystemUnavailable if is_passing else UnexpectedAnswer)(f"{what} does not come ({answer.status})")


def _act(http: Http, action: str, **parameters: object) -> str:
    """Call an action of the service for packages; each answers with one text."""
    url = http.url(_actions + action)
    answer = http.send("POST", url, action, headers=_headers, content=exact_json.dumps(parameters))
    value = json_object(answer, f"{http.name}: {action}").get("value")
    if not isinstance(value, str):
        raise UnexpectedAnswer(f"{http.name}: {action}: the answer holds no text")
    return value
