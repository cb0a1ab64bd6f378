"""A whole snapshot into the mirror and into common: first load, nothing changed, one in a thousand changed.

Beside it, in the same run, a bare binary COPY of the same rows into a logged table with a primary key.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import psycopg
import sqlalchemy as sa
from psycopg import sql

from benchmarks import rows
from benchmarks.clock import Clock, watch
from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line, seconds
from benchmarks.systems import Source, decoder
from replicator.config import Budget
from replicator.connectors.json_rows import json_page
from replicator.core.hub_handle import Handle
from replicator.core.mark import mark_window
from replicator.inbound.merge import Merges
from replicator.inbound.snapshot import Snapshots
from replicator.mapping.compiled import Compiled
from replicator.mapping.schema import EntitySet

_TYPES = {"text": "text", "integer": "int8", "decimal": "numeric", "boolean": "bool", "date": "date",
          "timestamp": "timestamptz", "uuid": "uuid", "reference": "uuid"}  # fmt: skip
_BARE_TYPES = {**_TYPES, "integer": "bigint"}


@dataclass(frozen=True)
class Passed:
    """Seconds of one pass, from pages of JSON to the mirror, on to common, and until nothing is left to look at."""

    snapshot: float
    merge: float
    quiet: float


class Load:
    """The parts of the measurement, on one hub."""

    def __init__(self, engine: sa.Engine, model: Compiled, records: int) -> None:
        self.engine, self.model, self.records = engine, model, records
        self.source = Source(records)
        self.statements = watch(engine)
        self.items: EntitySet = model.schema.entity_sets["bench", "items"]
        self.bare: list[float] = []
        self.generate: list[float] = []

    def prepare(self) -> None:
        """The small set, merged, and the empty table for the bare COPY."""
        with self.engine.connect() as connection:
            categories = self.model.schema.entity_sets["bench", "categories"]
            Snapshots(Handle.on(connection, self.model), self.source).take(categories, Budget())
            self._merge(connection)
        self.statements.take()

    def copy_bare(self) -> None:
        """COPY the same rows, page by page so that nothing of it runs while rows are made up; one transaction."""
        fields = self.items.spec.fields
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(_BARE_TYPES[field.type]))
            for name, field in fields.items()
        )
        decode, clock = decoder(self.items.spec), Clock()
        with self.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            driver.execute("drop table if exists public.bare")
            driver.execute(sql.SQL("create table public.bare ({}, etag text, primary key (itemid))").format(columns))
            driver.commit()
            driver.execute("checkpoint")
            driver.commit()
            for page in rows.whole(self.records, 0):
                decoded = [decode(row) for row in page]
                with (
                    clock.on("copy"),
                    driver.cursor() as cursor,
                    cursor.copy("copy public.bare from stdin (format binary)") as copy,
                ):
                    copy.set_types([*(_TYPES[field.type] for field in fields.values()), "text"])
                    for values in decoded:
                        copy.write_row(values)
            with clock.on("copy"):
                driver.commit()
        self.bare.append(clock.seconds["copy"])

    def run(self, generation: int) -> Passed:
        """One whole snapshot and all that follows from it."""
        if self.generate:  # before the first pass a hub has no statistics
            settle_down(self.engine)
        self.source.generation = generation
        self.source.clock.take()
        self.statements.take()
        with self.engine.connect() as connection:
            started = time.perf_counter()
            Snapshots(Handle.on(connection, self.model), self.source).take(self.items, Budget(), whole=True)
            snapshot = time.perf_counter() - started
            beside = self.source.clock.take()
            self.generate.append(beside["generate"])
            snapshot -= beside["generate"]
            self._tell(
                "snapshot", snapshot, {"pages split": beside["split"], "pages decoded and staged": beside["stage"]}
            )
            merge = self._merge(connection) or 0.0
            self._tell("merge", merge, {})
            quiet = 0.0
            while (more := self._merge(connection, only_new=True)) is not None:
                quiet += more
            self._tell("quiet", quiet, {})
        return Passed(snapshot, merge, quiet)

    def _merge(self, connection: sa.Connection, *, only_new: bool = False) -> float | None:
        """Seconds of one round of marks and merges; with ``only_new`` None when nothing was new."""
        hub = Handle.on(connection, self.model)
        started = time.perf_counter()
        window = mark_window(hub)
        if window is None and only_new:
            return None
        self.statements.seconds["(marking)"] = time.perf_counter() - started
        merges = Merges(hub)
        while merges.merge(again=window is not None).left:
            pass
        return time.perf_counter() - started

    def _tell(self, what: str, spent: float, beside: dict[str, float]) -> None:
        found = {**beside, **self.statements.take()}
        marking = found.pop("(marking)", None)
        title = f"{what}: {spent:.2f} s" + (f", of them marking {marking:.2f} s" if marking else "")
        seconds(title, {**found, "Python, ANALYZE and the rest": spent - sum(found.values())})


def read_json(records: int) -> float:
    """Seconds to split and decode so many rows of JSON, by a few pages."""
    pages = [rows.body(page) for page in rows.whole(4 * rows.PAGE, 0)]
    decode = decoder(compiled("bench").schema.entity_sets["bench", "items"].spec)
    started = time.perf_counter()
    for page in pages:
        split = json_page(page, "a page")
        assert split is not None
        for row in split[0]:
            decode(row)
    return (time.perf_counter() - started) * records / (4 * rows.PAGE)


def measure(server_url: str, records: int) -> list[Line]:
    """All of it."""
    model = compiled("bench")
    with hub(server_url, "load", model) as engine:
        load = Load(engine, model, records)
        load.prepare()
        load.copy_bare()
        first = load.run(0)
        load.copy_bare()
        nothing = load.run(0)
        few = load.run(1)
        load.copy_bare()
    bare = median(load.bare)
    json = read_json(records)
    return [
        *_lines(records, bare, first, nothing, few),
        Line("beside: splitting and decoding", f"{json:.1f} s", json / bare),
        Line("whole snapshot: to merged, without these", f"{first.snapshot + first.merge - json:.1f} s",
             (first.snapshot + first.merge - json) / bare, 4.5),
        Line("beside: making rows up", f"{median(load.generate):.1f} s"),
    ]  # fmt: skip


def _lines(records: int, bare: float, first: Passed, nothing: Passed, few: Passed) -> list[Line]:
    found = [Line(f"bare COPY of {records:,} rows", f"{bare:.1f} s", 1.0)]
    passes: Sequence[tuple[str, Passed, float | None]] = (
        ("whole snapshot", first, 5.5), ("nothing changed", nothing, 0.5), ("1 in 1,000 changed", few, None),
    )  # fmt: skip
    for name, passed, aim in passes:
        found.append(Line(f"{name}: into the mirror", f"{passed.snapshot:.1f} s", passed.snapshot / bare))
        found.append(Line(f"{name}: merged into common", f"{passed.merge:.1f} s", passed.merge / bare))
        both = passed.snapshot + passed.merge
        found.append(Line(f"{name}: JSON to merged", f"{both:.1f} s", both / bare, aim))
        found.append(Line(f"{name}: until quiet", f"{passed.quiet:.1f} s more", passed.quiet / bare))
    return found
