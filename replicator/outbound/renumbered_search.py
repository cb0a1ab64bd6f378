"""New parts that a target numbered by itself, and no answer told which: looked for among all parts of their root."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from replicator.connectors.protocol import Connector, FieldProblem, Image, Key, Row
from replicator.core.crosswalk import paired, paired_with_others
from replicator.core.fetch import Found, fetch_each, find_each
from replicator.core.hub_handle import Handle
from replicator.core.mirror import Known, known
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.key_comparison import comparable
from replicator.mapping.language import EntitySetSpec
from replicator.outbound.looked_up import Looked, Resolved, sent_values, typed
from replicator.outbound.renumbered_parts import holds, key_of_root, matched


def known_of(hub: Handle, flow: CompiledMap, some: Sequence[Resolved]) -> list[Known | None]:
    """What the mirror holds of these."""
    return known(hub.connection, flow.view.target, flow.mapping.entity_set, [each.key for each in some])


class RenumberedParts:
    """Asks one system for them."""

    def __init__(self, hub: Handle, connector: Connector) -> None:
        self.hub, self.connector = hub, connector

    def find(self, flow: CompiledMap, some: Sequence[Resolved], looked: Looked) -> None:
        """Of a map's records, which were looked up by the keys that they were sent with, those with another one."""
        created = [each for each in some if each.operation == "create"] if key_of_root(flow) else []
        if created:
            self._leave_to_others(flow, created, {_place(each) for each in some if each.operation == "delete"})
            self._doubt_numbers(flow, created)
            self._find(flow, [each for each in created if each.is_lost], looked)

    def _leave_to_others(self, flow: CompiledMap, created: Sequence[Resolved], freed: set[tuple[object, ...]]) -> None:
        """What bears the number of a new part and is the counterpart of another one is not what became of it.

        ``freed``: numbers that the same unit takes from a part first.
        """
        held = [
            (each, (each.identity["record_id"], each.before.id, each.identity["root_id"]))
            for each in created
            if each.is_shown and each.before is not None and _place(each) not in freed
        ]
        if held:
            with self.hub.leading():
                others = paired_with_others(self.hub.connection, flow, [pair for _, pair in held])
            for each, (record, _, _) in held:
                if record in others:
                    each.answer, each.is_elsewhere = None, True

    def _doubt_numbers(self, flow: CompiledMap, created: Sequence[Resolved]) -> None:
        """A unit is done as a whole: where one new part is not under its number, the numbers of others say nothing."""
        spec, decode = flow.mapping.entity_set.spec, self.connector.decoder(flow.mapping.entity_set.spec)
        lost = {each.delivery for each in created if each.is_lost}
        for each in created:
            if each.is_shown and each.delivery in lost:
                for image in _images(spec, decode, [each.answer]):
                    if not holds(image, sent_values(spec, each.identity)):
                        each.answer, each.is_elsewhere = None, True

    def _find(self, flow: CompiledMap, lost: Sequence[Resolved], looked: Looked) -> None:
        """Parts that the system holds under numbers of its own are looked up by those."""
        units: dict[int, list[Resolved]] = defaultdict(list)
        for each in lost:
            units[each.delivery].append(each)
        spec, names = flow.mapping.entity_set.spec, key_of_root(flow)
        roots = [typed(spec, names, some[0].identity["key"]) for some in units.values()]
        found: list[Resolved] = []
        for some, rows in zip(units.values(), find_each(self.connector, spec, names, roots), strict=True):
            if isinstance(rows, Exception):
                for each in some:
                    each.answer = rows
            else:
                found += self._under_other_keys(flow, rows, some, list(looked.of(some[0].delivery)))
        if not found:
            return
        with self.hub.leading():
            for each, before in zip(found, known_of(self.hub, flow, found), strict=True):
                each.before = before
        answers = fetch_each(self.connector, spec, [each.key for each in found])
        for each, answer in zip(found, answers, strict=True):
            each.answer = answer

    def _under_other_keys(
        self, flow: CompiledMap, rows: Sequence[Row], lost: Sequence[Resolved], unit: Sequence[Resolved]
    ) -> Iterator[Resolved]:
        """Those of one unit that are among ``rows``, all parts of its root; ``key`` is the one they got."""
        spec = flow.mapping.entity_set.spec
        images = self._of_nobody(flow, rows, [each.key for each in unit if each.is_shown])
        done = any(each.identity.get("applied") for each in unit) or _has_happened(unit, len(images) == len(lost))
        places = matched([sent_values(spec, each.identity) for each in lost], images, done=done)
        for each, place in zip(lost, places, strict=True):
            if place is not None:
                each.key, each.renumbered = tuple(images[place][part] for part in spec.key), True
                yield each

    def _of_nobody(self, flow: CompiledMap, rows: Sequence[Row], told: Sequence[Key]) -> list[Image]:
        """What these records hold, by key, of those that are the counterpart of no record and were not asked for."""
        entity_set = flow.mapping.entity_set
        images = list(_images(entity_set.spec, self.connector.decoder(entity_set.spec), rows))
        keys = [tuple(image[part] for part in entity_set.spec.key) for image in images]
        with self.hub.leading():
            held = known(self.hub.connection, flow.view.target, entity_set, keys)
            taken = paired(self.hub.connection, flow, [row.id for row in held if row is not None])
        free = [
            (key, image)
            for key, image, row in zip(keys, images, held, strict=True)
            if comparable(key) not in map(comparable, told) and (row is None or row.id not in taken)
        ]
        return [image for _, image in sorted(free, key=lambda each: each[0])]


def _images(
    spec: EntitySetSpec, decode: Callable[[Row], Sequence[object]], rows: Sequence[Found]
) -> Iterator[dict[str, object]]:
    """What these rows hold; one that cannot be read goes into quarantine with the next read."""
    for row in rows:
        with suppress(FieldProblem):
            if isinstance(row, Mapping):
                yield dict(zip(spec.fields, decode(row), strict=False))


def _place(each: Resolved) -> tuple[object, ...]:
    return each.delivery, comparable(each.key)


def _has_happened(unit: Sequence[Resolved], all_may_be_there: bool) -> bool:
    """Whether the system shows that it did the unit: another create of it is there, or what it deletes is gone.

    Where it was refused for what is in its way, that something bears a key of it proves nothing.
    """
    if any("in_the_way" in each.identity for each in unit):
        return False
    gone = any(each.operation == "delete" and not each.there for each in unit)
    return any(each.operation == "create" and each.is_shown for each in unit) or (gone and all_may_be_there)
