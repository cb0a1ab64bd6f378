"""The configuration: what wins over what, where secrets come from, and that none of them is ever shown."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from replicator.config import Configuration, load
from replicator.errors import ConfigurationError
from replicator.hub.address import load_hub

SECRET = "s3cr3t-Wort!"
TEMPLATE = Path(__file__).resolve().parent.parent.parent / "replicator.yaml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "replicator.yaml"


def configured(file: Path, text: str, **environment: str) -> Configuration:
    file.write_text(text, encoding="utf-8")
    return load(file, environment)


def refused(file: Path, text: str, **environment: str) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        configured(file, text, **environment)
    return caught.value


def with_auth(auth: str) -> str:
    return f"systems:\n  sales:\n    kind: dataverse\n    url: https://crm.example.com\n    auth: {auth}\n"


def bearer(secret: str) -> str:
    return with_auth(f"{{kind: bearer, token: {secret}}}")


def token_of(found: Configuration) -> str:
    sales: Any = found.systems["sales"]
    return str(sales.auth.token.get_secret_value())


def test_hub_url_of_the_environment_wins_over_the_file(file: Path) -> None:
    found = configured(file, "hub: {url: 'postgresql://file/hub'}", HUB_URL="postgresql://environment/hub")
    assert found.hub.url == "postgresql://environment/hub"


def test_without_hub_url_the_file_counts(file: Path) -> None:
    assert configured(file, "hub: {url: 'postgresql://file/hub'}").hub.url == "postgresql://file/hub"


def test_an_empty_hub_url_is_none(file: Path) -> None:
    assert configured(file, "hub: {url: 'postgresql://file/hub'}", HUB_URL="").hub.url == "postgresql://file/hub"


def test_without_any_url_the_hub_is_an_embedded_one_beside_the_file(file: Path) -> None:
    found = configured(file, "")
    assert found.hub.url is None
    assert found.hub.folder == file.parent / "hub"


def test_where_the_hub_is_can_be_read_without_the_secrets_of_the_systems(file: Path) -> None:
    file.write_text(f"hub: {{folder: data}}\n{bearer('{env: NO_SUCH_VARIABLE}')}", encoding="utf-8")
    assert load_hub(file, {}).folder == file.parent / "data"
    assert load_hub(file, {"HUB_URL": "postgresql://h/d"}).url == "postgresql://h/d"
    file.write_text("hub: {folder: [1]}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"hub\.folder: not a path"):
        load_hub(file, {})


def test_the_files_of_a_certificate_start_at_the_file_too(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hints = "{url: 'https://hub.example.com', key: {env: HINTS_KEY}, certificate: a.pem, certificate_key: /b.pem}"
    monkeypatch.setenv("HINTS_KEY", "a-key-that-nobody-guesses")
    found = configured(file, f"hints: {hints}").hints
    assert found is not None
    assert (found.certificate, found.certificate_key) == (file.parent / "a.pem", Path("/b.pem"))
    assert configured(file, "").hints is None


def test_relative_paths_start_at_the_file(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.chdir("/")
    found = configured(file, "hub: {folder: data/hub}\nschema: own\n")
    assert found.hub.folder == file.parent / "data" / "hub"
    assert found.schema_folder == file.parent / "own"


def test_absolute_paths_stay(file: Path) -> None:
    found = configured(file, "hub: {folder: /srv/hub}\nschema: /srv/schema\n")
    assert (found.hub.folder, found.schema_folder) == (Path("/srv/hub"), Path("/srv/schema"))


def test_a_missing_file_is_an_error_that_says_how_to_make_one(file: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert str(file) in caught.value.message
    assert "init" in caught.value.hint


def test_without_a_name_and_without_a_file_the_defaults_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(None, {"HUB_URL": "postgresql://h/d"}).hub.url == "postgresql://h/d"


def test_the_template_is_a_valid_configuration(file: Path) -> None:
    found = configured(file, TEMPLATE.read_text(encoding="utf-8"))
    assert set(found.systems) == {"sales", "ops"}
    assert found.hub.url is None


def test_the_template_explains_every_top_level_key(file: Path) -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, field in Configuration.model_fields.items():
        assert f"{field.alias or name}:" in text


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("hubs: {}", 1, "hubs"),
        ("hub:\n  uri: postgresql://h/d", 2, "hub.uri"),
        ("daemon:\n  poll_seconds: 5\n  poll: 1", 3, "daemon.poll"),
        ("systems:\n  sales:\n    kind: dataverse\n    url: http://x\n    speed: 1", 5, "systems.sales.speed"),
        ("deletes: {share: 0.1, part: 1}", 1, "deletes.part"),
    ],
)
def test_an_unknown_key_is_named_with_its_line(file: Path, text: str, line: int, field: str) -> None:
    message = refused(file, text).message
    assert f"{file}:{line}: {field}: " in message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("daemon: {poll_seconds: 0}", 1, "daemon.poll_seconds: has to be greater than 0"),
        ("daemon: {poll_seconds: often}", 1, "daemon.poll_seconds: has to be a number"),
        ("deletes: {share: 2}", 1, "deletes.share: has to be at most 1"),
        (
            "systems:\n  sales:\n    kind: oracle\n    url: http://x",
            3,
            "systems.sales.kind: has to be one of 'dataverse', 'finops', 'jsonl'",
        ),
        ("systems:\n  sales:\n    kind: dataverse", 2, "systems.sales.url: missing, and required"),
        ("systems:\n  sales:\n    kind: dataverse\n    url: crm.example.com", 4, "systems.sales.url"),
        ("systems:\n  sales:\n    kind: dataverse\n    url: ftp://x", 4, "systems.sales.url"),
        (
            "systems:\n  sales:\n    kind: jsonl\n    folder: x\n    url: http://x",
            5,
            "systems.sales.url: unknown key (possible: kind, parallel_requests, time_zone, folder, records_per_read,",
        ),
        (
            "systems:\n  sales:\n    kind: dataverse\n    url: http://x\n    track_change: true",
            5,
            "systems.sales.track_change: unknown key; did you mean 'track_changes'?",
        ),
        ("systems: []", 1, "systems: has to be a mapping"),
        ("hub: 5", 1, "hub: has to be a mapping"),
        ("- hub: 5", 1, "replicator.yaml:1: has to be a mapping"),
        (with_auth("{kind: basic}"), 5, "systems.sales.auth.kind: has to be one of 'none', 'bearer'"),
        (with_auth("{}"), 5, "systems.sales.auth: has to say its 'kind'"),
        ("daemon: {poll_seconds: .nan}", 1, "number"),
        ("daemon: {poll_seconds: .inf}", 1, "number"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(file: Path, text: str, line: int, words: str) -> None:
    problem = refused(file, text)
    assert f"{file}:{line}: " in problem.message
    assert words in problem.message
    assert "docs/configuration.md" in problem.hint
    assert "replicator init" in problem.hint


def test_bad_yaml_is_told_with_file_and_line(file: Path) -> None:
    assert f"{file}:3: not valid YAML" in refused(file, "hub:\n  folder: [a\n").message


def test_a_key_given_twice_is_an_error(file: Path) -> None:
    assert "'hub' stands here twice" in refused(file, "hub: {}\nhub: {}\n").message


def test_several_problems_are_told_at_once(file: Path) -> None:
    assert len(refused(file, "hubs: {}\ndaemon: {poll: 1}\ndeletes: {share: 2}\n").message.splitlines()) == 3


def test_a_secret_comes_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", SECRET)
    assert token_of(configured(file, bearer("{env: A_TOKEN}"))) == SECRET


@pytest.mark.parametrize("value", [None, ""])
def test_a_secret_that_the_environment_lacks_is_named(
    file: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("A_TOKEN", raising=False)
    if value is not None:
        monkeypatch.setenv("A_TOKEN", value)
    assert "A_TOKEN" in refused(file, bearer("{env: A_TOKEN}")).message


def test_a_secret_comes_from_a_file_without_its_line_end(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(f"{SECRET}\n", encoding="utf-8")
    secret.chmod(0o600)
    assert token_of(configured(file, bearer(f"{{file: {secret}}}"))) == SECRET


def test_the_path_of_a_secret_starts_at_the_configuration_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "token"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    monkeypatch.chdir("/")
    assert token_of(configured(file, bearer("{file: token}"))) == SECRET


def test_a_secret_file_is_read_again_whenever_the_secret_is_asked_for(file: Path, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(0o600)
    found = configured(file, bearer(f"{{file: {secret}}}"))
    secret.write_text("another\n", encoding="utf-8")
    assert token_of(found) == "another"
    secret.unlink()
    assert token_of(found) == "another", "what it held last, while it is being replaced"


@pytest.mark.parametrize("mode", [0o440, 0o640])
def test_a_secret_file_may_be_read_by_a_group_that_the_program_runs_in_and_by_no_other(
    file: Path, tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "token"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(mode)
    assert token_of(configured(file, bearer(f"{{file: {secret}}}"))) == SECRET
    monkeypatch.setattr(os, "getegid", lambda: 12345)
    monkeypatch.setattr(os, "getgroups", lambda: [12346])
    problem = refused(file, bearer(f"{{file: {secret}}}"))
    assert "open to others" in problem.message
    assert "640" in problem.hint


@pytest.mark.parametrize("mode", [0o604, 0o660, 0o644])
def test_a_secret_file_that_others_may_read_is_refused(file: Path, tmp_path: Path, mode: int) -> None:
    secret = tmp_path / "token"
    secret.write_text(SECRET, encoding="utf-8")
    secret.chmod(mode)
    problem = refused(file, bearer(f"{{file: {secret}}}"))
    assert str(secret) in problem.message
    assert "chmod 600" in problem.hint


@pytest.mark.parametrize("content", [None, b"", b"\n", b" \t\n", b"\xff\xfe"])
def test_a_secret_file_without_a_secret_is_refused(file: Path, tmp_path: Path, content: bytes | None) -> None:
    secret = tmp_path / "token"
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(0o600)
    assert str(secret) in refused(file, bearer(f"{{file: {secret}}}")).message


def test_a_pipe_is_no_secret_file_for_it_cannot_be_read_again(file: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)
    assert "no plain file" in refused(file, bearer(f"{{file: {tmp_path / 'token'}}}")).message


def test_a_secret_written_out_in_the_file_is_refused(file: Path) -> None:
    problem = refused(file, bearer(f'"{SECRET}"'))
    assert "systems.sales.auth.token" in problem.message
    assert SECRET not in str(problem)


def test_a_secret_is_not_shown_with_the_configuration(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", SECRET)
    found = configured(file, bearer("{env: A_TOKEN}"))
    for shown in (repr(found), str(found), str(found.model_dump()), found.model_dump_json()):
        assert SECRET not in shown


def test_the_password_of_the_hub_is_not_shown_with_the_configuration(file: Path) -> None:
    found = configured(file, "", HUB_URL=f"postgresql://me:{SECRET}@h/d")
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    "text",
    [
        with_auth(f"{{kind: bearer, token: {{wort: {SECRET}}}}}"),
        with_auth(f"{{kind: bearer, token: [{SECRET}]}}"),
        with_auth(f"{{kind: bearer, tokens: {SECRET}}}"),
        with_auth(f"{{kind: bearers, token: {SECRET}}}"),
        with_auth(f"{{kind: none, token: {SECRET}}}"),
        with_auth(f"{{kind: client_credentials, client_secret: {SECRET}}}"),
        with_auth(SECRET),
        f"systems: {{sales: {{kind: dataverse, url: 'https://me:{SECRET}@x'}}}}",
        f"systems: {{sales: {{kind: dataverse, url: 'http://x', auth: {{kind: bearer, token: {SECRET}}}}}}}",
        f"hub: {{url: ['postgresql://me:{SECRET}@h/d']}}",
    ],
)
def test_no_error_repeats_what_may_be_a_secret(file: Path, text: str) -> None:
    problem = refused(file, text)
    assert SECRET not in "".join(traceback.format_exception(problem))


def test_credentials_do_not_travel_unencrypted(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", SECRET)
    text = bearer("{env: A_TOKEN}").replace("https:", "http:")
    assert "unencrypted" in refused(file, text).message


@pytest.mark.parametrize("content", [b"hub: \xff", b"\x00", b"\xef\xbb\xbfhub: {}\x07"])
def test_a_file_that_is_no_text_is_an_error_that_names_it(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert str(file) in caught.value.message


def test_a_folder_in_place_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, {})
    assert str(tmp_path) in caught.value.message


keys = st.sampled_from(
    ["hub", "url", "folder", "schema", "systems", "sales", "ops", "kind", "auth", "token", "env", "file", "deletes",
     "count", "share", "daemon", "poll_seconds", "records", "organization", "delete_budgets", "client_secret"]
)  # fmt: skip
leaves = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6), st.dates(),
    st.sampled_from(["dataverse", "finops", "https://x.example", "bearer", "none", "client_credentials"]),
)  # fmt: skip
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | leaves, inner, max_size=4), max_leaves=15
)


def only_configuration_errors(file: Path) -> None:
    message = str(file)
    try:
        load(file, {})
    except ConfigurationError as problem:
        message = problem.message
    assert str(file) in message or "environment" in message or "secret" in message
    assert "Input should" not in message


@given(tree=trees)
def test_whatever_the_file_says_only_a_configuration_error_comes_out(file: Path, tree: object) -> None:
    file.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    only_configuration_errors(file)


@given(text=st.text(max_size=40), at=st.integers(min_value=0), cut=st.integers(0, 20))
def test_whatever_is_typed_into_the_file_only_a_configuration_error_comes_out(
    file: Path, text: str, at: int, cut: int
) -> None:
    before = TEMPLATE.read_text(encoding="utf-8")
    at %= len(before)
    file.write_bytes((before[:at] + text + before[at + cut :]).encode("utf-8", "surrogatepass"))
    only_configuration_errors(file)
