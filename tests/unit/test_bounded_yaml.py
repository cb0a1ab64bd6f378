"""Files of a few lines whose aliases stand for more than any machine can hold."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from replicator import bounded_yaml
from replicator.config import load
from replicator.errors import ConfigurationError, SchemaError
from replicator.mapping.compiled import compile_folder
from replicator.sandbox.sample import read_sample
from tests.fixtures.schema_files import SchemaFiles

pytestmark = pytest.mark.timeout(60)
LAUGHS = "&l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"
for level in range(1, 10):
    LAUGHS = f"&l{level} [{LAUGHS}{f', *l{level - 1}' * 8}]"
TOO_MANY = "its aliases repeat more than 10000 values"
HOLDS_ITSELF = "an alias stands for what holds it"


@pytest.mark.parametrize(("value", "words"), [(LAUGHS, TOO_MANY), ("&own [*own]", HOLDS_ITSELF)])
def test_a_configuration_with_a_billion_laughs_is_refused(tmp_path: Path, value: str, words: str) -> None:
    file = tmp_path / "replicator.yaml"
    file.write_text(f"hub: {{folder: hub}}\nsystems: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=words):
        load(file, {})


def test_a_schema_with_a_billion_laughs_is_refused(schema_files: SchemaFiles) -> None:
    (schema_files.folder / "common" / "laughs.yaml").write_text(f"entity: laughs\nfields: {LAUGHS}\n", encoding="utf-8")
    with pytest.raises(SchemaError, match=f"laughs.yaml:.*{TOO_MANY}"):
        compile_folder(schema_files.folder)


def test_sample_data_with_a_billion_laughs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sample.yaml"
    file.write_text(f"lists: {{lol: {LAUGHS}}}\n", encoding="utf-8")
    with pytest.raises(yaml.YAMLError, match=TOO_MANY):
        read_sample(file)


def test_merged_mappings_are_counted_too() -> None:
    text = "a0: &m0 {k: 1}\n" + "".join(f"a{n}: &m{n} {{<<: [{f'*m{n - 1}, ' * 9}]}}\n" for n in range(1, 9))
    with pytest.raises(yaml.YAMLError, match=TOO_MANY):
        bounded_yaml.load(text)


def test_aliases_of_everyday_use_are_read_and_a_large_file_without_any_too(tmp_path: Path) -> None:
    assert bounded_yaml.load("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}") == {
        "a": {"x": 1},
        "b": {"x": 1},
        "c": {"x": 1, "y": 2},
    }
    file = tmp_path / "replicator.yaml"
    records = "\n".join(f"    - {{code: A{number}, name: Main}}" for number in range(5000))
    file.write_text(f"daemon: &d {{poll_seconds: 5}}\nrecords:\n  thing:\n{records}\n", encoding="utf-8")
    assert len(load(file, {}).records["thing"]) == 5000
