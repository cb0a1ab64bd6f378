"""The commands for those who watch from outside: metrics, and whether messages arrive."""

from __future__ import annotations

import datetime
from pathlib import Path

import click

from replicator.cli.options import answer, config_option, json_option
from replicator.config import load
from replicator.errors import ConfigurationError
from replicator.opening import hub_of
from replicator.operate.metrics import text
from replicator.operate.notify import Message, senders
from replicator.solution.migrate import check_hub


@click.command()
@config_option
def metrics(config_path: Path | None) -> None:
    """Print the metrics of the hub in OpenMetrics text, as they are at this moment.

    'run' serves the same at /metrics with 'metrics:' in the configuration. docs/monitoring has alert rules and a
    dashboard.
    """
    with hub_of(load(config_path)) as hub:
        check_hub(hub)
        click.echo(text(hub.engine), nl=False)


@click.command("notify")
@config_option
@json_option
def notify_command(config_path: Path | None, as_json: bool) -> None:
    """Send a message to everybody who is told when something goes wrong, to see that it arrives.

    Whom 'run' tells, and when, is said under 'notify:' in the configuration.
    """
    settings = load(config_path).notify
    if not settings.anybody:
        raise ConfigurationError("nobody is told of anything", hint="see 'notify:' in docs/configuration.md")
    now = datetime.datetime.now(datetime.UTC)
    message = Message("appeared", "test", "a test: this message arrived, nothing is wrong", 0, now)
    receivers = senders(settings)
    for send in receivers:
        send(message)
    answer(f"sent to {len(receivers)}", as_json, sent=len(receivers))


commands: tuple[click.Command, ...] = (metrics, notify_command)
