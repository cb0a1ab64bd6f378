"""What a preflight notes: problems found, apart from problems in looking."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy.exc import DBAPIError

from replicator.errors import ReplicatorError, Transient


@dataclass(frozen=True)
class Note:
    """One of them: where, what, and what to do next."""

    where: str
    what: str
    next: str = ""


@dataclass
class Report:
    """All of them."""

    findings: list[Note] = field(default_factory=list)
    """Problems found."""
    errors: list[Note] = field(default_factory=list)
    """What could not be looked at, so that nothing is known of it."""
    untold: list[Note] = field(default_factory=list)
    """What a system does not tell of itself, so that nothing could be compared with it."""
    information: list[Note] = field(default_factory=list)
    passing: bool = True
    """Whether all errors may be over when it is tried again."""

    def found(self, where: object, what: str, next_: str = "") -> None:
        """A problem."""
        self.findings.append(Note(str(where), what, next_))

    def leave_open(self, where: object, what: str) -> None:
        """Neither a problem nor none."""
        self.untold.append(Note(str(where), what))

    def tell(self, where: object, what: str) -> None:
        """Not a problem."""
        self.information.append(Note(str(where), what))

    @contextmanager
    def looking(self, where: object) -> Iterator[None]:
        """What fails inside could not be looked at; the rest is looked at nevertheless."""
        try:
            yield
        except ReplicatorError as problem:
            self.errors.append(Note(str(where), problem.message, problem.hint))
            self.passing = self.passing and isinstance(problem, Transient)
        except DBAPIError as problem:
            self.errors.append(Note(str(where), str(problem.orig).strip().split("\n", maxsplit=1)[0]))

    @property
    def exit_code(self) -> int:
        """0 nothing found, 3 findings; 4 or 1 where something could not be looked at, for now or for good."""
        if self.errors:
            return 4 if self.passing else 1
        return 3 if self.findings else 0
