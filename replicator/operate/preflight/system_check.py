"""The systems: whether they answer, and whether their entity sets are what ``schema/`` says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from replicator.connectors.protocol import Connector, Description, Property
from replicator.mapping.compiled import Compiled
from replicator.mapping.language import SystemField
from replicator.mapping.schema import EntitySet
from replicator.operate.preflight import reading_check, value_check
from replicator.operate.preflight.findings import Report


def check(compiled: Compiled, connector: Connector, poll_seconds: float, notes: Report) -> None:
    """Look at one system."""
    sets = compiled.schema.sets_of(connector.name)
    for what, next_ in _abilities(compiled, connector):
        notes.found(connector.name, what, next_)
    if not connector.capabilities.conditional_writes:
        notes.tell(connector.name, "it takes a write to a record that was changed meanwhile: who writes last wins")
    described: list[Description | None] = []
    with notes.looking(connector.name):
        described = connector.describe([entity_set.spec for entity_set in sets])
    for entity_set, description in zip(sets, described, strict=False):
        if description is None:
            notes.found(entity_set, "the system knows no such entity set", "is its solution installed?")
            continue
        wrong = (
            *_fields(entity_set, description),
            *_unmapped(compiled, entity_set, description),
            *_refused(compiled, entity_set, description),
            *value_check.problems(compiled, entity_set, description),
        )
        for what, next_ in wrong:
            notes.found(entity_set, what, next_)
        for what in _keys(compiled, entity_set, description):
            notes.leave_open(entity_set, what)
        if description.tracks_changes is False:
            notes.found(entity_set, "change tracking is off, so every read is whole", "switch it on for the table")
    _look_on(sets, described, connector, notes)
    known = [entity_set for entity_set, found in zip(sets, described, strict=False) if found is not None]
    reading_check.check(known, connector, poll_seconds, notes)
    skew = connector.clock_skew()
    if skew is not None:
        notes.tell(connector.name, f"its clock is {skew:+.0f} s from this machine's")


def _look_on(
    sets: Sequence[EntitySet], described: Sequence[Description | None], connector: Connector, notes: Report
) -> None:
    """What the descriptions leave open, and whether what they describe can be read."""
    if any(description is not None and not description.tells_lengths for description in described):
        notes.leave_open(connector.name, "how long its texts may be: one that is too long is known when it is refused")
    for entity_set, description in zip(sets, described, strict=False):
        if description is not None:
            _read(entity_set, connector, notes)


def _abilities(compiled: Compiled, connector: Connector) -> Iterator[tuple[str, str]]:
    """What ``schema/`` asks of the system, and its connector cannot do."""
    able = connector.capabilities
    outward = [each for each in compiled.maps if each.mapping.direction == "out"]
    here = [each for each in outward if each.mapping.system == connector.name]
    for entity_set in compiled.schema.sets_of(connector.name):
        if entity_set.spec.assigned and not able.assigns_keys:
            yield f"it assigns no keys, and {entity_set} says it does", "map all parts of the key"
    for each in here if not able.atomic_units else ():
        if each.root:
            yield f"{each.name} sends parts with their root, and it cannot write several at once", "leave the map out"


def _read(entity_set: EntitySet, connector: Connector, notes: Report) -> None:
    """One page: are the fields readable with these credentials?"""
    with notes.looking(entity_set):
        next(iter(connector.read(entity_set.spec, None)), None)


def _fields(entity_set: EntitySet, description: Description) -> Iterator[tuple[str, str]]:
    spec = entity_set.spec
    if set(spec.key) != set(description.key):
        yield f"its key is {', '.join(description.key)}, not {', '.join(spec.key)}", _mend(entity_set, "key")
    for name, field in spec.fields.items():
        held = description.fields.get(name)
        if held is None:
            yield f"there is no field '{name}'", _mend(entity_set, name)
        else:
            yield from _field(entity_set, name, field, held)


def _keys(compiled: Compiled, entity_set: EntitySet, description: Description) -> Iterator[str]:
    """A target whose records are found by a key that nothing it tells keeps two of them from bearing."""
    maps = [each for each in compiled.schema.maps if each.direction == "out" and each.entity_set is entity_set]
    constant = {name for each in maps for name, spec in each.spec.fields.items() if spec.constant is not None}
    unique = [set(each) - constant for each in (description.key, *description.other_keys)]
    if maps and not any(each <= set(entity_set.business_key) for each in unique):
        yield f"whether two records may bear the same {', '.join(entity_set.business_key)}"


def _field(entity_set: EntitySet, name: str, field: SystemField, held: Property) -> Iterator[tuple[str, str]]:
    if field.type not in held.types:
        yield f"'{name}' is {held.kind}, and schema/ says {field.type}", _mend(entity_set, name)
    declared = field.stored_as or "day"
    if field.type == "date" and "date" in held.types and held.stored_as not in (None, declared):
        should = "'stored_as: local midnight'" if declared == "day" else "a plain date"
        yield f"'{name}' is {held.kind}, and schema/ does not say {should}", _mend(entity_set, name)
    if field.length and held.length and field.length != held.length:
        yield f"'{name}' takes {held.length} characters, and schema/ says {field.length}", _mend(entity_set, name)


def _unmapped(compiled: Compiled, entity_set: EntitySet, description: Description) -> Iterator[tuple[str, str]]:
    """Fields that the system wants filled in new records, and no map fills."""
    for mapping in compiled.schema.maps:
        if mapping.direction != "out" or mapping.entity_set is not entity_set:
            continue
        for name, held in description.fields.items():
            if held.required and held.writable and name not in {*mapping.spec.fields, *entity_set.spec.key}:
                yield f"the system requires '{name}', and {mapping.name} does not fill it", "map it"


def _refused(compiled: Compiled, entity_set: EntitySet, description: Description) -> Iterator[tuple[str, str]]:
    """Fields that a map writes, and the system does not take in a create or in an update."""
    for mapping in compiled.schema.maps:
        if mapping.direction != "out" or mapping.entity_set is not entity_set:
            continue
        for name, spec in mapping.spec.fields.items():
            held, declared = description.fields.get(name), entity_set.spec.fields[name].writable
            if held is None or spec.write == "never":
                continue
            if not held.writable and held.changeable and declared == "always":
                yield f"a create does not take '{name}', which {mapping.name} writes", "say 'writable: on update'"
            elif (
                not held.changeable
                and not (declared == "always" and spec.write == "on create")
                and not _is_key(entity_set, name)
            ):
                yield f"an update does not take '{name}', which {mapping.name} writes", "say 'write: on create'"


def _is_key(entity_set: EntitySet, name: str) -> bool:
    return name in (*entity_set.spec.key, *entity_set.business_key)


def _mend(entity_set: EntitySet, what: str) -> str:
    document = entity_set.document
    at = ("fields", what) if what in entity_set.spec.fields else (what,)
    return f"see {document.path.name}:{document.line(at)}"
