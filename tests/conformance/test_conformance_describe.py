"""Every connector says what its system says about its own entity sets."""

from __future__ import annotations

import httpx2
import pytest

from replicator.connectors import finops_metadata
from replicator.errors import AccessDenied, UnexpectedAnswer
from tests.conformance.cases import Case, spec, text

DOCUMENT = """<?xml version="1.0"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>
<Schema Namespace="N" xmlns="http://docs.oasis-open.org/odata/ns/edm">
<EnumType Name="NoYes"><Member Name="No"/><Member Name="Yes"/></EnumType>
<EnumType Name="Colour"><Member Name="Red"/></EnumType>
<EntityType Name="Thing"><Key><PropertyRef Name="Id"/></Key><Property Name="Id" Type="Edm.String" MaxLength="20"
 Nullable="false"/><Property Name="Amount" Type="Edm.Decimal" Nullable="false"/>
<Property Name="Group" Type="Edm.String"><Annotation Term="Microsoft.Dynamics.OData.Core.V1.IsRequired" Bool="true"/>
<Annotation Term="Microsoft.Dynamics.OData.Core.V1.AllowEdit" Bool="false"/></Property>
<Property Name="Old" Type="N.NoYes"/><Property Name="Colour" Type="N.Colour"/>
<Property Name="Odd" Type="Edm.Stream"/></EntityType>
<EntityContainer Name="C"><EntitySet Name="Things" EntityType="N.Thing"/></EntityContainer>
</Schema></edmx:DataServices></edmx:Edmx>"""


def test_a_set_is_described_with_its_key_and_the_types_of_its_fields(case: Case) -> None:
    main, child, nothing = case.connector.describe([case.main, case.child, spec("nonsense", "id", id=text())])
    assert nothing is None
    for asked, found in ((case.main, main), (case.child, child)):
        assert found is not None
        assert found.key == asked.key
        assert set(asked.fields) <= set(found.fields)
        assert [n for n, field in asked.fields.items() if field.type not in found.fields[n].types] == []


def test_lengths_and_change_tracking_are_told_where_the_system_knows_them(sales: Case, ops: Case) -> None:
    (accounts,) = sales.connector.describe([sales.main])
    assert accounts is not None
    assert accounts.fields["name"].length == 160
    assert accounts.tracks_changes is True
    (customers,) = ops.connector.describe([ops.main])
    assert customers is not None
    assert customers.tracks_changes is None


def test_the_description_of_all_sets_of_ops_takes_one_request(ops: Case) -> None:
    ops.connector.describe([ops.main, ops.child])
    assert len(ops.wire.seen) == 1


def test_a_refusal_is_raised_and_no_answer_is_taken_for_a_description(case: Case) -> None:
    case.wire.faults = [httpx2.Response(403, json={"error": {"message": "no"}})]
    with pytest.raises(AccessDenied):
        case.connector.describe([case.main])
    case.wire.faults = [httpx2.Response(200, text="<html>", headers={"Content-Type": "text/html"})]
    with pytest.raises(UnexpectedAnswer):
        case.connector.describe([case.main])


def test_the_clock_of_a_system_is_compared_with_ours(case: Case) -> None:
    assert case.connector.clock_skew() is None
    told = httpx2.Response(403, json={}, headers={"Date": "Mon, 06 May 2024 07:08:19 GMT"})
    case.wire.faults = [told]
    with pytest.raises(AccessDenied):
        case.connector.describe([case.main])
    assert case.connector.clock_skew() == 10


def test_enumerations_of_yes_and_no_are_booleans_others_are_texts() -> None:
    (found,) = finops_metadata.parse(DOCUMENT.encode(), ["Things"], "ops")
    assert found is not None
    assert {name: field.types for name, field in found.fields.items()} == {
        "Id": ("text", "reference"), "Old": ("boolean", "text"), "Colour": ("text",), "Odd": (),
        "Amount": ("decimal",), "Group": ("text", "reference"),
    }  # fmt: skip
    assert found.fields["Id"].length == 20
    assert (found.fields["Colour"].enum, found.fields["Colour"].symbols) == ("Colour", ("Red",))


def test_what_is_never_null_is_not_what_has_to_be_sent() -> None:
    (found,) = finops_metadata.parse(DOCUMENT.encode(), ["Things"], "ops")
    assert found is not None
    amount, group, odd = (found.fields[name] for name in ("Amount", "Group", "Odd"))
    assert (amount.nullable, amount.required) == (False, False)
    assert (group.nullable, group.required, group.writable, group.changeable) == (True, True, True, False)
    assert (odd.required, odd.writable, odd.changeable) == (False, True, True)


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<a><b></a>",
        "",
    ],
    ids=["an entity", "a document type from elsewhere", "broken", "empty"],
)
def test_a_document_that_declares_anything_or_is_broken_is_refused(document: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        finops_metadata.parse(document.encode(), ["Things"], "ops")
