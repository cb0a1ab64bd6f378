"""What a simulated system holds: its entity sets, fields, keys, relations and rules, read from a YAML file beside this.

The description is the sandbox's own. It shares nothing with the files the replicator works from, so that the two can
disagree, as real systems and their documentation do.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from replicator.bounded_yaml import load

SystemName = Literal["sales", "ops"]
FieldType = Literal[
    "text", "memo", "integer", "bigint", "decimal", "money", "boolean", "guid", "date", "datetime", "choice", "lookup"
]
OnDelete = Literal["restrict", "cascade", "clear"]
RequiredLevel = Literal["recommended", "application", "system"]
Written = Literal["always", "create", "update", "never"]
Scalar = bool | int | float | str
Operation = Literal["create", "update", "delete"]


class DescriptionSpec(BaseModel):
    """Base of all parts of a description: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AutoNumber(DescriptionSpec):
    """A number the system gives when none is sent: prefix, running number, random suffix."""

    prefix: str
    start: int = 1000
    digits: int = 5
    suffix: int = 6


class Total(DescriptionSpec):
    """The sum of a field over the records of another set that point here through a lookup or relation."""

    set: str
    through: tuple[str, ...]
    field: str


class Calculation(DescriptionSpec):
    """A field the system computes: an SQL expression over ``:field`` and ``:total`` names."""

    sql: str
    totals: dict[str, Total] = {}
    always: bool = False
    """Computed on every write, not only when recalculation is switched on."""


class DefaultFrom(DescriptionSpec):
    """A default taken from the record that a relation points at."""

    relation: str
    field: str


class FieldSpec(DescriptionSpec):
    """A field under its wire name (a lookup under its attribute name)."""

    type: FieldType = "text"
    length: int | None = Field(default=None, gt=0)
    scale: int | None = Field(default=None, ge=0)
    precision: Literal["organization", "looked_up"] | None = None
    """Whose number of places money is rounded to."""
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    required: bool | RequiredLevel = False
    """Whether an empty value is refused; a system with levels refuses application and system."""
    required_with: tuple[str, ...] = ()
    """Required where one of these fields has a value."""
    required_unless: dict[str, str] = {}
    """Required except where these fields have these values."""
    missing: str = ""
    """What the system says when a required value is missing, if not its usual words."""
    default: Scalar | None = None
    default_from: tuple[DefaultFrom, ...] = ()
    write: Written = "always"
    """When clients may send it."""
    hidden: bool = False
    """Written, and never read back: a secret."""
    day: bool = False
    """An instant that stands for a day of its user: the midnight at which that day begins."""
    differs: dict[str, str] = {}
    """Where this is not as the collected facts say, by what: why."""
    stamp: Literal["created", "modified", "version"] | None = None
    auto: AutoNumber | None = None
    choices: dict[int, str] = {}
    enum: str | None = None
    known: str | None = None
    """The list of reference values this field is checked against."""
    to: dict[str, str] = {}
    """Lookup: entity set to navigation property, in the order in which a loaded key is tried."""
    on_delete: OnDelete | dict[str, OnDelete] = "clear"
    """What becomes of this record when the one it points at goes; by entity set where that differs."""
    label: str = ""
    calculated: Calculation | None = None

    @model_validator(mode="after")
    def _fits(self) -> FieldSpec:
        if (self.type == "lookup") != bool(self.to):
            raise ValueError("type lookup and 'to' belong together")
        if (self.type == "choice") != bool(self.choices or self.enum):
            raise ValueError("type choice needs 'choices' or 'enum'")
        if self.day and self.type != "datetime":
            raise ValueError("'day' belongs to type datetime")
        if isinstance(self.on_delete, dict) and set(self.on_delete) != set(self.to):
            raise ValueError("'on_delete' by entity set names those of 'to'")
        return self

    @property
    def is_text(self) -> bool:
        """Whether its values are texts of people."""
        return self.type in ("text", "memo")

    def when_deleted(self, target: str) -> OnDelete:
        """What becomes of this record when one of ``target`` that it points at goes."""
        return self.on_delete[target] if isinstance(self.on_delete, dict) else self.on_delete

    def may_be_sent(self, operation: Operation) -> bool:
        """Whether a create or an update may carry it."""
        return self.write in ("always", operation)


class Relation(DescriptionSpec):
    """Records of this set point at records of another through equal values."""

    name: str = ""
    set: str
    fields: dict[str, str]
    on_delete: OnDelete = "restrict"
    required: bool = False
    when: dict[str, Scalar] = {}
    label: str = ""


class Every(DescriptionSpec):
    """A rule's look at the records that belong to this one, and on from there over a lookup."""

    set: str
    through: str
    follow: str
    holds: str


class Exists(DescriptionSpec):
    """A rule's demand for a record of another set whose fields equal fields of this one."""

    set: str
    fields: dict[str, str]


class Rule(DescriptionSpec):
    """A refusal: when the expression holds, and the demand (``only``, ``every`` or ``exists``) is not met."""

    at: tuple[Operation, ...]
    when: str
    parent: str | None = None
    """A lookup: the expression may speak of the record that it points at, and of the one that it pointed at before."""
    only: tuple[str, ...] = ()
    """The only fields that may change then."""
    every: Every | None = None
    exists: Exists | None = None
    always: bool = False
    """In force without being switched on."""
    message: str
    code: str = ""


class SimulatedSet(DescriptionSpec):
    """One entity set. ``key`` is the system's own key; ``business_key`` names a record in loaded files without one."""

    name: str = ""
    logical_name: str
    type_name: str = ""
    label: str = ""
    key: tuple[str, ...]
    business_key: tuple[str, ...] = ()
    alternate_keys: dict[str, tuple[str, ...]] = {}
    unique: tuple[tuple[str, ...], ...] = ()
    """Fields that no two records share, without being a key of addresses."""
    schema_name: str = ""
    schema_names: tuple[str, ...] = ()
    """The fields' names as the system shows them in definitions: in mixed case, else the same."""
    change_tracking: bool = False
    primary_name: str | None = None
    fields: dict[str, FieldSpec]
    relations: tuple[Relation, ...] = ()
    states: dict[int, tuple[int, ...]] = {}
    """The status values each state allows, the state's default first."""
    state_fields: tuple[str, str] | None = None
    from_known: str | None = None
    """Reference values that are its keys: a new system holds a record of each."""
    draft_state: int | None = None
    """The state of every new record, whatever was sent, unless the organization wants them active at once."""
    precision_from: tuple[str, str] | None = None
    """The lookup and the field there that say to how many places money of precision ``looked_up`` is rounded."""
    rules: tuple[Rule, ...] = ()

    @cached_property
    def wire(self) -> dict[str, FieldSpec]:
        """Fields by the name they are read under."""
        return {wire_name(name, spec): spec for name, spec in self.fields.items()}

    @cached_property
    def shown(self) -> dict[str, FieldSpec]:
        """The same without what nobody reads."""
        return {name: spec for name, spec in self.wire.items() if not spec.hidden}

    @cached_property
    def kept_unique(self) -> tuple[tuple[str, ...], ...]:
        """All combinations of fields that no two records share."""
        return (*self.alternate_keys.values(), *self.unique)

    @cached_property
    def schema_name_of(self) -> dict[str, str]:
        """The names in mixed case by the fields' own."""
        return {name.lower(): name for name in self.schema_names}

    @cached_property
    def navigation(self) -> dict[str, tuple[str, str]]:
        """Navigation property to (wire name of the lookup, target set)."""
        return {
            navigation: (wire_name(name, spec), target)
            for name, spec in self.fields.items()
            for target, navigation in spec.to.items()
        }

    @cached_property
    def links(self) -> tuple[Relation, ...]:
        """Relations and lookups in one form; a lookup points at the key of its target."""
        lookups = tuple(
            Relation(name=name, set=target, fields={wire_name(name, spec): ""}, on_delete=spec.when_deleted(target))
            for name, spec in self.fields.items()
            for target in spec.to
        )
        return lookups + self.relations

    @cached_property
    def terms(self) -> tuple[tuple[str, ...], ...]:
        """The field combinations that are indexed."""
        singles = tuple((part,) for part in self.key if self.wire[part].type == "text" and not self.wire[part].known)
        links = tuple(tuple(link.fields) for link in self.links)
        business = (self.business_key,) if self.business_key else ()
        found = singles + self.kept_unique + business + links
        return tuple(dict.fromkeys(term for term in found if term))


class Copies(DescriptionSpec):
    """The copy of itself that follows a record: other values, numbers one higher, and the sets of its parts."""

    values: dict[str, Scalar] = {}
    counted: tuple[str, ...] = ()
    parts: dict[str, str] = {}
    """Set of the parts: the lookup by which they belong to the record."""


class Action(DescriptionSpec):
    """An unbound action on one record, named in the body under ``record``, for which ``when`` has to hold."""

    set: str
    record: tuple[str, ...]
    when: str
    message: str
    code: str
    values: dict[str, Scalar]
    """What the record holds afterwards."""
    status: str | None = None
    """The parameter that says which status of the state it gets."""
    copies: Copies | None = None


class Merging(DescriptionSpec):
    """What becomes of a record that is merged into another one of its set."""

    master: str
    """The lookup that points at the other one."""
    values: dict[str, Scalar]


class SystemDescription(DescriptionSpec):
    """A whole system."""

    system: SystemName
    namespace: str
    page_size: int
    largest_page: int
    company_field: str | None = None
    default_company: str | None = None
    organization: dict[str, str] = {}
    pricing_precision: int = 2
    """The organization's number of places of prices."""
    entity_sets: dict[str, SimulatedSet]
    actions: dict[str, Action] = {}
    merges: dict[str, Merging] = {}
    enumerations: dict[str, tuple[str, ...] | dict[str, int]] = {}
    """Symbols with their numbers; a list counts from 0."""
    known: dict[str, tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _names_exist(self) -> SystemDescription:
        for name, entity_set in self.entity_sets.items():
            for problem in self._problems(entity_set):
                raise ValueError(f"{name}: {problem}")
        return self

    def _problems(self, entity_set: SimulatedSet) -> Iterator[str]:
        for part in (*entity_set.key, *entity_set.business_key, *sum(entity_set.kept_unique, ())):
            if part not in entity_set.wire:
                yield f"key field '{part}' is not declared"
        for link in entity_set.links:
            if link.set not in self.entity_sets:
                yield f"relation to unknown set '{link.set}'"
        if entity_set.schema_names and set(entity_set.schema_name_of) != set(entity_set.fields):
            yield f"schema_names differ: {', '.join(set(entity_set.schema_name_of) ^ set(entity_set.fields))}"
        for name, spec in entity_set.fields.items():
            if spec.enum and spec.enum not in self.enumerations:
                yield f"field '{name}' has unknown enumeration '{spec.enum}'"
            if spec.known and spec.known not in self.known:
                yield f"field '{name}' has unknown reference values '{spec.known}'"

    @cached_property
    def symbols(self) -> dict[str, dict[str, int]]:
        """For each enumeration its symbols with their numbers."""
        return {
            name: dict(members) if isinstance(members, dict) else {symbol: n for n, symbol in enumerate(members)}
            for name, members in self.enumerations.items()
        }

    @cached_property
    def by_logical_name(self) -> dict[str, SimulatedSet]:
        """Entity sets by their singular name."""
        return {entity_set.logical_name: entity_set for entity_set in self.entity_sets.values()}

    @cached_property
    def referrers(self) -> dict[str, tuple[tuple[SimulatedSet, Relation], ...]]:
        """For each set the (set, relation) pairs that point at it."""
        return {
            name: tuple(
                (child, link) for child in self.entity_sets.values() for link in child.links if link.set == name
            )
            for name in self.entity_sets
        }


def wire_name(name: str, spec: FieldSpec) -> str:
    """The name a field is read under."""
    return f"_{name}_value" if spec.type == "lookup" else name


def kind_name(wire: str) -> str:
    """The annotation that says which kind of record a lookup points at."""
    return f"{wire}@Microsoft.Dynamics.CRM.lookuplogicalname"


def describe(system: SystemName) -> SystemDescription:
    """The description of one of the two systems."""
    return describe_file(f"{system}.yaml")


@lru_cache(maxsize=4)
def describe_file(name: str) -> SystemDescription:
    """The description in a file beside this one."""
    raw: Any = load((Path(__file__).parent / name).read_text(encoding="utf-8"))
    common = raw.pop("common_fields", {})
    for name, entity_set in raw["entity_sets"].items():
        entity_set["name"] = name
        entity_set["fields"] = {
            **{field: spec or {} for field, spec in entity_set["fields"].items()},
            **common,
        }
    return SystemDescription.model_validate(raw)
