"""What clients of the finance and operations system send: keys and bodies, checked as its data entities do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from replicator.sandbox.csdl import type_name
from replicator.sandbox.description import FieldSpec, Relation, SimulatedSet, SystemDescription
from replicator.sandbox.odata_http import BadAddressError, RefusalError, parse_typed_key
from replicator.sandbox.store import Doc, Row, fold
from replicator.sandbox.stored_values import BadValueError, check, convert, edm
from replicator.sandbox.writing import EMPTY_TIME, Records, matches

WRITE_EXCEPTION = "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException"
ODATA_EXCEPTION = "Microsoft.OData.ODataException"


def write_failed(entity_set: SimulatedSet, infolog: str, *, create: bool = False, verb: str = "Write") -> RefusalError:
    """A rejection by business logic: status 500 and the texts of the infolog."""
    verb = "Create" if create else verb
    message = f"{verb} failed for table row of type '{entity_set.logical_name}'. Infolog: {infolog}"
    return RefusalError(500, message.rstrip(".") + ".", WRITE_EXCEPTION)


class FinOpsInput:
    """Turns addresses and bodies into stored values."""

    def __init__(self, description: SystemDescription, records: Records) -> None:
        self._description = description
        self._records = records
        self._known = {name: {fold(value) for value in values} for name, values in description.known.items()}

    def _type(self, entity_set: SimulatedSet) -> str:
        return f"{self._description.namespace}.{type_name(entity_set)}"

    def unknown(self, entity_set: SimulatedSet, name: str) -> RefusalError:
        """The refusal for a property the set does not have."""
        message = (
            f"The property '{name}' does not exist on type '{self._type(entity_set)}'. "
            "Make sure to only use property names that are defined by the type."
        )
        return RefusalError(400, message, ODATA_EXCEPTION)

    def key(self, entity_set: SimulatedSet, text: str) -> Doc:
        """The key of an address; all its parts are needed."""
        try:
            parts = parse_typed_key(text)
        except BadAddressError:
            raise RefusalError(400, f"Bad Request - Error in query syntax in '{text}'.", ODATA_EXCEPTION) from None
        found = {name or "": value for name, _, value in parts}
        if set(found) != set(entity_set.key):
            message = (
                f"The number of keys specified in the URI does not match number of key properties for the resource "
                f"'{self._type(entity_set)}'."
            )
            raise RefusalError(400, message, ODATA_EXCEPTION)
        types = {name or "": type_ for name, type_, _ in parts}
        values: Doc = {}
        for name, value in found.items():
            spec = entity_set.wire[name]
            if types[name] != (f"{self._description.namespace}.{spec.enum}" if spec.enum else ""):
                message = f"Bad Request - Error in query syntax in '{text}': the type of '{name}' is another."
                raise RefusalError(400, message, ODATA_EXCEPTION)
            number = spec.type == "integer" and value.lstrip("-").isdigit()
            values[name] = self._converted(entity_set, name, spec, int(value) if number else value)
        return values

    def _converted(self, entity_set: SimulatedSet, name: str, spec: FieldSpec, value: object) -> object:
        try:
            converted = convert(name, spec, value)
        except BadValueError as bad:
            message = f"Cannot convert a value to target type '{edm(spec)}' for property '{name}': {bad.why}."
            raise RefusalError(400, message, ODATA_EXCEPTION) from None
        if spec.enum and converted not in self._description.symbols[spec.enum]:
            message = f"The string '{value}' is not a valid enumeration type constant of '{spec.enum}'."
            raise RefusalError(400, message, ODATA_EXCEPTION)
        return converted

    def body(self, entity_set: SimulatedSet, body: Mapping[str, Any]) -> Doc:
        """The stored values a body asks for, types checked."""
        values: Doc = {}
        for name, value in body.items():
            if "@" in name:
                continue
            spec = entity_set.wire.get(name)
            if spec is None:
                raise self.unknown(entity_set, name)
            if value is None:
                values[name] = self._null(entity_set, name, spec)
            else:
                values[name] = self._converted(entity_set, name, spec, value)
        return values

    def _null(self, entity_set: SimulatedSet, name: str, spec: FieldSpec) -> object:
        if spec.type in ("text", "choice"):
            return self._first(spec) if spec.enum else ""
        message = (
            f"A null value was found for the property named '{name}', which has the expected type '{edm(spec)}"
            "[Nullable=False]'. The expected type does not allow null values."
        )
        raise RefusalError(400, message, ODATA_EXCEPTION)

    def _first(self, spec: FieldSpec) -> str:
        return next(iter(self._description.symbols[spec.enum or ""]))

    def create(self, entity_set: SimulatedSet, values: Doc) -> None:
        """Check a new record: what is absent is defaulted first, in place."""
        sent = set(values)
        for name, spec in entity_set.wire.items():
            if name not in values:
                default = self._records.default(entity_set, values, spec)
                values[name] = self._first(spec) if default is None and spec.enum else default
        related = {name for relation in entity_set.relations for name in relation.fields}
        self._problems(entity_set, values, sent | related)

    def changes(self, entity_set: SimulatedSet, values: Doc, row: Row) -> Doc:
        """The values that differ from what is stored, checked together with the rest."""
        for name in entity_set.key:
            if name in values and not matches(values[name], row.doc.get(name)):
                label = entity_set.wire[name].label or name
                detail = f"Error: The key field {label} cannot be changed."
                raise write_failed(entity_set, detail)
        changes = {
            name: value for name, value in values.items() if name not in entity_set.key and value != row.doc.get(name)
        }
        self._problems(entity_set, row.doc | changes, set(changes))
        return changes

    def _problems(self, entity_set: SimulatedSet, doc: Doc, changed: set[str]) -> None:
        found = [problem for name in changed for problem in self._field(entity_set, name, doc)]
        order = list(entity_set.wire)
        found.sort(key=lambda problem: order.index(problem[0]))
        found += [(entity_set.key[0], text) for text in self._relations(entity_set, doc, changed)]
        missing = [] if found else list(self._missing(entity_set, doc))
        if found or missing:
            raise write_failed(entity_set, "; ".join([text for _, text in found] + missing))

    def _field(self, entity_set: SimulatedSet, name: str, doc: Doc) -> Iterator[tuple[str, str]]:
        """What is wrong with one value, as (field, infolog text)."""
        spec, value = entity_set.wire[name], doc.get(name)
        label = spec.label or name
        failed = f"Warning: validateField failed on field '{entity_set.logical_name}.{name}'"
        try:
            check(name, spec, value)
        except BadValueError as bad:
            if bad.kind == "length":
                text = f"Warning: The value in field '{label}' is too long; the maximum is {spec.length} characters"
            else:
                text = f"Warning: The value '{value}' in field '{label}' {bad.why}"
            yield name, f"{text}.; {failed}"
        if spec.known and value not in (None, "") and fold(value) not in self._known[spec.known]:
            table = spec.known.replace("_", " ").capitalize()
            text = f"Warning: The value '{value}' in field '{label}' is not found in the related table '{table}'"
            yield name, f"{text}.; {failed}"

    def _relations(self, entity_set: SimulatedSet, doc: Doc, changed: set[str]) -> Iterator[str]:
        for relation in entity_set.relations:
            fields = list(relation.fields)
            if not changed & {*fields, *relation.when} or not _applies(relation, doc):
                continue
            own = fields[-1]
            value = doc.get(own)
            if value in (None, "") or matches_itself(entity_set, relation, doc):
                continue
            if self._records.related(relation, doc) is None:
                target = self._description.entity_sets[relation.set].label
                yield (
                    f"Warning: The value '{value}' in field '{relation.label or own}' is not found in the related "
                    f"table '{target}'.; Warning: validateField failed on field '{entity_set.logical_name}.{own}'"
                )

    def _missing(self, entity_set: SimulatedSet, doc: Doc) -> Iterator[str]:
        for name, spec in entity_set.wire.items():
            if doc.get(name) in (None, "", EMPTY_TIME) and _needed(spec, doc):
                text = spec.missing or f"Field '{spec.label or name}' must be filled in."
                yield f"Error: {text}" if spec.missing else f"Warning: {text}"


def _needed(spec: FieldSpec, doc: Doc) -> bool:
    if spec.required:
        return True
    if spec.required_with:
        return any(doc.get(other) not in (None, "") for other in spec.required_with)
    if spec.required_unless:
        return all(not matches(doc.get(other), value) for other, value in spec.required_unless.items())
    return False


def _applies(relation: Relation, doc: Doc) -> bool:
    return all(doc.get(name) == value for name, value in relation.when.items())


def matches_itself(entity_set: SimulatedSet, relation: Relation, doc: Doc) -> bool:
    """Whether a record points at itself, which is allowed while it is being made."""
    return relation.set == entity_set.name and all(
        matches(doc.get(ours), doc.get(theirs)) for ours, theirs in relation.fields.items()
    )
