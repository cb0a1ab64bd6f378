"""The command ``plan``: what would be written, before anything is."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import click
from rich.console import Console

from replicator.cli.options import config_option, json_option
from replicator.cli.output import say, say_json
from replicator.cli.progress import TerminalWatcher
from replicator.command_lead import command_lead
from replicator.config import load
from replicator.cycle import Cycle
from replicator.errors import LeaseLost, Terminal
from replicator.hub.lease import leader
from replicator.inbound.load import SnapshotResult
from replicator.inbound.merge import MergeResult
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.schema import EntitySet
from replicator.operate.planning.planned_writes import PlannedWrite
from replicator.operate.planning.rehearse import Plan, Standing, make_plan
from replicator.operate.planning.saved_plans import save, shown
from replicator.outbound.acknowledge import Acknowledged
from replicator.startup import open_world
from replicator.text import many
from replicator.world import World

_SECONDS_BESIDE = 60
"""How long a replicator at work may be held up by a plan."""


class PlanWatcher(TerminalWatcher):
    """Shows what is under way; that nothing was sent, merged or read into the hub for good needs no lines."""

    def snapshot(self, entity_set: EntitySet, taken: SnapshotResult) -> None:
        self._show(f"read {entity_set}", None)

    def merged(self, merged: MergeResult) -> None:
        self._show("planning: merging", None)

    def sending(self, flow: CompiledMap, records: int) -> None:
        self._show(f"planning {flow.name}", records)

    def delivered(self, flow: CompiledMap, result: Acknowledged) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, result.applied)


@click.command("plan")
@config_option
@click.option("--entity", help="Only this entity of the common model, with its parts.")
@click.option(
    "--fields", is_flag=True, help="For each write, every field: the value there now, and the one to be written."
)
@click.option("--save", "keep", is_flag=True, help="Keep the plan in the hub, to be run with 'run --plan ID'.")
@click.option("--no-read", is_flag=True, help="Plan from what was read before; ask neither system.")
@json_option
def plan_command(
    config_path: Path | None, entity: str | None, fields: bool, keep: bool, no_read: bool, as_json: bool
) -> None:
    """Show every write that would be made, in order, and send nothing.

    Both systems are read first, unless a replicator is at work, which reads them anyway. Then the work is rehearsed in
    the hub and taken back: each write counts as landed, so that what waits for it is planned, too. Needs no more
    than the right to read in either system.

    \b
    Look:            replicator plan
    At each field:   replicator plan --fields --entity NAME
    Decide later:    replicator plan --save; replicator run --plan ID

    Exits with 3 when something would stay blocked, rejected or held, or could not be looked at, with 0 when all would
    be in step.
    """
    watcher = PlanWatcher(Console(stderr=True))
    with open_world(load(config_path), watcher) as world:
        flows = flows_of(world.compiled, entity)
        with watcher.progress():
            beside = _at_work(world) if no_read else _refresh(world)
            ends = time.monotonic() + _SECONDS_BESIDE
            plan = make_plan(
                world, led=beside is not None, too_long=lambda: beside is not None and time.monotonic() > ends
            )
        plan = plan if entity is None else plan.only(flows)
        number = None
        if keep:
            with world.engine.connect() as connection:
                number = save(connection, plan, entity, world.made_from)
    for where, problem in plan.problems:
        watcher.problem(where, problem)
    if as_json:
        say_json(_data(plan, number, beside, read=not no_read and beside is None))
    else:
        _tell(plan, entity, number, beside, fields=fields)
    sys.exit(4 if watcher.transient else 3 if plan.stays or watcher.terminal else 0)


def flows_of(compiled: Compiled, entity: str | None) -> frozenset[str]:
    """The flows of an entity and its parts, and what is shown under other names of it."""
    if entity is not None and entity not in compiled.schema.entities:
        known = ", ".join(sorted(compiled.schema.entities))
        raise Terminal(f"there is no entity '{entity}'", hint=f"one of {known}")
    own = [flow for flow in compiled.maps if flow.mapping.entity.entity == entity]
    roots = {compiled.marked(flow).name for flow in own}
    parts = {flow.name for flow in compiled.maps if flow.root in roots}
    sets = {str(flow.mapping.entity_set) for flow in own if flow.mapping.direction == "in"}
    return frozenset({flow.name for flow in own} | roots | parts | sets | {entity or ""})


def _at_work(world: World) -> str | None:
    """Who leads on the hub, if anybody does."""
    with world.engine.connect() as connection:
        return leader(connection)


def _refresh(world: World) -> str | None:
    """Read both systems, or say who is at it."""
    with world.engine.connect() as connection:
        try:
            with command_lead(connection, world.configuration, world.made_from) as lead:
                cycle = Cycle(replace(world, lease=lead.lease), connection)
                cycle.prepare_to_read()
                cycle.read()
        except LeaseLost:
            return leader(connection) or "another replicator"
    return None


def _data(plan: Plan, number: int | None, beside: str | None, *, read: bool) -> dict[str, object]:
    return {
        "plan": number, "read": read, "beside": beside, "writes": (vars(each) for each in plan.writes),
        "requests": plan.requests, "standing": [vars(each) for each in plan.standing],
        "problems": [{"where": where, "problem": str(problem)} for where, problem in plan.problems],
        "not_read": dict(plan.not_read),
    }  # fmt: skip


def _tell(plan: Plan, entity: str | None, number: int | None, beside: str | None, *, fields: bool) -> None:
    if beside is not None:
        say(f"{beside} is at work: planned from what it has read, without what is under way")
    for request, together in groupby(plan.writes, lambda each: each.request):
        _tell_request(request, list(together), fields=fields)
    if not plan.writes:
        say("nothing would be written" + (", as far as could be looked" if plan.not_read else ""))
    for name, problem in plan.not_read.items():
        say(f"not looked at: {name}: {problem}")
    for each in plan.standing:
        say(_standing(each))
    if plan.writes:
        asked = ", ".join(f"{count} to {system}" for system, count in plan.requests.items())
        writes, requests = many(len(plan.writes), "write"), many(sum(plan.requests.values()), "request")
        say(f"{writes} in {requests}: {asked}")
    if entity is not None:
        say(f"only {entity} and its parts are shown; what they need of others is taken as written")
    if number is not None:
        say(f"plan {number} is saved; run it with: replicator run --plan {number}")


def _tell_request(number: int, writes: list[PlannedWrite], *, fields: bool) -> None:
    say(f"request {number} to {writes[0].system}: {writes[0].root}")
    for each in writes:
        say(f"  {each.place:>5}  {each.operation:<6}  {named(each)}")
        width = max((len(name) for name in each.fields), default=0)
        for name, (held, wanted) in each.fields.items() if fields else ():
            say(f"           {name:<{width}}  {shown(held)} -> {shown(wanted)}")


def named(write: PlannedWrite) -> str:
    """The kind of record and what people call it; without a name its key."""
    return f"{write.flow.split(' > ')[0]} {write.record or ', '.join(write.key.values())}"


def _standing(standing: Standing) -> str:
    count = many(standing.records, "record")
    some = ", ".join(name for name in standing.some if name)
    more = ", ..." if standing.records > len(standing.some) else ""
    words = {"blocked": "waits for "}.get(standing.state, "") + standing.reason
    parts = [f"stays {standing.state.replace('_', ' ')}: {standing.flow}: {count}", words, f"({some}{more})"]
    return "  ".join(part for part in parts if part and part != "()")
