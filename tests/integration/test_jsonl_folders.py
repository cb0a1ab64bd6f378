"""Two folders of JSONL files with the hub between them: keys of several parts, references by numbers and by texts."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
import sqlalchemy as sa

from replicator.config import Configuration
from replicator.connectors.protocol import Applied, Capabilities, Connector, Key, Outcome, Page, Unit, Unknown, Write
from replicator.connectors.wrapped import Wrapped
from replicator.cycle import Cycle
from replicator.daemon import Daemon
from replicator.mapping.language import EntitySetSpec
from replicator.operate.planning.rehearse import make_plan
from tests.fixtures.commands import until
from tests.fixtures.folders import Folders, synchronised_folders

pytestmark = pytest.mark.thorough

FILES = {
    "common/maker.yaml": """\
entity: maker
description: Who makes wares.
key: [code]
fields:
  code: {required: true}
  title: {}
""",
    "common/ware.yaml": """\
entity: ware
description: What is sold, numbered within an area.
key: [area, number]
fields:
  area: {required: true}
  number: {type: integer, required: true}
  title: {}
  maker: {reference: maker, required: true}
""",
    "shop/Makers.yaml": """\
entity_set: Makers
description: Makers of the shop.
key: [code]
every: 1h
fields:
  code: {}
  title: {}
maps:
  - to: maker
    fields: {code: code, title: title}
""",
    "shop/Wares.yaml": """\
entity_set: Wares
description: Wares of the shop.
key: [area, number]
fields:
  area: {}
  number: {type: integer}
  title: {}
  maker: {type: reference, to: [Makers]}
maps:
  - to: ware
    fields: {area: area, number: number, title: title, maker: {reference: maker}}
""",
    "books/Producers.yaml": """\
entity_set: Producers
description: Makers in the books, which number them.
key: [id]
assigned: [id]
business_key: [code]
fields:
  id: {type: integer}
  code: {}
  title: {length: 30}
maps:
  - from: maker
    fields: {code: code, title: title}
""",
    "books/Items.yaml": """\
entity_set: Items
description: Wares in the books.
key: [area, number]
fields:
  area: {}
  number: {type: integer}
  title: {}
  producer: {type: reference, to: [Producers]}
maps:
  - from: ware
    fields: {area: area, number: number, title: title, producer: {reference: maker}}
""",
}


@pytest.fixture
def folders(hub: sa.Engine, connection: sa.Connection, tmp_path: Path) -> Iterator[Folders]:
    """A shop and its books, both empty, and a hub made for them."""
    with synchronised_folders(FILES, hub, connection, tmp_path) as made:
        yield made


def test_a_folder_that_changes_is_read_without_waiting_for_the_next_poll(folders: Folders) -> None:
    """Nor does a set wait that is otherwise read once an hour; and no hint is lost between two reads."""
    world = folders.cycle.world
    settings = Configuration.model_validate({"daemon": {"poll_seconds": 3600, "hub_poll_seconds": 0.1}})
    running = Daemon(replace(world, configuration=settings), "test")
    thread = threading.Thread(target=running.run, name="daemon")
    thread.start()
    try:
        for number in range(1, 4):
            title = f"Acme {number}"
            folders.put("shop/Makers", ACME | {"title": title})
            until(partial(folders.holds, "books/Producers", title), what=title)
    finally:
        running.stop()
        thread.join(20)
    assert folders.problems.found == []


ACME = {"code": "ACME", "title": "Acme"}
WARES = [
    {"area": "north", "number": 1, "title": "Anvil", "maker": "ACME"},
    {"area": "south", "number": 1, "title": "Bell", "maker": "ACME"},
]


def test_records_go_from_folder_to_folder_and_their_references_with_them(folders: Folders) -> None:
    folders.put("shop/Makers", ACME)
    folders.put("shop/Wares", *WARES)
    folders.settle()
    assert folders.held("books/Producers") == [{"id": 1, "code": "ACME", "title": "Acme"}]
    assert folders.held("books/Items") == [
        {"area": each["area"], "number": 1, "title": each["title"], "producer": 1} for each in WARES
    ]


def test_a_change_and_a_delete_find_their_record_by_all_parts_of_its_key(folders: Folders) -> None:
    folders.put("shop/Makers", ACME)
    folders.put("shop/Wares", *WARES)
    folders.settle()
    folders.put("shop/Wares", WARES[0] | {"title": "Big anvil"})
    folders.settle()
    assert [(each["area"], each["title"]) for each in folders.held("books/Items")] == [("north", "Big anvil")]


def test_what_points_at_a_maker_waits_until_that_has_come(folders: Folders) -> None:
    folders.put("shop/Wares", *WARES)
    folders.settle()
    assert folders.held("books/Items") == []
    folders.put("shop/Makers", ACME)
    folders.settle()
    assert len(folders.held("books/Items")) == 2


def test_a_reference_has_the_type_of_the_key_that_it_points_at(folders: Folders) -> None:
    query = "select format_type(atttypid, -1) from pg_attribute where attrelid = '{}'::regclass and attname = '{}'"
    assert folders.rows(query.format("shop.wares", "maker")) == [("text",)]
    assert folders.rows(query.format("books.items", "producer")) == [("bigint",)]


def test_a_reference_by_a_text_is_found_as_keys_are_compared(folders: Folders) -> None:
    """Somebody wrote the maker in another case, with a blank: it is the same one."""
    folders.put("shop/Makers", ACME)
    folders.put("shop/Wares", WARES[0] | {"maker": "acme "})
    folders.settle()
    assert [each["producer"] for each in folders.held("books/Items")] == [1]


class Losing(Wrapped):
    """A system that numbers what it is told, and whose answers come without the number, or not at all."""

    answers: ClassVar[list[Outcome]] = [Unknown("no answer"), Applied(None, None)]

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.creates = 0

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        outcomes = self.real.apply(units)
        number = sum(None in write.key for unit in units for write in unit)
        self.creates += number
        return [[self.answers[self.creates % 2]] * len(unit) for unit in units] if number else outcomes


@pytest.mark.parametrize("makers", [1, 2, 5])
def test_a_record_whose_number_was_never_told_is_found_by_its_business_key(folders: Folders, makers: int) -> None:
    """It is created once, and what points at it finds the number that it got."""
    codes = [f"M{number}" for number in range(makers)]
    folders.put("shop/Makers", *({"code": code, "title": code} for code in codes))
    folders.put("shop/Wares", *({"area": code, "number": 1, "title": code, "maker": code} for code in codes))
    world = folders.cycle.world
    losing = Losing(world.connectors["books"])
    Cycle(replace(world, connectors={**world.connectors, "books": losing}), folders.cycle.connection).once()
    assert losing.creates == makers
    folders.rows("select set_config('sync.now', cast(now() + interval '1 hour' as text), false)")  # pauses are over
    folders.settle()
    numbers = {each["code"]: each["id"] for each in folders.held("books/Producers")}
    assert sorted(numbers) == codes
    assert len(set(numbers.values())) == makers
    assert {each["area"]: each["producer"] for each in folders.held("books/Items")} == numbers
    assert folders.rows("select count(*) from sync.delivery") == [(0,)]


def test_of_several_records_that_bear_the_business_key_none_is_taken_for_the_one_that_was_created(
    folders: Folders,
) -> None:
    folders.put("shop/Makers", ACME, {"code": "M2", "title": "Other"})
    world = folders.cycle.world
    losing = Losing(world.connectors["books"])
    Cycle(replace(world, connectors={**world.connectors, "books": losing}), folders.cycle.connection).once()
    assert folders.rows("select distinct state from sync.delivery") == [("unknown",)]
    folders.put("books/Producers", *folders.held("books/Producers"), {"id": 9, "code": "acme ", "title": "Acme"})
    folders.rows("select set_config('sync.now', cast(now() + interval '1 hour' as text), false)")
    folders.cycle.once()
    ((state, reason),) = folders.rows("select state, reason from sync.delivery where record = 'ACME'")
    assert state == "unknown"
    assert "2 records of Producers bear the business key ACME" in reason
    assert len(folders.held("books/Producers")) == 3


def test_a_plan_shows_that_a_key_is_assigned_and_once_does_what_it_says(folders: Folders) -> None:
    folders.put("shop/Makers", ACME)
    folders.put("shop/Wares", *WARES)
    folders.cycle.prepare()
    folders.cycle.read()
    plan = make_plan(folders.cycle.world)
    assert [(each.flow, each.key) for each in plan.writes] == [
        ("maker > books.Producers", {"id": "(assigned)"}),
        ("ware > books.Items", {"area": "north", "number": "1"}),
        ("ware > books.Items", {"area": "south", "number": "1"}),
    ]
    assert folders.held("books/Producers") == []
    folders.settle()
    assert len(folders.held("books/Items")) == 2


class Asked(Wrapped):
    """A system that remembers which of its entity sets were read."""

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.read_sets: list[str] = []

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        self.read_sets.append(entity_set.entity_set)
        return self.real.read(entity_set, token)


def test_a_poll_reads_an_entity_set_as_often_as_its_file_says(folders: Folders) -> None:
    world = folders.cycle.world
    schema = world.compiled.schema
    makers = schema.entity_sets["shop", "Makers"]
    slow = replace(makers, spec=makers.spec.model_copy(update={"every": "5m"}))
    paced = replace(schema, entity_sets={**schema.entity_sets, ("shop", "Makers"): slow})
    shop = Asked(world.connectors["shop"])
    slowly = replace(
        world, connectors={**world.connectors, "shop": shop}, compiled=replace(world.compiled, schema=paced)
    )
    cycle = Cycle(slowly, folders.cycle.connection)

    def polled(after: str) -> list[str]:
        folders.rows(f"select set_config('sync.now', cast(now() + interval '{after}' as text), false)")
        shop.read_sets.clear()
        cycle.read(["shop"])
        return list(dict.fromkeys(shop.read_sets))  # one whose token has expired is read again

    assert polled("0 s") == ["Makers", "Wares"], "what was never read is due"
    assert polled("4 min") == ["Wares"]
    assert polled("6 min") == ["Makers", "Wares"]
    assert polled("7 min") == ["Wares"]
    with cycle.connection.begin():
        cycle.connection.execute(
            sa.text("insert into sync.refetch (system, entity_set, record_id, at) values ('shop', 'Makers', 0, now())")
        )
    assert polled("8 min") == ["Makers", "Wares"], "somebody asked for it"
    folders.put("shop/Makers", ACME)
    (folders.root / "shop/Makers.jsonl").rename(folders.root / "away")
    assert polled("14 min") == ["Makers", "Wares"]
    assert polled("15 min") == ["Makers", "Wares"], "what could not be read is tried at every poll"
    (folders.root / "away").rename(folders.root / "shop/Makers.jsonl")
    assert polled("16 min") == ["Makers", "Wares"]
    assert polled("17 min") == ["Wares"]
    shop.read_sets.clear()
    cycle.once()
    assert set(shop.read_sets) == {"Makers", "Wares"}, "who calls for it reads all"


class Sweeping(Wrapped):
    """A system that shows what was changed, and never what is gone."""

    def __init__(self, real: Connector) -> None:
        super().__init__(real)
        self.capabilities = Capabilities(changes="since", conditional_writes=True)

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        return self.real.read(entity_set, None) if token is None else iter([Page((), (), token, last=True)])


def test_where_changes_tell_no_deletes_the_set_is_read_whole_once_a_day(folders: Folders) -> None:
    folders.put("shop/Makers", ACME)
    folders.put("shop/Wares", *WARES)
    folders.settle()
    world = folders.cycle.world
    sweeping = Sweeping(world.connectors["shop"])
    cycle = Cycle(replace(world, connectors={**world.connectors, "shop": sweeping}), folders.cycle.connection)
    folders.put("shop/Wares", WARES[0])
    for after, areas in (("17 hours", ["north", "south"]), ("25 hours", ["north"])):
        folders.rows(f"select set_config('sync.now', cast(now() + interval '{after}' as text), false)")
        cycle.once()
        assert [each["area"] for each in folders.held("books/Items")] == areas


class Telling(Wrapped):
    """A system that tells what is gone, with keys of two parts, one of them written in another case."""

    def __init__(self, real: Connector, gone: list[Key]) -> None:
        super().__init__(real)
        self.capabilities = Capabilities(changes="delta", conditional_writes=True)
        self.gone = gone

    def read(self, entity_set: EntitySetSpec, token: str | None) -> Iterator[Page]:
        if token is None or entity_set.entity_set != "Wares":
            return self.real.read(entity_set, token)
        return iter([Page((), self.gone, token, last=True)])


def test_the_deleted_entries_of_a_read_of_changes_carry_keys_of_several_parts(folders: Folders) -> None:
    folders.put("shop/Makers", ACME)
    folders.put("shop/Wares", *WARES)
    folders.settle()
    folders.put("shop/Wares", WARES[0])
    world = folders.cycle.world
    telling = Telling(world.connectors["shop"], [("SOUTH ", 1), ("south", 2)])
    Cycle(replace(world, connectors={**world.connectors, "shop": telling}), folders.cycle.connection).once()
    assert folders.problems.found == []
    assert [each["area"] for each in folders.held("books/Items")] == ["north"]


class Forgetful(Wrapped):
    """A system that does what it is told, but for the code, which it forgets."""

    def __init__(self, real: Connector, answer: Outcome | None) -> None:
        super().__init__(real)
        self.answer = answer
        self.writes = 0

    def apply(self, units: Sequence[Unit]) -> list[list[Outcome]]:
        self.writes += sum(map(len, units))
        assert self.writes < 20, "this never ends"
        outcomes = self.real.apply([tuple(self._without_code(each) for each in unit) for unit in units])
        return outcomes if self.answer is None else [[self.answer] * len(unit) for unit in units]

    @staticmethod
    def _without_code(write: Write) -> Write:
        return replace(write, values={name: value for name, value in write.values.items() if name != "code"})


@pytest.mark.parametrize(
    ("answer", "writes"),
    [(None, 1), (Applied(None, None), 2), (Unknown("no answer"), 3)],
    ids=["told", "silent", "lost"],
)
def test_a_system_that_forgets_the_business_key_is_not_written_to_for_ever(
    folders: Folders, answer: Outcome | None, writes: int
) -> None:
    """Of its answers it depends how soon that shows; where none comes, a try an hour is all that there is."""
    folders.put("shop/Makers", ACME)
    world = folders.cycle.world
    forgetful = Forgetful(world.connectors["books"], answer)
    cycle = Cycle(replace(world, connectors={**world.connectors, "books": forgetful}), folders.cycle.connection)
    for hour in range(1, 4):
        cycle.once()
        folders.rows(f"select set_config('sync.now', cast(now() + interval '{hour} hours' as text), false)")
    assert forgetful.writes == writes
    if answer is None:
        assert folders.rows("select field, sent, stored from sync.amended") == [("code", "ACME", None)]
    elif isinstance(answer, Applied):
        ((state, reason),) = folders.rows("select state, reason from sync.delivery")
        assert (state, reason.partition(";")[0]) == (
            "rejected", "books said 2 times that it created ACME, and shows no such record",
        )  # fmt: skip
