"""Turns of several readers: nothing is read twice at once, or in a poll, and a long read holds up nothing else."""

from __future__ import annotations

from replicator.inbound.reading_turns import Reader, ReadingTurns


class Now:
    """A clock that is set by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def test_what_one_reads_the_other_leaves_alone_and_what_was_just_read_too() -> None:
    now = Now()
    turns = ReadingTurns(now)
    first, second = Reader("ops", turns, is_first=True), Reader("ops", turns, is_first=False)
    now.seconds = 100.0
    with first.turn(first.since_poll(30))("ops.A") as ours, second.turn(second.since_poll(30))("ops.A") as other:
        assert (ours, other) == (True, False)
        with second.turn(second.since_poll(30))("ops.B") as helps:
            assert helps, "another set may be read meanwhile"
    now.seconds = 115.0
    with second.turn(second.since_poll(30))("ops.A") as again:
        assert not again, "it was read within the poll"
    now.seconds = 130.0
    with first.turn(first.since_poll(30))("ops.A") as next_poll:
        assert next_poll


def test_who_asks_for_everything_gets_each_set_read_once_more_and_no_more() -> None:
    now = Now()
    turns = ReadingTurns(now)
    first, second = Reader("ops", turns, is_first=True), Reader("ops", turns, is_first=False)
    now.seconds = 100.0
    for reader in (first, second):
        reader.read_all()
        assert reader.is_all_wanted
        assert reader.to_look.is_set()
    now.seconds = 101.0
    since = [reader.take_wish() for reader in (first, second)]
    assert since == [100.0, 100.0]
    assert not first.is_all_wanted
    with first.turn(since[0] or 0)("ops.A") as ours:
        assert ours
    with second.turn(since[1] or 0)("ops.A") as again:
        assert not again
    assert second.take_wish() is None
