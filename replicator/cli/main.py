"""The command line. It imports what the one command needs, and help needs none of them."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import click

from replicator import __version__
from replicator.cli.exit_codes import EXIT_CODES, errors_in_words


class Entry(NamedTuple):
    """Where a command is, and the first sentence of its help."""

    module: str
    attribute: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "status": Entry(
        "status",
        "status",
        "Show how every flow stands: mirrored, in step, pending, blocked, failed, last read, lag; and who leads.",
    ),
    "causes": Entry(
        "status", "causes", "List what did not arrive, or is held, by cause; with a CAUSE the records behind it."
    ),
    "conflicts": Entry(
        "status", "conflicts", "List the fields that were changed on both sides and wait for a decision."
    ),
    "decisions": Entry(
        "status",
        "decisions",
        "List what people decided: who, when, about what, how many records it concerned, and why.",
    ),
    "explain": Entry(
        "explain",
        "explain",
        "Why KIND KEY stands as it does: from where it was seen down to the root cause, and what happens next.",
    ),
    "history": Entry(
        "explain", "history", "Who changed what in KIND KEY, in both systems and in common, oldest first."
    ),
    "as-of": Entry(
        "explain",
        "as_of",
        "What both systems and common held of KIND KEY at MOMENT (ISO 8601, UTC where no zone is given).",
    ),
    "wait": Entry(
        "explain", "wait", "Wait until KIND KEY has arrived in SYSTEM, as it was when this command began or newer."
    ),
    "retry": Entry("steward", "retry", "Try failed, rejected, reported or skipped records again with the next cycle."),
    "skip": Entry(
        "steward",
        "skip",
        "Leave failed, rejected, reported, blocked, held or orphaned records as they are; retry undoes it.",
    ),
    "approve": Entry("steward", "approve", "Let held deletes of an entity set, or held updates of a flow, go ahead."),
    "reject": Entry(
        "steward", "reject", "Refuse held deletes, so that the records stay, or held updates, so that they are skipped."
    ),
    "resolve": Entry(
        "steward",
        "resolve",
        "Decide CONFLICT (its number in 'conflicts'); the value goes to all sides with the next cycle.",
    ),
    "pause": Entry(
        "steward",
        "pause",
        "Stop writing by a flow, for a system, or in a direction (in, out), at once; reading goes on.",
    ),
    "resume": Entry(
        "steward", "resume", "Take back the pause of SCOPE (as 'status' lists it); what has accumulated goes out."
    ),
    "resync": Entry(
        "steward",
        "resync",
        "Read KIND afresh at the next read, and look at its records again: an entity, or system.EntitySet.",
    ),
    "metrics": Entry(
        "monitoring", "metrics", "Print the metrics of the hub in OpenMetrics text, as they are at this moment."
    ),
    "notify": Entry(
        "monitoring",
        "notify_command",
        "Send a message to everybody who is told when something goes wrong, to see that it arrives.",
    ),
    "console": Entry("console", "console", "Serve the web console until SIGTERM or Ctrl-C."),
    "init": Entry("migrations", "init", "Write a complete solution to FOLDER: configuration, schema, migrations."),
    "migrate": Entry(
        "migrations",
        "migrate_command",
        "Bring the hub's database to this version and this solution: tables, triggers, views.",
    ),
    "revise": Entry(
        "migrations",
        "revise",
        "Write the solution's next revision: what schema/ describes and the hub's tables do not have.",
    ),
    "plan": Entry("plan", "plan_command", "Show every write that would be made, in order, and send nothing."),
    "reconcile": Entry(
        "reconcile",
        "reconcile",
        "Read both systems afresh and whole, compare every record, and explain each difference.",
    ),
    "check": Entry("check", "check", "Look for what would go wrong: in the hub, in both systems, in the data at hand."),
    "once": Entry("run", "once", "Read both systems and work until they are quiet; then say how every flow stands."),
    "run": Entry("run", "run", "Run the daemon: keep both systems in step until SIGTERM or Ctrl-C."),
    "check-schema": Entry(
        "check_schema",
        "check_schema",
        "Read and compile the schema in FOLDER, and say what is wrong with it; needs no hub.",
    ),
    "sandbox": Entry("sandbox", "sandbox", "Serve the two simulated systems on loopback until SIGTERM or Ctrl-C."),
    "demo": Entry(
        "demo",
        "demo",
        "Show it at work: an embedded hub, both systems simulated over HTTP, and the daemon between them.",
    ),
    "hints": Entry(
        "hints",
        "hints",
        "Have a system say by itself when something changed, so that it is read at once and not with the next poll.",
    ),
    "hub": Entry(
        "hub",
        "hub",
        "The hub's database: its embedded server, when the configuration names no other, and psql for either.",
    ),
}


class Group(click.Group):
    """The commands by name, imported when they are asked for; errors are told as messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(importlib.import_module(f"replicator.cli.{entry.module}"), entry.attribute)
        return cast(click.Command, command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        room = formatter.width - 6 - max(map(len, COMMANDS))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, click.Command(name, help=COMMANDS[name].help).get_short_help_str(room))
                    for name in self.list_commands(ctx)
                ]
            )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for each in args:
            if not each.isascii() and each != each.encode(errors="replace").decode():
                raise click.UsageError(f"{each.encode(errors='replace').decode()}: this argument is no text in UTF-8")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        with errors_in_words():
            return super().invoke(ctx)


@click.group(cls=Group, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="replicator")
def main() -> None:
    """Keep a CRM and an ERP in step through a common-data PostgreSQL hub.

    \b
    Start:   replicator init FOLDER; there: replicator migrate; replicator run
    Try it:  replicator demo
    """
    logging.getLogger("httpx2").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
