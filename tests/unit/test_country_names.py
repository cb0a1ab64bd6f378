"""The value map of countries knows what people type, in many languages, and guesses nothing."""

from __future__ import annotations

import pytest

from replicator.errors import SchemaError
from replicator.mapping.language import ValueMapSpec
from replicator.mapping.literals import folded
from replicator.mapping.yaml_source import read
from tests.fixtures import country_names


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    values = read(country_names.FILE, SchemaError).parse(ValueMapSpec).values
    return {folded(str(name)): str(code) for name, code in values.items()}


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("Spanien", "ES"), ("Allemagne", "DE"), ("GERMANY", "DE"), ("Deutschland", "DE"), ("DEU", "DE"), ("de", "DE"),
        ("U.S.", "US"), ("USA", "US"), ("United States of America", "US"), ("États-Unis", "US"), ("UAE", "AE"),
        ("Éire", "IE"), ("E\u0301ire", "IE"), ("日本", "JP"), ("中国", "CN"), ("대한민국", "KR"), ("Korea", "KR"),
        ("Россия", "RU"),
        ("ΕΛΛΆΔΑ", "GR"), ("Suomi", "FI"), ("İTALYA", "IT"), ("Holland", "NL"), ("England", "GB"), ("UK", "GB"),
        ("Viet Nam", "VN"), ("Côte d'Ivoire", "CI"), ("Türkiye", "TR"), ("Turkey", "TR"), ("Czech Republic", "CZ"),
    ],
)  # fmt: skip
def test_what_people_type_is_a_country(known: dict[str, str], typed: str, code: str) -> None:
    assert known[folded(typed)] == code


def test_what_means_two_countries_or_none_is_left_out(known: dict[str, str]) -> None:
    assert {"kongo", "kosovo", "europäische union", "zz"} & set(known) == set()


def test_the_file_is_what_the_program_makes_of_its_source() -> None:
    assert country_names.FILE.read_text(encoding="utf-8") == country_names.text()
