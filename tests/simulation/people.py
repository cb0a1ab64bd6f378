"""People at work in both systems and in the hub, drawn from a seed; they know nothing of any replicator."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random
from typing import Any

import sqlalchemy as sa

from replicator.sandbox.writing import RestrictedError
from tests.fixtures.world import Systems

Record = Mapping[str, Any]
COUNTRIES = ("Germany", "France", "Poland", "Atlantis", None)
"""One of them is in no value map, so that its record is rejected with that word."""


def _fold(text: str | None) -> str:
    return (text or "").strip().lower()


class People:
    """Each call of ``act`` is one thing that somebody does. What cannot be done now is left."""

    def __init__(self, random: Random, systems: Systems, hub: sa.Engine, *, deletes: bool) -> None:
        self.random, self.systems, self.hub = random, systems, hub
        self.count = 0
        self._slow: sa.Connection | None = None
        often: list[Callable[[], None]] = [
            self.new_account, self.change_account, self.new_contact, self.change_contact, self.new_product,
            self.change_product, self.new_quote, self.new_quote, self.change_line, self.add_line, self.change_line,
        ]  # fmt: skip
        seldom: list[Callable[[], None]] = [
            self.renumber_account, self.move_contact, self.turn_contact, self.win_quote, self.lose_quote,
            self.revise_quote, self.activate_quote, self.merge_account, self.namesake, self.meddle_in_ops,
            self.meddle_in_sales, self.edit_common, self.swap_lines, self.twin_account, self.known_in_ops,
            self.begin_slowly, self.begin_slowly, self.move_line, self.turn_quote,
        ]  # fmt: skip
        removals: list[Callable[[], None]] = [
            self.delete_account, self.delete_contact, self.delete_line, self.delete_quote, self.delete_product,
            self.delete_customer,
        ]  # fmt: skip
        self.acts = often * 2 + seldom + (removals * 2 if deletes else [])
        self.done = Counter({act.__name__: 0 for act in often + seldom + removals})
        """How often each thing was done."""

    def stock_up(self) -> None:
        """A trade begins: products, accounts, a contact."""
        for begun in (self.new_product, self.new_account):
            for _ in range(self.random.randint(1, 3)):
                begun()
        self.new_contact()

    def quote(self) -> None:
        """Quotes for what sales knows by now."""
        for _ in range(self.random.randint(1, 3)):
            self.new_quote()

    def act(self) -> None:
        """Somebody does something; who has begun slowly may come to an end."""
        if self._slow is not None and self.random.random() < 0.3:
            self.finish()
        act = self.random.choice(self.acts)
        self.done[act.__name__] += 1
        with suppress(RestrictedError):  # the system does not let the record go
            act()

    def finish(self) -> None:
        """Commit what was begun slowly."""
        if self._slow is not None:
            self._slow.commit()
            self._slow.close()
            self._slow = None

    def _number(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}-{self.count}"

    def _any(self, system: str, entity_set: str, **fields: object) -> Record | None:
        found = self.systems.held(system, entity_set, **fields)
        return self.random.choice(found) if found else None

    def _account(self) -> Record | None:
        return self._any("sales", "accounts")

    # accounts and contacts

    def new_account(self) -> None:
        self.systems.account(self._number("A"), address1_country=self.random.choice(COUNTRIES))

    def twin_account(self) -> None:
        """A person who is a customer under the number of an organization, in other letters."""
        if account := self._account():
            number = account["accountnumber"].lower() + " "
            if not any(_fold(each["msdynce_contactnumber"]) == _fold(number) for each in self._contacts()):
                self.systems.contact(number, msdynce_isactivecustomer=True)

    def _contacts(self) -> list[dict[str, Any]]:
        return self.systems.sales.records("contacts")

    def known_in_ops(self) -> None:
        """A customer that ops had before, and that sales comes to know."""
        number = self._number("K")
        self.systems.ops.put("CustomersV3", {
            "dataAreaId": "usmf", "CustomerAccount": number, "OrganizationName": "Known before",
            "PartyType": "Organization", "CustomerGroupId": "10", "SalesCurrencyCode": "USD",
        })  # fmt: skip
        self.systems.account(number.lower())

    def change_account(self) -> None:
        if account := self._account():
            values = {
                "name": self.random.choice(["Contoso", "Fabrikam", "Litware"]) + f" {self.random.randrange(100)}",
                "address1_city": self.random.choice(["Bonn", "Lyon", None]),
                "address1_country": self.random.choice(COUNTRIES),
                "telephone1": f"{self.random.randrange(10**6)}",
                "creditlimit": self.random.randrange(10**4) / 100,
            }
            some = self.random.sample(sorted(values), self.random.randint(1, 3))
            self.systems.sales.put("accounts", {"accountid": account["accountid"], **{n: values[n] for n in some}})

    def renumber_account(self) -> None:
        if account := self._account():
            number = self._number("R")
            self.systems.sales.put("accounts", {"accountid": account["accountid"], "accountnumber": number})

    def namesake(self) -> None:
        """A second account under a number that there is."""
        if account := self._account():
            key = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
            self.systems.account(account["accountnumber"], accountid=key, name="The same once more")

    def merge_account(self) -> None:
        """An account is given up for another one, of the same number where there is one."""
        subordinate = self._any("sales", "accounts", merged=False)
        others = [each for each in self.systems.held("sales", "accounts", merged=False) if each != subordinate]
        same = [each for each in others if subordinate and each["accountnumber"] == subordinate["accountnumber"]]
        if subordinate and others:
            self.systems.merge_accounts(self.random.choice(same or others), subordinate)

    def new_contact(self) -> None:
        parent = self._account() if self.random.random() < 0.8 else None
        self.systems.contact(self._number("C"), parent, msdynce_isactivecustomer=self.random.random() < 0.3)

    def change_contact(self) -> None:
        if contact := self._any("sales", "contacts"):
            name = self.random.choice(["Ada", "Grace", "Edsger"])
            self.systems.sales.put("contacts", {"contactid": contact["contactid"], "firstname": name})

    def move_contact(self) -> None:
        contact, account = self._any("sales", "contacts"), self._account()
        if contact and account:
            self.systems.sales.put("contacts", {
                "contactid": contact["contactid"], "_parentcustomerid_value": account["accountid"],
                "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "account",
            })  # fmt: skip

    def turn_contact(self) -> None:
        """From a customer of its own to a contact of an account, or back."""
        if contact := self._any("sales", "contacts"):
            other = not contact["msdynce_isactivecustomer"]
            self.systems.sales.put("contacts", {"contactid": contact["contactid"], "msdynce_isactivecustomer": other})

    # products

    def new_product(self) -> None:
        self.systems.product(self._number("P"), SalesPrice=self.random.randrange(1, 100))

    def change_product(self) -> None:
        if product := self._any("ops", "SellableReleasedProducts"):
            self._put_product(product, SalesPrice=self.random.randrange(1, 10**6) / 1000)

    def _put_product(self, product: Record, **fields: object) -> None:
        key = {name: product[name] for name in ("dataAreaId", "ProductNumber")}
        self.systems.ops.put("SellableReleasedProducts", key | fields)

    # quotes

    def new_quote(self) -> None:
        products = [each["productnumber"] for each in self.systems.sales.records("products")]
        customer = self._account() if self.random.random() < 0.8 else self._any("sales", "contacts")
        if products and customer:
            lines = [self.random.choice(products) for _ in range(self.random.randint(1, 4))]
            self.systems.quote(self._number("Q"), customer, lines)

    def _line(self) -> Record | None:
        return self._any("sales", "quotedetails")

    def _put_line(self, line: Record, **fields: object) -> None:
        self.systems.sales.put("quotedetails", {"quotedetailid": line["quotedetailid"], **fields})

    def _open(self, quote: Record) -> tuple[Record, bool] | None:
        """The draft in which a quote can be changed, and whether it was active: only drafts can, so others are revised.

        None for a quote that has a later revision, or is won.
        """
        if quote["statecode"] == 0:
            return quote, False
        revisions = self.systems.held("sales", "quotes", quotenumber=quote["quotenumber"])
        if quote["statecode"] == 2 or quote["revisionnumber"] < max(each["revisionnumber"] for each in revisions):
            return None
        return self.systems.revise(quote), quote["statecode"] == 1

    def _ready(self, draft: Record, was_active: bool) -> None:
        """What was active mostly becomes active again, some of it later (``activate_quote``)."""
        if was_active and self.random.random() < 0.8:
            self.systems.activate(draft)

    def _opened_line(self) -> tuple[Record, Record, bool] | None:
        """A line that can be changed, its draft, and whether that was active."""
        line = self._line()
        quote = line and self._any("sales", "quotes", quoteid=line["_quoteid_value"])
        opened = self._open(quote) if quote else None
        if not line or not opened:
            return None
        draft, was_active = opened
        same = self._lines(draft, sequencenumber=line["sequencenumber"])
        return (same[0], draft, was_active) if same else None

    def _lines(self, quote: Record, **fields: object) -> list[dict[str, Any]]:
        return self.systems.held("sales", "quotedetails", _quoteid_value=quote["quoteid"], **fields)

    def change_line(self) -> None:
        if opened := self._opened_line():
            line, draft, was_active = opened
            self._put_line(line, quantity=self.random.randint(1, 9))
            self._ready(draft, was_active)

    def add_line(self) -> None:
        quote, product = self._any("sales", "quotes"), self._any("sales", "products")
        opened = self._open(quote) if quote and product else None
        if opened and product:
            draft, was_active = opened
            key = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
            quantity, place = self.random.randint(1, 9), self._next_place(draft)
            self.systems.line(draft, place, product["productnumber"], quotedetailid=key, quantity=quantity)
            self._ready(draft, was_active)

    def _next_place(self, quote: Record) -> int:
        lines = self.systems.held("sales", "quotedetails", _quoteid_value=quote["quoteid"])
        return max((line["sequencenumber"] or 0 for line in lines), default=0) + 1

    def swap_lines(self) -> None:
        """Two lines of a quote change their places: each takes the number of the other."""
        if opened := self._opened_line():
            line, draft, was_active = opened
            other = self.random.choice(self._lines(draft))
            self._put_line(line, sequencenumber=other["sequencenumber"])
            self._put_line(other, sequencenumber=line["sequencenumber"])
            self._ready(draft, was_active)

    def move_line(self) -> None:
        """A line goes to another draft, behind its lines."""
        if opened := self._opened_line():
            line, draft, was_active = opened
            if other := self._any("sales", "quotes", statecode=0):
                self._put_line(line, _quoteid_value=other["quoteid"], sequencenumber=self._next_place(other))
            self._ready(draft, was_active)

    def turn_quote(self) -> None:
        """A quote is for another customer."""
        quote, account = self._any("sales", "quotes"), self._account()
        opened = self._open(quote) if quote and account else None
        if opened and account:
            draft, was_active = opened
            self.systems.sales.put("quotes", {
                "quoteid": draft["quoteid"], "_customerid_value": account["accountid"],
                "_customerid_value@Microsoft.Dynamics.CRM.lookuplogicalname": "account",
            })  # fmt: skip
            self._ready(draft, was_active)

    def revise_quote(self) -> None:
        """An active or lost quote is closed, and followed by a draft."""
        if quote := self._any("sales", "quotes"):
            self._open(quote)

    def activate_quote(self) -> None:
        if quote := self._any("sales", "quotes", statecode=0):
            self.systems.activate(quote)

    def win_quote(self) -> None:
        if quote := self._any("sales", "quotes", statecode=1):
            self.systems.close(quote, won=True)

    def lose_quote(self) -> None:
        if quote := self._any("sales", "quotes", statecode=1):
            self.systems.close(quote, status=5)

    # changes where something is not mastered, and in the hub

    def meddle_in_ops(self) -> None:
        if customer := self._any("ops", "CustomersV3"):
            key = {name: customer[name] for name in ("dataAreaId", "CustomerAccount")}
            self.systems.ops.put("CustomersV3", key | {"PrimaryContactPhone": "wrong", "CreditLimit": 1})

    def meddle_in_sales(self) -> None:
        if product := self._any("sales", "products"):
            self.systems.sales.put("products", {"productid": product["productid"], "price": 1})

    def edit_common(self) -> None:
        with self.hub.begin() as connection:
            connection.execute(
                sa.text(
                    "update common.account set fax = :fax where id = "
                    "(select id from common.account order by md5(id::text || :fax) limit 1)"
                ),
                {"fax": f"{self.random.randrange(10**6)}"},
            )

    def begin_slowly(self) -> None:
        """A person enters an account in the hub by SQL and takes their time before they commit."""
        if self._slow is None:
            self._slow = self.hub.connect()
            self._slow.execute(
                sa.text(
                    "insert into common.account (organization_id, number, kind, name, status) "
                    "select id, :number, 'Organization', 'By hand', 'Active' from common.organization"
                ),
                {"number": self._number("H")},
            )

    # deletes

    def _free_account(self) -> Record | None:
        """An account that nothing points at: sales would not let another go."""
        used = {row["_parentcustomerid_value"] for row in self.systems.sales.records("contacts")}
        used |= {row["_customerid_value"] for row in self.systems.sales.records("quotes")}
        free = [row for row in self.systems.sales.records("accounts") if row["accountid"] not in used]
        return self.random.choice(free) if free else None

    def delete_account(self) -> None:
        if account := self._free_account():
            self.systems.sales.delete("accounts", account["accountid"])

    def delete_contact(self) -> None:
        used = {row["_customerid_value"] for row in self.systems.sales.records("quotes")}
        free = [row for row in self.systems.sales.records("contacts") if row["contactid"] not in used]
        if free:
            self.systems.sales.delete("contacts", self.random.choice(free)["contactid"])

    def delete_line(self) -> None:
        if opened := self._opened_line():
            line, draft, was_active = opened
            self.systems.sales.delete("quotedetails", line["quotedetailid"])
            self._ready(draft, was_active)

    def delete_quote(self) -> None:
        if quote := self._any("sales", "quotes"):
            for line in self.systems.held("sales", "quotedetails", _quoteid_value=quote["quoteid"]):
                self.systems.sales.delete("quotedetails", line["quotedetailid"])
            self.systems.sales.delete("quotes", quote["quoteid"])

    def delete_product(self) -> None:
        if product := self._any("ops", "SellableReleasedProducts"):
            self.systems.ops.delete("SellableReleasedProducts", product["dataAreaId"], product["ProductNumber"])

    def delete_customer(self) -> None:
        """In ops, where customers are not mastered; one that nothing points at."""
        used = {row["SalesQuotationNumber"] for row in self.systems.ops.records("CDSSalesQuotationHeaders")}
        customer = self._any("ops", "CustomersV3")
        if customer and not used:
            self.systems.ops.delete("CustomersV3", customer["dataAreaId"], customer["CustomerAccount"])
