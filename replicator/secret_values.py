"""Secrets of the configuration: each is in an environment variable, or in a file that no stranger may read."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, ValidationInfo, ValidatorFunctionWrapHandler, WrapValidator

from replicator.errors import ConfigurationError


def _of_environment(name: object) -> str:
    value = os.environ.get(name, "") if isinstance(name, str) else ""
    if not value.strip():
        raise ConfigurationError(
            f"the environment variable {name} of a secret is not set, or blank", hint="set it, then start"
        )
    return value


class FileSecret(SecretStr):
    """A secret in a file, read whenever it is asked for: such files are replaced while a program works."""

    def __init__(self, path: Path, text: str) -> None:
        super().__init__(text)
        self._path = path

    def get_secret_value(self) -> str:
        """What the file holds now; while it cannot be read, what it held before."""
        with suppress(ConfigurationError):
            self._secret_value = _of_file(self._path)
        return super().get_secret_value()


def _of_file(path: Path) -> str:
    """The secret in a file, without the line end. A file that others may read is refused: it is no secret.

    A group that this process belongs to may read it: so secrets are handed to containers.
    """
    try:
        if path.exists() and not path.is_file():
            raise ValueError("no plain file, and a secret is read again when it is refused")
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            text = file.read().rstrip("\r\n")
    except (OSError, ValueError) as error:
        not_text = "not a text file" if isinstance(error, UnicodeError) else str(error)
        reason = error.strerror if isinstance(error, OSError) else not_text
        raise ConfigurationError(f"the secret file {path} cannot be read: {reason}") from None
    mode = stat.S_IMODE(found.st_mode)
    ours = stat.S_IRGRP if found.st_gid in (os.getegid(), *os.getgroups()) else 0
    if mode & (stat.S_IRWXG | stat.S_IRWXO) & ~ours:
        raise ConfigurationError(
            f"the secret file {path} is open to others (mode {mode:03o})",
            hint="chmod 600; or 640, where its group is one that the replicator runs in",
        )
    if not text.strip():
        raise ConfigurationError(f"the secret file {path} is empty")
    return text


def _resolved(value: object, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> SecretStr:
    base: Path | None = (info.context or {}).get("base")
    if isinstance(value, str) and base is not None:
        raise ValueError("a secret is not written in the file: say {env: NAME} or {file: path}")
    if not isinstance(value, Mapping):
        return check(value)  # type: ignore[no-any-return]
    if set(value) == {"env"}:
        return check(_of_environment(value["env"]))  # type: ignore[no-any-return]
    if set(value) == {"file"}:
        path = (base or Path()) / str(value["file"])
        return FileSecret(path, check(_of_file(path)).get_secret_value())
    raise ValueError("a secret is written {env: NAME} or {file: path}")


Secret = Annotated[SecretStr, Field(min_length=1), WrapValidator(_resolved)]
"""A secret: ``{env: NAME}`` or ``{file: path}``; code may give the text itself. Shown as stars everywhere."""
