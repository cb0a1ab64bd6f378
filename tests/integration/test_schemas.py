"""Schemas of other shapes than the product's make a complete hub too."""

from __future__ import annotations

import uuid

import sqlalchemy as sa

from benchmarks.hub import compiled, hub


def test_a_schema_whose_flows_all_come_in_makes_a_hub_whose_views_answer(server_url: str) -> None:
    views = sa.text(
        "select format('%I.%I', schemaname, viewname) from pg_views where schemaname in ('sync', 'desired')"
    )
    with hub(server_url, f"shape_{uuid.uuid4().hex[:12]}", compiled("bench")) as engine, engine.connect() as connection:
        found = connection.execute(views).scalars().all()
        assert len(found) > 10
        for view in found:
            assert connection.execute(sa.text(f"select count(*) from {view}")).scalar_one() >= 0
