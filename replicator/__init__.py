"""A replicator that keeps business systems in step through a common-data PostgreSQL hub."""

__version__ = "0.1.0"
