"""Logins with fewer rights at the command line: what they may not do is told, with the role that may."""

from __future__ import annotations

from tests.fixtures.commands import Workplace
from tests.fixtures.roles import Logins

NOWHERE = {"sales": "http://127.0.0.1:1", "ops": "http://127.0.0.1:1"}


def test_a_reader_sees_everything_and_is_told_who_may_decide(logins: Logins, workplace: Workplace) -> None:
    workplace.configure(NOWHERE)
    reader = logins.member_of("replicator_reader", workplace.environment["HUB_URL"])
    assert workplace.tell("status", HUB_URL=reader).code == 3, "nothing was read yet"
    told = workplace.tell("retry", "--all", HUB_URL=reader)
    assert told.code == 1
    assert "permission denied" in told.err
    assert "replicator_steward decides" in told.err


def test_a_migration_that_cannot_set_up_the_roles_says_so(logins: Logins, bare_workplace: Workplace) -> None:
    owner = logins.owner(bare_workplace.environment["HUB_URL"])
    told = bare_workplace.tell("migrate", HUB_URL=owner)
    assert told.code == 0
    assert told.out.startswith("the hub is ready")
    assert "the roles of the hub could not be set up" in told.err
    assert "grant replicator_owner" in told.err
    assert bare_workplace.tell("status", HUB_URL=owner).code == 3, "nothing was read yet"


def test_a_login_that_is_no_owner_is_told_who_migrates(logins: Logins, workplace: Workplace) -> None:
    daemon = logins.member_of("replicator_daemon", workplace.environment["HUB_URL"])
    told = workplace.tell("migrate", HUB_URL=daemon)
    assert told.code == 1
    assert "replicator_owner migrates" in told.err
