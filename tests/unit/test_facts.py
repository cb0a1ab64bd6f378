"""``schema/`` and the sandbox's descriptions say of both systems what public sources say of them.

The facts lie beside the project, or where REPLICATOR_FACTS says. Where a description differs on purpose, the reason
stands beside the field (``differs``), by what differs: an exception that nothing needs any more is an error too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from replicator.mapping.language import SystemField
from replicator.mapping.schema import EntitySet, Map, Schema, load
from replicator.sandbox.description import FieldSpec, SimulatedSet, describe

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("REPLICATOR_FACTS") or ROOT.parent / "shared" / "facts")
SALES, OPS = describe("sales"), describe("ops")
NEWER = ("env2025", "docs2025", "with_p2c")
"""Sources that differ from the one that tells everything; each value that one of them tells is a fact."""
KINDS = {
    "text": {"String"}, "memo": {"Memo"}, "integer": {"Integer"}, "bigint": {"BigInt"}, "decimal": {"Decimal"},
    "money": {"Money"}, "boolean": {"Boolean"}, "guid": {"Uniqueidentifier"}, "date": {"DateTime"},
    "datetime": {"DateTime"}, "choice": {"Picklist", "State", "Status"}, "lookup": {"Lookup", "Customer"},
}  # fmt: skip
EDM = {
    "text": {"Edm.String"}, "integer": {"Edm.Int32", "Edm.Int64"}, "decimal": {"Edm.Decimal"},
    "datetime": {"Edm.DateTimeOffset"}, "choice": {"enum"},
}  # fmt: skip
LEVELS = {"system": "SystemRequired", "application": "ApplicationRequired", "recommended": "Recommended", False: "None"}
ON_DELETE = {"Cascade": "cascade", "Restrict": "restrict", "RemoveLink": "clear"}
WRITTEN = {(True, True): "always", (True, False): "create", (False, True): "update", (False, False): "never"}
PRECISION = {1: "organization", 2: "looked_up"}
DECLARED = {
    "text": {"String", "Memo"}, "integer": {"Integer", "BigInt", "Picklist", "State", "Status"},
    "decimal": {"Decimal", "Money"}, "boolean": {"Boolean"}, "uuid": {"Uniqueidentifier"},
    "reference": {"Lookup", "Customer"}, "date": {"DateTime"}, "timestamp": {"DateTime"},
}  # fmt: skip
DECLARED_OPS = {
    "text": {"Edm.String", "enum"}, "integer": {"Edm.Int32", "Edm.Int64"}, "decimal": {"Edm.Decimal"},
    "boolean": {"enum"}, "date": {"Edm.DateTimeOffset"}, "timestamp": {"Edm.DateTimeOffset"},
}  # fmt: skip

Facts = Mapping[str, Any]
Difference = tuple[str, str, object, object]
"""Field, what, ours, the facts'."""

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the facts are not there")


@cache
def facts(path: str) -> Facts:
    found: Facts = json.loads((FOLDER / path).read_text(encoding="utf-8"))
    return found


@cache
def schema() -> Schema:
    return load(ROOT / "schema")


def table(entity_set: str) -> Facts:
    return facts(f"dataverse/{SALES.entity_sets[entity_set].logical_name}.json")


def values(column: Facts, what: str) -> set[Any]:
    """What the sources say, all of them: newer environments differ in some places."""
    told = [column.get(what), *(column.get(source, {}).get(what) for source in NEWER)]
    return {value for value in told if value is not None}


def full_enums() -> dict[str, Facts]:
    """The enumerations by the last part of their full name, or the generated one."""
    return {
        (each.get("full_name") or name).rpartition(".")[2]: each
        for name, each in facts("finops/enums.json")["enums"].items()
    }


# Sales, as the sandbox describes it


def sales_field(entity_set: SimulatedSet, name: str, spec: FieldSpec, column: Facts) -> Iterator[Difference]:
    if column["type"] not in KINDS[spec.type] or (column["type"] == "Customer") != (len(spec.to) > 1):
        yield name, "type", spec.type, column["type"]
    if entity_set.schema_name_of[name] != column["schema_name"]:
        yield name, "schema_name", entity_set.schema_name_of[name], column["schema_name"]
    compared: dict[str, tuple[object, set[Any]]] = {
        "length": (spec.length, values(column, "max_length")),
        "required": (LEVELS[spec.required], values(column, "required_level")),
        "minimum": (spec.minimum, numbers(column, "min")),
        "maximum": (spec.maximum, numbers(column, "max")),
    }
    if spec.type == "decimal":
        compared["scale"] = (spec.scale, values(column, "precision"))
    if spec.type == "money":
        compared["precision"] = (spec.precision, {PRECISION[column["precision_source"]]})
    if spec.type == "datetime" and not spec.stamp:
        compared["day"] = (spec.day, {column["format"] == "DateOnly"})
    if column["type"] == "DateTime":
        compared["behavior"] = ("DateOnly" if spec.type == "date" else "UserLocal", {column["date_behavior"]})
    if "valid_for_create" in column and name != entity_set.key[0]:
        compared["write"] = (spec.write, {WRITTEN[column["valid_for_create"], column["valid_for_update"]]})
    compared |= chosen(spec, column)
    for what, (ours, theirs) in compared.items():
        if theirs and ours not in theirs:
            yield name, what, ours, theirs


def numbers(column: Facts, what: str) -> set[Any]:
    """Limits; those of the type itself are none."""
    of_type = {"Integer": {-(2**31), 2**31 - 1}, "BigInt": {-(2**63), 2**63 - 1}}.get(column["type"], set())
    return {None if value in of_type else Decimal(repr(value)) for value in values(column, what)}


def chosen(spec: FieldSpec, column: Facts) -> dict[str, tuple[object, set[Any]]]:
    """Defaults and options."""
    found: dict[str, tuple[object, set[Any]]] = {}
    if spec.type == "boolean" and "default" in column:
        found["default"] = (spec.default, {str(column["default"]) in ("True", "1")})
    if column.get("default_form_value") not in (None, "-1"):
        found["default"] = (spec.default, {int(column["default_form_value"])})
    options = column.get("with_p2c", {}).get("options") or column.get("options")
    if spec.type == "choice" and options:
        theirs = {int(number): label for number, label in options.items()}
        found["choices"] = (frozenset(spec.choices.items()), {frozenset(theirs.items())})
    return found


def sales_set(entity_set: SimulatedSet) -> Iterator[Difference]:
    told = table(entity_set.name)
    ours: dict[str, object] = {
        "schema_name": entity_set.schema_name, "entity_set": entity_set.name, "primary_id": entity_set.key[0],
    }  # fmt: skip
    yield from ((what, "set", held, told[what]) for what, held in ours.items() if held != told[what])
    if entity_set.primary_name not in (told["primary_name"], told.get("primary_name_now")):
        yield "primary_name", "set", entity_set.primary_name, told["primary_name"]
    theirs = {name: tuple(fields) for name, fields in told["alternate_keys"].items()}
    if entity_set.alternate_keys != theirs:
        yield "alternate_keys", "set", entity_set.alternate_keys, theirs
    for state, each in (told.get("states") or {}).items():
        held = entity_set.states.get(int(state), (None,))
        statuses = {int(status) for status in (*each["statuses"], *(each.get("statuses_with_p2c") or {}))}
        if (held[0], set(held)) != (int(each["default_status"]), statuses):
            yield f"states.{state}", "set", held, (each["default_status"], statuses)
    for relation in told["many_to_one"]:
        yield from cascade(entity_set, relation)


def cascade(entity_set: SimulatedSet, relation: Facts) -> Iterator[Difference]:
    spec, target = entity_set.fields.get(relation["column"]), SALES.by_logical_name.get(relation["target"])
    if spec is None or target is None:
        return
    if target.name not in spec.to:
        yield relation["column"], "to", tuple(spec.to), target.name
        return
    if spec.when_deleted(target.name) != ON_DELETE[relation["on_delete"]]:
        yield relation["column"], "on_delete", spec.when_deleted(target.name), relation["on_delete"]
    if relation.get("navigation") not in (None, spec.to[target.name]):
        yield relation["column"], "navigation", spec.to[target.name], relation["navigation"]


def sales_left(entity_set: SimulatedSet) -> list[object]:
    """What of a set is neither as the facts say nor has a reason."""
    columns = table(entity_set.name)["columns"]
    found = list(sales_set(entity_set))
    for field, spec in entity_set.fields.items():
        if field in columns:
            found += sales_field(entity_set, field, spec, columns[field])
        else:
            found.append((field, "absent", spec.type, None))
    return unexplained(found, {field: spec.differs for field, spec in entity_set.fields.items()})


@pytest.mark.parametrize("name", list(SALES.entity_sets))
def test_the_simulated_sales_system_is_as_the_facts_say(name: str) -> None:
    assert sales_left(SALES.entity_sets[name]) == []


LOOKUPS = [
    (entity_set.name, field, target)
    for entity_set in SALES.entity_sets.values()
    for field, spec in entity_set.fields.items()
    for target in spec.to
]


def planted(name: str, field: str, **mistake: object) -> SimulatedSet:
    """A set of the description with a mistake in one of its fields."""
    entity_set = SALES.entity_sets[name]
    wrong = entity_set.fields[field].model_copy(update=mistake)
    return entity_set.model_copy(update={"fields": {**entity_set.fields, field: wrong}})


@pytest.mark.parametrize(("name", "field", "target"), LOOKUPS)
@pytest.mark.parametrize("wrong", sorted(ON_DELETE.values()))
def test_a_planted_mistake_is_found_in_what_becomes_of_a_record_when_another_goes(
    name: str, field: str, target: str, wrong: str
) -> None:
    spec = SALES.entity_sets[name].fields[field]
    right = {each: spec.when_deleted(each) for each in spec.to}
    left = sales_left(planted(name, field, on_delete=right | {target: wrong}))
    told = next(each for each, ours in ON_DELETE.items() if ours == right[target])
    assert left == ([] if wrong == right[target] else [(field, "on_delete", wrong, told)])


@pytest.mark.parametrize(("name", "field", "target"), LOOKUPS)
def test_a_planted_mistake_is_found_in_the_name_of_a_navigation_property(name: str, field: str, target: str) -> None:
    """Where a source tells of it."""
    right = SALES.entity_sets[name].fields[field].to
    left = sales_left(planted(name, field, to=right | {target: "another"}))
    column = table(name)["columns"][field]
    told = (column.get("navigation") or {}).get(SALES.entity_sets[target].logical_name)
    assert left == ([] if told is None else [(field, "navigation", "another", told)])


def unexplained(found: list[Difference], reasons: Mapping[str, Mapping[str, str]]) -> list[object]:
    """The differences without a reason beside the field, and the reasons without a difference."""
    explained = {(field, what) for field, given in reasons.items() for what in given}
    differing = {(field, what) for field, what, _, _ in found}
    left: list[object] = [each for each in found if each[:2] not in explained]
    return left + sorted(explained - differing)


# Ops, as the sandbox describes it


def ops_field(name: str, spec: FieldSpec, held: Facts) -> Iterator[Difference]:
    if held["type"] not in EDM[spec.type]:
        yield name, "type", spec.type, held["type"]
    if spec.enum and spec.enum.lower() != held.get("enum", "").lower():
        yield name, "enum", spec.enum, held.get("enum")


def sizes() -> dict[tuple[str, str], int]:
    """Lengths of texts by entity set and field; a set * is any, a field that starts with … ends so."""
    types = facts("finops/edt_ax2012.json")["types"].values()
    likely = ((each["string_size"], *name.split(".", 1)) for each in types for name in each["likely"])
    return {(entity_set, field): size for size, entity_set, field in likely}


def size_of(entity_set: str, field: str) -> int | None:
    for (of_set, name), size in sizes().items():
        fits = field.endswith(name[1:]) if name.startswith("…") else field == name
        if of_set in ("*", entity_set) and fits:
            return size
    return None


@pytest.mark.parametrize("name", list(OPS.entity_sets))
def test_the_simulated_ops_system_is_as_the_facts_say(name: str) -> None:
    entity_set, told = OPS.entity_sets[name], facts(f"finops/{name}.json")
    assert list(entity_set.key) == told["key"]
    assert (entity_set.type_name, entity_set.logical_name) == (told["entity_type"], told["data_entity"])
    found: list[Difference] = []
    for field, spec in entity_set.fields.items():
        held = told["properties"].get(field)
        found += [(field, "absent", spec.type, None)] if held is None else ops_field(field, spec, held)
        size = size_of(name, field)
        if size is not None and spec.length != size:
            found.append((field, "length", spec.length, size))
    assert unexplained(found, {field: spec.differs for field, spec in entity_set.fields.items()}) == []


def test_enumerations_have_the_symbols_numbers_and_names_of_the_facts() -> None:
    known = full_enums()
    assert {name: known[name]["symbols"] for name in OPS.symbols} == OPS.symbols


# Both, as schema/ declares them


def sales_declared(name: str, field: SystemField, column: Facts) -> Iterator[Difference]:
    if column["type"] not in DECLARED[field.type]:
        yield name, "type", field.type, column["type"]
    if field.type == "text" and field.length not in values(column, "max_length"):
        yield name, "length", field.length, values(column, "max_length")
    if column["type"] == "DateTime":
        ours = "DateOnly" if field.type == "date" and not field.stored_as else "UserLocal"
        if ours != column["date_behavior"]:
            yield name, "behavior", ours, column["date_behavior"]
    for target, navigation in (column.get("navigation") or {}).items():
        of_target = SALES.by_logical_name.get(target)
        if field.type != "reference" or of_target is None or of_target.name not in field.targets:
            continue
        if field.navigation_property(name, of_target.name) != navigation:
            yield name, "navigation", field.navigation_property(name, of_target.name), navigation


def sales_written(mapping: Map, columns: Facts) -> Iterator[Difference]:
    """What a map sends has to be taken where it is sent."""
    entity_set = mapping.entity_set.spec
    for name, spec in mapping.spec.fields.items():
        if spec.write == "never" or name in entity_set.key:
            continue
        at_create = entity_set.fields[name].writable == "always"
        at_update = not at_create or spec.write == "always"
        if at_create and not columns[name]["valid_for_create"]:
            yield name, "create", spec.write, False
        if at_update and not columns[name]["valid_for_update"]:
            yield name, "update", spec.write, False


def of_system(system: str) -> list[EntitySet]:
    return list(schema().sets_of(system))


@pytest.mark.parametrize("name", [each.name for each in of_system("sales")] if FOLDER.is_dir() else [])
def test_schema_declares_sales_as_the_facts_say(name: str) -> None:
    (entity_set,) = (each for each in of_system("sales") if each.name == name)
    told = table(name)
    assert (entity_set.spec.logical_name, list(entity_set.spec.key)) == (told["table"], [told["primary_id"]])
    found: list[Difference] = []
    for field, spec in entity_set.spec.fields.items():
        column = told["columns"].get(field)
        found += [(field, "absent", 0, 0)] if column is None else sales_declared(field, spec, column)
    for mapping in schema().maps:
        if mapping.direction == "out" and mapping.entity_set is entity_set:
            found += sales_written(mapping, told["columns"])
    assert found == []


@pytest.mark.parametrize("name", [each.name for each in of_system("ops")] if FOLDER.is_dir() else [])
def test_schema_declares_ops_as_the_facts_say(name: str) -> None:
    (entity_set,) = (each for each in of_system("ops") if each.name == name)
    told, enums = facts(f"finops/{name}.json"), full_enums()
    # Keys are sent by the names of their parts, so their order means nothing.
    assert set(entity_set.spec.key) == set(told["key"])
    found: list[Difference] = []
    for field, spec in entity_set.spec.fields.items():
        held = told["properties"].get(field)
        if held is None:
            found.append((field, "absent", spec.type, None))
            continue
        if held["type"] not in DECLARED_OPS[spec.type]:
            found.append((field, "type", spec.type, held["type"]))
        if spec.type == "text" and held["type"] == "enum" and (spec.enum or "").lower() != held["enum"].lower():
            found.append((field, "enum", spec.enum, held["enum"]))
        size = size_of(name, field)
        if size is not None and spec.length != size:
            found.append((field, "length", spec.length, size))
        if spec.type in ("integer", "decimal") and not held["nullable"] and field not in entity_set.spec.key:
            outward = any(m.direction == "out" and m.entity_set is entity_set for m in schema().maps)
            found += [(field, "null", None, "never")] if outward and spec.empty is None else []
    for mapping in schema().maps:
        if mapping.entity_set is entity_set:
            found += symbols_of(mapping, enums)
    reasons = {field: simulated.differs for field, simulated in OPS.entity_sets[name].fields.items()}
    assert [each for each in found if each[1] not in reasons.get(each[0], {})] == []


def symbols_of(mapping: Map, enums: Mapping[str, Facts]) -> Iterator[Difference]:
    """Every symbol that a map to ops writes, by a constant, a value map, a default or a deletion."""
    fields = mapping.entity_set.spec.fields
    if mapping.direction == "in":
        pairs = [(spec.value_map or "", symbol) for spec in mapping.spec.fields.values() for symbol in spec.values]
    else:
        pairs = [
            (name, symbol)
            for name, spec in mapping.spec.fields.items()
            for symbol in (spec.constant, *spec.values, spec.default)
            if isinstance(symbol, str)
        ]
        if not isinstance(mapping.spec.on_delete, str):
            pairs += mapping.spec.on_delete.set.items()
    for name, symbol in pairs:
        enum = fields[name].enum
        if enum and symbol not in enums[enum]["symbols"]:
            yield name, "symbol", symbol, enums[enum]["symbols"]
