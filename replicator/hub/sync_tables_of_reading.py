"""The tables of schema ``sync`` that tell how reads were made, and what they cost."""

from __future__ import annotations

import sqlalchemy as sa

from replicator.hub.sync_tables import metadata as metadata

swept = sa.Table(
    "swept",
    metadata,
    sa.Column("system", sa.Text, nullable=False, comment="The system that was swept"),
    sa.Column("entity_set", sa.Text, nullable=False, comment="What was swept of it"),
    sa.Column("key", sa.Text, nullable=False, comment="The record's own key in one text, as keys are compared"),
    sa.Column("etag", sa.Text, comment="The version that it had"),
    schema="sync",
    comment="Etags from before an export, until it is here; empty but for then",
    prefixes=["UNLOGGED"],
)

read_cost = sa.Table(
    "read_cost",
    metadata,
    sa.Column("system", sa.Text, primary_key=True, comment="The system that was read"),
    sa.Column("entity_set", sa.Text, primary_key=True, comment="What was read of it"),
    sa.Column("day", sa.Date, primary_key=True, comment="In the hub's time zone"),
    sa.Column("reads", sa.BigInteger, nullable=False, comment="How often it was read, also where that failed"),
    sa.Column("requests", sa.BigInteger, nullable=False, comment="Requests for it, those for credentials apart"),
    sa.Column("rows", sa.BigInteger, nullable=False, comment="Rows that were shown, if only by key and etag"),
    sa.Column("received", sa.BigInteger, nullable=False, comment="Bytes that came, as they went over the wire"),
    sa.Column("changed", sa.BigInteger, nullable=False, comment="Records that were new, other ones or gone"),
    schema="sync",
    comment="What reading each entity set cost, by day",
)
