"""Alembic runs this; what it does is the product's."""

from replicator.solution.alembic_environment import run

run()
