"""What all specifications of ``schema/`` are made of: their base, and the texts of names and durations."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=60)]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}[smhd]$")]
"""As 30s, 5m, 2h, 1d."""
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Of a text as 5m."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


class Spec(BaseModel):
    """Base of all specifications: unknown keys are errors, values never change after load."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=False)
