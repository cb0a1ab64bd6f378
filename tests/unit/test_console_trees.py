"""Blocked records as trees: what stands at the top, who below it, and that rings and wide trees end."""

from __future__ import annotations

from typing import Any

from replicator.console.blocked import Line, Node, line, trees

FLOW = "a > b"


def waiting(number: int, *waits_for: str, code: str | None = None) -> dict[str, Any]:
    return {"flow": FLOW, "system": "s", "table": "s.a", "record_id": number, "record": f"R{number}",
            "waits_for": list(waits_for), "code": code, "next": "never by itself"}  # fmt: skip


def edge(number: int, parent: int, state: str | None = "blocked") -> dict[str, Any]:
    return {"flow": FLOW, "record_id": number, "field": "f", "parent_table": "s.a", "parent_id": parent,
            "parent_flow": FLOW if state else None, "parent_record": f"R{parent}", "parent_state": state,
            "parent_reason": "because", "parent_field": None, "parent_cause": "c"}  # fmt: skip


def shape(node: Node, depth: int = 0) -> list[str]:
    return ["  " * depth + node.title, *(each for child in node.waiting for each in shape(child, depth + 1))]


def test_a_chain_hangs_below_the_record_that_failed() -> None:
    [root] = trees([waiting(2, "R1"), waiting(3, "R2")], [edge(2, 1, "rejected"), edge(3, 2)])
    assert shape(root) == ["R1", "  R2", "    R3"]
    assert (root.state, root.reason, len(root.below())) == ("rejected", "because", 2)


def test_what_the_hub_has_never_seen_is_a_root_of_its_own() -> None:
    [root] = trees([waiting(1, "account X"), waiting(2, "account X")], [edge(1, 9, None)])
    assert (root.title, root.state, len(root.waiting)) == ("account X", "missing", 2)


def test_a_record_whose_key_another_one_has_is_itself_what_holds_others_up() -> None:
    rows = [waiting(1, "a key of its own: that of R2", code="key conflict"), waiting(3, "R1")]
    [root] = trees(rows, [edge(3, 1)])
    assert shape(root) == ["R1", "  R3"]
    assert (root.state, root.reason) == ("blocked", "a key of its own: that of R2; never by itself")


def test_a_record_that_waits_for_two_stands_below_both() -> None:
    roots = trees([waiting(3, "R1", "R2")], [edge(3, 1, "failed"), edge(3, 2, "rejected")])
    assert sorted(shape(root) for root in roots) == [["R1", "  R3"], ["R2", "  R3"]]


def test_records_that_wait_for_each_other_are_shown_once_as_a_ring() -> None:
    [root] = trees([waiting(n, "next") for n in range(3)], [edge(n, (n + 1) % 3) for n in range(3)])
    assert root.state == "ring"
    assert len(root.below()) == 2
    shown = line(root)
    assert [child.node.title for child in shown.children] == ["R2"]
    assert shown.children[0].children[0].children == []


def test_who_waits_for_a_ring_hangs_below_it() -> None:
    rows = [waiting(1, "R2"), waiting(2, "R1"), waiting(3, "R2")]
    [root] = trees(rows, [edge(1, 2), edge(2, 1), edge(3, 2)])
    assert len(root.below()) == 2


def test_a_wide_tree_and_a_deep_one_are_cut_and_say_so() -> None:
    [wide] = trees([waiting(n, "X") for n in range(100)], [])
    assert (len(line(wide).children), line(wide).more, line(wide).below) == (15, 85, 100)
    [deep] = trees([waiting(n, "X") for n in range(1, 3000)], [edge(n, n - 1) for n in range(2, 3000)])
    shown, depth = line(deep), 0
    while shown.children:
        shown, depth = shown.children[0], depth + 1
    assert (depth, shown.more) == (8, 1)
    assert line(deep).below == 2999


def test_many_ways_to_the_same_record_do_not_take_forever() -> None:
    rows = [waiting(level * 2 + side, "X") for level in range(200) for side in (0, 1)]
    edges = [edge(level * 2 + side, (level - 1) * 2 + other)
             for level in range(1, 200) for side in (0, 1) for other in (0, 1)]  # fmt: skip
    [root] = trees(rows, edges)
    assert line(root).below == 400


def test_a_tree_with_many_branches_shows_no_more_than_a_person_can_read() -> None:
    rows = [waiting(n, "X") for n in range(1, 2000)]
    [root] = trees(rows, [edge(n, n // 12) for n in range(12, 2000)])

    def lines(shown: Line) -> int:
        return 1 + sum(lines(child) for child in shown.children)

    assert lines(line(root)) == 200
    assert line(root).below == 1999
