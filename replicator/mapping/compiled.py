"""A Schema compiled: tables, desired views, markings, dependency ranks and a hash of all that."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from replicator.errors import ReplicatorError, SchemaError
from replicator.mapping.dependency_paths import Marking, markings
from replicator.mapping.dependency_rank import parents_of_entities, rank_entities
from replicator.mapping.desired_views import DesiredView, build_view
from replicator.mapping.name_check import check
from replicator.mapping.schema import Map, Schema, load
from replicator.mapping.tables import Tables, build
from replicator.mapping.value_maps import named_json


@dataclass(frozen=True)
class CompiledMap:
    """One map with everything the engine needs to run it."""

    view: DesiredView
    markings: tuple[Marking, ...]
    rank: int
    """Dependency rank: maps of a lower rank go first, deletes the other way round."""
    parents: frozenset[str]
    """The entities whose records have to be there before: those its entity requires, and those that these require."""
    root: str | None
    """For the outbound map of a part: the name of the map of its whole."""

    @property
    def mapping(self) -> Map:
        return self.view.mapping

    @cached_property
    def name(self) -> str:
        return self.mapping.name

    @cached_property
    def hash(self) -> str:
        """Changes when the compiled view changes, a value map that it asks, or who decides the conflicts of a field."""
        paths, policies = self.view.paths, ",".join(sum(self.view.either.items(), ()))
        asked = [named_json(paths.schema.value_maps[name], self.mapping.direction) for name in sorted(paths.value_maps)]
        return hashlib.sha256("".join([view_text(self.view), policies, *asked]).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Compiled:
    """What the whole of ``schema/`` compiles to."""

    schema: Schema
    tables: Tables
    maps: tuple[CompiledMap, ...]
    """By rank; a part after its whole."""

    def map(self, name: str) -> CompiledMap:
        return next(found for found in self.maps if found.name == name)

    def inbound(self) -> list[CompiledMap]:
        return [flow for flow in self.maps if flow.mapping.direction == "in"]

    def outbound(self, system: str) -> list[CompiledMap]:
        """The maps of roots to one system, by rank."""
        return [m for m in self.maps if m.mapping.direction == "out" and m.mapping.system == system and m.root is None]

    def parts(self, root: CompiledMap) -> list[CompiledMap]:
        return [flow for flow in self.maps if flow.root == root.name]

    def beside(self, flow: CompiledMap) -> list[CompiledMap]:
        """The maps of the same direction and system."""
        here = (flow.mapping.direction, flow.mapping.system)
        return [each for each in self.maps if (each.mapping.direction, each.mapping.system) == here]

    def mirror_of(self, link: sa.Table) -> sa.Table:
        """The mirror that a crosswalk belongs to."""
        system, set_name, _ = next(key for key, table in self.tables.links.items() if table is link)
        return self.tables.mirrors[system, set_name]

    def opposite(self, flow: CompiledMap) -> CompiledMap | None:
        """The map by which fields that either side may change go the other way."""
        return None if flow.view.opposite is None else self.map(flow.view.opposite.name)

    def marked(self, flow: CompiledMap) -> CompiledMap:
        """The map whose deliveries are marked when this one's records change."""
        return self.map(flow.root) if flow.root else flow


def view_text(view: DesiredView) -> str:
    """The SELECT of a desired view, as PostgreSQL reads it."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(view.definition.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


def compile_folder(folder: Path) -> Compiled:
    """Read, validate and compile a schema folder; raises SchemaError with every problem found."""
    return compile_schema(load(folder))


def compile_schema(schema: Schema) -> Compiled:
    """Compile a Schema; raises SchemaError with every problem found."""
    problems = list(check(schema))
    if problems:
        raise SchemaError("\n".join(problems))
    parents = parents_of_entities(schema)
    tables = build(schema)
    maps = list(_compile_maps(schema, tables, parents, problems))
    if problems:
        raise SchemaError("\n".join(problems))
    return Compiled(schema, tables, tuple(sorted(maps, key=lambda found: (found.rank, found.name))))


def _compile_maps(
    schema: Schema, tables: Tables, parents: dict[str, frozenset[str]], problems: list[str]
) -> Iterator[CompiledMap]:
    ranks = rank_entities(parents)
    for mapping in schema.maps:
        try:
            view = build_view(schema, tables, mapping)
        except ReplicatorError as problem:
            problems.append(problem.message)
            continue
        root = schema.root_map(mapping)
        entity = mapping.entity.entity
        yield CompiledMap(
            view, tuple(markings(view, tables)), ranks[entity], parents[entity], root.name if root else None
        )
