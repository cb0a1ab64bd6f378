"""What has to hold at every quiet point, asked of the two systems and of the hub, each on its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from random import Random
from typing import Any

import sqlalchemy as sa

from replicator.hub.connection import connect
from replicator.mapping.schema import EntitySet, column_name
from tests.fixtures.agreement import disagreements, reconciled, some_records
from tests.fixtures.transitions import wrong_transitions
from tests.simulation.simulation import Simulation

Record = Mapping[str, Any]
_DESERVED = ("'Atlantis'", "Inventory dimension Site is mandatory")
"""A country that is in no value map; a quotation for a customer that was in ops before, without a site."""
_OF_A_WILL = ("shows no such record", "Dependent", "An unexpected error occurred.")
"""Of a system that numbers by itself or keeps no lines: it never shows what it made, also where it said no and made it
all the same; lines that nobody knows keep their quotation."""
_EXPLAINED = 3
"""Of so many records explain is asked in each world."""
_A_CENT = Decimal("0.01")
"""Sales rounds prices when it recalculates."""


def problems(simulation: Simulation) -> list[str]:
    """Everything that is not as it should be, in words."""
    checks = (
        mirrors,
        balance,
        transitions,
        customers,
        products,
        quotations,
        gaps,
        heirs,
        twins,
        missing_parents,
        rejections,
        deletes,
        imagined,
        waiting,
        left_behind,
        impatience,
        haste,
    )
    return [f"{check.__name__}: {problem}" for check in checks for problem in check(simulation)]


def mirrors(simulation: Simulation) -> Iterator[str]:
    """Each mirror holds what its system holds; a record quarantined or about to be deleted is told elsewhere."""
    for (system, _), entity_set in simulation.compiled.schema.entity_sets.items():
        held = _held(simulation, system, entity_set)
        known = _mirrored(simulation, entity_set)
        for key in sorted(held.keys() | known.keys(), key=str):
            if held.get(key) != known.get(key):
                yield f"{entity_set} {key}: the system holds {held.get(key)}, the mirror {known.get(key)}"


def _held(simulation: Simulation, system: str, entity_set: EntitySet) -> dict[tuple[Any, ...], list[object]]:
    connector = simulation.world.connectors[system]
    decode = connector.decoder(entity_set.spec)
    names = list(entity_set.spec.fields)
    places = [names.index(name) for name in entity_set.spec.key]
    rows = [decode(row)[:-1] for page in connector.read(entity_set.spec, None) for row in page.rows]
    return {tuple(row[place] for place in places): row for row in rows}


def _mirrored(simulation: Simulation, entity_set: EntitySet) -> dict[tuple[Any, ...], list[object]]:
    mirror = simulation.compiled.tables.mirror(entity_set)
    names = list(entity_set.spec.fields)
    places = [names.index(name) for name in entity_set.spec.key]
    with simulation.hub.connect() as connection:
        rows = connection.execute(sa.select(*(mirror.c[column_name(name)] for name in names))).all()
    return {tuple(row[place] for place in places): list(row) for row in rows}


def balance(simulation: Simulation) -> Iterator[str]:
    """Every record of every map is in step, or a row says why not."""
    with simulation.hub.connect() as connection:
        for row in connection.execute(sa.text("select map, record, action from sync.unexplained")):
            yield f"{row.map} {row.record}: {row.action}, and no row says why it is not done"


def transitions(simulation: Simulation) -> Iterator[str]:
    """No delivery went from one state to another that the table of states does not know."""
    with simulation.hub.connect() as connection:
        yield from wrong_transitions(connection)


def explained(simulation: Simulation) -> Counter[str]:
    """The records of which the hub says that something is wrong or has to wait, by what people call them."""
    query = """
        select record from sync.blocked union all select record from sync.failed
        union all select record from sync.not_eligible where reason not like 'history:%'
    """
    with simulation.hub.connect() as connection:
        return Counter(_fold(record) for record in connection.execute(sa.text(query)).scalars() if record)


def _fold(text: str | None) -> str:
    return (text or "").strip().lower()


def customers(simulation: Simulation) -> Iterator[str]:
    """Each account of sales is one customer of ops, with its name and phone; or the hub says why not."""
    said = explained(simulation)
    ours = simulation.systems.sales.records("accounts")
    theirs = simulation.systems.ops.records("CustomersV3")
    counting = {_fold(each["accountnumber"]): each for each in sorted(ours, key=_standing, reverse=True)}
    for number, account in counting.items():
        if any(number in words for words in said):
            continue
        found = [each for each in theirs if _fold(each["CustomerAccount"]) == number]
        wanted = [(account["name"], account["telephone1"] or "", account["creditlimit"] or 0)]
        if [(each["OrganizationName"], each["PrimaryContactPhone"], each["CreditLimit"]) for each in found] != wanted:
            yield f"account {account['accountnumber']}: wanted {wanted}, found {found}"


def _standing(account: Record) -> tuple[object, ...]:
    """Of accounts with one number the first by this counts; those that stand equal are a conflict, which is said."""
    return account["statecode"], account["merged"]


def gaps(simulation: Simulation) -> Iterator[str]:
    """No quotation is gone while sales holds a quote of its number, whatever revisions there are of it."""
    numbers = {_fold(each["quotenumber"]) for each in simulation.systems.sales.records("quotes")}
    with simulation.hub.connect() as connection:
        held = connection.execute(sa.text("select number from common.quote")).scalars().all()
    said = explained(simulation)
    for number in sorted(numbers - {_fold(each) for each in held}):
        if not any(number in words for words in said):
            yield f"quote {number}: there in sales, and not in common"


def heirs(simulation: Simulation) -> Iterator[str]:
    """No revision of a quote is kept out by an earlier one: numbers are shared by nothing else."""
    query = """
        select record from sync.delivery d join sync.map m on m.id = d.map_id
        where m.name = 'sales.quotes > quote' and d.code = 'key conflict'
    """
    with simulation.hub.connect() as connection:
        for record in connection.execute(sa.text(query)).scalars():
            yield f"quote {record}: in conflict with a revision of itself"


def products(simulation: Simulation) -> Iterator[str]:
    """Each product of ops is one product of sales, with its price; or the hub says why not."""
    said = explained(simulation)
    theirs = simulation.systems.sales.records("products")
    for product in simulation.systems.ops.records("SellableReleasedProducts"):
        number = _fold(product["ProductNumber"])
        if any(number in words for words in said):
            continue
        found = [each["price"] for each in theirs if _fold(each["productnumber"]) == number]
        wanted = product["SalesPrice"]
        if len(found) != 1 or abs(found[0] - wanted) > _A_CENT / 2:
            yield f"product {product['ProductNumber']}: wanted {wanted}, found {found}"


def quotations(simulation: Simulation) -> Iterator[str]:
    """Each active quote of sales is one quotation of ops with the same lines; or the hub says why not."""
    said = explained(simulation)
    sales, ops = simulation.systems.sales, simulation.systems.ops
    products = {each["productid"]: each["productnumber"] for each in sales.records("products")}
    lines = sales.records("quotedetails")
    for quote in sales.records("quotes"):
        number = _fold(quote["quotenumber"])
        if quote["statecode"] != 1 or any(number in words for words in said):
            continue
        wanted = Counter(
            (products.get(line["_productid_value"]), line["quantity"])
            for line in lines
            if line["_quoteid_value"] == quote["quoteid"]
        )
        found = _lines_in_ops(simulation, number)
        headers = [
            each for each in ops.records("CDSSalesQuotationHeaders") if _fold(each["SalesQuotationNumber"]) == number
        ]
        if len(headers) != 1 or wanted != found:
            yield f"quote {quote['quotenumber']}: {len(headers)} headers, wanted {wanted}, found {found}"


def _lines_in_ops(simulation: Simulation, number: str) -> Counter[tuple[str, object]]:
    """The lines of a quotation."""
    return Counter(
        (line["ProductNumber"], line["RequestedSalesQuantity"])
        for line in simulation.systems.ops.records("CDSSalesQuotationLines")
        if _fold(line["SalesQuotationNumber"]) == number
    )


def _is_willful(simulation: Simulation) -> bool:
    """Whether ops numbers lines by itself, or says that it made some and does not keep them."""
    will = simulation.wires["ops"].will
    return will is not None and (will.numbers or will.forgets)


def left_behind(simulation: Simulation) -> Iterator[str]:
    """A quote that is no longer active and has other lines than its quotation is told of."""
    said = explained(simulation)
    sales = simulation.systems.sales
    products = {each["productid"]: each["productnumber"] for each in sales.records("products")}
    lines = sales.records("quotedetails")
    delivered = {
        _fold(each["SalesQuotationNumber"]) for each in simulation.systems.ops.records("CDSSalesQuotationHeaders")
    }
    quotes = sales.records("quotes")
    newest = {_fold(each["quotenumber"]): each for each in sorted(quotes, key=lambda each: each["revisionnumber"])}
    for number, quote in newest.items():
        if quote["statecode"] == 1 or number not in delivered or any(number in words for words in said):
            continue
        wanted = Counter(
            (products.get(line["_productid_value"]), line["quantity"])
            for line in lines
            if line["_quoteid_value"] == quote["quoteid"]
        )
        if wanted != (found := _lines_in_ops(simulation, number)):
            yield f"quote {quote['quotenumber']} is left behind with {found} instead of {wanted}, and nobody says so"


def impatience(simulation: Simulation) -> Iterator[str]:
    """A system that asked for a pause, as the hub knew, was asked for nothing before it was over."""
    for name, wire in simulation.wires.items():
        yield from (f"{name} was asked in its pause: {request}" for request in wire.impatient)


def haste(simulation: Simulation) -> Iterator[str]:
    """A restored hub wrote nothing before it had read every entity set whole."""
    yield from simulation.reread.hasty


def twins(simulation: Simulation) -> Iterator[str]:
    """No record stands twice in the system it was delivered to."""
    numbers = (
        ("sales", "products", "productnumber"),
        ("ops", "CustomersV3", "CustomerAccount"),
    )
    boxes = {"sales": simulation.systems.sales, "ops": simulation.systems.ops}
    for system, entity_set, name in numbers:
        counted = Counter(_fold(each[name]) for each in boxes[system].records(entity_set))
        yield from (
            f"{entity_set} {number} stands there {times} times" for number, times in counted.items() if times > 1
        )


def missing_parents(simulation: Simulation) -> Iterator[str]:
    """No write was refused for a parent that is not there; where people delete in the target, it may be."""
    if simulation.deletes:
        return
    for wire in simulation.wires.values():
        yield from wire.orphans


def rejections(simulation: Simulation) -> Iterator[str]:
    """Only what people did wrong is rejected, and nothing that the hub should have known better."""
    with simulation.hub.connect() as connection:
        for row in connection.execute(sa.text("select flow, record, reason from sync.failed where state = 'rejected'")):
            deserved = (*_DESERVED, *(_OF_A_WILL if _is_willful(simulation) else ()))
            if not any(words in row.reason for words in deserved) and not _was_saved_and_deleted(simulation, row):
                yield f"{row.flow} {row.record}: {row.reason}"


def _was_saved_and_deleted(simulation: Simulation, row: sa.Row[Any]) -> bool:
    """Whether ops said no to a customer and saved it, and somebody deleted it there before the hub could see it."""
    held = simulation.systems.held("ops", "CustomersV3", CustomerAccount=row.record)
    deleted = simulation.people.done["delete_customer"] and not held
    return bool(deleted and row.flow.startswith("account") and "An unexpected error occurred." in row.reason)


def deletes(simulation: Simulation) -> Iterator[str]:
    """Within a day no more deletes of an entity set go ahead unasked than its budget has."""
    query = """
        select system, entity_set, max(within_a_day) as most from (
            select system, entity_set, count(*) over (
                partition by system, entity_set order by proposed_at
                range between interval '1 day' preceding and current row
            ) as within_a_day
            from sync.proposed_delete where state = 'done' and decided_by is null
        ) counted group by system, entity_set
    """
    with simulation.hub.connect() as connection:
        for row in connection.execute(sa.text(query)):
            budget = simulation.world.configuration.delete_budget(row.system, row.entity_set)
            if row.most > budget.count:
                yield f"{row.entity_set}: {row.most} within a day, and at most {budget.count} may go ahead"


def imagined(simulation: Simulation) -> Iterator[str]:
    """Where people delete nothing, no record that only they could delete is taken for deleted."""
    if simulation.deletes:
        return
    maps = simulation.compiled.maps
    ours = {str(each.mapping.entity_set) for each in maps if each.mapping.direction == "out"}
    query = "select system || '.' || entity_set as entity_set, record from sync.proposed_delete where state = 'done'"
    with simulation.hub.connect() as connection:
        for row in connection.execute(sa.text(query)):
            if row.entity_set not in ours:
                yield f"{row.entity_set} {row.record} was taken for deleted, and nobody has deleted anything"


def disagreeing(simulation: Simulation) -> Iterator[str]:
    """Exit code, status, explain, reconcile and balance say the same; last, for a reconciliation reads and merges."""
    engine = connect(simulation.trouble.url, now=simulation.now.isoformat())  # a pause is over by the world's clock
    world = replace(simulation.world, lease=simulation.lease, engine=engine)
    try:
        with engine.connect() as connection:
            pairs = some_records(connection)
            some = Random(simulation.seed).sample(pairs, min(_EXPLAINED, len(pairs)))
            yield from disagreements(connection, some)
            yield from reconciled(world, connection)
            yield from disagreements(connection, [])
    finally:
        engine.dispose()


def waiting(simulation: Simulation) -> Iterator[str]:
    """Who is said to wait is held up by something indeed: by what is wrong with it, or with those that point at it."""
    waiting = """
        select m.name as map, d.record_id, d.record, d.waits_for from sync.delivery d join sync.map m on m.id = d.map_id
        where d.state = 'blocked' and d.code is null
    """
    held_up = """
        select d.flow, d.record_id, m.entity from sync.differences d join sync.map m on m.name = d.flow
        where d.action not in ('create', 'update', 'delete', 'set')
    """
    with simulation.hub.connect() as connection:
        if rows := connection.execute(sa.text(waiting)).all():
            held = connection.execute(sa.text(held_up)).all()
            known = {(row.flow, row.record_id) for row in held}
            pointing = {f"the {row.entity} records that still point at it" for row in held}
            for row in rows:
                if (row.map, row.record_id) not in known and not pointing & set(row.waits_for):
                    yield f"{row.map} {row.record} waits for {row.waits_for}, and nothing holds it up"
