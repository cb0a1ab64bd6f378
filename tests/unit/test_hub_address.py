"""Where the hub is, as commands find it that need nothing else: from a file that may be wrong all around it."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import make_url

from replicator.errors import ConfigurationError
from replicator.hub.address import HubAddress, load_hub
from replicator.hub.connection import connect
from replicator.hub.session import parameters, shown

URL = "postgresql://me:secret@db.example.com:5433/hub?sslmode=require"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "replicator.yaml"


def loaded(file: Path, text: str) -> HubAddress:
    file.write_text(text, encoding="utf-8")
    return load_hub(file, {})


@pytest.mark.parametrize(
    "text",
    [
        "hub: {url: postgresql://h/d}\nsystems: [\n",
        "systems: {a: 1, a: {\nhub:\n  url: postgresql://h/d\n# more\n\n  folder: data\nconsole: 'open\n",
        "a: *nothing\nhub:\n  # the server\n  url: postgresql://h/d\n",
        "hub:\n    url: postgresql://h/d\nother:\n\tname: 1\n",
    ],
)
def test_a_file_that_is_no_yaml_elsewhere_still_says_where_the_hub_is(file: Path, text: str) -> None:
    assert loaded(file, text).url == "postgresql://h/d"


@pytest.mark.parametrize("text", ["", "# nothing\n", "hub:\n", "hub: {url: null}\n", "systems: {hub: {url: x}}\n"])
def test_where_the_file_says_nothing_of_it_the_hub_is_in_the_folder_beside_it(file: Path, text: str) -> None:
    assert loaded(file, text) == HubAddress(None, file.parent / "hub")


def test_a_folder_may_be_called_by_an_old_word_for_false(file: Path) -> None:
    assert loaded(file, "hub: {folder: no}").folder == file.parent / "no"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hub: {folder: [1]}", "1: hub.folder: not a path"),
        ("\nhub: {url: 5}", "2: hub.url: not a text"),
        ("hub:\n  folder: x\n  ulr: x", "3: hub.ulr: unknown key"),
        ("hub: here", "1: hub: not a mapping"),
        ("- hub", "not a mapping"),
        ("hub: {url: [", "not valid YAML"),
    ],
)
def test_what_is_wrong_with_the_hub_itself_is_told_with_file_and_line(file: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(file, text)
    assert caught.value.message.startswith(str(file))
    assert words in caught.value.message


def test_with_hub_url_nothing_in_the_file_counts(file: Path) -> None:
    file.write_text("hub: [", encoding="utf-8")
    assert load_hub(file, {"HUB_URL": URL}).url == URL
    assert load_hub(None, {"HUB_URL": URL, "REPLICATOR_CONFIG": str(file)}).url == URL
    with pytest.raises(ConfigurationError, match="there is no file"):
        load_hub(file.parent / "other.yaml", {"HUB_URL": URL})


def test_the_hub_is_shown_without_passwords(file: Path) -> None:
    told = shown(parameters(HubAddress(URL + "&sslpassword=secret", file)))
    assert told == "postgresql://me@db.example.com:5433/hub?sslmode=require"
    assert "secret" not in repr(HubAddress(URL, file))
    assert shown(parameters(HubAddress("postgres://hub@/hub?host=/run/pg&port=5432", file))) == (
        "postgresql://hub@/hub?host=/run/pg&port=5432"
    )
    assert shown(parameters(HubAddress("postgresql://[::1]:5433/hub", file))) == "postgresql://[::1]:5433/hub"


@pytest.mark.parametrize("password", ["a secret", "50%", "50%zz", "ge#heim", "wo?", "ä", "a+b", "a%20b", "a:b"])
def test_a_password_is_the_one_that_the_daemon_logs_in_with(file: Path, password: str) -> None:
    url = f"postgresql://me:{password}@db.example.com/hub"
    assert parameters(HubAddress(url, file))["password"] == make_url(url).password


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://h/d", "not mysql"),
        ("postgresql://h:secret:x/d?y", "not a database"),
        ("postgresql://h:secret@h/d?nonsense=1", "not a database"),
    ],
)
def test_what_is_no_url_of_postgresql_is_refused_without_repeating_it(file: Path, url: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parameters(HubAddress(url, file))
    assert words in caught.value.message
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=words):
        connect(url)
