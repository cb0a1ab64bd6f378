"""The kinds of systems that are installed, found by entry point: each is the class of its settings."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, Union, get_args

from pydantic import ConfigDict, Field, TypeAdapter, create_model, model_validator

from replicator.connectors.settings import ConnectorSettings, Settings
from replicator.errors import ConfigurationError

GROUP = "replicator.connectors"
"""The group of entry points; an entry is called as the kind, and names a subclass of ConnectorSettings."""


@cache
def kinds() -> Mapping[str, type[Settings]]:
    """The settings of each kind, by its name."""
    found = {entry.name: _settings(entry) for entry in sorted(entry_points(group=GROUP))}
    if len(found) < 2:  # a union of one tells nothing apart; and these two come with the program
        raise ConfigurationError("the program was not installed as a package", hint="run ./setup.sh, or pip install .")
    return found


def _settings(entry: EntryPoint) -> type[Settings]:
    """The settings that an entry point names; one that cannot be loaded hurts only who uses it."""
    try:
        settings = entry.load()
        if not (isinstance(settings, type) and issubclass(settings, ConnectorSettings)):
            raise TypeError(f"{entry.value} is no subclass of ConnectorSettings")
        if get_args(settings.model_fields["kind"].annotation) != (entry.name,):
            raise TypeError(f"the kind of {entry.value} is not Literal['{entry.name}']")
    except Exception as problem:
        return _broken(entry, f"{type(problem).__name__}: {problem}")
    return settings


def _broken(entry: EntryPoint, why: str) -> type[Settings]:
    """In the place of the settings: whatever they say, they are refused with the reason."""

    def refuse(_: object) -> object:
        raise ValueError(f"the connector of kind '{entry.name}' cannot be loaded: {why}")

    kind: Any = Literal[entry.name]
    refusing: dict[str, Any] = {"refuse": model_validator(mode="before")(refuse)}
    return create_model(f"Broken{entry.name}", __base__=Settings, __validators__=refusing, kind=(kind, ...))


if TYPE_CHECKING:
    SystemSettings: TypeAlias = ConnectorSettings
    """The settings of one system, of whatever kind."""
else:
    SystemSettings = Annotated[Union[tuple(kinds().values())], Field(discriminator="kind")]  # noqa: UP007


def settings_of(given: Mapping[str, object]) -> ConnectorSettings:
    """Settings from plain values, ``kind`` among them. Raises pydantic's ValidationError."""
    adapter: TypeAdapter[ConnectorSettings] = TypeAdapter(SystemSettings, config=ConfigDict(hide_input_in_errors=True))
    return adapter.validate_python(given)
