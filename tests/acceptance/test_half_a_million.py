"""One transaction that changes half a million records: memory stays bounded, and other flows go on meanwhile."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.fixtures.commands import Process, Workplace, in_hub, until
from tests.fixtures.trade import released, start

MANY = 500_000
MEGABYTES = 400
"""That the daemon takes at most, whatever there is to do."""
CHANGE = f"""
insert into sales.accounts (accountid, accountnumber, name, statecode, address1_country)
select md5('account ' || n)::uuid, 'B-' || n, 'Account ' || n, 0, 'Germany' from generate_series(1, {MANY}) n
returning 1
"""
MERGED = "select count(*) from common.account where number like 'B-%'"


def peak(process: Process) -> float:
    """The most memory that a process had at once so far, in megabytes."""
    status = Path(f"/proc/{process.popen.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) / 1024


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc")
def test_half_a_million_records_changed_at_once_take_bounded_memory_and_keep_no_other_flow_waiting(
    workplace: Workplace, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are merged; their delivery, which takes as long as the system does, is paused."""
    start(workplace.folder / "load")
    systems = workplace.sandbox_process("--load", str(workplace.folder / "load"))
    workplace.configure(systems.urls, more="first_updates: {count: 1000, share: 1}\n")
    assert workplace.run("once").code == 0
    assert workplace.run("pause", "account > ops.CustomersV3").code == 0
    daemon = workplace.start("run")
    until(lambda: any('"start"' in line for line in list(daemon.err)), what="the daemon's first line")
    in_hub(workplace, CHANGE)
    began = time.monotonic()
    systems.create("ops", "SellableReleasedProducts", released("P-NEW", 10))
    until(
        lambda: any(row["productnumber"] == "P-NEW" for row in systems.records("sales", "products")),
        patience=900, what="a product of the other flow",
    )  # fmt: skip
    served, meanwhile = time.monotonic() - began, in_hub(workplace, MERGED)[0]
    until(lambda: in_hub(workplace, MERGED) == [MANY], patience=1200, what="all records in common")
    with capsys.disabled():
        print(  # noqa: T201 - for people who run the slow tests
            f"\nother flow served after {served:.0f} s with {meanwhile} records merged, all {MANY} merged after"
            f" {time.monotonic() - began:.0f} s, {peak(daemon):.0f} MB at most"
        )
    assert meanwhile < MANY, "the other flow had to wait until all were merged"
    assert peak(daemon) < MEGABYTES
    assert daemon.end(patience=60) == 0
