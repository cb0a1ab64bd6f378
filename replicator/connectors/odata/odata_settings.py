"""How systems with an OData service are reached: address, credentials and limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from replicator.connectors.protocol import Limits
from replicator.connectors.settings import ConnectorSettings, Settings
from replicator.secret_values import Secret

if TYPE_CHECKING:
    from replicator.connectors.protocol import Connector


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
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("holds a character that a token cannot have, such as a blank")
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


class ODataSettings(ConnectorSettings):
    """A system reached by OData. Times in seconds, sizes in bytes, the rest counts."""

    url: str = Field(description="Address of the system; its service path is added when it is not there")
    auth: Annotated[NoAuth | Bearer | ClientCredentials, Field(discriminator="kind")] = NoAuth()
    writes_per_request: int = Field(default=100, ge=1, le=1000, description="Writes in one batch")
    records_per_read: int = Field(default=1000, ge=1, le=10_000, description="Records asked for per page")
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
    allow_plain_http: bool = Field(default=False, description="Send credentials unencrypted beyond this machine")

    @field_validator("url")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        return _address(value).rstrip("/")

    @model_validator(mode="after")
    def _keeps_secrets_from_the_wire(self) -> ODataSettings:
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
            records_per_read=self.records_per_read,
            writes_per_request=self.writes_per_request,
            parallel_requests=self.parallel_requests,
        )


class DataverseSettings(ODataSettings):
    """A Dataverse environment."""

    kind: Literal["dataverse"]
    records_per_read: int = Field(default=5000, ge=1, le=10_000, description="Records asked for per page")
    track_changes: bool = Field(default=True, description="Ask for changes only, where the set can tell them")

    def connect(self, name: str, **options: Any) -> Connector:
        """The connector; nothing is sent yet."""
        from replicator.connectors.dataverse import Dataverse

        return Dataverse(name, self, **options)


class PackageSettings(Settings):
    """An export project of Data management, by which an entity set is read for the first time."""

    project: str = Field(min_length=1, description="The name of the export project, which holds this one data entity")
    entity: str = Field(min_length=1, description="What its package calls the data entity, in words")
    companies: tuple[str, ...] = Field(min_length=1, description="The legal entities that are exported")


class FinOpsSettings(ODataSettings):
    """A Finance and Operations environment."""

    kind: Literal["finops"]
    packages: dict[str, PackageSettings] = Field(
        default_factory=dict, description="Entity sets that are read for the first time by packages of Data management"
    )

    def connect(self, name: str, **options: Any) -> Connector:
        """The connector; nothing is sent yet."""
        from replicator.connectors.finops import FinOps

        return FinOps(name, self, **options)


def _address(value: str) -> str:
    parts = urlsplit(value)
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("the port of an address is a number up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address that begins with https:// (or http://)")
    if parts.username or parts.password:
        raise ValueError("credentials belong in 'auth', not in the address")
    if parts.query or parts.fragment:
        raise ValueError("an address has no '?' and no '#' here")
    return value


def _is_private(url: str) -> bool:
    """Whether nobody on the way can read along: encrypted, or never leaving this machine."""
    from replicator.proxies_and_tls import is_loopback

    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")
