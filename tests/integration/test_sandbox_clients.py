"""The simulated systems as other people's clients use them: messages, links, relationships, metadata."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from replicator.sandbox.system import Sandbox

ROOT = "http://sales.test/api/data/v9.2/"
CRM = "Microsoft.Dynamics.CRM."


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox("sales", random=Random(1))
    yield made
    made.close()


@pytest.fixture
def client(sandbox: Sandbox) -> httpx2.Client:
    return httpx2.Client(transport=httpx2.WSGITransport(app=sandbox.wsgi), base_url=ROOT)


def targets(*records: dict[str, Any], logical_name: str = "account") -> dict[str, Any]:
    return {"Targets": [{"@odata.type": CRM + logical_name, **record} for record in records]}


def account(client: httpx2.Client, **values: Any) -> str:
    answer = client.post("accounts", json={"name": "A", **values}, headers={"Prefer": "return=representation"})
    key: str = answer.json()["accountid"]
    return key


def names(sandbox: Sandbox) -> list[str]:
    return sorted(record["name"] for record in sandbox.records("accounts"))


def test_create_multiple_makes_all_of_them_and_tells_their_ids(client: httpx2.Client, sandbox: Sandbox) -> None:
    answer = client.post(f"accounts/{CRM}CreateMultiple", json=targets({"name": "One"}, {"name": "Two"}))
    assert answer.status_code == 200
    assert answer.json()["Ids"] == [record["accountid"] for record in sandbox.records("accounts")]
    assert names(sandbox) == ["One", "Two"]


@pytest.mark.parametrize("message", ["CreateMultiple", "UpdateMultiple", "UpsertMultiple"])
def test_one_bad_record_keeps_a_message_of_several_from_happening(
    client: httpx2.Client, sandbox: Sandbox, message: str
) -> None:
    key = account(client)
    answer = client.post(f"accounts/{CRM}{message}", json=targets({"accountid": key, "name": "New"}, {"fax": "1" * 51}))
    assert answer.status_code in (400, 404, 412)
    assert names(sandbox) == ["A"]


def test_a_record_in_a_message_says_its_type(client: httpx2.Client) -> None:
    untyped: dict[str, Any] = {"Targets": [{"name": "A"}]}
    for body in (untyped, targets({"name": "A"}, logical_name="contact"), targets(), {}):
        assert client.post(f"accounts/{CRM}CreateMultiple", json=body).status_code == 400


def test_update_multiple_changes_records_and_refuses_one_that_is_not_there(
    client: httpx2.Client, sandbox: Sandbox
) -> None:
    keys = [account(client), account(client)]
    changes = targets(*[{"accountid": key, "name": f"New {n}"} for n, key in enumerate(keys)])
    assert client.post(f"accounts/{CRM}UpdateMultiple", json=changes).status_code == 204
    assert names(sandbox) == ["New 0", "New 1"]
    answer = client.post(f"accounts/{CRM}UpdateMultiple", json=targets({"accountid": str(uuid4()), "name": "X"}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "0x80040217")


def test_upsert_multiple_finds_records_by_their_alternate_key(client: httpx2.Client, sandbox: Sandbox) -> None:
    for name in ("First", "Second"):
        body = targets(
            *({"@odata.id": f"contacts(msdynce_contactnumber='C-{n}')", "lastname": name} for n in range(2)),
            logical_name="contact",
        )
        assert client.post(f"contacts/{CRM}UpsertMultiple", json=body).status_code == 204
    found = sandbox.records("contacts")
    assert [(each["msdynce_contactnumber"], each["lastname"]) for each in found] == [
        ("C-0", "Second"),
        ("C-1", "Second"),
    ]


def bulk(*conditions: dict[str, Any], entity: str = "account") -> dict[str, Any]:
    return {"JobName": "J", "QuerySet": [{"EntityName": entity, "Criteria": {"Conditions": list(conditions)}}]}


def test_bulk_delete_deletes_what_its_query_finds(client: httpx2.Client, sandbox: Sandbox) -> None:
    keys = [account(client, name=f"A{n}") for n in range(3)]
    wanted = [{"Value": key, "Type": "System.Guid"} for key in keys[:2]]
    answer = client.post("BulkDelete", json=bulk({"AttributeName": "accountid", "Operator": "In", "Values": wanted}))
    assert answer.json()["JobId"]
    assert names(sandbox) == ["A2"]
    unknown = bulk({"AttributeName": "accountid", "Operator": "Like", "Values": wanted})
    assert client.post("BulkDelete", json=unknown).status_code == 400
    assert client.post("BulkDelete", json=bulk(entity="nope")).status_code == 400
    assert names(sandbox) == ["A2"]


def test_message_filters_tell_which_messages_a_table_has(client: httpx2.Client) -> None:
    query = {
        "$select": "sdkmessagefilterid",
        "$expand": "sdkmessageid($select=name)",
        "$filter": "(sdkmessageid/name eq 'CreateMultiple' or sdkmessageid/name eq 'UpdateMultiple') "
        "and primaryobjecttypecode eq 'account'",
    }
    rows = client.get("sdkmessagefilters", params=query).json()["value"]
    assert [row["sdkmessageid"]["name"] for row in rows] == ["CreateMultiple", "UpdateMultiple"]


def test_relationships_follow_from_the_lookups(client: httpx2.Client) -> None:
    one = "EntityDefinitions(LogicalName='account')"
    below = client.get(f"{one}/OneToManyRelationships").json()["value"]
    assert {row["ReferencedEntity"] for row in below} == {"account"}
    above = client.get("EntityDefinitions(LogicalName='contact')/ManyToOneRelationships").json()["value"]
    assert {row["ReferencingEntity"] for row in above} == {"contact"}
    assert client.get(f"{one}/ManyToManyRelationships").json()["value"] == []
    every = client.get("RelationshipDefinitions").json()["value"]
    assert {row["SchemaName"] for row in (*below, *above)} <= {row["SchemaName"] for row in every}
    name = below[0]["SchemaName"]
    found = client.get("RelationshipDefinitions", params={"$filter": f"SchemaName eq '{name}'"}).json()["value"]
    assert [row["MetadataId"] for row in found] == [below[0]["MetadataId"]]
    assert client.get(f"RelationshipDefinitions({below[0]['MetadataId']})").json()["SchemaName"] == name
    assert client.get(f"RelationshipDefinitions(SchemaName='{name}')").json()["SchemaName"] == name
    cast = client.get(f"RelationshipDefinitions/{CRM}OneToManyRelationshipMetadata").json()["value"]
    assert len(cast) == len(every)


@pytest.mark.parametrize("path", ["RelationshipDefinitions", "EntityDefinitions"])
def test_definitions_cannot_be_changed(client: httpx2.Client, path: str) -> None:
    assert client.post(path, json={}).status_code == 405
    assert client.delete(f"{path}({uuid4()})").status_code == 405


def test_one_attribute_is_shown_with_its_type_and_as_its_type(client: httpx2.Client) -> None:
    one = "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='name')"
    shown = client.get(one, params={"$select": "LogicalName"}).json()
    assert shown["@odata.type"] == f"#{CRM}StringAttributeMetadata"
    assert client.get(f"{one}/{CRM}StringAttributeMetadata").json()["MaxLength"] == 160


def test_a_single_property_is_set_and_emptied(client: httpx2.Client, sandbox: Sandbox) -> None:
    key = account(client)
    assert client.put(f"accounts({key})/telephone1", json={"value": "77"}).status_code == 204
    assert sandbox.records("accounts")[0]["telephone1"] == "77"
    assert client.delete(f"accounts({key})/telephone1").status_code == 204
    assert sandbox.records("accounts")[0]["telephone1"] is None
    assert client.put(f"accounts({key})/telephone1", json={"value": 5}).status_code == 400


def test_a_reference_is_set_and_cleared_at_its_own_address(client: httpx2.Client, sandbox: Sandbox) -> None:
    key = account(client)
    contact = client.post("contacts", json={"lastname": "L"}, headers={"Prefer": "return=representation"}).json()
    link = f"contacts({contact['contactid']})/parentcustomerid_account/$ref"
    assert client.put(link, json={"@odata.id": f"{ROOT}accounts({key})"}).status_code == 204
    assert sandbox.records("contacts")[0]["_parentcustomerid_value"] == key
    assert client.delete(link).status_code == 204
    assert sandbox.records("contacts")[0]["_parentcustomerid_value"] is None
    other = f"accounts({key})/account_contact_parentcustomerid/$ref"
    added = client.post(other, json={"@odata.id": f"contacts({contact['contactid']})"})
    assert added.status_code == 204, added.text
    assert sandbox.records("contacts")[0]["_parentcustomerid_value"] == key
    assert client.post(other, json={"@odata.id": f"accounts({key})"}).status_code == 400
    assert client.put(link.replace("parentcustomerid_account", "nope"), json={"@odata.id": "x"}).status_code == 404
    assert client.put(link, json={}).status_code == 400


def test_languages_and_option_sets_can_be_asked_for(client: httpx2.Client) -> None:
    assert client.get("RetrieveAvailableLanguages").json()["LocaleIds"] == [1033]
    assert client.get("GlobalOptionSetDefinitions").json()["value"] == []


@pytest.fixture
def metadata() -> Iterator[httpx2.Client]:
    made = Sandbox("ops", random=Random(1))
    yield httpx2.Client(transport=httpx2.WSGITransport(app=made.wsgi), base_url="http://ops.test/Metadata/")
    made.close()


def test_the_metadata_service_tells_sets_fields_and_enumerations(metadata: httpx2.Client) -> None:
    entities = metadata.get("DataEntities", params={"$filter": "contains(Name,'custcustomer')"}).json()["value"]
    assert [each["PublicCollectionName"] for each in entities] == ["CustomersV3"]
    one = metadata.get(f"PublicEntities('{entities[0]['PublicEntityName']}')").json()
    keys = [each["Name"] for each in one["Properties"] if each["IsKey"]]
    assert (one["EntitySetName"], keys) == ("CustomersV3", ["dataAreaId", "CustomerAccount"])
    enumeration = metadata.get("PublicEnumerations('NoYes')").json()
    assert [(each["Name"], each["Value"]) for each in enumeration["Members"]] == [("No", 0), ("Yes", 1)]
    counted = metadata.get("PublicEntities", params={"$top": "2", "$skip": "1", "$count": "true"}).json()
    assert (counted["@odata.count"] > 2, len(counted["value"])) == (True, 2)


def test_the_metadata_service_refuses_what_it_does_not_know(metadata: httpx2.Client) -> None:
    assert metadata.get("Labels").status_code == 404
    assert metadata.get("PublicEntities('Nope')").status_code == 404
    assert metadata.post("PublicEntities", json={}).status_code == 405
    assert metadata.get("PublicEntities", params={"$orderby": "Name"}).status_code == 400
    assert metadata.get("PublicEntities", params={"$filter": "Nope eq 1"}).status_code == 400
