"""Why one record is as it is, and how it came to be so, on a hub whose log is full, against a trivial query."""

from __future__ import annotations

import time
from contextlib import ExitStack
from random import Random
from statistics import median

import sqlalchemy as sa

from benchmarks.change import Changes
from benchmarks.hub import compiled, hub, settle_down
from benchmarks.report import Line

_LOG_ROWS_PER_RECORD = 20
_ASKED = 40
_LIMIT_MS = 200
_UPDATES = (
    "update bench.items set quantity = quantity + 1",
    "update common.item set quantity = quantity + 1",
    "update bench2.articles set quantity = quantity + 1",
)
_CAUGHT_UP = "update sync.consumer set snapshot = pg_current_snapshot()"
_LEADER = "insert into sync.lease values ('replicator', 'benchmark', 1, now() + interval '1 day')"
# One in ten was changed by a person and waits to be delivered; one in ten was refused.
_EDIT = "update common.item set name = name || '!' where id % 10 < 2"
_WAITING = """
insert into sync.delivery (map_id, record_id, state, reason, code)
select m.id, i.id, case i.id % 10 when 0 then 'pending' else 'rejected' end::sync.delivery_state,
       case i.id % 10 when 1 then 'no such article' end, case i.id % 10 when 1 then '0x1' end
from common.item i, sync.map m where m.name = 'item > bench2.articles' and i.id % 10 < 2
"""
_GONE = "delete from common.item where id % 1000 = 7"
_KEYS = {
    "in step": "select number from common.item where id % 10 = 5",
    "pending": "select number from common.item where id % 10 = 0",
    "rejected": "select number from common.item where id % 10 = 1",
    "deleted in common": "select m.number from bench.items m where not exists "
    "(select from common.item i where i.number = m.number)",
}  # fmt: skip
_QUESTIONS = {
    "explain": "select * from sync.explain('item', :key)",
    "history": "select * from sync.history('item', :key)",
    "as of": "select * from sync.as_of('item', :key, now() - interval '1 second')",
}
_TRIVIAL = "select name from common.item where sync.fold(number) = sync.fold(:key)"


def _fill(changes: Changes, log_rows: int) -> int:
    """Load, update until the log is full, and put some records out of step; how many rows the log has."""
    changes.prepare()
    count = sa.text("select count(*) from log.change")
    with changes.connection.begin():
        changes.connection.execute(sa.text(_LEADER))
    filled = 0
    while filled < log_rows:
        for statement in _UPDATES:
            with changes.connection.begin():
                changes.connection.execute(sa.text(statement))
        with changes.connection.begin():
            filled = changes.connection.execute(count).scalar_one()
    for statement in (_EDIT, _WAITING, _GONE, _CAUGHT_UP):
        with changes.connection.begin():
            changes.connection.execute(sa.text(statement))
    settle_down(changes.engine)
    return filled


def _ask(connection: sa.Connection, query: str, keys: list[str]) -> float:
    """Milliseconds of one question: the median over some records."""
    spent = []
    for key in keys:
        started = time.perf_counter()
        with connection.begin():
            connection.execute(sa.text(query), {"key": key}).all()
        spent.append((time.perf_counter() - started) * 1000)
    return median(spent)


def measure(server_url: str, records: int) -> list[Line]:
    """``records`` is the number of rows in the log."""
    model = compiled("bench", "bench2")
    with ExitStack() as stack:
        engine = stack.enter_context(hub(server_url, "explain", model))
        changes = Changes(engine, model, max(1000, records // _LOG_ROWS_PER_RECORD), stack)
        filled = _fill(changes, records)
        lines = [Line("explain: rows in the log", f"{filled:,}")]
        for name, query in _KEYS.items():
            with changes.connection.begin():
                numbers = list(changes.connection.execute(sa.text(query)).scalars())
            keys = Random(1).sample(numbers, min(_ASKED, len(numbers)))
            trivial = _ask(changes.connection, _TRIVIAL, keys)
            lines.append(Line(f"explain: a trivial query, {name}", f"{trivial:.2f} ms", 1.0))
            for question, asked in _QUESTIONS.items():
                spent = _ask(changes.connection, asked, keys)
                lines.append(Line(f"explain: {question}, {name}", f"{spent:.1f} ms", spent / trivial))
                if question == "explain":
                    lines.append(Line(f"explain: of {_LIMIT_MS} ms", f"{spent:.1f} ms", spent / _LIMIT_MS, 1.0))
    return lines
