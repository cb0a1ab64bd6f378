"""Decides, without a database, what becomes of a record: its writes and their order, or the state it is shown in.

What is known goes in whole: the row of the diff and those of the parts, what has to wait, and what was tried before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from replicator.connectors.protocol import Key, Operation, Reference, Unit, Write
from replicator.core.claim import Shown
from replicator.core.desired_row import DesiredRow
from replicator.core.diff import INCOMPLETE, LEFT, SETTLED, compared
from replicator.core.why_not_written import STORED_ELSEWHERE, left_behind, shown
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.desired_views import TargetColumn
from replicator.mapping.key_comparison import comparable
from replicator.mapping.language import SetFields
from replicator.mapping.schema import column_name
from replicator.mapping.tables import ETAG
from replicator.outbound.earlier_tries import CREATED_AT_MOST, History, KeyFor, fingerprint, in_text
from replicator.outbound.given_keys import GivenKey, given_key, under_root
from replicator.outbound.renumbered_parts import content, wanted_key

_ASKED = {"recreate": "create", "drift": "update"}
"""What a person who tries again means."""
_WRITTEN_WITHOUT = (INCOMPLETE, "create", "recreate", "update", "drift", "rekey")
"""Actions that leave out what comes later."""
_LAST = 3
_OPERATIONS: Mapping[str, Operation] = {"create": "create", "update": "update", "delete": "delete", "set": "update"}


@dataclass(frozen=True)
class Moving:
    """What records that refer to others of their own entity set cannot be put below for now."""

    column: str
    """The column that would be left empty."""
    by: Sequence[str]
    """The columns that hold the key of the other: that one, and those that it refers with."""
    below: Mapping[tuple[object, ...], str]
    """Keys, as they are compared, of those that have still to move or stand below one that has: how they are called."""

    def pointed_at(self, row: DesiredRow) -> str | None:
        """What the row would be put below, if that has still to move."""
        return self.below.get(comparable(tuple(row.wanted.get(name, row.held.get(name)) for name in self.by)))


@dataclass(frozen=True)
class Deferred:
    """What has to wait at a target that refuses rings, and the delete of what is still pointed at."""

    moving: Sequence[Moving] = ()
    pointed_at: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """Records of the target that are to be deleted and that others point at: who has to let go first."""
    letting_go: Mapping[int, Sequence[str]] = field(default_factory=dict)
    """By such a record: the columns by which it points at others that are to go."""

    def applied(self, row: DesiredRow, system: str) -> DesiredRow:
        """The row as far as it can be written now."""
        target = row.target_id
        if row.action == "delete" and target is not None and target in self.pointed_at:
            return _without(row, self.letting_go.get(target, ()), self.pointed_at[target])
        if row.action != "update":
            return row
        waits = {
            each.column: f"{called} in {system} to stand in its new place"
            for each in self.moving
            if each.column in row.changed and (called := each.pointed_at(row)) is not None
        }
        return _without(row, list(waits), list(dict.fromkeys(waits.values()))) if waits else row


def _without(row: DesiredRow, columns: Sequence[str], waits: Sequence[str]) -> DesiredRow:
    """The row with these columns empty for now; what the target holds of them goes."""
    cleared = [column for column in columns if row.held[column] is not None]
    kept = [column for column in row.changed if column not in columns] if row.action == "update" else []
    changed = [*kept, *cleared]
    if row.action == "delete" and not changed:
        return replace(row, action="blocked", waits_for=list(waits))
    action, later = ("update" if changed else INCOMPLETE), [*(row.later or ()), *waits]
    return replace(row, action=action, changed=changed, later=later, wanted={**row.wanted, **dict.fromkeys(columns)})


@dataclass(frozen=True)
class Candidate:
    """One claimed record with all that is known of it."""

    row: DesiredRow
    parts: Sequence[tuple[CompiledMap, DesiredRow]] = ()
    marked: int = 1
    """Its marks when it was claimed."""
    history: History = field(default_factory=History)


@dataclass(frozen=True)
class Planned:
    """One write, and the record it is for. ``sent`` holds the values as the diff had them, by column."""

    flow: CompiledMap
    record_id: int
    target_id: int | None
    root_id: int | None
    """For a part: the common record of its root."""
    ends: bool
    """With this write the old pair is parted: the source is gone, or the target was and comes anew."""
    write: Write
    sent: Mapping[str, object]
    """By column, also what a create leaves out because it is empty."""
    agreed: Mapping[str, str | None] = field(default_factory=dict)
    """The values of common behind it that either side may change, as text."""
    version: str | None = None
    """The version of the mirror row that the write is based on; None where there was none."""
    row: DesiredRow | None = field(default=None, compare=False, repr=False)
    created: int = 0
    """How often the target has said before that it created the record with these values."""

    def identity(self, *, applied: bool = False) -> dict[str, object]:
        """What is stored of the write before it is sent, to look the record up by when no answer comes.

        ``applied``: the system said that it did it, and what it stored has to be read.
        """
        return {
            "map": self.flow.name, "record_id": self.record_id, "root_id": self.root_id,
            "operation": self.write.operation,
            "key": in_text(self.write.named_key), **self._known_by(), **content(self.flow, self.write),
            **wanted_key(self.flow, self.write, self.sent),
            **({"agreed": self.agreed} if self.agreed else {}), **({"applied": True} if applied else {}),
            **self._tries(self.created + applied),
        }  # fmt: skip

    def _tries(self, created: int) -> dict[str, object]:
        """Kept with a create, so that it is not repeated without end."""
        is_create = self.write.operation == "create"
        return {"created": created, "values": fingerprint(self.write)} if is_create and created else {}

    def _known_by(self) -> dict[str, object]:
        """The business key of a create whose key the target assigns: by that it is looked up."""
        if None not in self.write.key:
            return {}
        given = {**self.write.named_key, **self.write.values}
        return {"by": in_text({name: given.get(name) for name in self.write.entity_set.business_key})}

    @property
    def record(self) -> str | None:
        """What people call the record."""
        return None if self.row is None else self.row.record

    @property
    def before(self) -> dict[str, object]:
        """What the target holds now, by field, as far as the mirror knows."""
        names = self.flow.mapping.entity_set.spec.fields
        if self.row is None or self.write.operation == "create":
            return dict.fromkeys(names)
        return {name: self.row.held[column_name(name)] for name in names}


@dataclass
class Delivery:
    """One claimed record with all that is to be written for it and its parts, as one unit."""

    record_id: int
    record: str | None
    marked: int
    writes: list[Planned] = field(default_factory=list)
    shown: Shown | None = None
    incomplete: bool = False
    """Sent without a reference that comes later, or let go to come again: it has to be looked at once more."""
    unlink: list[tuple[CompiledMap, int]] = field(default_factory=list)
    """Mirror rows to part without a write: both records are gone, or the map does nothing on a delete."""

    @property
    def unit(self) -> Unit:
        return tuple(planned.write for planned in self.writes)

    @property
    def identity(self) -> list[dict[str, object]]:
        """The keys that are about to be written, to look the records up by when no answer comes."""
        return [each.identity() for each in self.writes]

    @property
    def operation(self) -> str:
        """The operation of the root, in a word."""
        return self.writes[0].write.operation if self.writes else ""


def decide(flow: CompiledMap, candidate: Candidate, deferred: Deferred, new_key: KeyFor) -> Delivery:
    """What becomes of one record and its parts."""
    asked = candidate.history.asked
    row = deferred.applied(candidate.row, flow.mapping.system)
    delivery = Delivery(row.record_id, row.record, candidate.marked)
    if row.action in (LEFT, "silent"):
        delivery.shown = _left_behind(row, candidate.parts)
        return delivery
    delivery.shown = _trouble(flow, row, asked=asked) or _first_trouble(row, candidate.parts, asked=asked)
    if delivery.shown is not None:
        return delivery
    key_of = candidate.history.keys(new_key)
    rows = [(flow, row), *candidate.parts]
    for own, each in rows:
        if each.action == "unlink" and each.target_id is not None:
            delivery.unlink.append((own, each.target_id))
        elif each.action not in (*SETTLED, INCOMPLETE, "unlink"):
            delivery.writes.extend(_planned(own, each, action, key_of, asked=asked) for action in _actions(own, each))
    given = given_key(flow, row)
    delivery.writes = _in_order([_as_tried(planned, given, candidate.history) for planned in delivery.writes])
    vain = next((each for each in delivery.writes if each.created >= CREATED_AT_MOST), None)
    if vain is not None and not asked:
        return Delivery(row.record_id, row.record, candidate.marked, shown=_in_vain(row, vain))
    missing = _missing(rows)
    delivery.incomplete = bool(missing) or row.action == "rekey" or any(map(withheld, delivery.writes))
    if missing and not delivery.writes:
        delivery.shown = Shown(row.record_id, "blocked", row.record, None, missing, "update")
    return delivery


def _left_behind(row: DesiredRow, parts: Sequence[tuple[CompiledMap, DesiredRow]]) -> Shown | None:
    """What is said of a root that its map leaves out now: why, if its parts are no longer what was delivered."""
    if row.reason is None or all(part.action in SETTLED for _, part in parts):
        return None
    return left_behind(row)


def _missing(rows: Sequence[tuple[CompiledMap, DesiredRow]]) -> list[str]:
    """What a record and its parts are sent without."""
    return [
        each if flow.root is None else named_part(flow, row.record, each)
        for flow, row in rows
        if row.action in _WRITTEN_WITHOUT
        for each in row.later or ()
    ]


def _trouble(flow: CompiledMap, row: DesiredRow, *, asked: bool) -> Shown | None:
    """Why a record is not written; None when it is, or need not be."""
    writable = (row.action in ("recreate", "drift") and asked) or (row.action == "rekey" and _comes_anew(flow))
    key = [column.field for column in flow.view.columns if column.is_key]
    return None if writable or row.action == INCOMPLETE else shown(row, key)


def _comes_anew(flow: CompiledMap) -> bool:
    """Whether a record whose key in the target would have to change goes there and comes again."""
    return flow.root is not None or flow.mapping.spec.on_key_change == "recreate"


def _first_trouble(row: DesiredRow, parts: Sequence[tuple[CompiledMap, DesiredRow]], *, asked: bool) -> Shown | None:
    """One part in trouble holds its root, which says so."""
    for flow, part in parts:
        trouble = _trouble(flow, part, asked=asked)
        if trouble is not None:
            named = named_part(flow, part.record, trouble.reason or "").rstrip(": ")
            waits = [named_part(flow, part.record, each) for each in trouble.waits_for or ()]
            refusal = trouble.code, trouble.field
            return Shown(row.record_id, trouble.state, row.record, named, waits or None, None, *refusal)
    return None


def named_part(flow: CompiledMap, record: str | None, words: str) -> str:
    """What is said of a part, where it is said of its root."""
    return f"{flow.mapping.entity.entity} {record}: {words}"


def _as_tried(planned: Planned, given: GivenKey, history: History) -> Planned:
    """A create as far as the answers to earlier ones matter to it."""
    if planned.write.operation != "create":
        return planned
    write = planned.write if planned.flow.root is None else under_root(planned.write, given)
    created = history.created(planned.flow.name, planned.record_id, write)
    return planned if write is planned.write and not created else replace(planned, write=write, created=created)


def _in_vain(row: DesiredRow, planned: Planned) -> Shown:
    """A create that the target has done often enough."""
    flow = planned.flow
    words = (
        f"{flow.mapping.system} said {planned.created} times that it created {_named(planned.write)}, "
        "and shows no such record; "
        "look for it there under another key, give it this one or remove it, then 'replicator retry'"
    )
    named = words if flow.root is None else named_part(flow, planned.record, words)
    return Shown(row.record_id, "rejected", row.record, named, None, "create", STORED_ELSEWHERE)


def _named(write: Write) -> str:
    """A record that is created: by its key, or by its business key where the key is the target's to assign."""
    given = {**write.named_key, **write.values}
    names = write.entity_set.business_key if None in write.key else write.entity_set.key
    return ",".join(str(value) for value in in_text({name: given.get(name) for name in names}).values())


def _in_order(writes: Sequence[Planned]) -> list[Planned]:
    """The root first, as long as it is as it was read: a system that adds up its parts changes it with each of them.

    A root that goes, goes last, and then whatever version it has by then.
    """
    ordered = sorted(writes, key=_place)
    if len(ordered) > 1 and _place(ordered[-1]) == _LAST:
        ordered[-1] = replace(ordered[-1], write=replace(ordered[-1].write, etag=None))
    return ordered


def _place(planned: Planned) -> int:
    """The root, then deletes of parts, then what is new or other in them; a root that goes, goes last."""
    part = planned.flow.root is not None
    if planned.write.operation == "delete":
        return 1 if part else _LAST
    return 2 if part else 0


def _actions(flow: CompiledMap, row: DesiredRow) -> tuple[str, ...]:
    """A part whose key changed goes and comes again, in the same unit: its number is no more than its place.

    Another record goes as if its source were gone. Once it is, what remains under its new key is linked, or created.
    """
    if row.action == "rekey":
        gone = "set" if isinstance(flow.mapping.spec.on_delete, SetFields) else "delete"
        return ("delete", "create") if flow.root else (gone,)
    return (_ASKED.get(row.action, row.action),)


def _planned(flow: CompiledMap, row: DesiredRow, action: str, new_key: KeyFor, *, asked: bool) -> Planned:
    operation = _OPERATIONS[action]
    sent = dict(_sent(flow, row, action, asked=asked))
    fields = _by_field(flow, action, sent)
    values = _filled(flow, fields) if operation == "create" else fields
    write = Write(
        flow.mapping.entity_set.spec,
        operation,
        _key(flow, row, operation, new_key),
        {name: _wire(flow, name, value) for name, value in values.items()},
        None if operation == "create" else row.held[ETAG],
    )
    ends = action in ("delete", "set") or row.action == "recreate"
    open_fields = (name for column in flow.view.columns if column.name in sent for name in column.either)
    agreed = {name: row.common[name] for name in open_fields}
    version = None if operation == "create" else row.version
    return Planned(flow, row.source_id, row.target_id, row.root_id, ends, write, sent, agreed, version, row)


def _sent(flow: CompiledMap, row: DesiredRow, action: str, *, asked: bool) -> Iterator[tuple[str, object]]:
    """The columns that are written, with their values. What drifted is written only where a person asked for it."""
    if action == "create":
        for column in flow.view.columns:
            if column.write != "never" and not column.withheld:
                yield column.name, row.wanted[column.name]
    elif action == "update":
        changed = {*row.changed, *(row.drifted if asked else ())}
        for column in compared(flow.view):
            if column.name in changed:
                yield column.name, row.wanted[column.name]


def withheld(planned: Planned) -> list[TargetColumn]:
    """The columns that a create leaves to the write that follows it."""
    if planned.write.operation != "create" or planned.row is None:
        return []
    wanted = planned.row.wanted
    columns = planned.flow.view.columns
    return [each for each in columns if each.withheld and each.write != "never" and wanted[each.name] is not None]


def _by_field(flow: CompiledMap, action: str, sent: Mapping[str, object]) -> dict[str, object]:
    policy = flow.mapping.spec.on_delete
    if action == "set" and isinstance(policy, SetFields):
        return dict(policy.set)
    fields = {column.name: column.field for column in flow.view.columns}
    return {fields[name]: value for name, value in sent.items()}


def _filled(flow: CompiledMap, values: Mapping[str, object]) -> dict[str, object]:
    """What a create says. Where the target has a value that stands for nothing it is told so: 0 is a value, and a
    target that is told none may take one of its own."""
    declared = flow.mapping.entity_set.spec.fields
    return {
        name: value for name, value in values.items() if value is not None or declared[name].empty is not None
    }  # fmt: skip


def _key(flow: CompiledMap, row: DesiredRow, operation: Operation, new_key: KeyFor) -> Key:
    """The target's own key: what it has, or for a create what is mapped or freshly made."""
    spec = flow.mapping.entity_set.spec
    if operation != "create":
        return tuple(row.held[column_name(name)] for name in spec.key)
    mapped = {column.field for column in flow.view.columns}

    def part(name: str) -> object:
        if name in mapped:
            return row.wanted[column_name(name)]
        return None if name in spec.assigned else new_key(flow, row)

    return tuple(part(name) for name in spec.key)


def _wire(flow: CompiledMap, name: str, value: object) -> object:
    """References go out as references; everything else is already what its type says."""
    field_spec = flow.mapping.entity_set.spec.fields[name]
    if field_spec.type == "reference" and value is not None:
        return Reference(field_spec.targets[0], (value,))
    return value
