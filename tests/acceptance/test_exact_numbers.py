"""Numbers that no binary fraction holds, from the hub over the wire into a system and out of the commands as JSON."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from tests.fixtures.commands import Systems, Workplace, in_hub

ACCOUNT = """
insert into common.account (organization_id, number, kind, name, status, {field})
select id, 'A-1', 'Organization', 'Lamp Shop', 'Active', {number} from common.organization returning id
"""


@pytest.fixture
def systems(workplace: Workplace) -> Systems:
    """Both systems, read once."""
    systems = workplace.sandbox()
    workplace.configure(systems.urls)
    assert workplace.tell("once").code == 0
    return systems


def in_json(workplace: Workplace, number: str) -> bool:
    """Whether every command that shows values as JSON shows this one to the last digit."""
    asked = (["history", "account", "A-1"], ["as-of", "account", "A-1", "2999-01-01T00:00:00Z"])
    return all(re.search(rf"\b{number}\b", workplace.tell(*each, "--json").out) for each in asked)


@pytest.mark.parametrize("number", ["0.0000000001", "12345678901.0123456789"])
def test_ten_places_are_the_same_in_the_system_in_the_mirror_and_in_json(
    workplace: Workplace, systems: Systems, number: str
) -> None:
    in_hub(workplace, ACCOUNT.format(field="credit_limit", number=number))
    assert workplace.tell("once").code == 0
    [customer] = systems.records("ops", "CustomersV3")
    assert customer["CreditLimit"] == Decimal(number)
    assert in_hub(workplace, "select credit_limit from ops.customers_v3") == [Decimal(number)]
    assert in_json(workplace, "1E-10" if number == "0.0000000001" else number)
    assert workplace.tell("once").code == 0
    assert systems.records("ops", "CustomersV3") == [customer], "another run writes nothing"


def test_a_whole_number_beyond_2_to_the_53rd_is_kept_in_json_and_refused_by_a_system_that_has_no_room(
    workplace: Workplace, systems: Systems
) -> None:
    in_hub(workplace, ACCOUNT.format(field="employee_count", number=2**53 + 1))
    assert workplace.tell("once").code == 3
    assert "OrganizationNumberOfEmployees" in workplace.tell("status", "--details").out
    assert in_json(workplace, str(2**53 + 1))
