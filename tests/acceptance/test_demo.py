"""The demonstration runs to its end by itself, shows every case, and leaves nothing out of step without a word."""

from __future__ import annotations

from pathlib import Path

from replicator.hub.states import COLUMNS
from tests.fixtures.commands import Workplace

ENDS = {
    "sales.transactioncurrencies > currency": {"mirrored": 2, "in_step": 2},
    "sales.uoms > unit": {"mirrored": 1, "in_step": 1},
    "ops.SellableReleasedProducts > product": {"mirrored": 12, "in_step": 12},
    "product > sales.products": {"mirrored": 13, "in_step": 12},  # and OWN-0001, not linked
    "sales.accounts > account": {"mirrored": 13, "in_step": 13},
    "sales.contacts > account": {"mirrored": 15, "in_step": 3},  # the others are contacts in common
    "account > ops.CustomersV3": {"mirrored": 15, "in_step": 15, "rejected": 1},  # AC-0091
    "sales.contacts > contact": {"mirrored": 15, "in_step": 12},
    "contact > ops.CDSContactPersonsV2": {"mirrored": 13, "in_step": 12},  # and CO-0001 at AC-0008, not linked any more
    "sales.quotes > quote": {"mirrored": 15, "in_step": 15},
    "sales.quotedetails > quote_line": {"mirrored": 40, "in_step": 40},
    "quote > ops.CDSSalesQuotationHeaders": {"mirrored": 13, "in_step": 13, "not_eligible": 2},  # QU-0014, QU-0015
}
COUNTS = ("mirrored", "in_step", *COLUMNS)
LEFT_OVER = (
    "rejected      account > ops.CustomersV3  AC-0091",
    "not eligible  quote > ops.CDSSalesQuotationHeaders  QU-0014",
    "not eligible  quote > ops.CDSSalesQuotationHeaders  QU-0015",
    "not linked    sales.products  OWN-0001",
    "not linked    ops.CDSContactPersonsV2  CO-0001",
)


def test_the_demonstration_plays_to_its_end_and_shows_every_case(tmp_path: Path) -> None:
    told = Workplace(tmp_path, None).run("demo", "--json", patience=280)
    assert told.code == 0, told.told
    assert "Traceback" not in told.told
    for words in ("blocked", "waits for", "not eligible", "rejected", "sent", "merged", "held"):
        assert words in told.err
    assert "$ replicator approve --flow 'product > sales.products'" in told.err
    assert "11 records may go ahead\nsent     product > sales.products: 11 applied" in told.err

    flows = told.json["flows"]
    assert {row["flow"]: {name: row[name] for name in COUNTS if row[name]} for row in flows} == ENDS
    last = told.err.rpartition("People work in both systems")[2]
    assert [line for line in LEFT_OVER if line not in last] == []


def test_a_folder_with_an_earlier_demonstration_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    kept = tmp_path / "there" / "replicator.yaml"
    kept.parent.mkdir()
    kept.write_text("as it was", encoding="utf-8")
    told = Workplace(tmp_path, None).tell("demo", "--folder", "there")
    assert told.code == 1
    assert "error: there is not empty" in told.err
    assert "next: give another --folder; or remove this one" in told.err
    assert [*kept.parent.iterdir()] == [kept]
    assert kept.read_text(encoding="utf-8") == "as it was"
