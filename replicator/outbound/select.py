"""Select: the claimed records of a flow, paired where the target holds them already, with all that is known of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from replicator.core.claim import Claimed, claimed_rows
from replicator.core.desired_row import DesiredRow, typed_rows
from replicator.core.diff import diff
from replicator.core.hub_handle import Handle
from replicator.core.linking import linking, take_over
from replicator.core.mark import mark_through
from replicator.hub.statements import statements
from replicator.mapping.compiled import CompiledMap
from replicator.outbound.decide import Candidate
from replicator.outbound.earlier_tries import History

_sql = statements(__name__)


def select(hub: Handle, flow: CompiledMap, claimed: Claimed) -> list[Candidate]:
    """The candidates of a claim, in the transaction that is open."""
    link_claimed(hub, flow, claimed)
    marks = {record: marked for record, marked, _ in claimed_rows(hub.connection)}
    histories = _histories(hub, flow)
    parts: dict[int, list[tuple[CompiledMap, DesiredRow]]] = defaultdict(list)
    for part in hub.compiled.parts(flow):
        for row in typed_rows(part.view, hub.execute(diff(part.view, hub.id_of(part), claimed, by_root=True))):
            parts[row.record_id].append((part, row))
    rows = typed_rows(flow.view, hub.execute(diff(flow.view, hub.id_of(flow), claimed)))
    return [
        Candidate(row, parts[row.record_id], marks[row.record_id], histories.get(row.record_id, History()))
        for row in rows
    ]


def link_claimed(hub: Handle, flow: CompiledMap, claimed: Claimed) -> None:
    """Pair claimed records and their parts with records of the target that bear the same business key."""
    for part in hub.compiled.parts(flow):
        mark_through(hub, part.view.link, take_over(hub, part))
    for each in (flow, *hub.compiled.parts(flow)):
        linked = hub.execute(linking(each.view, claimed, by_root=each is not flow)).scalars()
        mark_through(hub, each.view.link, list(linked))


def _histories(hub: Handle, flow: CompiledMap) -> Mapping[int, History]:
    rows = hub.execute(_sql["earlier"], {"map_id": hub.id_of(flow)})
    return {row.record_id: History(row.asked, row.identity or ()) for row in rows}
