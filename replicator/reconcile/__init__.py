"""Reconcile: reads both systems afresh and whole, compares every record through the mapping, and repairs if asked."""

from __future__ import annotations

from replicator.reconcile.compare import Comparison
from replicator.reconcile.run import Found, Reconciliation, concerned

__all__ = ["Comparison", "Found", "Reconciliation", "concerned"]
