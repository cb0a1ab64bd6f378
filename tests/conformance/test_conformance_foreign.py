"""Both connectors against an OData service by others, which shares no line and no idea with the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import httpx2
import pytest

from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Applied, Connector, Key, Outcome, Rejected, Stale, Write, keys_only
from replicator.errors import RequestRefused
from tests.conformance.cases import of, spec, text
from tests.fixtures.foreign import Foreign

Kind = Literal["dataverse", "finops"]
ROOTS: dict[Kind, str] = {"dataverse": "/api/data/v9.2", "finops": "/data"}
THING = spec(
    "Things",
    "thingid",
    thingid=of("uuid"),
    name=text(length=100),
    amount=of("decimal"),
    pieces=of("integer"),
    good=of("boolean"),
    born=of("date"),
    seen=of("timestamp"),
)
WARE = spec(
    "Wares",
    "Area",
    "Number",
    Area=text(),
    Number=text(),
    name=text(length=100),
    amount=of("decimal"),
    pieces=of("integer"),
    good=text(),
    seen=of("timestamp"),
)
COMMON = {"name": "Edm.String", "amount": "Edm.Decimal", "pieces": "Edm.Int32", "seen": "Edm.DateTimeOffset"}
SETS = {
    "Things": {"thingid": "Edm.Guid", **COMMON, "good": "Edm.Boolean", "born": "Edm.Date"},
    "Wares": {"Area": "Edm.String", "Number": "Edm.String", **COMMON, "good": "Edm.String"},
}
KEYS = {"Things": ["thingid"], "Wares": ["Area", "Number"]}


@dataclass
class Side:
    """A connector and the foreign service behind it."""

    kind: Kind
    more: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.server = Foreign(ROOTS[self.kind], SETS, KEYS)
        self.spec = THING if self.kind == "dataverse" else WARE
        self.connector = self.connected()

    def connected(self, **more: Any) -> Connector:
        settings = settings_of({"kind": self.kind, "url": f"https://{self.kind}.test", **more})
        return settings.connect(self.kind, transport=self.server.transport)

    def key(self, n: int | str) -> Key:
        return (UUID(int=n),) if self.kind == "dataverse" and isinstance(n, int) else ("a", f"N-{n}")

    def values(self, n: int) -> dict[str, object]:
        values: dict[str, object] = {
            "name": f"O'Neil & söhne {n} / 日本",
            "amount": Decimal("1234567.0123456789") + n,
            "pieces": n,
            "seen": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        }
        odd = {"good": n % 2 == 1, "born": date(1999, 12, 31)} if self.kind == "dataverse" else {"good": "Yes"}
        return values | odd

    def create(self, n: int) -> Write:
        return Write(self.spec, "create", self.key(n), self.values(n))

    def update(self, n: int, etag: str | None = None, **values: object) -> Write:
        return Write(self.spec, "update", self.key(n), values, etag)

    def delete(self, n: int, etag: str | None = None) -> Write:
        return Write(self.spec, "delete", self.key(n), etag=etag)

    def one(self, write: Write) -> Outcome:
        ((outcome,),) = self.connector.apply([(write,)])
        return outcome

    def read(self, token: str | None = None, **more: Any) -> tuple[dict[Key, dict[str, object]], list[Key], str | None]:
        connector = self.connected(**more)
        decode = connector.decoder(self.spec)
        pages = list(connector.read(self.spec, token))
        rows: dict[Key, dict[str, object]] = {}
        for page in pages:
            for row in page.rows:
                image = dict(zip([*self.spec.fields, "etag"], decode(row), strict=True))
                rows[tuple(image.pop(name) for name in self.spec.key)] = image
        return rows, [key for page in pages for key in page.deleted], pages[-1].token


@pytest.fixture(params=["dataverse", "finops"])
def side(request: pytest.FixtureRequest) -> Side:
    return Side(request.param)


def test_a_record_goes_there_and_comes_back_as_it_was(side: Side) -> None:
    outcome = side.one(side.create(1))
    assert isinstance(outcome, Applied), outcome
    rows, _, _ = side.read()
    assert rows == {side.key(1): {**side.values(1), "etag": rows[side.key(1)]["etag"]}}
    assert outcome.image is not None
    assert outcome.image.items() >= side.values(1).items()
    assert outcome.etag == rows[side.key(1)]["etag"]


def test_a_hundred_records_go_in_one_request_and_come_back_in_pages(side: Side) -> None:
    found = side.connector.apply([(side.create(n),) for n in range(100)])
    assert {type(outcome) for (outcome,) in found} == {Applied}
    rows, _, _ = side.read(records_per_read=7)
    assert {key: {**row, "etag": None} for key, row in rows.items()} == {
        side.key(n): {**side.values(n), "etag": None} for n in range(100)
    }


def test_a_sweep_and_the_latest_records_are_served_by_a_service_of_others(side: Side) -> None:
    moments = [datetime(2026, 1, day, 23, 59, 59, tzinfo=UTC) for day in range(1, 8)]
    units = [(replace(side.create(n), values={**side.values(n), "seen": at}),) for n, at in enumerate(moments)]
    side.connector.apply(units)
    decode = side.connector.decoder(keys_only(side.spec))
    swept = [decode(row) for page in side.connected(records_per_read=3).sweep(side.spec) for row in page.rows]
    assert {tuple(key): etag for *key, etag in swept} == {key: row["etag"] for key, row in side.read()[0].items()}
    place = list(side.spec.fields).index("seen")
    for since, latest in ((moments[4], 3), (date(2026, 1, 6), 2)):
        if isinstance(since, datetime) or side.kind == "finops":
            pages = side.connected(records_per_read=2).read_since(side.spec, "seen", since)
            found = {side.connector.decoder(side.spec)(row)[place] for page in pages for row in page.rows}
            assert found == set(moments[-latest:])


def test_a_create_that_is_sent_twice_happens_once(side: Side) -> None:
    side.one(side.create(1))
    assert isinstance(side.one(side.create(1)), Stale | Rejected)
    assert len(side.read()[0]) == 1


def test_updates_and_deletes_keep_to_the_version_they_know(side: Side) -> None:
    first = side.one(side.create(1))
    assert isinstance(first, Applied)
    second = side.one(side.update(1, first.etag, name="New"))
    assert isinstance(second, Applied)
    assert second.image is not None
    assert second.image["name"] == "New"
    assert second.etag != first.etag
    assert isinstance(side.one(side.update(1, first.etag, name="Late")), Stale)
    assert isinstance(side.one(side.delete(1, first.etag)), Stale)
    assert isinstance(side.one(side.delete(1, second.etag)), Applied)
    assert isinstance(side.one(side.delete(1, second.etag)), Applied)
    assert isinstance(side.one(side.update(1, second.etag, name="Gone")), Stale)
    assert side.read()[0] == {}


def test_a_unit_happens_whole_or_not_at_all(side: Side) -> None:
    side.one(side.create(1))
    (good, bad) = side.connector.apply(
        [
            (side.create(2), side.create(3)),
            (side.create(4), side.update(9, 'W/"7"', name="Nobody")),
        ]
    )
    assert {type(outcome) for outcome in good} == {Applied}
    assert not any(isinstance(outcome, Applied) for outcome in bad)
    assert sorted(row["pieces"] for row in side.read()[0].values()) == [1, 2, 3]  # type: ignore[type-var]


def test_records_are_found_by_their_keys(side: Side) -> None:
    side.connector.apply([(side.create(n),) for n in (1, 2)])
    decode = side.connector.decoder(side.spec)
    found = side.connector.fetch(side.spec, [side.key(2), side.key(7), side.key(1)])
    assert [
        None if row is None else dict(zip(side.spec.fields, decode(row), strict=False))["pieces"] for row in found
    ] == [2, None, 1]


@pytest.mark.parametrize(
    "name", ["105E11/74N", "A\\B", "A+B", "50% off", "A B", "Ä", "A#B", "A&B", "A?B", "O'Neil", "A*"]
)
def test_a_record_whose_key_the_service_does_not_decode_is_read_and_is_never_taken_for_gone(name: str) -> None:
    """This service takes addresses in a batch as they stand, encoded: only a filter reaches such a record."""
    side = Side("finops")
    key = ("a", name)
    created = side.one(Write(WARE, "create", key, side.values(1)))
    assert isinstance(created, Applied)
    (row,) = side.connector.fetch(WARE, [key])
    assert row is not None
    changed = side.one(Write(WARE, "update", key, {"name": "New"}, created.etag))
    if name == "O'Neil":  # quotes are doubled and not encoded
        assert isinstance(changed, Applied)
        assert isinstance(side.one(Write(WARE, "delete", key, {}, changed.etag)), Applied)
        return
    for outcome in (changed, side.one(Write(WARE, "delete", key, {}, created.etag))):
        assert isinstance(outcome, Rejected), outcome
        assert "no address reaches it" in outcome.message
    assert len(side.read()[0]) == 1


def test_changes_are_told_with_the_deletes() -> None:
    side = Side("dataverse")
    side.connector.apply([(side.create(n),) for n in range(3)])
    _, _, token = side.read()
    assert token is not None
    first, _, _ = side.read()
    side.one(side.update(1, str(first[side.key(1)]["etag"]), name="New"))
    side.one(side.delete(2, str(first[side.key(2)]["etag"])))
    rows, deleted, later = side.read(token)
    assert [(key, row["name"]) for key, row in rows.items()] == [(side.key(1), "New")]
    assert deleted == [side.key(2)]
    assert later is not None
    assert side.read(later)[:2] == ({}, [])


def test_a_field_that_is_not_there_is_told(side: Side) -> None:
    wrong = spec(side.spec.entity_set, *side.spec.key, **side.spec.fields, nope=text())
    with pytest.raises(RequestRefused, match="nope"):
        list(side.connector.read(wrong, None))


def test_the_service_is_not_the_sandbox(side: Side) -> None:
    client = httpx2.Client(transport=side.server.transport, base_url=f"https://x.test{ROOTS[side.kind]}/")
    assert 'EntityType Name="WaresType"' in client.get("$metadata").text
