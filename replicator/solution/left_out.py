"""In words, which records a map leaves out without showing them: for those that wait for one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.mapping.language import Condition, NotNull


def leaves_out(conditions: Sequence[Condition]) -> str | None:
    """What a record has to be, by the conditions that have no words of their own; None where each has some."""
    wanted = [words for each in conditions if each.otherwise is None for words in _wanted(each)]
    return f"it takes only records of which {' and '.join(wanted)}" if wanted else None


def _wanted(condition: Condition) -> Iterator[str]:
    each = f"of every {condition.every} " if condition.every else ""
    if condition.sql:
        yield f"{each}({condition.sql}) is true"
    for path, value in condition.that.items():
        choices = value if isinstance(value, tuple) else (value,)
        yield f"{each}{path} is {' or '.join(map(_shown, choices))}"


def _shown(value: object) -> str:
    if isinstance(value, NotNull):
        return "there"
    return "empty" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
