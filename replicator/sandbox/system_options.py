"""Behaviours of a simulated system that are off unless asked for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Throttle(BaseModel):
    """A budget of requests in a sliding span of time."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    requests: int = Field(gt=0)
    seconds: float = Field(gt=0)


class Client(BaseModel):
    """An application that may ask for tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    client_id: str
    client_secret: str
    token_lifetime_seconds: float = 3600


class Packages(BaseModel):
    """How exports of packages go."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    projects: dict[str, str] = Field(
        default={}, description="Export projects with the set of each; without them each set has one of its name"
    )
    ends: Literal["Succeeded", "PartiallySucceeded", "Failed", "Canceled", "never"] = "Succeeded"
    address_seconds: float = Field(default=3600, description="How long the address of a package is good")


class Options(BaseModel):
    """Behaviours of a simulated system that are off unless asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    recalculate: bool = False
    activation_rules: bool = False
    lenient: bool = Field(
        default=False, description="What only forms require may be empty, what may not be sent is ignored"
    )
    active_at_once: bool = Field(default=False, description="New records are not drafts at first")
    throttle: Throttle | None = None
    token: str | None = None
    client: Client | None = None
    token_days: float = 7
    time_zone: str = Field(default="Europe/Berlin", description="Where its people sit, as an IANA name")
    packages: Packages = Packages()
    page_size: int | None = Field(default=None, gt=0, description="Rows of a page that nobody asked to be smaller")
