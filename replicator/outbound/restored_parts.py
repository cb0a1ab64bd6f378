"""New parts of a root of which a restored hub found others in the target that it may have made: a person says first.

A target that numbers parts by itself holds them under keys that nothing else tells: sent again, they would be there
twice. They wait until those are deleted there, or ``replicator skip`` says that they are somebody else's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import aggregate_order_by

from replicator.core.claim import Shown
from replicator.core.hub_handle import Handle
from replicator.core.why_not_written import ORPHANED_PARTS
from replicator.hub.sync_tables import orphan
from replicator.mapping.compiled import CompiledMap
from replicator.mapping.key_comparison import comparable
from replicator.mapping.schema import column_name
from replicator.outbound.decide import Delivery
from replicator.outbound.renumbered_parts import key_of_root, may_be_renumbered

Roots = Mapping[tuple[object, ...], str]
"""By the key of the root, as keys are compared: the keys of its orphaned parts."""


def wait_for_orphans(hub: Handle, flow: CompiledMap, deliveries: Sequence[Delivery]) -> None:
    """Show what each delivery waits for, so that none is sent."""
    for part in hub.compiled.parts(flow):
        adding = [(each, roots) for each in deliveries if each.shown is None and (roots := _roots(each, flow, part))]
        orphans = _orphaned(hub, part) if adding else {}
        for delivery, roots in adding:
            for root in roots & orphans.keys():
                waits = [_words(part, orphans[root])]
                delivery.shown = Shown(delivery.record_id, "blocked", delivery.record, None, waits, code=ORPHANED_PARTS)


def _roots(delivery: Delivery, flow: CompiledMap, part: CompiledMap) -> set[tuple[object, ...]]:
    """The root to which it adds such parts, where the target holds it already; by its key, as keys are compared."""
    if any(each.flow.name == flow.name and each.write.operation == "create" for each in delivery.writes):
        return set()
    writes = (each.write for each in delivery.writes if each.flow.name == part.name)
    added = (write.named_key for write in writes if may_be_renumbered(part, write))
    return {comparable(tuple(key[name] for name in key_of_root(part))) for key in added}


def _orphaned(hub: Handle, part: CompiledMap) -> Roots:
    entity_set = part.mapping.entity_set
    here = orphan.c.system == entity_set.system, orphan.c.entity_set == entity_set.name, orphan.c.decided_at.is_(None)
    if not hub.execute(sa.select(sa.exists().where(*here))).scalar_one():
        return {}
    t = part.view.target
    root = [t.c[column_name(name)] for name in key_of_root(part)]
    key = sa.func.concat_ws(",", *(t.c[column_name(name)] for name in entity_set.spec.key))
    keys = sa.func.string_agg(key, aggregate_order_by(sa.literal(", "), key))
    paired = (
        sa.exists().where(link.c.mirror_id == t.c.id, link.c.ended_at.is_(None)) for link in part.view.target_links
    )
    found = sa.select(*root, keys.label("keys_there")).join_from(orphan, t, t.c.id == orphan.c.record_id)
    rows = hub.execute(found.where(*here, *(sa.not_(each) for each in paired)).group_by(*root))
    return {comparable(tuple(row[:-1])): row.keys_there for row in rows}


def _words(part: CompiledMap, keys: str) -> str:
    return f"a decision about {part.mapping.entity_set} {keys}, which this restored hub may have made (sync.orphans)"
