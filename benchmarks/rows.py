"""The rows that are measured: made up on the fly, the same in every run, as Dataverse's JSON would have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from replicator.connectors import exact_json

PAGE = 5000
CATEGORIES = 20
CHANGED = 1000
"""One row in so many differs between two generations."""

Values = dict[str, object]

_CITIES = ("Bonn", "Aachen", "Lyon", "Gdansk", "Porto", "Malmö", "Graz")
_COUNTRIES = ("Germany", "France", "Poland", "Portugal", "Sweden", "Austria")


def guid(number: int) -> str:
    """A GUID as scattered as a random one."""
    mixed = f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
    return f"{mixed[:8]}-{mixed[8:12]}-{mixed[12:16]}-{mixed[16:20]}-{mixed[20:]}"


def category(number: int) -> Values:
    """One of the small set."""
    return {
        "@odata.etag": f'W/"{number}"',
        "categoryid": guid(-number - 2),
        "code": f"C{number:02d}",
        "name": f"Category {number}",
    }


def item(number: int, generation: int) -> Values:
    """One of the large set. A later generation has another price and description."""
    return {
        "@odata.etag": f'W/"{number + generation}"',
        "itemid": guid(number),
        "number": f"ITEM-{number:07d}",
        "name": f"Item {number} of the large entity set",
        "description": f"An invented article that weighs little, generation {generation}, of no further interest",
        "statecode": number % 2,
        "city": _CITIES[number % 7],
        "country": _COUNTRIES[number % 6],
        "email": f"item.{number}@example.com",
        "quantity": number % 977,
        "price": Decimal(number % 99991 + generation).scaleb(-2),
        "weight": Decimal(number % 7919).scaleb(-3),
        "isstocked": number % 3 == 0,
        "availablefrom": f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}",
        "countedon": f"2026-{number % 12 + 1:02d}-{number % 28 + 1:02d}T{number % 24:02d}:{number % 60:02d}:00Z",
        "_categoryid_value": guid(-(number % CATEGORIES) - 2),
    }


def whole(records: int, generation: int) -> Iterator[list[Values]]:
    """The whole set in pages; in generation n, each row whose number leaves n modulo CHANGED differs from before."""
    for start in range(0, records, PAGE):
        numbers = range(start, min(start + PAGE, records))
        yield [item(number, generation if generation and number % CHANGED == generation else 0) for number in numbers]


def changed(numbers: Sequence[int], generation: int) -> list[Values]:
    """A page of changes."""
    return [item(number, generation) for number in numbers]


def body(page: Sequence[Values]) -> bytes:
    """The answer that holds a page."""
    return exact_json.dumps({"value": page})
