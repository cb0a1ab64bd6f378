"""Wholes and their parts on the way in: no quote goes out without a line that could not be read, or not yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from replicator.mapping.schema import EntitySet
from tests.fixtures.world import Systems

HEADERS, LINES = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"


@pytest.fixture
def account(systems: Systems) -> Mapping[str, Any]:
    """An account; a product is in both systems already."""
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    return systems.account("A-1")


def lines(systems: Systems) -> list[tuple[str, int, Any]]:
    """The lines that ops holds: quotation, sequence, quantity."""
    return sorted(
        (line["SalesQuotationNumber"], line["LineCreationSequenceNumber"], line["RequestedSalesQuantity"])
        for line in systems.ops.records(LINES)
    )


def test_a_line_that_could_not_be_taken_in_holds_its_quote_and_no_other(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    line = systems.line(quote, 2, "P-1", quantity="many")
    systems.quote("Q-2", account, ["P-1"])
    systems.settle()
    assert lines(systems) == [("Q-2", 1, 1)]
    said = systems.why("blocked")["Q-1"]
    assert said.startswith(f"quote_line 2 ({line['quotedetailid']}) that could not be taken in: quantity: 'many'")
    systems.change_line(quote, 2, quantity=4)
    systems.settle()
    assert lines(systems) == [("Q-1", 1, 1), ("Q-1", 2, 4), ("Q-2", 1, 1)]
    assert systems.why("blocked") == {}


@pytest.mark.parametrize("whole", [False, True])
def test_a_bad_line_that_is_deleted_releases_its_quote(
    systems: Systems, account: Mapping[str, Any], whole: bool
) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.line(quote, 2, "P-1", quantity="many")
    systems.settle()
    assert lines(systems) == []
    with systems.revising(quote) as draft:
        systems.delete_line(draft, 2)
    systems.cycle.once(whole=whole)
    assert lines(systems) == [("Q-1", 1, 1)]
    assert len(systems.rows("select * from sync.quarantine")) == 1, "the closed quote has the bad line still"
    systems.delete_quote(quote)
    systems.cycle.once(whole=whole)
    assert lines(systems) == [("Q-1", 1, 1)]
    assert systems.rows("select * from sync.quarantine") == []


def test_a_delivered_line_that_turns_bad_keeps_its_quotation_as_it_was(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, ["P-1"])
    systems.settle()
    line = systems.line_of(systems.change_quote(quote, name="New"), 1)
    # Nobody can type this: a value that cannot be read is planted.
    systems.sales.put("quotedetails", {"quotedetailid": line["quotedetailid"], "quantity": "many"})
    systems.settle()
    assert systems.ops.records(HEADERS)[0]["SalesQuotationName"] == "Quote Q-1"
    assert "that could not be taken in" in systems.why("blocked")["Q-1"]
    systems.change_line(quote, 1, quantity=2)
    systems.settle()
    assert systems.ops.records(HEADERS)[0]["SalesQuotationName"] == "New"
    assert lines(systems) == [("Q-1", 1, 2)]


def test_a_bad_line_of_which_not_even_the_quote_can_be_read_is_shown(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    systems.quote("Q-1", account, ["P-1"])
    # Sales makes no line without a quote: what cannot be read is planted.
    systems.sales.put("quotedetails", {"quotedetailid": "6f9619ff-8b86-4011-b42d-00c04fc964ff", "sequencenumber": 2,
                                       "_quoteid_value": "?"})  # fmt: skip
    systems.settle()
    assert lines(systems) == [("Q-1", 1, 1)]
    assert list(systems.why("failed")) == ["2 (6f9619ff-8b86-4011-b42d-00c04fc964ff)"]


def before_reading(systems: Systems, name: str, act: Callable[[], object]) -> list[str]:
    """Do something right before an entity set of sales is read, once; the sets as they are read from now on."""
    read: list[str] = []

    def reading(entity_set: EntitySet) -> None:
        if entity_set.name == name and name not in read:
            act()
        read.append(entity_set.name)

    systems.problems.reading = reading  # type: ignore[method-assign]
    return read


def test_what_others_point_at_is_read_before_them_and_wholes_before_their_parts(systems: Systems) -> None:
    read = before_reading(systems, "", lambda: None)
    systems.cycle.read()
    for first, then in [
        ("transactioncurrencies", "accounts"), ("uoms", "products"), ("accounts", "contacts"), ("contacts", "quotes"),
        ("products", "quotedetails"), ("quotes", "quotedetails"), ("CustomersV3", "CDSSalesQuotationHeaders"),
    ]:  # fmt: skip
        assert read.index(first) < read.index(then)


def test_a_quote_made_while_sales_is_read_goes_out_with_its_lines_or_not_at_all(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    before_reading(systems, "quotedetails", lambda: systems.quote("Q-1", account, ["P-1"]))
    systems.cycle.read()
    systems.cycle.settle()
    assert systems.ops.records(HEADERS) == []
    systems.settle()
    assert lines(systems) == [("Q-1", 1, 1)]


def test_a_quote_that_was_read_waits_until_the_lines_were_read_too(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    """As in the daemon, where merging and delivering go on while a system is read."""
    systems.once()
    systems.quote("Q-1", account, ["P-1"])

    def look_in_the_middle() -> None:
        systems.cycle.settle()
        assert systems.rows("select number from common.quote") == [{"number": "Q-1"}]
        assert systems.ops.records(HEADERS) == []

    before_reading(systems, "quotedetails", look_in_the_middle)
    systems.cycle.read()
    systems.cycle.settle()
    assert lines(systems) == [("Q-1", 1, 1)]
    sent = systems.sent("ops", "CDSSalesQuotation[A-Za-z]*")
    assert [each.method for each in sent] == ["POST", "POST"]


def test_a_revision_of_which_a_line_cannot_be_merged_changes_nothing_in_ops(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    quote = systems.quote("Q-1", account, ["P-1", "P-1"])
    systems.settle()
    with systems.revising(quote) as draft:
        systems.edit(draft, name="Revised")
        systems.edit_line(draft, 1, quantity=41)
        (second,) = systems.held("sales", "quotedetails", _quoteid_value=draft["quoteid"], sequencenumber=2)
        systems.sales.put("quotedetails", {"quotedetailid": second["quotedetailid"], "sequencenumber": None})
    systems.once()
    assert lines(systems) == [("Q-1", 1, 1), ("Q-1", 2, 1)]
    assert systems.held("ops", HEADERS)[0]["SalesQuotationName"] != "Revised"
    assert "to be merged" in systems.why("blocked")["Q-1"]
    systems.sales.put("quotedetails", {"quotedetailid": second["quotedetailid"], "sequencenumber": 2})
    systems.settle()
    assert lines(systems) == [("Q-1", 1, 41), ("Q-1", 2, 1)]
    assert systems.held("ops", HEADERS)[0]["SalesQuotationName"] == "Revised"
    assert systems.why("blocked") == {}


def test_a_line_that_moves_onto_a_number_that_is_taken_holds_the_quote_it_left_and_the_one_it_came_to(
    systems: Systems, account: Mapping[str, Any]
) -> None:
    systems.quote("Q-1", account, ["P-1"])
    second = systems.quote("Q-2", account, ["P-1"])
    systems.settle()
    (line,) = systems.held("sales", "quotedetails", _quoteid_value=second["quoteid"])
    (first,) = systems.held("sales", "quotes", quotenumber="Q-1")
    move = {"quotedetailid": line["quotedetailid"], "_quoteid_value": first["quoteid"]}
    systems.sales.put("quotedetails", move)
    systems.once()
    assert lines(systems) == [("Q-1", 1, 1), ("Q-2", 1, 1)]
    assert {"Q-1", "Q-2"} <= systems.why("blocked").keys()
    systems.sales.put("quotedetails", move | {"sequencenumber": 2})
    systems.settle()
    assert lines(systems) == [("Q-1", 1, 1), ("Q-1", 2, 1)]
    assert systems.why("blocked") == {}


def test_a_skipped_line_that_was_merged_once_holds_its_quote(systems: Systems, account: Mapping[str, Any]) -> None:
    quote = systems.quote("Q-1", account, ["P-1", "P-1"])
    systems.settle()
    (line,) = systems.held("sales", "quotedetails", _quoteid_value=quote["quoteid"], sequencenumber=2)
    systems.sales.put("quotedetails", {"quotedetailid": line["quotedetailid"], "sequencenumber": None})
    systems.once()
    assert "Q-1" in systems.why("blocked")
    systems.run("select sync.skip('sales.quotedetails > quote_line')")
    systems.once()
    states = systems.rows(
        "select state::text as state from sync.delivery where record like :id", id=f"%{line['quotedetailid']}%"
    )
    assert [row["state"] for row in states] == ["skipped"]
    assert "Q-1" in systems.why("blocked")
