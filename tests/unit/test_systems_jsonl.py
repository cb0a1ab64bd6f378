"""The connector to folders of JSONL files: what it reads and writes, and that a killed writer leaves nothing half."""

from __future__ import annotations

import datetime
import fcntl
import json
import os
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from replicator.connectors.jsonl import Jsonl
from replicator.connectors.jsonl_settings import JsonlSettings
from replicator.connectors.protocol import (
    Applied,
    FieldProblem,
    Outcome,
    Page,
    Postponed,
    Reference,
    Rejected,
    Stale,
    Write,
)
from replicator.errors import RequestRefused, TokenExpired, UnexpectedAnswer
from replicator.mapping.language import EntitySetSpec, SystemField


def field(kind: str = "text", **more: object) -> SystemField:
    return SystemField.model_validate({"type": kind, **more})


WARES = EntitySetSpec(
    entity_set="Wares",
    description="",
    key=("area", "number"),
    fields={
        "area": field(),
        "number": field("integer"),
        "name": field(length=20, required=True),
        "price": field("decimal"),
        "since": field("date"),
        "seen": field("timestamp"),
        "maker": field("reference", to=["Makers"]).pointing_at("integer"),
        "nothing": field("integer", empty=0),
    },
)
MAKERS = EntitySetSpec(
    entity_set="Makers", description="", key=("id",), fields={"id": field("integer"), "name": field()}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Wares", "Makers"):
        (tmp_path / f"{name}.jsonl").touch()
    return tmp_path


@pytest.fixture
def system(folder: Path) -> Jsonl:
    return made(folder)


def made(folder: Path, **more: object) -> Jsonl:
    settings = JsonlSettings.model_validate({"kind": "jsonl", "folder": folder, "lock_seconds": 0.2, **more})
    return Jsonl("shop", settings)


def fill(folder: Path, *lines: object, name: str = "Wares") -> None:
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def lines(folder: Path, name: str = "Wares") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]


def ware(number: int | None = 1, area: str = "a", **more: object) -> Write:
    return Write(WARES, "create", (area, number), {"name": f"Ware {number}", **more})


def one(system: Jsonl, write: Write) -> Outcome:
    ((outcome,),) = system.apply([(write,)])
    return outcome


def read(system: Jsonl, token: str | None = None) -> tuple[list[list[object]], str]:
    pages = list(system.read(WARES, token))
    assert [page.last for page in pages] == [False] * (len(pages) - 1) + [True]
    decode = system.decoder(WARES)
    assert pages[-1].token is not None
    return [decode(row) for page in pages for row in page.rows], pages[-1].token


def test_every_type_is_read_and_what_a_line_lacks_has_no_value(system: Jsonl, folder: Path) -> None:
    fill(
        folder,
        '{"area":"a","number":1,"name":"x","price":12345678901234567890.0123456789,"since":"2024-05-06",'
        '"seen":"2024-05-06T09:00:00+02:00","maker":7,"nothing":0,"more":[1]}',
        {"area": "b", "number": 2},
    )
    (first, second), _ = read(system)
    moment = datetime.datetime(2024, 5, 6, 7, tzinfo=datetime.UTC)
    price = Decimal("12345678901234567890.0123456789")
    assert first[:-1] == ["a", 1, "x", price, datetime.date(2024, 5, 6), moment, 7, None]
    assert second[:-1] == ["b", 2, None, None, None, None, None, None]
    assert first[-1] != second[-1]


def test_what_was_written_stands_in_the_file_as_people_write_it(system: Jsonl, folder: Path) -> None:
    moment = datetime.datetime(2024, 5, 6, 9, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    values: dict[str, Any] = {"price": Decimal("0.10"), "since": datetime.date(2024, 5, 6), "seen": moment,
              "maker": Reference("Makers", (7,)), "nothing": None}  # fmt: skip
    outcome = one(system, ware(name="Taquería", **values))
    assert isinstance(outcome, Applied)
    assert (folder / "Wares.jsonl").read_text(encoding="utf-8") == (
        '{"area": "a", "number": 1, "name": "Taquería", "price": 0.10, "since": "2024-05-06",'
        ' "seen": "2024-05-06T07:00:00Z", "maker": 7, "nothing": 0}\n'
    )
    (row,), _ = read(system)
    assert row == [*(outcome.image or {}).values(), outcome.etag]


def test_an_update_leaves_alone_what_nobody_declared(system: Jsonl, folder: Path) -> None:
    fill(folder, {"zone": "x", "area": "a", "number": 1, "name": "old", "tags": ["\ud800", 1.50]})
    assert isinstance(one(system, Write(WARES, "update", ("a", 1), {"name": "new"})), Applied)
    assert lines(folder) == [{"zone": "x", "area": "a", "number": 1, "name": "new", "tags": ["\ud800", 1.5]}]


def test_what_changed_is_told_as_whether_anything_did(system: Jsonl, folder: Path) -> None:
    one(system, ware())
    _, token = read(system)
    os.utime(folder / "Wares.jsonl", (0, 0))
    assert read(system, token) == ([], token)
    one(system, ware(2))
    with pytest.raises(TokenExpired):
        read(system, token)


def test_with_other_fields_what_was_read_is_not_enough(system: Jsonl) -> None:
    _, token = read(system)
    more = WARES.model_copy(update={"fields": {**WARES.fields, "colour": field()}})
    with pytest.raises(TokenExpired):
        list(system.read(more, token))


def test_pages_are_of_one_moment(folder: Path) -> None:
    fill(folder, *({"area": "a", "number": number, "name": "x"} for number in range(5)))
    pages = made(folder, records_per_read=2).read(WARES, None)
    first = next(pages)
    fill(folder, {"area": "z", "number": 9, "name": "other"})
    rest = list(pages)
    assert [row["number"] for page in (first, *rest) for row in page.rows] == [0, 1, 2, 3, 4]


def test_a_file_that_is_missing_is_no_empty_entity_set(system: Jsonl, folder: Path) -> None:
    (folder / "Wares.jsonl").unlink()
    with pytest.raises(RequestRefused, match=r"Wares\.jsonl"):
        read(system)
    assert system.describe([WARES, MAKERS])[0] is None


@pytest.mark.parametrize("bad", ['{"area":"a","numb', "[]", "null"])
def test_a_line_that_is_no_record_ends_the_read_and_is_named(system: Jsonl, folder: Path, bad: str) -> None:
    """Left out, its record would count as gone."""
    fill(folder, {"area": "a", "number": 1, "name": "x"}, bad)
    seen: list[Page] = []
    with pytest.raises(UnexpectedAnswer, match=r"Wares\.jsonl, line 2"):
        seen.extend(system.read(WARES, None))
    assert not seen


@pytest.mark.parametrize("key", [{"area": None, "number": 1}, {"number": 1}, {"area": "a", "number": "one"}])
def test_a_record_without_its_key_is_a_problem_of_its_own(system: Jsonl, folder: Path, key: dict[str, object]) -> None:
    fill(folder, {"area": "a", "number": 1, "name": "x"}, {**key, "name": "y"})
    rows = [row for page in system.read(WARES, None) for row in page.rows]
    decode = system.decoder(WARES)
    decode(rows[0])
    with pytest.raises(FieldProblem):
        decode(rows[1])
    one(system, ware(2))
    assert [line["name"] for line in lines(folder)] == ["x", "y", "Ware 2"]


def test_a_key_that_stands_twice_is_not_written_to(system: Jsonl, folder: Path) -> None:
    fill(folder, {"area": "a", "number": 1, "name": "x"}, {"area": "a", "number": 1, "name": "y"})
    outcome = one(system, Write(WARES, "update", ("a", 1), {"name": "z"}))
    assert isinstance(outcome, Rejected)
    assert "more than once" in outcome.message
    assert [line["name"] for line in lines(folder)] == ["x", "y"]


def test_a_key_that_is_left_open_is_assigned(system: Jsonl) -> None:
    one(system, ware(7, "b"))
    outcome = one(system, ware(None))
    assert isinstance(outcome, Applied)
    assert outcome.key == ("a", 8)
    things = EntitySetSpec(entity_set="Makers", description="", key=("id",), fields={"id": field("uuid")})
    fresh = one(system, Write(things, "create", (None,)))
    assert isinstance(fresh, Applied)
    assert fresh.key is not None
    assert isinstance(fresh.key[0], UUID)
    assert isinstance(one(system, Write(WARES, "create", (None, 1), {"name": "x"})), Rejected)


def test_a_unit_over_two_files_is_done_as_a_whole_or_not_at_all(system: Jsonl, folder: Path) -> None:
    maker = Write(MAKERS, "create", (7,), {"name": "Acme"})
    outcomes = system.apply([(maker, ware(name=None)), (ware(2),), (Write(MAKERS, "delete", (9,)), ware(2))])
    assert [type(each) for result in outcomes for each in result] == [
        Rejected, Rejected, Applied, Postponed, Stale,
    ]  # fmt: skip
    assert lines(folder, "Makers") == []
    assert [line["number"] for line in lines(folder)] == [2]
    assert [[type(each) for each in result] for result in system.apply([(maker, ware())])] == [[Applied, Applied]]
    assert len(lines(folder)) == 2
    assert len(lines(folder, "Makers")) == 1


def test_a_unit_that_is_refused_gives_back_what_it_deleted_and_changed(system: Jsonl, folder: Path) -> None:
    for number in (1, 2):
        one(system, ware(number))
    before = lines(folder)
    unit = (Write(WARES, "delete", ("a", 1)), ware(1, name="anew"), Write(WARES, "update", ("a", 2), {"name": "n"}),
            Write(WARES, "update", ("a", 3), {"name": "n"}))  # fmt: skip
    outcomes = system.apply([unit, (ware(4),)])
    assert isinstance(outcomes[0][-1], Stale)
    after = {line["number"]: line for line in lines(folder)}
    assert [after[line["number"]] for line in before] == before
    assert set(after) == {1, 2, 4}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("nth", range(9))
def test_a_writer_that_is_killed_leaves_a_unit_done_or_not_done(
    folder: Path, nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before the nth change of a name in the folder, or of what it says on the disk."""
    with monkeypatch.context() as patched:
        left = [nth]

        def dies(real: object) -> object:
            def work(*args: object) -> object:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return real(*args)  # type: ignore[operator]

            return work

        patched.setattr(os, "replace", dies(os.replace))
        patched.setattr(os, "fsync", dies(os.fsync))
        unit = (Write(MAKERS, "create", (7,), {"name": "Acme"}), ware())
        try:
            made(folder).apply([unit])
        except Killed:
            pass
        else:
            pytest.fail("the writer lived")
    rows, _ = read(made(folder))
    assert len(rows) == len(lines(folder, "Makers"))
    assert len(rows) in (0, 1)
    assert isinstance(one(made(folder), ware(2)), Applied)
    assert sorted(path.name for path in folder.iterdir() if path.name.endswith("commit")) == []


def test_who_finds_the_folder_locked_waits_and_then_postpones(system: Jsonl, folder: Path) -> None:
    with (folder / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        outcome = one(system, ware())
        assert isinstance(outcome, Postponed)
        assert "locked" in outcome.message
    assert lines(folder) == []
    assert isinstance(one(system, ware()), Applied)


def test_several_writers_lose_nothing(folder: Path) -> None:
    def work(start: int) -> None:
        mine = made(folder, lock_seconds=30)
        for number in range(start, start + 10):
            assert isinstance(one(mine, ware(number)), Applied)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 40, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(str(line["number"]) for line in lines(folder)) == sorted(map(str, range(40)))


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    gone = made(tmp_path / "gone")
    assert isinstance(one(gone, ware()), Postponed)
    with pytest.raises(RequestRefused, match="gone"):
        read(gone)


def test_a_field_is_described_by_the_values_it_has(system: Jsonl, folder: Path) -> None:
    fill(
        folder,
        {"area": "a", "number": 1, "price": 1.5, "since": "2024-05-06", "name": "x", "colour": True},
        {"area": "b", "number": 2, "price": 2, "since": "2024-05-07", "name": None},
    )
    (found,) = system.describe([WARES])
    assert found is not None
    types = {name: set(each.types) - {"reference"} for name, each in found.fields.items()}
    assert types["number"] == {"integer", "decimal"}
    assert types["price"] == {"decimal"}
    assert types["since"] == {"text", "date", "timestamp"}
    assert types["name"] == {"text"}
    assert types["colour"] == {"boolean"}
    assert len(types["nothing"]) == 7
