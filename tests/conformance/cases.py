"""The cases of the conformance suite: each connector against the sandbox of its system, in process."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from typing import Any, Literal, TypeAlias
from uuid import UUID

import httpx2

from replicator.connectors import connect
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Applied, Connector, Key, Outcome, Reference, Row, Write, named
from replicator.mapping.language import EntitySetSpec, SystemField
from replicator.sandbox.system import Options, Sandbox

Fault: TypeAlias = Literal["lost", "unreachable"] | httpx2.Response
"""What happens to a request: the answer is lost after the system did it, or it never arrives, or this is answered."""


class Wire(httpx2.BaseTransport):
    """The way to the sandbox. ``faults`` befall the next requests, one each; ``seen`` are all that were made."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._inner = httpx2.WSGITransport(app=sandbox.wsgi)
        self.faults: list[Fault | None] = []
        self.seen: list[httpx2.Request] = []

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.seen.append(request)
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, httpx2.Response):
            return fault
        if fault == "unreachable":
            raise httpx2.ConnectError("refused")
        response = self._inner.handle_request(request)
        if fault == "lost":
            raise httpx2.ReadTimeout("lost")
        return response


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def text(**more: Any) -> SystemField:
    return SystemField.model_validate({"type": "text", **more})


def of(kind: str, **more: Any) -> SystemField:
    return SystemField.model_validate({"type": kind, **more})


def spec(entity_set: str, *key: str, **fields: SystemField) -> EntitySetSpec:
    return EntitySetSpec(entity_set=entity_set, description="", key=key, fields=fields)


@dataclass
class Case:
    """One system and its connector, with the names the suite needs; ``key`` and ``values`` make the nth record."""

    system: Literal["sales", "ops"]
    kind: Literal["dataverse", "finops"]
    main: EntitySetSpec
    child: EntitySetSpec
    number: str  # the field of the business key
    name: str  # a text field that is required
    amount: str  # a decimal field, and amounts that it keeps to the last digit
    amounts: tuple[str, ...]
    flag: str  # a boolean field
    limited: str  # a text field, and more characters than it takes
    too_long: str
    parent: str  # the child's field that points at the main set
    tracked: bool
    options: Options = field(default_factory=Options)
    auth: dict[str, Any] = field(default_factory=lambda: {"kind": "none"})
    clock: Clock = field(default_factory=Clock)
    limits: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sandbox = Sandbox(self.system, options=self.options, clock=self.clock, random=Random(1))
        self.wire = Wire(self.sandbox)
        self.connector = self.connected()

    def connected(self, **more: Any) -> Connector:
        settings = {"kind": self.kind, "url": f"https://{self.system}.test", "auth": self.auth, **self.limits, **more}
        return connect(self.system, settings_of(settings), transport=self.wire, clock=self.clock)

    def again(self, **more: Any) -> Case:
        """This case with other settings and an empty sandbox."""
        self.close()
        for name, value in more.items():
            setattr(self, name, value)
        self.__post_init__()
        return self

    def close(self) -> None:
        """Release both sides."""
        self.connector.close()
        self.sandbox.close()

    def guid(self, n: int) -> UUID:
        return UUID(int=0x10000000_0000_4000_8000_000000000000 + n)

    def key(self, n: int) -> Key:
        return (self.guid(n),) if self.kind == "dataverse" else ("usmf", self.business_key(n))

    def named_key(self, n: int) -> dict[str, object]:
        return named(self.main, self.key(n))

    def business_key(self, n: int) -> str:
        return f"O'N {n}/é"

    def values(self, n: int) -> dict[str, object]:
        values: dict[str, object] = {self.name: f"Name {n}", self.flag: n % 2 == 0, self.amount: Decimal(n)}
        return values | ({self.number: self.business_key(n)} if self.kind == "dataverse" else {"CustomerGroupId": "10"})

    def create(self, n: int, **more: object) -> Write:
        return Write(self.main, "create", self.key(n), {**self.values(n), **more})

    def update(self, n: int, etag: str | None = None, **values: object) -> Write:
        return Write(self.main, "update", self.key(n), values, etag)

    def delete(self, n: int, etag: str | None = None) -> Write:
        return Write(self.main, "delete", self.key(n), etag=etag)

    def create_child(self, n: int, parent: int, **more: object) -> Write:
        """The nth record of the child set, below the given record of the main set."""
        key: Key
        values: dict[str, object]
        if self.kind == "dataverse":
            key = (self.guid(1000 + n),)
            values = {"lastname": f"L{n}", self.parent: Reference("accounts", (self.guid(parent),))}
        else:
            values = {"FirstName": f"L{n}"}
            key = ("usmf", f"P{n}", "Customer", self.business_key(parent))
        return Write(self.child, "create", key, {**values, **more})

    def one(self, write: Write) -> Outcome:
        """The outcome of a single write."""
        ((outcome,),) = self.connector.apply([(write,)])
        return outcome

    def done(self, write: Write) -> Applied:
        """The outcome of a write that has to succeed."""
        outcome = self.one(write)
        assert isinstance(outcome, Applied), outcome
        return outcome

    def stored(self) -> dict[str, dict[str, Any]]:
        """What the system holds in the main set, by business key."""
        return {record[self.number]: record for record in self.sandbox.records(self.main.entity_set)}

    def decoded(self, row: Row | None) -> dict[str, object]:
        assert row is not None
        return dict(zip([*self.main.fields, "etag"], self.connector.decoder(self.main)(row), strict=True))

    def read(self, token: str | None = None) -> tuple[list[dict[str, object]], list[Key], str | None, int]:
        """Records, deleted keys, token and number of pages of a read; checks that only the last page says so."""
        pages = list(self.connector.read(self.main, token))
        assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
        assert [page.token for page in pages[:-1]] == [None] * (len(pages) - 1)
        rows = [self.decoded(row) for page in pages for row in page.rows]
        return rows, [key for page in pages for key in page.deleted], pages[-1].token, len(pages)


def sales_case() -> Case:
    return Case(
        system="sales",
        kind="dataverse",
        main=spec(
            "accounts",
            "accountid",
            accountid=of("uuid"),
            accountnumber=text(length=20),
            name=text(length=160, required=True),
            creditlimit=of("decimal"),
            donotemail=of("boolean"),
            numberofemployees=of("integer"),
            fax=text(length=50),
            modifiedon=of("timestamp"),
            parentaccountid=of("reference", to=["accounts"]),
            transactioncurrencyid=of("reference", to=["transactioncurrencies"]),
        ),
        child=spec(
            "contacts",
            "contactid",
            contactid=of("uuid"),
            lastname=text(required=True),
            jobtitle=text(length=100),
            birthdate=of("date"),
            parentcustomerid=of(
                "reference", to={"accounts": "parentcustomerid_account", "contacts": "parentcustomerid_contact"}
            ),
        ),
        number="accountnumber",
        name="name",
        amount="creditlimit",
        amounts=("0.1234", "99999999999999.1234", "0.1000"),
        flag="donotemail",
        limited="fax",
        too_long="1" * 51,
        parent="parentcustomerid",
        tracked=True,
    )


def ops_case() -> Case:
    return Case(
        system="ops",
        kind="finops",
        main=spec(
            "CustomersV3",
            "dataAreaId",
            "CustomerAccount",
            dataAreaId=text(),
            CustomerAccount=text(length=20),
            OrganizationName=text(length=100),
            CustomerGroupId=text(length=10),
            CreditLimit=of("decimal"),
            CreditLimitIsMandatory=of("boolean"),
            OrganizationNumberOfEmployees=of("integer", empty=0),
            NameAlias=text(length=20),
        ),
        child=spec(
            "CDSContactPersonsV2",
            "dataAreaId",
            "ContactPersonPartyNumber",
            "AssociatedContactType",
            "AssociatedContactNumber",
            dataAreaId=text(),
            ContactPersonPartyNumber=text(),
            AssociatedContactType=text(),
            AssociatedContactNumber=text(),
            FirstName=text(),
            EmploymentProfession=text(),
        ),
        number="CustomerAccount",
        name="OrganizationName",
        amount="CreditLimit",
        amounts=("0.1234567891", "99999999999.1234567891", "0.0000000001", "0.1000000000"),
        flag="CreditLimitIsMandatory",
        limited="NameAlias",
        too_long="1" * 21,
        parent="AssociatedContactNumber",
        tracked=False,
    )


cases = {"dataverse": sales_case, "finops": ops_case}
