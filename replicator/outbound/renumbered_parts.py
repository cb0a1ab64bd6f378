"""Parts that a target stored under numbers of its own, and no answer told which: found among those of their root."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from replicator.connectors.protocol import Image, Key, Write
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.key_comparison import comparable
from replicator.mapping.schema import column_name
from replicator.outbound.earlier_tries import in_text

Values = Mapping[str, object]
"""By field."""


def key_of_root(flow: CompiledMap) -> list[str]:
    """The fields of a part's key that repeat its root's; none where it has no number beside them."""
    spec, names = flow.mapping.spec, flow.mapping.entity_set.spec.key
    root = f"{flow.mapping.entity.part_of}."

    def repeats(name: str) -> bool:
        field = spec.fields.get(name)
        source = None if field is None else field.copy_
        return field is not None and (
            field.constant is not None or (isinstance(source, str) and source.startswith(root))
        )

    repeated = [name for name in names if repeats(name)]
    return repeated if flow.root is not None and len(repeated) < len(names) else []


def may_be_renumbered(flow: CompiledMap, write: Write) -> bool:
    """Whether it is a new part that the system may store under a number of its own."""
    return write.operation == "create" and bool(key_of_root(flow))


def content(flow: CompiledMap, write: Write) -> dict[str, object]:
    """What is kept of a create's values to know it by.

    Of a part that its target may number, all but the key; of others what tells them apart from a record with their key.
    """
    if write.operation != "create":
        return {}
    apart = {column.field for column in flow.view.columns if column.tells_apart}
    names = set(write.values) - set(write.entity_set.key) if may_be_renumbered(flow, write) else apart
    return {"sent": in_text({name: each for name, each in write.values.items() if name in names})} if names else {}


def is_doubtful(write: Write, image: Image | None, key: Key | None) -> bool:
    """Whether what bears the number that a new part was sent with may be another one.

    Not where the answer to the create itself told the ``key``.
    """
    values = {name: each for name, each in write.values.items() if name not in write.entity_set.key}
    return key is None and image is not None and not holds(image, values)


def wanted_key(flow: CompiledMap, write: Write, sent: Mapping[str, object]) -> dict[str, object]:
    """The key that a new part should have, where it is sent with that of its root as the target holds it.

    ``sent``: by column.
    """
    if write.operation != "create" or flow.root is None:
        return {}
    wanted = {name: sent.get(column_name(name), value) for name, value in write.named_key.items()}
    return {} if wanted == write.named_key else {"wanted": in_text(wanted)}


def is_another(flow: CompiledMap, image: Image, sent: Values) -> bool:
    """Whether a record that bears the key of a create is told apart from it."""
    apart = (column.field for column in flow.view.columns if column.tells_apart)
    both = ((image.get(name), sent.get(name)) for name in apart)
    return any(None not in each and comparable(each[:1]) != comparable(each[1:]) for each in both)


def matched(sought: Sequence[Values], stored: Sequence[Image], *, done: bool) -> list[int | None]:
    """For each of the creates, as they were sent, the place of the record in ``stored`` that came of it.

    First those that hold what was sent. Where it is certain that all was ``done``, the others are taken in their order:
    a target that numbers by itself numbers what comes first first, and the diff writes what it made of the values.
    """
    free = list(range(len(stored)))
    found: list[int | None] = [None] * len(sought)
    for place, values in enumerate(sought):
        found[place] = _taken(free, (other for other in free if holds(stored[other], values)))
    if done:
        for place, other in enumerate(found):
            found[place] = _taken(free, iter(free)) if other is None else other
    return found


def _taken(free: list[int], choices: Iterator[int]) -> int | None:
    choice = next(choices, None)
    if choice is not None:
        free.remove(choice)
    return choice


def holds(image: Image, values: Values) -> bool:
    """Whether a record has all of these values."""
    return all(comparable((image.get(name),)) == comparable((value,)) for name, value in values.items())
