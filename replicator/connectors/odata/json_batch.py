"""The answer to a batch in the JSON form of OData 4.01, which some services give whatever they were asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from replicator.connectors import exact_json
from replicator.connectors.odata.part_answers import ChangeSetAnswer, ItemAnswer, PartAnswer
from replicator.errors import UnexpectedAnswer

Json = Mapping[str, object]


def parse(body: bytes, expected: Sequence[Sequence[str]]) -> list[ItemAnswer]:
    """The answers in the order of the items, whose Content-IDs are ``expected``.

    A service that echoes the ids may answer in any order; of another one, order and atomicity groups count.
    Raises UnexpectedAnswer for what is no answer to a batch.
    """
    rows = exact_json.loads(body, "the answer to a batch").get("responses")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnexpectedAnswer("the answer to a batch is JSON without responses")
    answers = [(str(row.get("atomicityGroup") or ""), _answer(row)) for row in rows]
    by_id = {answer.content_id: answer for _, answer in answers}
    known = {content_id for ids in expected for content_id in ids}
    if len(by_id) == len(answers) and by_id.keys() <= known:
        return list(_by_id(by_id, expected))
    return list(_by_group(answers))


def _by_id(by_id: Mapping[str | None, PartAnswer], expected: Sequence[Sequence[str]]) -> Iterator[ItemAnswer]:
    for ids in expected:
        found = tuple(by_id[content_id] for content_id in ids if content_id in by_id)
        if not found:
            return
        yield found[0] if len(ids) == 1 else ChangeSetAnswer(found)


def _by_group(answers: Sequence[tuple[str, PartAnswer]]) -> Iterator[ItemAnswer]:
    numbered = [(group or number, answer) for number, (group, answer) in enumerate(answers)]
    for group, found in groupby(numbered, key=lambda each: each[0]):
        parts = tuple(answer for _, answer in found)
        yield ChangeSetAnswer(parts) if isinstance(group, str) else parts[0]


def _answer(row: Json) -> PartAnswer:
    status, headers, body = row.get("status"), row.get("headers"), row.get("body")
    if not isinstance(status, int) or isinstance(status, bool):
        raise UnexpectedAnswer("a part of the answer to a batch has no status")
    named = {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}
    try:
        content = b"" if body is None else body.encode() if isinstance(body, str) else exact_json.dumps(body)
    except (ValueError, TypeError, RecursionError):  # a number without bounds, half a surrogate
        content = b""
    content_id = row.get("id")
    return PartAnswer(status, named, content, None if content_id is None else str(content_id))
