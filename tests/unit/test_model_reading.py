"""How files are read: texts that look like something else, exact numbers, names of columns, order of dependencies."""

from __future__ import annotations

import graphlib
import re
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from replicator.errors import SchemaError
from replicator.mapping.compiled import Compiled, compile_folder
from replicator.mapping.dependency_rank import parents_of_entities, rank_entities
from replicator.mapping.json_schema import json_schemas
from replicator.mapping.language import CommonEntity
from replicator.mapping.schema import Schema, column_name, load
from replicator.mapping.yaml_source import Document
from tests.fixtures.schema_files import SchemaFiles, write_schema

SCHEMA = Path(__file__).resolve().parent.parent.parent / "schema"


def document(text: str) -> Document:
    return Document(Path("file.yaml"), text, SchemaError)


def test_norway_stays_a_text(schema_files: SchemaFiles) -> None:
    values = load(schema_files.folder).value_maps["land"].values
    assert values["Norway"] == "NO"
    assert values["NO"] == "NO"


@pytest.mark.parametrize("text", ["NO", "No", "no", "Yes", "yes", "on", "Off", "y", "N", "~x", "1_x", "0x", "12:30:xx"])
def test_words_that_older_yaml_takes_for_something_else_stay_texts(text: str) -> None:
    assert document(f"value: {text}").data == {"value": text}


def test_only_true_and_false_are_booleans() -> None:
    assert document("[true, false]").data == [True, False]


@pytest.mark.parametrize("text", ["1.10", "0.1", "-3.300", "123456789012345678901234567890.123456789"])
def test_numbers_with_a_point_are_exact(text: str) -> None:
    assert document(f"value: {text}").data == {"value": Decimal(text)}


def test_an_exact_default_reaches_the_map_exactly(schema_files: SchemaFiles) -> None:
    compiled = compile_folder(schema_files.folder)
    default = compiled.map("herd > market.Herds").mapping.spec.fields["Weight"].default
    assert str(default) == "1.10"


@given(st.floats(allow_nan=False, allow_infinity=False, width=32), st.integers())
def test_every_number_reads_as_itself(fraction: float, whole: int) -> None:
    text = format(Decimal(repr(fraction)), "f")
    found = document(f"[{text}, {whole}]").data
    assert found == [Decimal(text) if "." in text else int(text), whole]


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("CustomerAccount", "customer_account"),
        ("CustomersV3", "customers_v3"),
        ("dataAreaId", "data_area_id"),
        ("PrimaryContactURL", "primary_contact_url"),
        ("DeliveryAddressCountryRegionISOCode", "delivery_address_country_region_iso_code"),
        ("CDSContactPersonsV2", "cds_contact_persons_v2"),
        ("address1_line1", "address1_line1"),
        ("msdynce_ismaintainedexternally", "msdynce_ismaintainedexternally"),
        ("statecode", "statecode"),
    ],
)
def test_a_column_is_the_field_in_lower_case_with_its_words_apart(field: str, column: str) -> None:
    assert column_name(field) == column


@given(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,40}", fullmatch=True))
def test_a_column_can_be_typed_without_quotes_and_keeps_every_letter(field: str) -> None:
    column = column_name(field)
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", column)
    assert column.replace("_", "") == field.lower().replace("_", "")
    assert column_name(column) == column


def test_parents_come_before_children_in_the_products_own_schema(compiled: Compiled) -> None:
    rank = rank_entities(parents_of_entities(compiled.schema))
    assert rank["organization"] == rank["currency"] == rank["unit"] == 0
    assert rank["account"] < rank["contact"]
    assert rank["account"] < rank["quote"] < rank["quote_line"]
    assert rank["product"] < rank["quote_line"]
    assert [flow.rank for flow in compiled.maps] == sorted(flow.rank for flow in compiled.maps)


Graph = dict[str, set[str]]
NAMES = [f"e{number}" for number in range(8)]
graphs: st.SearchStrategy[Graph] = st.fixed_dictionaries({name: st.sets(st.sampled_from(NAMES)) for name in NAMES})


def schema_of(graph: Graph) -> Schema:
    """A schema of entities that point at each other as the graph says."""
    entities = {
        name: CommonEntity.model_validate(
            {
                "entity": name,
                "description": "An entity.",
                "key": ["code"],
                "fields": {"code": {}, **{f"to_{other}": {"reference": other} for other in sorted(others)}},
            }
        )
        for name, others in graph.items()
    }
    return Schema(entities, {}, {}, {f"common.{name}": document("") for name in graph})


@given(graphs)
@example({name: set() for name in NAMES})
@example({name: {name} for name in NAMES})
def test_ranks_put_parents_first_or_show_a_ring(graph: Graph) -> None:
    without_self = {name: others - {name} for name, others in graph.items()}
    try:
        graphlib.TopologicalSorter(without_self).prepare()
        acyclic = True
    except graphlib.CycleError:
        acyclic = False
    if acyclic:
        ranks = rank_entities(parents_of_entities(schema_of(graph)))
        assert set(ranks) == set(graph)
        for name, others in without_self.items():
            assert ranks[name] == 1 + max((ranks[other] for other in others), default=-1)
        return
    with pytest.raises(SchemaError) as caught:
        rank_entities(parents_of_entities(schema_of(graph)))
    ring = caught.value.message.partition("a ring: ")[2].partition(";")[0].split(" > ")
    assert ring[0] == ring[-1]
    assert all(after in graph[before] for before, after in pairwise(ring))


def test_editors_get_a_schema_that_fits_the_shipped_files() -> None:
    schemas = json_schemas()
    kinds = {"common": "common", "values": "value_map"}
    for path in sorted(SCHEMA.glob("*/*.yaml")):
        name = kinds.get(path.parent.name, "entity_set")
        data = yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
        assert set(data) <= set(schemas[name]["properties"]), path
        assert set(schemas[name]["required"]) <= set(data), path
        assert_fits(data, schemas[name], schemas[name].get("$defs", {}), str(path))


def assert_fits(value: Any, schema: Any, definitions: Any, at: str) -> None:
    """Object shapes only: known keys, required keys, whatever may stand there by a choice of shapes."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        assert any(fits(value, choice, definitions, at) for choice in schema["anyOf"]), at
        return
    if isinstance(value, list):
        assert schema.get("type") == "array", at
        for index, item in enumerate(value):
            assert_fits(item, schema["items"], definitions, f"{at}.{index}")
    if isinstance(value, dict):
        assert schema.get("type") == "object", at
        assert set(schema.get("required", ())) <= set(value), at
        for key, item in value.items():
            assert_fits(item, property_of(schema, key, f"{at}.{key}"), definitions, f"{at}.{key}")
    if isinstance(value, str):
        assert schema.get("type") not in ("object", "array"), at


def property_of(schema: Any, key: str, at: str) -> Any:
    if key in schema.get("properties", {}):
        return schema["properties"][key]
    for pattern, shape in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return shape
    further = schema.get("additionalProperties", True)
    assert further is not False, f"{at}: not a known key"
    return {} if further is True else further


def fits(value: Any, schema: Any, definitions: Any, at: str) -> bool:
    try:
        assert_fits(value, schema, definitions, at)
    except AssertionError:
        return False
    return True


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.dates(),
    st.sampled_from(["farm", "herd", "farms", "herds", "code", "number", "farm.code", "text", "reference", "NO", ""]),
)
keys = st.sampled_from(
    ["entity", "entity_set", "value_map", "description", "key", "business_key", "fields", "maps", "to", "from", "when",
     "that", "every", "sql", "otherwise", "copy", "constant", "not", "values", "using", "lookup", "match", "where",
     "reference", "type", "length", "required", "default", "part_of", "label", "farm", "code", "number", "set",
     "on_delete", "truncate", "write", "need", "references", "by", "empty", "today_plus_days"]
)  # fmt: skip
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | scalars, inner, max_size=4),
    max_leaves=12,
)
FILE_NAMES = ["common/farm.yaml", "common/herd.yaml", "registry/farms.yaml", "registry/herds.yaml", "market/Herds.yaml",
              "values/land.yaml"]  # fmt: skip


@given(name=st.sampled_from(FILE_NAMES), tree=trees)
def test_whatever_stands_in_a_file_only_a_schema_error_comes_out(tmp_path: Path, name: str, tree: object) -> None:
    files = write_schema(tmp_path / "schema")
    files.write(name, yaml.safe_dump(tree, allow_unicode=True))
    only_schema_errors(files)


@given(name=st.sampled_from(FILE_NAMES), tree=trees, place=st.integers(min_value=0), shorter=st.booleans())
def test_whatever_replaces_a_value_only_a_schema_error_comes_out(
    tmp_path: Path, name: str, tree: object, place: int, shorter: bool
) -> None:
    files = write_schema(tmp_path / "schema")
    data = yaml.load((files.folder / name).read_text(encoding="utf-8"), yaml.BaseLoader)
    places = list(containers(data))
    owner, key = places[place % len(places)]
    if shorter:
        del owner[key]
    else:
        owner[key] = tree
    files.write(name, yaml.safe_dump(data, allow_unicode=True, sort_keys=False))
    only_schema_errors(files)


@given(name=st.sampled_from(FILE_NAMES), text=st.text(max_size=60), at=st.integers(min_value=0), cut=st.integers(0, 20))
def test_whatever_is_typed_into_a_file_only_a_schema_error_comes_out(
    tmp_path: Path, name: str, text: str, at: int, cut: int
) -> None:
    files = write_schema(tmp_path / "schema")
    path = files.folder / name
    before = path.read_text(encoding="utf-8")
    at %= len(before)
    path.write_bytes((before[:at] + text + before[at + cut :]).encode("utf-8", "surrogatepass"))
    only_schema_errors(files)


def containers(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a tree whose value can be replaced."""
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in inner] + [place for _, item in inner for place in containers(item)]


def only_schema_errors(files: SchemaFiles) -> None:
    message = ""
    try:
        compile_folder(files.folder)
    except SchemaError as problem:
        message = problem.message
    assert not message or str(files.folder) in message or "ring" in message
