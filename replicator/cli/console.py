"""The command that serves the console."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path

import click
from pydantic import ValidationError

from replicator.cli.options import config_option
from replicator.config import ConsoleSettings, load_console
from replicator.console.serve import serving
from replicator.errors import ConfigurationError
from replicator.hub.address import load_hub
from replicator.hub.connection import DAEMON
from replicator.hub.server import open_engine
from replicator.hub.session import CONSOLE, check_product, driver
from replicator.log_lines import log_as_json
from replicator.signals import stop_on_signals


@click.command()
@config_option
@click.option(
    "--listen", metavar="ADDRESS:PORT", help="Where to listen (default: console.listen, else 127.0.0.1:8080)."
)
def console(config_path: Path | None, listen: str | None) -> None:
    """Serve the web console until SIGTERM or Ctrl-C.

    It shows what 'status', 'explain' and 'history' show, and takes the same decisions; 'run' serves it too when
    the configuration has 'console:'. It needs the hub alone, whatever is wrong with schema/.
    An address that others can reach needs console.token or console.identity_header.
    """
    settings = load_console(config_path)
    if listen is not None:
        try:
            settings = ConsoleSettings.model_validate({**dict(settings), "listen": listen})
        except ValidationError:
            raise ConfigurationError(f"--listen {listen} is not ADDRESS:PORT", hint="as 127.0.0.1:8080") from None
    settings.check()
    log_as_json()
    stop = threading.Event()
    address = load_hub(config_path)
    with ExitStack() as stack:
        engine = open_engine(address.url, address.folder, role=DAEMON, sessions=CONSOLE, wanted="running")
        stack.callback(engine.dispose)
        with engine.connect() as connection:
            check_product(driver(connection))
        stop_on_signals(stop.set)
        click.echo(f"console: {stack.enter_context(serving(engine, settings))}")
        while not stop.wait(0.5):
            pass
