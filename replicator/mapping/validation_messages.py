"""Pydantic's complaints about a file in plain words, one for each place in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from replicator.mapping.suggestions import hint, meant

Location = tuple[int | str, ...]
_KINDS = {
    "bool": "true or false", "int": "a whole number", "decimal": "a number", "float": "a number", "date": "a date",
    "datetime": "a date", "string": "a text", "tuple": "a list", "list": "a list", "dict": "a mapping",
    "model": "a mapping",
}  # fmt: skip
_WORDS = {
    "missing": "missing, and required",
    "invalid_key": "not a text, as a key has to be",
    "too_short": "has to hold at least {min_length}",
    "string_too_short": "has to have at least {min_length} characters",
    "string_too_long": "has to have at most {max_length} characters",
    "string_pattern_mismatch": "does not fit the pattern {pattern}",
    "path_type": "not a path",
    "int_parsing_size": "out of range",
    "finite_number": "has to be a number",
    "none_required": "has to be null",
    "greater_than": "has to be greater than {gt:g}",
    "greater_than_equal": "has to be at least {ge:g}",
    "less_than_equal": "has to be at most {le:g}",
    "union_tag_not_found": "has to say its {discriminator}",
    "union_tag_invalid": "has to be one of {expected_tags}",
}
"""By pydantic's names of what can be wrong; none of them repeats a value, for it may be a secret."""
_WRONG_KIND = re.compile(r"([a-z]+)_(?:type|parsing|attributes_type|from_\w+)")


def in_plain_words(
    invalid: ValidationError, model: type[BaseModel], place_of: Callable[[Location], Location]
) -> dict[Location, str]:
    """What is wrong at each place; ``place_of`` tells where in the file a value of ``model`` stands."""
    places: dict[Location, list[ErrorDetails]] = {}
    for error in invalid.errors(include_url=False, include_input=False):
        places.setdefault(place_of(_blamed(error)), []).append(error)
    whole = model.model_json_schema()
    unknown = {
        at: keys(whole, found[0]["loc"][:-1]) for at, found in places.items() if found[0]["type"] == "extra_forbidden"
    }
    misspelt = {(*at[:-1], meant(str(at[-1]), known)) for at, known in unknown.items()}
    there = {at: found for at, found in places.items() if found[0]["type"] != "missing" or at not in misspelt}
    return {
        at: _unknown_key(str(at[-1]), unknown[at]) if at in unknown else _words(found)
        for at, found in there.items()
        if not any(_within(other, at) for other in there)
    }


def _within(inner: Location, outer: Location) -> bool:
    """Whether a complaint is about a part of the other's value: then that was read as the right alternative."""
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _blamed(error: ErrorDetails) -> Location:
    """Where the wrong value stands: for a kind that there is not, the kind."""
    wrong_kind = error["type"] == "union_tag_invalid"
    return (*error["loc"], error["ctx"]["discriminator"].strip("'")) if wrong_kind else error["loc"]


def _unknown_key(key: str, known: list[str]) -> str:
    return f"unknown key{hint(key, known)} (possible: {', '.join(known)})"


def _words(found: list[ErrorDetails]) -> str:
    kinds = list(dict.fromkeys(kind for error in found if (kind := _kind(error))))
    if "a number" in kinds and "a whole number" in kinds:
        kinds.remove("a whole number")
    others = dict.fromkeys(_in_words(error) for error in found if not _kind(error))
    wanted = " or ".join(filter(None, (", ".join(kinds[:-1]), *kinds[-1:])))
    return " or ".join([*([f"has to be {wanted}"] if wanted else []), *others])


def _in_words(error: ErrorDetails) -> str:
    """A complaint of pydantic in the words of this program; a validator of our own has its own words."""
    words = _WORDS.get(error["type"])
    if words is None:
        return error["msg"].removeprefix("Value error, ")
    return words.format(**error.get("ctx", {}))


def _kind(error: ErrorDetails) -> str | None:
    """What the value should have been, where it is a value of another kind."""
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    matched = _WRONG_KIND.fullmatch(error["type"])
    return _KINDS.get(matched[1]) if matched else None


def keys(whole: dict[str, Any], at: Location) -> list[str]:
    """The keys that a mapping at this place may have, by the JSON Schema of the whole file.

    ``at`` is a place as pydantic tells it: the branch that was taken of a union is a part of it too.
    """
    nodes = [whole]
    for part in at:
        chosen = [each for node in nodes for each in _chosen(whole, node, part)]
        inside = (inner for node in nodes for each in _alternatives(whole, node) for inner in _inside(each, part))
        nodes = chosen or list(inside) or nodes
    found = (name for node in nodes for each in _alternatives(whole, node) for name in each.get("properties", ()))
    return list(dict.fromkeys(found))


def _chosen(whole: dict[str, Any], node: dict[str, Any], kind: int | str) -> Iterator[dict[str, Any]]:
    """What a node becomes by its kind."""
    definition = node.get("discriminator", {}).get("mapping", {}).get(kind)
    if definition is not None:
        yield whole["$defs"][definition.rpartition("/")[2]]


def _alternatives(whole: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a node of the JSON Schema stands for: itself, what it refers to, or each of several."""
    if "$ref" in node:
        yield from _alternatives(whole, whole["$defs"][node["$ref"].rpartition("/")[2]])
    elif "anyOf" in node or "oneOf" in node:
        for each in (*node.get("anyOf", ()), *node.get("oneOf", ())):
            yield from _alternatives(whole, each)
    else:
        yield node


def _inside(node: dict[str, Any], part: int | str) -> Iterator[dict[str, Any]]:
    """The nodes of a value within the value of this one."""
    own = node.get("properties", {}).get(part)
    others = (*node.get("patternProperties", {}).values(), node.get("additionalProperties"), node.get("items"))
    yield from (each for each in (own, *others) if isinstance(each, dict))
