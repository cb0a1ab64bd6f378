"""Which records of a target came of which creates, where it numbers parts by itself and no answer tells."""

from __future__ import annotations

import pytest

from replicator.connectors.protocol import Image
from replicator.outbound.renumbered_parts import Values, matched

ONE, TWO, OTHER = {"product": "P-1"}, {"product": "P-2"}, {"product": "P-9"}


@pytest.mark.parametrize(
    ("sought", "stored", "done", "found"),
    [
        ([ONE, TWO], [TWO, ONE], False, [1, 0]),
        ([ONE, ONE], [ONE, ONE], False, [0, 1]),
        ([ONE, TWO], [OTHER, TWO], False, [None, 1]),
        ([ONE, TWO], [OTHER, TWO], True, [0, 1]),
        ([ONE, TWO], [OTHER], True, [0, None]),
        ([ONE], [{"product": " p-1 ", "note": "of ops"}], False, [0]),
        ([ONE], [], True, [None]),
        ([], [ONE], True, []),
    ],
)
def test_creates_are_matched_by_what_they_said_and_where_all_was_done_the_others_in_their_order(
    sought: list[Values], stored: list[Image], done: bool, found: list[int | None]
) -> None:
    assert matched(sought, stored, done=done) == found
