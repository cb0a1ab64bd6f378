"""The command that serves the console."""

from __future__ import annotations

import threading
from pathlib import Path

import click
from pydantic import ValidationError

from replicator.cli.options import config_option
from replicator.config import ConsoleSettings, load
from replicator.errors import ConfigurationError
from replicator.hub.connection import DAEMON
from replicator.hub.session import CONSOLE
from replicator.opening import hub_of, log_as_json
from replicator.signals import stop_on_signals
from replicator.solution.migrate import check_hub


@click.command()
@config_option
@click.option(
    "--listen", metavar="ADDRESS:PORT", help="Where to listen (default: console.listen, else 127.0.0.1:8080)."
)
def console(config_path: Path | None, listen: str | None) -> None:
    """Serve the web console until SIGTERM or Ctrl-C.

    It shows what 'status', 'explain' and 'history' show, and takes the same decisions; 'run' serves it too when
    the configuration has 'console:'. An address that others can reach needs console.token or console.identity_header.
    """
    from replicator.console.serve import serving

    configuration = load(config_path)
    settings = configuration.console or ConsoleSettings()
    if listen is not None:
        try:
            settings = ConsoleSettings.model_validate({**dict(settings), "listen": listen})
        except ValidationError:
            raise ConfigurationError(f"--listen {listen} is not ADDRESS:PORT", hint="as 127.0.0.1:8080") from None
    settings.check()
    log_as_json()
    stop = threading.Event()
    with hub_of(configuration, role=DAEMON, sessions=CONSOLE) as hub:
        check_hub(hub)
        stop_on_signals(stop.set)
        with serving(hub.engine, hub.compiled, settings) as url:
            click.echo(f"console: {url}")
            while not stop.wait(0.5):
                pass
