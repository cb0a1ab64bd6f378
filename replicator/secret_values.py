"""Secrets of the configuration: each is in an environment variable, or in a file that nobody else may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr, ValidationInfo

from replicator.errors import ConfigurationError


def _of_environment(name: object) -> str:
    value = os.environ.get(name, "") if isinstance(name, str) else ""
    if not value:
        raise ConfigurationError(f"the environment variable {name} of a secret is not set", hint="set it, then start")
    return value


def _of_file(name: object, base: Path) -> str:
    """The secret in a file, without the line end. A file that others may read is refused: it is no secret."""
    path = base / str(name)
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read().rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise ConfigurationError(f"the secret file {path} cannot be read: {reason}") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"the secret file {path} is open to others (mode {mode:03o})", hint="chmod 600")
    if not text:
        raise ConfigurationError(f"the secret file {path} is empty")
    return text


def _resolved(value: object, info: ValidationInfo) -> object:
    base: Path | None = (info.context or {}).get("base")
    if isinstance(value, str) and base is not None:
        raise ValueError("a secret is not written in the file: say {env: NAME} or {file: path}")
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"env"}:
        return _of_environment(value["env"])
    if set(value) == {"file"}:
        return _of_file(value["file"], base or Path())
    raise ValueError("a secret is written {env: NAME} or {file: path}")


Secret = Annotated[SecretStr, Field(min_length=1), BeforeValidator(_resolved)]
"""A secret: ``{env: NAME}`` or ``{file: path}``; code may give the text itself. Shown as stars everywhere."""
