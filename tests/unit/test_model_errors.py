"""What is wrong in ``schema/`` is said with file, line and field, all of it at once, and never by a traceback."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from replicator.errors import SchemaError
from replicator.mapping.compiled import Compiled, compile_folder
from tests.fixtures.schema_files import SchemaFiles


@dataclass(frozen=True)
class Fault:
    """One change that spoils a file, and the words with which the error has to name it."""

    name: str
    file: str
    old: str
    new: str
    words: tuple[str, ...]
    below: int = 0
    """How many lines below the change the error points."""


def complaint(files: SchemaFiles) -> str:
    with pytest.raises(SchemaError) as caught:
        compile_folder(files.folder)
    assert "mapping.md" in caught.value.hint
    assert "Input should" not in caught.value.message
    return caught.value.message


FARM, HERD = "common/farm.yaml", "common/herd.yaml"
FARMS, HERDS, MARKET = "registry/farms.yaml", "registry/herds.yaml", "market/Herds.yaml"
FAULTS = [
    Fault("a reference with a type", HERD, "{reference: farm,", "{type: date, reference: farm,", ("takes no 'type'",)),
    Fault("a reference to nothing", HERD, "heads: {type: integer}", "heads: {type: reference}", ("fields.heads",)),
    Fault("a system's reference to nothing", HERDS, "reference, to: [farms]}", "reference}", ("belong together",)),
    Fault(
        "a condition that says two things",
        HERDS,
        "- that: {number: {not: null}}",
        "- that: {number: {not: null}}\n        sql: 'true'",
        ("either 'that' or 'sql'",),
    ),
    Fault(
        "two spellings of a value map that are one, and contradict each other",
        "values/land.yaml",
        "  Norway: NO",
        "  Norway: NO\n  ' NORWAY': DK",
        ("' NORWAY' is 'Norway' in another case, and gives another value: DK, not NO",),
        1,
    ),
    Fault(
        "what tells records apart and may change",
        MARKET,
        "Organic: organic",
        "Organic: {copy: organic, tells_apart: true}",
        ("'tells_apart' is for what is written on create",),
    ),
    Fault(
        "what tells records of common apart",
        FARMS,
        "code: code",
        "code: {copy: code, write: on create, tells_apart: true}",
        ("'tells_apart' belongs to maps with 'from', not to 'code'",),
        -2,
    ),
    Fault("a value map of nothing", FARMS, "land, using: land", "land", ("needs either 'values' or 'using'",)),
    Fault("values of no value map", FARMS, "code: code", "code: {copy: code, using: land}", ("belong to 'value_map'",)),
    Fault(
        "a restriction of no look-up",
        HERDS,
        "{reference: farm}",
        "{reference: farm, where: {code: a}}",
        ("belong to 'lookup'",),
    ),
    Fault("a look-up by nothing", HERDS, "{reference: farm}", "{lookup: farm}", ("needs 'match' or 'where'",)),
    Fault(
        "a field that is never written, of common",
        HERDS,
        "heads: heads",
        "heads: {copy: heads, write: never}",
        ("fields.heads", "belongs to outbound maps"),
    ),
    Fault(
        "a reference to what no map brings in",
        HERDS,
        "parent: {type: reference, to: [herds]}",
        "parent: {type: reference, to: [farms]}",
        ("no map brings what 'parent' points at to herd",),
        17,
    ),
    Fault(
        "a part that may be without its whole",
        HERD,
        "key: [farm, number]",
        "key: [farm, number]\npart_of: parent",
        ("a part needs its whole",),
        9,
    ),
    Fault(
        "an unknown key of a common field",
        FARM,
        "{length: 2}",
        "{lenght: 2}",
        ("fields.land.lenght: unknown key; did you mean 'length'? (possible: type, length, required",),
    ),
    Fault(
        "an unknown key of a file",
        FARM,
        "key: [code]",
        "key: [code]\nkeys: [code]",
        ("keys: unknown key; did you mean 'key'?",),
        1,
    ),
    Fault(
        "an unknown key of a map",
        HERDS,
        "    when:",
        "    whenever: []\n    when:",
        ("maps.0.whenever", "possible: to, from, description, when,"),
    ),
    Fault(
        "an unknown key of a field map",
        FARMS,
        "using: land",
        "using: land, trunkate: 1",
        ("land.trunkate", "did you mean 'truncate'?"),
    ),
    Fault("a type that does not exist", HERD, "type: date", "type: dat", ("counted_on.type", "'date'")),
    Fault("a text for a number", FARM, "length: 2", "length: two", ("fields.land.length: has to be a whole number",)),
    Fault("a number for a list", FARM, "key: [code]", "key: 1", ("key: has to be a list",)),
    Fault("a list for a mapping", FARM, "{length: 2}", "[1, 2]", ("fields.land: has to be a mapping",)),
    Fault("a number for a name", FARM, "entity: farm", "entity: 7", ("entity: has to be a text",)),
    Fault("a negative length", FARM, "length: 2", "length: -2", ("fields.land.length", "greater than 0")),
    Fault("a name with a blank", FARM, "  land:", "  the land:", ("the land", "pattern")),
    Fault("a capital in a common field", FARM, "  land:", "  Land:", ("fields.Land", "lower case")),
    Fault("length of a number", HERD, "type: integer", "type: integer, length: 3", ("fields.heads", "length")),
    Fault("a key that is no field", FARM, "key: [code]", "key: [codex]", ("codex", "not among the fields")),
    Fault("an entity set's key that is no field", FARMS, "key: [farmid]", "key: [farm]", ("'farm' is not among",)),
    Fault("a business key that is no field", FARMS, "[code]", "[codex]", ("business_key", "codex")),
    Fault(
        "generations in the order of what is no field",
        FARMS,
        "business_key: [code]",
        "business_key: [code]\ngenerations: [year desc]",
        ("generations.0", "'year' is not among"),
        1,
    ),
    Fault(
        "generations that share no key",
        MARKET,
        "key: [FarmCode, HerdNumber]",
        "key: [FarmCode, HerdNumber]\ngenerations: [HerdNumber]",
        ("'generations' needs a 'business_key' other than the key",),
        -2,
    ),
    Fault(
        "a key that is assigned, and no key",
        MARKET,
        "key: [FarmCode, HerdNumber]",
        "key: [FarmCode]\nassigned: [HerdNumber]",
        ("'assigned' names fields of the key",),
        -2,
    ),
    Fault(
        "an assigned key without another one",
        MARKET,
        "key: [FarmCode, HerdNumber]",
        "key: [FarmCode, HerdNumber]\nassigned: [HerdNumber]",
        ("'assigned' needs a 'business_key'",),
        -2,
    ),
    Fault(
        "an assigned key that is mapped",
        MARKET,
        "key: [FarmCode, HerdNumber]",
        "key: [FarmCode, HerdNumber]\nassigned: [HerdNumber]\nbusiness_key: [FarmCode]",
        ("HerdNumber", "assigned by the system, and cannot be mapped"),
        14,
    ),
    Fault(
        "a key that nobody gives",
        MARKET,
        "key: [FarmCode, HerdNumber]",
        "key: [Size2]",
        ("'Size2' is not among the fields",),
    ),
    Fault(
        "a reference to a key of several fields",
        MARKET,
        "  Size: {}",
        "  Size: {}\n  Beside: {type: reference, to: [Herds]}",
        ("Beside", "the key of Herds is FarmCode, HerdNumber", "'references'"),
        1,
    ),
    Fault("a pace that is none", FARMS, "key: [farmid]", "key: [farmid]\nevery: often", ("every: does not fit",), 1),
    Fault("an empty key", FARM, "key: [code]", "key: []", ("key", "at least 1")),
    Fault(
        "an entity that does not exist",
        HERD,
        "farm: {reference: farm,",
        "farm: {reference: barn,",
        ("fields.farm.reference", "no entity 'barn'"),
    ),
    Fault("a map to an entity that does not exist", FARMS, "- to: farm", "- to: barn", ("maps.0.to", "'barn'")),
    Fault(
        "a map from an entity that does not exist", MARKET, "- from: herd", "- from: flock", ("maps.0.from", "'flock'")
    ),
    Fault(
        "an entity set that does not exist",
        HERDS,
        "to: [farms]",
        "to: [barns]",
        ("fields.farm", "'barns'; did you mean 'farms'?"),
    ),
    Fault(
        "a source field that does not exist",
        HERDS,
        "heads: heads",
        "heads: hoofs",
        ("registry.herds", "'hoofs'", "(it has herdid,"),
    ),
    Fault(
        "a target field that does not exist",
        HERDS,
        "heads: heads",
        "hoofs: heads",
        ("fields.hoofs", "no field 'hoofs' (it has farm, number,"),
    ),
    Fault(
        "a value map that does not exist",
        FARMS,
        "using: land",
        "using: lands",
        ("fields.land.using", "'lands'; did you mean 'land'?"),
    ),
    Fault(
        "a path over a field that is no reference", MARKET, "farm.size", "number.size", ("'number' is not a reference",)
    ),
    Fault("a path over nothing", MARKET, "farm.size", "barn.size", ("no field 'barn'",)),
    Fault(
        "a path to a field that does not exist", MARKET, "farm.size", "farm.breadth", ("farm has no field 'breadth'",)
    ),
    Fault(
        "a reference to what is no reference", HERDS, "{reference: farm}", "{reference: number}", ("not a reference",)
    ),
    Fault(
        "a required reference that comes later",
        HERDS,
        "{reference: farm}",
        "{reference: farm, need: later}",
        ("fields.farm", "cannot come later"),
    ),
    Fault("a text into a number", HERDS, "heads: heads", "heads: number", ("maps.0.fields.heads", "text", "integer")),
    Fault(
        "a number with a fraction into a whole one", HERDS, "heads: heads", "heads: weight", ("maps.0.fields.heads",)
    ),
    Fault("a text turned around as a boolean", HERDS, "{not: conventional}", "{not: number}", ("organic", "boolean")),
    Fault("a reference copied as a value", HERDS, "{reference: farm}", "{copy: farm}", ("fields.farm", "reference")),
    Fault("a number as default of a text", MARKET, "default: Small", "default: 1", ("Size", "does not fit")),
    Fault("a text as default of a number", MARKET, "default: 1.10", "default: much", ("Weight", "does not fit")),
    Fault(
        "a text as a constant of a number", HERDS, "heads: heads", "heads: {constant: many}", ("heads", "does not fit")
    ),
    Fault(
        "a text as a constant of a date",
        HERDS,
        "{copy: counted, default: {today_plus_days: 0}}",
        "{constant: soon}",
        ("counted_on", "does not fit"),
    ),
    Fault(
        "a number with a fraction as a constant of a whole one",
        HERDS,
        "heads: heads",
        "heads: {constant: 1.5}",
        ("heads", "does not fit"),
    ),
    Fault(
        "a constant that is none of the values",
        FARMS,
        "{value_map: size, values: {1: Small, 2: Large}}",
        "{constant: Huge}",
        ("fields.size", "'Huge' is none of"),
    ),
    Fault("a value map to what is none of the values", FARMS, "2: Large", "2: Huge", ("size", "'Huge'")),
    Fault(
        "a value map to a text for a number",
        HERDS,
        "heads: heads",
        "heads: {value_map: number, values: {a: many}}",
        ("heads", "'many'"),
    ),
    Fault(
        "a key of a value map that the field read cannot hold",
        FARMS,
        "values: {1: Small, 2: Large}",
        'values: {1: Small, "no": Large}',
        ("fields.size.values.no", "'no' does not fit 'size', which is integer"),
    ),
    Fault(
        "a key of a value map on a line of its own",
        FARMS,
        "values: {1: Small, 2: Large}}",
        "values: {\n        1: Small,\n        many: Large}}",
        ("'many' does not fit 'size'",),
        2,
    ),
    Fault(
        "a named value map whose keys the field read cannot hold",
        FARMS,
        "land: {value_map: land,",
        "land: {value_map: size,",
        ("fields.land.using", "'Norway' does not fit 'size', which is integer"),
    ),
    Fault(
        "an outbound value map from what is none of the values",
        MARKET,
        "{copy: farm.size, default: Small}",
        "{value_map: farm.size, values: {S: Small, H: Huge}}",
        ("fields.Size.values.H", "'Huge' is none of Small, Large"),
    ),
    Fault(
        "a constant longer than its field",
        MARKET,
        "FarmCode: farm.code",
        "FarmCode: {constant: A farm by the sea}",
        ("fields.FarmCode.constant", "17 characters, at most 10 fit 'FarmCode'"),
    ),
    Fault(
        "a default longer than its field",
        FARMS,
        "code: code",
        "code: {copy: code, default: A farm by the sea}",
        ("fields.code.default", "at most 10 fit 'code'"),
    ),
    Fault(
        "a value of a value map longer than its field",
        FARMS,
        "using: land",
        "values: {Norway: NOR}",
        ("fields.land.values.Norway", "'NOR' has 3 characters, at most 2 fit 'land'"),
    ),
    Fault(
        "a whole number too large for its column",
        HERDS,
        "heads: heads",
        "heads: {constant: 99999999999999999999}",
        ("heads", "does not fit"),
    ),
    Fault(
        "an empty value of another type than its field",
        MARKET,
        "Weight: {type: decimal}",
        "Weight: {type: decimal, empty: none}",
        ("fields.Weight.empty", "'none' does not fit 'Weight', which is decimal"),
    ),
    Fault(
        "a length of a system's number",
        MARKET,
        "Weight: {type: decimal}",
        "Weight: {type: decimal, length: 3}",
        ("length",),
    ),
    Fault(
        "a default of a reference",
        HERD,
        "parent: {reference: herd}",
        "parent: {reference: herd, default: a}",
        ("plain",),
    ),
    Fault(
        "a default of a common field that is none of its values",
        FARM,
        "values: [Small, Large]",
        "values: [Small, Large], default: Huge",
        ("fields.size.default", "'Huge' is none of"),
    ),
    Fault(
        "a condition with a value that the field never has",
        MARKET,
        "- from: herd",
        "- from: herd\n    when:\n      - that: {farm.size: [Small, Huge]}",
        ("when.0.that.farm.size", "'Huge' is none of Small, Large, the values of 'size'"),
        2,
    ),
    Fault(
        "a condition on a field that does not exist",
        HERDS,
        "that: {number:",
        "that: {numbr:",
        ("'numbr'; did you mean 'number'?",),
    ),
    Fault(
        "a condition on every part of what has none",
        HERDS,
        "- that: {number: {not: null}}",
        "- every: farm\n        that: {code: {not: null}}",
        ("'farm'", "part"),
    ),
    Fault(
        "a condition with a value that does not fit",
        HERDS,
        "- that: {number: {not: null}}",
        "- that: {heads: many}",
        ("heads", "does not fit"),
    ),
    Fault(
        "a condition with no words of a field that exists",
        HERDS,
        "a herd without a number stays out",
        "no {numbr}",
        ("'numbr'",),
    ),
    Fault(
        "a delete that sets a field that does not exist",
        MARKET,
        "- from: herd",
        "- from: herd\n    on_delete: {set: {Gone: true}}",
        ("'Gone'",),
        1,
    ),
    Fault(
        "a delete that sets a value that does not fit",
        MARKET,
        "- from: herd",
        "- from: herd\n    on_delete: {set: {Heads: none}}",
        ("Heads", "does not fit"),
        1,
    ),
    Fault(
        "a key change that recreates, and a delete that deletes nothing",
        MARKET,
        "- from: herd",
        "- from: herd\n    on_delete: nothing\n    on_key_change: recreate",
        ("'on_key_change: recreate' needs",),
    ),
    *(
        Fault(name, MARKET, "  Size: {}", f"  Size: {{}}\nreferences:\n  {reference}", words, 2)
        for name, reference, words in (
            (
                "a reference by plain fields to no entity set",
                "other: {to: Farms, by: {FarmCode: FarmCode}}",
                ("references.other.to", "market has no entity set 'Farms'"),
            ),
            (
                "a reference by a field that does not exist",
                "other: {to: Herds, by: {FarmCod: FarmCode, HerdNumber: HerdNumber}}",
                ("references.other.by.FarmCod", "not among the fields; did you mean 'FarmCode'?"),
            ),
            (
                "a reference by what the other has not",
                "other: {to: Herds, by: {FarmCode: FarmCode, Size: Colour}}",
                ("references.other.by.Size", "Herds has no field 'Colour'"),
            ),
            (
                "a reference by a part of a key",
                "other: {to: Herds, by: {FarmCode: FarmCode}}",
                ("references.other.by", "holds all of its key: FarmCode, HerdNumber"),
            ),
            (
                "a reference by one field of the key twice",
                "other: {to: Herds, by: {FarmCode: FarmCode, Size: FarmCode}}",
                ("references.other.by", "holds all of its key: FarmCode, HerdNumber"),
            ),
            (
                "a reference by a field of another type",
                "other: {to: Herds, by: {FarmCode: FarmCode, Heads: HerdNumber}}",
                ("references.other.by.Heads", "HerdNumber of Herds is text, not integer"),
            ),
            (
                "a reference with the name of a field",
                "size: {to: Herds, by: {FarmCode: FarmCode, HerdNumber: HerdNumber}}",
                ("references.size", "'Size' is a field, too"),
            ),
            (
                "an unknown key of a reference by plain fields",
                "other: {too: Herds, by: {FarmCode: FarmCode, HerdNumber: HerdNumber}}",
                ("references.other.too", "did you mean 'to'?"),
            ),
        )
    ),
    Fault(
        "a map through a reference that there is not",
        HERDS,
        "farm: {reference: farm}",
        "farm: {reference: fram}",
        ("maps.0.fields.farm", "registry.herds has no field 'fram'; did you mean 'farm'?"),
    ),
    Fault(
        "a map through a field that points at nothing",
        HERDS,
        "farm: {reference: farm}",
        "farm: {reference: number}",
        ("maps.0.fields.farm", "'number' of registry.herds is not a reference"),
    ),
    Fault(
        "a field that is filled in from a reference and points at nothing",
        MARKET,
        "FarmCode: farm.code",
        "FarmCode: {reference: farm}",
        ("maps.0.fields.FarmCode", "'FarmCode' points at nothing", "'references'"),
    ),
    Fault(
        "a look-up in what the field does not point at",
        HERDS,
        "{reference: farm}",
        "{lookup: herd, where: {number: a}}",
        ("fields.farm", "does not point at herd"),
    ),
    Fault(
        "a look-up by a field that does not exist",
        HERDS,
        "{reference: farm}",
        "{lookup: farm, where: {colour: a}}",
        ("'colour'",),
    ),
    Fault(
        "a look-up by a value that does not fit",
        HERDS,
        "farm: {reference: farm}",
        "farm: {lookup: farm, where: {code: 1}}",
        ("code", "does not fit"),
    ),
    Fault(
        "a look-up by a field of another type",
        HERDS,
        "{reference: farm}",
        "{lookup: farm, match: {code: heads}}",
        ("farm", "text"),
    ),
    Fault("a part of what is no field", HERD, "key: [farm, number]", "key: [farm, number]\npart_of: barn", ("'barn'",)),
    Fault("a label that is no field", FARM, "key: [code]", "key: [code]\nlabel: title", ("'title'",)),
    Fault(
        "a default of a common field that does not fit",
        HERD,
        "type: boolean",
        "type: boolean, default: 7",
        ("organic",),
    ),
    Fault("a copy of no field", MARKET, "Heads: heads", "Heads: {copy: []}", ("Heads.copy", "at least 1")),
    Fault("a truncated number", MARKET, "Heads: heads", "Heads: {copy: heads, truncate: 2}", ("Heads", "truncate")),
    Fault(
        "a plain SQL expression beside another source",
        MARKET,
        "Heads: heads",
        "Heads: {copy: heads, sql: '1'}",
        ("exactly one of",),
    ),
    Fault(
        "a plain SQL expression with a sub-select",
        MARKET,
        "Heads: heads",
        'Heads: {sql: "coalesce({heads}, (Select max(heads) from common.herd))"}',
        ("fields.Heads.sql", "no sub-selects"),
    ),
    Fault(
        "a condition with a sub-select",
        HERDS,
        "- that: {number: {not: null}}",
        '- sql: "{number} in (table sync.allowed)"',
        ("when.0.sql", "no sub-selects"),
    ),
    Fault(
        "two sources in one field map",
        MARKET,
        "copy: farm.size",
        "copy: farm.size, constant: Small",
        ("fields.Size", "exactly one of"),
    ),
    Fault("no source in a field map", MARKET, "copy: farm.size, ", "", ("fields.Size", "exactly one of")),
    Fault("a value map of two kinds", FARMS, "using: land", "using: land, values: {a: b}", ("fields.land", "either")),
    Fault("a map in both directions", MARKET, "- from: herd", "- from: herd\n    to: herd", ("either 'to'",)),
    Fault(
        "a key field that is not mapped", MARKET, "      FarmCode: farm.code\n", "", ("'FarmCode' is not mapped",), -1
    ),
    Fault(
        "a default relative to today outward",
        MARKET,
        "default: 1.10",
        "default: {today_plus_days: 1}",
        ("Weight", "relative to today"),
    ),
    Fault(
        "a key given twice",
        FARM,
        "  land: {length: 2}",
        "  land: {length: 2}\n  land: {}",
        ("'land' stands here twice",),
        1,
    ),
    Fault("brackets that do not close", FARM, "{length: 2}", "{length: 2", ("not valid YAML",), 1),
    Fault("a tab as indentation", FARM, "  land:", "\tland:", ("not valid YAML",)),
    Fault("a tag that runs code", FARM, "{length: 2}", "!!python/name:os.system", ("not valid YAML",)),
    Fault(
        "two names of one column",
        MARKET,
        "  Heads: {type: integer, empty: 0}",
        "  Heads: {}\n  heads: {}",
        ("same column",),
        1,
    ),
    Fault(
        "two maps for one entity",
        FARMS,
        "      land: {value_map: land, using: land}",
        "  - to: farm\n    fields: {code: code}",
        ("maps.1.to", "second map"),
    ),
    Fault("places of no number", HERDS, "{length: 10}", "{length: 10, places: 2}", ("'places' belongs", "decimal")),
    Fault("a zone of no day", HERDS, "{type: date}", "{type: date, time_zone: UTC}", ("'time_zone' belongs",)),
    Fault(
        "a zone that is none",
        HERDS,
        "{type: date}",
        "{type: date, stored_as: local midnight, time_zone: Oslo}",
        ("'Oslo' is no time zone",),
    ),
    Fault(
        "a number that is not rounded as its field wants it",
        MARKET,
        "Weight: {type: decimal}",
        "Weight: {type: decimal, places: 0}",
        ("1.10 has 1 decimal places, at most 0 fit 'Weight'",),
        9,
    ),
    Fault("a text that is rounded", MARKET, "truncate: 10", "round: 1", ("'round' needs a decimal",)),
    Fault(
        "a business key that follows the create",
        MARKET,
        "HerdNumber: {length: 10}",
        "HerdNumber: {length: 10, writable: on update}",
        ("a record cannot be created without 'HerdNumber'",),
        9,
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_an_error_names_file_line_and_field(schema_files: SchemaFiles, fault: Fault) -> None:
    line = schema_files.replace(fault.file, fault.old, fault.new) + fault.below
    message = complaint(schema_files)
    assert f"{schema_files.folder / fault.file}:{line}: " in message
    for words in fault.words:
        assert words in message


def test_a_value_that_is_cut_to_fit_fits(schema_files: SchemaFiles) -> None:
    schema_files.replace("registry/farms.yaml", "using: land", "values: {Norway: NORWAY}, truncate: 2")
    compile_folder(schema_files.folder)


@pytest.mark.parametrize(
    "expression",
    [
        "extract(year from {counted_on})",
        "{heads} + char_length(trim(both from {number}))",
        "case when {number} in ('select', 'it''s a table') then 1 end",
        "case when {number} <> e'\\\\'select' then 1 end",
        "case when {number} = $$select$$ then 1 end",
        "{heads} /* select */",
    ],
)
def test_a_plain_sql_expression_without_a_sub_select_is_fine(schema_files: SchemaFiles, expression: str) -> None:
    schema_files.replace("market/Herds.yaml", "Heads: heads", f'Heads: {{sql: "{expression}"}}')
    compile_folder(schema_files.folder)


def test_the_unspoilt_schema_compiles(schema_files: SchemaFiles) -> None:
    compiled = compile_folder(schema_files.folder)
    assert [flow.name for flow in compiled.maps] == [
        "registry.farms > farm",
        "herd > market.Herds",
        "registry.herds > herd",
    ]


def test_several_problems_are_told_at_once(schema_files: SchemaFiles) -> None:
    schema_files.replace("common/farm.yaml", "{length: 2}", "{length: two}")
    schema_files.replace("common/herd.yaml", "type: date", "type: dat")
    schema_files.replace("registry/farms.yaml", "using: land", "using: land, trunkate: 1")
    schema_files.replace("values/land.yaml", "ignore_case: true", "ignore_case: perhaps")
    lines = complaint(schema_files).splitlines()
    assert len(lines) == 4
    for name in ("common/farm.yaml", "common/herd.yaml", "registry/farms.yaml", "values/land.yaml"):
        assert any(name in line for line in lines)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        (
            MARKET,
            "default: 1.10",
            "default: {today_plus: 14}",
            "default.today_plus: unknown key; did you mean 'today_plus_days'? (possible: today_plus_days)",
        ),
        (
            MARKET,
            "default: 1.10",
            "default: [1, 2]",
            "fields.Weight.default: has to be true or false, a number, a date, a text or a mapping",
        ),
        (MARKET, "Size: {}", "Size: {empty: [a]}", "Size.empty: has to be true or false, a number, a date or a text"),
        (
            MARKET,
            "- from: herd",
            "- from: herd\n    on_delete: {sett: {Heads: 1}}",
            "sett: unknown key; did you mean 'set'?",
        ),
        (MARKET, "- from: herd", "- from: herd\n    on_delete: keep", "has to be 'delete' or 'nothing' or a mapping"),
        (FARM, "description: A farm.", "descripton: A farm.", "descripton: unknown key; did you mean 'description'?"),
    ],
)
def test_each_mistake_is_told_in_one_line(schema_files: SchemaFiles, file: str, old: str, new: str, words: str) -> None:
    schema_files.replace(file, old, new)
    lines = complaint(schema_files).splitlines()
    assert len(lines) == 1
    assert words in lines[0]


def test_a_wrong_value_is_told_beside_a_misspelt_key_that_is_near(schema_files: SchemaFiles) -> None:
    schema_files.replace("common/farm.yaml", "{length: 2}", "{length: two, lenght: 2}")
    assert len(complaint(schema_files).splitlines()) == 2


def test_several_wrong_names_are_told_at_once(schema_files: SchemaFiles) -> None:
    schema_files.replace("registry/farms.yaml", "- to: farm", "- to: barn")
    schema_files.replace("registry/herds.yaml", "to: [farms]", "to: [barns]")
    schema_files.replace("market/Herds.yaml", "- from: herd", "- from: flock")
    assert len(complaint(schema_files).splitlines()) == 3


def test_problems_of_several_maps_are_told_at_once(schema_files: SchemaFiles) -> None:
    schema_files.replace("registry/herds.yaml", "heads: heads", "heads: hoofs")
    schema_files.replace("market/Herds.yaml", "farm.size", "farm.breadth")
    assert len(complaint(schema_files).splitlines()) == 2


def test_a_missing_key_is_named(schema_files: SchemaFiles) -> None:
    schema_files.replace("common/farm.yaml", "description: A farm.\n", "")
    message = complaint(schema_files)
    assert "common/farm.yaml:1: description: missing" in message


def test_an_entity_in_two_files_is_an_error_that_names_both(schema_files: SchemaFiles) -> None:
    text = (schema_files.folder / "common/farm.yaml").read_text(encoding="utf-8")
    schema_files.write("common/estate.yaml", text)
    message = complaint(schema_files)
    assert "common/farm.yaml" in message
    assert "common/estate.yaml" in message
    assert "'farm'" in message


def test_an_entity_set_in_two_files_is_an_error(schema_files: SchemaFiles) -> None:
    text = (schema_files.folder / "registry/farms.yaml").read_text(encoding="utf-8")
    schema_files.write("registry/again.yaml", text)
    assert "'farms' is described in" in complaint(schema_files)


def test_required_references_in_a_ring_are_an_error_that_shows_the_ring(schema_files: SchemaFiles) -> None:
    line = schema_files.replace("common/farm.yaml", "  land:", "  best_herd: {reference: herd}\n  land:")
    other = schema_files.line_of("common/herd.yaml", "  farm: ")
    message = complaint(schema_files)
    assert message.endswith(
        (
            f"common/farm.yaml:{line}: fields.best_herd: required references form a ring: farm > herd > farm; "
            "make one of them 'need: later'",
            f"common/herd.yaml:{other}: fields.farm: required references form a ring: herd > farm > herd; "
            "make one of them 'need: later'",
        )
    )


def test_a_ring_is_fine_when_one_of_its_references_may_come_later(schema_files: SchemaFiles) -> None:
    schema_files.replace("common/farm.yaml", "  land:", "  best_herd: {reference: herd}\n  land:")
    schema_files.replace(
        "registry/farms.yaml", "  size: {type", "  herd: {type: reference, to: [herds]}\n  size: {type"
    )
    schema_files.replace(
        "registry/farms.yaml", "      code: code", "      best_herd: {reference: herd, need: later}\n      code: code"
    )
    assert {found.name for found in compile_folder(schema_files.folder).maps} >= {"registry.farms > farm"}


def test_a_file_that_is_not_utf_8_is_an_error_that_names_it(schema_files: SchemaFiles) -> None:
    (schema_files.folder / "common/farm.yaml").write_bytes(b"entity: f\xffrm\n")
    assert "common/farm.yaml: cannot be read" in complaint(schema_files)


def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(schema_files: SchemaFiles) -> None:
    path = schema_files.folder / "common/farm.yaml"
    path.unlink()
    os.symlink("nowhere", path)
    assert "common/farm.yaml: cannot be read" in complaint(schema_files)


def test_a_folder_in_place_of_a_file_is_an_error_that_names_it(schema_files: SchemaFiles) -> None:
    (schema_files.folder / "common/odd.yaml").mkdir()
    assert "common/odd.yaml: cannot be read" in complaint(schema_files)


def test_an_empty_file_is_an_error_that_names_it(schema_files: SchemaFiles) -> None:
    schema_files.write("common/farm.yaml", "")
    assert "common/farm.yaml:1: entity: missing" in complaint(schema_files)


def test_no_folder_at_all_is_an_error_that_says_what_to_do(schema_files: SchemaFiles) -> None:
    with pytest.raises(SchemaError) as caught:
        compile_folder(schema_files.folder / "nowhere")
    assert "nowhere" in caught.value.message
    assert caught.value.hint


def test_the_products_own_schema_compiles(compiled: Compiled) -> None:
    assert len(compiled.maps) == 13
