"""The flows as an administrator sees them: what arrives, what waits, what stays out, and what happens to changes."""

from __future__ import annotations

from tests.fixtures.world import Systems


def test_a_quote_arrives_after_its_account_and_its_products(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.once()
    assert [header["SalesQuotationNumber"] for header in systems.ops.records("CDSSalesQuotationHeaders")] == ["Q-1"]
    assert [line["ProductNumber"] for line in systems.ops.records("CDSSalesQuotationLines")] == ["P-1"]


def test_a_second_run_writes_nothing(systems: Systems) -> None:
    systems.reference_data()
    systems.product("P-1")
    systems.once()
    systems.quote("Q-1", systems.account("A-1"), ["P-1"])
    systems.once()
    before = systems.writes()
    systems.once()
    assert systems.writes() == before


def test_with_two_default_organizations_nothing_is_guessed(systems: Systems) -> None:
    systems.reference_data()
    systems.run("insert into common.organization (code, company, is_default) values ('DEMF', 'demf', true)")
    systems.account("A-1")
    systems.once()
    said = "one organization with is_default 'True' instead of several"
    assert systems.why("blocked") == {"A-1": said}
    assert systems.ops.records("CustomersV3") == []
    systems.run("update common.organization set is_default = false where code = 'DEMF'")
    systems.settle()
    assert [row["CustomerAccount"] for row in systems.ops.records("CustomersV3")] == ["A-1"]
    assert systems.why("blocked") == {}
