"""A whole hub between two OData services by others: nothing of the sandbox, both connectors, both directions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from random import Random
from uuid import UUID

import pytest
import sqlalchemy as sa

from replicator.config import Configuration
from replicator.connectors import connect as connect_system
from replicator.connectors.kinds import settings_of
from replicator.connectors.protocol import Applied, Connector, Image, Key, Operation, Write
from replicator.cycle import Cycle
from replicator.mapping.language import EntitySetSpec
from replicator.world import World
from tests.fixtures.foreign import Foreign
from tests.fixtures.own_schema import make_hub, written_schema
from tests.fixtures.world import Problems

FILES = {
    "common/maker.yaml": """
entity: maker
description: Who makes it.
key: [code]
fields:
  code: {length: 20, required: true}
  name: {length: 60}
""",
    "common/ware.yaml": """
entity: ware
description: What is sold.
key: [number]
fields:
  number: {length: 20, required: true}
  name: {length: 60, required: true}
  price: {type: decimal}
  maker: {reference: maker, required: true}
""",
    "crm/makers.yaml": """
entity_set: makers
description: Makers, mastered here.
key: [makerid]
business_key: [code]
fields:
  makerid: {type: uuid}
  code: {length: 20, required: true}
  name: {length: 60}
maps:
  - to: maker
    fields: {code: code, name: name}
""",
    "crm/items.yaml": """
entity_set: items
description: What makers make, as the other system says.
key: [itemid]
business_key: [number]
fields:
  itemid: {type: uuid}
  number: {length: 20, required: true}
  name: {length: 60}
  price: {type: decimal}
maps:
  - from: ware
    fields: {number: number, name: name, price: price}
""",
    "erp/Vendors.yaml": """
entity_set: Vendors
description: Makers, as the other system says.
key: [VendorCode]
fields:
  VendorCode: {length: 20, required: true}
  VendorName: {length: 60}
maps:
  - from: maker
    fields: {VendorCode: code, VendorName: name}
""",
    "erp/Wares.yaml": """
entity_set: Wares
description: Products, mastered here.
key: [WareNumber]
fields:
  WareNumber: {length: 20, required: true}
  WareName: {length: 60, required: true}
  Price: {type: decimal}
  VendorCode: {length: 20}
maps:
  - to: ware
    fields: {number: WareNumber, name: WareName, price: Price, maker: {lookup: maker, match: {code: VendorCode}}}
""",
}
SETS = {
    "crm": {
        "makers": {"makerid": "Edm.Guid", "code": "Edm.String", "name": "Edm.String"},
        "items": {"itemid": "Edm.Guid", "number": "Edm.String", "name": "Edm.String", "price": "Edm.Decimal"},
    },
    "erp": {
        "Vendors": {"VendorCode": "Edm.String", "VendorName": "Edm.String"},
        "Wares": {
            "WareNumber": "Edm.String", "WareName": "Edm.String", "Price": "Edm.Decimal", "VendorCode": "Edm.String",
        },
    },
}  # fmt: skip
KEYS = {"makers": ["makerid"], "items": ["itemid"], "Vendors": ["VendorCode"], "Wares": ["WareNumber"]}
KINDS = {"crm": ("dataverse", "/api/data/v9.2"), "erp": ("finops", "/data")}


@dataclass
class Between:
    """The hub, and a client of each service for the people who work there."""

    cycle: Cycle
    connectors: dict[str, Connector]
    connection: sa.Connection
    problems: Problems

    def spec(self, system: str, name: str) -> EntitySetSpec:
        return self.cycle.world.compiled.schema.entity_sets[(system, name)].spec

    def write(self, system: str, entity_set: str, key: Key, **values: object) -> None:
        """A person creates a record; deletes it where no values are given, changes it where it is there."""
        spec, client = self.spec(system, entity_set), self.connectors[system]
        etag = next((etag for image, etag in self._read(system, entity_set) if _key(spec, image) == key), None)
        operation: Operation = "delete" if not values else "create" if etag is None else "update"
        ((outcome,),) = client.apply([(Write(spec, operation, key, values, etag),)])
        assert isinstance(outcome, Applied), outcome

    def held(self, system: str, entity_set: str) -> dict[Key, Image]:
        spec = self.spec(system, entity_set)
        return {_key(spec, image): image for image, _ in self._read(system, entity_set)}

    def _read(self, system: str, entity_set: str) -> Iterator[tuple[Image, str]]:
        spec, client = self.spec(system, entity_set), self.connectors[system]
        decode = client.decoder(spec)
        for page in client.read(spec, None):
            for row in page.rows:
                *values, etag = decode(row)
                yield dict(zip(spec.fields, values, strict=True)), str(etag)

    def settle(self) -> None:
        self.cycle.once()
        assert self.problems.found == []
        with self.connection.begin():
            left = self.connection.execute(sa.text("select flow, record, action from sync.unexplained")).all()
            assert left == []


def _key(spec: EntitySetSpec, image: Image) -> Key:
    return tuple(image[part] for part in spec.key)


@pytest.fixture
def between(connection: sa.Connection, hub: sa.Engine, tmp_path: Path) -> Iterator[Between]:
    compiled = written_schema(FILES, tmp_path / "schema")
    make_hub(connection, compiled)
    with ExitStack() as stack:
        connectors: dict[str, Connector] = {}
        for system, (kind, path) in KINDS.items():
            service = Foreign(path, SETS[system], KEYS)
            settings = settings_of({"kind": kind, "url": f"https://{system}.test"})
            connectors[system] = connect_system(system, settings, transport=service.transport)
            stack.callback(connectors[system].close)
        problems = Problems()
        workers = stack.enter_context(ThreadPoolExecutor(2))
        world = World(Configuration(), compiled, hub, connectors, workers, problems, Random(3))
        yield Between(Cycle(world, connection), connectors, connection, problems)


def test_records_go_both_ways_and_wait_for_their_parents(between: Between) -> None:
    between.write("erp", "Wares", ("W-1",), WareName="Screw", Price=Decimal("0.0375"), VendorCode="M-1")
    between.cycle.once()
    assert between.held("crm", "items") == {}, "its maker is not there yet"
    between.write("crm", "makers", (UUID(int=1),), code="M-1", name="Müller & Söhne")
    between.settle()
    assert between.held("erp", "Vendors") == {("M-1",): {"VendorCode": "M-1", "VendorName": "Müller & Söhne"}}
    (item,) = between.held("crm", "items").values()
    assert (item["number"], item["name"], item["price"]) == ("W-1", "Screw", Decimal("0.0375"))


def test_changes_and_deletes_go_both_ways_and_nothing_is_written_twice(between: Between) -> None:
    for n in range(1, 31):
        between.write("crm", "makers", (UUID(int=n),), code=f"M-{n}", name=f"Maker {n}")
        between.write("erp", "Wares", (f"W-{n}",), WareName=f"Ware {n}", Price=Decimal(n), VendorCode=f"M-{n}")
    between.settle()
    items = {image["number"]: key for key, image in between.held("crm", "items").items()}
    assert len(items) == len(between.held("erp", "Vendors")) == 30
    between.write("erp", "Wares", ("W-7",), Price=Decimal("7.77"))
    between.write("erp", "Wares", ("W-8",))
    between.write("crm", "makers", (UUID(int=9),), name="Renamed")
    between.settle()
    changed = between.held("crm", "items")
    assert changed[items["W-7"]]["price"] == Decimal("7.77")
    assert items["W-8"] not in changed
    assert changed.keys() == set(items.values()) - {items["W-8"]}
    assert between.held("erp", "Vendors")[("M-9",)]["VendorName"] == "Renamed"
    requests = {name: client.usage().requests for name, client in between.connectors.items()}
    between.settle()
    assert between.held("crm", "items") == changed
    assert all(client.usage().requests - requests[name] <= 4 for name, client in between.connectors.items()), (
        "a round in which nothing happened only reads"
    )
