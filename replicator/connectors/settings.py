"""How one system is reached: address, credentials and limits, as the configuration file says them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from replicator.bounded import is_loopback
from replicator.connectors.protocol import Limits
from replicator.errors import ConfigurationError

Kind: TypeAlias = Literal["dataverse", "finops"]
records_per_read_of: Mapping[Kind, int] = {"dataverse": 5000, "finops": 1000}


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


class Settings(BaseModel):
    """Base: unknown keys are errors, and no message repeats what was given (it could be a secret)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class NoAuth(Settings):
    """No credentials: for the sandbox."""

    kind: Literal["none"] = "none"


class Bearer(Settings):
    """A token that somebody else renews."""

    kind: Literal["bearer"]
    token: Secret

    @field_validator("token")
    @classmethod
    def _fits_a_header(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if not text.isascii() or not text.isprintable():
            raise ValueError("holds a character that a token cannot have")
        return value


class ClientCredentials(Settings):
    """OAuth 2 client credentials: the token is fetched and renewed here."""

    kind: Literal["client_credentials"]
    token_url: str
    client_id: str
    client_secret: Secret
    scope: str

    @field_validator("token_url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _address(value)


class SystemSettings(Settings):
    """One system's connection. Times in seconds, sizes in bytes, the rest counts."""

    kind: Kind
    url: str = Field(description="Address of the system; its service path is added when it is not there")
    auth: Annotated[NoAuth | Bearer | ClientCredentials, Field(discriminator="kind")] = NoAuth()
    parallel_requests: int = Field(default=4, ge=1, le=52, description="Requests under way at once")
    writes_per_request: int = Field(default=100, ge=1, le=1000, description="Writes in one batch")
    records_per_read: int | None = Field(default=None, ge=1, le=10_000, description="Default: 5000, finops 1000")
    timeout_seconds: float = Field(
        default=60, gt=0, description="Longest silence of the system, and longest wait for a token"
    )
    answer_seconds: float = Field(
        default=600, gt=0, description="Longest time for one request, from connecting to the end"
    )
    answer_bytes: int = Field(default=256 * 2**20, gt=0, description="Largest answer, as it comes and unpacked")
    read_seconds: float = Field(default=14_400, gt=0, description="Longest read of an entity set, all its pages")
    pages_per_read: int = Field(default=10_000, ge=1, description="Most pages of a read")
    longest_pause_seconds: float = Field(default=900, gt=0, description="A longer Retry-After is cut to this")
    track_changes: bool = Field(default=True, description="dataverse: ask for changes only, where the set can")
    allow_plain_http: bool = Field(default=False, description="Send credentials unencrypted beyond this machine")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _address(value).rstrip("/")

    @model_validator(mode="after")
    def _keeps_secrets_from_the_wire(self) -> SystemSettings:
        urls = [] if isinstance(self.auth, NoAuth) else [self.url]
        if isinstance(self.auth, ClientCredentials):
            urls.append(self.auth.token_url)
        if not self.allow_plain_http and not all(_is_private(url) for url in urls):
            raise ValueError("credentials would travel unencrypted: use https, or set allow_plain_http")
        return self

    @property
    def limits(self) -> Limits:
        """The limits in the form that the engine asks for."""
        return Limits(
            records_per_read=self.records_per_read or records_per_read_of[self.kind],
            writes_per_request=self.writes_per_request,
            parallel_requests=self.parallel_requests,
        )


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address that begins with https:// (or http://)")
    if parts.username or parts.password:
        raise ValueError("credentials belong in 'auth', not in the address")
    if parts.query or parts.fragment:
        raise ValueError("an address has no '?' and no '#' here")
    return value


def _is_private(url: str) -> bool:
    """Whether nobody on the way can read along: encrypted, or never leaving this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
