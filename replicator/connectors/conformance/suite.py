"""The conformance suite: plain pytest functions over a fixture called ``subject``, which the author provides.

In a test module: ``from replicator.connectors.conformance.suite import *``, and the fixture.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from replicator.connectors.conformance.subject import Subject, plain
from replicator.connectors.protocol import (
    Applied,
    Connector,
    Key,
    Outcome,
    Postponed,
    Rejected,
    Row,
    Stale,
    Unknown,
    Write,
    keys_only,
    named,
    tells_deletes,
)
from replicator.errors import RequestRefused, TokenExpired

Found = dict[Key, dict[str, object]]


def _decoded(subject: Subject, rows: Sequence[Row | None], connector: Connector | None = None) -> Found:
    """The records by their keys, each with its etag under ``etag``; those that are not there are left out."""
    decode = (connector or subject.connector).decoder(subject.main)
    names = [*subject.main.fields, "etag"]
    images = [dict(zip(names, decode(row), strict=True)) for row in rows if row is not None]
    return {tuple(image[name] for name in subject.main.key): image for image in images}


def _read(
    subject: Subject, token: str | None = None, connector: Connector | None = None
) -> tuple[Found, list[Key], str | None]:
    """Records, deleted keys and token of a read; checks what every read promises."""
    pages = list((connector or subject.connector).read(subject.main, token))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True], "the last page, and no other, says so"
    assert all(page.token is None for page in pages[:-1]), "a token stands on the last page"
    rows = [row for page in pages for row in page.rows]
    found = _decoded(subject, rows, connector)
    assert len(found) == len(rows), "a record was read twice"
    return found, [key for page in pages for key in page.deleted], pages[-1].token


def _one(subject: Subject, write: Write) -> Outcome:
    ((outcome,),) = subject.connector.apply([(write,)])
    return outcome


def _done(subject: Subject, write: Write) -> Applied:
    outcome = _one(subject, write)
    assert isinstance(outcome, Applied), outcome
    return outcome


def _fill(subject: Subject, number: int) -> None:
    for (outcome,) in subject.connector.apply([(subject.create(n),) for n in range(number)]):
        assert isinstance(outcome, Applied), outcome


def _image(subject: Subject, n: int) -> dict[str, object]:
    return _decoded(subject, subject.connector.fetch(subject.main, [subject.key(n)]))[subject.key(n)]


def _needs(able: object, words: str) -> None:
    if not able:
        pytest.skip(f"this system has no {words}")


def test_a_whole_read_shows_every_record_once(subject: Subject) -> None:
    _fill(subject, 7)
    small = subject.connected(records_per_read=3)
    found, deleted, _ = _read(subject, None, small)
    assert set(found) == {subject.key(n) for n in range(7)}
    assert deleted == []
    assert len(list(small.read(subject.main, None))) > 1, "records_per_read is not kept"
    small.close()


def test_an_empty_entity_set_is_one_empty_page(subject: Subject) -> None:
    (page,) = subject.connector.read(subject.main, None)
    assert (list(page.rows), list(page.deleted), page.last) == ([], [], True)


def test_what_is_read_is_what_a_write_said_was_stored(subject: Subject) -> None:
    outcome = _done(subject, subject.create(3))
    found, _, _ = _read(subject)
    assert found == {subject.key(3): _image(subject, 3)}
    if outcome.image is not None:
        assert found == {subject.key(3): {**outcome.image, "etag": outcome.etag}}


def test_a_token_leads_to_what_changed_since(subject: Subject) -> None:
    _fill(subject, 4)
    _, _, token = _read(subject)
    _needs(token, "tokens")
    assert token is not None
    nothing = _read(subject, token)
    assert nothing[:2] == ({}, [])
    _done(subject, subject.update(1, **{subject.text: "New"}))
    _done(subject, subject.delete(2))
    _done(subject, subject.create(8))
    if subject.connector.capabilities.changes == "whole":
        with pytest.raises(TokenExpired):
            _read(subject, token)
        return
    found, deleted, later = _read(subject, token)
    assert {subject.key(1), subject.key(8)} <= set(found)
    assert subject.key(2) not in found
    if subject.connector.capabilities.changes in tells_deletes:
        assert deleted == [subject.key(2)], "keys have the types of their fields, and all their parts"
    assert later is not None
    assert _read(subject, later)[:2] == ({}, [])


def test_a_sweep_shows_every_key_and_an_etag_that_changes_with_its_record(subject: Subject) -> None:
    _fill(subject, 5)
    before = _swept(subject)
    assert set(before) == {subject.key(n) for n in range(5)}
    assert before == {key: image["etag"] for key, image in _read(subject)[0].items()}
    _done(subject, subject.update(1, **{subject.text: "New"}))
    after = _swept(subject)
    changed = {key for key, etag in after.items() if etag is None or etag != before[key]}
    assert subject.key(1) in changed
    assert all(after[key] is None for key in changed - {subject.key(1)})


def _swept(subject: Subject) -> dict[Key, object]:
    decode = subject.connector.decoder(keys_only(subject.main))
    pages = list(subject.connector.sweep(subject.main))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    found = [decode(row) for page in pages for row in page.rows]
    return {tuple(key): etag for *key, etag in found}


def test_the_latest_records_are_found_by_a_time(subject: Subject) -> None:
    _needs(subject.moment, "field that holds a time")
    field, earlier, later = subject.moment or ("", None, None)
    for number, value in enumerate((earlier, later, None)):
        _done(subject, subject.create(number, **{field: value}))
    assert later is not None
    pages = list(subject.connector.read_since(subject.main, field, later))
    found = _decoded(subject, [row for page in pages for row in page.rows])
    assert set(found) == {subject.key(1)}, "those that hold it or a later one, and none without"
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]


@pytest.mark.parametrize("token", ["", "nonsense"])
def test_a_token_that_is_none_is_expired(subject: Subject, token: str) -> None:
    _needs(_read(subject)[2], "tokens")
    with pytest.raises(TokenExpired):
        _read(subject, token)


def test_fetch_keeps_the_order_of_the_keys(subject: Subject) -> None:
    for n in (1, 3, 5):
        _done(subject, subject.create(n))
    rows = subject.connector.fetch(subject.main, [subject.key(n) for n in (5, 2, 1, 4, 3)])
    keys = [None if row is None else next(iter(_decoded(subject, [row]))) for row in rows]
    assert keys == [subject.key(5), None, subject.key(1), None, subject.key(3)]


def test_an_entity_set_that_there_is_not_is_refused(subject: Subject) -> None:
    wrong = subject.main.model_copy(update={"entity_set": "Nothings"})
    with pytest.raises(RequestRefused, match="Nothings"):
        list(subject.connector.read(wrong, None))
    with pytest.raises(RequestRefused, match="Nothings"):
        subject.connector.fetch(wrong, [subject.key(1)])


def test_entity_sets_are_described_with_their_keys_and_types(subject: Subject) -> None:
    _fill(subject, 1)
    wrong = subject.main.model_copy(update={"entity_set": "Nothings"})
    found, nothing = subject.connector.describe([subject.main, wrong])
    assert nothing is None
    assert found is not None
    assert set(found.key) == set(subject.main.key)
    assert [n for n, each in subject.main.fields.items() if each.type not in found.fields[n].types] == []


def test_a_create_says_what_was_stored(subject: Subject) -> None:
    outcome = _done(subject, subject.create(2))
    image = _image(subject, 2)
    expected = {**named(subject.main, subject.key(2)), **subject.values(2)}
    assert image.items() >= {name: plain(value) for name, value in expected.items()}.items()
    if outcome.image is not None:
        assert image == {**outcome.image, "etag": outcome.etag}


def test_a_create_of_what_is_there_is_stale(subject: Subject) -> None:
    _done(subject, subject.create(1))
    assert isinstance(_one(subject, subject.create(1)), Stale)
    assert subject.stored() == 1


def test_an_update_changes_what_it_names_and_nothing_else(subject: Subject) -> None:
    first = _done(subject, subject.create(1))
    before = _image(subject, 1)
    outcome = _done(subject, subject.update(1, first.etag, **{subject.text: "New"}))
    after = _image(subject, 1)
    assert after[subject.text] == "New"
    written = set(subject.values(1)) | set(subject.main.key)
    assert {name: after[name] for name in written} == {**{name: before[name] for name in written}, subject.text: "New"}
    if first.etag is not None:
        assert outcome.etag != first.etag
        assert after["etag"] != before["etag"]


def test_a_write_with_the_version_of_before_is_stale(subject: Subject) -> None:
    _needs(subject.connector.capabilities.conditional_writes, "conditional writes")
    first = _done(subject, subject.create(1))
    assert first.etag is not None
    _done(subject, subject.update(1, first.etag, **{subject.text: "New"}))
    assert isinstance(_one(subject, subject.update(1, first.etag, **{subject.text: "Newer"})), Stale)
    assert isinstance(_one(subject, subject.delete(1, first.etag)), Stale)
    assert _image(subject, 1)[subject.text] == "New"


def test_an_update_of_what_is_not_there_is_stale(subject: Subject) -> None:
    assert isinstance(_one(subject, subject.update(1, **{subject.text: "New"})), Stale)
    assert subject.stored() == 0


def test_a_delete_of_what_is_gone_is_done(subject: Subject) -> None:
    first = _done(subject, subject.create(1))
    assert _done(subject, subject.delete(1, first.etag)) == Applied(None, None)
    assert _done(subject, subject.delete(1)) == Applied(None, None)
    assert subject.stored() == 0
    assert subject.connector.fetch(subject.main, [subject.key(1)]) == [None]


def test_a_rejection_names_the_field_in_the_systems_own_words(subject: Subject) -> None:
    _needs(subject.refused, "value that it refuses")
    name, value = subject.refused or ("", None)
    outcome = _one(subject, subject.create(1, **{name: value}))
    assert isinstance(outcome, Rejected)
    assert outcome.message
    assert outcome.field == name
    assert subject.stored() == 0


def test_one_bad_write_of_many_leaves_the_others_applied(subject: Subject) -> None:
    _needs(subject.refused, "value that it refuses")
    name, value = subject.refused or ("", None)
    bad = 13
    units = [(subject.create(n, **({name: value} if n == bad else {})),) for n in range(20)]
    outcomes = [outcome for (outcome,) in subject.connector.apply(units)]
    assert [n for n, outcome in enumerate(outcomes) if not isinstance(outcome, Applied)] == [bad]
    assert isinstance(outcomes[bad], Rejected)
    assert subject.stored() == 19


def test_what_points_at_nothing_is_rejected(subject: Subject) -> None:
    _needs(subject.part and subject.checks_references, "check of references")
    outcome = _one(subject, subject.create_part(1, 99))
    assert isinstance(outcome, Rejected)
    assert outcome.message


def test_a_unit_is_done_as_a_whole(subject: Subject) -> None:
    _needs(subject.part and subject.connector.capabilities.atomic_units, "atomic units")
    (outcomes,) = subject.connector.apply([(subject.create(1), subject.create_part(1, 1))])
    assert [type(outcome) for outcome in outcomes] == [Applied, Applied]
    assert subject.stored() == 1


@pytest.mark.parametrize("bad", [0, 1])
def test_a_unit_is_not_done_at_all(subject: Subject, bad: int) -> None:
    _needs(subject.part and subject.connector.capabilities.atomic_units, "atomic units")
    _needs(subject.refused and subject.part_refused, "value that it refuses")
    refused = [dict([each]) for each in (subject.refused, subject.part_refused) if each]
    root = subject.create(1, **(refused[0] if bad == 0 else {}))
    part = subject.create_part(1, 1, **(refused[1] if bad == 1 else {}))
    results = subject.connector.apply([(subject.create(0),), (root, part), (subject.create(2),)])
    assert [type(outcome) for result in results for outcome in result] == [Applied, Rejected, Rejected, Applied]
    blamed, other = results[1][bad], results[1][1 - bad]
    assert isinstance(blamed, Rejected)
    assert blamed.message
    assert blamed.field in refused[bad]
    assert other == Rejected(""), "only the write to blame carries words"
    assert subject.stored() == 2


def test_decimals_keep_every_digit(subject: Subject) -> None:
    _needs(subject.decimal, "decimal field")
    assert subject.decimal is not None
    for n, value in enumerate(subject.amounts):
        _done(subject, subject.create(n, **{subject.decimal: value}))
    found, _, _ = _read(subject)
    assert [found[subject.key(n)][subject.decimal] for n in range(len(subject.amounts))] == list(subject.amounts)


def test_a_field_is_emptied_by_no_value(subject: Subject) -> None:
    _done(subject, subject.create(1))
    _done(subject, subject.update(1, **{subject.text: "x"}))
    _done(subject, subject.update(1, **{subject.text: None}))
    assert _image(subject, 1)[subject.text] is None


def test_a_key_that_is_left_open_is_assigned_and_told(subject: Subject) -> None:
    _needs(subject.connector.capabilities.assigns_keys, "keys that it assigns")
    whole = subject.create(1)
    open_key = (*whole.key[:-1], None)
    outcome = _done(subject, Write(whole.entity_set, "create", open_key, whole.values))
    assert outcome.key is not None
    assert None not in outcome.key
    assert outcome.key[:-1] == open_key[:-1]
    assert subject.connector.fetch(subject.main, [outcome.key]) != [None]


def test_a_lost_answer_is_unknown_and_repeating_is_harmless(subject: Subject) -> None:
    losing = subject.lost_answer()
    _needs(losing, "answers that get lost")
    assert losing is not None
    with losing:
        assert isinstance(_one(subject, subject.create(1)), Unknown)
    assert subject.stored() == 1
    assert isinstance(_one(subject, subject.create(1)), Stale)
    assert subject.stored() == 1


def test_a_system_out_of_reach_postpones(subject: Subject) -> None:
    away = subject.out_of_reach()
    _needs(away, "way to be out of reach")
    assert away is not None
    with away:
        assert isinstance(_one(subject, subject.create(1)), Postponed)
    assert subject.stored() == 0


def test_a_system_that_pushes_says_that_something_changed(subject: Subject) -> None:
    _needs(subject.connector.capabilities.pushes or None, "pushes")
    while subject.connector.wait_for_change(0.1):
        pass
    subject.changed_elsewhere()
    assert subject.connector.wait_for_change(60)
    assert not subject.connector.wait_for_change(0)


def test_a_unit_has_a_size(subject: Subject) -> None:
    unit = (subject.create(1), subject.create(2))
    assert 0 < subject.connector.size(unit[:1]) <= subject.connector.size(unit)


def test_several_threads_apply_at_once(subject: Subject) -> None:
    found: list[Outcome] = []

    def work(start: int) -> None:
        for (outcome,) in subject.connector.apply([(subject.create(n),) for n in range(start, start + 10)]):
            found.append(outcome)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 60, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(outcome) for outcome in found] == [Applied] * 60
    assert subject.stored() == 60


def test_requests_are_counted(subject: Subject) -> None:
    before = subject.connector.usage().requests
    _read(subject)
    assert subject.connector.usage().requests > before
