"""The temporary tables of a read, to select from: staged rows, and rows that are as they were."""

from __future__ import annotations

import psycopg
import sqlalchemy as sa

PAGE = "page of the read"  # no field can be called so
SEEN = sa.table("seen", sa.column("record_id", sa.BigInteger), sa.column("page", sa.Integer))
"""The mirror rows that a whole read shows unchanged, once they are noted, and the page that each of them came on."""


def stage_table(mirror: sa.Table) -> sa.TableClause:
    """The temporary table, to select from: the mirror's columns without the id, and the page that each row came on.

    Its ctid is the order of the read.
    """
    columns = [sa.column(column.name, column.type) for column in mirror.columns if column.name != "id"]
    return sa.table(stage_name(mirror), *columns, sa.column(PAGE, sa.Integer), sa.column("ctid"))


def stage_name(mirror: sa.Table) -> str:
    """What the session calls the stage of a mirror."""
    return f"stage_{mirror.schema}_{mirror.name}"


def driver(connection: sa.Connection) -> psycopg.Connection[object]:
    """The driver's connection below: for COPY, and for statements whose text is put together here."""
    below = connection.connection.driver_connection
    assert isinstance(below, psycopg.Connection)
    return below
