"""A connector around another one, which does as that does until something is overridden."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from replicator.connectors.protocol import (
    Capabilities,
    Connector,
    Description,
    Key,
    Limits,
    Moment,
    Outcome,
    Page,
    Row,
    Unit,
    Usage,
)
from replicator.mapping.language import EntitySetSpec


class Wrapped:
    """As the real one; its connections are closed by who opened them."""

    def __init__(self, real: Connector) -> None:
        self.real = real
        self.name = real.name

    @property
    def limits(self) -> Limits:
        """As they are now."""
        return self.real.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self.real.limits = limits

    @property
    def capabilities(self) -> Capabilities:
        """Those of the real one."""
        return self.real.capabilities

    @capabilities.setter
    def capabilities(self, capabilities: Capabilities) -> None:
        self.real.capabilities = capabilities

    def size(self, unit: Unit) -> int:
        """How much of a request a unit takes."""
        return self.real.size(unit)

    def organizations(self) -> frozenset[str] | None:
        """The organizations there are."""
        return self.real.organizations()

    def wait_for_change(self, seconds: float) -> bool:
        """Whether something changed meanwhile."""
        return self.real.wait_for_change(seconds)

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        """Pages of the whole set, or of what changed."""
        return self.real.read(entity_set, token)

    def sweep(self, entity_set: EntitySetSpec) -> Iterator[Page]:
        """Keys and etags of the whole set."""
        return self.real.sweep(entity_set)

    def read_since(self, entity_set: EntitySetSpec, field: str, since: Moment) -> Iterator[Page]:
        """Pages of the latest records."""
        return self.real.read_since(entity_set, field, since)

    def new_export(self, entity_set: EntitySetSpec) -> str | None:
        """The name of an export."""
        return self.real.new_export(entity_set)

    def read_export(self, entity_set: EntitySetSpec, export: str, wait: Callable[[float], bool]) -> Iterator[Page]:
        """Pages of an export."""
        return self.real.read_export(entity_set, export, wait)

    def count(self, entity_set: EntitySetSpec) -> int | None:
        """How many records there are."""
        return self.real.count(entity_set)

    def fetch(self, entity_set: EntitySetSpec, keys: Sequence[Key]) -> list[Row | None]:
        """Records by key."""
        return self.real.fetch(entity_set, keys)

    def find(self, entity_set: EntitySetSpec, by: Sequence[str], values: Sequence[Key]) -> list[list[Row]]:
        """Records by other fields than the key."""
        return self.real.find(entity_set, by, values)

    def decoder(self, entity_set: EntitySetSpec) -> Callable[[Row], list[object]]:
        """From a row to its typed values."""
        return self.real.decoder(entity_set)

    def reading(self, entity_set: EntitySetSpec) -> str:
        """What the decoder depends on."""
        return self.real.reading(entity_set)

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        """Writes."""
        return self.real.apply(units)

    def usage(self) -> Usage:
        """The system's patience."""
        return self.real.usage()

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        """What the system says of its entity sets."""
        return self.real.describe(entity_sets)

    def clock_skew(self) -> float | None:
        """How far its clock is ahead."""
        return self.real.clock_skew()

    def close(self) -> None:
        """Nothing is opened here."""
