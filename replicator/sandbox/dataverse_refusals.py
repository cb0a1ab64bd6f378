"""Refusals of the sales system in the words and codes of the real one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from replicator.sandbox.description import SimulatedSet
from replicator.sandbox.odata_http import RefusalError
from replicator.sandbox.store import Doc

BAD_QUERY = "0x80060888"
DUPLICATE = "0x80040237"
DUPLICATE_ALTERNATE = "0x80060892"
_real_only = ("$apply", "fetchxml", "savedquery", "sql", "userquery")


def refuse_unknown_options(query: Mapping[str, str], known: Collection[str]) -> None:
    """Ignoring an option would answer another question, so one without a ``$`` is refused as well."""
    for name in query:
        if name not in known:
            where = " by the sandbox, unlike by the real service" if name.lower() in _real_only else ""
            raise RefusalError(400, f"The query parameter {name} is not supported{where}", BAD_QUERY)


def does_not_exist(entity_set: SimulatedSet, key: Doc) -> RefusalError:
    """The refusal for a key without a record."""
    if list(key) == list(entity_set.key):
        message = f"{entity_set.logical_name} With Id = {key[entity_set.key[0]]} Does Not Exist"
        return RefusalError(404, message, "0x80040217")
    message = f"A record with the specified key values does not exist in {entity_set.logical_name} entity"
    return RefusalError(404, message, "0x80060891")


def duplicate(entity_set: SimulatedSet, fields: tuple[str, ...] = ()) -> RefusalError:
    """The refusal for values that another record has: those of an alternate key have a code and words of their own."""
    for name, parts in entity_set.alternate_keys.items():
        if parts == fields:
            message = (
                f"Entity Key {name} violated. A record with the same value for {', '.join(parts)} already exists. "
                "A duplicate record cannot be created. Select one or more unique values and try again."
            )
            return RefusalError(412, message, DUPLICATE_ALTERNATE)
    return RefusalError(412, "A record with matching key values already exists.", DUPLICATE)


def unknown_property(namespace: str, entity_set: SimulatedSet, name: str) -> RefusalError:
    """The refusal for a query option that names an unknown property."""
    message = f"Could not find a property named '{name}' on type '{namespace}.{entity_set.logical_name}'."
    return RefusalError(400, message, BAD_QUERY)
