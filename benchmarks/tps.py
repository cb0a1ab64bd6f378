"""Single-row updates of a mirror with capture on and off, by pgbench, with one client and with eight."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line
from benchmarks.systems import Source
from replicator.config import Budget
from replicator.hub import embedded
from replicator.inbound.snapshot import Snapshots

_CLIENTS = (1, 8)
_ROUNDS = 7
_SECONDS = 4
_RECORDS_MAX = 100_000
_SCRIPT = """
\\set id random(1, {records})
update bench.items set quantity = quantity + 1 where id = :id;
"""
_SWITCH = "alter table bench.items {} trigger capture_update"


def measure(server_url: str, records: int) -> list[Line]:
    """Rounds with capture off and on in turn; the ratio of each pair, and of those the median."""
    model = compiled("bench")
    records = min(records, _RECORDS_MAX)
    found: list[Line] = []
    with hub(server_url, "tps", model) as engine, tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "update.sql")
        script.write_text(_SCRIPT.format(records=records))
        with engine.connect() as connection:
            items = model.schema.entity_sets["bench", "items"]
            Snapshots(connection, model.tables, Source(records)).take(items, Budget())
        settle_down(engine)
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        for clients in _CLIENTS:
            pairs = [
                tuple(_rate(engine, url, script, clients, switch) for switch in ("disable", "enable always"))
                for _ in range(_ROUNDS)
            ]
            off, on = (median(pair[side] for pair in pairs) for side in (0, 1))
            ratio = median(pair[1] / pair[0] for pair in pairs)
            name = f"updates a second with capture, {clients} client{'s' if clients > 1 else ''}"
            found.append(Line(name, f"{on:.0f} ({off:.0f} without)", ratio, 0.8, "at least"))
    return found


def _rate(engine: sa.Engine, url: str, script: Path, clients: int, switch: str) -> float:
    """Transactions a second, with the trigger switched like this."""
    with engine.begin() as connection:
        connection.execute(sa.text(_SWITCH.format(switch)))
    command = [str(embedded.binaries() / "pgbench"), "--no-vacuum", f"--time={_SECONDS}", f"--client={clients}",
               f"--jobs={min(clients, 2)}", "--protocol=prepared", f"--file={script}", url]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    match = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if match is None:
        raise SystemExit(f"pgbench failed: {done.stderr}")
    return float(match[1])
