"""YAML whose aliases cannot blow it up: what they repeat is counted before anything is made of it."""

from __future__ import annotations

import yaml

most_repeated = 10_000
"""Values that the aliases of one file may repeat, all together. Without aliases a file may be as large as it is."""


class BoundedLoader(yaml.CSafeLoader):
    """Reads plain values only, and no file whose aliases stand for more than they should.

    The parser is that of libyaml: without it a value map of thousands of lines takes a second.
    """

    def get_single_node(self) -> yaml.Node | None:
        """The file as nodes. Raises MarkedYAMLError where aliases repeat too much, or where one holds itself."""
        node: yaml.Node | None = super().get_single_node()
        if node is not None:
            sizes: dict[int, int] = {}
            if _size(node, sizes) - len(sizes) > most_repeated:
                problem = f"its aliases repeat more than {most_repeated} values"
                raise yaml.composer.ComposerError(None, None, problem, node.start_mark)
        return node


def _size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for with its aliases written out; each node is looked at once."""
    known = sizes.get(id(node))
    if known == 0:
        raise yaml.composer.ComposerError(None, None, "an alias stands for what holds it", node.start_mark)
    if known is None:
        sizes[id(node)] = 0  # under way
        known = sizes[id(node)] = 1 + sum(_size(part, sizes) for part in _parts(node))
    return known


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def load(text: str) -> object:
    """The values of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, BoundedLoader)  # noqa: S506 (it is a SafeLoader)
