"""The simulated ERP with very many customers, in a process of its own, where somebody changes some of them on demand.

It prints its address; then for each number that it reads it changes so many customers, and says so.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from replicator.sandbox.host import serve
from replicator.sandbox.system import Sandbox

_SET = "CustomersV3"


class Erp:
    """The process from outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._to: IO[str] = process.stdin
        self._from: IO[str] = process.stdout
        self.url = self._from.readline().strip()

    def change(self, count: int) -> None:
        """Have so many customers changed, evenly spread."""
        self._to.write(f"{count}\n")
        self._to.flush()
        self._from.readline()


@contextmanager
def erp(records: int) -> Iterator[Erp]:
    """One with so many customers, until the block ends."""
    command = [sys.executable, "-m", "benchmarks.erp", str(records)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Erp(process)
        process.terminate()


def _customer(number: int, name: str) -> dict[str, object]:
    return {
        "dataAreaId": "usmf", "CustomerAccount": f"C-{number:07}", "PartyType": "Organization",
        "OrganizationName": name, "CustomerGroupId": "30", "SalesCurrencyCode": "USD", "LanguageId": "en-us",
        "PrimaryContactEmail": f"{number}@example.com", "PrimaryContactPhone": f"+49 228 {number}",
        "AddressStreet": f"{number % 300} Long Street", "AddressCity": "Bonn", "AddressZipCode": f"{number % 99999:05}",
        "AddressCountryRegionId": "DEU", "SalesMemo": "A customer of long standing, who pays in time.",
    }  # fmt: skip


def _serve(records: int) -> None:
    box = Sandbox("ops")
    for number in range(records):
        box.put(_SET, _customer(number, f"Customer {number}"))
    server = serve(box)
    print(server.url, flush=True)
    for turn, line in enumerate(sys.stdin):
        for number in range(0, records, records // int(line)):
            box.put(_SET, _customer(number, f"Customer {number}, changed {turn}"))
        print("done", flush=True)
    server.close()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
