"""Schemas of other shapes than the product's make a complete hub too."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.hub import compiled, hub
from replicator.mapping.compiled import Compiled, compile_folder

LISTS = {
    "common/list.yaml": """\
entity: list
description: A whole.
key: [number]
fields: {number: {length: 20, required: true}}
""",
    "common/entry.yaml": """\
entity: entry
description: A part.
key: [list, place]
part_of: list
fields:
  list: {reference: list, required: true}
  place: {type: integer, required: true}
""",
    "mine/lists.yaml": """\
entity_set: lists
description: Wholes.
key: [number]
fields: {number: {length: 20, required: true}}
maps: [{to: list, fields: {number: number}}]
""",
    "mine/entries.yaml": """\
entity_set: entries
description: Parts.
key: [list, place]
fields: {list: {length: 20}, place: {type: integer}}
references: {whole: {to: lists, by: {list: number}}}
maps: [{to: entry, fields: {list: {reference: whole}, place: place}}]
""",
    "theirs/Lists.yaml": """\
entity_set: Lists
description: Wholes.
key: [ListId]
business_key: [Number]
fields: {ListId: {type: uuid}, Number: {length: 20, required: true}}
maps: [{from: list, fields: {Number: number}}]
""",
    "theirs/Entries.yaml": """\
entity_set: Entries
description: Parts under a key that is made for them, and without one that anybody else gives.
key: [EntryId]
fields: {EntryId: {type: uuid}, Number: {length: 20}, Place: {type: integer}}
maps: [{from: entry, fields: {Number: list.number, Place: place}}]
""",
}


def parts_without_a_business_key(folder: Path) -> Compiled:
    for name, text in LISTS.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return compile_folder(folder)


@pytest.mark.parametrize("shape", ["all flows come in", "parts without a business key"])
def test_a_schema_of_another_shape_makes_a_hub_whose_views_answer(server_url: str, shape: str, tmp_path: Path) -> None:
    model = compiled("bench") if shape == "all flows come in" else parts_without_a_business_key(tmp_path)
    views = sa.text(
        "select format('%I.%I', schemaname, viewname) from pg_views where schemaname in ('sync', 'desired')"
    )
    with hub(server_url, f"shape_{uuid.uuid4().hex[:12]}", model) as engine, engine.connect() as connection:
        found = connection.execute(views).scalars().all()
        assert len(found) > 10
        for view in found:
            assert connection.execute(sa.text(f"select count(*) from {view}")).scalar_one() >= 0
