"""A connector that begins no further request once the replicator is to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from replicator.connectors.protocol import Connector, Key, Moment, Page, Row
from replicator.connectors.wrapped import Wrapped
from replicator.errors import Stopping
from replicator.mapping.language import EntitySetSpec


class UntilStopping(Wrapped):
    """As the real one, but asked before each page and each request of keys. Whoever sends writes asks for himself."""

    def __init__(self, real: Connector, stopping: Callable[[], bool]) -> None:
        super().__init__(real)
        self._stopping = stopping

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Pages, as long as nothing stops it; a read that has come to its end counts."""
        return self._each(self.real.read(entity_set, token))

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        """Pages, in the same way."""
        return self._each(self.real.sweep(entity_set))

    def read_since(self, entity_set: EntitySetSpec, field: str, since: Moment) -> Iterator[Page]:
        """Pages, in the same way."""
        return self._each(self.real.read_since(entity_set, field, since))

    def read_export(self, entity_set: EntitySetSpec, export: str, wait: Callable[[float], bool]) -> Iterator[Page]:
        """Pages, in the same way."""
        return self._each(self.real.read_export(entity_set, export, wait))

    def _each(self, pages: Iterator[Page]) -> Iterator[Page]:
        self._go_on()
        for page in pages:
            yield page
            if not page.last:
                self._go_on()

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """Records by key, those of one request after the other."""
        rows: list[Row | None] = []
        size = self.limits.writes_per_request
        for start in range(0, len(keys), size):
            self._go_on()
            rows += self.real.fetch(entity_set, keys[start : start + size])
        return rows

    def find(self, entity_set: EntitySetSpec, by: Sequence[str], values: Sequence[Key]) -> list[list[Row]]:
        """Records by other fields than the key."""
        self._go_on()
        return self.real.find(entity_set, by, values)

    def _go_on(self) -> None:
        if self._stopping():
            raise Stopping("the replicator is stopping")
