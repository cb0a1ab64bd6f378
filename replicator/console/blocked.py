"""Blocked records as trees: at the top what holds everything up, below it whoever waits for that."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from flask import render_template

from replicator.console.page_context import PageContext, Paged, Row
from replicator.hub.statements import statements

_sql = statements(__name__)
_CONSIDERED = 2000
_ROOTS_PER_PAGE = 20
_CHILDREN_SHOWN = 15
_DEEPEST = 8
_LINES_SHOWN = 200
Place = tuple[str, int]


@dataclass(eq=False)
class Node:
    """A record, or something that is named and not there at all."""

    title: str
    table: str | None = None
    record_id: int | None = None
    flow: str | None = None
    state: str = "missing"
    reason: str | None = None
    field_name: str | None = None
    cause: str | None = None
    waiting: list[Node] = field(default_factory=list)

    def below(self) -> set[int]:
        """Everybody who waits for this, directly or through others; a ring is gone round once."""
        found: set[int] = set()
        ahead = [*self.waiting]
        while ahead:
            node = ahead.pop()
            if id(node) not in found:
                found.add(id(node))
                ahead += node.waiting
        return found - {id(self)}


@dataclass(frozen=True)
class Line:
    """A node as it is shown: its children cut to what a person can take in."""

    node: Node
    depth: int
    children: Sequence[Line]
    more: int
    below: int


def blocked(look: PageContext) -> str:
    """Root causes, those that hold up most first, and who waits for each."""
    roots = sorted(
        trees(look.rows(_sql["waiting"], limit=_CONSIDERED), look.rows(_sql["edges"], limit=_CONSIDERED)),
        key=lambda root: (-len(root.below()), root.title),
    )
    number = look.page_number()
    first = (number - 1) * _ROOTS_PER_PAGE
    shown = Paged(
        [line(root) for root in roots[first : first + _ROOTS_PER_PAGE]], number,
        more=len(roots) > first + _ROOTS_PER_PAGE,
    )  # fmt: skip
    total = look.connection.execute(_sql["count"]).scalar_one()
    return render_template("blocked.html", roots=shown, causes=len(roots), total=total, considered=_CONSIDERED)


def trees(waiting: Sequence[Row], edges: Sequence[Row]) -> list[Node]:
    """The roots: nodes that others wait for and that wait for nobody, rings broken at their oldest record."""
    nodes: dict[Place, Node] = {
        (row["flow"], row["record_id"]): Node(
            row["record"] or "(unnamed)", row["table"], row["record_id"], row["flow"], "blocked",
            ", ".join(row["waits_for"] or ()),
        )
        for row in waiting
    }  # fmt: skip
    tops: dict[object, Node] = {}
    above: Mapping[Place, list[Node]] = _parents(nodes, edges, tops)
    for row in waiting:
        place = (row["flow"], row["record_id"])
        if row["code"] is not None and not above[place]:
            nodes[place].reason = "; ".join((nodes[place].reason or "", row["next"]))
            tops[place] = nodes[place]  # what holds it up is its own
            continue
        for parent in above[place] or list(_named(row, tops)):
            if nodes[place] not in parent.waiting:
                parent.waiting.append(nodes[place])
    return [*tops.values(), *_rings(nodes, tops)]


def _parents(
    nodes: Mapping[Place, Node], edges: Sequence[Row], tops: dict[object, Node]
) -> defaultdict[Place, list[Node]]:
    """For each waiting record the nodes it waits for: waiting themselves, or at the top."""
    found: defaultdict[Place, list[Node]] = defaultdict(list)
    for edge in edges:
        place = (edge["flow"], edge["record_id"])
        parent = nodes.get((edge["parent_flow"], edge["parent_id"]))
        if parent is None and edge["parent_state"] is not None:
            key = (edge["parent_table"], edge["parent_id"], edge["parent_flow"])
            parent = tops.setdefault(key, Node(
                edge["parent_record"] or "(unnamed)", edge["parent_table"], edge["parent_id"], edge["parent_flow"],
                str(edge["parent_state"]), edge["parent_reason"], edge["parent_field"], edge["parent_cause"],
            ))  # fmt: skip
        if parent is not None and place in nodes:
            found[place].append(parent)
    return found


def _named(row: Row, tops: dict[object, Node]) -> Iterator[Node]:
    """What a record says it waits for, where that is no record the hub knows."""
    for name in row["waits_for"] or ("something that is not named",):
        yield tops.setdefault((row["system"], name), Node(name))


def _rings(nodes: Mapping[Place, Node], tops: Mapping[object, Node]) -> Iterator[Node]:
    """Records that wait for each other and for nobody else: one of each ring stands for it."""
    reached = {each for top in tops.values() for each in (id(top), *top.below())}
    for node in nodes.values():
        if id(node) not in reached:
            reached |= {id(node)} | node.below()
            node.state = "ring"
            yield node


def line(node: Node, taken: list[Node] | None = None, depth: int = 0, path: frozenset[int] = frozenset()) -> Line:
    """A node with those below it, as far as it is shown; ``taken`` collects what the whole tree shows."""
    taken = taken if taken is not None else []
    taken.append(node)
    children = [child for child in node.waiting if id(child) not in path]
    shown: list[Line] = []
    for child in children[:_CHILDREN_SHOWN] if depth < _DEEPEST else []:
        if len(taken) < _LINES_SHOWN:
            shown.append(line(child, taken, depth + 1, path | {id(node)}))
    return Line(node, depth, shown, len(children) - len(shown), len(node.below()))
