"""What the suite runs over: an empty system, a connector to it, and what only the connector's author can know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal

from replicator.connectors.protocol import Connector, Key, Moment, Reference, Write
from replicator.mapping.language import EntitySetSpec


class Subject(ABC):
    """One connector and its system. What a system has not is left as it is here, and its tests are skipped."""

    connector: Connector
    main: EntitySetSpec
    """An entity set that can be read and written, without a record."""
    text: str
    """A text field of it that may be empty, and that holds 20 characters."""
    decimal: str | None = None
    amounts: Sequence[Decimal] = ()
    """A decimal field of it, and values that the system keeps to the last digit."""
    moment: tuple[str, Moment, Moment] | None = None
    """A date or timestamp field of it that may be empty, and two values, the later one last."""
    refused: tuple[str, object] | None = None
    """A field of it, and a value of its type that the system refuses."""
    part: EntitySetSpec | None = None
    part_refused: tuple[str, object] | None = None
    """The same of ``part``, an entity set whose records point at those of ``main``."""
    checks_references: bool = True
    """The system refuses what points at nothing."""

    @abstractmethod
    def key(self, n: int) -> Key:
        """The key of the nth record of ``main``; a system that assigns keys gets it from the create's answer."""

    @abstractmethod
    def values(self, n: int) -> Mapping[str, object]:
        """What the nth record holds besides its key, ``text`` among it."""

    @abstractmethod
    def stored(self) -> int:
        """How many records the system holds in ``main``; asked in another way than through the connector."""

    @abstractmethod
    def connected(self, *, records_per_read: int | None = None, **limits: int) -> Connector:
        """Another connector to the same system, with other limits where they are given."""

    def create_part(self, n: int, main: int, **more: object) -> Write:
        """The create of the nth record of ``part``, which points at the given record of ``main``."""
        raise NotImplementedError(f"{type(self).__name__} has a part, and does not say how one is created")

    def changed_elsewhere(self) -> None:
        """Another program changes something in the system, if it pushes: asked only then."""
        raise NotImplementedError(f"{type(self).__name__} pushes, and does not say how somebody else changes something")

    def lost_answer(self) -> AbstractContextManager[None] | None:
        """While it is open the system does what it is asked, and no answer comes. None: that cannot happen here."""
        return None

    def out_of_reach(self) -> AbstractContextManager[None] | None:
        """While it is open nothing reaches the system. None: that cannot happen here."""
        return None

    def create(self, n: int, **more: object) -> Write:
        """The create of the nth record."""
        return Write(self.main, "create", self.key(n), {**self.values(n), **more})

    def update(self, n: int, etag: str | None = None, **values: object) -> Write:
        """A change of the nth record."""
        return Write(self.main, "update", self.key(n), values, etag)

    def delete(self, n: int, etag: str | None = None) -> Write:
        """Its delete."""
        return Write(self.main, "delete", self.key(n), etag=etag)


def plain(value: object) -> object:
    """A value as it is read: a reference is the key of what it points at."""
    return value.key[0] if isinstance(value, Reference) else value
