"""What came back for each request in a batch, whatever the form of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class PartAnswer:
    """One answer in a batch. Header names are in lower case; ``content_id`` is that of the request, if it came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    content_id: str | None = None


@dataclass(frozen=True)
class ChangeSetAnswer:
    """The answers of a change set: one each when it was done, usually a single one when it was not."""

    parts: tuple[PartAnswer, ...]


ItemAnswer: TypeAlias = PartAnswer | ChangeSetAnswer
