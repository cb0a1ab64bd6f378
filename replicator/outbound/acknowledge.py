"""Acknowledge: what became of each write, with mirror, crosswalk and delivery in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never

import simplejson
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from replicator.engine.agree import agree
from replicator.engine.diff import reports_drift
from replicator.engine.marks import mark_through
from replicator.engine.mirror import Seen, remove, set_origin, store
from replicator.hub.sql import statements
from replicator.hub.state import accepted
from replicator.model.compiled import Compiled, CompiledMap
from replicator.outbound.plan import Delivery, Planned
from replicator.systems.connector import Applied, Image, Outcome, Postponed, Rejected, Stale, Unknown

_sql = statements(__file__)
_WEIGHTS: Mapping[type, int] = {Unknown: 0, Stale: 1, Postponed: 2, Rejected: 3, Applied: 4}
Pause = Callable[[int], float]
"""Seconds to wait after so many attempts."""


@dataclass
class Acknowledged:
    """Counts of records by what became of them."""

    applied: int = 0
    amended: int = 0
    rejected: int = 0
    postponed: int = 0
    unknown: int = 0
    stale: list[Delivery] = field(default_factory=list)
    unconfirmed: list[Planned] = field(default_factory=list)


class Acknowledgement:
    """Writes the outcomes of one request's deliveries of one map."""

    def __init__(
        self, connection: sa.Connection, compiled: Compiled, ids: Mapping[str, int], found: CompiledMap, pause: Pause
    ) -> None:
        self.connection, self.compiled, self.ids, self.found, self.pause = connection, compiled, ids, found, pause
        self.result = Acknowledged()

    def write(self, deliveries: Sequence[Delivery], outcomes: Sequence[Sequence[Outcome]]) -> Acknowledged:
        """All of it in the transaction that is open."""
        set_origin(self.connection, f"deliver:{self.found.mapping.system}")
        done = [(delivery, each) for delivery, each in zip(deliveries, outcomes, strict=True) if _all_applied(each)]
        failed = [
            (delivery, each) for delivery, each in zip(deliveries, outcomes, strict=True) if not _all_applied(each)
        ]
        self._applied(done)
        self._not_applied(failed)
        return self.result

    def _applied(self, done: Sequence[tuple[Delivery, Sequence[Outcome]]]) -> None:
        if not done:
            return
        by_map: dict[str, list[tuple[Planned, Applied]]] = defaultdict(list)
        for delivery, outcomes in done:
            for planned, outcome in zip(delivery.writes, outcomes, strict=True):
                assert isinstance(outcome, Applied)
                by_map[planned.found.name].append((planned, outcome))
        for name, written in by_map.items():
            self._record(self.compiled.map(name), written)
        self.result.applied += len(done)
        self._finish([delivery for delivery, _ in done])

    def _finish(self, done: Sequence[Delivery]) -> None:
        values = {
            "map_id": self.ids[self.found.name],
            "ids": [delivery.record_id for delivery in done],
            "incomplete": [delivery.record_id for delivery in done if delivery.incomplete],
        }
        self.connection.execute(_sql["applied"], values)

    def _record(self, found: CompiledMap, written: Sequence[tuple[Planned, Applied]]) -> None:
        """Mirror, crosswalk and accepted values of one map's writes."""
        mirror = found.view.target
        kept = [(planned, outcome) for planned, outcome in written if planned.write.operation != "delete"]
        confirmed = [(planned, outcome.image, outcome.etag) for planned, outcome in kept if outcome.image is not None]
        self.result.unconfirmed += [planned for planned, outcome in kept if outcome.image is None]
        seen: list[Seen] = [(image, etag) for _, image, etag in confirmed]
        ids = store(self.connection, mirror, found.mapping.entity_set, seen) if seen else []
        remove(
            self.connection, mirror, [p.target_id for p, _ in written if p.write.operation == "delete" and p.target_id]
        )
        part_links(self.connection, found, [planned.record_id for planned, _ in written if planned.ends])
        created = [
            (p, target) for (p, _, _), target in zip(confirmed, ids, strict=True) if p.write.operation == "create"
        ]
        pairs = [(planned.record_id, target, planned.root_id) for planned, target in created]
        link(self.connection, self.compiled, self.ids, found, pairs)
        self._accept(found, [(planned, image) for planned, image, _ in confirmed])
        agreed = [(planned.record_id, planned.agreed) for planned, _, _ in confirmed]
        agree(self.connection, found.view, agreed, certain=True)

    def _accept(self, found: CompiledMap, written: Sequence[tuple[Planned, Image]]) -> None:
        """Note where the target stored something else than was sent."""
        rows = []
        amended: set[int] = set()
        fields = {column.name: column for column in found.view.columns}
        for planned, image in written:
            for name, sent in planned.sent.items():
                stored = image.get(fields[name].field)
                if (sent != stored or reports_drift(found.view)) and not fields[name].is_key:
                    kind = fields[name].type
                    amended |= {planned.record_id} if sent != stored else set()
                    rows.append(
                        {
                            "map_id": self.ids[found.name], "record_id": planned.record_id, "field": name,
                            "sent": sa.cast(sa.cast(sa.literal(sent, kind), kind), sa.Text),
                            "stored": sa.cast(sa.cast(sa.literal(stored, kind), kind), sa.Text),
                        }
                    )  # fmt: skip
        self._forget(found, written)
        if rows:
            statement = insert(accepted).values(rows)
            both = {name: statement.excluded[name] for name in ("sent", "stored")}
            keys = ["map_id", "record_id", "field"]
            self.connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=both))
        self.result.amended += len(amended)

    def _forget(self, found: CompiledMap, written: Sequence[tuple[Planned, Image]]) -> None:
        ids = [planned.record_id for planned, _ in written]
        names = sorted({name for planned, _ in written for name in planned.sent})
        if ids and names:
            values = {"map_id": self.ids[found.name], "ids": ids, "fields": names}
            self.connection.execute(_sql["forget_accepted"], values)

    def _not_applied(self, failed: Sequence[tuple[Delivery, Sequence[Outcome]]]) -> None:
        if not failed:
            return
        map_id = self.ids[self.found.name]
        ids = [delivery.record_id for delivery, _ in failed]
        tried = self.connection.execute(_sql["attempts"], {"map_id": map_id, "ids": ids})
        attempts = {row.record_id: row.attempts for row in tried}
        rows = [self._row(delivery, outcomes, attempts.get(delivery.record_id, 0)) for delivery, outcomes in failed]
        self.connection.execute(_sql["not_applied"], {"map_id": map_id, "outcomes": simplejson.dumps(rows)})

    def _row(self, delivery: Delivery, outcomes: Sequence[Outcome], attempts: int) -> dict[str, object]:
        worst = worst_of(outcomes)
        row: dict[str, object] = {"record_id": delivery.record_id, "reason": worst.message}
        if isinstance(worst, Rejected):
            self.result.rejected += 1
            return row | {"state": "rejected", "code": worst.code, "field": worst.field}
        if isinstance(worst, Postponed):
            self.result.postponed += 1
            return row | {"state": "failed", "pause": worst.retry_after or self.pause(attempts)}
        if isinstance(worst, Unknown):
            self.result.unknown += 1
            return row | {"state": "unknown", "pause": self.pause(attempts)}
        if isinstance(worst, Stale):
            self.result.stale.append(delivery)
            return row | {"state": "unknown", "pause": 0 if attempts < 3 else self.pause(attempts)}
        assert_never(worst)


def worst_of(outcomes: Sequence[Outcome]) -> Rejected | Postponed | Unknown | Stale:
    """The outcome that decides a unit: not knowing counts most, then a rejection with words."""

    def weight(outcome: Outcome) -> int:
        place = _WEIGHTS[type(outcome)]
        return place if outcome_message(outcome) else place + len(_WEIGHTS)

    worst = min(outcomes, key=weight)
    assert not isinstance(worst, Applied)
    return worst


def outcome_message(outcome: Outcome) -> str:
    """The words of an outcome; none for an applied one."""
    return "" if isinstance(outcome, Applied) else outcome.message


def _all_applied(outcomes: Sequence[Outcome]) -> bool:
    return all(isinstance(outcome, Applied) for outcome in outcomes)


def link(
    connection: sa.Connection,
    compiled: Compiled,
    ids: Mapping[str, int],
    found: CompiledMap,
    pairs: Sequence[tuple[int, int, int | None]],
) -> None:
    """Pair common records with mirror rows (and the whole, for a part); a pair that is there already stays.

    Who reads through the pairs is marked: a read may have shown the mirror rows before, so that no window tells of it.
    """
    rows = [{"common_id": common, "mirror_id": target, "root_id": root} for common, target, root in pairs]
    if not found.view.root_column:
        rows = [{name: value for name, value in row.items() if name != "root_id"} for row in rows]
    if rows:
        made = insert(found.view.link).on_conflict_do_nothing().returning(found.view.link.c.mirror_id)
        linked = list(connection.execute(made, rows).scalars())
        mark_through(connection, compiled, ids, found.view.link, linked)


def part_links(connection: sa.Connection, found: CompiledMap, record_ids: Sequence[int]) -> None:
    """End the pairs of records that are gone."""
    if record_ids:
        crosswalk = found.view.link
        connection.execute(
            sa.update(crosswalk)
            .values(ended_at=sa.func.sync.now())
            .where(crosswalk.c.common_id.in_(list(record_ids)), crosswalk.c.ended_at.is_(None))
        )
