"""The simulated finance and operations system as a client sees it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import httpx2
import pytest
import simplejson

from replicator.sandbox.system import Options, Sandbox
from replicator.sandbox.system_options import Throttle

ROOT = "http://ops.test/data/"
CUSTOMER = {"dataAreaId": "usmf", "CustomerAccount": "C1", "OrganizationName": "Brenholt Mill", "CustomerGroupId": "10"}
HEADER = {
    "dataAreaId": "usmf",
    "SalesQuotationNumber": "Q1",
    "RequestingCustomerAccountNumber": "C1",
    "RequestedShippingDate": "2026-04-01T12:00:00Z",
}
LINE = {
    "dataAreaId": "usmf",
    "SalesQuotationNumber": "Q1",
    "LineCreationSequenceNumber": 1,
    "ProductNumber": "P1",
    "RequestedSalesQuantity": 2,
}
PRODUCT = {
    "dataAreaId": "usmf",
    "ProductNumber": "P1",
    "ProductName": "Caliper",
    "SalesPrice": Decimal("12.50"),
    "SalesUnitSymbol": "ea",
}
CONTACT = {
    "dataAreaId": "usmf",
    "ContactPersonPartyNumber": "K/1",
    "AssociatedContactType": "Customer",
    "AssociatedContactNumber": "C1",
    "FirstName": "Ada",
}
LINE_URL = "CDSSalesQuotationLines(dataAreaId='usmf',LineCreationSequenceNumber=1,SalesQuotationNumber='Q1')"

Make = Callable[..., tuple[Sandbox, httpx2.Client]]


@pytest.fixture
def now() -> list[datetime]:
    return [datetime(2026, 3, 2, 8, 0, tzinfo=UTC)]


@pytest.fixture
def make(now: list[datetime]) -> Iterator[Make]:
    made: list[Sandbox] = []

    def start(options: Options | None = None) -> tuple[Sandbox, httpx2.Client]:
        sandbox = Sandbox("ops", options=options or Options(), clock=lambda: now[0], random=Random(1))
        made.append(sandbox)
        return sandbox, httpx2.Client(transport=httpx2.WSGITransport(app=sandbox.wsgi), base_url=ROOT)

    yield start
    for sandbox in made:
        sandbox.close()


@pytest.fixture
def client(make: Make) -> httpx2.Client:
    return make()[1]


def problem(response: httpx2.Response) -> tuple[int, str]:
    inner = response.json()["error"]["innererror"]
    assert response.json()["error"]["message"] == "An error has occurred."
    if response.status_code == 500:
        assert inner["type"].endswith(".AxODataWriteException")
    return response.status_code, inner["message"]


def created(client: httpx2.Client, entity_set: str, body: dict[str, Any]) -> dict[str, Any]:
    response = client.post(entity_set, content=simplejson.dumps(body, use_decimal=True))
    assert response.status_code == 201, response.text
    record: dict[str, Any] = simplejson.loads(response.text, use_decimal=True)
    return record


def test_create_answers_with_the_whole_record_and_its_empty_values(client: httpx2.Client) -> None:
    record = created(client, "CustomersV3", CUSTOMER)
    assert record["LanguageId"] == "en-us"
    assert record["IsExternallyMaintained"] == "No"
    assert (record["CreditLimit"], record["SalesMemo"]) == (0, "")
    assert record["AddressValidFrom"] == "1900-01-01T12:00:00Z"
    assert base64.b64decode(record["@odata.etag"][3:-1]).startswith(b"'1")
    assert (
        client.get("CustomersV3(dataAreaId='usmf',CustomerAccount='C1')").json()["OrganizationName"] == "Brenholt Mill"
    )


def test_keys_need_all_parts_and_ignore_case_and_trailing_blanks(client: httpx2.Client) -> None:
    created(client, "CustomersV3", {**CUSTOMER, "CustomerAccount": "o'A/1"})
    url = "CustomersV3(dataAreaId='USMF',CustomerAccount='O''a%2F1 ')"
    assert client.get(url).status_code == 200
    assert client.patch(url, json={"SalesMemo": "x", "CustomerAccount": "O'A/1"}).status_code == 204
    status, message = problem(client.get("CustomersV3('x')"))
    assert (status, "number of keys" in message) == (400, True)
    assert client.get("CustomersV3(dataAreaId='usmf',CustomerAccount='none')").status_code == 404
    assert "cannot be changed" in problem(client.patch(url, json={"CustomerAccount": "other"}))[1]
    again = client.post("CustomersV3", json={**CUSTOMER, "CustomerAccount": "O'a/1"})
    assert problem(again) == (
        500,
        "Create failed for table row of type 'CustCustomerV3Entity'. Infolog: Info: Cannot create a record in "
        "Customers (CustCustomerV3Entity). The record already exists.",
    )


def test_an_enumeration_in_a_key_is_written_with_the_full_name_of_its_type(client: httpx2.Client) -> None:
    created(client, "CustomersV3", CUSTOMER)
    made = created(client, "CDSContactPersonsV2", CONTACT)
    type_ = "Microsoft.Dynamics.DataEntities.smmContactPersonCDSAssociatedContactType"

    def got(symbol: str) -> httpx2.Response:
        key = "dataAreaId='usmf',ContactPersonPartyNumber='K%2F1',AssociatedContactNumber='c1'"
        return client.get(f"CDSContactPersonsV2({key},AssociatedContactType={symbol})")

    assert made["FirstName"] == got(f"{type_}'Customer'").json()["FirstName"] == "Ada"
    for symbol in ("'Customer'", "0", type_.lower() + "'Customer'", type_.replace("CDS", "Cds") + "'Customer'"):
        assert got(symbol).status_code == 400, symbol


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        (
            {"CustomerGroupId": "Local"},
            500,
            "'Local' in field 'Customer group' is not found in the related table 'Customer groups'",
        ),
        ({"CustomerGroupId": ""}, 500, "Field 'Customer group' must be filled in"),
        ({"SiteId": "99"}, 500, "'Sites'"),
        ({"SalesCurrencyCode": "XXX"}, 500, "'Currencies'"),
        ({"LanguageId": "xx"}, 500, "'Languages'"),
        ({"AddressStreet": "S", "AddressCountryRegionISOCode": "Atlantis"}, 500, "'Iso countries'"),
        ({"AddressStreet": "S"}, 500, "Field 'Country/region ISO' must be filled in"),
        ({"OrganizationName": "x" * 101}, 500, "too long"),
        ({"OrganizationName": None}, 500, "Field 'Name' must be filled in"),
        ({"dataAreaId": "zzzz"}, 500, "'Legal entities'"),
        ({"CreditLimit": -1}, 500, "Credit limit"),
        ({"CreditLimit": None}, 400, "Nullable=False"),
        ({"CreditLimit": "5"}, 400, "Edm.Decimal"),
        ({"OnHoldStatus": "Perhaps"}, 400, "'CustVendorBlocked'"),
        (
            {"InvoiceAccount": "C9"},
            500,
            "'C9' in field 'Invoice account' is not found in the related table 'Customers'",
        ),
        (
            {"Nosuch": 1},
            400,
            "The property 'Nosuch' does not exist on type 'Microsoft.Dynamics.DataEntities.CustomerV3'.",
        ),
    ],
)
def test_what_customers_are_refused_for(client: httpx2.Client, change: dict[str, Any], status: int, words: str) -> None:
    found, message = problem(client.post("CustomersV3", json={**CUSTOMER, **change}))
    assert found == status
    assert words in message
    assert client.get("CustomersV3/$count").text == "0"


def test_a_refused_update_changes_nothing(client: httpx2.Client) -> None:
    created(client, "CustomersV3", CUSTOMER)
    url = "CustomersV3(dataAreaId='usmf',CustomerAccount='C1')"
    before = client.get(url).json()
    message = problem(client.patch(url, json={"SalesMemo": "x", "CustomerGroupId": "Local"}))[1]
    assert "Warning: validateField failed on field 'CustCustomerV3Entity.CustomerGroupId'." in message
    assert client.get(url).json() == before


def quotation(client: httpx2.Client, **customer: str) -> None:
    created(client, "SellableReleasedProducts", PRODUCT)
    created(client, "CustomersV3", {**CUSTOMER, **customer})
    created(client, "CDSSalesQuotationHeaders", HEADER)


def test_parents_come_first(client: httpx2.Client) -> None:
    assert "related table 'Customers'" in problem(client.post("CDSSalesQuotationHeaders", json=HEADER))[1]
    assert "related table 'Customers'" in problem(client.post("CDSContactPersonsV2", json=CONTACT))[1]
    message = problem(client.post("CDSSalesQuotationLines", json=LINE))[1]
    assert "'Q1' in field 'Quotation' is not found" in message
    assert "'P1' in field 'Item number' is not found" in message


def test_lines_take_defaults_from_header_and_product(client: httpx2.Client) -> None:
    quotation(client, SiteId="1", WarehouseId="13", SalesCurrencyCode="EUR")
    line = created(client, "CDSSalesQuotationLines", LINE)
    assert line["SalesPrice"] == Decimal("12.50")
    shown = ("ProductName", "SalesUnitSymbol", "CurrencyCode", "ShippingSiteId", "RequestedReceiptDate")
    assert [line[name] for name in shown] == ["Caliper", "ea", "EUR", "1", "2026-04-01T12:00:00Z"]
    header = client.get("CDSSalesQuotationHeaders(dataAreaId='usmf',SalesQuotationNumber='q1')").json()
    assert (header["SalesQuotationName"], header["InvoiceCustomerAccountNumber"]) == ("Brenholt Mill", "C1")


def test_a_line_needs_a_site_and_a_header_its_date(client: httpx2.Client) -> None:
    quotation(client)
    message = problem(client.post("CDSSalesQuotationLines", json=LINE))[1]
    assert "Inventory dimension Site is mandatory and must consequently be specified." in message
    blank = {**HEADER, "SalesQuotationNumber": "Q2", "RequestedShippingDate": "1900-01-01T12:00:00Z"}
    assert "'Requested ship date'" in problem(client.post("CDSSalesQuotationHeaders", json=blank))[1]


def test_deletes_cascade_to_lines_and_are_refused_for_parents(client: httpx2.Client) -> None:
    quotation(client, SiteId="1")
    created(client, "CDSSalesQuotationLines", LINE)
    for url in (
        "CustomersV3(dataAreaId='usmf',CustomerAccount='C1')",
        "SellableReleasedProducts(dataAreaId='usmf',ProductNumber='P1')",
    ):
        assert "Cannot delete a record" in problem(client.delete(url))[1]
    assert client.delete("CDSSalesQuotationHeaders(dataAreaId='usmf',SalesQuotationNumber='Q1')").status_code == 204
    assert client.get(LINE_URL).status_code == 404
    assert client.delete("CustomersV3(dataAreaId='usmf',CustomerAccount='C1')").status_code == 204


def test_totals_when_recalculation_is_switched_on(make: Make) -> None:
    _, client = make(Options(recalculate=True))
    quotation(client, SiteId="1")
    line = created(client, "CDSSalesQuotationLines", {**LINE, "SalesPrice": Decimal("3.335"), "TotalDiscountAmount": 1})
    assert line["LineAmount"] == Decimal("5.67")
    url = "CDSSalesQuotationHeaders(dataAreaId='usmf',SalesQuotationNumber='Q1')"
    assert client.get(url).json()["QuotationTotalAmount"] == 5.67
    client.patch(LINE_URL, json={"RequestedSalesQuantity": 4})
    assert client.get(url).json()["QuotationTotalAmount"] == 12.34


def test_versions_and_updates(client: httpx2.Client) -> None:
    created(client, "CustomersV3", CUSTOMER)
    url = "CustomersV3(dataAreaId='usmf',CustomerAccount='C1')"
    tag = client.get(url).headers["ETag"]
    assert client.patch(url, json={"CustomerGroupId": "10"}).content == b""
    assert client.get(url).headers["ETag"] == tag
    assert client.patch(url, json={"SalesMemo": "new"}, headers={"If-Match": tag}).status_code == 204
    assert client.patch(url, json={"SalesMemo": "newer"}, headers={"If-Match": tag}).status_code == 412
    assert client.delete(url, headers={"If-Match": tag}).status_code == 412
    assert client.delete(url, headers={"If-Match": "*"}).status_code == 204
    assert client.patch(url, json={}).status_code == 404


def customers(client: httpx2.Client, query: str) -> list[str]:
    response = client.get(f"CustomersV3?{query}")
    assert response.status_code == 200, response.text
    return [row["CustomerAccount"] for row in response.json()["value"]]


def test_queries_and_companies(client: httpx2.Client) -> None:
    for number, company in enumerate(("usmf", "usmf", "usrt", "usmf")):
        hold = "All" if number == 1 else "No"
        body = {
            **CUSTOMER,
            "dataAreaId": company,
            "CustomerAccount": f"C{number}",
            "OnHoldStatus": hold,
            "CreditLimit": number,
        }
        created(client, "CustomersV3", body)
    assert customers(client, "") == ["C0", "C1", "C3"]
    assert customers(client, "cross-company=true") == ["C0", "C1", "C2", "C3"]
    assert customers(client, "$filter=dataAreaId eq 'usrt'&cross-company=true") == ["C2"]
    assert customers(client, "$filter=OnHoldStatus eq Microsoft.Dynamics.DataEntities.CustVendorBlocked'All'") == ["C1"]
    assert customers(client, "$filter=CreditLimit gt 0 and OnHoldStatus ne 'All'") == ["C3"]
    assert customers(client, "$filter=CustomerAccount eq '*3'") == ["C3"]
    assert customers(client, "$orderby=CreditLimit desc&$top=2") == ["C3", "C1"]
    assert customers(client, "$skip=1") == ["C1", "C3"]
    row = client.get("CustomersV3?$select=CreditLimit&$top=1&$count=true").json()
    assert (row["@odata.count"], set(row["value"][0])) == (3, {"@odata.etag", "CreditLimit"})
    url = "CustomersV3(dataAreaId='usrt',CustomerAccount='C2')"
    assert client.get(url).status_code == 404
    assert client.get(f"{url}?cross-company=true").status_code == 200
    for query in ("$filter=Nosuch eq 1", "$select=Nosuch", "$orderby=Nosuch", "$filter=x", "$top=x", "$apply=x"):
        assert client.get(f"CustomersV3?{query}").status_code == 400
    assert problem(client.get("Nosuch"))[0] == 404


@pytest.mark.parametrize("name", ["$expand", "$apply", "$filter", "$top"])
def test_options_that_one_record_does_not_serve_are_refused(client: httpx2.Client, name: str) -> None:
    created(client, "CustomersV3", CUSTOMER)
    url = f"CustomersV3(dataAreaId='usmf',CustomerAccount='{CUSTOMER['CustomerAccount']}')"
    assert client.get(f"{url}?$select=CustomerAccount&cross-company=true").status_code == 200
    words = f"The query specified in the URI is not valid. Query option '{name}' is not allowed."
    assert problem(client.get(url, params={name: "x"})) == (400, words)
    assert client.patch(url, params={name: "x"}, json={"OrganizationName": "N"}).status_code == 400


def test_the_server_pages(make: Make) -> None:
    sandbox, client = make(Options(page_size=3))
    for number in range(7):
        sandbox.put("CustomersV3", {"CustomerAccount": f"C{number}", "OrganizationName": "N"})
    for query in ("", "?$orderby=CustomerAccount desc", "?$skip=1", "?$top=5"):
        names: list[str] = []
        url, pages = f"CustomersV3{query}", 0
        while url:
            page = client.get(url).json()
            names += [row["CustomerAccount"] for row in page["value"]]
            url, pages = page.get("@odata.nextLink", ""), pages + 1
        expected = {"": 7, "?$orderby=CustomerAccount desc": 7, "?$skip=1": 6, "?$top=5": 5}[query]
        assert (len(names), len(set(names)), pages) == (expected, expected, -(-expected // 3))


def test_batches_hide_failures_behind_success(client: httpx2.Client) -> None:
    created(client, "CustomersV3", CUSTOMER)

    def part(line: str, body: dict[str, Any], number: str) -> str:
        return (
            f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n"
            f"{line} HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{simplejson.dumps(body)}\r\n"
        )

    def change_set(*parts: str) -> str:
        inner = "".join(f"--c\r\n{part}" for part in parts)
        return f"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n{inner}--c--\r\n"

    good = part("POST CDSSalesQuotationHeaders", HEADER, "7")
    bad = part("POST /data/CDSSalesQuotationLines", LINE, "8")
    later = part("PATCH CustomersV3(dataAreaId='usmf',CustomerAccount='C1')", {"SalesMemo": "done"}, "9")
    body = change_set(good, bad) + change_set(later) + "--b--\r\n"
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    response = client.post("$batch", content=body, headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("multipart/mixed; boundary=batchresponse_")
    first, second = response.text.split("HTTP/1.1 ")[1:]
    assert first.startswith("500")
    assert "Content-ID: 7" in response.text.split("HTTP/1.1 ")[0]
    assert "AxODataWriteException" in first
    assert second.startswith("204")
    assert client.get("CDSSalesQuotationHeaders/$count").text == "0"
    assert client.get("CustomersV3(dataAreaId='usmf',CustomerAccount='C1')").json()["SalesMemo"] == "done"


def test_throttling(make: Make, now: list[datetime]) -> None:
    _, client = make(Options(throttle=Throttle(requests=1, seconds=5)))
    client.get("CustomersV3")
    refused = client.get("CustomersV3")
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert "due to system experiencing high resource utilization" in problem(refused)[1]
    now[0] += timedelta(seconds=5)
    assert client.get("CustomersV3").status_code == 200


def test_what_a_person_does_directly(make: Make) -> None:
    sandbox, client = make()
    stored = sandbox.put("SellableReleasedProducts", {"ProductNumber": "P1", "SalesPrice": Decimal("1.10")})
    assert (stored["dataAreaId"], stored["ProductType"], stored["UnitCost"]) == ("usmf", "Item", 0)
    sandbox.put("SellableReleasedProducts", {"ProductNumber": "p1 ", "ProductName": "Clamp"})
    (record,) = sandbox.records("SellableReleasedProducts")
    assert (record["ProductNumber"], record["ProductName"], str(record["SalesPrice"])) == ("P1", "Clamp", "1.10")
    assert '"SalesPrice":1.10' in client.get("SellableReleasedProducts").text
    sandbox.delete("SellableReleasedProducts", "usmf", "P1")
    assert client.get("SellableReleasedProducts").json()["value"] == []
