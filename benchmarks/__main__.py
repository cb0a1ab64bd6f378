"""``python -m benchmarks``: runs the parts that are named (default: all) and prints what they found."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import click

from benchmarks import burst, change, commands, day, deliver, explain, latency, load, plan, reading, reconcile, tps
from benchmarks.hub import server
from benchmarks.report import Line, result

PARTS: Mapping[str, Callable[[str, int], list[Line]]] = {
    "load": load.measure,
    "reading": reading.measure,
    "day": day.measure,
    "latency": latency.measure,
    "change": change.measure,
    "deliver": deliver.measure,
    "burst": burst.measure,
    "plan": plan.measure,
    "tps": tps.measure,
    "explain": explain.measure,
    "reconcile": reconcile.measure,
    "commands": commands.measure,
}
_MEGABYTES_MAX = 300


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--records", default=1_000_000, show_default=True, help="Rows of the large entity set.")
@click.option("--quick", is_flag=True, help="The same with 100,000 rows.")
@click.option("--plans", type=click.Path(dir_okay=False, path_type=Path), help="File for the plans of slow statements.")
def main(parts: Sequence[str], records: int, quick: bool, plans: Path | None) -> None:
    """Measure PARTS, or all of them: what reading, merging, delivering and looking cost, and the capture of changes."""
    lines: list[Line] = []
    with server(plans) as url:
        for name in parts or PARTS:
            lines += PARTS[name](url, 100_000 if quick else records)
            lines.append(memory(name))
    result(lines)
    sys.exit(any(line.met is False for line in lines))


def memory(part: str) -> Line:
    """The most memory this process ever had."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    share = kilobytes / 1024 / _MEGABYTES_MAX
    what = f"memory of the process after '{part}', of {_MEGABYTES_MAX} MB"
    return Line(what, f"{kilobytes / 1024:.0f} MB", share, 1.0)


if __name__ == "__main__":
    main()
