"""The language of ``schema/``: what a file may say, validated by pydantic; nothing here knows SQL.

Three kinds of file: an entity of the common model (``schema/common``), an entity set of a system with its maps
(``schema/<system>``) and a named value map (``schema/values``).
"""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from replicator.mapping.local_days import is_time_zone
from replicator.mapping.spec import Duration, Name, Spec, seconds
from replicator.mapping.told_changes import ByTime, Way

FieldType = Literal["text", "integer", "decimal", "boolean", "date", "timestamp", "uuid", "reference"]
Path = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$")]
TimeZone = Annotated[str, AfterValidator(is_time_zone)]
"""An IANA name."""
Scalar = bool | int | Decimal | datetime.datetime | datetime.date | str
Write = Literal["always", "on create", "never"]


class CommonField(Spec):
    """A field of a common entity; ``reference`` names the entity it points at (a foreign key ``<field>_id``)."""

    type: FieldType = "text"
    length: int | None = Field(default=None, gt=0, description="Most characters a text may have")
    required: bool = Field(default=False, description="The field may not be empty")
    reference: Name | None = Field(default=None, description="The entity this field points at")
    values: tuple[str, ...] = Field(default=(), description="The only values a text may have")
    default: Scalar | None = Field(default=None, description="Value of a record that no map gives one")
    either: Literal["ask"] | Name | None = Field(
        default=None,
        description="Either side may change the field; if both did, this system wins, or (ask) a person decides",
    )
    description: str = ""

    @model_validator(mode="after")
    def _fits_its_type(self) -> CommonField:
        if self.reference is not None and self.type not in ("text", "reference"):
            raise ValueError("a field with 'reference' takes no 'type'")
        if self.reference is None and self.type == "reference":
            raise ValueError("type 'reference' needs 'reference: <entity>'")
        if (self.length or self.values) and self.type != "text":
            raise ValueError("'length' and 'values' belong to fields of type text")
        if self.reference is not None and (self.length or self.values or self.default is not None):
            raise ValueError("'length', 'values' and 'default' belong to plain fields")
        if self.either is not None and self.reference is not None:
            raise ValueError("'either' belongs to plain fields; a reference has one master")
        return self


class CommonEntity(Spec):
    """An entity of the common data model: a table of schema ``common``."""

    entity: Name
    description: str
    key: tuple[Name, ...] = Field(min_length=1, description="The business key: unique, case and outer blanks ignored")
    part_of: Name | None = Field(default=None, description="The field that points at the whole this entity is part of")
    label: Name | None = Field(default=None, description="The field people call a record by; default: last of the key")
    fields: dict[Name, CommonField]


class SystemField(Spec):
    """A field of an entity set, under the system's own name."""

    type: FieldType = "text"
    length: int | None = Field(
        default=None, gt=0, description="Most characters the system keeps; one beyond U+FFFF counts as two"
    )
    places: int | None = Field(default=None, ge=0, le=30, description="Most decimal places of a number")
    required: bool = Field(default=False, description="The system refuses a record without it")
    enum: Name | None = Field(
        default=None, description="The system's enumeration whose symbols a text is one of; addresses name it"
    )
    empty: Scalar | None = Field(default=None, description="What the system holds instead of nothing; equals null")
    stored_as: Literal["local midnight"] | None = Field(
        default=None, description="A date that the system stores as the instant at which the day begins for a person"
    )
    time_zone: TimeZone | None = Field(
        default=None, description="Where these persons sit; default: 'time_zone' of the system in the configuration"
    )
    writable: Literal["always", "on update"] = Field(
        default="always", description="on update: a create does not take it, so it follows in a second write"
    )
    to: tuple[Name, ...] | dict[Name, Name] = Field(
        default=(), description="Entity sets a reference may point at, in order; or set: navigation property"
    )
    description: str = ""
    _holds: FieldType = PrivateAttr("uuid")

    @model_validator(mode="after")
    def _reference_has_targets(self) -> SystemField:
        if (self.type == "reference") != bool(self.to):
            raise ValueError("'type: reference' and 'to: [...]' belong together")
        if self.length and self.type != "text":
            raise ValueError("'length' belongs to fields of type text")
        if self.places is not None and self.type != "decimal":
            raise ValueError("'places' belongs to fields of type decimal")
        if self.stored_as and self.type != "date":
            raise ValueError("'stored_as' belongs to fields of type date")
        if self.time_zone and not self.stored_as:
            raise ValueError("'time_zone' belongs to 'stored_as: local midnight'")
        if self.enum and self.type != "text":
            raise ValueError("'enum' belongs to fields of type text")
        return self

    @property
    def holds(self) -> FieldType:
        """The type of the values: that of the field, or for a reference that of the keys it points at."""
        return self._holds if self.type == "reference" else self.type

    def pointing_at(self, kind: FieldType) -> SystemField:
        """This reference, to records whose keys are of this type; until that is known a GUID is assumed."""
        pointing = self.model_copy()
        pointing._holds = kind
        return pointing

    @property
    def targets(self) -> tuple[str, ...]:
        """The entity sets a reference may point at, in the order in which they are tried."""
        return tuple(self.to)

    def navigation_property(self, name: str, target: str) -> str:
        """The property a reference called ``name`` is written through when it points at ``target``."""
        return self.to[target] if isinstance(self.to, dict) else name


class ReferenceSpec(Spec):
    """A reference by plain fields: those that together repeat a key of another entity set."""

    to: Name = Field(description="The entity set it points at")
    by: dict[Name, Name] = Field(min_length=1, description="Own field: the field of that entity set it repeats")


class TodayPlusDays(Spec):
    """A default that depends on the day it is first needed; afterwards it is kept."""

    today_plus_days: int


def _copy_from_text(value: object) -> object:
    return {"copy": value} if isinstance(value, str) else value


class Condition(Spec):
    """One condition of a map, and the words for the records it leaves out.

    ``that`` compares fields (a scalar, a list of scalars, null, or ``{not: null}``); with ``every`` it must hold
    for each part of that entity. ``sql`` is a plain SQL expression with fields in braces. ``otherwise`` may
    name fields in braces; without it the records left out are not this map's business and are not shown.
    """

    that: dict[Path, Scalar | tuple[Scalar | None, ...] | NotNull | None] = Field(default_factory=dict)
    every: Name | None = None
    sql: str | None = None
    otherwise: str | None = None

    @model_validator(mode="after")
    def _says_one_thing(self) -> Condition:
        if bool(self.that) == bool(self.sql):
            raise ValueError("a condition has either 'that' or 'sql'")
        return self


class NotNull(Spec):
    """Written ``{not: null}``: the field has a value."""

    not_: None = Field(alias="not")


class FieldMap(Spec):
    """Where the value of one target field comes from. A bare text is short for ``copy``."""

    copy_: Path | Annotated[tuple[Path, ...], Field(min_length=1)] | None = Field(
        default=None, alias="copy", description="The source field or a path over references; of several the first value"
    )
    constant: Scalar | None = Field(default=None, description="Always this value")
    not_: Path | None = Field(default=None, alias="not", description="The inverse of a boolean field")
    value_map: Path | None = Field(default=None, description="The source field whose values are translated")
    reference: Path | None = Field(
        default=None, description="The source's reference, or one of its 'references', whose counterpart is pointed at"
    )
    lookup: Name | None = Field(default=None, description="An entity (inbound) or entity set (outbound) to search")
    sql: str | None = Field(default=None, description="A plain SQL expression, fields in braces: {weight} * 1.2")

    values: dict[Scalar, Scalar | None] = Field(
        default_factory=dict, description="value_map: system value: common value"
    )
    using: Name | None = Field(default=None, description="value_map: a named map of schema/values")
    match: dict[Name, Path] = Field(default_factory=dict, description="lookup: field of the searched set: source field")
    where: dict[Name, Scalar] = Field(default_factory=dict, description="lookup: field of the searched set: constant")
    order_by: Name | None = Field(default=None, description="lookup: the first by this field wins")
    need: Literal["required", "later", "if known"] = Field(
        default="required", description="reference, lookup: wait for it, fill it in later, or do without"
    )
    default: Scalar | TodayPlusDays | None = Field(default=None, description="Value where the source has none")
    truncate: int | None = Field(default=None, gt=0, description="Cut a longer text to this many characters")
    round: int | None = Field(
        default=None, ge=0, le=30, description="Round a number to this many decimal places, halves away from zero"
    )
    write: Write = Field(default="always", description="When the field is written")
    tells_apart: bool = Field(
        default=False, description="Outbound, on create: a record of the target with another value is another record"
    )
    note: str = Field(default="", description="Why it is mapped so, where the sources are silent or disagree")

    @model_validator(mode="after")
    def _has_one_source(self) -> FieldMap:
        sources = [self.copy_, self.constant, self.not_, self.value_map, self.reference, self.lookup, self.sql]
        if sum(source is not None for source in sources) != 1:
            raise ValueError("needs exactly one of copy, constant, not, value_map, reference, lookup, sql")
        if self.value_map is not None and bool(self.values) == bool(self.using):
            raise ValueError("'value_map' needs either 'values' or 'using'")
        if self.value_map is None and (self.values or self.using):
            raise ValueError("'values' and 'using' belong to 'value_map'")
        if (self.match or self.where or self.order_by) and self.lookup is None:
            raise ValueError("'match', 'where' and 'order_by' belong to 'lookup'")
        if self.lookup is not None and not (self.match or self.where):
            raise ValueError("'lookup' needs 'match' or 'where'")
        if self.tells_apart and self.write != "on create":
            raise ValueError("'tells_apart' is for what is written on create and stays: add 'write: on create'")
        return self

    @property
    def reads(self) -> set[str]:
        """The fields of the source record itself from which the value is made."""
        copied = self.copy_ if isinstance(self.copy_, tuple) else (self.copy_,)
        named = {*copied, self.not_, self.value_map, self.reference, *self.match.values()}
        return {path for path in named if path and "." not in path} | set(re.findall(r"\{(\w+)\}", self.sql or ""))


class SetFields(Spec):
    """A delete at the master that becomes an update of the target."""

    set: dict[Name, Scalar]


class MapSpec(Spec):
    """One map: ``to`` an entity (inbound) or ``from`` one (outbound)."""

    to: Name | None = None
    from_: Name | None = Field(default=None, alias="from")
    description: str = ""
    when: tuple[Condition, ...] = ()
    when_no_longer_eligible: Literal["leave", "update", "delete"] = "leave"
    on_delete: Literal["delete", "nothing"] | SetFields = "delete"
    on_key_change: Literal["block", "recreate"] = Field(
        default="block", description="What happens when the target's key would have to change, which no target can"
    )
    drift: Literal["correct", "report"] = Field(
        default="correct", description="What happens to a change made where it is not mastered"
    )
    fields: dict[Name, Annotated[FieldMap, BeforeValidator(_copy_from_text, json_schema_input_type=Path | FieldMap)]]

    @model_validator(mode="after")
    def _has_one_direction(self) -> MapSpec:
        if (self.to is None) == (self.from_ is None):
            raise ValueError("a map has either 'to' (inbound) or 'from' (outbound)")
        apart = [name for name, field in self.fields.items() if field.tells_apart]
        if self.to is not None and apart:
            raise ValueError(f"'tells_apart' belongs to maps with 'from', not to '{apart[0]}' here")
        return self

    @model_validator(mode="after")
    def _recreates_what_goes(self) -> MapSpec:
        if self.on_key_change == "recreate" and (self.from_ is None or self.on_delete == "nothing"):
            raise ValueError("'on_key_change: recreate' needs 'from', and an 'on_delete' that lets the old record go")
        return self


class EntitySetSpec(Spec):
    """An entity set of a system: a mirror, and the maps between it and the common model."""

    entity_set: Name
    logical_name: Name | None = Field(default=None, description="The singular name the system uses in references")
    description: str
    key: tuple[Name, ...] = Field(min_length=1, description="The system's own key")
    assigned: tuple[Name, ...] = Field(default=(), description="Parts of the key that the system gives a new record")
    business_key: tuple[Name, ...] = Field(default=(), description="What people know a record by; default: the key")
    generations: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*( desc)?$")], ...] = Field(
        default=(),
        description="Records may share a business key: the first in this order counts, the others are history",
    )
    label: tuple[Path, ...] = Field(default=(), description="What messages call a record by; default: the business key")
    changes: Literal["delta", "sweep", "whole"] | ByTime | None = Field(
        default=None, description="How its changes are told; default: the way of the system's kind"
    )
    every: Duration | None = Field(
        default=None, description="How often it is read, as 30s, 5m, 2h, 1d; default: at every poll"
    )
    every_when_quiet: Duration | None = Field(
        default=None, description="How rarely it is read at most, while its reads bring nothing; default: as every"
    )
    whole_every: Duration | None = Field(
        default=None, description="How often everything is looked at, however changes are told"
    )
    fields: dict[Name, SystemField]
    references: dict[Name, ReferenceSpec] = Field(
        default_factory=dict, description="What records point at by plain fields, one or several"
    )
    maps: tuple[MapSpec, ...] = ()

    @property
    def way(self) -> Way:
        """The way in which it is read on, once it was read whole."""
        if isinstance(self.changes, ByTime):
            return "since"
        return self.changes if self.changes in ("sweep", "whole") else "told"

    @property
    def every_seconds(self) -> int:
        """Seconds between two reads; 0 for every poll."""
        return seconds(self.every) if self.every else 0

    @property
    def quiet_seconds(self) -> int:
        """The most seconds between two reads that bring nothing."""
        return seconds(self.every_when_quiet) if self.every_when_quiet else self.every_seconds

    @property
    def order_of_generations(self) -> tuple[tuple[str, bool], ...]:
        """The fields by which records of one business key stand in order, and whether downward."""
        pairs = (text.partition(" ") for text in self.generations)
        return tuple((name, bool(downward)) for name, _, downward in pairs)

    def behind(self, name: str) -> tuple[str, ...]:
        """The fields that a name stands for: those of a reference by plain fields, or the field itself."""
        return tuple(self.references[name].by) if name in self.references else (name,)

    @model_validator(mode="after")
    def _is_known_by_what_it_is_not_given(self) -> EntitySetSpec:
        if not set(self.assigned) <= set(self.key):
            raise ValueError("'assigned' names fields of the key")
        if self.assigned and (not self.business_key or set(self.assigned) & set(self.business_key)):
            raise ValueError(
                "'assigned' needs a 'business_key' without them: a create whose answer is lost is found by it"
            )
        return self

    @model_validator(mode="after")
    def _is_quiet_after_a_pace(self) -> EntitySetSpec:
        if self.every_when_quiet and not (self.every and self.quiet_seconds > self.every_seconds):
            raise ValueError("'every_when_quiet' is longer than 'every', which it needs")
        return self

    @model_validator(mode="after")
    def _changes_by_a_time(self) -> EntitySetSpec:
        field = self.fields.get(self.changes.field) if isinstance(self.changes, ByTime) else None
        if isinstance(self.changes, ByTime) and (field is None or field.holds not in ("timestamp", "date")):
            raise ValueError(f"'changes' needs a field of type timestamp or date, which '{self.changes.field}' is not")
        return self

    @model_validator(mode="after")
    def _generations_share_a_key(self) -> EntitySetSpec:
        if self.generations and set(self.business_key or self.key) == set(self.key):
            raise ValueError("'generations' needs a 'business_key' other than the key: that is what they share")
        return self


class ValueMapSpec(Spec):
    """A named value map: system value to common value; the first of several system values is written outward."""

    value_map: Name
    description: str
    ignore_case: bool = False
    values: dict[Scalar, Scalar | None]
