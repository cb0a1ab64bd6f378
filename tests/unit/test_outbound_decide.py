"""What is decided without a database: a record's writes and their order, groups, the worst outcome, the budget."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.config import Budget
from replicator.connectors.protocol import Applied, Limits, Outcome, Postponed, Reference, Rejected, Stale, Unknown
from replicator.core.claim import Shown
from replicator.core.desired_row import DesiredRow
from replicator.errors import SchemaError
from replicator.inbound.delete_budget import ALWAYS_ALLOWED, over_budget
from replicator.mapping.compiled import Compiled, CompiledMap, compile_folder
from replicator.outbound.acknowledge import worst_of
from replicator.outbound.decide import Candidate, Deferred, Delivery, Moving, decide
from replicator.outbound.send import grouped
from tests.fixtures.schema_files import SchemaFiles, write_schema

FRESH = uuid.UUID(int=7)
NOTHING_WAITS = Deferred()


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """A whole and a part: a herd with its animals."""
    files = write_schema(tmp_path_factory.mktemp("orders") / "schema")
    add_animals(files)
    return compile_folder(files.folder)


def add_animals(files: SchemaFiles) -> None:
    files.write("common/animal.yaml", (
        "entity: animal\ndescription: An animal of a herd.\nkey: [herd, tag]\npart_of: herd\nlabel: tag\nfields:\n"
        "  herd: {reference: herd, required: true}\n  tag: {type: integer, required: true}\n  name: {}\n"
    ))  # fmt: skip
    files.write("market/Animals.yaml", (
        "entity_set: Animals\ndescription: Animals.\nkey: [AnimalId]\nfields:\n  AnimalId: {type: uuid}\n"
        "  FarmCode: {}\n  HerdNumber: {}\n  Tag: {type: integer}\n  Name: {}\n"
        "references:\n  herd: {to: Herds, by: {FarmCode: FarmCode, HerdNumber: HerdNumber}}\nmaps:\n"
        "  - from: animal\n    fields:\n      HerdNumber: herd.number\n      Tag: tag\n      Name: name\n"
    ))  # fmt: skip


@pytest.fixture(scope="module")
def whole(orders: Compiled) -> CompiledMap:
    return orders.map("herd > market.Herds")


@pytest.fixture(scope="module")
def part(orders: Compiled) -> CompiledMap:
    return orders.map("animal > market.Animals")


def row_of(flow: CompiledMap, action: str, record_id: int = 1, **values: Any) -> DesiredRow:
    """A row of the diff; ``now_<column>`` is what the target holds, ``<column>`` what it should."""
    held = {column.name: values.pop(f"now_{column.name}", None) for column in flow.view.target.columns}
    wanted = {column.name: values.pop(column.name, None) for column in flow.view.columns}
    fixed: dict[str, Any] = {"record": f"R-{record_id}", "source_id": record_id, "target_id": 5}
    return DesiredRow(record_id, action, wanted=wanted, held=held, **(fixed | values))


def planned(
    whole: CompiledMap,
    row: DesiredRow,
    parts: Sequence[tuple[CompiledMap, DesiredRow]] = (),
    deferred: Deferred = NOTHING_WAITS,
) -> Delivery:
    return decide(whole, Candidate(row, parts), deferred, lambda _flow, _row: FRESH)


def test_a_part_finds_its_whole(whole: CompiledMap, part: CompiledMap) -> None:
    assert (whole.root, part.root) == (None, whole.name)


def test_a_new_whole_goes_before_its_new_parts(whole: CompiledMap, part: CompiledMap) -> None:
    found = planned(
        whole, row_of(whole, "create"), [(part, row_of(part, "create", 2)), (part, row_of(part, "create", 3))]
    )
    assert [(each.flow.name, each.write.operation) for each in found.writes] == [
        (whole.name, "create"),
        (part.name, "create"),
        (part.name, "create"),
    ]
    assert [each.record_id for each in found.writes] == [1, 2, 3]


def test_a_whole_that_goes_goes_after_its_parts(whole: CompiledMap, part: CompiledMap) -> None:
    found = planned(whole, row_of(whole, "delete"), [(part, row_of(part, "delete", 2))])
    assert [each.flow.name for each in found.writes] == [part.name, whole.name]
    assert all(each.ends for each in found.writes)


def test_the_whole_changes_as_it_was_read_before_its_parts_go_come_and_change(
    whole: CompiledMap, part: CompiledMap
) -> None:
    parts = [(part, row_of(part, action, number)) for number, action in enumerate(("create", "update", "delete"), 2)]
    found = planned(whole, row_of(whole, "update"), parts)
    assert [each.write.operation for each in found.writes] == ["update", "delete", "create", "update"]
    assert [each.record_id for each in found.writes] == [1, 4, 2, 3]


ACTIONS = ["create", "update", "delete", "set", "none", "unlink"]


@given(own=st.sampled_from(ACTIONS), others=st.lists(st.sampled_from(ACTIONS), max_size=6))
def test_whatever_is_to_be_done_no_part_is_ever_without_its_whole(
    whole: CompiledMap, part: CompiledMap, own: str, others: list[str]
) -> None:
    parts = [(part, row_of(part, action, number)) for number, action in enumerate(others, 2)]
    found = planned(whole, row_of(whole, own), parts)
    places = {id(each): place for place, each in enumerate(found.writes)}
    of_whole = [each for each in found.writes if each.flow is whole]
    assert len(found.writes) + len(found.unlink) + [own, *others].count("none") == 1 + len(others)
    for each in found.writes:
        for root in of_whole:
            if each.flow is part and root.write.operation == "delete":
                assert places[id(each)] < places[id(root)]
            elif each.flow is part:
                assert places[id(each)] > places[id(root)]


def test_a_create_sends_what_has_a_value_and_keeps_in_mind_what_has_none(whole: CompiledMap) -> None:
    row = row_of(whole, "create", farm_code="F", herd_number="H", heads=3, weight=None, organic=None, size="Small")
    [found] = planned(whole, row).writes
    assert found.write.values == {"FarmCode": "F", "HerdNumber": "H", "Heads": 3, "Size": "Small"}
    assert found.write.key == ("F", "H")
    assert found.write.etag is None
    assert found.sent["weight"] is None


def test_a_create_says_nothing_aloud_where_the_target_has_a_value_for_it(whole: CompiledMap) -> None:
    """Left out, the target would put a value of its own: a list price for a price of 0."""
    [found] = planned(whole, row_of(whole, "create", farm_code="F", herd_number="H", heads=None)).writes
    assert found.write.values == {"FarmCode": "F", "HerdNumber": "H", "Heads": None}


def test_an_update_sends_the_changed_fields_and_the_version_it_knows(whole: CompiledMap) -> None:
    row = row_of(whole, "update", changed=["heads"], heads=4, size="Large", now_farm_code="F", now_herd_number="H",
                 now_etag='W/"1"')  # fmt: skip
    [found] = planned(whole, row).writes
    assert found.write.values == {"Heads": 4}
    assert found.write.key == ("F", "H")
    assert found.write.etag == 'W/"1"'


def test_a_create_of_a_record_whose_key_is_not_mapped_gets_a_fresh_key(part: CompiledMap) -> None:
    [found] = planned(part, row_of(part, "create", tag=1)).writes
    assert found.write.key == (FRESH,)


def test_the_keys_are_told_before_anything_is_sent(whole: CompiledMap) -> None:
    found = planned(whole, row_of(whole, "create", farm_code="F", herd_number="H"))
    assert found.identity == [
        {"map": whole.name, "record_id": 1, "root_id": None, "operation": "create",
         "key": {"FarmCode": "F", "HerdNumber": "H"}}
    ]  # fmt: skip
    assert found.operation == "create"


def test_a_reference_goes_out_as_one(tmp_path: Path) -> None:
    files = write_schema(tmp_path / "schema")
    files.replace(
        "registry/herds.yaml",
        "maps:",
        "maps:\n  - from: herd\n    fields:\n      number: number\n      farm: {reference: farm}",
    )
    found = compile_folder(files.folder).map("herd > registry.herds")
    [write] = planned(found, row_of(found, "create", number="H", farm=FRESH)).writes
    assert write.write.values["farm"] == Reference("farms", (FRESH,))


@pytest.mark.parametrize("action", ["none", "gone", "left", "silent"])
def test_what_is_settled_needs_no_write(whole: CompiledMap, action: str) -> None:
    found = planned(whole, row_of(whole, action))
    assert (found.writes, found.unlink, found.shown) == ([], [], None)


@pytest.mark.parametrize("action", ["left", "silent"])
def test_the_parts_of_a_whole_that_is_left_alone_are_left_alone(
    whole: CompiledMap, part: CompiledMap, action: str
) -> None:
    assert planned(whole, row_of(whole, action), [(part, row_of(part, "update", 2))]).writes == []


@pytest.mark.parametrize("action", ["left", "silent"])
def test_a_whole_that_is_left_alone_shows_no_trouble_of_its_parts(
    whole: CompiledMap, part: CompiledMap, action: str
) -> None:
    troubled = row_of(part, "invalid", 2, reason="Tag: required, and empty")
    found = planned(whole, row_of(whole, action), [(part, troubled)])
    assert (found.writes, found.shown) == ([], None)


def test_a_part_in_trouble_holds_its_whole_and_says_which(whole: CompiledMap, part: CompiledMap) -> None:
    waiting = row_of(part, "blocked", 2, record="9", waits_for=["farm F"])
    found = planned(whole, row_of(whole, "update"), [(part, row_of(part, "create", 3)), (part, waiting)])
    assert found.writes == []
    assert found.shown is not None
    assert (found.shown.state, found.shown.record_id, found.shown.record) == ("blocked", 1, "R-1")
    assert found.shown.waits_for == ["animal 9: farm F"]


def test_a_whole_with_parts_cannot_come_anew(tmp_path: Path) -> None:
    files = write_schema(tmp_path / "schema")
    add_animals(files)
    line = files.replace("market/Herds.yaml", "- from: herd", "- from: herd\n    on_key_change: recreate") + 1
    with pytest.raises(SchemaError, match=rf"Herds.yaml:{line}: .*herd has parts, .*: animal"):
        compile_folder(files.folder)


def test_what_a_part_is_sent_without_holds_nothing_and_is_looked_at_again(
    whole: CompiledMap, part: CompiledMap
) -> None:
    without = row_of(part, "incomplete", 2, record="9", later=["animal 8"])
    quiet = planned(whole, row_of(whole, "none"), [(part, without)])
    assert (quiet.writes, quiet.shown) == ([], Shown(1, "blocked", "R-1", None, ["animal 9: animal 8"], "update"))
    busy = planned(whole, row_of(whole, "update"), [(part, without), (part, row_of(part, "create", 3))])
    assert [each.write.operation for each in busy.writes] == ["update", "create"]
    assert (busy.shown, busy.incomplete) == (None, True)


def test_a_reference_to_what_has_still_to_move_is_left_out_for_now(whole: CompiledMap) -> None:
    row = row_of(whole, "update", changed=["size", "heads"], heads=4, size="Large", now_size="Small",
                 now_farm_code="F", now_herd_number="H")  # fmt: skip
    moving = Deferred(moving=[Moving("size", ["size"], {("large",): "herd L"})])
    found = planned(whole, row, deferred=moving)
    [write] = found.writes
    assert (write.write.values, found.incomplete) == ({"Heads": 4, "Size": None}, True)
    only = planned(whole, row_of(whole, "update", changed=["size"], size="Large"), deferred=moving)
    assert only.writes == []
    assert only.shown == Shown(1, "blocked", "R-1", None, ["herd L in market to stand in its new place"], "update")


def test_what_others_point_at_is_not_deleted_before_they_let_go(whole: CompiledMap) -> None:
    row = row_of(whole, "delete", now_farm_code="F", now_herd_number="H", now_size="Small")
    waits = Deferred(pointed_at={5: ["herd 2 in market to let go of it"]})
    found = planned(whole, row, deferred=waits)
    assert found.writes == []
    assert found.shown is not None
    assert (found.shown.state, found.shown.waits_for) == ("blocked", ["herd 2 in market to let go of it"])
    ring = Deferred(pointed_at=waits.pointed_at, letting_go={5: ["size"]})
    [write] = planned(whole, row, deferred=ring).writes
    assert (write.write.operation, write.write.values) == ("update", {"Size": None})


def test_an_invalid_record_is_shown_as_rejected_with_the_reason(whole: CompiledMap) -> None:
    found = planned(whole, row_of(whole, "invalid", reason="Size: required, and empty"))
    assert found.shown is not None
    assert (found.shown.state, found.shown.reason) == ("rejected", "Size: required, and empty")


def delivery_of(writes: int) -> Delivery:
    return Delivery(1, None, 1, writes=[SimpleNamespace()] * writes)  # type: ignore[list-item]


def sized(limits: Limits) -> Any:
    """A system that counts three rows for a write."""
    return SimpleNamespace(limits=limits, size=lambda unit: 3 * len(unit))


def test_groups_are_measured_in_what_the_system_counts() -> None:
    deliveries = [delivery_of(size) for size in (1, 1, 1, 4, 1)]
    for delivery in deliveries:
        delivery.writes = [SimpleNamespace(write=None) for _ in delivery.writes]  # type: ignore[misc]
    groups = list(grouped(deliveries, sized(Limits(request_size=8))))
    assert [[len(each.writes) for each in group] for group in groups] == [[1, 1], [1], [4], [1]]


@given(sizes=st.lists(st.integers(1, 12)), most=st.integers(1, 10))
def test_groups_keep_the_order_lose_nothing_and_hold_no_more_than_fits(sizes: list[int], most: int) -> None:
    deliveries = [delivery_of(size) for size in sizes]
    groups = list(grouped(deliveries, sized(Limits(writes_per_request=most))))
    assert [id(each) for group in groups for each in group] == [id(each) for each in deliveries]
    for group in groups:
        assert group
        assert len(group) == 1 or sum(len(each.writes) for each in group) <= most
    for before, after in pairwise(groups):
        assert sum(len(each.writes) for each in before) + len(after[0].writes) > most


def test_the_worst_outcome_is_that_of_a_write_nobody_answered() -> None:
    assert worst_of([Applied(None, None), Rejected("no"), Unknown("?")]) == Unknown("?")


def test_of_several_refusals_the_one_that_says_why_counts() -> None:
    assert worst_of([Rejected(""), Rejected("the price is missing"), Rejected("")]) == Rejected("the price is missing")


outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.just(Applied(None, None)), st.builds(Rejected, st.sampled_from(["", "no"])),
    st.builds(Postponed, st.just("later")), st.builds(Unknown, st.just("?")), st.builds(Stale, st.just("changed")),
)  # fmt: skip


@given(st.lists(outcomes, min_size=1, max_size=6))
def test_the_worst_outcome_is_one_of_them_and_not_knowing_counts_most(found: list[Outcome]) -> None:
    worst = worst_of([*found, Rejected("")])
    assert worst in [*found, Rejected("")]
    assert isinstance(worst, Unknown) == any(isinstance(each, Unknown) for each in found)
    if any(isinstance(each, Stale | Postponed) or each == Rejected("no") for each in found):
        assert worst != Rejected("")


BUDGET = Budget(count=100, share=0.1)


@pytest.mark.parametrize(
    ("absent", "recent", "size", "held"),
    [
        (100, 0, 5000, False), (101, 0, 5000, True), (60, 41, 5000, True), (0, 0, 0, False), (5, 0, 5, False),
        (6, 0, 20, True), (10, 0, 100, False), (11, 0, 100, True), (5, 1, 20, True),
    ],
)  # fmt: skip
def test_deletes_go_ahead_within_the_budget_and_are_held_beyond(
    absent: int, recent: int, size: int, held: bool
) -> None:
    assert bool(over_budget(absent, recent, size, size - absent + 1, "whole", BUDGET)) is held


def test_a_whole_read_that_showed_nothing_deletes_nothing() -> None:
    assert "nothing at all" in (over_budget(1, 0, 1, 0, "whole", BUDGET) or "")


def test_a_read_of_changes_that_shows_only_deletes_may_delete() -> None:
    assert over_budget(1, 0, 1, 0, "changed", BUDGET) is None


counts = st.integers(0, 500)


@given(absent=counts, recent=counts, size=counts, rows=st.integers(1, 500), count=counts, share=st.floats(0, 1))
def test_what_goes_ahead_is_never_more_than_the_budget_allows(
    absent: int, recent: int, size: int, rows: int, count: int, share: float
) -> None:
    budget = Budget(count=count, share=share)
    reason = over_budget(absent, recent, size, rows, "whole", budget)
    total = absent + recent
    allowed = total <= count and total <= max(ALWAYS_ALLOWED, share * (size + recent))
    assert (reason is None) is allowed
    if reason is not None:
        assert str(total) in reason


@given(absent=st.integers(1, 400), recent=counts, size=counts, count=counts, share=st.floats(0, 1))
def test_one_delete_less_is_never_held_where_more_would_go_ahead(
    absent: int, recent: int, size: int, count: int, share: float
) -> None:
    budget = Budget(count=count, share=share)
    if over_budget(absent, recent, size, 1, "whole", budget) is None:
        assert over_budget(absent - 1, recent, size, 1, "whole", budget) is None
