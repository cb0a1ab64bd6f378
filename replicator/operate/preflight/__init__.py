"""Preflight: looks at the hub, both systems and the data at hand for what would go wrong later."""

from __future__ import annotations

from replicator.operate.preflight.findings import Report
from replicator.operate.preflight.preflight import check

__all__ = ["Report", "check"]
