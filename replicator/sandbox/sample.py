"""Sample data from a seed: a first world of both systems, and the changes that happen in it later.

What is generated stands in ``sample.yaml``; this module only knows how to fill in a recipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, Literal
from uuid import UUID

from pydantic import Field, model_validator

from replicator.bounded_yaml import load
from replicator.sandbox.description import DescriptionSpec, SystemName
from replicator.sandbox.odata_http import to_json
from replicator.sandbox.rules import Evaluator
from replicator.sandbox.stored_values import rounded

Record = dict[str, Any]
Literally = bool | int | Decimal | str | None


class Make(DescriptionSpec):
    """One value to be made; exactly one way of making it is given."""

    pick: str | None = None
    """A random member of a list."""
    cycle: str | None = None
    """The member of a list that belongs to the record's number."""
    between: tuple[Decimal, Decimal] | None = None
    scale: int = 0
    guid: Literal[True] | None = None
    days: tuple[int, int] | None = None
    """A date this many days from the first day."""
    source: str | None = Field(default=None, alias="from")
    """``alias.field`` of a chosen record, or a field made before."""
    sql: str | None = None
    """An expression over the fields made before."""
    total: str | None = None
    """``set.field``: the sum over the records of a set that were made for this one."""
    number: Literal[True] | None = None
    """The record's number."""
    text: bool = False
    """The value is written as text."""

    @model_validator(mode="after")
    def _one_way(self) -> Make:
        ways = (
            self.pick,
            self.cycle,
            self.between,
            self.guid,
            self.days,
            self.source,
            self.sql,
            self.total,
            self.number,
        )
        if sum(way is not None for way in ways) != 1:
            raise ValueError("give exactly one way to make the value")
        return self


Value = Make | Literally


class Special(DescriptionSpec):
    """A record of a recipe that differs: its number, a name to find it by, other values, other choices."""

    at: int
    tag: str | None = None
    choose: dict[str, str] = Field(default_factory=dict)
    record: dict[str, Value] = Field(default_factory=dict)


class Recipe(DescriptionSpec):
    """Records of one set. ``each`` makes them for every record of a pool; ``choose`` picks records to refer to."""

    system: SystemName
    entity_set: str
    pool: str = ""
    count: int | tuple[int, int] = 1
    each: str | None = None
    choose: dict[str, str] = Field(default_factory=dict)
    record: dict[str, Value]
    special: tuple[Special, ...] = ()

    @property
    def name(self) -> str:
        """The pool its records go to."""
        return self.pool or self.entity_set


class Change(DescriptionSpec):
    """Something that happens later: a record set, or one deleted by its key."""

    after: int = Field(ge=1)
    why: str
    system: SystemName
    entity_set: str
    choose: dict[str, str] = Field(default_factory=dict)
    tag: str | None = None
    record: dict[str, Value] = Field(default_factory=dict)
    delete: tuple[Value, ...] = ()

    @model_validator(mode="after")
    def _one_thing(self) -> Change:
        if bool(self.record) == bool(self.delete):
            raise ValueError("a change has either 'record' or 'delete'")
        return self


class Sample(DescriptionSpec):
    """The whole file."""

    first_day: date
    lists: dict[str, tuple[str, ...]]
    world: tuple[Recipe, ...]
    changes: tuple[Change, ...]


_hole = re.compile(r"\{(\w+)(?:\.(\w+))?(?::([^}]*))?\}")
_letters = re.compile(r"[^a-z0-9]+")


class _Maker:
    """Fills in recipes; remembers what it made by pool and tag."""

    def __init__(self, sample: Sample, seed: int) -> None:
        self._sample = sample
        self._random = Random(seed)  # noqa: S311 - sample data
        self._evaluator = Evaluator()
        self._pools: dict[str, list[Record]] = {}
        self._children: list[tuple[Record, str, Record]] = []
        self._later: list[tuple[Record, str, str]] = []

    def world(self) -> dict[tuple[str, str], list[Record]]:
        """The records of the first world by system and set."""
        made: dict[tuple[str, str], list[Record]] = {}
        for recipe in self._sample.world:
            made.setdefault((recipe.system, recipe.entity_set), []).extend(self._cook(recipe))
        for record, name, total in self._later:
            record[name] = self._total(record, total)
        return made

    def changes(self) -> Iterator[Record]:
        """The changes in the order in which they happen."""
        for number, change in enumerate(sorted(self._sample.changes, key=lambda change: change.after), 1):
            chosen = self._chosen(change.choose)
            entry: Record = {"after": change.after, "system": change.system, "entity_set": change.entity_set}
            if change.delete:
                entry["delete"] = [self._value(value, "", {}, chosen, number) for value in change.delete]
            else:
                entry["record"] = self._filled(change.record, chosen, number)
                if change.tag:
                    self._pools[change.tag] = [entry["record"]]
            yield {**entry, "why": change.why}

    def close(self) -> None:
        """Release the evaluator."""
        self._evaluator.close()

    def _cook(self, recipe: Recipe) -> Iterator[Record]:
        parents: list[Record | None] = [*self._pools[recipe.each]] if recipe.each else [None]
        pool = self._pools.setdefault(recipe.name, [])
        for parent in parents:
            for within in range(1, self._how_many(recipe) + 1):
                number = within if parent is not None else len(pool) + 1
                special = next((special for special in recipe.special if special.at == len(pool) + 1), None)
                chosen = self._chosen(recipe.choose | (special.choose if special else {}))
                if parent is not None:
                    chosen["parent"] = parent
                record = self._filled(recipe.record | (special.record if special else {}), chosen, number)
                pool.append(record)
                if parent is not None:
                    self._children.append((parent, recipe.entity_set, record))
                if special and special.tag:
                    self._pools[special.tag] = [record]
                yield record

    def _how_many(self, recipe: Recipe) -> int:
        return recipe.count if isinstance(recipe.count, int) else self._random.randint(*recipe.count)

    def _chosen(self, choose: dict[str, str]) -> dict[str, Record]:
        return {alias: self._random.choice(self._pools[pool]) for alias, pool in choose.items()}

    def _filled(self, recipe: dict[str, Value], chosen: dict[str, Record], number: int) -> Record:
        record: Record = {}
        for name, value in recipe.items():
            made = self._value(value, name, record, chosen, number)
            if made is not ...:
                record[name] = made
        return record

    def _value(self, value: Value, name: str, record: Record, chosen: dict[str, Record], number: int) -> Any:
        if isinstance(value, str):
            return _hole.sub(lambda hole: self._hole(hole, record, chosen, number), value)
        if not isinstance(value, Make):
            return value
        if value.total is not None:
            self._later.append((record, name, value.total))
            return 0
        if value.source is not None:
            alias, _, field = value.source.rpartition(".")
            return (chosen[alias] if alias else record)[field]
        if value.sql is not None:
            return rounded(Decimal(repr(self._evaluator.value(value.sql, record))), value.scale)
        made = self._random_value(value, number)
        return str(made) if value.text else made

    def _random_value(self, value: Make, number: int) -> Any:
        if value.pick is not None:
            return self._random.choice(self._sample.lists[value.pick])
        if value.cycle is not None:
            members = self._sample.lists[value.cycle]
            return members[(number - 1) % len(members)]
        if value.number:
            return number
        if value.guid:
            return str(UUID(int=self._random.getrandbits(128), version=4))
        if value.days is not None:
            return (self._sample.first_day + timedelta(days=self._random.randint(*value.days))).isoformat()
        assert value.between is not None
        low, high = (int(end.scaleb(value.scale)) for end in value.between)
        drawn = self._random.randint(low, high)
        return Decimal(drawn).scaleb(-value.scale) if value.scale else drawn

    def _hole(self, hole: re.Match[str], record: Record, chosen: dict[str, Record], number: int) -> str:
        name, field, shape = hole.groups()
        if field:
            value = chosen[name][field]
        elif name == "n":
            value = number
        elif name in record:
            value = record[name]
        else:
            value = self._random.choice(self._sample.lists[name])
        if shape == "slug":
            return _letters.sub("-", str(value).lower()).strip("-")
        return format(value, shape or "")

    def _total(self, record: Record, total: str) -> Decimal:
        entity_set, field = total.split(".")
        mine = (child[field] for parent, name, child in self._children if parent is record and name == entity_set)
        return sum(mine, Decimal(0))


def read_sample(path: Path | None = None) -> Sample:
    """The recipes."""
    text = (path or Path(__file__).with_name("sample.yaml")).read_text(encoding="utf-8")
    return Sample.model_validate(load(text))


def generate(seed: int, folder: Path) -> None:
    """Write the first world to ``sales/*.jsonl`` and ``ops/*.jsonl`` and what happens later to ``changes.jsonl``."""
    maker = _Maker(read_sample(), seed)
    try:
        for (system, entity_set), records in maker.world().items():
            _write(folder / system / f"{entity_set}.jsonl", records)
        _write(folder / "changes.jsonl", list(maker.changes()))
    finally:
        maker.close()


def _write(path: Path, records: list[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(to_json(record) + "\n" for record in records), encoding="utf-8")
