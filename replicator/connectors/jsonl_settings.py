"""What the configuration file says of a folder of JSONL files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from replicator.connectors.settings import ConnectorSettings

if TYPE_CHECKING:
    from replicator.connectors.protocol import Connector


class JsonlSettings(ConnectorSettings):
    """A folder with a file for each entity set; a relative one is beside the configuration file."""

    kind: Literal["jsonl"]
    folder: Path
    parallel_requests: Literal[1] = Field(default=1, description="Who writes has the folder to himself")
    records_per_read: int = Field(default=5000, ge=1, description="Records in one page")
    writes_per_request: int = Field(default=1000, ge=1, description="Writes for which the files are written once")
    lock_seconds: float = Field(default=10, ge=0, description="Longest wait for another writer")

    @field_validator("folder")
    @classmethod
    def _from_the_file(cls, value: Path, info: ValidationInfo) -> Path:
        base: Path | None = (info.context or {}).get("base")
        return value if base is None else base / value

    def connect(self, name: str, **options: Any) -> Connector:
        """The connector; the folder is not looked at yet."""
        from replicator.connectors.jsonl import Jsonl

        return Jsonl(name, self, **options)
