"""The whole of ``schema/`` as one value: entities, entity sets, maps and value maps, with every name resolved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel

from replicator.errors import ReplicatorError, SchemaError
from replicator.mapping.language import CommonEntity, CommonField, EntitySetSpec, MapSpec, ValueMapSpec
from replicator.mapping.yaml_source import Document, read

Spec = TypeVar("Spec", bound=BaseModel)
COMMON, VALUES = "common", "values"
_OWN_COLUMNS = {"id", "etag", "digest"}
reserved_schemas = {COMMON, VALUES, "log", "desired", "sync", "public", "information_schema"}


def column_name(field_name: str) -> str:
    """A system's field name as a column people can type: ``RecordURL`` becomes ``record_url``.

    What a mirror has of its own keeps its name: a field ``id`` is the column ``id_``.
    """
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", field_name).lower()
    return f"{split}_" if split in _OWN_COLUMNS else split


@dataclass(frozen=True)
class EntitySet:
    """An entity set of a system: one mirror table."""

    system: str
    spec: EntitySetSpec
    document: Document = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.spec.entity_set

    @property
    def table_name(self) -> str:
        return column_name(self.name)

    @property
    def business_key(self) -> tuple[str, ...]:
        """The fields people know a record by."""
        return self.spec.business_key or self.spec.key

    @property
    def label_column(self) -> str:
        """The column with what people call a record: its label, where that is a field, or the last field of its key."""
        is_field = len(self.spec.label) == 1 and self.spec.label[0] in self.spec.fields
        return column_name(self.spec.label[0] if is_field else self.business_key[-1])

    def __str__(self) -> str:
        return f"{self.system}.{self.name}"


@dataclass(frozen=True)
class Map:
    """One map between an entity set and a common entity, in one direction."""

    direction: Literal["in", "out"]
    entity_set: EntitySet
    entity: CommonEntity
    spec: MapSpec
    index: int
    """Its place under ``maps:`` in the file of the entity set."""

    @property
    def system(self) -> str:
        return self.entity_set.system

    @property
    def name(self) -> str:
        """Unique, and read as the way a record goes."""
        ends = [str(self.entity_set), self.entity.entity]
        return " > ".join(ends if self.direction == "in" else reversed(ends))

    @property
    def view_name(self) -> str:
        """The view in schema ``desired``: target, then source."""
        mirror = f"{self.system}_{self.entity_set.table_name}"
        ends = [self.entity.entity, mirror] if self.direction == "in" else [mirror, self.entity.entity]
        return "__".join(ends)

    def problem(self, message: str, *at: str | int) -> ReplicatorError:
        """An error that names the file and line of this map, or of something in it."""
        return self.entity_set.document.problem(message, ("maps", self.index, *at))


@dataclass(frozen=True)
class PointedSet:
    """An entity set that records of another one of its system may point at, and the fields by which they do."""

    entity_set: EntitySet
    fields: tuple[tuple[str, str], ...]
    """Own field and the field of the set whose value it holds, in the order of the key that they make up."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """The same of the two mirrors."""
        return tuple((column_name(own), column_name(other)) for own, other in self.fields)


@dataclass(frozen=True)
class PartSet:
    """An entity set whose records are parts of those of another one of its system."""

    mapping: Map
    """The inbound map of the parts."""
    pointed: PointedSet
    """Their whole, and the fields by which they point at it."""

    @property
    def whole(self) -> EntitySet:
        return self.pointed.entity_set

    @property
    def entity_set(self) -> EntitySet:
        return self.mapping.entity_set


@dataclass(frozen=True)
class Schema:
    """Everything ``schema/`` says."""

    entities: Mapping[str, CommonEntity]
    entity_sets: Mapping[tuple[str, str], EntitySet]
    value_maps: Mapping[str, ValueMapSpec]
    documents: Mapping[str, Document] = field(repr=False)

    @cached_property
    def maps(self) -> tuple[Map, ...]:
        """All maps, in the order of the files."""
        return tuple(
            Map("in" if spec.to else "out", entity_set, self.entities[spec.to or spec.from_ or ""], spec, index)
            for entity_set in self.entity_sets.values()
            for index, spec in enumerate(entity_set.spec.maps)
        )

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the systems, in the order of the folders."""
        return tuple(dict.fromkeys(system for system, _ in self.entity_sets))

    def sets_of(self, system: str) -> list[EntitySet]:
        """The entity sets of one system."""
        return [entity_set for (owner, _), entity_set in self.entity_sets.items() if owner == system]

    def parent_field(self, entity: CommonEntity) -> tuple[str, CommonField] | None:
        """For a part: the name of the field that points at its whole, and the field."""
        return (entity.part_of, entity.fields[entity.part_of]) if entity.part_of else None

    def pointed(self, entity_set: EntitySet, reference: str) -> list[PointedSet]:
        """What a reference of an entity set points at: a field of that type, or one of its ``references``."""
        spec, system = entity_set.spec, entity_set.system
        if (joined := spec.references.get(reference)) is not None:
            other = self.entity_sets[system, joined.to]
            key = other.spec.key if set(other.spec.key) == set(joined.by.values()) else other.business_key
            return [PointedSet(other, tuple(sorted(joined.by.items(), key=lambda pair: key.index(pair[1]))))]
        targets = spec.fields[reference].targets if reference in spec.fields else ()
        others = [self.entity_sets[system, target] for target in targets]
        return [PointedSet(other, ((reference, other.spec.key[0]),)) for other in others]

    def pointed_by_field(self, entity_set: EntitySet, field: str) -> list[PointedSet]:
        """What a field points at, by itself or together with others."""
        joined = [name for name, spec in entity_set.spec.references.items() if field in spec.by]
        return [pointed for name in (field, *joined) for pointed in self.pointed(entity_set, name)]

    @cached_property
    def part_sets(self) -> tuple[PartSet, ...]:
        """The entity sets that bring in parts, and those of their wholes."""
        return tuple(self._part_sets())

    def _part_sets(self) -> Iterator[PartSet]:
        for mapping in self.maps:
            parent = self.parent_field(mapping.entity)
            source = mapping.spec.fields.get(parent[0]) if parent and mapping.direction == "in" else None
            for pointed in self.pointed(mapping.entity_set, source.reference or "") if source else ():
                yield PartSet(mapping, pointed)

    def parts_of(self, entity: CommonEntity) -> list[PartSet]:
        """Where the parts of an entity come from."""
        pairs = ((part, self.parent_field(part.mapping.entity)) for part in self.part_sets)
        return [part for part, parent in pairs if parent and parent[1].reference == entity.entity]

    def reading_order(self, system: str) -> list[EntitySet]:
        """The entity sets of a system, each after those it points at, so after its whole; rings as they come."""
        order: dict[str, EntitySet] = {}
        begun: set[str] = set()

        def visit(entity_set: EntitySet) -> None:
            if entity_set.name in begun:
                return
            begun.add(entity_set.name)
            for name in (*entity_set.spec.fields, *entity_set.spec.references):
                for pointed in self.pointed(entity_set, name):
                    visit(pointed.entity_set)
            order[entity_set.name] = entity_set

        for entity_set in self.sets_of(system):
            visit(entity_set)
        return list(order.values())

    def root_map(self, part: Map) -> Map | None:
        """For the outbound map of a part: the outbound map of its whole in the same system."""
        parent = self.parent_field(part.entity)
        if parent is None or part.direction == "in":
            return None
        return next(
            (m for m in self.maps if m.direction == "out" and m.system == part.system
             and m.entity.entity == parent[1].reference),
            None,
        )  # fmt: skip

    def opposite(self, mapping: Map) -> Map | None:
        """The map of the other direction between the same entity set and entity."""
        ends = (mapping.entity_set, mapping.entity)
        return next(
            (m for m in self.maps if (m.entity_set, m.entity) == ends and m.direction != mapping.direction), None
        )


def label_field(entity: CommonEntity) -> str:
    """The path people call a record by."""
    return entity.label or entity.key[-1]


def load(folder: Path) -> Schema:
    """Read all of ``folder``, each file valid by itself; raises SchemaError with every problem found, one a line."""
    if not folder.is_dir():
        raise SchemaError(f"no schema folder at {folder}", hint="say where it is with 'schema:' in the configuration")
    problems: list[str] = []
    documents: dict[str, Document] = {}
    entities = _read_all(folder / COMMON, CommonEntity, documents, problems)
    values = _read_all(folder / VALUES, ValueMapSpec, documents, problems)
    sets: dict[tuple[str, str], EntitySet] = {}
    for system in sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name not in reserved_schemas):
        for document, spec in _read_folder(folder / system, EntitySetSpec, problems):
            sets[system, spec.entity_set] = EntitySet(system, spec, document)
    if problems:
        raise SchemaError("\n".join(problems))
    if not (entities or sets):
        raise SchemaError(
            f"{folder} holds no schema", hint=f"entities are files of {COMMON}/, entity sets of a folder per system"
        )
    sets = {key: replace(entity_set, spec=_pointing(entity_set, sets)) for key, entity_set in sets.items()}
    return Schema({e.entity: e for e in entities}, sets, {v.value_map: v for v in values}, documents)


def _pointing(entity_set: EntitySet, sets: Mapping[tuple[str, str], EntitySet]) -> EntitySetSpec:
    """The description with the type of each reference: that of the key it points at, as far as that is declared."""
    fields = dict(entity_set.spec.fields)
    for name, field_spec in fields.items():
        for other in (sets.get((entity_set.system, target)) for target in field_spec.targets[:1]):
            key = other.spec.fields.get(other.spec.key[0]) if other else None
            if key is not None and key.type != "reference":
                fields[name] = field_spec.pointing_at(key.type)
    return entity_set.spec.model_copy(update={"fields": fields})


def _read_all(folder: Path, spec: type[Spec], documents: dict[str, Document], problems: list[str]) -> list[Spec]:
    found = list(_read_folder(folder, spec, problems))
    for document, model in found:
        documents[f"{folder.name}.{getattr(model, 'entity', None) or getattr(model, 'value_map', '')}"] = document
    return [model for _, model in found]


def _read_folder(folder: Path, spec: type[Spec], problems: list[str]) -> Iterator[tuple[Document, Spec]]:
    seen: dict[object, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            document = read(path, SchemaError)
            model = document.parse(spec)
        except SchemaError as problem:
            problems.append(problem.message)
            continue
        name = getattr(model, next(iter(spec.model_fields)))
        if name in seen:
            problems.append(f"{path}:{document.line(())}: '{name}' is described in {seen[name]} too")
        seen[name] = path
        yield document, model
