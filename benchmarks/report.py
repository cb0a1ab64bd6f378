"""Tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

console = Console(width=120)
_SHORTEST = 0.005


@dataclass(frozen=True)
class Line:
    """One line of the result; ``aim`` is what the ratio (or the amount) should be at most, or at least."""

    what: str
    measured: str
    ratio: float | None = None
    aim: float | None = None
    wanted: Literal["at most", "at least"] = "at most"

    @property
    def met(self) -> bool | None:
        """Whether the aim was reached; None without one."""
        if self.ratio is None or self.aim is None:
            return None
        return self.ratio <= self.aim if self.wanted == "at most" else self.ratio >= self.aim

    def cells(self) -> tuple[str, ...]:
        """What the table shows."""
        met = {True: "yes", False: "NO", None: ""}[self.met]
        aim = f"{self.wanted} {self.aim:g}" if self.aim is not None else ""
        return self.what, self.measured, "" if self.ratio is None else f"{self.ratio:.2f}", aim, met


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print one table."""
    shown = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    for place, head in enumerate(heads):
        shown.add_column(head, justify="left" if place == 0 else "right", no_wrap=place > 0)
    for row in rows:
        shown.add_row(*row)
    console.print(shown)
    console.print()


def seconds(title: str, found: Mapping[str, float]) -> None:
    """Print where time went, longest first."""
    longest = sorted(found.items(), key=lambda each: -each[1])
    table(title, ("where", "seconds"), [(name, f"{value:.3f}") for name, value in longest if value >= _SHORTEST])


def result(lines: Sequence[Line]) -> None:
    """Print the final table."""
    table("Result", ("what", "measured", "ratio", "aim", "met"), [line.cells() for line in lines])
