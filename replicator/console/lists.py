"""The pages that are lists: causes and their records, what is held, conflicts, runs, plans, decisions."""

from __future__ import annotations

from flask import render_template
from werkzeug.exceptions import NotFound

from replicator.console.page_context import PageContext
from replicator.hub.statements import statements
from replicator.hub.states import DELIVERY, NAMES

_sql = statements(__name__)
_FEW = 20


def causes(look: PageContext) -> str:
    """What went wrong, by cause."""
    return render_template("causes.html", causes=look.paged(_sql["causes"]))


def cause(look: PageContext, name: str) -> str:
    """The records behind one cause."""
    found = look.row(_sql["cause"], cause=name)
    records = look.paged(_sql["cause_records"], cause=name)
    return render_template("cause.html", cause=found, name=name, records=records)


def records(look: PageContext) -> str:
    """The records in one state, of all flows or of one."""
    state, flow = look.arguments.get("state", "failed"), look.arguments.get("flow") or None
    if state not in NAMES:
        raise NotFound("There is no such state.")
    found = look.paged(_sql["records"], state=state, flow=flow)
    return render_template("records.html", state=state, delivery_states=DELIVERY, flow=flow, records=found)


def held(look: PageContext) -> str:
    """What waits for a person to let it go ahead."""
    deletes = [
        {**row, "some": look.rows(_sql["held_delete_records"], system=row["system"], entity_set=row["entity_set"],
                                  limit=_FEW, offset=0)}
        for row in look.rows(_sql["held_deletes"])
    ]  # fmt: skip
    return render_template("held.html", deletes=deletes, updates=look.rows(_sql["held_updates"]))


def held_deletes(look: PageContext, system: str, entity_set: str) -> str:
    """All records of one entity set whose deletes are held."""
    found = look.paged(_sql["held_delete_records"], system=system, entity_set=entity_set)
    return render_template("held_deletes.html", system=system, entity_set=entity_set, records=found)


def conflicts(look: PageContext) -> str:
    """Fields that were changed on both sides, and what became of earlier ones."""
    decided = look.paged(_sql["decided_conflicts"], "before", _FEW)
    return render_template("conflicts.html", conflicts=look.paged(_sql["conflicts"], size=_FEW), decided=decided)


def runs(look: PageContext) -> str:
    """What was read from the systems and from the log."""
    snapshots, windows = look.paged(_sql["snapshots"], "read", _FEW), look.paged(_sql["windows"], "window", _FEW)
    return render_template("runs.html", reads=look.rows(_sql["reads"]), snapshots=snapshots, windows=windows)


def plans(look: PageContext) -> str:
    """The saved plans."""
    return render_template("plans.html", plans=look.paged(_sql["plans"]))


def plan(look: PageContext, number: int) -> str:
    """One saved plan and its writes."""
    found = look.row(_sql["plan"], id=number)
    if found is None:
        raise NotFound(f"There is no plan {number}.")
    return render_template("plan.html", plan=found, planned=look.paged(_sql["planned"], id=number))


def decisions(look: PageContext) -> str:
    """Who decided what."""
    return render_template("decisions.html", decisions=look.paged(_sql["decisions"]))
