"""Planted bugs, each of a kind that products of this field have had, to see that the simulation finds them.

A mutant changes one place of the product through pytest's MonkeyPatch, which takes it back afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from replicator import daemon
from replicator.connectors.odata import connector
from replicator.connectors.protocol import Applied, Key, Outcome, Unit, Unknown
from replicator.core import diff, linking, mark, mirror
from replicator.core.hub_handle import Handle
from replicator.core.mirror import remove
from replicator.cycle import Cycle
from replicator.hub import changefeed, connection, restored, sync_tables
from replicator.hub.lease import Lease
from replicator.inbound import load, merge, pages, proposed_deletes, sweep
from replicator.mapping.compiled import Compiled, CompiledMap
from replicator.mapping.desired_views import match_columns
from replicator.outbound import acknowledge, decide, delivery_pass, renumbered_search, send
from replicator.solution import generate

Plant = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, Plant] = {}


def mutant(plant: Plant) -> Plant:
    """Keep a planted bug under its name."""
    MUTANTS[plant.__name__] = plant
    return plant


def _sql(patching: pytest.MonkeyPatch, module: Any, name: str, old: str, new: str) -> None:
    """Replace a piece of a named statement."""
    text = module._sql[name].text
    assert old in text, f"{name} does not say '{old}'"
    patching.setattr(module, "_sql", {**module._sql, name: sa.text(text.replace(old, new))})


# reading the systems


@mutant
def a_sweep_is_as_before_though_we_wrote(patching: pytest.MonkeyPatch) -> None:
    """Pages that are as they were count as nothing new, although an answer to a write of ours said otherwise."""
    patching.setattr(sweep.Sweep, "_is_mirror_written", lambda self, moment: False)


@mutant
def a_sweep_misses_nobody(patching: pytest.MonkeyPatch) -> None:
    """What a sweep does not show is not looked up."""
    patching.setattr(sweep.Sweep, "shows_all", lambda self: True)
    patching.setattr(load.MirrorLoad, "_absent", _without_swept(load.MirrorLoad._absent))


def _without_swept(absent: Callable[[load.MirrorLoad], list[int]]) -> Callable[[load.MirrorLoad], list[int]]:
    return lambda self: [] if self.kind == "swept" else absent(self)


@mutant
def a_sweep_looks_at_keys_alone(patching: pytest.MonkeyPatch) -> None:
    """Records that are known are taken for unchanged, whatever their etag."""
    changed = sweep.Sweep.changed

    def only_new(self: sweep.Sweep) -> list[Key] | None:
        keys = changed(self)
        known = mirror.known(self.hub.connection, self.mirror, self.entity_set, keys or [])
        return keys and [key for key, row in zip(keys, known, strict=True) if row is None]

    patching.setattr(sweep.Sweep, "changed", only_new)


# reading the log


@mutant
def window_by_highest_number(patching: pytest.MonkeyPatch) -> None:
    """Reads on from the highest transaction number, so that who commits late is skipped."""
    late = "and not pg_visible_in_snapshot(txid, cast(:kept as pg_snapshot))"
    for name in ("any", "window"):
        _sql(patching, changefeed, name, late, "and txid >= pg_snapshot_xmax(cast(:kept as pg_snapshot))")


@mutant
def cursor_before_the_marks(patching: pytest.MonkeyPatch) -> None:
    """The cursor moves in a transaction of its own, before the marks are made."""
    _sql(patching, changefeed, "window", "on commit drop", "")

    def moved_first(hub: Handle, open_next: changefeed.OpenWindow) -> mark.Marked | None:
        with hub.connection.begin():
            window = open_next(hub.connection, mark.CONSUMER)
        if window is None:
            return None
        with hub.connection.begin():
            made = mark.mark_all(hub) if window.everything else _mark(hub, window)
            hub.execute(sa.text("drop table if exists changed"))
        return mark.Marked(sum(window.changes.values()), sum(window.records.values()), made)

    _mark = mark._mark
    patching.setattr("replicator.cycle.mark_window", moved_first)


@mutant
def only_own_changes_mark(patching: pytest.MonkeyPatch) -> None:
    """A change marks its own record, and nobody who reads through it."""

    def own(hub: Handle, window: changefeed.Window) -> int:
        return sum(
            mark.mark(hub.connection, hub.marked_id(flow), flow.markings[0].records)
            for flow in hub.compiled.maps
            if flow.markings[0].table.fullname in window.changes
        )

    patching.setattr(mark, "_mark", own)


# applying


@mutant
def children_do_not_wait(patching: pytest.MonkeyPatch) -> None:
    """A record whose parent has not landed is sent all the same."""
    trouble, actions = decide._trouble, decide._actions

    def sent(flow: CompiledMap, row: Any) -> tuple[str, ...]:
        if row.action != "blocked":
            return actions(flow, row)
        return ("create",) if row.target_id is None else ("update",) if row.changed else ()

    def untroubled(flow: CompiledMap, row: Any, **how: bool) -> Any:
        return None if row.action == "blocked" else trouble(flow, row, **how)

    patching.setattr(decide, "_trouble", untroubled)
    patching.setattr(decide, "_actions", sent)


@mutant
def children_go_before_their_parents(patching: pytest.MonkeyPatch) -> None:
    """The order is reversed, and nobody waits: with waiting the order decides only how many passes it takes."""
    children_do_not_wait(patching)
    in_order = Compiled.outbound
    patching.setattr(Compiled, "outbound", lambda self, system: in_order(self, system)[::-1])


@mutant
def unknown_counts_as_applied(patching: pytest.MonkeyPatch) -> None:
    """A request without an answer is taken for done."""
    _every_outcome(patching, lambda outcome: Applied(None, None) if isinstance(outcome, Unknown) else outcome)
    _nothing_is_read_back(patching)


@mutant
def cut_off_requests_are_forgotten(patching: pytest.MonkeyPatch) -> None:
    """After a crash nobody asks what became of the requests under way."""
    patching.setattr(delivery_pass.Deliveries, "recover", lambda self: None)


@mutant
def who_was_overtaken_goes_on(patching: pytest.MonkeyPatch) -> None:
    """A process that froze for so long that another one leads does not notice it when it wakes."""
    patching.setattr(Lease, "check", lambda self, connection: None)


@mutant
def failures_are_not_tried_again(patching: pytest.MonkeyPatch) -> None:
    """A passing failure is kept as if it were final."""
    patching.setattr(delivery_pass.Deliveries, "_deliver_due", lambda self, found: send.Delivered())


@mutant
def one_failure_drops_the_rest(patching: pytest.MonkeyPatch) -> None:
    """What was not sent because a request failed is taken for done."""
    _nothing_is_read_back(patching)

    def done(group: Sequence[decide.Delivery], problem: Exception | None) -> list[list[Outcome]]:
        return [[Applied(None, None) for _ in each.writes] for each in group]

    patching.setattr(send, "_not_sent", done)


@mutant
def mirror_takes_what_was_sent(patching: pytest.MonkeyPatch) -> None:
    """The mirror notes what was sent, not what the system says that it stored."""
    record = acknowledge.Acknowledgement._record

    def as_sent(
        self: Any, flow: CompiledMap, written: Sequence[tuple[decide.Planned, Applied]]
    ) -> acknowledge.Unsettled:
        fields = {column.name: column.field for column in flow.view.columns}
        changed = []
        for planned, outcome in written:
            sent = {fields[name]: value for name, value in planned.sent.items()}
            image = None if outcome.image is None else outcome.image | sent
            changed.append((planned, Applied(image, outcome.etag)))
        return record(self, flow, changed)

    patching.setattr(acknowledge.Acknowledgement, "_record", as_sent)


@mutant
def amendments_are_not_noted(patching: pytest.MonkeyPatch) -> None:
    """What a system made of a value is not kept, so that the value is sent again and again."""
    patching.setattr(acknowledge.Acknowledgement, "_accept", lambda self, found, written: None)


@mutant
def pairs_are_never_parted(patching: pytest.MonkeyPatch) -> None:
    """A record that is gone stays paired with its counterpart."""
    for module in (acknowledge, delivery_pass):
        patching.setattr(module, "part_links", lambda connection, found, mirror_ids: None)


@mutant
def pairs_stay_with_history(patching: pytest.MonkeyPatch) -> None:
    """The pair of a record stays with the generation that counted first."""
    patching.setattr(merge, "pass_on", lambda hub, flow: [])


@mutant
def keys_held_by_others_are_not_seen(patching: pytest.MonkeyPatch) -> None:
    """A create is sent although the target gives its key to another record."""
    patching.setattr(diff, "_taken", lambda view, v: iter(()))


@mutant
def letters_make_a_difference(patching: pytest.MonkeyPatch) -> None:
    """Keys are compared letter by letter, not as the systems compare them."""

    def exact(view: Any, table: sa.FromClause, v: sa.FromClause) -> sa.ColumnElement[bool]:
        names = [name for name in match_columns(view.mapping) if name in {column.name for column in view.columns}]
        return sa.and_(sa.true(), *(table.c[name] == v.c[name] for name in names))

    for module in (diff, linking):
        patching.setattr(module, "same_key", exact)


@mutant
def deletes_go_nowhere(patching: pytest.MonkeyPatch) -> None:
    """A record that is gone is settled without a write."""
    actions = decide._actions
    patching.setattr(
        decide, "_actions", lambda found, row: () if row.action in ("delete", "set") else actions(found, row)
    )


@mutant
def lines_trade_places_without_leaving(patching: pytest.MonkeyPatch) -> None:
    """A line whose number changed is only created under its new one."""
    actions = decide._actions
    patching.setattr(
        decide, "_actions", lambda found, row: ("create",) if row.action == "rekey" else actions(found, row)
    )


@mutant
def keys_that_a_target_gives_are_not_kept(patching: pytest.MonkeyPatch) -> None:
    """A record that the target holds under a key of its own goes, and comes again under the wanted one."""
    noted = acknowledge._is_noted
    patching.setattr(
        acknowledge, "_is_noted", lambda flow, column, *both: not column.is_key and noted(flow, column, *both)
    )


@mutant
def a_number_that_another_part_got_counts(patching: pytest.MonkeyPatch) -> None:
    """Of lines that ops numbers and says nothing of, what bears the number that one was sent with is taken for it."""
    patching.setattr(acknowledge, "_without_doubtful", lambda flow, written: written)


@mutant
def parts_under_other_numbers_are_not_looked_for(patching: pytest.MonkeyPatch) -> None:
    """Lines that ops numbers by itself, and whose answer was lost, are created once more."""
    patching.setattr(acknowledge, "may_be_renumbered", lambda flow, write: False)
    patching.setattr(renumbered_search, "key_of_root", lambda flow: [])


@mutant
def creates_are_repeated_without_end(patching: pytest.MonkeyPatch) -> None:
    """What a target says that it made, and never shows, is made again and again."""
    patching.setattr(decide, "CREATED_AT_MOST", 10**9)


@mutant
def what_shows_after_a_refusal_is_not_looked_at(patching: pytest.MonkeyPatch) -> None:
    """A create that was refused and saved stays rejected although the mirror has its row."""
    patching.setattr(mark, "_mark_seen_after_all", lambda hub, window: 0)


@mutant
def what_shows_before_its_refusal_is_not_looked_at(patching: pytest.MonkeyPatch) -> None:
    """The same, where a read shows the row before the answer comes."""
    patching.setattr(mark, "_SEEN_AFTER_ALL", ("rejected", "reported"))


@mutant
def a_pause_ends_with_the_process(patching: pytest.MonkeyPatch) -> None:
    """Whoever is started while a system wants to be left alone asks it at once."""
    patching.setattr(Cycle, "_rests", lambda self, name: False)


@mutant
def a_look_up_releases_nobody(patching: pytest.MonkeyPatch) -> None:
    """What waits for a record whose answer was lost goes on waiting when it is found."""
    patching.setattr(send.Delivered, "releases", send.Delivered.progress)


@mutant
def what_is_left_behind_is_not_told(patching: pytest.MonkeyPatch) -> None:
    """A delivered record that its map leaves out now, and that changes, is passed over in silence."""
    patching.setattr(diff, "_says_why", lambda view, v, differs: sa.false())
    patching.setattr(decide, "_left_behind", lambda row, parts: None)


# reading the systems


@mutant
def deleted_entries_are_skipped(patching: pytest.MonkeyPatch) -> None:
    """The deletes in a delta are not read."""
    add = pages.Pages.add
    patching.setattr(pages.Pages, "add", lambda self, page: add(self, replace(page, deleted=())))


@mutant
def a_delta_counts_as_whole(patching: pytest.MonkeyPatch) -> None:
    """What a read of changes does not show is taken for deleted, and not looked up."""
    absent = load.MirrorLoad._absent

    def whichever(self: Any) -> list[int]:
        kind, self.kind = self.kind, "whole"
        found: list[int] = absent(self)
        self.kind = kind
        return found

    patching.setattr(load.MirrorLoad, "_absent", whichever)
    patching.setattr(proposed_deletes.ProposedDeletes, "confirm", _without_a_look)


@mutant
def deletes_know_no_budget(patching: pytest.MonkeyPatch) -> None:
    """However many records are gone, nobody is asked."""
    patching.setattr(proposed_deletes, "over_budget", lambda *asked: None)


def _without_a_look(self: Any, connector: Any) -> int:
    with self.hub.connection.begin():
        decided = {row.record_id: row.id for row in self.hub.execute(proposed_deletes._sql["decided"], self.names)}
        remove(self.hub.connection, self.mirror, list(decided))
        self._settle(list(decided.values()), "done", None)
    return 0


@mutant
def the_token_moves_first(patching: pytest.MonkeyPatch) -> None:
    """How far a system was read is kept before what was read."""
    load_first = load.MirrorLoad.load

    def early(self: Any, *rest: Any) -> Any:
        position = {"token": self.read.token, "whole": self.kind == "whole", "started": self.read.started,
                    "mirror": self.mirror.fullname}  # fmt: skip
        self.hub.execute(load._sql["keep_position"], self.names | position)
        self.hub.connection.connection.driver_connection.commit()
        return load_first(self, *rest)

    patching.setattr(load.MirrorLoad, "load", early)


# merging


@mutant
def key_conflicts_pass_for_done(patching: pytest.MonkeyPatch) -> None:
    """A record whose key another one has is settled as if it had been created."""
    patching.setattr(merge, "refused", lambda view, work: sa.text("select 1"))


@mutant
def merged_once_only(patching: pytest.MonkeyPatch) -> None:
    """A record that waits in the hub for its parent is not merged when the parent comes."""
    patching.setattr(merge.Merges, "_merge_blocked", lambda self, found: merge.MergeResult())


# what befalls the hub


@mutant
def a_restored_hub_writes_at_once(patching: pytest.MonkeyPatch) -> None:
    """Whether what a restored hub missed was read and merged is not asked."""
    patching.setattr("replicator.cycle.may_write", lambda connection, consumer, **more: True)


@mutant
def a_restore_is_not_noticed(patching: pytest.MonkeyPatch) -> None:
    """Where the hub is is not compared with where it last worked."""
    patching.setattr("replicator.cycle.notice_restore", lambda connection, consumer: False)


@mutant
def a_restored_hub_reads_on_where_it_was(patching: pytest.MonkeyPatch) -> None:
    """What was read before the backup counts as read."""
    patching.setattr(restored, "_sql", {**restored._sql, "forget_reads": sa.text("select 1")})


@mutant
def a_restored_hub_makes_parts_again(patching: pytest.MonkeyPatch) -> None:
    """Lines that ops numbered after the backup are created once more, and nobody is asked."""
    patching.setattr(delivery_pass, "wait_for_orphans", lambda hub, flow, deliveries: None)


@mutant
def what_changed_without_its_map_is_not_looked_at(patching: pytest.MonkeyPatch) -> None:
    """A map that is put back as it was goes on as if it had never been gone."""
    note = generate._note_maps

    def noted(connection: sa.Connection, compiled: Compiled) -> None:
        known = sa.select(sync_tables.map_.c.name, sync_tables.map_.c.marked_hash)
        before = connection.execute(known).all()
        note(connection, compiled)
        for name, marked in before:
            kept = sync_tables.map_.update().where(sync_tables.map_.c.name == name)
            connection.execute(kept.values(marked_hash=marked))

    patching.setattr(generate, "_note_maps", noted)


@mutant
def sessions_stay_as_they_began(patching: pytest.MonkeyPatch) -> None:
    """A session that fails for what was set when it began is used again."""
    patching.setattr(connection, "_renew_session", lambda failure: None)
    patching.setattr(daemon, "_mend_hub", lambda world: None)


@mutant
def sessions_take_what_the_database_says(patching: pytest.MonkeyPatch) -> None:
    """Sessions set nothing that the program relies on."""
    patching.setattr(connection, "settle", lambda session: None)


def _nothing_is_read_back(patching: pytest.MonkeyPatch) -> None:
    """A write that was not shown back counts as done, and is not looked up."""

    def forget(self: Any, unconfirmed: Mapping[int, Any]) -> None:
        values = {"map_id": self.hub.id_of(self.flow), "ids": list(unconfirmed), "incomplete": []}
        self.hub.execute(acknowledge._sql["applied"], values)

    patching.setattr(acknowledge.Acknowledgement, "_read_back", forget)


def _every_outcome(patching: pytest.MonkeyPatch, change: Callable[[Outcome], Outcome]) -> None:
    sent = connector.ODataConnector.apply

    def changed(self: connector.ODataConnector, units: Sequence[Unit]) -> list[list[Outcome]]:
        return [[change(outcome) for outcome in each] for each in sent(self, units)]

    patching.setattr(connector.ODataConnector, "apply", changed)
