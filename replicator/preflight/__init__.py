"""Preflight: looks at the hub, both systems and the data at hand for what would go wrong later."""

from __future__ import annotations

from replicator.preflight.notes import Told
from replicator.preflight.run import check

__all__ = ["Told", "check"]
