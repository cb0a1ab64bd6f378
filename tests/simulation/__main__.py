"""``python -m tests.simulation``: many seeds, or the planted bugs, and how fast each of those is found."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import click
import pytest

from replicator.hub import embedded
from replicator.hub.connection import connect
from replicator.mapping.compiled import Compiled, compile_folder
from replicator.solution.migrate import MigrationTarget, migrate
from tests.fixtures.hub import SCHEMA, SOLUTION
from tests.fixtures.postgres import SETTINGS, create_database, drop_database, fast_folder
from tests.simulation.faults import NeverQuietError
from tests.simulation.mutants import MUTANTS
from tests.simulation.run import Story, live_through

_TEMPLATE = "template_of_simulations"
_CRASHES = (TypeError, KeyError, AttributeError, NameError, ImportError)
"""What a planted bug raises that no longer fits the program: no product would have been shipped with it."""


class BrokenMutantError(Exception):
    """A planted bug crashes by itself, so that nothing is known of whether the simulation finds it."""


@contextmanager
def server() -> Iterator[str]:
    """The URL of a fresh server with a migrated database to copy."""
    home = Path(tempfile.mkdtemp(prefix="hub-simulations-", dir=fast_folder()))
    home.chmod(0o711)
    try:
        url = embedded.start(home / "home", die_with_parent=True, settings=SETTINGS).url
        engine = connect(create_database(url, _TEMPLATE))
        migrate(MigrationTarget(engine, _compiled(), SOLUTION))
        engine.dispose()
        yield url
    finally:
        embedded.stop(home / "home", mode="immediate")
        shutil.rmtree(home, ignore_errors=True)


@cache
def _compiled(planted: str | None = None) -> Compiled:
    """The schema; one of its own for each planted bug, whose statements differ."""
    return compile_folder(SCHEMA)


def live(seed: int, url: str, planted: str | None = None) -> Story | str:
    """One seed, in a process of the pool: what happened, or what is wrong."""
    name = f"seed_{os.getpid()}_{seed}"
    with pytest.MonkeyPatch.context() as patching:
        if planted is not None:
            MUTANTS[planted](patching)
        try:
            return live_through(seed, create_database(url, name, _TEMPLATE), _compiled(planted))
        except (Exception, NeverQuietError) as problem:  # a planted bug may show in any way
            if planted is not None and isinstance(problem, _CRASHES):
                raise BrokenMutantError(f"seed {seed}: {_place(problem)}") from problem
            return f"{type(problem).__name__}: {problem}"
        finally:
            drop_database(url, name)


def _place(problem: Exception) -> str:
    """A crash and where it happened."""
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{type(problem).__name__}: {problem}, at {Path(last.filename).name}:{last.lineno}"


@click.group()
def main() -> None:
    """Seeded simulations of both systems, the hub and everything that goes wrong between them."""


@main.command()
@click.option("--first", default=0, show_default=True)
@click.option("--seeds", default=2000, show_default=True)
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
def seeds(first: int, seeds: int, workers: int) -> None:
    """Run SEEDS seeds; exit with 1 when one of them goes wrong."""
    started, bad, kills, faults = time.monotonic(), 0, 0, Counter[str]()
    with server() as url, ProcessPoolExecutor(workers) as pool:
        under_way = {pool.submit(live, seed, url): seed for seed in range(first, first + seeds)}
        for number, done in enumerate(as_completed(under_way), 1):
            story = done.result()
            if isinstance(story, str):
                bad += 1
                click.echo(f"seed {under_way[done]}: {story}")
            else:
                kills += story.kills
                faults.update(story.faults)
            if number % 100 == 0:
                click.echo(f"{number} seeds, {_per_minute(number, started)} a minute")
    click.echo(f"{seeds} seeds, {bad} of them wrong, {_per_minute(seeds, started)} seeds a minute")
    click.echo(f"{kills} crashes, {faults.total()} faults: {', '.join(f'{n} {k}' for k, n in faults.most_common())}")
    raise SystemExit(bool(bad))


@main.command()
@click.argument("names", nargs=-1, type=click.Choice(list(MUTANTS)))
@click.option("--seeds", default=1000, show_default=True, help="At most so many for each.")
@click.option("--workers", default=os.cpu_count() or 1, show_default=True)
def mutants(names: Sequence[str], seeds: int, workers: int) -> None:
    """Plant each bug of NAMES (default: all), and look for the first seed that shows it.

    Exits with 1 if none does, or if a planted bug is no plausible one any more because it crashes by itself.
    """
    missed, broken = 0, list[str]()
    with server() as url, ProcessPoolExecutor(workers) as pool:
        for name in names or MUTANTS:
            try:
                found = _first_found(pool, url, name, seeds, workers)
            except BrokenMutantError as problem:
                broken.append(name)
                found = ("BROKEN", str(problem))
            missed += found is None
            seed, words = found or ("not found", "")
            click.echo(f"| {name.replace('_', ' ')} | {seed} | {words} |")
    if broken:
        click.echo(f"BROKEN, mend them in mutants.py: {', '.join(broken)}", err=True)
    raise SystemExit(bool(missed or broken))


def _first_found(pool: ProcessPoolExecutor, url: str, name: str, seeds: int, workers: int) -> tuple[str, str] | None:
    for first in range(0, seeds, workers):
        batch = range(first, min(first + workers, seeds))
        for seed, story in zip(batch, pool.map(live, batch, [url] * workers, [name] * workers), strict=False):
            if isinstance(story, str):
                return str(seed), " ".join(story.split())[:110]
    return None


def _per_minute(seeds: int, started: float) -> int:
    return round(60 * seeds / (time.monotonic() - started))


if __name__ == "__main__":
    main()
