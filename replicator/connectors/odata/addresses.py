"""Addresses of records: ``set(guid)``, ``set(name='text',other=1)``."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID

from replicator.connectors.protocol import FieldProblem
from replicator.connectors.wire_values import to_text, utc_text


def literal(name: str, value: object, *, twice: str = "") -> str:
    """A key value in an address: numbers and GUIDs bare, texts quoted, quotes doubled, all percent-encoded.

    The characters in ``twice`` are encoded twice, for a service that decodes addresses before it takes them apart.
    Raises FieldProblem for a value that cannot stand in a key.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | UUID):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        return quote(utc_text(value), safe="")
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        to_text(name)(value)
        # The quotes stay as they are, as the vendors write them: not every service knows them for quotes else.
        encoded = quote("'" + value.replace("'", "''") + "'", safe="'")
        for character in twice:
            once = quote(character, safe="")
            encoded = encoded.replace(once, quote(once, safe=""))
        return encoded
    if value is None:
        raise FieldProblem(name, None, "is part of a key, and has no value")
    raise FieldProblem(name, value, "cannot be part of a key")


def symbol_literal(name: str, enumeration: str, symbol: str) -> str:
    """A symbol of an enumeration in an address: its type's full name, then the quoted symbol."""
    return quote(enumeration, safe="") + literal(name, symbol)


def record_path(entity_set: str, key: Mapping[str, str]) -> str:
    """The path of one record; ``key`` holds literals by their names in the address. A single GUID stands alone."""
    if len(key) == 1:
        (only,) = key.values()
        if not only.startswith("'") and _is_guid(only):
            return f"{entity_set}({only})"
    return f"{entity_set}({','.join(f'{name}={value}' for name, value in key.items())})"


def _is_guid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def filtered(given: Mapping[str, str]) -> str:
    """The part of a query that asks for the records with these values, which are literals by name."""
    return f"$filter={'%20and%20'.join(f'{name}%20eq%20{value}' for name, value in given.items())}"


def from_on(name: str, since: str) -> str:
    """The part of a query that asks for the records which hold this literal or something later."""
    return f"$filter={name}%20ge%20{since}"


def query(select: Sequence[str], *others: str) -> str:
    """The query of an address: ``?$select=a,b&...``."""
    return "?" + "&".join([*others, f"$select={','.join(select)}"])
