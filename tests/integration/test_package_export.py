"""Exports by package against the simulated system over HTTP: the whole way, crashes on it, and what may go wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from replicator.connectors.finops import FinOps
from replicator.connectors.finops_package import (
    ExportFailed,
    PackageExport,
    export_pages,
)
from replicator.connectors.finops_package_rows import PackageUnusable
from replicator.connectors.odata.http import LostAnswer
from replicator.connectors.odata.odata_settings import FinOpsSettings
from replicator.connectors.protocol import Page
from replicator.errors import (
    OF_THE_SYSTEM,
    ExportEnded,
    ExportUnderWay,
    ReplicatorError,
    SystemUnavailable,
    Terminal,
    Transient,
    UnexpectedAnswer,
)
from replicator.mapping.schema import load
from replicator.sandbox.description import describe
from replicator.sandbox.host import serve
from replicator.sandbox.sample import generate
from replicator.sandbox.system import Options, Sandbox
from replicator.sandbox.system_options import Packages

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "t0ken-of-this-test"
COMPANIES = ("usmf", "usrt")
IDS = {"usmf": "id-of-usmf", "usrt": "id-of-usrt", "nowhere": "id-of-nowhere"}
ACTION = "Microsoft.Dynamics.DataEntities."
EXPORT = PackageExport("CustomersV3", "Customers", COMPANIES)
SETS = {spec.name: spec.spec for (system, _), spec in load(ROOT / "schema").entity_sets.items() if system == "ops"}
CUSTOMERS = SETS["CustomersV3"]


class Crash(Exception):
    """The replicator dies."""


@dataclass
class Wire(httpx2.BaseTransport):
    """The way to the sandbox, over HTTP. ``before`` and ``after`` may do something, raise, or give another answer."""

    before: Callable[[httpx2.Request], httpx2.Response | None] = lambda request: None
    after: Callable[[httpx2.Request], httpx2.Response | None] = lambda request: None
    seen: list[httpx2.Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._real = httpx2.HTTPTransport()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        return self.before(request) or self._answered(request)

    def _answered(self, request: httpx2.Request) -> httpx2.Response:
        response = self._real.handle_request(request)
        content = response.read()
        response.close()
        whole = httpx2.Response(response.status_code, headers=response.headers, content=content)
        return self.after(request) or whole

    def close(self) -> None:
        self._real.close()

    @property
    def steps(self) -> list[str]:
        """What was asked for: the action of the service, or the file."""
        return [step(request) for request in self.seen]


def step(request: httpx2.Request) -> str:
    return urlsplit(str(request.url)).path.rpartition("/")[2].removeprefix(ACTION)


def is_file(request: httpx2.Request) -> bool:
    return request.method == "GET" and step(request).endswith(".zip")


@dataclass
class Scene:
    """A sandbox that is served, and a wire to it; every ``read`` is as after a new start of the replicator."""

    sandbox: Sandbox
    url: str
    now: list[datetime]
    wire: Wire = field(default_factory=Wire)
    waits: list[float] = field(default_factory=list)

    def system(self, **more: Any) -> FinOps:
        settings = {"kind": "finops", "url": self.url, "auth": {"kind": "bearer", "token": TOKEN}, **more}
        return FinOps("ops", FinOpsSettings.model_validate(settings), transport=self.wire, clock=lambda: self.now[0])

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return True

    def pages(
        self, export: PackageExport = EXPORT, wait: Callable[[float], bool] | None = None, **more: Any
    ) -> list[Page]:
        system = self.system(**more)
        try:
            return list(export_pages(system, SETS[export.definition_group], export, IDS, wait or self.wait))
        finally:
            system.close()

    def accounts(self) -> list[object]:
        return [row["CustomerAccount"] for page in self.pages() for row in page.rows]

    def error(self, kind: type[ReplicatorError] = ReplicatorError, **more: Any) -> ReplicatorError:
        """The error of a read, which tells nobody where the package lies."""
        with pytest.raises(kind) as caught:
            self.pages(**more)
        told = "".join(traceback.format_exception(caught.value)) + str(caught.value)
        for secret in ("sig=", "s3cret", TOKEN):
            assert secret not in told
        assert caught.value.hint
        return caught.value


Make = Callable[..., Scene]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    started: list[tuple[Any, Sandbox, Wire]] = []

    def start(**packages: Any) -> Scene:
        now = [datetime(2026, 3, 2, 8, 0, tzinfo=UTC)]
        options = Options(token=TOKEN, packages=Packages(**packages))
        sandbox = Sandbox("ops", options=options, clock=lambda: now[0], random=Random(1))
        for company, account in (("usmf", "C1"), ("usmf", "C2"), ("usmf", "C3"), ("usrt", "R1"), ("demf", "D1")):
            sandbox.put("CustomersV3", {"dataAreaId": company, "CustomerAccount": account, "OrganizationName": "A, B"})
        server = serve(sandbox)
        scene = Scene(sandbox, server.url, now)
        started.append((server, sandbox, scene.wire))
        return scene

    yield start
    for server, sandbox, wire in started:
        wire.close()
        server.close()
        sandbox.close()


@pytest.fixture
def scene(make: Make) -> Scene:
    return make()


def test_each_company_is_exported_one_after_the_other_and_read_by_pages(scene: Scene) -> None:
    pages = scene.pages(records_per_read=2)
    assert [[(row["dataAreaId"], row["CustomerAccount"]) for row in page.rows] for page in pages] == [
        [("usmf", "C1"), ("usmf", "C2")],
        [("usmf", "C3")],
        [("usrt", "R1")],
    ]
    assert [(page.last, page.token, page.deleted) for page in pages] == [(each, None, ()) for each in (0, 0, 1)]
    asked = "GetExecutionSummaryStatus"
    for company, steps in zip(COMPANIES, (scene.wire.steps[:7], scene.wire.steps[7:]), strict=True):
        file = f"{IDS[company]}.zip"
        assert steps == [asked, "ExportToPackage", asked, asked, asked, "GetExportedPackageUrl", file]
    assert scene.waits == [5.0, 10.0, 20.0] * 2


@pytest.mark.parametrize("name", sorted(SETS))
def test_an_export_holds_what_odata_reads(scene: Scene, tmp_path: Path, name: str) -> None:
    generate(42, tmp_path)
    scene.sandbox.load(tmp_path / "ops")
    spec, system = SETS[name], scene.system()
    decode, places = system.decoder(spec), [list(SETS[name].fields).index(field) for field in SETS[name].key]

    def records(pages: Iterable[Page]) -> dict[tuple[object, ...], list[object]]:
        images = [decode(row)[:-1] for page in pages for row in page.rows]
        return {tuple(image[place] for place in places): image for image in images}

    exported = records(scene.pages(PackageExport(name, describe("ops").entity_sets[name].label, COMPANIES)))
    read = records(system.read(spec, None))
    system.close()
    assert exported == {key: image for key, image in read.items() if "demf" not in key}


def test_the_token_goes_to_the_system_and_never_to_the_host_of_packages(scene: Scene) -> None:
    scene.pages()
    files = [request for request in scene.wire.seen if is_file(request)]
    assert len(files) == 2
    assert all("authorization" not in request.headers for request in files)
    others = [request for request in scene.wire.seen if request not in files]
    assert {request.headers["authorization"] for request in others} == {f"Bearer {TOKEN}"}


def test_nothing_of_the_address_of_a_package_is_logged(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.WARNING, "httpx2")  # as the command line has it
    scene.pages()
    assert "sig=" not in caplog.text


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("place", range(14))
def test_a_crash_at_any_point_resumes_with_the_same_ids_and_exports_once(scene: Scene, place: int, when: str) -> None:
    def crash(request: httpx2.Request) -> None:
        if len(scene.wire.seen) == place + 1:
            raise Crash

    setattr(scene.wire, when, crash)
    with pytest.raises(Crash):
        scene.pages()
    scene.wire.before = scene.wire.after = lambda request: None
    assert scene.accounts() == ["C1", "C2", "C3", "R1"]
    assert scene.sandbox.requests["export"] == len(COMPANIES)


def test_a_lost_answer_to_the_start_is_looked_up(scene: Scene) -> None:
    def lost(request: httpx2.Request) -> None:
        if step(request) == "ExportToPackage":
            raise httpx2.ReadTimeout("lost")

    scene.wire.after = lost
    assert scene.accounts() == ["C1", "C2", "C3", "R1"]
    assert scene.sandbox.requests["export"] == len(COMPANIES)


@pytest.mark.parametrize(
    ("export", "words"),
    [
        (PackageExport("CDSContactPersonsV2", "Contacts", COMPANIES), "no data project 'CDSContactPersonsV2'"),
        (PackageExport("CustomersV3", "Customers", ("usrt", "nowhere")), "no legal entity 'nowhere'"),
    ],
)
def test_a_start_that_is_refused_is_told(make: Make, export: PackageExport, words: str) -> None:
    scene = make(projects={"CustomersV3": "CustomersV3"})
    assert words in str(scene.error(SystemUnavailable, export=export))


@pytest.mark.parametrize(
    ("ends", "kind", "transience", "words"),
    [
        ("Failed", ExportFailed, Transient, "nothing was exported (Failed)"),
        ("Canceled", ExportFailed, Transient, "nothing was exported (Canceled)"),
        ("PartiallySucceeded", PackageUnusable, Terminal, "only a part was exported (PartiallySucceeded)"),
    ],
)
def test_an_execution_that_does_not_succeed_gives_nothing_and_its_id_is_of_no_more_use(
    make: Make, ends: str, kind: type[ReplicatorError], transience: type[ReplicatorError], words: str
) -> None:
    scene = make(ends=ends)
    error = scene.error(kind)
    assert isinstance(error, ExportEnded)
    assert isinstance(error, transience)
    assert error.message == f"ops: CustomersV3: export 'id-of-usmf' of project 'CustomersV3' for 'usmf': {words}"
    assert not any(map(is_file, scene.wire.seen))


def test_an_execution_that_does_not_end_is_waited_for_so_long_and_next_time_under_the_same_id(make: Make) -> None:
    scene = make(ends="never")
    for _ in range(2):
        assert "has not ended yet (Executing)" in str(scene.error(ExportUnderWay, read_seconds=100))
    assert scene.waits == [5.0, 10.0, 20.0, 40.0] * 2
    assert scene.wire.steps.count("ExportToPackage") == 1


def test_where_nobody_waits_every_read_looks_how_it_stands(scene: Scene) -> None:
    for _ in range(4):
        scene.error(ExportUnderWay, wait=lambda seconds: False)
    assert len(scene.pages(wait=lambda seconds: False)) == len(COMPANIES)
    assert scene.sandbox.requests["export"] == len(COMPANIES)


def test_an_address_whose_time_is_over_is_asked_for_again(scene: Scene) -> None:
    def late(request: httpx2.Request) -> None:
        if (
            is_file(request)
            and not scene.sandbox.requests["download"]
            and scene.wire.steps.count("id-of-usmf.zip") == 1
        ):
            scene.now[0] += timedelta(hours=2)

    scene.wire.before = late
    assert scene.accounts() == ["C1", "C2", "C3", "R1"]
    assert scene.wire.steps.count("GetExportedPackageUrl") == 3
    assert scene.sandbox.requests["export"] == len(COMPANIES)


def test_an_address_that_is_never_good_is_told(make: Make) -> None:
    scene = make(address_seconds=0)
    assert "is refused under its own address (403)" in str(scene.error(UnexpectedAnswer))
    assert scene.wire.steps.count("GetExportedPackageUrl") == 2


def broken_off(request: httpx2.Request) -> httpx2.Response:
    def pieces() -> Iterator[bytes]:
        yield b"PK"
        raise httpx2.ReadError("cut")

    class Cut(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return pieces()

    return httpx2.Response(200, stream=Cut())


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (httpx2.Response(404), ExportFailed, "is not there any more (404)"),
        (httpx2.Response(503), SystemUnavailable, "503"),
        (httpx2.Response(429, headers={"Retry-After": "7"}), SystemUnavailable, "429"),
        (httpx2.Response(302, headers={"Location": "https://s3cret.test/"}), UnexpectedAnswer, "302"),
        (httpx2.Response(204), UnexpectedAnswer, "does not come (204)"),
        (httpx2.Response(200, content=b"<html>s3cret</html>"), PackageUnusable, "is no whole zip file"),
        (httpx2.Response(200, content=b"x" * 2000), UnexpectedAnswer, "larger than 1000 bytes"),
        (broken_off, LostAnswer, "no whole answer"),
        (httpx2.ConnectError("https://s3cret.test/?sig=1"), SystemUnavailable, "cannot be reached"),
        (httpx2.ReadTimeout("https://s3cret.test/?sig=1"), LostAnswer, "no whole answer"),
    ],
    ids=lambda value: value if isinstance(value, str) else getattr(value, "__name__", type(value).__name__),
)
def test_what_the_host_of_packages_may_answer(
    scene: Scene, answer: Any, kind: type[ReplicatorError], words: str
) -> None:
    def answered(request: httpx2.Request) -> httpx2.Response | None:
        if not is_file(request):
            return None
        if isinstance(answer, Exception):
            raise answer
        found: httpx2.Response = answer(request) if callable(answer) else answer
        return found

    scene.wire.before = answered
    error = scene.error(kind, answer_bytes=1000)
    assert words in error.message
    assert "'id-of-usmf'" in error.message
    assert not isinstance(error, OF_THE_SYSTEM)
    assert isinstance(error, ExportEnded) == (kind in (ExportFailed, PackageUnusable))


@pytest.mark.parametrize(
    "address",
    [
        "http://storage.test/p?sig=1",
        "ftp://storage.test/p?sig=1",
        "https://me:s3cret@storage.test/p",
        "//sig=1",
        "",
        "https://[",
    ],
)
def test_an_address_that_cannot_be_kept_secret_is_not_followed(scene: Scene, address: str) -> None:
    def other(request: httpx2.Request) -> httpx2.Response | None:
        url = step(request) == "GetExportedPackageUrl"
        return httpx2.Response(200, json={"value": address}) if url else None

    scene.wire.before = other
    assert "is not one of https" in str(scene.error(UnexpectedAnswer))
    assert {request.url.host for request in scene.wire.seen} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("action", "value", "words"),
    [
        ("ExportToPackage", "another", "it was started under another id, 'another'"),
        ("GetExecutionSummaryStatus", "Sleeping", "it stands at 'Sleeping', which is not known here"),
        ("GetExecutionSummaryStatus", None, "the answer holds no text"),
    ],
)
def test_answers_that_nobody_knows_are_told(scene: Scene, action: str, value: object, words: str) -> None:
    def other(request: httpx2.Request) -> httpx2.Response | None:
        return httpx2.Response(200, json={"value": value}) if step(request) == action else None

    scene.wire.before = other
    assert words in str(scene.error(UnexpectedAnswer))


def act(scene: Scene, action: str, **given: Any) -> httpx2.Response:
    url = f"{scene.url}/data/DataManagementDefinitionGroups/{ACTION}{action}"
    return httpx2.post(url, json=given, headers={"Authorization": f"Bearer {TOKEN}"})


def started(scene: Scene, id_: str, company: str = "usmf") -> httpx2.Response:
    given = {"definitionGroupId": "CustomersV3", "packageName": "p", "executionId": id_, "reExecute": False}
    return act(scene, "ExportToPackage", **given, legalEntityId=company)


def test_the_sandbox_runs_an_id_once_and_a_project_once_at_a_time(scene: Scene) -> None:
    def stands() -> str:
        return str(act(scene, "GetExecutionSummaryStatus", executionId="a").json()["value"])

    assert stands() == "Unknown"
    assert started(scene, "a").json()["value"] == "a"
    assert "is being executed" in started(scene, "b", "usrt").text
    assert act(scene, "GetExportedPackageUrl", executionId="a").status_code == 500
    assert [stands() for _ in range(4)] == ["NotRun", "Executing", "Succeeded", "Succeeded"]
    assert "is not to be run again" in started(scene, "a").text
    assert started(scene, "b", "usrt").json()["value"] == "b"


def test_the_sandbox_hands_a_package_to_whoever_has_its_address_and_no_other_credentials(scene: Scene) -> None:
    scene.pages()
    url = act(scene, "GetExportedPackageUrl", executionId="id-of-usmf").json()["value"]
    assert httpx2.get(url).content.startswith(b"PK")
    assert httpx2.get(url, headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 400
    assert httpx2.get(url.replace("usmf", "usrt")).status_code == 403
    assert httpx2.get(url + "0").status_code == 403
    assert httpx2.get(url.partition("?")[0]).status_code == 403
    assert httpx2.post(url).status_code == 405
    scene.now[0] += timedelta(hours=2)
    assert httpx2.get(url).status_code == 403


def test_the_sandbox_wants_whole_parameters_of_actions_it_has(scene: Scene) -> None:
    assert act(scene, "ExportToPackage", executionId="a").status_code == 400
    assert act(scene, "ImportFromPackage").status_code == 404
