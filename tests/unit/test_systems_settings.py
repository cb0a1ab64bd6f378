"""Settings of a system: secrets, addresses, limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from replicator.connectors.kinds import settings_of
from replicator.connectors.odata.odata_settings import Bearer, ODataSettings
from replicator.errors import ConfigurationError

SECRET = "s3cr3t-of-this-test"


def settings(**more: Any) -> ODataSettings:
    found = settings_of({"kind": "dataverse", "url": "https://sales.test", **more})
    assert isinstance(found, ODataSettings)
    return found


def token_of(found: ODataSettings) -> str:
    assert isinstance(found.auth, Bearer)
    return found.auth.token.get_secret_value()


def bearer(token: object) -> dict[str, object]:
    return {"kind": "bearer", "token": token}


def test_limits_by_kind() -> None:
    assert settings().limits.records_per_read == 5000
    assert settings(kind="finops").limits.records_per_read == 1000
    assert settings(records_per_read=7, writes_per_request=3, parallel_requests=2).limits.records_per_read == 7


def test_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SALES_TOKEN", SECRET)
    found = settings(auth=bearer({"env": "SALES_TOKEN"}))
    assert token_of(found) == SECRET
    assert SECRET not in repr(found)
    assert SECRET not in found.model_dump_json()
    monkeypatch.delenv("SALES_TOKEN")
    with pytest.raises(ConfigurationError, match="SALES_TOKEN"):
        settings(auth=bearer({"env": "SALES_TOKEN"}))


def test_a_secret_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET + "\n")
    file.chmod(0o600)
    assert token_of(settings(auth=bearer({"file": str(file)}))) == SECRET


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o644])
def test_a_file_open_to_others_is_no_secret(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET)
    file.chmod(mode)
    with pytest.raises(ConfigurationError, match="open to others") as caught:
        settings(auth=bearer({"file": str(file)}))
    assert SECRET not in str(caught.value)


def test_files_that_hold_no_secret(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    for file in (empty, tmp_path / "missing", tmp_path):
        with pytest.raises(ConfigurationError, match=file.name):
            settings(auth=bearer({"file": str(file)}))


@pytest.mark.parametrize(
    "bad",
    [
        {"url": "sales.test"},
        {"url": "ftp://sales.test"},
        {"url": "https://sales.test:99999"},
        {"url": "https://sales.test:a"},
        {"url": "https://sales.test", "auth": bearer("two words")},
        {"url": f"https://user:{SECRET}@sales.test"},
        {"url": "https://sales.test/?a=b"},
        {"url": "http://sales.test", "auth": bearer(SECRET)},
        {"auth": bearer({"vault": SECRET})},
        {"auth": bearer("")},
        {"auth": bearer(SECRET + "\n")},
        {"auth": bearer(SECRET + "ä")},
        {"auth": {"kind": "basic", "password": SECRET}},
        {"auth": {**bearer("x"), "extra": SECRET}},
        {"parallel_requests": 0},
        {"colour": SECRET},
    ],
)
def test_errors_never_repeat_what_was_given(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**bad)
    assert SECRET not in str(caught.value)


def test_credentials_travel_encrypted_or_stay_on_this_machine() -> None:
    for url in ("http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080", "https://sales.test"):
        settings(url=url, auth=bearer("x"))
    settings(url="http://sales.test", auth=bearer("x"), allow_plain_http=True)
    settings(url="http://sales.test")
