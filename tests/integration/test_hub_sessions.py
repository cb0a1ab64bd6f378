"""Sessions on the hub: they set what the program relies on, whatever is set around them, and are renewed."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from replicator.errors import ConfigurationError, HubMismatch, HubUnavailable, Terminal
from replicator.hub import embedded, embedded_hub
from replicator.hub.address import HubAddress
from replicator.hub.connection import connect
from replicator.hub.server import open_engine
from replicator.hub.session import open_hub
from tests.fixtures.pooler import Mode, pooler
from tests.fixtures.postgres import name_of

STRANGE = {
    "datestyle": "German", "intervalstyle": "iso_8601", "timezone": "Asia/Tokyo", "search_path": "log",
    "standard_conforming_strings": "off", "bytea_output": "escape", "default_transaction_isolation": "serializable",
    "transform_null_equals": "on", "extra_float_digits": "-5", "quote_all_identifiers": "on", "array_nulls": "off",
}  # fmt: skip
ASKED = "select date '2026-12-31', interval '1 day 2 hours', decode('615c62', 'hex'), now()"


@pytest.fixture
def strange(hub_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A hub whose database and whose client's environment have other ideas of everything."""
    with psycopg.connect(hub_url, autocommit=True) as owner:
        for name, value in STRANGE.items():
            setting = sql.SQL("alter database {} set {} = {}")
            owner.execute(setting.format(sql.Identifier(name_of(hub_url)), sql.Identifier(name), sql.Literal(value)))
    for name, value in (("PGDATESTYLE", "SQL, DMY"), ("PGTZ", "Asia/Tokyo"), ("PGCLIENTENCODING", "SQL_ASCII")):
        monkeypatch.setenv(name, value)
    return hub_url


def test_sessions_mean_the_same_by_texts_whatever_database_and_environment_say(strange: str) -> None:
    engine = connect(strange)
    with engine.connect() as connection, open_hub(HubAddress(strange, Path())) as session:
        told = [tuple(connection.execute(sa.text(ASKED)).one()), session.execute(ASKED).fetchone() or ()]
        shown = [session.execute("select current_setting(%s)", (name,)).fetchone() for name in STRANGE]
        text = session.execute("select 'Köln'").fetchone()
    engine.dispose()
    for day, pause, data, moment in told:
        assert (day, pause) == (datetime.date(2026, 12, 31), datetime.timedelta(days=1, hours=2))
        assert data == b"a\\b"
        assert moment.utcoffset() == datetime.timedelta(0)
    assert not {(name, *(row or ())) for name, row in zip(STRANGE, shown, strict=True)} & set(STRANGE.items())
    assert text == ("Köln",)


@pytest.mark.parametrize(("setting", "value", "code"), [
    ("default_transaction_read_only", "on", "25006"), ("statement_timeout", "1ms", "57014"),
])  # fmt: skip
def test_a_session_that_fails_for_what_was_set_when_it_began_is_followed_by_a_new_one(
    hub_url: str, setting: str, value: str, code: str
) -> None:
    work = "insert into sync.decision (by, action, what, records) select 'me', 'x', 'y', 1 from pg_sleep(0.01)"
    database = sql.Identifier(name_of(hub_url))
    engine = connect(hub_url)
    with psycopg.connect(hub_url, autocommit=True, options=f"-c {setting}=0") as owner:
        owner.execute(sql.SQL("alter database {} set {} = {}").format(database, sql.Identifier(setting), value))
        with pytest.raises(sa.exc.DBAPIError) as failed, engine.begin() as connection:
            connection.execute(sa.text(work))
        assert isinstance(failed.value.orig, psycopg.Error)
        assert failed.value.orig.sqlstate == code
        owner.execute(sql.SQL("alter database {} reset {}").format(database, sql.Identifier(setting)))
    with engine.begin() as connection:
        connection.execute(sa.text(work))
    engine.dispose()


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_pooler_that_gives_each_transaction_another_session_is_refused_at_the_start(hub_url: str, mode: Mode) -> None:
    place = sa.make_url(hub_url)
    with pooler(f"{place.query['host']}/.s.PGSQL.5432", mode) as port:
        url = f"postgresql://hub@127.0.0.1:{port}/{place.database}?sslmode=disable&gssencmode=disable"
        if mode == "session":
            with open_hub(HubAddress(url, Path())) as session:
                assert session.execute("select 1").fetchone() == (1,)
            open_engine(url, Path()).dispose()
            return
        with pytest.raises(HubMismatch, match="pooler that gives each transaction another session"):
            open_engine(url, Path())
        with pytest.raises(HubMismatch, match="pool_mode"), open_hub(HubAddress(url, Path())):
            pass


STRANGERS = {
    "PGSERVICE": "nothing", "PGHOSTADDR": "192.0.2.1", "PGCHANNELBINDING": "require", "PGPORT": "1",
    "PGTARGETSESSIONATTRS": "read-only", "PGOPTIONS": "-c default_transaction_read_only=on", "PGSSLMODE": "verify-full",
    "PGREQUIREAUTH": "scram-sha-256", "PGREQUIREPEER": "nobody-at-all", "PGUSER": "stranger", "PGDATABASE": "other",
}  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder for a server; what runs in it ends with the test."""
    yield tmp_path / "hub"
    embedded.stop(tmp_path / "hub")


def test_the_embedded_server_is_nobodys_but_ours_whatever_the_environment_says_to_libpq(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="HUB_URL is set and empty, and there is no hub in"):
        embedded_hub.url_of(home, "made", {"HUB_URL": ""})
    for wanted in ("started", "running"):
        with pytest.raises(Terminal, match="there is no hub in"):
            embedded_hub.url_of(home, wanted, {})
    assert not home.exists(), "nothing was made"
    for name, value in STRANGERS.items():
        monkeypatch.setenv(name, value)
    url = embedded_hub.url_of(home, "made")
    with psycopg.connect(url) as session:
        assert session.execute("select current_user, current_setting('default_transaction_read_only')").fetchone() == (
            "hub",
            "off",
        )
    embedded.stop(home)
    with pytest.raises(HubUnavailable, match="is down") as down:
        embedded_hub.url_of(home, "running")
    assert "hub up" in down.value.hint
    assert embedded_hub.url_of(home, "started") == embedded_hub.url_of(home, "running")


def test_an_engine_finds_the_embedded_server_again_after_another_start(tmp_path: Path) -> None:
    home = tmp_path / ("a folder whose path is too long for a socket" * 3) / "hub"
    first = embedded_hub.url_of(home, "made")
    engine = connect(first)
    embedded_hub.follow(engine, home)
    embedded.stop(home)
    assert embedded_hub.url_of(home, "started") != first
    with engine.connect() as connection:
        assert connection.execute(sa.text("select 1")).scalar_one() == 1
    engine.dispose()
    embedded.stop(home)
