"""Records that are large: a quote of a thousand lines."""

from __future__ import annotations

import pytest

from tests.fixtures.world import Systems

LINES = 1000
HEADERS_SET, LINES_SET = "CDSSalesQuotationHeaders", "CDSSalesQuotationLines"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_quote_of_a_thousand_lines_arrives_whole_changes_by_one_line_and_goes_whole(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    quote = systems.quote("Q-1", systems.account("A-1"), ["P-1"] * LINES)
    systems.settle()
    places = sorted(row["LineCreationSequenceNumber"] for row in systems.ops.records(LINES_SET))
    assert (len(systems.ops.records(HEADERS_SET)), places) == (1, list(range(1, LINES + 1)))
    systems.sent("ops", LINES_SET)
    revision = systems.change_line(quote, 500, quantity=7)
    systems.settle()
    [sent] = systems.sent("ops", LINES_SET)
    assert (sent.method, sent.body["RequestedSalesQuantity"]) == ("PATCH", 7)
    for each in (quote, revision):
        systems.delete_quote(each)
    systems.settle()
    held = {row["entity_set"]: row["records"] for row in systems.rows("select entity_set, records from sync.held")}
    assert held == {"quotedetails": 2 * LINES}, "so many deletes wait for a person"
    systems.run("select sync.approve('sales.quotedetails')")
    systems.settle()
    assert systems.ops.records(HEADERS_SET) == systems.ops.records(LINES_SET) == []
