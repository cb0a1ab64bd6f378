"""What the configuration file says of a system: the base of every kind's settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from replicator.mapping.language import TimeZone

if TYPE_CHECKING:
    from replicator.connectors.protocol import Connector


class Settings(BaseModel):
    """Base: unknown keys are errors, and no message repeats what was given (it could be a secret)."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ConnectorSettings(Settings, ABC):
    """One system. A kind of system is a subclass whose ``kind`` is a Literal of its name, found by entry point."""

    kind: str
    parallel_requests: int = Field(default=4, ge=1, le=52, description="Requests under way at once")
    time_zone: TimeZone = Field(
        default="UTC", description="Where its people sit: days that are 'stored_as: local midnight' begin there"
    )

    @abstractmethod
    def connect(self, name: str, **options: Any) -> Connector:
        """The connector of the system called ``name``; nothing is sent yet.

        ``options`` are what a test puts in the place of the network or the clock. What is slow to import is imported
        here: the settings of every kind are loaded wherever a configuration is read.
        """
