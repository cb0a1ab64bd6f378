"""How many operations a batch may have: what the vendor says, and what a refusal taught, kept as long as the connector.

Counted is each request in the batch, in a change set or not. OData services tell a refusal in words like "Only batch
messages with a maximum number of '100' query operations and change sets are allowed", Dataverse takes 1,000 in all,
a gateway answers 413. The number in the words is believed where it is smaller than what was sent; else half is tried.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from replicator.connectors.odata.batch import ChangeSet, Item
from replicator.errors import ReplicatorError

_too_many = re.compile(
    r": 413\b|\btoo many (?:parts|operations|requests)\b|\btoo large\b|\btoo big\b"
    r"|\b(?:batch|change ?set)\b.{0,200}\b(?:exceed\w*|more\b.{0,40}\bthan|at most|maximum|limit)\b"
    r"|\b(?:exceed\w*|more than|maximum|limit)\b.{0,200}\b(?:batch|change ?set)\b",
    re.IGNORECASE | re.DOTALL,
)
_before = re.compile(r"^.*?: [45]\d\d\b", re.DOTALL)
"""Our own words, up to the status: what was sent, and how much of it."""
_number = re.compile(r"(?<![\w.,-])\d{1,3}(?:,\d{3})+(?![\w,])|(?<![\w.,-])\d+(?![\w-])")


def operations(items: Sequence[Item]) -> int:
    """How many requests these items are."""
    return sum(len(item.parts) if isinstance(item, ChangeSet) else 1 for item in items)


@dataclass
class BatchSizes:
    """``most`` operations in a request, ``together`` in a change set that stands alone in one; None: not known.

    ``told`` is what the vendor says.
    """

    told: int | None = None
    most: int | None = field(init=False)
    together: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.most = self.together = self.told

    def fits(self, items: Sequence[Item]) -> bool:
        """Whether these may go in one request; a change set alone may have its own limit."""
        count = operations(items)
        most = self.together if len(items) == 1 and isinstance(items[0], ChangeSet) else self.most
        return most is None or count <= most

    def learn(self, refused: ReplicatorError, items: Sequence[Item]) -> bool:
        """Whether a refusal is about the number of these items, and they can be sent in smaller requests.

        By its words, whatever the status: the vendors document 400 and 413, and that one may come as 500 is assumed.
        """
        count = operations(items)
        if _too_many.search(refused.message) is None:
            return False
        if count < 2:
            self.__post_init__()  # so it was never the number
            return False
        numbers = [int(number.replace(",", "")) for number in _number.findall(_before.sub("", refused.message))]
        most = max((number for number in numbers if 0 < number < count), default=count // 2)
        if len(items) == 1:
            self.together = most
        self.most = min(most, self.most or most)
        return True

    def requests(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        """The items in their order, as many together as may be; one that is too large goes alone."""
        group: list[Item] = []
        for item in items:
            if group and not self.fits([*group, item]):
                yield group
                group = []
            group.append(item)
        if group:
            yield group

    def pieces(self, change_set: ChangeSet) -> list[ChangeSet]:
        """A change set in pieces that may go: as one, unless the system refused as large a one by itself."""
        size = self.together or len(change_set.parts)
        return [ChangeSet(change_set.parts[start : start + size]) for start in range(0, len(change_set.parts), size)]
