"""The tables of schema ``sync`` that serve those who operate the hub: pauses, decisions, plans, alerts."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from replicator.hub.sync_tables_of_reading import metadata as metadata

_time = TIMESTAMP(timezone=True)
_now = sa.text("now()")

pause = sa.Table(
    "pause",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True, comment="A flow, a system, or a direction: in or out"),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it began"),
    sa.Column("by", sa.Text, nullable=False, comment="A database role, or whom the console knows"),
    sa.Column("reason", sa.Text, comment="Why, in the words of who paused it"),
    schema="sync",
    comment="What stands still on purpose: changes go on being marked, nothing is merged or delivered",
)

decision = sa.Table(
    "decision",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Number of the decision"),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it was made"),
    sa.Column("by", sa.Text, nullable=False, comment="A database role, or whom the console knows"),
    sa.Column("action", sa.Text, nullable=False, comment="retry, skip, approve, resolve, pause, ..."),
    sa.Column("what", sa.Text, nullable=False, comment="The flow, entity set, cause, conflict or scope"),
    sa.Column("record", sa.Text, comment="The record, where it was a single one"),
    sa.Column("records", sa.BigInteger, nullable=False, comment="How many records it concerned"),
    sa.Column("reason", sa.Text, comment="Why, in the words of who decided"),
    schema="sync",
    comment="What people decided, and who; kept for good",
)
sa.Index("ix_decision_at", decision.c.at)

plan = sa.Table(
    "plan",
    metadata,
    sa.Column(
        "id", sa.BigInteger, sa.Identity(always=True), primary_key=True, comment="Number of the plan, for run --plan"
    ),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it was made"),
    sa.Column("by", sa.Text, nullable=False, comment="The database role that saved it"),
    sa.Column("entity", sa.Text, comment="The entity it was restricted to"),
    sa.Column("run_at", _time, comment="When it was run"),
    sa.Column(
        "stays",
        sa.BigInteger,
        nullable=False,
        server_default="0",
        comment="Records and conflicts that would not be in step after it, and entity sets that could not be looked at",
    ),
    schema="sync",
    comment="Saved plans: the writes that were to be made at that moment",
)

planned = sa.Table(
    "planned",
    metadata,
    sa.Column(
        "plan_id",
        sa.BigInteger,
        sa.ForeignKey(plan.c.id, ondelete="CASCADE"),
        primary_key=True,
        comment="The plan in sync.plan",
    ),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False, comment="Its place in the order of writes"),
    sa.Column("request", sa.Integer, nullable=False, comment="Writes of one number go in one request"),
    sa.Column("flow", sa.Text, nullable=False, comment="The flow, by its name in sync.status"),
    sa.Column("operation", sa.Text, nullable=False, comment="create, update or delete"),
    sa.Column("record", sa.Text, comment="What people call the record"),
    sa.Column("key", JSONB, nullable=False, comment="The key in the target"),
    sa.Column("fields", JSONB, nullable=False, comment="By field: the value there now, and the one to be written"),
    sa.Column("fingerprint", sa.Text, nullable=False, comment="Of all that; a write whose world has moved has another"),
    sa.Column("outcome", sa.Text, comment="sent, or moved: why it was refused when the plan was run"),
    schema="sync",
    comment="The writes of saved plans",
)

refetch = sa.Table(
    "refetch",
    metadata,
    sa.Column("system", sa.Text, primary_key=True, comment="The system to be read"),
    sa.Column("entity_set", sa.Text, primary_key=True, comment="The entity set to be read"),
    sa.Column("record_id", sa.BigInteger, primary_key=True, autoincrement=False, comment="id in the mirror; 0: all"),
    sa.Column("at", _time, nullable=False, server_default=_now, comment="When it was asked for"),
    schema="sync",
    comment="Records that the next read of their entity set fetches by key, and sets that it reads whole",
)

alert = sa.Table(
    "alert",
    metadata,
    sa.Column("cause", sa.Text, primary_key=True, comment="The id in sync.causes"),
    sa.Column("title", sa.Text, nullable=False, comment="What was told"),
    sa.Column("since", _time, nullable=False, comment="When the trouble began"),
    sa.Column("records", sa.BigInteger, nullable=False, comment="How many records are concerned now"),
    sa.Column("told_at", _time, comment="When somebody was last told of it"),
    sa.Column("told_records", sa.BigInteger, comment="And of how many records"),
    sa.Column("cleared_at", _time, comment="When it was over; null while it lasts"),
    schema="sync",
    comment="Of which causes people have been told, so that nobody is told twice",
)

system = sa.Table(
    "system",
    metadata,
    sa.Column("name", sa.Text, primary_key=True, comment="The system, by its name in the configuration"),
    sa.Column("requests", sa.BigInteger, nullable=False, comment="Requests sent since the replicator started"),
    sa.Column("budget_left", sa.BigInteger, comment="Requests that the system said are left; null: it never did"),
    sa.Column("paused_until", _time, comment="The system asked for a pause until then"),
    sa.Column("at", _time, nullable=False, comment="When this was written"),
    schema="sync",
    comment="What the replicator knows of each system's patience",
)
