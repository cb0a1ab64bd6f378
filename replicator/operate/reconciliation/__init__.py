"""Reconcile: reads both systems afresh and whole, compares every record through the mapping, and repairs if asked."""

from __future__ import annotations

from replicator.operate.reconciliation.comparison import Comparison
from replicator.operate.reconciliation.reconciler import ReconcileResult, Reconciliation, concerned

__all__ = ["Comparison", "ReconcileResult", "Reconciliation", "concerned"]
