"""Records that refer to others by several plain fields, by themselves and as parts of them, inward and outward."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.fixtures.folders import Folders, synchronised_folders
from tests.fixtures.plans import explain, scans

pytestmark = pytest.mark.thorough

FILES = {
    "common/ware.yaml": """\
entity: ware
description: What is sold, numbered within an area.
key: [area, number]
fields:
  area: {required: true}
  number: {type: integer, required: true}
  title: {}
  under: {reference: ware}
""",
    "common/piece.yaml": """\
entity: piece
description: A piece of a ware.
key: [code]
fields:
  code: {required: true}
  ware: {reference: ware, required: true}
  called: {}
  spare: {reference: ware}
""",
    "common/crate.yaml": """\
entity: crate
description: A crate of a ware; travels with it.
key: [ware, place]
part_of: ware
label: place
fields:
  ware: {reference: ware, required: true}
  place: {type: integer, required: true}
  holds: {type: integer}
""",
    "shop/Wares.yaml": """\
entity_set: Wares
description: Wares of the shop; one may stand under another of its area.
key: [area, number]
fields:
  area: {}
  number: {type: integer}
  title: {}
  under: {type: integer}
references:
  upper: {to: Wares, by: {area: area, under: number}}
maps:
  - to: ware
    fields: {area: area, number: number, title: title, under: {reference: upper, need: later}}
""",
    "shop/Pieces.yaml": """\
entity_set: Pieces
description: Pieces in the shop; a spare ware is of the same area.
key: [code]
label: [ware.title, code]
fields:
  code: {}
  area: {}
  number: {type: integer}
  spare: {type: integer}
references:
  ware: {to: Wares, by: {number: number, area: area}}
  spare_ware: {to: Wares, by: {area: area, spare: number}}
maps:
  - to: piece
    fields:
      code: code
      ware: {reference: ware}
      called: ware.title
      spare: {reference: spare_ware, need: if known}
""",
    "shop/Crates.yaml": """\
entity_set: Crates
description: Crates in the shop.
key: [crate]
business_key: [place]
fields:
  crate: {type: integer}
  area: {}
  number: {type: integer}
  place: {type: integer}
  holds: {type: integer}
references:
  ware: {to: Wares, by: {area: area, number: number}}
maps:
  - to: crate
    fields: {ware: {reference: ware}, place: place, holds: holds}
""",
    "books/Items.yaml": """\
entity_set: Items
description: Wares in the books.
key: [zone, no]
fields:
  zone: {}
  no: {type: integer}
  title: {length: 10}
  under: {type: integer}
references:
  upper: {to: Items, by: {zone: zone, under: no}}
maps:
  - from: ware
    fields: {zone: area, no: number, title: title, under: {reference: under, need: later}}
""",
    "books/Units.yaml": """\
entity_set: Units
description: Pieces in the books.
key: [code]
fields:
  code: {}
  zone: {}
  no: {type: integer}
  called: {}
  spare: {type: integer}
references:
  item: {to: Items, by: {zone: zone, no: no}}
  spare_item: {to: Items, by: {zone: zone, spare: no}}
maps:
  - from: piece
    fields:
      code: code
      zone: {reference: ware}
      no: {reference: ware}
      called: called
      spare: {reference: spare, need: later}
""",
    "books/Slots.yaml": """\
entity_set: Slots
description: Crates in the books.
key: [zone, no, place]
fields:
  zone: {}
  no: {type: integer}
  place: {type: integer}
  holds: {type: integer}
references:
  item: {to: Items, by: {zone: zone, no: no}}
maps:
  - from: crate
    fields: {zone: ware.area, no: ware.number, place: place, holds: holds}
""",
}
BY_BUSINESS_KEY = {
    "shop/Wares.yaml": FILES["shop/Wares.yaml"].replace(
        "key: [area, number]\nfields:\n", "key: [id]\nbusiness_key: [area, number]\nfields:\n  id: {}\n"
    )
}
ANVIL = {"id": "a", "area": "north", "number": 1, "title": "Anvil"}
BELL = {"id": "b", "area": "south", "number": 1, "title": "Bell"}
COMB = {"id": "c", "area": "north", "number": 2, "title": "Comb"}


@pytest.fixture(params=["key", "business key"])
def folders(
    hub: sa.Engine, connection: sa.Connection, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Folders]:
    """A shop and its books; the wares of the shop are pointed at by their key, or by their business key."""
    files = FILES | (BY_BUSINESS_KEY if request.param == "business key" else {})
    with synchronised_folders(files, hub, connection, tmp_path) as made:
        yield made


def piece(code: str, ware: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {"code": code, "area": ware["area"], "number": ware["number"], "spare": None, **fields}


def crate(number: int, ware: dict[str, Any], place: int, holds: object = 5) -> dict[str, Any]:
    return {"crate": number, "area": ware["area"], "number": ware["number"], "place": place, "holds": holds}


def wares(folders: Folders, *records: dict[str, Any]) -> None:
    """The wares of the shop from now on."""
    known = folders.cycle.world.compiled.schema.entity_sets["shop", "Wares"].spec.fields
    folders.put("shop/Wares", *({name: each.get(name) for name in known} for each in records))


def units(folders: Folders) -> dict[str, tuple[Any, ...]]:
    """The pieces in the books: what they belong to, and what that is called."""
    return {each["code"]: (each["zone"], each["no"], each["called"]) for each in folders.held("books/Units")}


def slots(folders: Folders) -> list[tuple[Any, ...]]:
    return sorted((each["zone"], each["no"], each["place"], each["holds"]) for each in folders.held("books/Slots"))


def waiting(folders: Folders) -> list[tuple[Any, ...]]:
    """What waits, and for what."""
    return folders.rows("select flow, record, array_to_string(waits_for, '; ') from sync.blocked order by 1, 2")


def explained(folders: Folders, kind: str, key: str) -> str:
    rows = folders.rows(f"select concat_ws(' | ', topic, record, state, said) from sync.explain('{kind}', '{key}')")
    return "\n".join(row[0] for row in rows)


def test_a_record_refers_to_another_by_two_fields_and_is_delivered_with_both(folders: Folders) -> None:
    """Two wares have the number 1: only area and number together tell which; texts compare as keys do."""
    wares(folders, ANVIL, BELL, COMB)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", BELL, area="SOUTH "), piece("P3", COMB))
    folders.settle()
    assert units(folders) == {"P1": ("north", 1, "Anvil"), "P2": ("south", 1, "Bell"), "P3": ("north", 2, "Comb")}
    assert folders.rows("select count(*) from sync.delivery") == [(0,)]


def test_a_field_may_belong_to_two_references(folders: Folders) -> None:
    wares(folders, ANVIL, BELL, COMB)
    folders.put("shop/Pieces", piece("P1", ANVIL, spare=2), piece("P2", BELL, spare=2))
    folders.settle()
    assert {each["code"]: each.get("spare") for each in folders.held("books/Units")} == {"P1": 2, "P2": None}
    wares(folders, ANVIL, BELL, COMB, COMB | {"id": "d", "area": "south"})
    folders.settle()
    assert {each["code"]: each.get("spare") for each in folders.held("books/Units")} == {"P1": 2, "P2": 2}


def test_a_record_waits_by_name_for_what_it_refers_to(folders: Folders) -> None:
    wares(folders, BELL)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", BELL))
    folders.settle()
    assert list(units(folders)) == ["P2"]
    assert waiting(folders) == [("shop.Pieces > piece", "P1", "ware north,1")]
    missing = folders.rows("select field, entity_sets, string_to_array(key, e'\\x1f') from sync.missing")
    assert missing == [("ware", ["Wares"], ["north", "1"])]
    assert "shop.Wares north,1 | not there | shop has not shown it" in explained(folders, "shop.Pieces", "P1")
    wares(folders, ANVIL, BELL)
    folders.settle()
    assert list(units(folders)) == ["P1", "P2"]


def test_what_is_read_through_the_reference_follows_it(folders: Folders) -> None:
    wares(folders, ANVIL, BELL)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", BELL))
    folders.settle()
    wares(folders, ANVIL | {"title": "Big anvil"}, BELL)
    folders.settle()
    assert units(folders) == {"P1": ("north", 1, "Big anvil"), "P2": ("south", 1, "Bell")}


def test_a_record_that_moves_from_one_to_another_is_moved_there(folders: Folders) -> None:
    wares(folders, ANVIL, BELL, COMB)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", ANVIL))
    folders.settle()
    folders.put("shop/Pieces", piece("P1", BELL), piece("P2", COMB))
    folders.settle()
    assert units(folders) == {"P1": ("south", 1, "Bell"), "P2": ("north", 2, "Comb")}


def test_what_is_referred_to_gets_another_number_and_takes_along_what_follows_it(folders: Folders) -> None:
    """In the books it comes anew; what still names the old number waits for that."""
    wares(folders, ANVIL)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", ANVIL))
    folders.put("shop/Crates", crate(1, ANVIL, 1))
    folders.settle()
    renumbered = {"id": "n", "area": "north", "number": 9, "title": "Anvil"}
    wares(folders, renumbered)
    folders.put("shop/Pieces", piece("P1", renumbered), piece("P2", ANVIL))
    folders.put("shop/Crates", crate(1, renumbered, 1))
    folders.settle()
    assert units(folders)["P1"] == ("north", 9, "Anvil")
    assert slots(folders) == [("north", 9, 1, 5)]
    assert ("shop.Pieces > piece", "P2", "ware north,1") in waiting(folders)
    folders.put("shop/Pieces", piece("P1", renumbered), piece("P2", renumbered))
    folders.settle()
    assert [(each["zone"], each["no"]) for each in folders.held("books/Items")] == [("north", 9)]
    assert units(folders)["P2"] == ("north", 9, "Anvil")
    assert folders.rows("select count(*) from sync.delivery") == [(0,)]


def test_what_others_refer_to_is_deleted_after_them(folders: Folders) -> None:
    wares(folders, ANVIL, BELL)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", BELL))
    folders.settle()
    wares(folders, BELL)
    folders.settle()
    assert list(units(folders)) == ["P1", "P2"]
    assert len(folders.held("books/Items")) == 2
    assert ("shop.Pieces > piece", "P1", "ware north,1") in waiting(folders)
    folders.put("shop/Pieces", piece("P2", BELL))
    folders.settle()
    assert list(units(folders)) == ["P2"]
    assert [each["zone"] for each in folders.held("books/Items")] == ["south"]


def test_of_two_fields_that_are_filled_in_from_one_record_that_is_awaited_once(folders: Folders) -> None:
    wares(folders, ANVIL | {"title": "An anvil that is too long"}, BELL)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", BELL))
    folders.settle()
    assert list(units(folders)) == ["P2"]
    assert waiting(folders) == [("piece > books.Units", "P1", "ware 1 in books")]
    assert "at most 10 fit" in explained(folders, "piece", "P1")
    wares(folders, ANVIL, BELL)
    folders.settle()
    assert list(units(folders)) == ["P1", "P2"]


def tree(folders: Folders) -> dict[tuple[str, int], int | None]:
    """The wares in the books, and under which of their area each stands."""
    return {(each["zone"], each["no"]): each.get("under") for each in folders.held("books/Items")}


def test_records_refer_to_others_of_their_own_kind_by_two_fields(folders: Folders) -> None:
    """Chains of one number in two areas, turned about, taken apart and deleted: neither holds up the other."""

    def stand(area: str, **under: int | None) -> list[dict[str, Any]]:
        return [
            {"id": f"{area}{name}", "area": area, "number": int(name[1:]), "title": name, "under": upper}
            for name, upper in under.items()
        ]

    wares(folders, *stand("north", n1=2, n2=3, n3=None), *stand("south", n1=None, n2=1, n3=2))
    folders.settle()
    assert tree(folders) == {("north", 1): 2, ("north", 2): 3, ("north", 3): None,
                             ("south", 1): None, ("south", 2): 1, ("south", 3): 2}  # fmt: skip
    wares(folders, *stand("north", n1=None, n2=1, n3=2), *stand("south", n1=None, n2=1, n3=2))
    folders.settle()
    assert tree(folders) == {("north", 1): None, ("north", 2): 1, ("north", 3): 2,
                             ("south", 1): None, ("south", 2): 1, ("south", 3): 2}  # fmt: skip
    wares(folders, *stand("north", n3=2), *stand("south", n1=3, n2=1, n3=None))
    folders.settle()
    assert waiting(folders) == [("shop.Wares > ware", "3", "ware north,2")]
    assert tree(folders) == {("north", 3): None, ("south", 1): 3, ("south", 2): 1, ("south", 3): None}
    wares(folders, *stand("south", n3=None))
    folders.settle()
    assert tree(folders) == {("south", 3): None}
    assert folders.rows("select count(*) from sync.delivery") == [(0,)]


def test_parts_refer_to_their_root_by_two_fields_and_travel_with_it(folders: Folders) -> None:
    wares(folders, ANVIL, BELL)
    folders.put("shop/Crates", crate(1, ANVIL, 1), crate(2, ANVIL, 2), crate(3, BELL, 1))
    folders.settle()
    assert slots(folders) == [("north", 1, 1, 5), ("north", 1, 2, 5), ("south", 1, 1, 5)]
    folders.put("shop/Crates", crate(1, ANVIL, 1, 7), crate(2, BELL, 2), crate(3, BELL, 1))
    folders.settle()
    assert slots(folders) == [("north", 1, 1, 7), ("south", 1, 1, 5), ("south", 1, 2, 5)]
    wares(folders, BELL)
    folders.put("shop/Crates", crate(2, BELL, 2))
    folders.settle()
    assert slots(folders) == [("south", 1, 2, 5)]
    assert [each["zone"] for each in folders.held("books/Items")] == ["south"]


def test_a_part_that_comes_before_its_root_waits_for_it(folders: Folders) -> None:
    wares(folders, BELL)
    folders.put("shop/Crates", crate(1, ANVIL, 1), crate(2, BELL, 1))
    folders.settle()
    assert slots(folders) == [("south", 1, 1, 5)]
    assert waiting(folders) == [("shop.Crates > crate", "1", "ware north,1")]
    wares(folders, ANVIL, BELL)
    folders.settle()
    assert slots(folders) == [("north", 1, 1, 5), ("south", 1, 1, 5)]


def test_a_root_waits_for_its_part_that_could_not_be_taken_in(folders: Folders) -> None:
    """And no other root does, though it has one of the two fields in common."""
    wares(folders, ANVIL, BELL, COMB)
    folders.put("shop/Crates", crate(1, BELL, 1), crate(2, ANVIL, 1, "many") | {"area": " North"})
    folders.settle()
    assert [(each["zone"], each["no"]) for each in folders.held("books/Items")] == [("north", 2), ("south", 1)]
    ((flow, record, words),) = waiting(folders)
    assert (flow, record) == ("ware > books.Items", "1")
    assert words.startswith("crate 1 that could not be taken in: holds: 'many'")
    assert "could not be taken in" in explained(folders, "ware", "north,1")
    folders.put("shop/Crates", crate(1, BELL, 1), crate(2, ANVIL, 1))
    folders.settle()
    assert slots(folders) == [("north", 1, 1, 5), ("south", 1, 1, 5)]
    assert folders.rows("select count(*) from sync.delivery") == [(0,)]


def test_what_a_bad_row_was_to_be_is_told_to_those_that_refer_to_it(folders: Folders) -> None:
    wares(folders, ANVIL | {"title": 7}, BELL)
    folders.put("shop/Pieces", piece("P1", ANVIL), piece("P2", BELL))
    folders.settle()
    assert list(units(folders)) == ["P2"]
    words = explained(folders, "shop.Pieces", "P1")
    assert ("its row was quarantined: title: 7" in words) != ("rows of it that could not be taken in: 1" in words)


def test_a_record_is_explained_and_its_history_told_with_the_parts_that_refer_to_it(folders: Folders) -> None:
    wares(folders, ANVIL)
    folders.put("shop/Crates", crate(1, ANVIL, 3))
    folders.settle()
    shown = folders.rows("select relation from sync.part where entity = 'ware' order by 1")
    assert ("shop.crates",) in shown
    assert ("common.crate",) in shown
    folders.put("shop/Crates", crate(1, ANVIL, 3, 8))
    folders.settle()
    places = folders.rows("select distinct place from sync.history('crate', 'north,1,3')")
    assert {"shop.Crates", "common.crate", "books.Slots"} <= {place for (place,) in places}


def test_what_refers_and_what_is_referred_to_find_each_other_by_an_index(folders: Folders) -> None:
    """Thousands of pieces and crates, of which a few wares concern a few."""
    wares(folders, ANVIL)
    folders.put("shop/Pieces", piece("P1", ANVIL))
    folders.put("shop/Crates", crate(1, ANVIL, 1))
    folders.settle()
    compiled, connection = folders.cycle.world.compiled, folders.cycle.connection
    own = ("id_, ", "n, ") if "id" in compiled.schema.entity_sets["shop", "Wares"].spec.fields else ("", "")
    with connection.begin():
        for statement in (
            f"insert into shop.wares ({own[0]}area, number, title) "
            f"select {own[1]}'area ' || n / 10, n % 10, repeat('w', 50) from generate_series(1, 20000) n",
            "insert into shop.pieces (code, area, number, spare) "
            "select 'M' || n, 'area ' || n / 10, n % 10, n % 7 from generate_series(1, 20000) n",
            "insert into shop.crates (crate, area, number, place) "
            "select n, 'area ' || n / 10, n % 10, 1 from generate_series(2, 20000) n",
            "analyze shop.wares", "analyze shop.pieces", "analyze shop.crates", "analyze log.change",
            "insert into common.ware (area, number) select area, number from shop.wares where area <> 'north'",
            "insert into common.piece (code, ware_id) select p.code, w.id from shop.pieces p "
            "join common.ware w using (area, number) where p.code <> 'P1'",
            "insert into common.crate (ware_id, place) select w.id, 1 from common.ware w where w.area <> 'north'",
            "insert into sync.link_shop_wares__ware (mirror_id, common_id) select s.id, c.id "
            "from shop.wares s join common.ware c using (area, number) where area <> 'north'",
            "insert into sync.link_shop_pieces__piece (mirror_id, common_id) select s.id, c.id "
            "from shop.pieces s join common.piece c using (code) where code <> 'P1'",
            "insert into sync.link_shop_crates__crate (mirror_id, common_id) select s.id, c.id from shop.crates s "
            "join common.ware w using (area, number) join common.crate c on c.ware_id = w.id where area <> 'north'",
            "analyze common.ware", "analyze common.piece", "analyze common.crate", "analyze sync.link_shop_wares__ware",
            "analyze sync.link_shop_pieces__piece", "analyze sync.link_shop_crates__crate",
            "set local random_page_cost = 1.1",
            "create temporary table changed on commit drop as select relation::oid as relation, record_id, seq, "
            "operation::text as operation from log.change where relation = 'shop.wares'::regclass "
            "order by seq desc limit 5",
            "analyze changed",
        ):  # fmt: skip
            connection.execute(sa.text(statement))
        through: list[sa.Executable] = [
            marking.records
            for name in ("shop.Pieces > piece", "shop.Crates > crate")
            for marking in compiled.map(name).markings
            if marking.table.fullname == "shop.wares"
        ]
        assert len(through) >= 3
        views = (compiled.map(name).view.view for name in ("shop.Pieces > piece", "ware > books.Items"))
        one: list[sa.Executable] = [sa.select(view).where(view.c.source_id == 2000) for view in views]
        told = (("missing", "record_id"), ("parents", "record_id"), ("part", "root_id"))
        more: list[sa.Executable] = [
            sa.text(f"select * from sync.{view} where {column} = 2000") for view, column in told
        ]
        for read in (*through, *one, *more):
            assert scans(connection, explain(connection, read)) == []
