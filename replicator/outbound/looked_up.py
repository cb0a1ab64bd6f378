"""Records whose outcome is unknown, as they are looked up: what was written, and what the system says of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from replicator.connectors.protocol import Image, Key
from replicator.core.crosswalk import Pair
from replicator.core.fetch import Found
from replicator.core.mirror import Known
from replicator.mapping.language import EntitySetSpec
from replicator.mapping.literals import from_text
from replicator.mapping.schema import EntitySet


@dataclass
class Resolved:
    """One record that was written to, or not, and what the system says of it."""

    delivery: int
    identity: Mapping[str, Any]
    key: Key
    before: Known | None = None
    """What the mirror held of it before the system was asked."""
    answer: Found = None
    image: Image | None = None
    etag: str | None = None
    mirror_id: int | None = None
    gone: bool = False
    is_another: bool = False
    """What bears its key is told apart from it: somebody else's."""
    is_elsewhere: bool = False
    """A new part: what bears the number that it was sent with is not what became of it."""
    renumbered: bool = False
    """The system holds it under another key than it was sent with: ``key`` is that one."""

    @property
    def operation(self) -> str:
        return str(self.identity["operation"])

    @property
    def there(self) -> bool:
        """Whether the system holds it."""
        return self.answer is not None

    @property
    def is_shown(self) -> bool:
        """Whether the system has shown what bears its key."""
        return self.there and not isinstance(self.answer, Exception)

    @property
    def is_lost(self) -> bool:
        """Whether it was to be created, and the system holds nothing under the key that it was sent with."""
        return self.operation == "create" and self.answer is None

    @property
    def pair(self) -> Pair:
        """The pair that a create makes."""
        assert self.mirror_id is not None
        return self.identity["record_id"], self.mirror_id, self.identity["root_id"]


@dataclass
class Looked:
    """Records of one map that were looked up, and those that were in vain, with what is said of them."""

    attempts: Mapping[int, int]
    asked: dict[str, list[Resolved]] = field(default_factory=lambda: defaultdict(list))
    troubles: dict[int, dict[str, object]] = field(default_factory=dict)

    def of(self, delivery: int) -> Iterator[Resolved]:
        return (each for some in self.asked.values() for each in some if each.delivery == delivery)


def sent_values(spec: EntitySetSpec, identity: Mapping[str, Any]) -> dict[str, object]:
    """What is kept of the values that a create was sent with."""
    given: Mapping[str, str | None] = identity.get("sent", {})
    return dict(zip(given, typed(spec, list(given), given), strict=True))


def typed_key(entity_set: EntitySet, key: Mapping[str, str | None]) -> Key:
    """A stored key with the types of its fields."""
    return typed(entity_set.spec, entity_set.spec.key, key)


def typed(spec: EntitySetSpec, names: Sequence[str], stored: Mapping[str, str | None]) -> Key:
    """Stored values of these fields with their types."""
    values = {name: stored[name] for name in names}
    return tuple(None if text is None else from_text(spec.fields[name].holds, text) for name, text in values.items())
