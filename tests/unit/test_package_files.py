"""Packages of the kind that Finance and Operations exports, as real ones differ: what is read, and what is refused."""

from __future__ import annotations

import csv
import io
import struct
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replicator.connectors.finops import FinOps
from replicator.connectors.finops_package import pages
from replicator.connectors.finops_package_files import rows
from replicator.connectors.finops_package_rows import PackageUnusable, Wanted
from replicator.connectors.odata.connector import Decode
from replicator.connectors.odata.odata_settings import FinOpsSettings
from replicator.connectors.protocol import FieldProblem, Row
from replicator.mapping.language import EntitySetSpec, SystemField

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "dmf"


def spec(**fields: dict[str, Any]) -> EntitySetSpec:
    declared = {name: SystemField.model_validate(field) for name, field in fields.items()}
    return EntitySetSpec(entity_set="Things", description="", key=("dataAreaId", "Code"), fields=declared)


THINGS = spec(
    dataAreaId={},
    Code={},
    Title={},
    Kind={"enum": "ThingKind"},
    Amount={"type": "decimal"},
    Pieces={"type": "integer"},
    IsOld={"type": "boolean"},
    Bought={"type": "date"},
    Seen={"type": "timestamp"},
)
HEAD = "CODE,TITLE,KIND,AMOUNT,PIECES,ISOLD,BOUGHT,SEEN"
LINE = "A1,Vice,Tool,12.500000,3,Yes,2016-01-31 00:00:00,2016-01-31 08:30:00"
ROW: dict[str, object] = {
    "dataAreaId": "usmf",
    "Code": "A1",
    "Title": "Vice",
    "Kind": "Tool",
    "Amount": Decimal("12.500000"),
    "Pieces": 3,
    "IsOld": "Yes",
    "Bought": "2016-01-31T12:00:00Z",
    "Seen": "2016-01-31T08:30:00Z",
}


CONNECTOR = FinOps(
    "ops",
    FinOpsSettings(kind="finops", url="https://ops.test"),
    transport=httpx2.MockTransport(lambda _: httpx2.Response(500)),
)


def decoder(entity_set: EntitySetSpec) -> Decode:
    return CONNECTOR.decoder(entity_set)


def wanted(entity_set: EntitySetSpec = THINGS, **more: Any) -> Wanted:
    key = {name: entity_set.fields[name] for name in entity_set.key}
    values = {"entity": "Things V2", "legal_entity": "USMF", "what": "ops: the export", "largest": 2**20, **more}
    return Wanted(entity_set, read_key=decoder(entity_set.model_copy(update={"fields": key})), **values)


def packed(files: dict[str, bytes], how: int = ZIP_DEFLATED) -> io.BytesIO:
    file = io.BytesIO()
    with ZipFile(file, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file


def read(text: str | bytes, entity_set: EntitySetSpec = THINGS, name: str = "Things V2.csv", **more: Any) -> list[Row]:
    content = text.encode() if isinstance(text, str) else text
    return list(rows(packed({name: content}), wanted(entity_set, **more)))


def one(**values: str) -> Row:
    """The row of a line in which these columns are different."""
    texts = dict(zip(HEAD.split(","), LINE.split(","), strict=True)) | {name.upper(): it for name, it in values.items()}
    text = io.StringIO()
    csv.writer(text).writerows([list(texts), list(texts.values())])
    (row,) = read(text.getvalue())
    return row


def decoded(row: Row, entity_set: EntitySetSpec = THINGS) -> dict[str, object]:
    return dict(zip([*entity_set.fields, "etag"], decoder(entity_set)(row), strict=True))


def manifest(*entities: tuple[str, str], refresh: str = "") -> bytes:
    data = "".join(
        f"<DataManagementPackageEntityData><EntityMapList><EntityMap><EntityField>X</EntityField></EntityMap>"
        f"</EntityMapList><EntityName>{entity}</EntityName><InputFilePath>{file}</InputFilePath>{refresh}"
        f"</DataManagementPackageEntityData>"
        for entity, file in entities
    )
    namespace = "http://schemas.microsoft.com/dynamics/2015/01/DataManagement"
    text = f'<P xmlns="{namespace}"><PackageEntityList>{data}</PackageEntityList></P>'
    return text.encode("utf-16")


def test_a_line_becomes_the_row_that_odata_would_give() -> None:
    assert read(f"{HEAD}\r\n{LINE}\r\n") == [ROW]
    assert decoded(ROW)["Amount"] == Decimal("12.5")
    assert decoded(ROW)["etag"] is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_columns_are_parted_by_what_parts_the_head(delimiter: str) -> None:
    assert read(f"{HEAD}\n{LINE}\n".replace(",", delimiter)) == [ROW]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_text_may_be_in_any_of_the_usual_encodings(encoding: str) -> None:
    (row,) = read(f"{HEAD}\n{LINE.replace('Vice', 'Schräubstöck 値 🎉')}\n".encode(encoding))
    assert row["Title"] == "Schräubstöck 値 🎉"


def test_a_text_in_quotes_may_hold_what_parts_columns_and_lines() -> None:
    assert one(title='5" pipe, long;\r\nwith a second line\n\n')["Title"] == '5" pipe, long;\r\nwith a second line\n\n'
    quoted = ",".join(f'"{name}"' for name in HEAD.split(","))
    assert read(f"{quoted}\n{LINE}") == [ROW]


def test_columns_are_found_in_any_order_and_case_and_those_not_declared_are_left_out() -> None:
    names, values = HEAD.lower().split(",")[::-1], LINE.split(",")[::-1]
    assert read(f"SURPLUS,{','.join(names)},DataAreaId\n1,{','.join(values)},GBSI\n") == [ROW | {"dataAreaId": "gbsi"}]


def test_a_missing_column_ends_the_read_and_is_named() -> None:
    with pytest.raises(PackageUnusable, match=r"no column for Title, Seen") as caught:
        read("CODE,KIND,AMOUNT,PIECES,ISOLD,BOUGHT\nA1,Tool,1,1,Yes,2016-01-31 00:00:00\n")
    assert "take them out of schema/" in caught.value.hint
    with pytest.raises(PackageUnusable, match="no column for Code, Title"):
        read("")
    with pytest.raises(PackageUnusable, match="several columns for Title"):
        read(f"{HEAD},title\n{LINE},Vise\n")


def test_a_head_without_lines_is_a_company_without_records() -> None:
    assert read(HEAD) == []


@pytest.mark.parametrize("none", ["", "1900-01-01 00:00:00", "1900-01-01T00:00:00", "1900-01-01T00:00:00+02:00"])
def test_no_date_is_written_in_several_ways(none: str) -> None:
    row = one(bought=none, seen=none)
    assert row["Bought"] == row["Seen"] == "1900-01-01T12:00:00Z"
    assert decoded(row)["Bought"] is decoded(row)["Seen"] is None


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2016-01-31", "2016-01-31T12:00:00Z"),
        ("2016-01-31T00:00:00", "2016-01-31T12:00:00Z"),
        ("2016-01-31 00:00:00.0000000", "2016-01-31T12:00:00Z"),
        ("2016-01-31T00:00:00+02:00", "2016-01-31T12:00:00Z"),
        ("2016-01-31T12:00:00Z", "2016-01-31T12:00:00Z"),
        ("2154-12-31 23:59:59", "2154-12-31T23:59:59Z"),
        ("8/25/2020 13:03", "8/25/2020 13:03"),
        ("31.01.2016", "31.01.2016"),
        ("2016-02-31 00:00:00", "2016-02-31 00:00:00"),
        ("0001-01-01 08:00:00+10:00", "0001-01-01 08:00:00+10:00"),
    ],
)
def test_a_day_is_that_which_is_written(day: str, expected: str) -> None:
    assert one(bought=day)["Bought"] == expected


def test_an_instant_is_brought_to_utc_and_without_a_zone_is_taken_for_it() -> None:
    assert one(seen="2016-01-31T08:30:00+02:00")["Seen"] == "2016-01-31T06:30:00Z"
    assert one(seen="2016-01-31 08:30:00.1234567")["Seen"] == "2016-01-31T08:30:00.123456Z"


def test_a_day_that_is_stored_as_an_instant_stays_one() -> None:
    stored = THINGS.model_copy(
        update={"fields": THINGS.fields | {"Bought": SystemField(type="date", stored_as="local midnight")}}
    )
    (row,) = read(f"{HEAD}\n{LINE.replace('2016-01-31 00:00:00', '2016-01-30 23:00:00')}\n", stored)
    assert row["Bought"] == "2016-01-30T23:00:00Z"


@pytest.mark.parametrize(("text", "number"), [("", 0), ("0", 0), ("-12", -12), ("0.000000", Decimal("0.000000"))])
def test_a_number_is_written_with_a_point_and_none_is_zero(text: str, number: object) -> None:
    assert one(amount=text)["Amount"] == one(pieces=text)["Pieces"] == number


def test_a_symbol_or_nothing_is_what_an_enumeration_has() -> None:
    assert one(kind="HandTool_2")["Kind"] == "HandTool_2"
    assert one(kind="", isold="")["Kind"] is None
    assert decoded(one(isold=""))["IsOld"] is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Kind", "2"),
        ("Kind", "Hand tool"),
        ("Amount", "1,234.50"),
        ("Amount", "12,50"),
        ("Amount", "1E3"),
        ("Amount", "NaN"),
        ("Amount", "9" * 5000),
        ("Pieces", "٣"),
        ("Pieces", "3.5"),
        ("Pieces", " 3"),
        ("IsOld", "1"),
        ("IsOld", "yes"),
        ("Bought", "8/25/2020 13:03"),
        ("Bought", "2016-13-01 00:00:00"),
        ("Seen", "yesterday"),
        ("Title", "\x00"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_row_alone(name: str, text: str) -> None:
    row = one(**{name: text})
    assert (row["dataAreaId"], row["Code"]) == ("usmf", "A1")
    with pytest.raises(FieldProblem) as caught:
        decoded(row)
    assert caught.value.field == name


@pytest.mark.parametrize("line", ["A2,Vice", "A2,Vice,Tool,1,1,Yes,2016-01-31,2016-01-31,too,many"])
def test_a_line_too_short_or_too_long_is_refused_alone_under_its_key(line: str) -> None:
    before, broken, after = read(f"{HEAD}\n{LINE}\n{line}\n{LINE.replace('A1', 'A3')}\n")
    assert (before, after) == (ROW, ROW | {"Code": "A3"})
    assert (broken["dataAreaId"], broken["Code"]) == ("usmf", "A2")
    with pytest.raises(
        FieldProblem, match=r"^Title: \[\"line 3 has \d+ values, and the file 8 columns\"\] is not a text"
    ):
        decoded(broken)


def test_a_set_of_keys_alone_refuses_a_broken_line_too() -> None:
    keys = spec(dataAreaId={}, Code={})
    (row,) = read("CODE,OTHER\nA1,x,y\n", keys)
    with pytest.raises(FieldProblem):
        decoded(row, keys)


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("CODE,TITLE", "A1"),  # the value may be cut
        ("CODE,TITLE", ",a,b"),
        ("TITLE,CODE", "a,b,A1"),  # the key is somewhere
        ("DATAAREAID,TITLE,CODE", "usmf,A1"),
    ],
)
def test_a_broken_line_of_which_the_key_is_not_sure_ends_the_read(head: str, line: str) -> None:
    things = spec(dataAreaId={}, Code={}, Title={})
    with pytest.raises(PackageUnusable, match=r"line 2 has .* which record it is cannot be read"):
        read(f"{head}\n{line}\n", things)


def test_a_company_at_the_end_of_a_broken_line_is_that_of_the_export() -> None:
    things = spec(dataAreaId={}, Code={}, Title={})
    (row,) = read("CODE,TITLE,DATAAREAID\nA1,a,b,USMF\n", things)
    assert (row["dataAreaId"], row["Code"]) == ("usmf", "A1")


@pytest.mark.parametrize("line", [LINE.replace("Vice", '"Vi"ce'), LINE.replace("Vice", '"Vice'), '"' + "x" * 200_000])
def test_broken_quotes_end_the_read(line: str) -> None:
    with pytest.raises(PackageUnusable, match=r"the quotes of line \d+ are broken"):
        read(f"{HEAD}\n{LINE}\n{line}\n{LINE}\n")


def test_bytes_that_are_no_character_are_refused_with_their_row_or_with_their_key_end_the_read() -> None:
    text = f"{HEAD}\n{LINE}\n"
    (row,) = read(text.replace("Vice", "Schräg").encode("cp1252"))
    with pytest.raises(FieldProblem, match="Title"):
        decoded(row)
    with pytest.raises(PackageUnusable, match="line 2: which record it is cannot be read: Code"):
        read(text.replace("A1", "Ä1").encode("cp1252"))
    with pytest.raises(PackageUnusable, match="not written in utf-16"):
        read(text.encode("utf-16")[:-1])


@pytest.mark.parametrize(
    ("field", "text"),
    [({"type": "integer"}, "1,000"), ({"type": "date"}, "8/25/2020 13:03"), ({"enum": "ThingKind"}, "2"), ({}, "\x00")],
)
def test_a_key_that_does_not_fit_ends_the_read_for_its_record_would_seem_to_be_gone(
    field: dict[str, Any], text: str
) -> None:
    things = spec(dataAreaId={}, Code=field, Title={})
    with pytest.raises(PackageUnusable, match="line 2: which record it is cannot be read: Code"):
        read(f'CODE,TITLE\n"{text}",Vice\n', things)


XML_ROW = "".join(f"<{name}>{text}</{name}>" for name, text in zip(HEAD.split(","), LINE.split(","), strict=True))
XML_ATTRIBUTES = " ".join(f'{name}="{text}"' for name, text in zip(HEAD.split(","), LINE.split(","), strict=True))


@pytest.mark.parametrize("record", [f"<THING>{XML_ROW}<SURPLUS>1<X/></SURPLUS></THING>", f"<THING {XML_ATTRIBUTES}/>"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_xml_has_values_in_elements_or_in_attributes(record: str, encoding: str) -> None:
    text = f'<?xml version="1.0"?>\r\n<Document>\n  {record}\n  {record.replace("Vice", "Vi&amp;ce")}\n</Document>'
    assert read(text.encode(encoding), name="Things V2.xml") == [ROW, ROW | {"Title": "Vi&ce"}]


def test_xml_of_several_pieces_is_read_to_its_end() -> None:
    record = f"<THING>{XML_ROW}</THING>"
    found = read(f"<D>{record * 1000}</D>", name="Things V2.xml")
    assert len(found) == 1000
    assert all(row == ROW for row in found)
    assert read("<D/>", name="Things V2.xml") == []


def test_a_column_that_xml_lacks_at_once_ends_the_read_and_later_refuses_the_record() -> None:
    whole, without = f"<T>{XML_ROW}</T>", f"<T>{XML_ROW.replace('<TITLE>Vice</TITLE>', '')}</T>"
    with pytest.raises(PackageUnusable, match="no column for Title"):
        read(f"<D>{without}{whole}</D>", name="Things V2.xml")
    first, second = read(f"<D>{whole}{without}</D>", name="Things V2.xml")
    assert first == ROW
    with pytest.raises(FieldProblem, match="Title: is missing"):
        decoded(second)
    with pytest.raises(PackageUnusable, match="record 2: which record it is cannot be read"):
        read(f"<D>{whole}<T/></D>", name="Things V2.xml")


@pytest.mark.parametrize(
    ("text", "words"), [("<D><T>", "broken XML"), ("<!DOCTYPE D [<!ENTITY a 'b'>]><D/>", "declares a document type")]
)
def test_xml_that_is_broken_or_dangerous_ends_the_read(text: str, words: str) -> None:
    with pytest.raises(PackageUnusable, match=words):
        read(text, name="Things V2.xml")


FILE = f"{HEAD}\n{LINE}\n".encode()


@pytest.mark.parametrize(
    "files",
    [
        {"whatever.csv": FILE},
        {"Things V2.csv": FILE, "Others.csv": b"X\n", "PackageHeader.xml": b"<X/>"},
        {"a.csv": FILE, "b.csv": b"X\n", "Manifest.xml": manifest(("Others", "b.csv"), ("THINGS V2", "a.csv"))},
        {"a.csv": FILE, "Manifest.xml": manifest(("Things V2", r"C:\temp\A.csv"))},
        {"a.csv": FILE, "picture.png": b""},
    ],
)
def test_the_file_of_the_entity_is_found(files: dict[str, bytes]) -> None:
    assert list(rows(packed(files), wanted())) == [ROW]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"PackageHeader.xml": b"<X/>"}, r"no file of the entity 'Things V2' \(nothing\)"),
        ({"a.csv": FILE, "b.csv": FILE}, r"several files that may be of the entity 'Things V2' \('a.csv', 'b.csv'\)"),
        ({"Things V2.csv": FILE, "things v2.xml": b"<D/>"}, "several files"),
        ({"a.csv": FILE, "Manifest.xml": manifest(("Others", "a.csv"))}, r"does not hold the entity .*holds 'Others'"),
        ({"a.csv": FILE, "Manifest.xml": manifest(("Things V2", "b.csv"))}, r"no file of the entity .*'a.csv'"),
        ({"a.csv": FILE, "Manifest.xml": manifest(*[("Things V2", "a.csv")] * 2)}, "more than once"),
        ({"a.csv": FILE, "Manifest.xml": b"<P>"}, "the manifest of the package: broken XML"),
        ({"a.xlsx": FILE, "Manifest.xml": manifest(("Things V2", "a.xlsx"))}, "'a.xlsx' is neither CSV nor XML"),
        ({"a.csv": b"x" * (2**20 + 1)}, "'a.csv' unpacks to 1048577 bytes, and 1048576 are allowed"),
        ({"a.csv": FILE, "Manifest.xml": b" " * (2**24 + 1)}, "unpacks to 16777217 bytes"),
    ],
)
def test_a_package_that_does_not_tell_which_file_it_is_or_is_a_bomb_is_refused(
    files: dict[str, bytes], words: str
) -> None:
    with pytest.raises(PackageUnusable, match=words) as caught:
        list(rows(packed(files), wanted()))
    assert caught.value.message.startswith("ops: the export: ")
    assert "nothing of it is used" in caught.value.hint


@pytest.mark.parametrize(("refresh", "whole"), [("FullPush", True), ("IncrementalPush", False)])
def test_a_project_that_exports_only_what_changed_is_refused(refresh: str, whole: bool) -> None:
    about = manifest(("Things V2", "a.csv"), refresh=f"<DefaultRefreshType>{refresh}</DefaultRefreshType>")
    package = packed({"a.csv": FILE, "Manifest.xml": about})
    if whole:
        assert list(rows(package, wanted())) == [ROW]
    else:
        with pytest.raises(PackageUnusable, match=f"does not export all records \\('{refresh}'\\)"):
            list(rows(package, wanted()))


def changed(package: io.BytesIO, place: int, value: bytes) -> io.BytesIO:
    """A package with other bytes in the entry of its first file in the directory."""
    content = bytearray(package.getvalue())
    start = content.index(b"PK\x01\x02") + place
    content[start : start + len(value)] = value
    return io.BytesIO(bytes(content))


def test_a_file_that_is_encrypted_packed_otherwise_or_larger_than_it_says_is_refused() -> None:
    package = packed({"a.csv": FILE})
    with pytest.raises(PackageUnusable, match="is encrypted"):
        list(rows(changed(package, 8, struct.pack("<H", 1)), wanted()))
    with pytest.raises(PackageUnusable, match="is no whole zip file"):
        list(rows(changed(package, 24, struct.pack("<L", len(FILE) - 5)), wanted()))
    with pytest.raises(PackageUnusable, match="packed in a way"):
        list(rows(packed({"a.csv": FILE}, ZIP_LZMA), wanted()))


def test_half_a_package_is_refused() -> None:
    content = packed({"a.csv": FILE * 100}).getvalue()
    for half in (b"", content[:100], content[:-30], b"<Error/>"):
        with pytest.raises(PackageUnusable, match="is no whole zip file"):
            list(rows(io.BytesIO(half), wanted()))


@given(st.integers(min_value=0), st.binary(min_size=1, max_size=4))
def test_a_damaged_package_is_read_as_it_was_or_refused(place: int, value: bytes) -> None:
    package = packed({"Things V2.csv": FILE * 20, "Manifest.xml": manifest(("Things V2", "Things V2.csv"))})
    whole, content = list(rows(package, wanted())), bytearray(package.getvalue())
    start = place % len(content)
    content[start : start + len(value)] = value
    with suppress(PackageUnusable):
        assert list(rows(io.BytesIO(bytes(content)), wanted())) == whole


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=2, max_size=2)))
def test_any_text_comes_as_it_was_written(texts: list[list[str]]) -> None:
    things = spec(dataAreaId={}, Code={}, Title={})
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows([["CODE", "TITLE"], *texts])
    assert [[row["Code"], row["Title"]] for row in read(file.getvalue(), things)] == texts


def test_pages_have_so_many_rows_and_the_last_says_so() -> None:
    def sizes(count: int, *, last: bool = True) -> list[tuple[int, bool]]:
        return [(len(page.rows), page.last) for page in pages(iter([ROW] * count), 2, last=last)]

    assert sizes(5) == [(2, False), (2, False), (1, True)]
    assert sizes(4) == [(2, False), (2, True)]
    assert sizes(0) == [(0, True)]
    assert sizes(3, last=False) == [(2, False), (1, False)]
    assert sizes(0, last=False) == []


@pytest.mark.skipif(not REAL.is_dir(), reason="the real packages are not here")
def test_a_real_file_is_read_and_its_dates_in_the_order_of_a_country_are_refused() -> None:
    declared = {"dataAreaId": {}, "CustomerAccount": {}, "OnHoldStatus": {"enum": "CustVendorBlocked"}}
    numbers: dict[str, dict[str, Any]] = {"CreditLimit": {"type": "decimal"}, "AddressLatitude": {"type": "decimal"}}
    symbols: dict[str, dict[str, Any]] = {"IsElectronicInvoice": {"type": "boolean"}, "PartyType": {}}
    customers = EntitySetSpec(
        entity_set="CustomersV3",
        description="",
        key=("dataAreaId", "CustomerAccount"),
        fields={
            name: SystemField.model_validate(field)
            for name, field in {**declared, **numbers, **symbols, "AddressValidFrom": {"type": "timestamp"}}.items()
        },
    )
    found = read((REAL / "Customers V3.csv").read_bytes(), customers, "Customers V3.csv", entity="Customers V3")
    plain = customers.model_copy(
        update={"fields": {name: field for name, field in customers.fields.items() if name != "AddressValidFrom"}}
    )
    assert [decoded(row, plain)["dataAreaId"] for row in found] == ["usmf", "gbsi", "gbsi"]
    assert decoded(found[0], plain)["IsElectronicInvoice"] is False
    for row in found:
        with pytest.raises(FieldProblem, match="AddressValidFrom"):
            decoded(row, customers)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real packages are not here")
def test_a_real_package_names_its_file_which_is_of_another_kind() -> None:
    (package,) = REAL.glob("*.zip")
    with package.open("rb") as file, pytest.raises(PackageUnusable, match=r"major type\.xlsx' is neither CSV nor XML"):
        list(rows(file, wanted(entity="Fixed asset major type")))
