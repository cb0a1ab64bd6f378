"""A list that is kept on disk: a plan of very many writes takes no more memory than one of a few."""

from __future__ import annotations

import operator
import pickle
import tempfile
import weakref
from array import array
from collections.abc import Sequence
from typing import Generic, TypeVar, overload

T = TypeVar("T")


class Spool(Sequence[T], Generic[T]):
    """Grows at its end. Each item is a copy of what was appended; the file goes with the last reference to the list."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the list is there
        weakref.finalize(self, self._file.close)
        self._places = array("Q")
        self._end = 0

    def append(self, item: T) -> int:
        """Add an item; its place."""
        self._file.seek(self._end)
        self._places.append(self._end)
        self._end += self._file.write(pickle.dumps(item, pickle.HIGHEST_PROTOCOL))
        return len(self._places) - 1

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._load(place) for place in self._places[index]]
        return self._load(self._places[index])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(operator.eq, self, other))

    def __hash__(self) -> int:
        return id(self)

    def _load(self, place: int) -> T:
        self._file.seek(place)
        return pickle.load(self._file)  # type: ignore[no-any-return]  # noqa: S301 - its own file, which has no name
