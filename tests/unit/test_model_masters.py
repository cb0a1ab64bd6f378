"""Who may write a common field: one system, or every one of those that its ``either`` lets change it."""

from __future__ import annotations

import pytest

from replicator.errors import SchemaError
from replicator.mapping.compiled import compile_folder
from tests.fixtures.schema_files import SchemaFiles

FARM, MARKET_FARMS, FARMS = "common/farm.yaml", "market/Farms.yaml", "registry/farms.yaml"
OTHER_FARMS = """\
entity_set: Farms
description: Farms as the market knows them.
key: [Code]
fields:
  Code: {length: 10}
  Land: {}
maps:
  - to: farm
    on_delete: nothing
    fields:
      code: {copy: Code, write: on create}
      land: Land
  - from: farm
    fields:
      Code: code
      Land: {copy: land, default: NO}
"""
BACK = """\
  - from: farm
    fields:
      code: {copy: code, write: on create}
      land: land
"""


@pytest.fixture
def opened(schema_files: SchemaFiles) -> SchemaFiles:
    """A schema whose field ``land`` either side may change."""
    schema_files.replace(FARM, "land: {length: 2}", "land: {length: 2, either: ask}")
    schema_files.write(MARKET_FARMS, OTHER_FARMS)
    schema_files.replace(FARMS, "land: {value_map: land, using: land}", "land: land")
    text = (schema_files.folder / FARMS).read_text(encoding="utf-8")
    schema_files.write(FARMS, text + BACK)
    return schema_files


def complaint(files: SchemaFiles) -> str:
    with pytest.raises(SchemaError) as caught:
        compile_folder(files.folder)
    return caught.value.message


def test_a_field_that_either_side_may_change_is_known_to_the_maps_of_both_directions(opened: SchemaFiles) -> None:
    views = {flow.name: flow.view for flow in compile_folder(opened.folder).maps}
    ways = ("registry.farms > farm", "market.Farms > farm", "farm > registry.farms", "farm > market.Farms")
    assert {name: views[name].either for name in ways} == {name: {"land": "ask"} for name in ways}
    assert views["herd > market.Herds"].either == {}
    assert [column.name for column in views["farm > market.Farms"].columns if column.either] == ["land"]


def test_another_policy_is_another_map_so_that_its_records_are_looked_at_again(opened: SchemaFiles) -> None:
    before = compile_folder(opened.folder).map("market.Farms > farm").hash
    opened.replace(FARM, "either: ask", "either: market")
    assert compile_folder(opened.folder).map("market.Farms > farm").hash != before


def test_two_systems_that_write_one_field_are_told_to_choose(opened: SchemaFiles) -> None:
    opened.replace(FARM, ", either: ask", "")
    told = complaint(opened)
    assert f"{FARMS}:{opened.line_of(FARMS, '      land: land')}: maps.0.fields.land" in told
    assert "market.Farms writes 'land', too" in told


def test_two_systems_that_write_a_key_are_told_to_choose(opened: SchemaFiles) -> None:
    opened.replace(MARKET_FARMS, "{copy: Code, write: on create}", "Code")
    assert "writes 'code', too" in complaint(opened)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (FARM, "either: ask", "either: moon", "'moon' is neither 'ask' nor one of market, registry"),
        (FARM, "either: ask", "either: [ask]", "fields.land.either"),
        (FARM, "code: {length: 10,", "code: {length: 10, either: ask,", "code.either: a field of the key"),
        (FARMS, BACK, "", "either side may change 'land', so registry.farms needs a map from farm"),
        (MARKET_FARMS, "{copy: land, default: NO}", "{copy: land, write: on create}", "market.Farms needs a map"),
        (MARKET_FARMS, "      land: Land\n", "", "fields.land.either: needs maps of two systems"),
        (MARKET_FARMS, "land: Land", "land: {copy: Land, write: on create}", "needs maps of two systems"),
        ("common/herd.yaml", "farm: {reference: farm,", "farm: {reference: farm, either: ask,", "plain fields"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_with_its_place(
    opened: SchemaFiles, file: str, old: str, new: str, words: str
) -> None:
    opened.replace(file, old, new)
    assert words in complaint(opened)
