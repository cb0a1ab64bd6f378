"""The configuration: one YAML file, and ``HUB_URL``, which wins over the file's ``hub.url``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    PrivateAttr,
    SecretStr,
    TypeAdapter,
    field_validator,
    model_validator,
)

from replicator.connectors.kinds import SystemSettings
from replicator.connectors.settings import Settings
from replicator.errors import ConfigurationError, ReplicatorError
from replicator.hub.address import FILE as FILE
from replicator.hub.address import FOLDER, configuration_file
from replicator.mapping.language import Scalar
from replicator.mapping.yaml_source import Document, Location, read
from replicator.secret_values import Secret

SCHEMA = Path("schema")

_url = TypeAdapter(AnyHttpUrl)
_IN_ADDRESSES = re.compile(r"[\w.~-]+", re.ASCII)
_THIS_MACHINE = (ip_network("127.0.0.0/8"), ip_network("::1"))


class HubSettings(Settings):
    """Where the hub's database is: a server by ``url``, else an embedded one kept in ``folder``."""

    url: str | None = Field(default=None, repr=False, description="It may hold a password, so it is never shown")
    folder: Path = FOLDER


class Budget(Settings):
    """How many records may be deleted within a day, or updated by a first delivery, before a person is asked."""

    count: int = Field(default=100, ge=0)
    share: float = Field(default=0.1, ge=0, le=1)


class FlowSettings(Settings):
    """How a single flow is treated."""

    mode: Literal["apply", "observe"] = Field(default="apply", description="observe: decided and shown, never sent")


class DaemonSettings(Settings):
    """How often the daemon looks, and how long things are kept."""

    poll_seconds: float = Field(default=30, gt=0, description="Between two reads of each system")
    readers: int = Field(default=2, ge=1, le=4, description="Beside each other, of each system")
    hub_poll_seconds: float = Field(default=1, gt=0, description="Between two looks at the hub's log")
    retry_seconds: float = Field(default=5, gt=0, description="First pause after a passing failure; it doubles")
    retry_max_seconds: float = Field(default=600, gt=0)
    keep_log_days: int = Field(default=30, ge=1)
    lease_seconds: float = Field(default=30, gt=0, description="A replicator that is silent for so long loses the lead")


def split_address(text: str) -> tuple[str, int]:
    """``ADDRESS:PORT`` apart; an IPv6 address stands in brackets, ``localhost`` is 127.0.0.1."""
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError("not ADDRESS:PORT, as 127.0.0.1:8080 or [::1]:8080")
    bare = host.removeprefix("[").removesuffix("]")
    if (":" in bare) != host.startswith("["):
        raise ValueError("an IPv6 address stands in brackets, as [::1]:8080")
    if bare == "localhost":
        return "127.0.0.1", int(port)
    try:
        return str(ip_address(bare)), int(port)
    except ValueError:
        raise ValueError("listens on an address, not on a name, as 127.0.0.1:8080") from None


def _is_an_address(text: str) -> str:
    split_address(text)
    return text


def _is_private(listen: str) -> bool:
    """Whether only this machine can reach an address."""
    return ip_address(split_address(listen)[0]).is_loopback


def _is_long(what: str, value: SecretStr | None) -> None:
    if value is not None and len(value.get_secret_value()) < 16:
        raise ValueError(f"a {what} has at least 16 characters")


def _is_an_origin(text: str) -> str:
    """``https://NAME:PORT`` as browsers write it: the port only where it is not the usual one."""
    try:
        url = _url.validate_python(text)
    except ValueError:
        url = None
    if url is None or url.path not in (None, "/") or url.query or url.fragment or url.username or url.password:
        raise ValueError("not https://NAME or http://NAME:PORT")
    port = "" if url.port == {"https": 443, "http": 80}[url.scheme] else f":{url.port}"
    return f"{url.scheme}://{url.host}{port}"


class ConsoleSettings(Settings):
    """The web console: where it listens, and how it knows who is there."""

    listen: Annotated[str, AfterValidator(_is_an_address)] = "127.0.0.1:8080"
    token: Secret | None = Field(default=None, description="What people log in with")
    identity_header: str | None = Field(
        default=None, pattern=r"^[A-Za-z][A-Za-z0-9-]*$", description="Where a reverse proxy says who is there"
    )
    proxies: tuple[IPvAnyNetwork, ...] = Field(default=(), description="Addresses of proxies that are believed")
    urls: tuple[Annotated[str, AfterValidator(_is_an_origin)], ...] = Field(
        default=(), description="Addresses by which browsers reach it, besides its own"
    )

    @field_validator("token")
    @classmethod
    def _is_no_guess(cls, value: SecretStr | None) -> SecretStr | None:
        _is_long("token", value)
        return value

    @model_validator(mode="after")
    def _one_way_in(self) -> ConsoleSettings:
        if self.token is not None and self.identity_header is not None:
            raise ValueError("either a token or an identity header, not both")
        return self

    @property
    def is_private(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_private(self.listen)

    @property
    def believed(self) -> tuple[IPvAnyNetwork, ...]:
        """From where the identity header is taken: the named proxies; without these, on loopback, this machine."""
        return self.proxies or (_THIS_MACHINE if self.is_private else ())

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of the machine, so that the address is no name for it."""
        return split_address(self.listen)[0] in ("0.0.0.0", "::")  # noqa: S104

    def check(self) -> None:
        """Refuse to be open: raises ConfigurationError for an address that others reach without a way to know them."""
        if not self.is_private and self.token is None and self.identity_header is None:
            raise ConfigurationError(
                f"the console would be open to everybody who reaches {self.listen}",
                hint="configure console.token, or console.identity_header behind a proxy; or listen on 127.0.0.1",
            )
        if self.is_everywhere and not self.urls:
            raise ConfigurationError(
                f"the console listens on {self.listen} and does not know its name",
                hint="say in console.urls by which addresses browsers reach it, as https://hub.example.com",
            )
        if self.identity_header is not None and not self.is_private and not self.proxies:
            raise ConfigurationError(
                f"whoever reaches the console at {self.listen} could call himself anybody",
                hint="say in console.proxies which addresses the proxy has that sends console.identity_header",
            )


class MetricsSettings(Settings):
    """Where monitoring fetches the metrics. They name no record, and whoever reaches the address may read them."""

    listen: Annotated[str, AfterValidator(_is_an_address)] = "127.0.0.1:9464"


def _is_public(text: str) -> str:
    """An address under which systems reach the receiver of hints, without a slash at its end."""
    from replicator.proxies_and_tls import is_loopback  # with the client for it, which takes its time to import

    try:
        url = _url.validate_python(text)
    except ValueError:
        url = None
    if url is None or url.query or url.fragment or url.username or url.password:
        raise ValueError("not https://NAME, with a path or without")
    if url.scheme != "https" and not is_loopback((url.host or "").strip("[]")):
        raise ValueError("the key would travel in the clear: https://NAME, with a path or without")
    return text.rstrip("/")


class HintsSettings(Settings):
    """Where systems say that something changed in them, and how they show that it is they who say it."""

    listen: Annotated[str, AfterValidator(_is_an_address)] = "127.0.0.1:8443"
    url: Annotated[str, AfterValidator(_is_public)] = Field(description="By which the systems reach it")
    key: Secret = Field(description="Whoever knows it may give hints")
    certificate: Path | None = Field(default=None, description="PEM, with those that lead to a known one behind it")
    certificate_key: Path | None = Field(default=None, description="PEM, without a password")
    per_second: float = Field(default=50, gt=0, description="More are refused")

    @field_validator("key")
    @classmethod
    def _is_no_guess(cls, value: SecretStr) -> SecretStr:
        _is_long("key", value)
        if not _IN_ADDRESSES.fullmatch(value.get_secret_value()):
            raise ValueError("the key travels in addresses: letters, digits, '-', '.', '_' and '~' alone")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> HintsSettings:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key belong together")
        return self

    def check(self) -> None:
        """Raises ConfigurationError where the key would travel to others in the clear."""
        if self.certificate is None and not _is_private(self.listen):
            raise ConfigurationError(
                f"hints would come in the clear to {self.listen}, and with them the key",
                hint="give hints.certificate and hints.certificate_key; or listen on 127.0.0.1 behind a proxy",
            )

    def url_of(self, system: str) -> str:
        """Where a system gives its hints."""
        return f"{self.url}/hints/{system}"


class EmailSettings(Settings):
    """A mail server that takes the messages, and who gets them."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    starttls: bool = True
    user: str | None = None
    password: Secret | None = None
    sender: str
    to: list[str] = Field(min_length=1)


class NotifySettings(Settings):
    """Who is told when something goes wrong: webhooks, whose addresses are secrets, and e-mail."""

    after_seconds: float = Field(default=60, ge=0, description="What passes sooner is not told")
    every_seconds: float = Field(default=15, gt=0, description="Between two looks")
    thresholds: list[int] = Field(default=[10, 100, 1000], description="Told again when so many records are concerned")
    webhooks: list[Secret] = Field(default_factory=list)
    email: EmailSettings | None = None

    @property
    def anybody(self) -> bool:
        """Whether there is somebody to tell."""
        return bool(self.webhooks or self.email)


class Configuration(Settings):
    """The whole file."""

    hub: HubSettings = HubSettings()
    schema_folder: Path = Field(default=SCHEMA, alias="schema")
    systems: dict[str, SystemSettings] = Field(default_factory=dict)
    records: dict[str, list[dict[str, Scalar]]] = Field(
        default_factory=dict, description="Common records that the configuration itself masters, by entity"
    )
    deletes: Budget = Budget()
    first_updates: Budget = Budget()
    delete_budgets: dict[str, Budget] = Field(
        default_factory=dict, description="Budgets of single entity sets, as system.EntitySet"
    )
    flows: dict[str, FlowSettings] = Field(
        default_factory=dict, description="Single flows, by the name that status gives them"
    )
    daemon: DaemonSettings = DaemonSettings()
    metrics: MetricsSettings | None = Field(default=None, description="With it, 'run' serves /metrics too")
    notify: NotifySettings = NotifySettings()
    console: ConsoleSettings | None = Field(default=None, description="With it, 'run' serves the web console too")
    hints: HintsSettings | None = Field(default=None, description="With it, 'run' hears what systems say of changes")
    _document: Document | None = PrivateAttr(default=None)

    def problem(self, message: str, at: Location) -> ReplicatorError:
        """An error about the value at ``at``; it names file and line where there is a file."""
        if self._document is None:
            return ConfigurationError(f"{'.'.join(map(str, at))}: {message}")
        return self._document.problem(message, at)

    @property
    def solution(self) -> Path:
        """The folder of the solution: there ``schema/`` lies, and beside it ``alembic.ini`` and ``migrations/``."""
        return self.schema_folder.parent

    def delete_budget(self, system: str, entity_set: str) -> Budget:
        """The budget of one entity set."""
        return self.delete_budgets.get(f"{system}.{entity_set}", self.deletes)


class _Part(Settings):
    """A part of the file; the rest is not looked at."""

    model_config = ConfigDict(extra="ignore")


class _NotifyAlone(_Part):
    notify: NotifySettings = NotifySettings()


class _ConsoleAlone(_Part):
    console: ConsoleSettings | None = None


class _SchemaAlone(_Part):
    schema_folder: Path = Field(default=SCHEMA, alias="schema")


def load(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Configuration:
    """The configuration in ``path`` (default: replicator.yaml, where there is one), relative paths made absolute."""
    document = _document(path, environment)
    if document is None:
        return _resolve(Configuration(), Path.cwd(), environment)
    found = document.parse(Configuration)
    found._document = document
    return _resolve(found, document.path.resolve().parent, environment)


def load_notify(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> NotifySettings:
    """Only who is told: the rest of the file may be wrong, and no other secret has to be there."""
    document = _document(path, environment)
    return document.parse(_NotifyAlone).notify if document is not None else NotifySettings()


def load_console(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> ConsoleSettings:
    """Only how the console is served."""
    document = _document(path, environment)
    found = document.parse(_ConsoleAlone).console if document is not None else None
    return found or ConsoleSettings()


def load_schema_folder(path: Path | None = None, environment: Mapping[str, str] = os.environ) -> Path:
    """Only where ``schema/`` is."""
    document = _document(path, environment)
    return SCHEMA if document is None else document.path.resolve().parent / document.parse(_SchemaAlone).schema_folder


def _document(path: Path | None, environment: Mapping[str, str]) -> Document | None:
    file = configuration_file(path, environment)
    return None if file is None else read(file, ConfigurationError)


def _resolve_hub(hub: HubSettings, base: Path, environment: Mapping[str, str]) -> HubSettings:
    return hub.model_copy(update={"folder": base / hub.folder, "url": environment.get("HUB_URL") or hub.url})


def _resolve(found: Configuration, base: Path, environment: Mapping[str, str]) -> Configuration:
    hub, hints = _resolve_hub(found.hub, base, environment), found.hints
    if hints is not None and hints.certificate is not None and hints.certificate_key is not None:
        files = {"certificate": base / hints.certificate, "certificate_key": base / hints.certificate_key}
        hints = hints.model_copy(update=files)
    return found.model_copy(update={"hub": hub, "hints": hints, "schema_folder": base / found.schema_folder})
