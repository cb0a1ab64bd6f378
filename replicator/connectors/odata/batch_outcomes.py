"""From the answers of a batch to the outcomes of its writes: pure functions, the same for every OData system."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from replicator.connectors.odata.answers import Complaint
from replicator.connectors.odata.part_answers import ChangeSetAnswer, ItemAnswer, PartAnswer
from replicator.connectors.protocol import Applied, Outcome, Rejected, Stale, Unit, Unknown, Write, not_done
from replicator.mapping.language import EntitySetSpec
from replicator.text import visible

Judge = Callable[[Write, PartAnswer], Outcome]
"""What a refusing answer means for a write."""
Success = Callable[[int, PartAnswer], Applied]
"""What a good answer means for the write at this place of its unit."""
label = r"(?:field|attribute|property|column)(?: named)? ['\"]"
full = re.compile(label + r"(?:\w+\.)+(\w+)(?=['\"])", re.IGNORECASE)
labelled = re.compile(label + r"(\w+)(?=['\"@])", re.IGNORECASE)
quoted = re.compile(r"(?<=['\".])[A-Za-z_]\w*(?=['\"@])")


def unit_outcomes(
    unit: Unit, ids: Sequence[str], answer: ItemAnswer | None, success: Success, judge: Judge
) -> list[Outcome]:
    """The outcomes of a unit's writes. ``ids`` are the Content-IDs they were sent with; ``answer`` None: none came.

    Either every write was applied, or none.
    """
    if answer is None:
        return same(unit, Unknown("the answer to the batch ends before this write"))
    parts = answer.parts if isinstance(answer, ChangeSetAnswer) else (answer,)
    failed = next((part for part in parts if not 200 <= part.status < 300), None)
    if failed is not None:
        return failed_outcomes(unit, ids, failed, judge)
    if len(parts) != len(unit):
        return same(unit, Unknown(f"{len(parts)} answers came for {len(unit)} writes that belong together"))
    return [success(place, part) for place, part in enumerate(in_order(parts, ids))]


def good_parts(answer: ItemAnswer | None, ids: Sequence[str]) -> list[PartAnswer] | None:
    """The answers to writes that were all done, in the order of their ``ids``; None where they were not."""
    parts = answer.parts if isinstance(answer, ChangeSetAnswer) else () if answer is None else (answer,)
    if len(parts) != len(ids) or not all(200 <= part.status < 300 for part in parts):
        return None
    return in_order(parts, ids)


def in_order(parts: Sequence[PartAnswer], ids: Sequence[str]) -> list[PartAnswer]:
    """The parts in the order of ``ids``, where each id came back once; else as they came."""
    by_id = {part.content_id: part for part in parts}
    if set(by_id) == set(ids):
        return [by_id[content_id] for content_id in ids]
    return list(parts)


def failed_outcomes(unit: Unit, ids: Sequence[str], failed: PartAnswer, judge: Judge) -> list[Outcome]:
    """The outcomes of a unit of which nothing was done, because of the one write that ``failed`` is about."""
    named = ids.index(failed.content_id) if failed.content_id in ids else 0
    outcome = judge(unit[named], failed)
    blamed = named
    if isinstance(outcome, Rejected):
        blamed, outcome = _blame(unit, named, failed, judge)
    if isinstance(outcome, Applied) and len(unit) > 1:
        # A delete that found nothing is done by itself, but it has kept the others of its unit from happening.
        outcome = Stale("the record is gone")
    return not_done(unit, blamed, outcome)


def _blame(unit: Unit, named: int, failed: PartAnswer, judge: Judge) -> tuple[int, Outcome]:
    """The write that a rejection is about: the one whose value it tells, else the named one, if that has the field.

    (One system sends the Content-ID of the first write of a change set, whichever of them failed.)
    """
    judged = [judge(write, failed) for write in unit]
    found = [place for place, one in enumerate(judged) if isinstance(one, Rejected) and one.field is not None]
    sent = [place for place in found if _field(judged[place]) in {*unit[place].values, *unit[place].key}]
    repeated = [place for place in sent if _is_repeated(unit[place], judged[place])]
    groups = (repeated, sent, found)
    place = next((place for group in groups for place in ([named] if named in group else group)), named)
    return place, judged[place]


def _is_repeated(write: Write, outcome: Outcome) -> bool:
    """Whether a rejection repeats the text that the write sends in the field it names."""
    value = write.values.get(_field(outcome) or "")
    return (
        isinstance(value, str) and bool(value) and isinstance(outcome, Rejected) and visible(value) in outcome.message
    )


def _field(outcome: Outcome) -> str | None:
    return outcome.field if isinstance(outcome, Rejected) else None


def same(unit: Unit, outcome: Outcome) -> list[Outcome]:
    """This outcome for each write."""
    return [outcome for _ in unit]


def rejection(status: int, words: Complaint, field: str | None) -> Rejected:
    """A rejection in the system's own words, or with the bare status where it has none."""
    return Rejected(words.message or f"refused with status {status}, without a reason", words.code, field)


def looked_up(unit: Unit, found: list[Outcome], there: Mapping[int, bool]) -> list[Outcome]:
    """The outcomes of a unit after a look at the records at some of its places: whether they are ``there``.

    A create can be refused because the record is there already, or because another record has the same business
    key. The first is Stale, the second is a rejection: trying again would never end. A rejected create whose record is
    there was saved all the same; one whose record is not there may have been, under another key.
    """
    for place, is_there in there.items():
        outcome = found[place]
        if isinstance(outcome, Stale) and not is_there:
            return not_done(unit, place, Rejected(outcome.message, outcome.code))
        if isinstance(outcome, Rejected) and not is_there:
            return [replace(each, unsure=bool(each.message)) if isinstance(each, Rejected) else each for each in found]
        if isinstance(outcome, Rejected):
            said = next((each.message for each in found if isinstance(each, Rejected) and each.message), "")
            return not_done(unit, place, Stale(f"refused, and yet it is there: {said}"))
    return found


def doubtful(unit: Unit, found: Sequence[Outcome], *, saves_what_it_refuses: bool) -> list[int]:
    """The places of those refused creates of a unit of which a look at the record decides what they are."""
    creates = [place for place, write in enumerate(unit) if write.operation == "create" and None not in write.key]
    stale = [place for place in creates if isinstance(found[place], Stale)]
    if stale or not saves_what_it_refuses:
        return stale
    return [place for place in creates if isinstance(found[place], Rejected)][:1]


def named_field(message: str, entity_set: EntitySetSpec, sent: Sequence[str]) -> str | None:
    """The declared field that a message names: as ``field 'Type.name'``, else in quotes, else as a word if it was sent.

    Names of references may carry the forms ``_field_value``, ``field@odata.bind`` and their navigation property.
    """
    names = _names(entity_set)
    for pattern in (full, labelled, quoted):
        found = (names.get(name.lower()) for name in pattern.findall(message))
        if field := next(filter(None, found), None):
            return field
    words = (names.get(word.lower()) for word in re.findall(r"[A-Za-z_][A-Za-z0-9_]*", message))
    return next((field for field in words if field in sent), None)


def _names(entity_set: EntitySetSpec) -> dict[str, str]:
    names: dict[str, str] = {}
    for name, field in entity_set.fields.items():
        names |= {field.navigation_property(name, target).lower(): name for target in field.targets}
        if field.type == "reference":
            names[f"_{name}_value".lower()] = name
    return names | {name.lower(): name for name in entity_set.fields}


def with_message(outcome: Stale, words: Complaint) -> Stale:
    """A stale outcome with the system's words and code where it has some."""
    return replace(outcome, message=words.message or outcome.message, code=words.code)
