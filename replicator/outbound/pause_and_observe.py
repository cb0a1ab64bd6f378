"""Restraint: a flow that is paused sends nothing more, one that is only observed nothing at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

import sqlalchemy as sa

from replicator.core.claim import Shown
from replicator.hub.statements import statements
from replicator.outbound.decide import Delivery, Planned

_sql = statements(__name__)


def put_back_if_paused(connection: sa.Connection, map_id: int, deliveries: Sequence[Delivery]) -> bool:
    """Right before a request, in the transaction that checks the lease: take it back if the flow is paused now."""
    if not connection.execute(_sql["paused"], {"map_id": map_id}).scalar_one():
        return False
    put_back(connection, map_id, deliveries)
    return True


def put_back(connection: sa.Connection, map_id: int, deliveries: Sequence[Delivery]) -> None:
    """They are not sent, for no reason of their own: as if they had not been claimed."""
    ids = [delivery.record_id for delivery in deliveries]
    connection.execute(_sql["put_back"], {"map_id": map_id, "ids": ids})


def only_observe(connection: sa.Connection, map_id: int, deliveries: Sequence[Delivery]) -> None:
    """In mode observe show what each delivery would write, so that none is sent."""
    if connection.execute(_sql["mode"], {"map_id": map_id}).scalar_one() == "observe":
        for delivery in deliveries:
            if delivery.shown is None and delivery.writes:
                delivery.shown = observed(delivery)


def observed(delivery: Delivery) -> Shown:
    """A delivery that is decided and not sent: its operation, and the fields it would write."""
    reason = f"would {'; '.join(_words(delivery.writes))}"
    return Shown(delivery.record_id, "observed", delivery.record, reason, None, delivery.operation)


def _words(writes: Sequence[Planned]) -> Iterator[str]:
    """The root with its fields, then how many of its parts."""
    ordered = sorted(writes, key=lambda each: each.flow.root is not None)
    for part, some in groupby(ordered, key=lambda each: each.flow.root is not None):
        if part:
            counts = Counter((each.write.operation, each.write.entity_set.entity_set) for each in some)
            yield from (f"{operation} {count} {name}" for (operation, name), count in sorted(counts.items()))
        else:
            yield from (" ".join((each.write.operation, ", ".join(each.write.values))).rstrip() for each in some)
