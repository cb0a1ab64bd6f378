"""The values of a record over time, in both systems and in common, against what was seen at the time."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from tests.fixtures.world import Systems

LAST = 14
"""The deed that is a delete in any case."""
PLACES = {
    "sales.accounts": "select to_jsonb(t) as row from sales.accounts t where accountnumber = 'A-1'",
    "common.account": "select to_jsonb(t) as row from common.account t where number = 'A-1'",
    "ops.CustomersV3": "select to_jsonb(t) as row from ops.customers_v3 t where customer_account = 'A-1'",
}
Seen = Mapping[str, Mapping[str, Any]]


@dataclass
class Life:
    """One account and what people do with it; after each deed a picture of all places is kept, with the moment."""

    systems: Systems
    random: Random
    pictures: list[tuple[datetime.datetime, Seen]] = field(default_factory=list)
    key: str | None = None
    deeds: int = 0

    def live(self, deeds: int) -> None:
        for _ in range(deeds):
            self.deeds += 1
            changes = [self._change_in_sales, self._change_in_ops, self._change_in_common, self._delete]
            (self._delete if self.deeds == LAST else self.random.choice(changes))()
            works: list[Callable[[], object]] = [self.systems.once, self.systems.cycle.read, lambda: None]
            (self.systems.once if self.deeds >= LAST - 1 else self.random.choice(works))()
            self._take_picture()

    def _change_in_sales(self) -> None:
        values = {
            "name": f"Name {self.deeds}",
            "creditlimit": self.deeds,
            "telephone1": self.random.choice([None, "1"]),
        }
        if self.key is None:
            self.key = str(self.systems.account("A-1", **values)["accountid"])
        else:
            self.systems.sales.put("accounts", {"accountid": self.key, **values})

    def _change_in_ops(self) -> None:
        if self.systems.held("ops", "CustomersV3", CustomerAccount="A-1"):
            self.systems.ops.put(
                "CustomersV3",
                {"dataAreaId": "usmf", "CustomerAccount": "A-1", "OrganizationName": f"Drift {self.deeds}"},
            )

    def _change_in_common(self) -> None:
        self.systems.run(
            "update common.account set description = :words where number = 'A-1'", words=f"By hand {self.deeds}"
        )

    def _delete(self) -> None:
        """In sales; sometimes in ops, too, so that it is made anew there."""
        if self.key is not None and (self.deeds == LAST or self.random.random() < 0.5):
            self.systems.sales.delete("accounts", self.key)
            self.key = None
            if self.random.random() < 0.5 and self.systems.held("ops", "CustomersV3", CustomerAccount="A-1"):
                self.systems.ops.delete("CustomersV3", "usmf", "A-1")

    def _take_picture(self) -> None:
        seen = {place: [plain(row["row"]) for row in self.systems.rows(query)] for place, query in PLACES.items()}
        ((moment),) = (row["now"] for row in self.systems.rows("select clock_timestamp() as now"))
        self.pictures.append((moment, {place: rows[0] for place, rows in seen.items() if rows}))


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is the hub's own."""
    return {name: value for name, value in row.items() if name not in ("id", "etag", "digest")}


@pytest.fixture(autouse=True)
def reference_data(systems: Systems) -> None:
    """What sales needs, and another account, for an entity set that shows nothing is held."""
    systems.reference_data()
    systems.account("A-0")
    systems.once()


def as_of(systems: Systems, moment: datetime.datetime) -> list[dict[str, Any]]:
    """Each place at a moment."""
    return systems.rows("select * from sync.as_of('account', 'A-1', :moment)", moment=moment)


def history(systems: Systems, kind: str = "account", key: str = "A-1") -> list[dict[str, Any]]:
    """All changes."""
    return systems.rows("select * from sync.history(:kind, :key)", kind=kind, key=key)


def replayed(changes: list[dict[str, Any]], moment: datetime.datetime) -> Seen:
    """What the history up to a moment comes to."""
    found: dict[str, dict[str, Any]] = {}
    for row in changes:
        if row["at"] > moment:
            continue
        if row["operation"] == "created":
            found[row["place"]] = dict(row["after"])
        elif row["operation"] == "deleted":
            assert found.pop(row["place"]) == row["before"]
        else:
            assert found[row["place"]][row["field"]] == row["before"]
            found[row["place"]][row["field"]] = row["after"]
    return found


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_each_moment_is_told_as_it_was_seen(systems: Systems, seed: int) -> None:
    life = Life(systems, Random(seed))
    life.live(LAST)
    changes = history(systems)
    assert len({len(picture) for _, picture in life.pictures}) > 1, "the account came, or went"
    for moment, picture in life.pictures:
        told = as_of(systems, moment)
        assert all(row["known"] for row in told)
        assert {row["place"]: row["record"] for row in told} == picture
        assert replayed(changes, moment) == picture


def test_each_change_says_who_made_it(systems: Systems) -> None:
    account = systems.account("A-1")
    systems.once()
    systems.sales.put("accounts", {"accountid": account["accountid"], "creditlimit": 5})
    systems.once()
    systems.run("update common.account set description = 'x' where number = 'A-1'")
    told = [
        (row["place"], row["operation"], row["origin"], row["field"], row["before"], row["after"])
        for row in history(systems) if row["operation"] == "changed"
    ]  # fmt: skip
    me = systems.rows("select session_user::text as me")[0]["me"]
    assert told == [
        ("sales.accounts", "changed", "snapshot:sales", "creditlimit", None, 5),
        ("common.account", "changed", "merge:sales", "credit_limit", None, 5),
        ("ops.CustomersV3", "changed", "deliver:ops", "credit_limit", None, 5),
        ("common.account", "changed", me, "description", None, "x"),
    ]


def test_a_part_that_was_deleted_with_its_whole_still_has_a_history(systems: Systems) -> None:
    systems.product("P-1")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.quote("Q-2", systems.account("A-2"), ["P-1"])
    systems.once()
    systems.delete_quote(quote)
    systems.once()
    told = [(row["place"], row["operation"]) for row in history(systems, "quote_line", "Q-1,1")]
    assert ("common.quote_line", "created") in told
    assert ("common.quote_line", "deleted") in told
    assert ("ops.CDSSalesQuotationLines", "deleted") in told


def test_what_is_older_than_the_log_is_not_made_up(systems: Systems) -> None:
    account = systems.account("A-1", creditlimit=1)
    systems.once()
    before = systems.rows("select clock_timestamp() as now")[0]["now"]
    systems.sales.put("accounts", {"accountid": account["accountid"], "creditlimit": 2})
    systems.once()
    after = systems.rows("select clock_timestamp() as now")[0]["now"]
    systems.sales.put("accounts", {"accountid": account["accountid"], "creditlimit": 3})
    systems.once()
    # As if the days up to then had been dropped.
    systems.run("delete from log.change where at < :until", until=after)
    for image in ("sales_accounts", "common_account", "ops_customers_v3"):
        systems.run(f"delete from log.{image} where at < :until", until=after)
    assert {(row["place"], row["record"], row["known"]) for row in as_of(systems, before)} == {
        (place, None, False) for place in PLACES
    }
    known = [row for row in history(systems) if row["operation"] == "known"]
    assert [(row["at"], row["place"]) for row in known] == [(None, place) for place in sorted(PLACES)]
    limits = [row["after"].get("creditlimit", row["after"].get("credit_limit")) for row in known]
    assert limits == [2, 2, 2]


def test_nothing_is_known_of_a_record_before_it_was_made(systems: Systems) -> None:
    before = systems.rows("select clock_timestamp() as now")[0]["now"]
    systems.account("A-1")
    systems.once()
    assert as_of(systems, before) == []
    assert history(systems, "account", "A-9") == []
