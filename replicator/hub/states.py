"""How a record may stand that is not in step: each state once, with what tables, commands, pages and texts say of it.

SQL is filled in from here when a hub is migrated (``sql_values``, and the view ``sync.state``); the command line, the
console and the metrics read it; a test compares the documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from psycopg import sql

State = Literal[
    "pending", "in_flight", "blocked", "not_eligible", "failed", "unknown", "rejected", "reported", "held", "observed",
    "skipped",
]  # fmt: skip
"""A delivery's state, as in ``sync.delivery``. In step is no row, and no state."""
States = frozenset[State]
NAMES: tuple[State, ...] = get_args(State)
DECIDED: States = frozenset({"in_flight", "blocked", "not_eligible", "rejected", "reported", "held", "observed"})
"""What becomes of a record that is looked at, unless it turns out to be in step."""


@dataclass(frozen=True)
class Meaning:
    """What is said of a state, and what follows from it."""

    name: str
    meaning: str
    """One line for people."""
    todo: str
    """What a person does about it."""
    next: str
    """What happens next, and by itself or not; where a record knows more (a time, a flow), SQL says that instead."""
    becomes: States = frozenset()
    """The states that may follow; a record may come to be in step from any (its row goes), or lose its counterpart."""
    moves: bool = False
    """It goes on by itself: such a record is on its way."""
    needs_person: bool = False
    """Without somebody's decision or correction it stays."""
    may_retry: bool = False
    may_skip: Literal["yes", "by name", "no"] = "no"
    """Whether ``skip`` takes it; ``by name``: only where its record is named."""
    trouble: bool = False
    """It did not arrive: it has a cause, is alarmed of, and is among the failures."""
    settled: bool = False
    """Nothing is left to do about it: ``status`` ends with 0 all the same."""
    kept: bool = False
    """A mark does not change it: it is under way, or a person decided to leave it alone."""
    column: str = field(default="")
    """Where ``sync.status`` counts it; its own name, if nothing else is said."""

    @property
    def words(self) -> str:
        """The state as people read it."""
        return self.name.replace("_", " ")

    @property
    def counted(self) -> str:
        return self.column or self.name


DELIVERY = (
    Meaning(
        "pending", "marked, and taken up with the next cycle",
        "nothing; if it stays, see `replicator status` for what could not be read, and the log",
        "with the next cycle", DECIDED | {"pending", "skipped"}, moves=True, may_skip="by name",
    ),
    Meaning(
        "in_flight", "sent, and not answered yet",
        "nothing; if it stays, see `replicator status` for what could not be read, and the log",
        "with the answer; after a crash it is looked up",
        frozenset({"pending", "failed", "unknown", "rejected"}), moves=True, kept=True,
    ),
    Meaning(
        "blocked",
        "it waits for the parents in `waits_for`, or another record has its business key, or its key changed and the "
        "target cannot change it",
        "bring the parent, or solve the key conflict; it goes on by itself",
        "by itself, as soon as what it waits for is there; tested in every cycle",
        DECIDED | {"pending", "skipped"}, may_skip="yes", trouble=True,
    ),
    Meaning(
        "not_eligible", "a condition of the map leaves it out; the reason is in words", "usually nothing",
        "by itself, when the record or what the condition reads changes", frozenset({"pending"}), settled=True,
    ),
    Meaning(
        "failed", "a passing failure; `next_at` says when it is tried again",
        "nothing, or `replicator retry` to try now", "by itself, after a pause",
        DECIDED | {"pending", "skipped"}, moves=True, may_retry=True, may_skip="yes", trouble=True,
    ),
    Meaning(
        "unknown", "a request was not answered, or what the target stored is still to be read",
        "nothing: it is looked up and decided again", "it is looked up by its key before anything else is sent",
        frozenset({"pending", "rejected"}), moves=True, may_retry=True, trouble=True, kept=True, column="in_flight",
    ),
    Meaning(
        "rejected",
        "the data does not fit (too long, required and empty, value not in the value map), or the target said no; "
        "`reason` and `field` say why",
        "correct the record or the map; it is tried again when it or what it reads changes, or by `replicator retry`",
        "never by itself: correct the record, or replicator retry",
        frozenset({"pending", "skipped"}), needs_person=True, may_retry=True, may_skip="yes", trouble=True,
    ),
    Meaning(
        "reported",
        "the target lost the record, or somebody changed it there and the map only reports; or its map leaves it out "
        "now, and it has changed since it was delivered",
        "`replicator retry --record ...` creates it again, or puts the value back; or correct it at either end",
        "never by itself: change it on either side, or replicator retry",
        frozenset({"pending", "skipped"}), needs_person=True, may_retry=True, may_skip="yes", trouble=True,
    ),
    Meaning(
        "held",
        "an update: the first delivery of a flow, or the first since its map changed, would update more than "
        "`first_updates`; a delete: more than the budget allows, or a whole read that shows nothing",
        "look at the differences (`replicator explain` for one record, `sync.differences` for all) or at both systems, "
        "then `replicator approve --flow FLOW` (of deletes `system.EntitySet`) or `reject`",
        "never by itself: replicator approve or reject",
        frozenset({"pending", "skipped"}), needs_person=True, may_skip="yes", trouble=True,
    ),
    Meaning(
        "observed", "the flow is in `mode: observe`: this is what it would write",
        "set it to `apply` when you trust it",
        "never while the flow is only observed (mode: observe)",
        frozenset({"pending", "skipped"}), may_skip="by name", settled=True,
    ),
    Meaning(
        "skipped", "somebody decided to leave the record alone (`replicator skip`, or `reject` of an update)",
        "nothing; `replicator retry` takes it back", "never by itself: replicator retry", frozenset({"pending"}),
        may_retry=True, settled=True, kept=True,
    ),
)  # fmt: skip
"""The states of a delivery, in the order of the type ``sync.delivery_state``."""

QUARANTINED = Meaning(
    "quarantined", "a row that was read does not fit its entity set; `sync.quarantine` keeps it",
    "correct it at its source; the next read of the row replaces it, or `replicator retry` reads the set again",
    "never by itself: correct it in its system", needs_person=True, may_retry=True, trouble=True,
)  # fmt: skip
ORPHANED = Meaning(
    "orphaned",
    "a restored hub found this record of a target and does not know it; it bears a key that the hub could have given, "
    "and none of its records has it: the hub wrote it after the backup, or somebody made it there",
    "delete it in its system, or bring its source; `replicator skip` says that it is fine",
    "never by itself: delete it in its system, bring its source, or replicator skip",
    needs_person=True, may_skip="yes", trouble=True,
)  # fmt: skip
CONFLICT = Meaning(
    "conflict", "a field that either side may change was changed on both (`sync.conflicts`)",
    "`replicator conflicts`, then `replicator resolve ID --take SIDE`; or make both sides say the same",
    "never by itself: replicator resolve", needs_person=True, trouble=True, column="conflicts",
)  # fmt: skip
NOT_READ = Meaning(
    "not_read", "an entity set cannot be read (`sync.problems`)",
    "mend access, address or `schema/`; what was read before stays as it is", "with the next read that succeeds",
    moves=True, trouble=True,
)  # fmt: skip
ALL = (*DELIVERY, QUARANTINED, ORPHANED, CONFLICT, NOT_READ)
"""Also how a record may stand without a delivery: its row, a field of it, or its entity set."""
KEPT = tuple(each.name for each in DELIVERY if each.kept)
BY_NAME: Mapping[str, Meaning] = {each.name: each for each in ALL}

_COUNTED = (*DELIVERY, QUARANTINED, CONFLICT)
MOVING = tuple(dict.fromkeys(each.counted for each in _COUNTED if each.moves))
"""The columns of ``sync.status`` that count records which are on their way,"""
STUCK = tuple(each.counted for each in _COUNTED if not each.moves and not each.settled)
"""which wait for something or somebody,"""
SETTLED = tuple(each.counted for each in _COUNTED if each.settled)
"""and about which nothing is left to do."""
COLUMNS = (*MOVING, *STUCK, *SETTLED)


def counted_in(column: str) -> tuple[str, ...]:
    """The states of deliveries that a column of ``sync.status`` counts."""
    return tuple(each.name for each in DELIVERY if each.counted == column)


def sql_values() -> dict[str, sql.Composable]:
    """The placeholders of the hub's SQL that come from here: lists of states, and what happens next with each."""
    from psycopg import sql  # who asks no hub need not import what asks it

    chosen: dict[str, Iterable[Meaning]] = {
        "moving": (each for each in DELIVERY if each.moves),
        "trouble": (each for each in DELIVERY if each.trouble),
        "failures": (each for each in DELIVERY if each.trouble and each.name != "blocked"),
        "kept": (each for each in DELIVERY if each.kept),
        "may_retry": (each for each in DELIVERY if each.may_retry),
        "may_skip": (each for each in DELIVERY if each.may_skip == "yes"),
        "may_skip_by_name": (each for each in DELIVERY if each.may_skip == "by name"),
    }
    lists = {f"states_{name}": sql.SQL(", ").join(each.name for each in some) for name, some in chosen.items()}
    cases = (sql.SQL("when {} then {}").format(each.name, each.next) for each in ALL)
    return {**lists, "next_by_state": sql.SQL(" ").join(cases)}
