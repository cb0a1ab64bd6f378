"""The commands for those who watch from outside: metrics, and whether messages arrive."""

from __future__ import annotations

import datetime
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from replicator.cli.options import config_option, connected, json_option
from replicator.cli.output import answer
from replicator.errors import ConfigurationError

if TYPE_CHECKING:
    from replicator.hub.session import Session


@click.command()
@config_option
def metrics(config_path: Path | None) -> None:
    """Print the metrics of the hub in OpenMetrics text, as they are at this moment.

    'run' serves the same at /metrics with 'metrics:' in the configuration. docs/monitoring has alert rules and a
    dashboard.
    """
    from replicator.operate.metrics import text

    with connected(config_path) as connection:
        click.echo(text(OpenSession(connection)), nl=False)


@dataclass(frozen=True)
class OpenSession:
    """The one session of a command, where several could be asked for."""

    connection: Session

    def connect(self) -> AbstractContextManager[Session]:
        """The session, which stays open."""
        return nullcontext(self.connection)


@click.command("notify")
@config_option
@json_option
def notify_command(config_path: Path | None, as_json: bool) -> None:
    """Send a message to everybody who is told when something goes wrong, to see that it arrives.

    Whom 'run' tells, and when, is said under 'notify:' in the configuration.
    """
    from replicator.config import load_notify
    from replicator.operate.receivers import Message, senders

    settings = load_notify(config_path)
    if not settings.anybody:
        raise ConfigurationError("nobody is told of anything", hint="see 'notify:' in docs/configuration.md")
    now = datetime.datetime.now(datetime.UTC)
    message = Message("appeared", "test", "a test: this message arrived, nothing is wrong", 0, now)
    receivers = senders(settings)
    for send in receivers:
        send(message)
    answer(f"sent to {len(receivers)}", as_json, sent=len(receivers))
