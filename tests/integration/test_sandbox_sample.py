"""The sample data: the same for a seed, loadable, and showing every case."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import simplejson

from replicator.sandbox.sample import generate
from replicator.sandbox.system import Sandbox


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.jsonl"))}


def lines(path: Path) -> list[dict[str, Any]]:
    return [simplejson.loads(line, use_decimal=True) for line in path.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    generate(42, tmp_path)
    return tmp_path


@pytest.fixture
def systems(world: Path) -> Iterator[dict[str, Sandbox]]:
    made = {"sales": Sandbox("sales"), "ops": Sandbox("ops")}
    for name, sandbox in made.items():
        sandbox.load(world / name)
    yield made
    for sandbox in made.values():
        sandbox.close()


def test_a_seed_always_gives_the_same(world: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    again, other = tmp_path_factory.mktemp("again"), tmp_path_factory.mktemp("other")
    generate(42, again)
    generate(43, other)
    assert files(again) == files(world)
    assert files(other) != files(world)


def test_the_world_is_a_handful_of_everything(systems: dict[str, Sandbox]) -> None:
    counts = {name: len(systems["sales"].records(name)) for name in ("accounts", "contacts", "quotes", "products")}
    assert counts == {"accounts": 12, "contacts": 15, "quotes": 15, "products": 9}
    assert len(systems["ops"].records("SellableReleasedProducts")) == 12


def test_quotes_have_lines_and_their_totals(systems: dict[str, Sandbox]) -> None:
    lines = systems["sales"].records("quotedetails")
    for quote in systems["sales"].records("quotes"):
        own = [line for line in lines if line["_quoteid_value"] == quote["quoteid"]]
        assert 1 <= len(own) <= 5
        assert quote["totalamount"] == sum(line["extendedamount"] for line in own)


def test_every_change_can_be_made_in_order(world: Path, systems: dict[str, Sandbox]) -> None:
    steps = lines(world / "changes.jsonl")
    assert [step["after"] for step in steps] == sorted(step["after"] for step in steps)
    for step in steps:
        sandbox = systems[step["system"]]
        before = sandbox.records(step["entity_set"])
        if "delete" in step:
            sandbox.delete(step["entity_set"], *step["delete"])
        else:
            sandbox.put(step["entity_set"], step["record"])
        assert sandbox.records(step["entity_set"]) != before, step["why"]


def test_every_case_is_shown(world: Path) -> None:
    reasons = {step["why"].split(":")[0] for step in lines(world / "changes.jsonl")}
    assert {"new", "changed", "released", "eligible now", "mended", "moved", "deleted"} <= reasons
    accounts = lines(world / "sales" / "accounts.jsonl")
    assert any(account["address1_country"] == "Atlantis" for account in accounts)
    assert any(len(account["address1_postalcode"]) > 10 for account in accounts)
