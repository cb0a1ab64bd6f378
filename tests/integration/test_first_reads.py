"""First reads by packages: with the etags of before, resumed after a crash, and page by page where they fail."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from replicator.config import Budget
from replicator.connectors.finops import FinOps
from replicator.connectors.odata.odata_settings import FinOpsSettings
from replicator.errors import ExportUnderWay, ReplicatorError
from replicator.inbound.load import SnapshotResult
from replicator.inbound.snapshot import Snapshots
from replicator.sandbox.system_options import Options, Packages
from tests.fixtures.world import Systems

PRODUCTS = "SellableReleasedProducts"
PACKAGES = {PRODUCTS: {"project": PRODUCTS, "entity": "Sellable released products", "companies": ["usmf"]}}
HELD = "select product_number, product_name, etag from ops.sellable_released_products order by product_number"
KEPT = "select export, (select count(*) from sync.swept) as etags from sync.entity_set where entity_set = :name"


class Crash(Exception):
    """The replicator dies."""


class Wire(httpx2.BaseTransport):
    """The way to the simulated system, with somebody who may do something between two requests."""

    def __init__(self, systems: Systems) -> None:
        self._real = systems.wire["ops"]
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda step: None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        step = request.url.path.rpartition("/")[2].rpartition(".")[2]
        self.before(step)
        self.asked.append(step)
        return self._real.handle_request(request)


class First:
    """First reads of the products of ops."""

    def __init__(self, systems: Systems) -> None:
        self.systems, self.wire = systems, Wire(systems)
        settings = FinOpsSettings.model_validate({"kind": "finops", "url": "http://localhost", "packages": PACKAGES})
        self.connector = FinOps("ops", settings, transport=self.wire)
        self.waiting = True

    def take(self) -> SnapshotResult:
        """A read as after a new start."""
        entity_set = self.systems.cycle.world.compiled.schema.entity_sets["ops", PRODUCTS]
        snapshots = Snapshots(self.systems.cycle.hub, self.connector, lambda seconds: self.waiting)
        self.wire.asked.clear()
        return snapshots.take(entity_set, Budget())

    def rows(self, query: str) -> list[dict[str, object]]:
        return self.systems.rows(query, name=PRODUCTS) if ":name" in query else self.systems.rows(query)


@pytest.fixture
def first(systems: Systems) -> First:
    systems.reference_data()
    for number in range(5):
        systems.product(f"P-{number}")
    return First(systems)


def test_a_set_is_read_by_its_package_and_then_swept_without_reading_anything_again(first: First) -> None:
    assert first.take() == SnapshotResult("whole", rows=5, inserted=5)
    assert first.wire.asked[0] == PRODUCTS, "a sweep comes first"
    assert first.wire.asked.count(PRODUCTS) == 1
    assert "ExportToPackage" in first.wire.asked
    by_package = first.rows(HELD)
    assert first.rows(KEPT) == [{"export": None, "etags": 0}]
    assert first.take() == SnapshotResult("swept", rows=5)
    assert first.wire.asked == [PRODUCTS]
    first.systems.run("delete from ops.sellable_released_products")
    first.systems.cycle.read(["ops"], whole=True)
    assert first.rows(HELD) == by_package, "page by page it is the same, etags too"


def test_what_changes_while_it_is_exported_is_found_by_the_next_sweep(first: First) -> None:
    def meanwhile(step: str) -> None:
        if step == "ExportToPackage":
            first.systems.product("P-3", ProductName="Before the export")
            first.systems.product("P-9")
        if step == "GetExportedPackageUrl":
            first.systems.product("P-2", ProductName="After the export")

    first.wire.before = meanwhile
    assert first.take() == SnapshotResult("whole", rows=6, inserted=6)
    assert first.take() == SnapshotResult("swept", rows=6, updated=3), "the two, and the new one, whose etag is unknown"
    names = {row["product_number"]: row["product_name"] for row in first.rows(HELD)}
    assert (names["P-2"], names["P-3"]) == ("After the export", "Before the export")


@pytest.mark.parametrize("step", ["ExportToPackage", "GetExecutionSummaryStatus", "GetExportedPackageUrl"])
def test_after_a_crash_the_same_export_is_read(first: First, step: str) -> None:
    def die(asked: str) -> None:
        if asked == step:
            raise Crash

    first.wire.before = die
    with pytest.raises(Crash):
        first.take()
    (kept,) = first.rows(KEPT)
    assert kept["export"]
    assert kept["etags"] == 5
    first.wire.before = lambda asked: None
    assert first.take() == SnapshotResult("whole", rows=5, inserted=5)
    assert first.wire.asked.count("ExportToPackage") == (step != "GetExportedPackageUrl")
    assert PRODUCTS not in first.wire.asked, "nor is it swept again: those etags would be newer than the export"
    assert first.take() == SnapshotResult("swept", rows=5)


def test_nobody_has_to_wait_for_an_export(first: First) -> None:
    first.waiting = False
    with pytest.raises(ExportUnderWay):
        first.take()
    problems = first.rows("select problem from sync.problems")
    assert "has not ended yet" in str(problems[0]["problem"])
    for _ in range(5):
        try:
            taken = first.take()
        except ExportUnderWay:
            continue
        break
    assert taken == SnapshotResult("whole", rows=5, inserted=5)
    assert first.rows("select problem from sync.problems") == []


@pytest.mark.parametrize(
    ("ends", "asked_for", "anew"),
    [("Failed", False, True), ("PartiallySucceeded", False, False), ("PartiallySucceeded", True, True)],
)
def test_an_export_that_gives_nothing_whole_is_made_anew_or_given_up(
    first: First, systems: Systems, monkeypatch: pytest.MonkeyPatch, ends: str, asked_for: bool, anew: bool
) -> None:
    options = Options(packages=Packages.model_validate({"ends": ends}))
    monkeypatch.setattr(systems.ops._packages, "_options", options.packages)
    with pytest.raises(ReplicatorError):
        first.take()
    monkeypatch.setattr(systems.ops._packages, "_options", Packages())
    if asked_for:
        systems.run(
            "insert into sync.refetch (system, entity_set, record_id, at) values ('ops', :name, 0, now())",
            name=PRODUCTS,
        )
    assert first.take() == SnapshotResult("whole", rows=5, inserted=5)
    assert ("ExportToPackage" in first.wire.asked) is anew
