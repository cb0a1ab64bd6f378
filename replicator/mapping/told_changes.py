"""How an entity set tells its changes, where that is said in its file."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field, model_validator

from replicator.mapping.spec import Duration, Name, Spec, seconds

Way = Literal["whole", "told", "sweep", "since"]
"""whole: all records. told: what the system itself tells of changes, by a token of its own. sweep: keys and etags of
all, and then what has another etag. since: the latest by a field, as their file says."""


class ByTime(Spec):
    """The system is asked for its latest records by a field: when each was last changed, or a date it gets once."""

    changed_since: Name | None = Field(default=None, description="The field that holds when a record was last changed")
    window: Name | None = Field(default=None, description="A posting date, of records that never change afterwards")
    overlap: Duration | None = Field(
        default=None, description="How far each read goes back behind the latest that is known; default: 5m, or 7d"
    )

    @model_validator(mode="after")
    def _goes_by_one(self) -> ByTime:
        if (self.changed_since is None) == (self.window is None):
            raise ValueError("says either 'changed_since' or 'window'")
        return self

    @property
    def field(self) -> str:
        """The field that it goes by."""
        return self.changed_since or self.window or ""

    def from_on(self, latest: str) -> datetime.datetime | datetime.date:
        """From when on the next read asks, by the latest time that is known: a moment or a day in ISO form."""
        back = datetime.timedelta(seconds=seconds(self.overlap or ("5m" if self.changed_since else "7d")))
        if "T" not in latest:
            return datetime.date.fromisoformat(latest) - back
        return datetime.datetime.fromisoformat(latest) - back
