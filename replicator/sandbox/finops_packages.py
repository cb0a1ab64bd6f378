"""Exports of the finance and operations system: projects that run, and the packages that come of them.

As there, a project exports one entity, an execution is known by its id for good, and the package lies on a host of
its own, under an address that is signed for some time and wants no other credentials.
"""

from __future__ import annotations

import csv
import hmac
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from replicator.sandbox.description import FieldType, SimulatedSet, SystemDescription
from replicator.sandbox.odata_http import BadJsonError, Call, RefusalError, Reply, json_object, to_json
from replicator.sandbox.query import first_key_part
from replicator.sandbox.store import Store, StoredCondition
from replicator.sandbox.system_options import Packages

ACTIONS = "DataManagementDefinitionGroups/Microsoft.Dynamics.DataEntities."
FILES = "packages/"
"""Where packages lie on their host, which is this one."""
_FAULT = "System.InvalidOperationException"
_UNDER_WAY = ("NotRun", "Executing")
_NAMESPACE = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"


@dataclass
class _Execution:
    """A run of a project. It moves on each time that somebody asks how it stands."""

    project: str
    entity_set: SimulatedSet
    company: str
    stands: str = "NotRun"
    package: bytes = b""


class PackageService:
    """Carries out the actions on projects, and hands out packages. The caller holds the lock."""

    def __init__(
        self,
        description: SystemDescription,
        store: Store,
        options: Packages,
        clock: Callable[[], datetime],
        random: Random,
        count: Callable[[str], None],
    ) -> None:
        self._description, self._store, self._options = description, store, options
        self._clock, self._random, self._count = clock, random, count
        self._executions: dict[str, _Execution] = {}
        self._key = b""

    def act(self, call: Call) -> Reply:
        """One action. Raises RefusalError."""
        actions: dict[str, Callable[[Call, dict[str, Any]], str]] = {
            "ExportToPackage": self._export,
            "GetExecutionSummaryStatus": self._status,
            "GetExportedPackageUrl": self._url,
        }
        action = actions.get(call.path.removeprefix(ACTIONS))
        if action is None:
            raise RefusalError(
                404, f"No HTTP resource was found that matches the request URI '{call.root}{call.path}'."
            )
        if call.method != "POST":
            raise RefusalError(405, f"The requested resource does not support http method '{call.method}'.")
        try:
            value = action(call, json_object(call.body))
        except (BadJsonError, KeyError) as problem:
            raise RefusalError(400, f"The parameters of the action could not be read: {problem}") from None
        return Reply(200, to_json({"@odata.context": f"{call.root}$metadata#Edm.String", "value": value}))

    def _export(self, call: Call, given: dict[str, Any]) -> str:
        project, id_ = given["definitionGroupId"], given["executionId"]
        company = str(given["legalEntityId"]).lower()
        entity_set = self._description.entity_sets.get(self._projects.get(project, ""))
        if entity_set is None:
            raise RefusalError(500, f"There is no data project '{project}'.", _FAULT)
        if company not in self._description.known["legal_entities"]:
            raise RefusalError(500, f"There is no legal entity '{company}'.", _FAULT)
        if id_ in self._executions and not given["reExecute"]:
            raise RefusalError(500, f"The execution '{id_}' exists, and is not to be run again.", _FAULT)
        if any(each.project == project and each.stands in _UNDER_WAY for each in self._executions.values()):
            raise RefusalError(500, f"The data project '{project}' is being executed.", _FAULT)
        self._count("export")
        id_ = id_ or f"{project}-{len(self._executions) + 1}"
        self._executions[id_] = _Execution(project, entity_set, company)
        return str(id_)

    @property
    def _projects(self) -> dict[str, str]:
        return self._options.projects or {name: name for name in self._description.entity_sets}

    def _status(self, call: Call, given: dict[str, Any]) -> str:
        found = self._executions.get(given["executionId"])
        if found is None:
            return "Unknown"
        stood = found.stands
        if stood == "NotRun":
            found.stands = "Executing"
        elif stood == "Executing" and self._options.ends != "never":
            found.stands = self._options.ends
            found.package = self._package(found)
        return stood

    def _url(self, call: Call, given: dict[str, Any]) -> str:
        id_ = given["executionId"]
        if id_ not in self._executions or not self._executions[id_].package:
            raise RefusalError(500, f"The execution '{id_}' has no package.", _FAULT)
        until = (self._clock() + timedelta(seconds=self._options.address_seconds)).isoformat()
        host = urlsplit(call.root)
        signed = urlencode({"se": until, "sig": self._signature(id_, until)})
        return f"{host.scheme}://{host.netloc}/{FILES}{quote(id_, safe='')}.zip?{signed}"

    def _signature(self, id_: str, until: str) -> str:
        self._key = self._key or self._random.randbytes(32)
        return hmac.digest(self._key, f"{id_} {until}".encode(), "sha256").hex()

    def file(self, call: Call) -> Reply:
        """A package, for whoever has its address and sends no other credentials. It may be fetched again."""
        if call.method != "GET":
            return _refused(405, "UnsupportedHttpVerb")
        if call.header("authorization") is not None:
            return _refused(400, "InvalidAuthenticationInfo")
        id_ = call.path.removeprefix(FILES).removesuffix(".zip")
        until = call.query.get("se", "")
        signed = hmac.compare_digest(call.query.get("sig", "").encode(), self._signature(id_, until).encode())
        if not signed or datetime.fromisoformat(until) <= self._clock():
            return _refused(403, "AuthenticationFailed")
        found = self._executions.get(id_)
        if found is None:
            return _refused(404, "BlobNotFound")
        self._count("download")
        return Reply(200, content_type="application/octet-stream", data=found.package)

    def _package(self, execution: _Execution) -> bytes:
        entity_set, file = execution.entity_set, io.BytesIO()
        with ZipFile(file, "w", ZIP_DEFLATED) as archive:
            archive.writestr(f"{entity_set.label}.csv", self._csv(execution).encode("utf-8-sig"))
            archive.writestr("Manifest.xml", _manifest(execution.project, entity_set).encode("utf-16"))
            archive.writestr("PackageHeader.xml", _header(execution.project).encode("utf-16"))
        return file.getvalue()

    def _csv(self, execution: _Execution) -> str:
        """The records of the company, which itself is no column."""
        company, wire = self._description.company_field, execution.entity_set.wire
        names = [name for name in wire if name != company]
        condition = first_key_part(execution.company) if company in wire else StoredCondition()
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(name.upper() for name in names)
        for row in self._store.page(execution.entity_set.name, condition, 0, -1):
            writer.writerow(_shown(wire[name].type, row.doc.get(name)) for name in names)
        return text.getvalue()


def _shown(type_: FieldType, value: object) -> str:
    """A value as packages have it: numbers with six decimals, what stands at noon as a day, instants without a zone."""
    if isinstance(value, Decimal):
        return f"{value:.6f}" if value == round(value, 6) else f"{value:f}"
    if type_ == "datetime" and isinstance(value, str):
        return value.replace("T12:00:00Z", "T00:00:00Z").replace("T", " ").removesuffix("Z")
    return "" if value is None else str(value)


def _manifest(project: str, entity_set: SimulatedSet) -> str:
    maps = "".join(
        f"<EntityMap><EntityField>{name.upper()}</EntityField><XMLField>{name.upper()}</XMLField></EntityMap>"
        for name in entity_set.wire
    )
    label = escape(entity_set.label)
    entity = (
        f"<DataManagementPackageEntityData><EntityMapList>{maps}</EntityMapList><EntityName>{label}</EntityName>"
        f"<InputFilePath>{label}.csv</InputFilePath><SourceFormat>CSV</SourceFormat>"
        "<DefaultRefreshType>FullPush</DefaultRefreshType></DataManagementPackageEntityData>"
    )
    return (
        f'<DataManagementPackageManifest xmlns="{_NAMESPACE}"><DefinitionGroupName>{escape(project)}'
        f"</DefinitionGroupName><PackageEntityList>{entity}</PackageEntityList></DataManagementPackageManifest>"
    )


def _header(project: str) -> str:
    return (
        f'<DataManagementPackageHeader xmlns="{_NAMESPACE}"><Description>{escape(project)}</Description>'
        "<PackageType>DefinitionGroup</PackageType><PackageVersion>2</PackageVersion></DataManagementPackageHeader>"
    )


def _refused(status: int, code: str) -> Reply:
    """In the words of the host of packages, which is another one than that of the data."""
    return Reply(status, f"<Error><Code>{code}</Code></Error>", {}, "application/xml")
