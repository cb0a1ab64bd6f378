"""A preflight finds where ``schema/``, the systems and the data disagree, and says so apart from what it cannot see."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import sqlalchemy as sa

from replicator.cli import check as check_command
from replicator.config import Configuration
from replicator.connectors.protocol import Connector, Description, Page, Property
from replicator.connectors.wrapped import Wrapped
from replicator.errors import AccessDenied, HubUnavailable, SystemUnavailable
from replicator.mapping.language import EntitySetSpec, FieldType
from replicator.operate.preflight import Report, data_check, organization_check
from replicator.operate.preflight import system_check as preflight_systems
from tests.fixtures.world import ORGANIZATION, Systems, configuration

Alter = Callable[[Description], Description | None]


class Saying(Wrapped):
    """A connector whose system says something else about one of its entity sets."""

    def __init__(self, inner: Connector, entity_set: str, alter: Alter) -> None:
        super().__init__(inner)
        self.inner, self.entity_set, self.alter = inner, entity_set, alter

    def describe(self, entity_sets: Sequence[EntitySetSpec]) -> list[Description | None]:
        described = self.inner.describe(entity_sets)
        return [
            self.alter(found) if found and spec.entity_set == self.entity_set else found
            for spec, found in zip(entity_sets, described, strict=True)
        ]

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        if entity_set.entity_set == "uoms" and self.entity_set == "uoms":
            raise AccessDenied("sales: 403")
        return self.inner.read(entity_set, token)


class Closed(Wrapped):
    """A connector that may not read the organizations of its system."""

    def organizations(self) -> frozenset[str] | None:
        raise AccessDenied("ops: 403")


def found(systems: Systems, system: str, entity_set: str, alter: Alter) -> list[str]:
    """What is found where the system says that of an entity set."""
    told = Report()
    world = systems.cycle.world
    preflight_systems.check(world.compiled, Saying(world.connectors[system], entity_set, alter), 30, told)
    assert told.errors == []
    assert {note.where for note in told.findings} <= {f"{system}.{entity_set}"}
    return [note.what for note in told.findings]


def with_field(name: str, field: Property | None) -> Alter:
    def alter(description: Description) -> Description:
        others = {each: held for each, held in description.fields.items() if each != name}
        return replace(description, fields=others | ({name: field} if field else {}))

    return alter


def test_the_simulated_systems_and_the_schema_agree(systems: Systems) -> None:
    for system in ("sales", "ops"):
        assert found(systems, system, "none of them", lambda description: description) == []


def test_each_way_in_which_a_system_may_disagree_is_a_finding_of_its_own(systems: Systems) -> None:
    customers = "CustomersV3"
    assert found(systems, "ops", customers, lambda _: None) == ["the system knows no such entity set"]
    assert found(systems, "ops", customers, with_field("SalesMemo", None)) == ["there is no field 'SalesMemo'"]
    memo = Property("Edm.Int64", ("integer",))
    assert found(systems, "ops", customers, with_field("SalesMemo", memo)) == [
        "'SalesMemo' is Edm.Int64, and schema/ says text"
    ]
    short = Property("Edm.String", ("text",), length=10)
    assert found(systems, "ops", customers, with_field("OrganizationName", short)) == [
        "'OrganizationName' takes 10 characters, and schema/ says 100"
    ]
    wanted = Property("Edm.String", ("text",), required=True)
    assert found(systems, "ops", customers, with_field("Brand", wanted)) == [
        "the system requires 'Brand', and account > ops.CustomersV3 does not fill it"
    ]
    assert found(systems, "ops", customers, with_field("Brand", replace(wanted, writable=False))) == []
    (key,) = found(systems, "sales", "accounts", lambda each: replace(each, key=("accountnumber",)))
    assert key == "its key is accountnumber, not accountid"
    (off,) = found(systems, "sales", "accounts", lambda each: replace(each, tracks_changes=False))
    assert off == "change tracking is off, so every read is whole"


def test_a_symbol_that_an_enumeration_has_not_is_found_wherever_a_map_writes_it(systems: Systems) -> None:
    persons, customers = "CDSContactPersonsV2", "CustomersV3"
    flow = f"contact > ops.{persons}"

    def symbols(enum: str, *members: str) -> Property:
        return Property(f"Microsoft.Dynamics.DataEntities.{enum}", ("text",), enum=enum, symbols=members)

    gender = symbols("Gender", "None", "Male", "Female")
    assert found(systems, "ops", persons, with_field("Gender", gender)) == [
        f"{flow} writes 'Unknown' into 'Gender', and Gender has None, Male, Female"
    ]
    status = symbols("DirPersonMaritalStatus", "None", "Single", "Married", "Divorced", "Widowed")
    (widowed,) = found(systems, "ops", persons, with_field("MaritalStatus", status))
    assert widowed.startswith(f"{flow} writes 'Widowhood' into 'MaritalStatus'")
    (hold,) = found(
        systems, "ops", customers, with_field("OnHoldStatus", symbols("CustVendorBlocked", "No", "Invoice"))
    )
    assert "writes 'All' into 'OnHoldStatus'" in hold, "what a deletion sets is written too"
    other = symbols("smmOther", "Customer")
    assert found(systems, "ops", persons, with_field("AssociatedContactType", other)) == [
        "'AssociatedContactType' is a symbol of smmOther, and schema/ says smmContactPersonCDSAssociatedContactType"
    ]


def test_a_number_that_is_never_null_needs_an_empty_value_and_is_not_taken_for_a_required_one(systems: Systems) -> None:
    number = Property("Edm.Decimal", ("decimal",), nullable=False)
    assert found(systems, "ops", "CustomersV3", with_field("Discount", number)) == []
    assert found(systems, "ops", "CustomersV3", with_field("CreditLimit", number)) == [], "it has 'empty: 0'"
    assert found(systems, "sales", "products", with_field("price", number)) == [
        "'price' is never null, and product > sales.products may write none"
    ]


def test_what_a_system_does_not_tell_is_said_to_be_open(systems: Systems) -> None:
    world = systems.cycle.world
    told = Report()
    for connector in world.connectors.values():
        preflight_systems.check(world.compiled, connector, 30, told)
    assert (told.findings, told.errors, told.exit_code) == ([], [], 0)
    assert [(note.where, note.what) for note in told.untold] == [
        ("sales.products", "whether two records may bear the same productnumber"),
        ("ops", "how long its texts may be: one that is too long is known when it is refused"),
    ]
    assert list(check_command.lines(told))[-1] == "no problem found; 2 not told by the systems"


def test_what_could_not_be_looked_at_is_not_said_to_be_well() -> None:
    def look() -> None:
        raise HubUnavailable("the hub is away")

    report = Report()
    with report.looking("hub"):
        look()
    assert list(check_command.lines(report))[-1] == "no problem found in what could be looked at; 1 could not be"


def test_a_company_that_ops_does_not_have_is_found(systems: Systems) -> None:
    def said(company: str) -> list[str]:
        told = Report()
        configured = Configuration.model_validate({"records": {"organization": [ORGANIZATION | {"company": company}]}})
        for connector in systems.cycle.world.connectors.values():
            organization_check.check(configured, systems.cycle.world.compiled, connector, told)
        assert told.errors == []
        return [f"{note.where}: {note.what}" for note in told.findings]

    assert said("USMF") == [], "as the system compares it"
    assert said("usmx") == [
        "ops: it has no dataAreaId 'usmx', which records: organization names; there are demf, usmf, usrt"
    ]


def test_companies_that_may_not_be_read_are_no_companies_that_are_not_there(systems: Systems) -> None:
    told = Report()
    organization_check.check(
        configuration(), systems.cycle.world.compiled, Closed(systems.cycle.world.connectors["ops"]), told
    )
    assert (told.findings, [note.what for note in told.errors], told.exit_code) == ([], ["ops: 403"], 1)


def test_what_schema_asks_of_a_system_that_cannot_do_it_is_a_finding(systems: Systems) -> None:
    world = systems.cycle.world
    told = Report()
    weak = Saying(world.connectors["ops"], "", lambda each: each)
    weak.capabilities = replace(weak.capabilities, atomic_units=False, conditional_writes=False)
    preflight_systems.check(world.compiled, weak, 30, told)
    assert [note.what for note in told.findings] == [
        "quote_line > ops.CDSSalesQuotationLines sends parts with their root, and it cannot write several at once"
    ]
    assert any("who writes last wins" in note.what for note in told.information)


def be_away() -> None:
    raise SystemUnavailable("ops: 503")


def test_what_cannot_be_looked_at_is_no_finding_and_stops_nothing_else(systems: Systems) -> None:
    world = systems.cycle.world
    told = Report()
    connector = Saying(world.connectors["sales"], "uoms", lambda each: replace(each, tracks_changes=False))
    preflight_systems.check(world.compiled, connector, 30, told)
    assert [(note.where, note.what) for note in told.errors] == [("sales.uoms", "sales: 403")]
    assert [note.where for note in told.findings] == ["sales.uoms"]
    assert told.exit_code == 1
    with told.looking("ops"):
        be_away()
    assert told.exit_code == 1, "one of the two is not passing"
    passing = Report()
    with passing.looking("ops"):
        be_away()
    assert passing.exit_code == 4


def told_of(systems: Systems, configured: Configuration) -> list[tuple[str, str]]:
    told = Report()
    data_check.check(systems.connection, systems.cycle.world.compiled, configured, told)
    assert told.errors == []
    return [(note.where, note.what) for note in told.findings]


def test_a_record_that_all_others_look_up_has_to_be_there_once(systems: Systems) -> None:
    systems.reference_data()
    systems.once()
    assert told_of(systems, configuration()) == []
    systems.run("update common.organization set is_default = false")
    missing = told_of(systems, Configuration())
    assert {where for where, _ in missing} == {
        "sales.accounts > account", "sales.contacts > account", "sales.contacts > contact", "sales.quotes > quote",
    }  # fmt: skip
    assert missing[0][1] == "there is no organization with is_default true, and every record waits for it"
    two = Configuration.model_validate({"records": {"organization": [ORGANIZATION, ORGANIZATION | {"code": "X"}]}})
    assert told_of(systems, two)[0][1] == "there are 2 organization with is_default true, and 'organization' means one"


def test_what_the_configuration_leaves_in_the_hub_counts_beside_what_it_says(systems: Systems) -> None:
    systems.reference_data()
    systems.once()
    other = Configuration.model_validate({"records": {"organization": [ORGANIZATION | {"is_default": False}]}})
    assert (
        told_of(systems, other)[0][1] == "there is no organization with is_default true, and every record waits for it"
    )
    renamed = Configuration.model_validate({"records": {"organization": [ORGANIZATION | {"code": "X"}]}})
    assert told_of(systems, renamed)[0][1] == (
        "there are 2 organization with is_default true, and 'organization' means one; "
        f"the hub holds {ORGANIZATION['code']}, and the configuration does not"
    )


def test_values_that_no_map_knows_are_counted_by_map_and_field(systems: Systems) -> None:
    systems.reference_data()
    for number in range(3):
        systems.account(f"A-{number}", address1_country="Atlantis" if number else " atlantis ")
    systems.account("A-9", address2_country="Lemuria")
    systems.once()
    assert told_of(systems, configuration()) == [
        ("sales.accounts > account",
         "the value map of 'mailing_country' does not know ' atlantis ' of address1_country: 3 records"),
        ("sales.accounts > account",
         "the value map of 'shipping_country' does not know 'Lemuria' of address2_country: 1 record"),
    ]  # fmt: skip


def test_values_of_records_that_nobody_takes_are_no_gap_of_a_value_map(systems: Systems) -> None:
    """Blanks are nothing; the contact is no customer, and the older account is history beside the one that counts."""
    systems.reference_data()
    account = systems.account("A-1", address1_country="  ")
    systems.contact("C-1", account, address1_country="Atlantis")
    systems.account("A-2")
    systems.account("A-2", accountid=str(uuid.uuid4()), statecode=1, statuscode=2, address1_country="Atlantis")
    systems.once()
    assert told_of(systems, configuration()) == [
        ("sales.contacts > contact",
         "the value map of 'country' does not know 'Atlantis' of address1_country: 1 record"),
    ]  # fmt: skip


def test_keys_that_two_records_bear_are_found_as_keys_are_compared(systems: Systems) -> None:
    systems.reference_data()
    account = systems.account("A-1")["accountid"]
    person = systems.contact(" a-1", msdynce_isactivecustomer=True)["contactid"]
    systems.once()
    ((where, what),) = told_of(systems, configuration())
    assert where == "sales > account"
    assert what.startswith("records bear one key: ")
    assert sorted(what.partition(": ")[2].split(", ")) == [f"accounts A-1 ({account})", f"contacts a-1 ({person})"]
    with systems.connection.begin():
        assert systems.connection.execute(sa.text("select count(*) from common.account")).scalar_one() <= 1


def test_a_date_that_the_system_keeps_otherwise_is_found(systems: Systems) -> None:
    def told(kind: str, types: tuple[FieldType, ...], stored_as: str) -> Alter:
        return with_field("requestdeliveryby", Property(kind, types, stored_as=stored_as))

    day = "DateTime (behaviour DateOnly, format DateOnly)"
    assert found(systems, "sales", "quotes", told(day, ("date",), "day")) == [
        f"'requestdeliveryby' is {day}, and schema/ does not say a plain date"
    ]
    time = "DateTime (behaviour UserLocal, format DateAndTime)"
    assert found(systems, "sales", "quotes", told(time, ("timestamp",), "local midnight")) == [
        f"'requestdeliveryby' is {time}, and schema/ says date"
    ]
    local = "DateTime (behaviour UserLocal, format DateOnly)"
    birth = with_field("birthdate", Property(local, ("date", "timestamp"), stored_as="local midnight"))
    assert found(systems, "sales", "contacts", birth) == [
        f"'birthdate' is {local}, and schema/ does not say 'stored_as: local midnight'"
    ]


def test_a_field_that_a_create_or_an_update_does_not_take_is_found(systems: Systems) -> None:
    create = Property("Money", ("decimal",), writable=False)
    assert found(systems, "sales", "products", with_field("price", create)) == [
        "a create does not take 'price', which product > sales.products writes"
    ]
    assert found(systems, "sales", "products", with_field("pricelevelid", replace(create, types=("reference",)))) == []
    update = Property("Money", ("decimal",), changeable=False)
    assert found(systems, "sales", "products", with_field("price", update)) == [
        "an update does not take 'price', which product > sales.products writes"
    ]


def test_dataverse_tells_days_from_instants_that_stand_for_one(systems: Systems) -> None:
    world = systems.cycle.world
    sets = [each.spec for each in world.compiled.schema.sets_of("sales") if each.name in ("quotes", "contacts")]
    described = dict(zip([each.entity_set for each in sets], world.connectors["sales"].describe(sets), strict=True))
    contacts, quotes = described["contacts"], described["quotes"]
    assert contacts is not None
    assert quotes is not None
    assert (contacts.fields["birthdate"].types, contacts.fields["birthdate"].stored_as) == (("date",), "day")
    assert quotes.fields["requestdeliveryby"].types == ("date", "timestamp")
    assert quotes.fields["requestdeliveryby"].stored_as == "local midnight"
    assert quotes.fields["createdon"].types == ("timestamp",)
