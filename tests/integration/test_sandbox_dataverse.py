"""The simulated sales system as a client sees it."""

from __future__ import annotations

import email
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email import policy
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
import simplejson

from replicator.sandbox.host import serve
from replicator.sandbox.system import LoadError, Options, Sandbox
from replicator.sandbox.system_options import Client, Throttle

ROOT = "http://sales.test/api/data/v9.2/"
ALL_NOTES = {"Prefer": 'odata.include-annotations="*"'}


class Clock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


Make = Callable[..., tuple[Sandbox, httpx2.Client]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(clock: Clock) -> Iterator[Make]:
    made: list[Sandbox] = []

    def start(options: Options | None = None, state: Path | None = None) -> tuple[Sandbox, httpx2.Client]:
        sandbox = Sandbox("sales", state=state, options=options or Options(), clock=clock, random=Random(1))
        made.append(sandbox)
        return sandbox, httpx2.Client(transport=httpx2.WSGITransport(app=sandbox.wsgi), base_url=ROOT)

    yield start
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def client(make: Make) -> httpx2.Client:
    return make()[1]


def error(response: httpx2.Response) -> tuple[int, str, str]:
    body = response.json()["error"]
    return response.status_code, body["code"], body["message"]


def exact(response: httpx2.Response) -> Any:
    return simplejson.loads(response.text, use_decimal=True)


def created(client: httpx2.Client, entity_set: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(entity_set, json=body, headers={"Prefer": "return=representation"})
    assert response.status_code == 201, response.text
    record: dict[str, Any] = exact(response)
    return record


def batch(boundary: str, *parts: str) -> bytes:
    return ("".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n").encode()


def operation(line: str, body: str = "", headers: str = "", content_id: str = "") -> str:
    identified = f"Content-ID: {content_id}\r\n" if content_id else ""
    return (
        f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{identified}\r\n"
        f"{line} HTTP/1.1\r\nContent-Type: application/json\r\n{headers}\r\n{body}"
    )


def change_set(*operations: str, boundary: str = "changeset_1") -> str:
    inner = batch(boundary, *operations).decode()
    return f'Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n{inner}'


def send(client: httpx2.Client, *parts: str, **headers: str) -> tuple[int, list[Any]]:
    """Post a batch; the outer status and for each part (content id, status, text), nested for change sets."""
    response = client.post(
        "$batch",
        content=batch("batch_1", *parts),
        headers={"Content-Type": 'multipart/mixed; boundary="batch_1"', **headers},
    )
    text = f"Content-Type: {response.headers['content-type']}\r\n\r\n{response.text}"
    return response.status_code, read_parts(email.message_from_string(text, policy=policy.HTTP))


def read_parts(message: Any) -> list[Any]:
    found: list[Any] = []
    for part in message.iter_parts():
        if part.is_multipart():
            found.append(read_parts(part))
        else:
            text = part.get_payload(decode=True).decode()
            found.append((part["Content-ID"], int(text.split()[1]), text))
    return found


def test_create_gives_defaults_and_a_number(client: httpx2.Client) -> None:
    response = client.post("accounts", json={"name": "Brenholt Mill"})
    assert response.status_code == 204
    address = response.headers["OData-EntityId"]
    assert address.startswith(ROOT + "accounts(")
    record = client.get(address).json()
    assert record["statecode"] == 0
    assert record["statuscode"] == 1
    assert record["accountnumber"].startswith("ACC-01000-")
    assert len(record["accountnumber"]) == 16
    assert record["createdon"] == "2026-03-02T08:00:00Z"
    assert record["@odata.etag"] == f'W/"{record["versionnumber"]}"'
    assert created(client, "accounts", {"name": "B"})["accountnumber"].startswith("ACC-01001-")


def test_client_supplied_key_is_taken_and_a_repeat_refused(client: httpx2.Client) -> None:
    key = str(uuid4())
    assert created(client, "accounts", {"accountid": key, "name": "A"})["accountid"] == key
    again = client.post("accounts", json={"accountid": key, "name": "A"})
    assert error(again) == (412, "0x80040237", "A record with matching key values already exists.")


def test_alternate_keys_are_unique_whatever_the_case(client: httpx2.Client) -> None:
    created(client, "contacts", {"msdynce_contactnumber": "A'1 +ö", "lastname": "A"})
    response = client.get("contacts(msdynce_contactnumber='a''1%20%2B%C3%B6')")
    assert response.json()["lastname"] == "A"
    assert client.post("contacts", json={"msdynce_contactnumber": "a'1 +ö", "lastname": "B"}).status_code == 412
    assert client.get("contacts(msdynce_contactnumber='none')").status_code == 404
    assert client.get("contacts(lastname='A')").status_code == 400


def test_an_alternate_key_that_another_record_has_is_refused_with_the_code_of_its_own(client: httpx2.Client) -> None:
    """Not with that of a record whose own key is there already."""
    created(client, "contacts", {"msdynce_contactnumber": "N1", "lastname": "A"})
    refused = (
        412,
        "0x80060892",
        "Entity Key msdynce_ContactNumber violated. A record with the same value for msdynce_contactnumber already "
        "exists. A duplicate record cannot be created. Select one or more unique values and try again.",
    )
    assert error(client.post("contacts", json={"msdynce_contactnumber": "n1", "lastname": "B"})) == refused
    assert error(client.patch(f"contacts({uuid4()})", json={"msdynce_contactnumber": "N1", "lastname": "B"})) == refused
    other = created(client, "contacts", {"msdynce_contactnumber": "N2", "lastname": "B"})
    url = f"contacts({other['contactid']})"
    assert error(client.patch(url, json={"msdynce_contactnumber": "N1"})) == refused
    assert client.get(url).json()["msdynce_contactnumber"] == "N2"


def test_no_table_has_an_alternate_key_that_no_source_tells_of(client: httpx2.Client) -> None:
    created(client, "accounts", {"accountnumber": "A", "name": "A"})
    assert client.get("accounts(accountnumber='A')").status_code == 400
    assert client.post("accounts", json={"accountnumber": "A", "name": "B"}).status_code == 204


def test_patch_creates_or_updates_and_the_conditions_decide(client: httpx2.Client) -> None:
    url = "contacts(msdynce_contactnumber='N1')"
    assert client.patch(url, json={"lastname": "A"}, headers={"If-Match": "*"}).status_code == 404
    assert client.patch(url, json={"lastname": "A"}, headers={"If-None-Match": "*"}).status_code == 204
    assert error(client.patch(url, json={"lastname": "B"}, headers={"If-None-Match": "*"}))[:2] == (412, "0x80040237")
    tag = client.get(url).headers["ETag"]
    assert client.patch(url, json={"lastname": "B"}, headers={"If-Match": tag}).status_code == 204
    stale = client.patch(url, json={"lastname": "C"}, headers={"If-Match": tag})
    assert error(stale) == (
        412,
        "0x80060882",
        "The version of the existing record doesn't match the RowVersion property provided.",
    )
    assert client.get(url, headers={"If-None-Match": client.get(url).headers["ETag"]}).status_code == 304
    shown = client.patch(url, json={"lastname": "D"}, headers={"Prefer": "return=representation"})
    assert (shown.status_code, shown.json()["lastname"]) == (200, "D")


def test_missing_records(client: httpx2.Client) -> None:
    key = uuid4()
    expected = (404, "0x80040217", f"account With Id = {key} Does Not Exist")
    assert error(client.get(f"accounts({key})")) == expected
    assert error(client.delete(f"accounts({key})")) == expected
    assert error(client.get("orders")) == (404, "0x8006088a", "Resource not found for the segment 'orders'.")


def test_lookups_are_bound_in_every_form(client: httpx2.Client) -> None:
    parent = created(client, "accounts", {"accountnumber": "P", "name": "P"})["accountid"]
    other = created(client, "contacts", {"lastname": "Other", "msdynce_contactnumber": "OTHER"})["contactid"]
    forms = [
        f"/accounts({parent})",
        f"accounts({parent})",
        f"{ROOT}accounts({parent})",
        f"/api/data/v9.2/accounts({parent})",
    ]
    for form in forms:
        record = created(client, "contacts", {"lastname": "L", "parentcustomerid_account@odata.bind": form})
        assert record["_parentcustomerid_value"] == parent
    url = f"contacts({record['contactid']})"
    client.patch(url, json={"parentcustomerid_contact@odata.bind": "/contacts(msdynce_contactnumber='OTHER')"})
    shown = client.get(url, headers=ALL_NOTES).json()
    assert shown["_parentcustomerid_value"] == other
    assert shown["_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "contact"
    assert (
        shown["_parentcustomerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"]
        == "parentcustomerid_contact"
    )
    assert shown["statecode@OData.Community.Display.V1.FormattedValue"] == "Active"
    assert shown["_parentcustomerid_value@OData.Community.Display.V1.FormattedValue"] == "Other"
    only_names = {"Prefer": 'odata.include-annotations="OData.Community.Display.V1.FormattedValue"'}
    (named,) = client.get(f"contacts?$select=_parentcustomerid_value&$filter=contactid eq {record['contactid']}",
                          headers=only_names).json()["value"]  # fmt: skip
    assert [name.partition("@")[2] for name in named if name.startswith("_parentcustomerid_value@")] == [
        "OData.Community.Display.V1.FormattedValue"
    ]
    assert not any("@Microsoft" in name for name in client.get(url).json())
    client.patch(url, json={"parentcustomerid_contact@odata.bind": None})
    assert client.get(url).json()["_parentcustomerid_value"] is None


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"name": "x" * 161}, "0x80044331", "The length of the 'name' attribute of the 'account' entity exceeded the"),
        ({"name": None}, "0x80040203", "name"),
        ({"name": "A", "statuscode": 99}, "0x8004431a", "99"),
        ({"name": "A", "statuscode": 2}, "0x80048408", "state"),
        ({"name": "A", "statecode": 1}, "0x80048d19", "'statecode' of 'account' is not valid for create"),
        ({"name": "A", "creditlimit": "much"}, "0x80048d19", "Edm.Decimal"),
        ({"name": "A", "numberofemployees": 1.5}, "0x80048d19", "Edm.Int32"),
        ({"name": "A", "numberofemployees": -1}, "0x80044330", "numberofemployees"),
        ({"name": "A", "nosuch": 1}, "0x80048d19", "does not exist on type 'Microsoft.Dynamics.CRM.account'"),
        ({"name": "A", "_parentaccountid_value": str(UUID(int=1))}, "0x80048d19", "Navigation properties"),
        ({"name": "A", "nosuch@odata.bind": "/accounts(x)"}, "0x80048d19", "An undeclared property 'nosuch'"),
        ({"name": "A", "parentaccountid@odata.bind": "/orders(1)"}, "0x8006088a", "orders"),
        ({"name": "A", "parentaccountid@odata.bind": f"/accounts({UUID(int=1)})"}, "0x80040217", "Does Not Exist"),
        ({"name": "A\x00"}, "0x80048d19", "character"),
    ],
)
def test_bad_values_are_refused_in_the_systems_words(
    client: httpx2.Client, body: dict[str, Any], code: str, words: str
) -> None:
    status, found, message = error(client.post("accounts", json=body))
    assert status in (400, 404)
    assert found == code
    assert words in message
    assert client.get("accounts/$count").text == "0"


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"name": NaN}', b"\xff\xfe", b'{"creditlimit": 1e999999999, "name": "A"}']
)
def test_bodies_that_are_no_objects(client: httpx2.Client, content: bytes) -> None:
    assert client.post("accounts", content=content).status_code == 400


def test_numbers_stay_exact_and_money_keeps_four_places(client: httpx2.Client) -> None:
    content = b'{"name": "A", "creditlimit": 1234567.12345}'
    response = client.post("accounts", content=content, headers={"Prefer": "return=representation"})
    assert exact(response)["creditlimit"] == Decimal("1234567.1235")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accountnumber eq 'a1'", "1"),
        ("accountnumber ne 'A1'", "23"),
        ("startswith(name,'brenholt')", "13"),
        ("contains(name,'O''') or endswith(name,'LL')", "12"),
        ("creditlimit gt 10 and creditlimit le 20.5", "12"),
        ("creditlimit eq null", "3"),
        ("not (creditlimit ge 20)", "3"),
        ("donotemail eq true", "1"),
        ("createdon ge 2026-03-02T00:00:00Z and createdon lt 2026-03-03", "123"),
        ("(name eq 'x' or accountnumber eq 'A3') and statecode eq 0", "3"),
    ],
)
def test_filters(client: httpx2.Client, text: str, expected: str) -> None:
    for body in (
        {"accountnumber": "A1", "name": "Brenholt Mill", "creditlimit": 20, "donotemail": True},
        {"accountnumber": "A2", "name": "O'Hara", "creditlimit": 20.5},
        {"accountnumber": "A3", "name": "Brenholt Bridge"},
    ):
        created(client, "accounts", body)
    found = client.get("accounts", params={"$filter": text}).json()["value"]
    assert "".join(sorted(row["accountnumber"][1] for row in found)) == expected


def test_filter_on_lookups_and_plus_for_spaces(client: httpx2.Client) -> None:
    parent = created(client, "accounts", {"name": "P"})["accountid"]
    child = created(client, "accounts", {"name": "C", "parentaccountid@odata.bind": f"/accounts({parent})"})
    response = client.get(f"accounts?$filter=_parentaccountid_value+eq+{parent}&$select=name&$count=true")
    assert response.json()["@odata.count"] == 1
    assert response.json()["value"] == [
        {"@odata.etag": child["@odata.etag"], "name": "C", "accountid": child["accountid"]}
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("$select=nosuch", "0x80060888"),
        ("$filter=nosuch eq 1", "0x80060888"),
        ("$orderby=nosuch", "0x80060888"),
        ("$filter=name eq", "0x80060888"),
        ("$filter=creditlimit gt 'x'", "0x80060888"),
        ("$skip=1", "0x80060888"),
        ("$top=x", "0x80060888"),
        ("$skiptoken=what", "0x80040266"),
        ("$deltatoken=what", "0x80060888"),
        ("$filter=" + "(" * 200 + "name eq 'x'" + ")" * 200, "0x80060888"),
    ],
)
def test_bad_queries(client: httpx2.Client, query: str, code: str) -> None:
    response = client.get(f"accounts?{query}")
    assert error(response)[:2] == (400, code)
    if "nosuch" in query:
        message = "Could not find a property named 'nosuch' on type 'Microsoft.Dynamics.CRM.account'."
        assert error(response)[2] == message


@pytest.mark.parametrize("address", ["accounts", "accounts/$count", f"accounts({UUID(int=1)})"])
@pytest.mark.parametrize("name", ["$apply", "fetchXml", "sql", "savedQuery", "userQuery", "$nosuch", "filter"])
def test_options_that_are_not_served_are_refused_instead_of_ignored(
    client: httpx2.Client, address: str, name: str
) -> None:
    only_there = "" if name in ("$nosuch", "filter") else " by the sandbox, unlike by the real service"
    message = f"The query parameter {name} is not supported{only_there}"
    assert error(client.get(address, params={name: "x"})) == (400, "0x80060888", message)


def test_options_of_one_record_and_of_writes(client: httpx2.Client) -> None:
    url = f"accounts({UUID(int=1)})"
    assert client.patch(url, params={"tag": "hub"}, json={"name": "A"}).status_code == 204
    assert client.patch(url, params={"fetchXml": "<fetch/>"}, json={"name": "B"}).status_code == 400
    assert client.post("accounts", params={"$nosuch": "x"}, json={"name": "C"}).status_code == 400
    assert client.get(url, params={"$filter": "name eq 'B'"}).status_code == 400
    assert client.get(f"{url}/name", params={"$select": "name"}).status_code == 400
    assert client.get("accounts?$select=name").json()["value"][0]["name"] == "A"


def test_expanding_single_lookups(client: httpx2.Client) -> None:
    parent = created(client, "accounts", {"accountnumber": "P", "name": "P"})["accountid"]
    bind = {"parentcustomerid_account@odata.bind": f"/accounts({parent})"}
    key = created(client, "contacts", {"lastname": "L", **bind})["contactid"]
    query = "$select=lastname&$expand=parentcustomerid_account($select=accountnumber),parentcustomerid_contact"
    record = client.get(f"contacts({key})?{query}").json()
    assert record["parentcustomerid_account"]["accountnumber"] == "P"
    assert record["parentcustomerid_contact"] is None
    assert client.get("contacts?$expand=nosuch").status_code == 400
    assert client.get("contacts?$expand=parentcustomerid_account($select=nosuch)").status_code == 400
    assert client.get("contacts?$expand=parentcustomerid_account(").status_code == 400


def test_order_top_and_pages(client: httpx2.Client) -> None:
    for number in range(7):
        created(client, "accounts", {"accountnumber": f"A{number}", "name": "N", "creditlimit": -number % 3})
    names: list[str] = []
    url, pages = "accounts?$select=accountnumber&$orderby=creditlimit desc,accountnumber", 0
    while url:
        page = client.get(url, headers={"Prefer": "odata.maxpagesize=3"})
        assert page.headers["Preference-Applied"] == "odata.maxpagesize=3"
        names += [row["accountnumber"][1] for row in page.json()["value"]]
        url, pages = page.json().get("@odata.nextLink", ""), pages + 1
    assert ("".join(names), pages) == ("1425036", 3)
    top = client.get("accounts?$top=2").json()
    assert len(top["value"]) == 2
    assert "@odata.nextLink" not in top


def tracked(client: httpx2.Client, url: str, size: int = 5000) -> tuple[list[dict[str, Any]], str]:
    rows: list[dict[str, Any]] = []
    while True:
        page = client.get(url, headers={"Prefer": f"odata.track-changes,odata.maxpagesize={size}"})
        assert page.status_code == 200, page.text
        if "deltatoken" not in url and "delta" not in url:
            assert "odata.track-changes" in page.headers["Preference-Applied"]
        rows += page.json()["value"]
        if "@odata.deltaLink" in page.json():
            return rows, page.json()["@odata.deltaLink"]
        url = page.json()["@odata.nextLink"]


@pytest.mark.parametrize("size", [1, 2, 5000])
def test_delta_links_tell_changes_then_deletes(make: Make, size: int) -> None:
    sandbox, client = make()
    keys = [created(client, "accounts", {"accountnumber": f"A{n}", "name": "N"})["accountid"] for n in range(4)]
    rows, link = tracked(client, "accounts?$select=name", size)
    assert len(rows) == 4
    assert tracked(client, link, size)[0] == []
    client.patch(f"accounts({keys[2]})", json={"name": "changed"})
    new = created(client, "accounts", {"name": "new"})["accountid"]
    brief = created(client, "accounts", {"name": "brief"})["accountid"]
    client.delete(f"accounts({brief})")
    sandbox.delete("accounts", keys[0])
    rows, link = tracked(client, link, size)
    assert [row.get("name") for row in rows[:2]] == ["changed", "new"]
    assert rows[1]["accountid"] == new
    assert {(row["id"], row["reason"]) for row in rows[2:]} == {(brief, "deleted"), (keys[0], "deleted")}
    assert rows[2]["@odata.context"] == f"{ROOT}$metadata#accounts/$deletedEntity"
    assert tracked(client, link, size)[0] == []


def test_changes_made_while_pages_are_read_come_with_the_next_link(client: httpx2.Client) -> None:
    keys = [created(client, "accounts", {"name": f"N{n}"})["accountid"] for n in range(4)]
    prefer = {"Prefer": "odata.track-changes,odata.maxpagesize=2"}
    first = client.get("accounts", headers=prefer).json()
    client.patch(f"accounts({keys[0]})", json={"name": "late"})
    client.delete(f"accounts({keys[3]})")
    last = client.get(first["@odata.nextLink"], headers=prefer).json()
    rows, _ = tracked(client, last["@odata.deltaLink"])
    assert [row.get("name", row.get("id")) for row in rows] == ["late", keys[3]]


def test_tracking_refuses_filters_and_old_tokens(make: Make, clock: Clock) -> None:
    _, client = make(Options(token_days=2))
    for option in ("$filter=name eq 'x'", "$orderby=name", "$top=1", "$expand=parentaccountid"):
        response = client.get(f"accounts?{option}", headers={"Prefer": "odata.track-changes"})
        name = option[1:].split("=")[0]
        message = f'The "{name}" query parameter isn\'t supported when Change Tracking is enabled.'
        assert error(response)[2] == message
    _, link = tracked(client, "accounts")
    clock.now += timedelta(days=1, hours=23)
    tracked(client, link)
    clock.now += timedelta(hours=2)
    message = "Version stamp associated with the client has expired. Please perform a full sync."
    assert error(client.get(link)) == (400, "0x80044352", message)


def address(sandbox: Sandbox, entity_set: str, field: str, value: str) -> str:
    """The address of the record that has this value."""
    (row,) = (row for row in sandbox.records(entity_set) if row[field] == value)
    return f"/{entity_set}({next(iter(row.values()))})"


def reference_records(sandbox: Sandbox) -> None:
    sandbox.put(
        "transactioncurrencies", {"isocurrencycode": "USD", "currencyname": "US Dollar", "currencyprecision": 2}
    )
    sandbox.put("uomschedules", {"name": "Default unit"})
    sandbox.put("pricelevels", {"name": "Old", "statecode": 1})
    sandbox.put("uoms", {"name": "ea", "uomscheduleid.name": "Default unit"})
    sandbox.put("accounts", {"accountnumber": "A", "name": "A"})
    for number, external in (("P1", True), ("P2", False)):
        sandbox.put(
            "products",
            {
                "productnumber": number,
                "name": number,
                "defaultuomid.name": "ea",
                "defaultuomscheduleid.name": "Default unit",
                "transactioncurrencyid.isocurrencycode": "USD",
                "msdynce_ismaintainedexternally": external,
            },
        )


def a_quote(sandbox: Sandbox, client: httpx2.Client, product: str = "P1", **more: object) -> tuple[str, str]:
    quote = created(
        client,
        "quotes",
        {
            "name": "Q",
            "customerid_account@odata.bind": address(sandbox, "accounts", "accountnumber", "A"),
            "transactioncurrencyid@odata.bind": address(sandbox, "transactioncurrencies", "isocurrencycode", "USD"),
            "pricelevelid@odata.bind": address(sandbox, "pricelevels", "name", "Old"),
            **more,
        },
    )["quoteid"]
    line = created(
        client,
        "quotedetails",
        {
            "quoteid@odata.bind": f"/quotes({quote})",
            "productid@odata.bind": address(sandbox, "products", "productnumber", product),
            "transactioncurrencyid@odata.bind": address(sandbox, "transactioncurrencies", "isocurrencycode", "USD"),
            "sequencenumber": 1,
            "quantity": 3,
            "priceperunit": 9.999,
        },
    )["quotedetailid"]
    return quote, line


def test_deletes_cascade_or_are_refused_or_clear_the_link(make: Make) -> None:
    sandbox, client = make()
    reference_records(sandbox)
    quote, line = a_quote(sandbox, client)
    message = "The object you tried to delete is associated with another object and cannot be deleted"
    price_list = address(sandbox, "pricelevels", "name", "Old")
    assert error(client.delete(price_list))[1:] == ("0x80040227", message)
    tag = client.get(f"quotes({quote})").headers["ETag"]
    client.patch(f"quotes({quote})", json={"name": "R"})
    assert client.delete(f"quotes({quote})", headers={"If-Match": tag}).status_code == 412
    account = address(sandbox, "accounts", "accountnumber", "A")
    person = created(client, "contacts", {"lastname": "P", "parentcustomerid_account@odata.bind": account})["contactid"]
    other = created(client, "contacts", {"lastname": "O"})["contactid"]
    child = created(client, "contacts", {"lastname": "C", "parentcustomerid_contact@odata.bind": f"/contacts({other})"})
    assert client.delete(account).status_code == 204
    for gone in (f"contacts({person})", f"quotes({quote})", f"quotedetails({line})"):
        assert client.get(gone).status_code == 404
    assert client.delete(f"contacts({other})").status_code == 204
    left = client.get(f"contacts({child['contactid']})").json()
    assert left["_parentcustomerid_value"] is None
    assert client.delete(price_list).status_code == 204


def test_what_a_create_or_an_update_does_not_take_is_refused_by_default(make: Make) -> None:
    sandbox, client = make()
    reference_records(sandbox)
    quote, _ = a_quote(sandbox, client)
    fixed: list[dict[str, Any]] = [
        {"quotenumber": "OTHER"}, {"revisionnumber": 7}, {"modifiedon": "2026-01-01T00:00:00Z"},
    ]  # fmt: skip
    for body in fixed:
        status, code, words = error(client.patch(f"quotes({quote})", json=body))
        assert (status, code) == (400, "0x80048d19")
        assert f"'{next(iter(body))}' of 'quote' is not valid for update" in words
    bodies: list[dict[str, Any]] = [{"merged": True}, {"fullname": "A"}, {"statecode": 1}, {"versionnumber": 5}]
    for body in bodies:
        assert "not valid for create" in error(client.post("contacts", json={"lastname": "L", **body}))[2]
    assert client.patch(f"quotes({quote})", json={"name": None}).status_code == 400
    assert client.post("contacts", json={"firstname": "A"}).status_code == 400
    for value in ("2026-03-02", "2026-03-02T00:00:00"):
        assert client.patch(f"quotes({quote})", json={"expireson": value}).status_code == (
            204 if len(value) == 10 else 400
        )
    assert "Edm.DateTimeOffset" in error(client.patch(f"quotes({quote})", json={"requestdeliveryby": "2026-03-02"}))[2]
    assert client.patch(f"quotes({quote})", json={"requestdeliveryby": "2026-03-01T23:00:00Z"}).status_code == 204


def test_leniency_is_an_option(make: Make) -> None:
    _, client = make(Options(lenient=True))
    made = created(client, "contacts", {"firstname": "A", "fullname": "Other", "statecode": 1})
    assert (made["fullname"], made["statecode"], made["lastname"]) == ("A", 0, None)


def test_recalculation_and_rounding_when_switched_on(make: Make) -> None:
    sandbox, client = make(Options(recalculate=True))
    reference_records(sandbox)
    quote, line = a_quote(sandbox, client, freightamount=5)
    shown = exact(client.get(f"quotedetails({line})"))
    assert (shown["priceperunit"], shown["extendedamount"]) == (Decimal("10.00"), Decimal("30"))
    assert exact(client.get(f"quotes({quote})"))["totalamount"] == 35
    client.patch(f"quotedetails({line})", json={"quantity": 4, "manualdiscountamount": 0.5})
    assert exact(client.get(f"quotes({quote})"))["totalamount"] == Decimal("44.5")
    client.delete(f"quotedetails({line})")
    assert exact(client.get(f"quotes({quote})"))["totalamount"] == 5


def test_activation_rules_when_switched_on(make: Make) -> None:
    sandbox, client = make(Options(activation_rules=True))
    reference_records(sandbox)
    active = {"statecode": 1, "statuscode": 3}
    native, _ = a_quote(sandbox, client, "P2")
    assert "externally maintained" in error(client.patch(f"quotes({native})", json=active))[2]
    quote, line = a_quote(sandbox, client)
    assert client.patch(f"quotes({quote})", json=active).status_code == 204
    assert client.patch(f"quotes({quote})", json={"name": "X"}).status_code == 400
    assert client.patch(f"quotedetails({line})", json={"quantity": 9}).status_code == 400
    assert client.delete(f"quotedetails({line})").status_code == 400
    assert client.patch(f"quotes({quote})", json={"statecode": 2}).status_code == 400
    closing = {"quoteid@odata.bind": f"/quotes({quote})"}
    assert client.post("WinQuote", json={"Status": -1, "QuoteClose": closing}).status_code == 204
    assert client.get(f"quotes({quote})").json()["statuscode"] == 4


def test_a_line_moves_between_drafts_and_neither_joins_nor_leaves_an_active_quote(make: Make) -> None:
    sandbox, client = make()
    reference_records(sandbox)
    (active, locked), (draft, free), (other, _) = (a_quote(sandbox, client) for _ in range(3))
    assert client.patch(f"quotes({active})", json={"statecode": 1, "statuscode": 3}).status_code == 204
    for line, quote in ((free, active), (locked, draft)):
        moved = client.patch(f"quotedetails({line})", json={"quoteid@odata.bind": f"/quotes({quote})"})
        assert moved.status_code == 400
        assert error(moved)[1] == "0x80043b1e"
    moved = client.patch(f"quotedetails({free})", json={"quoteid@odata.bind": f"/quotes({other})"})
    assert moved.status_code == 204


def test_external_products_need_a_price_list_of_their_currency(make: Make) -> None:
    sandbox, client = make()
    reference_records(sandbox)
    body = {
        "productnumber": "P9",
        "name": "P9",
        "msdynce_ismaintainedexternally": True,
        "defaultuomid@odata.bind": f"/uoms({sandbox.records('uoms')[0]['uomid']})",
        "defaultuomscheduleid@odata.bind": address(sandbox, "uomschedules", "name", "Default unit"),
        "transactioncurrencyid@odata.bind": address(sandbox, "transactioncurrencies", "isocurrencycode", "USD"),
    }
    assert "no price list" in error(client.post("products", json=body))[2]
    sandbox.put("pricelevels", {"name": "Any", "transactioncurrencyid.isocurrencycode": "USD"})
    assert client.post("products", json=body).status_code == 204


def test_loading_looks_at_no_rule(make: Make) -> None:
    sandbox, client = make(Options(recalculate=True, activation_rules=True))
    reference_records(sandbox)
    quote = {"quotenumber": "Q", "name": "Q", "statecode": 1, "statuscode": 3, "totalamount": Decimal("7.12345")}
    sandbox.put("quotes", quote)
    line = {"quoteid.quotenumber": "Q", "sequencenumber": 1, "quantity": 2, "extendedamount": 3}
    sandbox.put("quotedetails", line)
    # What is tested is this way itself: a load changes an active quote and its lines, as a restored backup does.
    sandbox.put("quotes", {"quotenumber": "Q", "name": "R"})
    sandbox.put("quotedetails", {**line, "quantity": 5})
    assert exact(client.get(address(sandbox, "quotes", "quotenumber", "Q")))["totalamount"] == Decimal("7.1235")
    assert sandbox.records("quotedetails")[0]["extendedamount"] == 3
    sandbox.delete("quotes", "Q")
    assert sandbox.records("quotedetails") == []


def test_change_set_with_references_is_atomic(make: Make) -> None:
    sandbox, client = make()
    status, parts = send(
        client,
        change_set(
            operation("POST /api/data/v9.2/accounts", '{"accountnumber":"B1","name":"Ö"}', content_id="1"),
            operation(
                "POST contacts",
                '{"lastname":"L","msdynce_contactnumber":"B1","parentcustomerid_account@odata.bind":"$1"}',
                content_id="2",
            ),
            operation("PATCH $1", '{"name":"renamed"}', "If-Match: *\r\n", content_id="3"),
        ),
        operation(f"GET {ROOT}accounts?$select=name&$filter=accountnumber+eq+'B1'"),
    )
    assert status == 200
    assert [(content_id, code) for content_id, code, _ in parts[0]] == [("1", 204), ("2", 204), ("3", 204)]
    assert "OData-EntityId: " + ROOT + "contacts(" in parts[0][1][2]
    assert '"name":"renamed"' in parts[1][2]
    before = sandbox.requests["write"]
    status, parts = send(
        client,
        change_set(
            operation("POST contacts", '{"msdynce_contactnumber":"B2","lastname":"B2"}', content_id="1"),
            operation("POST contacts", '{"msdynce_contactnumber":"B1","lastname":"twice"}', content_id="2"),
        ),
    )
    assert status == 400
    assert [(content_id, code) for content_id, code, _ in parts[0]] == [("2", 412)]
    assert "0x80060892" in parts[0][0][2]
    assert client.get("contacts(msdynce_contactnumber='B2')").status_code == 404
    assert (sandbox.requests["write"] - before, sandbox.requests["batch"]) == (2, 2)


def test_batch_stops_at_a_failure_unless_told_to_go_on(client: httpx2.Client) -> None:
    parts = (
        operation("POST contacts", '{"msdynce_contactnumber":"C1","lastname":"1"}'),
        operation("POST contacts", '{"msdynce_contactnumber":"C1","lastname":"2"}'),
        change_set(
            operation(
                "POST contacts", '{"msdynce_contactnumber":"C3","lastname":"3"}', "Prefer: return=representation\r\n"
            )
        ),
    )
    status, answers = send(client, *parts)
    assert (status, [answer[1] for answer in answers]) == (400, [204, 412])
    status, answers = send(client, *parts, Prefer="odata.continue-on-error")
    assert status == 200
    assert [answer[1] for answer in answers[:2]] == [412, 412]
    assert answers[2][0][1] == 201


def test_batches_that_cannot_be_read(client: httpx2.Client) -> None:
    for content_type, content in (
        ("application/json", b"{}"),
        ("multipart/mixed", b"x"),
        ("multipart/mixed; boundary=b", b"nothing"),
        ("multipart/mixed; boundary=b", b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"),
    ):
        response = client.post("$batch", content=content, headers={"Content-Type": content_type})
        assert response.status_code == 400
    many = [operation("DELETE accounts(x)")] * 1001
    assert send_status(client, many) == 400
    status, parts = send(client, change_set(operation("GET accounts")))
    assert (status, parts[0][0][1]) == (400, 400)
    status, parts = send(client, operation("POST accounts($9)", "{}"))
    assert (status, parts[0][1]) == (400, 400)
    status, parts = send(client, change_set(operation("PATCH $9", "{}")))
    assert "Content-ID Reference: '$9' does not exist in the batch context." in parts[0][0][2]


def send_status(client: httpx2.Client, parts: list[str]) -> int:
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    return client.post("$batch", content=batch("b", *parts), headers=headers).status_code


def test_metadata_for_independent_clients(client: httpx2.Client) -> None:
    found = client.get("EntityDefinitions?$filter=ChangeTrackingEnabled+eq+true&$select=LogicalName,EntitySetName")
    (account,) = (row for row in found.json()["value"] if row["LogicalName"] == "account")
    assert account == {"LogicalName": "account", "EntitySetName": "accounts", "MetadataId": account["MetadataId"]}
    one = client.get("EntityDefinitions?$filter=LogicalName eq 'quote'").json()["value"]
    assert [row["EntitySetName"] for row in one] == ["quotes"]
    definition = client.get("EntityDefinitions(LogicalName='account')").json()
    assert definition["PrimaryIdAttribute"] == "accountid"
    attributes = client.get("EntityDefinitions(LogicalName='account')/Attributes?$select=LogicalName,AttributeType")
    kinds = {row["LogicalName"]: row["AttributeType"] for row in attributes.json()["value"]}
    assert (kinds["name"], kinds["statecode"], kinds["parentaccountid"]) == ("String", "State", "Lookup")
    one_attribute = client.get(
        "EntityDefinitions(LogicalName='account')/Attributes(LogicalName='accountnumber')"
    ).json()
    assert (one_attribute["SchemaName"], one_attribute["MaxLength"]) == ("AccountNumber", 20)
    assert client.get("EntityDefinitions(LogicalName='account')/Keys").json()["value"] == []
    (alternate,) = client.get("EntityDefinitions(LogicalName='contact')/Keys").json()["value"]
    assert alternate["KeyAttributes"] == ["msdynce_contactnumber"]
    for unknown in ("/Attributes(LogicalName='colour')", "/Colours", "/Attributes/Colours", "/Keys/Colours"):
        assert client.get(f"EntityDefinitions(LogicalName='account'){unknown}").status_code == 404
    assert '<EntitySet Name="accounts" EntityType="Microsoft.Dynamics.CRM.account"/>' in client.get("$metadata").text
    assert UUID(client.get("WhoAmI").json()["UserId"]).version == 4


def test_definitions_say_what_the_facts_say_of_kinds_days_and_validity(client: httpx2.Client) -> None:
    def attributes(table: str, kind: str = "") -> dict[str, dict[str, Any]]:
        cast = f"/Microsoft.Dynamics.CRM.{kind}AttributeMetadata" if kind else ""
        answer = exact(client.get(f"EntityDefinitions(LogicalName='{table}')/Attributes{cast}"))
        return {row["LogicalName"]: row for row in answer["value"]}

    quote = attributes("quote")
    kinds = {name: row["AttributeType"] for name, row in quote.items()}
    assert [kinds[name] for name in ("description", "customerid", "versionnumber")] == ["Memo", "Customer", "BigInt"]
    levels = {name: row["RequiredLevel"]["Value"] for name, row in quote.items()}
    assert (levels["quotenumber"], levels["name"], levels["description"]) == (
        "SystemRequired", "ApplicationRequired", "None",
    )  # fmt: skip
    valid = {name: (row["IsValidForCreate"], row["IsValidForUpdate"]) for name, row in quote.items()}
    assert (valid["quotenumber"], valid["statecode"], valid["revisionnumber"]) == (
        (True, False),
        (False, True),
        (False, False),
    )
    assert quote["requestdeliveryby"]["SchemaName"] == "RequestDeliveryBy"
    days = attributes("quote", "DateTime")
    assert {name: (row["DateTimeBehavior"]["Value"], row["Format"]) for name, row in days.items() if "on" in name} == {
        "expireson": ("DateOnly", "DateOnly"), "createdon": ("UserLocal", "DateAndTime"),
        "modifiedon": ("UserLocal", "DateAndTime"),
    }  # fmt: skip
    assert days["requestdeliveryby"]["DateTimeBehavior"] == {"Value": "UserLocal"}
    money = attributes("product", "Money")["price"]
    assert (money["MinValue"], money["PrecisionSource"]) == (0, 1)


def test_definitions_have_identities_that_are_keys_too(make: Make) -> None:
    (_, client), (_, other) = make(), make()
    for below in ("", "/Attributes(LogicalName='lastname')", "/Keys(LogicalName='msdynce_ContactNumber')"):
        found = client.get(f"EntityDefinitions(LogicalName='contact'){below}").json()
        assert other.get(f"EntityDefinitions(LogicalName='contact'){below}").json() == found
        path, bracket, _ = f"EntityDefinitions(LogicalName='contact'){below}".rpartition("(")
        for key in (found["MetadataId"], found["MetadataId"].upper(), f"MetadataId={found['MetadataId']}"):
            assert client.get(f"{path}{bracket}{key})").json() == found
    every = client.get("EntityDefinitions?$expand=Attributes($select=MetadataId),Keys").json()["value"]
    parts = [part for row in every for part in (row, *row["Attributes"], *row["Keys"])]
    assert len({UUID(part["MetadataId"]) for part in parts}) == len(parts)
    assert client.get(f"EntityDefinitions({UUID(int=1)})").status_code == 404
    for key in ("EntitySetName='accounts'", "", "a b", "LogicalName='account',SchemaName='Account'"):
        assert client.get(f"EntityDefinitions({key})").status_code == 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IsPrivate eq false", 9),
        ("IsPrivate eq false and (LogicalName eq 'account' or SchemaName eq 'Contact')", 2),
        ("EntitySetName eq 'quotes' or LogicalName eq 'account' and IsPrivate eq true", 1),
        ("not (EntitySetName eq 'quotes') and LogicalName ne 'account'", 7),
        ("PrimaryNameAttribute eq null", 0),
    ],
)
def test_filters_on_definitions(client: httpx2.Client, text: str, expected: int) -> None:
    assert len(client.get("EntityDefinitions", params={"$filter": text}).json()["value"]) == expected


def test_definitions_with_their_attributes(client: httpx2.Client) -> None:
    inner = "$select=LogicalName;$filter=AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'State'"
    query = f"$select=LogicalName&$expand=Attributes({inner}),Keys($select=KeyAttributes)"
    contact = client.get(f"EntityDefinitions(LogicalName='contact')?{query}").json()
    assert [attribute["LogicalName"] for attribute in contact["Attributes"]] == ["statecode"]
    assert [key["KeyAttributes"] for key in contact["Keys"]] == [["msdynce_contactnumber"]]
    (quote,) = client.get(f"EntityDefinitions?$filter=LogicalName eq 'quote'&{query}").json()["value"]
    assert set(quote) == {"LogicalName", "MetadataId", "Attributes", "Keys"}
    states = "EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM.StateAttributeMetadata"
    (state,) = client.get(f"{states}?$select=LogicalName&$expand=OptionSet($select=Options)").json()["value"]
    labels = {each["Value"]: each["Label"]["UserLocalizedLabel"]["Label"] for each in state["OptionSet"]["Options"]}
    assert labels == {0: "Active", 1: "Inactive"}
    strings = "EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM.StringAttributeMetadata"
    (name,) = client.get(f"{strings}?$select=LogicalName&$filter=MaxLength eq 160").json()["value"]
    assert name["LogicalName"] == "name"


@pytest.mark.parametrize(
    "query",
    [
        "$top=1",
        "$orderby=LogicalName",
        "$count=true",
        "$select=Nosuch",
        "$filter=Nosuch eq 1",
        "$filter=startswith(LogicalName,'a')",
        "$filter=LogicalName gt 'a'",
        "$filter=DisplayName eq 'Account'",
        "$filter=IsPrivate eq maybe",
        "$filter=IsPrivate eq",
        "$expand=OneToManyRelationships",
        "$expand=Attributes(",
        "$expand=Attributes($top=1)",
        "$expand=Attributes($select=MaxLength)",
        "$expand=Attributes($filter=Nosuch eq 1)",
    ],
)
def test_what_definitions_do_not_serve_is_refused(client: httpx2.Client, query: str) -> None:
    assert error(client.get(f"EntityDefinitions?{query}"))[:2] == (400, "0x80060888")
    below = client.get(f"EntityDefinitions(LogicalName='account')/Attributes?{query}")
    assert error(below)[:2] == (400, "0x80060888")


def test_definitions_cannot_be_changed(client: httpx2.Client) -> None:
    assert client.post("EntityDefinitions", json={"SchemaName": "New"}).status_code == 405
    assert client.delete("EntityDefinitions(LogicalName='account')").status_code == 405


def test_throttling_tells_how_long_to_wait(make: Make, clock: Clock) -> None:
    _, client = make(Options(throttle=Throttle(requests=2, seconds=10)))
    assert client.get("accounts").headers["x-ms-ratelimit-burst-remaining-xrm-requests"] == "1"
    clock.now += timedelta(seconds=4)
    client.get("accounts")
    refused = client.get("accounts")
    assert error(refused)[:2] == (429, "0x80072322")
    assert refused.headers["Retry-After"] == "6"
    clock.now += timedelta(seconds=6)
    assert client.get("accounts").status_code == 200


def test_tokens_are_required_and_expire(make: Make, clock: Clock) -> None:
    client_options = Client(client_id="hub", client_secret="s", token_lifetime_seconds=60)
    _, client = make(Options(client=client_options))
    assert client.get("accounts").status_code == 401
    form = {"grant_type": "client_credentials", "client_id": "hub", "client_secret": "s", "scope": "x/.default"}
    url = "http://sales.test/oauth2/v2.0/token"
    assert client.post(url, data={**form, "client_secret": "no"}).status_code == 401
    answer = client.post(url, data=form).json()
    assert (answer["token_type"], answer["expires_in"]) == ("Bearer", 60)
    bearer = {"Authorization": f"Bearer {answer['access_token']}"}
    assert client.get("accounts", headers=bearer).status_code == 200
    clock.now += timedelta(seconds=60)
    assert client.get("accounts", headers=bearer).status_code == 401
    _, fixed = make(Options(token="t"))
    assert fixed.get("accounts", headers={"Authorization": "Bearer t"}).status_code == 200
    assert fixed.get("accounts", headers={"Authorization": "Bearer u"}).status_code == 401


def test_state_survives_in_a_file(make: Make, tmp_path: Path) -> None:
    sandbox, client = make(state=tmp_path / "sales.sqlite")
    created(client, "accounts", {"name": "kept"})
    _, link = tracked(client, "accounts")
    sandbox.close()
    sandbox, client = make(state=tmp_path / "sales.sqlite")
    assert [record["name"] for record in sandbox.records("accounts")] == ["kept"]
    assert tracked(client, link)[0] == []
    assert created(client, "accounts", {"name": "next"})["accountnumber"].startswith("ACC-01001-")
    assert [row["name"] for row in tracked(client, link)[0]] == ["next"]


def test_loading_can_be_repeated_and_reports_what_it_cannot_resolve(make: Make, tmp_path: Path) -> None:
    sandbox, client = make()
    lines = (
        '{"quotedetailid": "00000000-0000-4000-8000-000000000001", "productid.productnumber": "P1", "quantity": 2.50}\n'
    )
    (tmp_path / "quotedetails.jsonl").write_text(lines)
    (tmp_path / "accounts.jsonl").write_text('{"accountnumber": "A", "name": "A", "creditlimit": null}\n')
    with pytest.raises(LoadError, match="P1") as caught:
        sandbox.load(tmp_path)
    assert caught.value.counts == {"accounts": 1, "quotedetails": 0}
    reference_records(sandbox)
    assert sandbox.load(tmp_path) == {"accounts": 1, "quotedetails": 1}
    _, link = tracked(client, "quotedetails")
    assert sandbox.load(tmp_path) == {"accounts": 1, "quotedetails": 1}
    assert tracked(client, link)[0] == []
    number = sandbox.records("products")[0]["productid"]
    assert sandbox.records("quotedetails")[0]["_productid_value"] == number
    (tmp_path / "orders.jsonl").write_text("{}")
    (tmp_path / "accounts.jsonl").write_text('{"accountnumber": "A", "nosuch": 1}\n{]\n')
    with pytest.raises(LoadError) as caught:
        sandbox.load(tmp_path)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["accounts.jsonl"] * 2 + ["orders.jsonl"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"accountnumber":', "2:18: Expecting value"),
        ('{"accountnumber": "A", "name" "N"}', "2:31: Expecting ':' delimiter"),
        ('{"name": "N", "name": "\t"}', "2:24: Invalid control character '\\t'"),
        ('{"name": "N"}, ', "2:14: Extra data"),
        ('["name"]', "2: not an object"),
        ('{"accountnumber": "A", "nosuch": 1}', "2: unknown field 'nosuch'"),
        ('{"name": "N"}', "2: neither accountid nor accountnumber given"),
    ],
)
def test_a_problem_of_loading_is_told_where_it_is(make: Make, tmp_path: Path, line: str, told: str) -> None:
    sandbox, _ = make()
    (tmp_path / "accounts.jsonl").write_text(f"\n{line}\n")
    with pytest.raises(LoadError) as caught:
        sandbox.load(tmp_path)
    assert str(caught.value) == f"{tmp_path}: 1 problem: accounts.jsonl:{told} (mend the file, then load again)"


def test_only_a_missing_reference_is_to_be_loaded_first(make: Make, tmp_path: Path) -> None:
    sandbox, _ = make()
    (tmp_path / "accounts.jsonl").write_text('{\n{"accountnumber": "A", "parentaccountid.accountnumber": "B"}\n')
    with pytest.raises(LoadError, match=r"2 problems: accounts\.jsonl:1:2: .*; accounts\.jsonl:2: ") as caught:
        sandbox.load(tmp_path)
    assert caught.value.hint == "load what they refer to first"


def test_a_backup_may_hold_anything(make: Make, tmp_path: Path) -> None:
    sandbox, client = make()
    odd = '{"accountnumber": "A\\ud800", "name": "N\\u0000", "creditlimit": 1e40, "numberofemployees": "many"}\n'
    (tmp_path / "accounts.jsonl").write_bytes(b"\xef\xbb\xbf" + odd.encode() + b'{"accountnumber": "\xff"}\n')
    with pytest.raises(LoadError, match=r"accounts\.jsonl:2:20: not UTF-8"):
        sandbox.load(tmp_path)
    (record,) = client.get("accounts").json()["value"]
    assert (record["accountnumber"], record["name"], record["numberofemployees"]) == ("A\ud800", "N\x00", "many")
    with pytest.raises(LoadError, match="no such folder"):
        sandbox.load(tmp_path / "none")


def test_two_loaded_records_with_one_unique_number(make: Make, tmp_path: Path) -> None:
    sandbox, _ = make()
    keys = [str(UUID(int=number)) for number in (1, 2)]
    text = "".join(f'{{"productid": "{key}", "productnumber": "A", "name": "N"}}\n' for key in keys)
    (tmp_path / "products.jsonl").write_text(text)
    with pytest.raises(LoadError, match="another record has the same productnumber"):
        sandbox.load(tmp_path)
    assert [record["productid"] for record in sandbox.records("products")] == keys[:1]


def test_people_edit_and_delete_directly(make: Make) -> None:
    sandbox, client = make()
    stored = sandbox.put("contacts", {"msdynce_contactnumber": "C1", "firstname": "Ada", "lastname": "Ambler"})
    assert stored["fullname"] == "Ada Ambler"
    again = sandbox.put("contacts", {"msdynce_contactnumber": "c1", "firstname": "Bela"})
    assert (again["contactid"], again["fullname"]) == (stored["contactid"], "Bela Ambler")
    assert client.get(f"contacts({stored['contactid']})").json()["fullname"] == "Bela Ambler"
    sandbox.delete("contacts", "C1")
    assert sandbox.records("contacts") == []
    with pytest.raises(KeyError):
        sandbox.delete("contacts", "C1")


def test_many_clients_at_once(tmp_path: Path) -> None:
    sandbox = Sandbox("sales", state=tmp_path / "state.sqlite", random=Random(3))

    def work(number: int) -> set[int]:
        with httpx2.Client(base_url=f"{server.url}/api/data/v9.2/") as client:
            urls = [f"contacts(msdynce_contactnumber='{number % 2}-{n}')" for n in range(20)]
            return {client.patch(url, json={"lastname": f"{number}"}).status_code for url in urls}

    with serve(sandbox) as server, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [{204}] * 6
    records = sandbox.records("contacts")
    assert len(records) == 40
    assert len({record["versionnumber"] for record in records}) == 40
    assert sandbox.requests["write"] == 120
    sandbox.close()


def test_served_on_a_socket() -> None:
    sandbox = Sandbox("sales", random=Random(2))
    with serve(sandbox) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        with httpx2.Client(base_url=server.url) as client:
            response = client.post("/api/data/v9.2/accounts", json={"name": "A"})
            assert response.headers["OData-EntityId"].startswith(f"{server.url}/api/data/v9.2/accounts(")
            assert client.get("/nowhere").status_code == 404
            assert client.get("/api/data/v9.2/accounts/$count").text == "1"
    with pytest.raises(httpx2.ConnectError), httpx2.Client() as client:
        client.get(server.url)
    sandbox.close()
