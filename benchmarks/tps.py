"""Single-row updates of a mirror with capture on and off, by pgbench, with one client and with eight.

Once as fast as the disk here commits, and once as if a commit took half a millisecond: what capture costs is a number
of microseconds, so that the ratio says as much of the disk as of the capture.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line
from benchmarks.systems import Source
from replicator.config import Budget
from replicator.core.hub_handle import Handle
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
_USUAL_COMMIT = 0.0005
"""Seconds. Measured where the design was made: 0.3 to 0.5 ms."""
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
            Snapshots(Handle.on(connection, model), Source(records)).take(items, Budget())
        settle_down(engine)
        url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        here = _commit(Path(folder))
        found.append(Line("one write of the log to the disk", f"{here * 1e3:.2f} ms"))
        for delay, where in ((0.0, ""), (max(0.0, _USUAL_COMMIT - here), f", were that {_USUAL_COMMIT * 1e3:g} ms")):
            for clients in _CLIENTS:
                pairs = [
                    tuple(_rate(engine, url, script, clients, switch, delay) for switch in ("disable", "enable always"))
                    for _ in range(_ROUNDS)
                ]
                off, on = (median(pair[side] for pair in pairs) for side in (0, 1))
                ratio = median(pair[1] / pair[0] for pair in pairs)
                name = f"updates a second with capture, {clients} client{'s' if clients > 1 else ''}{where}"
                found.append(Line(name, f"{on:.0f} ({off:.0f} without)", ratio, 0.8, "at least"))
    return found


def _commit(folder: Path) -> float:
    """Seconds that a block of the log takes to the disk of this folder."""
    times: list[float] = []
    with (folder / "block").open("wb", buffering=0) as file:
        file.write(bytes(8192))
        for _ in range(200):
            file.seek(0)
            started = time.perf_counter()
            file.write(bytes(8192))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - started)
    return median(times)


def _rate(engine: sa.Engine, url: str, script: Path, clients: int, switch: str, delay: float) -> float:
    """Transactions a second, with the trigger switched like this and every commit waiting so many seconds longer."""
    with engine.begin() as connection:
        connection.execute(sa.text(_SWITCH.format(switch)))
    command = [str(embedded.binaries() / "pgbench"), "--no-vacuum", f"--time={_SECONDS}", f"--client={clients}",
               f"--jobs={min(clients, 2)}", "--protocol=prepared", f"--file={script}", url]  # fmt: skip
    options = f"-c commit_delay={delay * 1e6:.0f} -c commit_siblings=0"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PGOPTIONS": options}
    )
    match = re.search(r"^tps = ([\d.]+)", done.stdout, re.MULTILINE)
    if match is None:
        raise SystemExit(f"pgbench failed: {done.stderr}")
    return float(match[1])
