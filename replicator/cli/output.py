"""All that commands write: lines in which everything is visible, and JSON."""

from __future__ import annotations

from itertools import islice
from typing import Protocol

import click

from replicator.errors import Terminal
from replicator.text import visible


def say(text: str, *, err: bool = False, keep: str = "") -> None:
    """One line, whatever words from elsewhere it holds; more only where ``keep`` has the line end."""
    click.echo(visible(text, keep=keep), err=err)


def say_json(value: object) -> None:
    """JSON, which escapes by itself what a terminal would obey."""
    from replicator.operate.hub_queries import json_parts  # with the hub's driver, which 'notify' does without

    parts = iter(json_parts(value))
    while some := list(islice(parts, 10_000)):
        click.echo("".join(some), nl=False)
    click.echo()


def answer(text: str, as_json: bool, **values: object) -> None:
    """One result: a sentence, or the values in it as JSON."""
    if as_json:
        say_json(values)
    else:
        say(text, keep="\n\t")


class Output(Protocol):
    """Where lines go: a rich Console with a bar below them, or standard output as it is."""

    def print(self, text: str, /, *, highlight: bool, soft_wrap: bool, markup: bool) -> None:
        """A line."""


class Plain:
    """Standard output, for commands that show nothing but lines."""

    def print(self, text: str, /, **_: bool) -> None:
        """A line."""
        click.echo(text)


def print_line(console: Output, text: str, *, keep: str = "") -> None:
    """One line, whatever words from elsewhere it holds; more only where ``keep`` has the line end."""
    console.print(visible(text, keep=keep), highlight=False, soft_wrap=True, markup=False)


def unknown(kind: str, key: str) -> Terminal:
    """What to say of a record that the hub has never heard of."""
    return Terminal(
        f"no {kind} {key} is known",
        hint="KIND is an entity (quote) or system.EntitySet (sales.quotes); KEY its business key or system key",
    )
