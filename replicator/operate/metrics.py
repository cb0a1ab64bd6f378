"""What monitoring reads: the views of schema ``sync`` as Prometheus metrics, asked anew at every scrape."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psycopg
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from replicator import __version__
from replicator.hub.states import COLUMNS, CONFLICT
from replicator.operate import hub_queries

if TYPE_CHECKING:
    from replicator.web_server import WebServer

STATES = ("in_step", *(name for name in COLUMNS if name != CONFLICT.counted))
_CAUSES = 50
"""The causes with most records; more would make too many time series."""
_LONGEST_SECONDS = 7.0
"""For all of a scrape: with the wait for a session less than the ten seconds that Prometheus waits."""


class Measure(NamedTuple):
    """A metric with one label set and value for each row of a view; rows without the value are left out."""

    name: str
    help: str
    view: str
    labels: tuple[str, ...]
    value: str
    family: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily


MEASURES = (
    Measure("lag_seconds", "Age of the oldest change that is still on its way", "status", ("flow",), "lag_seconds"),
    Measure("conflicts", "Fields changed on both sides that wait for a person", "status", ("flow",), "conflicts"),
    Measure("mirrored_records", "Records known of the flow's entity set", "status", ("flow",), "mirrored"),
    Measure("flow_paused", "Whether the flow stands still on purpose", "status", ("flow",), "paused"),
    Measure("last_snapshot_timestamp_seconds", "When the flow's entity set was last read", "status", ("flow",),
            "last_snapshot"),
    Measure("last_success_timestamp_seconds", "When the flow last wrote something", "status", ("flow",),
            "last_success"),
    Measure("unreadable_since_timestamp_seconds", "Since when an entity set cannot be read", "problems",
            ("system", "entity_set"), "since"),
    Measure("held_deletes", "Proposed deletes that wait for a person", "held", ("system", "entity_set"), "records"),
    Measure("orphaned_records", "Records of a target that a restored hub found and does not know", "orphaned",
            ("system", "entity_set"), "records"),
    Measure("read_requests", "Requests for reading an entity set; begins anew each day", "reading",
            ("system", "entity_set"), "requests_today", CounterMetricFamily),
    Measure("read_rows", "Rows that reads showed, if only by key and etag; begins anew each day", "reading",
            ("system", "entity_set"), "rows_today", CounterMetricFamily),
    Measure("read_bytes", "Bytes that reads received over the wire; begins anew each day", "reading",
            ("system", "entity_set"), "received_today", CounterMetricFamily),
    Measure("read_changed", "Records that reads found new, changed or gone; begins anew each day", "reading",
            ("system", "entity_set"), "changed_today", CounterMetricFamily),
    Measure("hinted_timestamp_seconds", "When a system last said that something changed in an entity set", "reading",
            ("system", "entity_set"), "hinted_at"),
    Measure("requests", "Requests sent to a system since the replicator started", "systems", ("system",), "requests",
            CounterMetricFamily),
    Measure("request_budget_left", "Requests that the system said are left", "systems", ("system",), "budget_left"),
    Measure("lease_expires_timestamp_seconds", "Until when the leader's lease holds; in the past: nobody leads",
            "leader", ("holder",), "expires_at"),
    Measure("window_holder_seconds", "Age of the transaction that holds the log's window back", "window_holder", (),
            "age"),
)  # fmt: skip


class Hub(Protocol):
    """Where a session on the hub is to be had: an engine, or a session that is open."""

    def connect(self) -> AbstractContextManager[hub_queries.Asked]:
        """A session, for a while."""


class HubCollector(Collector):
    """Reads the hub's views when it is asked; a hub that does not answer in time shows as ``replicator_hub_up 0``.

    ``clock`` gives seconds that only grow.
    """

    def __init__(
        self, hub: Hub, *, longest: float = _LONGEST_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.hub = hub
        self._longest = longest
        self._clock = clock

    def collect(self) -> Iterable[Metric]:
        """All metrics as of now."""
        yield InfoMetricFamily("replicator_build", "The program", value={"version": __version__})
        up = GaugeMetricFamily("replicator_hub_up", "Whether the hub's database answers")
        try:
            with self.hub.connect() as connection:
                found = list(self._of_hub(connection))
        except Exception as problem:
            if not _does_not_answer(problem):
                raise
            found = []
        up.add_metric([], float(bool(found)))
        yield up
        yield from found

    def _of_hub(self, connection: hub_queries.Asked) -> Iterator[Metric]:
        until = self._clock() + self._longest
        views = {
            name: self._rows(connection, name, until)
            for name in dict.fromkeys([*(each.view for each in MEASURES), "causes"])
        }
        # Held updates are among the records of their flow.
        views["held"] = [row for row in views["held"] if row["operation"] == "delete"]
        yield _records(views["status"])
        for measure in MEASURES:
            yield _measured(measure, views[measure.view])
        yield _causes(views["causes"])

    def _rows(self, connection: hub_queries.Asked, view: str, until: float) -> hub_queries.Rows:
        left = until - self._clock()
        if left < 0.001:  # none for PostgreSQL, to which it would mean without end
            raise TimeoutError
        return hub_queries.rows(connection, view, within=left)


def _records(status: hub_queries.Rows) -> Metric:
    family = GaugeMetricFamily("replicator_records", "Records of a flow, by how they stand", labels=["flow", "state"])
    for row in status:
        for state in STATES:
            family.add_metric([row["flow"], state], float(row[state]))
    return family


def _measured(measure: Measure, rows: hub_queries.Rows) -> Metric:
    family = measure.family(f"replicator_{measure.name}", measure.help, labels=measure.labels)
    for row in rows:
        value = _number(row[measure.value])
        if value is not None:
            family.add_metric([str(row[label]) for label in measure.labels], value)
    return family


def _causes(rows: hub_queries.Rows) -> Metric:
    labels = ["cause", "flow", "state", "field"]
    family = GaugeMetricFamily("replicator_cause_records", "Records that one cause keeps from arriving", labels=labels)
    for row in sorted(rows, key=_by_size)[:_CAUSES]:
        family.add_metric([row["cause"], row["flow"], row["state"], row["field"] or ""], float(row["records"]))
    return family


def _by_size(row: Mapping[str, Any]) -> tuple[int, str]:
    return -row["records"], row["cause"]


def _number(value: Any) -> float | None:
    """A number, a moment in seconds of the epoch, a span in seconds, or nothing."""
    if value is None:
        return None
    if hasattr(value, "timestamp"):
        return float(value.timestamp())
    return float(value.total_seconds() if hasattr(value, "total_seconds") else value)


def _does_not_answer(problem: Exception) -> bool:
    """Whether this says that the hub did not answer, or not in time."""
    if isinstance(problem, psycopg.Error | TimeoutError):
        return True
    from sqlalchemy.exc import SQLAlchemyError  # only who has an engine to ask has loaded it

    return isinstance(problem, SQLAlchemyError)


def registry(hub: Hub, *, longest: float = _LONGEST_SECONDS) -> CollectorRegistry:
    """A registry of the hub's metrics alone, which takes ``longest`` seconds at most to ask for them."""
    found = CollectorRegistry()
    found.register(HubCollector(hub, longest=longest))
    return found


def text(hub: Hub) -> str:
    """All metrics in OpenMetrics text, for a textfile collector or to look at; nobody's scrape waits for it."""
    encode, _ = choose_encoder("application/openmetrics-text")
    return encode(registry(hub, longest=60)).decode()


def serve(hub: Hub, host: str, port: int, *, longest: float = _LONGEST_SECONDS) -> WebServer:
    """Serve ``/metrics``, in the form that the scraper asks for."""
    from prometheus_client import make_wsgi_app

    from replicator.web_server import ConnectionLimits, WebServer

    limits = ConnectionLimits(seconds=30, threads=4)
    return WebServer(make_wsgi_app(registry(hub, longest=longest)), "metrics", host, port, limits=limits)
