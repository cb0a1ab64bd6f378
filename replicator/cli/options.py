"""What commands take: options, durations and moments, and a session on the hub."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from replicator.hub.address import FILE, load_hub

# The driver takes a tenth of a second to import, so that each function does it that needs it: 'notify' does not.
if TYPE_CHECKING:
    from replicator.hub.embedded_hub import Wanted
    from replicator.hub.session import Session

config_option = click.option(
    "--config", "config_path", type=click.Path(path_type=Path, dir_okay=False), envvar="REPLICATOR_CONFIG",
    help=f"Configuration file (default: {FILE}; environment: REPLICATOR_CONFIG).",
)  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


class Seconds(click.ParamType[float]):
    """A duration: 30, 30s, 5m, 1h."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", str(value).strip())
        if found is None:
            self.fail(f"{value!r} is no duration; write 30, 30s, 5m or 1h", param, ctx)
        return float(found[1]) * _UNITS[found[2]]


class Moment(click.ParamType[datetime.datetime]):
    """A moment in ISO 8601; without a zone it is UTC."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime.datetime:
        try:
            found = datetime.datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is no moment; write 2026-11-23 or 2026-11-23T08:00:00Z", param, ctx)
        return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


@contextmanager
def connected(config_path: Path | None, wanted: Wanted = "running") -> Iterator[Session]:
    """A session on the hub, for a command that needs nothing else. Who only looks starts no server."""
    from replicator.hub.session import open_hub

    with open_hub(load_hub(config_path), wanted) as connection:
        yield connection
