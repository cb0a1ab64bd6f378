"""Each refusal ends in the state that its nature asks for: tried again, looked at again, or rejected."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from replicator.connectors.protocol import Outcome, Postponed, Rejected, Stale, Write
from tests.unit.test_systems_apply import GONE, WARE, Part, dataverse, error, finops, multipart, thing, ware

AX = "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException"
CONFLICT = (
    "Write failed for table row of type 'WareEntity'. Infolog: Error: Cannot edit a record in Wares (Ware).; Error: An "
    "update conflict occurred due to another user process deleting the record or changing one or more fields in it."
)
VICTIM = (
    "Transaction (Process ID 93) was deadlocked on lock resources with another process and has been chosen as the "
    "deadlock victim. Rerun the transaction."
)
SQL = "Sql error: Generic SQL error. CRM ErrorCode: -2147204784 Sql ErrorCode: -2146232060 Sql Number: 1205"


def ax(message: str, **inner: Any) -> dict[str, Any]:
    return {"error": {"code": "", "message": "An error", "innererror": {"message": message, "type": AX, **inner}}}


@pytest.mark.parametrize(
    "body",
    [
        ax(CONFLICT),
        ax("Cannot select a record in Wares (Ware). Deadlock, where one or more users have locked the whole table."),
        ax("Cannot create a record in Wares (Ware).\nDeadlock, where one or more users have locked the table."),
        ax("The ware of O'Neil. An update conflict occurred due to another user's process."),
        ax("The record has been locked by user Admin."),
        ax("Cannot obtain exclusive lock on the table."),
        ax(f"[SQL Server]{VICTIM}"),
        ax("Lock request time out period exceeded."),
        ax("The record is locked by another user."),
        ax("The record 'A-1' is currently in use by another session."),
        ax("Number sequence 'Sale_12' cannot be locked at the moment."),
        ax("The number sequence Sale_12 is in use by another process."),
        ax("The session has been terminated."),
        ax("Session 12 is no longer valid."),
        ax("A transport-level error has occurred when receiving results from the server."),
        ax(
            "Write failed.",
            internalexception={"message": "", "type": "Microsoft.Dynamics.Ax.Xpp.UpdateConflictException"},
        ),
        ax("Write failed.", internalexception={"message": VICTIM, "type": "System.Data.SqlClient.SqlException"}),
    ],
)
@pytest.mark.parametrize("status", [400, 409, 500])
def test_a_refusal_that_speaks_of_the_moment_is_tried_again(body: dict[str, Any], status: int) -> None:
    assert type(finops(ware(), multipart([(status, body)], (503, None)))) is Postponed
    assert type(finops(ware("create"), multipart([(status, body)]))) is Postponed


@pytest.mark.parametrize(
    "message",
    [
        "The field 'Deadlock Ltd, locked by another user' is too long.",
        "The ware 'O'Neil's deadlock' in field Colour is not found in the related table.",
        "The value 'update conflict' in field Colour is not found in the related table.",
        "Number sequence for quotations has not been set up.",
        "Validation failed. Correct the value and try again.",
        "The customer is on hold.",
    ],
)
def test_a_refusal_that_speaks_of_the_data_rejects_whatever_words_the_data_has(message: str) -> None:
    assert type(finops(ware(), multipart([(500, ax(message))], (200, WARE)))) is Rejected


@pytest.mark.parametrize("status", [400, 403, 500])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("0x80044150", SQL),
        ("0x80044151", "Sql error: SQL timeout expired."),
        ("0x80040255", "The transaction of the SQL command has already been rolled back or committed"),
        ("0x80072322", "Number of requests exceeded the limit of 6000 over time window of 300 seconds."),
        ("0x80072321", "Combined execution time of incoming requests exceeded limit."),
        ("0x80040265", f"An error occurred in a plug-in: {SQL}"),
    ],
)
def test_dataverse_tries_again_what_the_moment_refused(status: int, code: str, message: str) -> None:
    assert type(dataverse(thing(), multipart((status, error(message, code))))) is Postponed


def test_a_part_whose_session_was_lost_is_tried_again() -> None:
    assert type(dataverse(thing(), multipart((401, error("The token has expired", "0x80040220"))))) is Postponed
    assert type(finops(ware(), multipart([(401, None)], (401, None)))) is Postponed


@pytest.mark.parametrize("status", [400, 409, 412, 500])
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("0x80060892", "Entity Key Number key violated. A record with the same value for Number already exists."),
        ("0x80040333", "A record was not created or updated because a duplicate of the current record already exists."),
        ("0x80040237", "Cannot insert duplicate key."),
        ("0x80073002", "A unique index or constraint was violated."),
    ],
)
def test_a_key_that_another_record_has_rejects_an_update_and_a_create(status: int, code: str, message: str) -> None:
    refused = multipart((status, error(message, code)))
    assert dataverse(thing(), refused) == Rejected(message, code)
    assert dataverse(thing("create"), refused, multipart((404, GONE))) == Rejected(message, code)


def test_another_version_makes_an_update_look_again_whatever_status_it_has() -> None:
    message = "The version of the existing record doesn't match the RowVersion property provided."
    for status in (400, 409, 412):
        assert type(dataverse(thing(), multipart((status, error(message, "0x80060882"))))) is Stale


@pytest.mark.parametrize(
    ("write", "found", "kind"), [(ware("create"), (200, WARE), Stale), (ware("create"), (404, error("none")), Rejected)]
)
def test_a_refused_create_that_was_saved_all_the_same_is_looked_at(
    write: Write, found: Part, kind: type[Outcome]
) -> None:
    refused = multipart([(500, ax("Infolog: Error: Object reference not set."))])
    outcome = finops(write, refused, multipart(found))
    assert type(outcome) is kind
    assert "Object reference not set." in str(getattr(outcome, "message", ""))


def test_a_batch_that_ends_with_its_first_failure_is_read_though_it_is_a_400() -> None:
    body = multipart((412, error("taken", "0x80060892")))
    answer = httpx2.Response(400, headers={"Content-Type": "multipart/mixed; boundary=b"}, content=body)
    assert dataverse(thing(), answer) == Rejected("taken", "0x80060892")
