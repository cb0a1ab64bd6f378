"""References that are filled in later: self-references, rings and deep chains arrive whole, in two passes."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.fixtures.staff import Staff

STUCK = "a title that is too long"


def test_teams_arrive_below_their_parents_whatever_comes_first(staff: Staff) -> None:
    staff.team("C", "B")
    staff.team("B", "A")
    staff.team("A")
    staff.once()
    assert staff.tree() == staff.common() == {"A": None, "B": "A", "C": "B"}
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


@pytest.mark.parametrize("ring", ["A", "AB", "ABC"])
def test_a_ring_lands_whole(staff: Staff, ring: str) -> None:
    staff.directory.rings_allowed = True
    expected = dict(zip(ring, ring[1:] + ring[0], strict=True))
    for code, parent in expected.items():
        staff.team(code, parent)
    assert staff.once() == Counter(create=len(ring), update=len(ring))
    assert staff.tree() == staff.common() == expected
    assert (staff.blocked(), staff.directory.refused) == ({}, [])


def test_a_ring_of_two_entities_lands_whole(staff: Staff) -> None:
    staff.team("A", leader="Ada")
    staff.member("Ada", "A")
    staff.once()
    assert [row["Leader"] for row in staff.directory.of("Teams").values()] == ["Ada"]
    assert (staff.blocked(), staff.directory.refused) == ({}, [])
