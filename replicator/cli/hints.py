"""``hints``: registers in a system that it says when something changed, shows what is registered, and takes it back."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from replicator.cli.options import config_option, json_option
from replicator.cli.output import answer
from replicator.config import HintsSettings, load
from replicator.connectors import connect
from replicator.connectors.dataverse import Dataverse
from replicator.connectors.dataverse_hints import Item, Registration
from replicator.errors import ConfigurationError, Terminal
from replicator.mapping.compiled import compile_folder

_REGISTERED = {"missing": "made", "changed": "changed", "surplus": "removed", "there": "there"}


@click.group()
def hints() -> None:
    """Have a system say by itself when something changed, so that it is read at once and not with the next poll.

    Without 'hints:' in the configuration nobody hears it; and whatever is not heard is found by the next poll.
    """


@hints.command()
@config_option
@click.argument("system")
@json_option
def register(config_path: Path | None, system: str, as_json: bool) -> None:
    """Create in SYSTEM the endpoint and the steps for all entity sets that are read, or mend those that are there.

    Safe to repeat, and needed again after the address, the key or schema/ has changed.
    """
    with _registration(config_path, system) as (registration, settings):
        done = list(registration.register(settings.key.get_secret_value()))
    _tell(system, settings, [(item, _REGISTERED[item.stands]) for item in done], as_json)


@hints.command("list")
@config_option
@click.argument("system")
@json_option
def list_command(config_path: Path | None, system: str, as_json: bool) -> None:
    """Show the endpoint and the steps in SYSTEM, and which are missing, changed, or too many; then it exits with 3."""
    with _registration(config_path, system) as (registration, settings):
        found = registration.look()
    _tell(system, settings, [(item, item.stands) for item in found], as_json)
    sys.exit(0 if all(item.stands == "there" for item in found) else 3)


@hints.command()
@config_option
@click.argument("system")
@json_option
def remove(config_path: Path | None, system: str, as_json: bool) -> None:
    """Delete the steps and the endpoint in SYSTEM; it is read with the polls alone then."""
    with _registration(config_path, system) as (registration, settings):
        gone = list(registration.remove())
    _tell(system, settings, [(item, "removed") for item in gone], as_json)


@contextmanager
def _registration(config_path: Path | None, system: str) -> Iterator[tuple[Registration, HintsSettings]]:
    configuration = load(config_path)
    settings, of_system = configuration.hints, configuration.systems.get(system)
    if of_system is None:
        known = ", ".join(configuration.systems)
        raise ConfigurationError(f"there is no system '{system}'", hint=f"the configuration has {known}")
    if settings is None:
        raise ConfigurationError(
            "nobody hears hints: the configuration has no 'hints:'",
            hint="say there the url by which systems reach 'replicator run', and the key that they show",
        )
    sets = compile_folder(configuration.schema_folder).schema.sets_of(system)
    connector = connect(system, of_system)
    try:
        if not isinstance(connector, Dataverse):
            raise _elsewhere(system, of_system.kind, settings)
        yield Registration(connector.http, settings.url_of(system), [each.spec for each in sets]), settings
    finally:
        connector.close()


def _elsewhere(system: str, kind: str, settings: HintsSettings) -> Terminal:
    """What to do for a system in which nothing can be registered from here."""
    address = f"{settings.url_of(system)}?code=KEY, with the key of the configuration"
    if kind == "finops":
        return Terminal(
            f"{system}: the events of a finops system are switched on in its own workspace",
            hint=f"add an HTTPS endpoint to its business events, with the address {address}, and activate for it the"
            " business and data events of what is read",
        )
    return Terminal(
        f"{system}: in a system of kind {kind} nothing is registered from here",
        hint=f"have it, or what watches it, POST to {address}, when something changed",
    )


def _tell(system: str, settings: HintsSettings, found: list[tuple[Item, str]], as_json: bool) -> None:
    items = [{"kind": item.kind, "name": item.name, "stands": stands} for item, stands in found]
    lines = [f"{item.kind:<10}{stands:<9}{item.name}" for item, stands in found] or [f"{system}: nothing is registered"]
    url = settings.url_of(system)
    answer("\n".join([*lines, f"{system} gives its hints to {url}"] if found else lines), as_json, system=system,
           url=url, items=items)  # fmt: skip
